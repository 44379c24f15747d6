//! Checks that each message in the table of MISTAKES.md is in a `.stderr` of `tests/ui` or in another test.

use std::fs;
use std::path::Path;

/// Appends the texts of all files below a folder whose names end with `ends`.
fn texts(folder: &Path, ends: &str, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => texts(&path, ends, all),
            false if path.to_str().unwrap().ends_with(ends) => *all += &fs::read_to_string(&path).unwrap(),
            false => {}
        }
    }
}

/// Returns the text of a code span in Markdown.
fn code(cell: &str) -> &str {
    let fence = cell.len() - cell.trim_start_matches('`').len();
    let text = &cell[fence..cell.len() - fence];
    text.strip_prefix(' ').filter(|text| text.starts_with('`')).unwrap_or(text).trim_end()
}

#[test]
fn each_message_in_the_table_is_a_real_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut said = String::new();
    texts(&root.join("tests/ui"), ".stderr", &mut said);
    for test in [
        "tests/lock/main.rs",
        "tests/lock/cases.rs",
        "tests/behaviour/secrets.rs",
        "tests/behaviour/build.rs",
        "tests/behaviour/silence.rs",
        "tests/sqlite/tests/durable/set_up.rs",
    ] {
        said += &fs::read_to_string(root.join(test)).unwrap().replace("\\\"", "\"");
    }
    let table = fs::read_to_string(root.join("MISTAKES.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut count = 0;
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let message = code(cell);
        assert!(said.contains(message), "nobody says: {message}");
        count += 1;
    }
    assert!(count > 35, "{count}");
}
