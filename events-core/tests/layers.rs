//! The layers of this crate: a file imports only from its own folder, and from the layers above it in this list.

#![allow(clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The first layer imports none of the others. If several entries match a file, the longest applies.
const LAYERS: [&[&str]; 13] = [
    &["error", "time", "id"],
    &["event"],
    &["lock"],
    &["record"],
    &["adapter"],
    &["log"],
    &["bus/inner"],
    &["bus/emit"],
    &["bus/handlers"],
    &["bus/durable"],
    &["bus/read"],
    &["bus/ingress"],
    &["bus"],
];

/// Modules of `events-schema` under the names that this crate gives them. They are below all layers.
const OF_SCHEMA: [&str; 5] = ["json", "panics", "schema", "secret", "text"];

/// Returns the number of a path's layer, or the last one for files that may import everything.
fn layer(path: &str) -> usize {
    let fits =
        |entry: &str| path == entry || path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/'));
    let entries = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(number, entries)| entries.iter().map(move |entry| (entry, number)));
    let found = entries.filter(|(entry, _)| fits(entry)).max_by_key(|(entry, _)| entry.len());
    found.map_or(LAYERS.len(), |(_, number)| number)
}

/// Returns the paths after `crate::` in code, with `/` between the names.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        found.insert(rest[..end].trim_end_matches(':').replace("::", "/"));
    }
    found
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Returns the imports of a file that refer to a later layer.
fn upward(path: &str, text: &str) -> Vec<String> {
    let own = layer(path);
    let imports =
        imports(text).into_iter().filter(|import| !OF_SCHEMA.iter().any(|module| import.starts_with(module)));
    imports.filter(|import| layer(import) > own).map(|import| format!("{path} imports {import}")).collect()
}

#[test]
fn no_file_imports_from_a_later_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    let mut found = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(&source).expect("it is in there").with_extension("");
        let name = name.to_str().expect("UTF-8").replace('\\', "/");
        let name = name.strip_suffix("/mod").unwrap_or(&name);
        found.extend(upward(name, &fs::read_to_string(path).expect("it can be read")));
    }
    assert!(paths.len() > 50, "the files are found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_import_from_a_later_layer_is_found() {
    let text = "use crate::bus::inner::Bus;\n// use crate::check;\nuse crate::text::quoted;\nuse crate::error::Error;";
    assert_eq!(upward("record/codec", text), ["record/codec imports bus/inner/Bus"]);
    assert_eq!(upward("bus/stop", text), Vec::<String>::new());
    assert_eq!(upward("bus/emit", "fn f() { crate::bus::read::stream::tell() }").len(), 1);
}
