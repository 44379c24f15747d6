//! The schema lock: the last agreed schemas of events, checked in with the code.
//!
//! A folder `events.lock` contains one file per event. The `#[event]` attribute of `typed_events::locked`
//! reads the event's file at compile time, and refuses changes that make stored records or running programs
//! fail. [`SchemaLock`] checks at run time whether the whole folder matches the program, and writes the
//! folder.

mod changes;
pub(crate) mod check;
mod folder;
mod print;
mod render;

use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::event::locking::{Compatibility, Locking};
use crate::event::{EventDecl, registry};

/// Version of the file format. Each file begins with it.
const FORMAT: u32 = 1;

/// Value of `TYPED_EVENTS_LOCK` with which the lock is written and nothing is checked.
const WRITE: &str = "write";

impl Compatibility {
    const fn reads_old(self) -> bool {
        !matches!(self, Self::Forward)
    }

    const fn is_read_by_old(self) -> bool {
        !matches!(self, Self::Backward)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Backward => "backward",
            Self::Forward => "forward",
        }
    }
}

/// The schema lock of a program. The `schema_lock!()` macro creates it.
///
/// A test keeps the lock up to date. `TYPED_EVENTS_LOCK=write cargo test` writes the lock, even if the
/// program does not compile because of it:
///
/// ```no_run
/// #[test]
/// fn events_are_locked() -> Result<(), typed_events::Error> {
///     typed_events::schema_lock!().verify()
/// }
/// ```
///
/// # Intended changes
///
/// For some changes, the schema does not show whether old values are still read as they were:
///
/// - Code that writes or reads a field (`#[serde(with = ..)]`, `#[event(opaque)]`) is added, removed or
///   replaced.
/// - Another function provides the default of a field.
/// - A secret is no longer secret.
/// - The event promises less compatibility.
///
/// Such a change needs a new version or a reason. A reason is `#[event(changed = "...")]` on the field, or
/// `changed = "..."` after the event's name for a change that concerns no single field. The reason is stored
/// in the file together with the change and stays there. A reason permits one change; the next change needs
/// another reason. Changes inside a function are not detected.
#[derive(Clone, Copy, Debug)]
pub struct SchemaLock {
    folder: &'static str,
    writes: bool,
}

impl SchemaLock {
    #[doc(hidden)]
    pub const fn new(folder: &'static str, env: Option<&str>) -> Self {
        Self { folder, writes: check::is_writing(env) }
    }

