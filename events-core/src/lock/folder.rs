//! The files of the folder, as they are while the program runs.

use std::path::Path;

use crate::lock::FORMAT;

/// A file of the lock.
pub(super) struct File {
    pub(super) name: String,
    /// The type that has claimed the event.
    pub(super) item: String,
}

/// All files of the folder in the order of their names, and what is wrong with those that are none.
///
/// Names that begin with a dot belong to others, such as git.
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

/// What the head of a file says.
fn of(name: &str, text: &str) -> Result<File, String> {
    if let Some((line, marker)) = text.lines().zip(1..).find_map(|(text, line)| Some((line, marker(text)?))) {
        return Err(format!(
            "has a conflict marker of a merge in line {line} (`{marker}`): take one of the two sides, and write the lock"
        ));
    }
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    match value("format").map(|number| number.trim().parse::<u32>()) {
        Some(Ok(FORMAT)) => {}
        Some(Ok(0)) => {
            return Err("has format 0, which there never was: restore it from version control".into());
        }
        Some(Ok(newer)) if newer > FORMAT => {
            return Err(format!(
                "has format {newer}, and {FORMAT} is the newest known here: it was written by a newer typed-events, update it"
            ));
        }
        _ => {
            return Err("is not a file of the lock: it has no format number; restore it from version control, or delete it".into());
        }
    }
    let quoted = |key| value(key).map(|value: &str| value.trim().trim_matches('"').to_owned());
    match (quoted("event"), quoted("type")) {
        (Some(event), Some(item)) if event == name => Ok(File { name: event, item }),
        (Some(event), _) => {
            Err(format!("is the file of another event, `{event}`: give it that name, or delete it"))
        }
        (None, _) => {
            Err("is not a file of the lock: it names no event; restore it from version control, or delete it"
                .into())
        }
    }
}

/// The kind of conflict marker that a line is.
fn marker(line: &str) -> Option<&'static str> {
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].into_iter().find(|marker| line.starts_with(marker))
}
