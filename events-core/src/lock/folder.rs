//! Reads the folder of the schema lock at run time.

use std::path::Path;

use crate::lock::FORMAT;

/// A file of the schema lock.
pub(super) struct File {
    pub(super) name: String,
    /// Path of the type that claims the event.
    pub(super) item: String,
}

/// Returns all lock files of the folder in the order of their names, and a problem for each other file.
///
/// Files whose names begin with a dot belong to other tools, such as git, and are ignored.
pub(super) fn read(folder: &Path) -> std::io::Result<(Vec<File>, Vec<String>)> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(&name);
        let file = std::fs::read_to_string(&path).map_err(|error| format!("can't be read: {error}"));
        match file.and_then(|text| of(&name, &text)) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(format!("{} {problem}", path.display())),
        }
    }
    Ok((files, problems))
}

/// Parses the lines before the first version of a lock file.
fn of(name: &str, text: &str) -> Result<File, String> {
    if let Some((line, marker)) = text.lines().zip(1..).find_map(|(text, line)| Some((line, marker(text)?))) {
        return Err(format!(
            "contains a conflict marker of a merge in line {line} (`{marker}`): keep one side of the conflict, and write the lock again"
        ));
    }
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    match value("format").map(|number| number.trim().parse::<u32>()) {
        Some(Ok(FORMAT)) => {}
        Some(Ok(0)) => {
            return Err("has format 0, which does not exist: restore it from version control".into());
        }
        Some(Ok(newer)) if newer > FORMAT => {
            return Err(format!(
                "has format {newer}, but this version of typed-events reads only formats up to {FORMAT}: update typed-events"
            ));
        }
        _ => {
            return Err(
                "is not a lock file: it has no format number; restore it from version control, or delete it"
                    .into(),
            );
        }
    }
    let quoted = |key| value(key).map(|value: &str| value.trim().trim_matches('"').to_owned());
    match (quoted("event"), quoted("type")) {
        (Some(event), Some(item)) if event == name => Ok(File { name: event, item }),
        (Some(event), _) => {
            Err(format!("is the lock file of another event, `{event}`: rename it to `{event}`, or delete it"))
        }
        (None, _) => {
            Err("is not a lock file: it has no event name; restore it from version control, or delete it"
                .into())
        }
    }
}

/// Returns the conflict marker that the line begins with.
fn marker(line: &str) -> Option<&'static str> {
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].into_iter().find(|marker| line.starts_with(marker))
}