    /// Compares the lock with the events that are linked into the program. Each event declared with
    /// `typed_events::locked` must have a file, and the file must equal the one that would be written now. An
    /// event that is locked but no longer declared is a problem if its crate declares other events.
    ///
    /// If the program was compiled and is run with `TYPED_EVENTS_LOCK=write`, writes the files instead. A
    /// breaking change within a version is not written without a reason.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SchemaLock`] lists every difference, and every file that can't be written, with its event
    /// and file.
    pub fn verify(&self) -> Result<(), Error> {
        let mut problems = match self.writes {
            true => self.write(),
            false => self.stale(),
        };
        problems.extend(self.extra(true));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::of_problems(ErrorKind::SchemaLock, problems)),
        }
    }

    /// Returns the problems that can be detected where the program runs. The folder may be absent there.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.stale();
        problems.extend(self.extra(false));
        problems
    }

    /// Returns the events whose files are missing or differ from those that would be written.
    fn stale(&self) -> Vec<String> {
        let linked = &registry().events;
        let crates = crates_of(locked(linked).map(|(decl, _)| decl));
        let mut problems = Vec::new();
        for decl in linked {
            let Some(locking) = &decl.locking else {
                if crates.contains(&crate_of(decl.location.item)) {
                    problems.push(format!(
                        "event `{}` ({}) is not locked, but other events of its crate are: declare it with `typed_events::locked::event`",
                        decl.name, decl.location
                    ));
                }
                continue;
            };
            match (locking.file, changes::check_changes(decl, locking)) {
                (None, _) => problems.push(self.advise(decl, "is not locked")),
                (Some(_), Err(problem)) => problems.push(problem),
                (Some(file), Ok(reasons)) if unix(file.text) == render::file(decl, locking, &reasons) => {}
                (Some(_), Ok(_)) => problems.push(self.advise(decl, "has changed since it was locked")),
            }
        }
        problems
    }

    /// Returns the files that can't be read, and the locked events that are no longer declared although their
    /// crate declares other events. A missing folder is a problem only if `must_exist` is true, because there
    /// may be none where the program runs.
    fn extra(&self, must_exist: bool) -> Vec<String> {
        let linked = &registry().events;
        let crates = crates_of(linked.iter().copied());
        let (files, mut problems) = match folder::read(Path::new(self.folder)) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Vec::new(),
            Err(error) => return vec![format!("there is no lock: {} can't be read: {error}", self.folder)],
        };
        for file in files {
            let plain = linked.iter().find(|decl| decl.name == file.name && decl.locking.is_none());
            if let Some(decl) = plain.filter(|decl| decl.location.item == file.item) {
                problems.push(format!(
                    "event `{0}` is locked ({1}/{0}), but `{2}` is no longer declared under the lock: declare it with `typed_events::locked::event`, or delete the file",
                    file.name, self.folder, decl.location
                ));
            }
            if crates.contains(&crate_of(&file.item)) && registry().find(&file.name).is_none() {
                problems.push(format!(
                    "event `{0}` is locked ({1}/{0}), but `{2}` is no longer declared: restore it, or delete the file",
                    file.name, self.folder, file.item
                ));
            }
        }
        problems
    }

    fn advise(&self, decl: &EventDecl, what: &str) -> String {
        let (name, location, folder) = (decl.name, &decl.location, self.folder);
        format!(
            "event `{name}` ({location}) {what}: write {folder}/{name} with `TYPED_EVENTS_LOCK=write cargo test`"
        )
    }

    /// Writes all files that differ, and returns the problems.
    fn write(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let folder = Path::new(self.folder);
        if let Err(error) = std::fs::create_dir_all(folder) {
            return vec![format!("{} can't be created: {error}", self.folder)];
        }
        for (decl, locking) in locked(&registry().events) {
            let reasons = match changes::check_changes(decl, locking) {
                Ok(reasons) => reasons,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let text = render::file(decl, locking, &reasons);
            let path = folder.join(decl.name);
            let found = match std::fs::read_to_string(&path) {
                Ok(found) => Some(found),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    problems.push(format!("{} can't be read: {error}", path.display()));
                    continue;
                }
            };
            if found.as_ref().is_some_and(|found| *found == text) {
                continue;
            }
            // The program may be compiled with an older file: cargo does not rebuild it when a file appears
            // that did not exist before.
            let compiled = locking.file.map(|file| file.text);
            if found.as_deref().is_some_and(|found| Some(found) != compiled) {
                problems.push(format!(
                    "{} differs from the file the program was compiled with: touch {}, then write the lock again",
                    path.display(),
                    decl.location.file
                ));
                continue;
            }
            if let Err(error) = std::fs::write(&path, text) {
                problems.push(format!("{} can't be written: {error}", path.display()));
            }
        }
        problems
    }
}

/// The locked events among `events`.
fn locked<'a>(
    events: &'a [&'static EventDecl],
) -> impl Iterator<Item = (&'static EventDecl, &'static Locking)> + 'a {
    events.iter().filter_map(|decl| Some((*decl, decl.locking.as_ref()?)))
}

/// Names of the crates that declare the events, each once. A program has tens of them, so a list is fast
/// enough.
fn crates_of(events: impl Iterator<Item = &'static EventDecl>) -> Vec<&'static str> {
    let mut crates = Vec::new();
    for name in events.map(|decl| crate_of(decl.location.item)) {
        if !crates.contains(&name) {
            crates.push(name);
        }
    }
    crates
}

/// Name of the crate in a path.
fn crate_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Reverts the conversion of line ends that git may have done.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}
