//! The lock: what events looked like when they were last agreed on, checked in beside the code.
//!
//! A folder `events.lock` holds one file per event. `#[event]` of `typed_events::locked` reads an
//! event's file while the program is compiled, and refuses changes that records or running programs
//! would not survive; [`SchemaLock`] says whether the folder as a whole fits the program, and writes it.

pub(crate) mod check;
mod folder;
mod print;
mod render;
mod step;

use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::event::locking::{Compatibility, Locking};
use crate::event::{EventDecl, registry};

/// The format of the files: each begins with it.
const FORMAT: u32 = 1;

/// The value of `TYPED_EVENTS_LOCK` under which the lock is written, and nothing is checked.
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

/// The lock as a whole: what `schema_lock!()` gives.
///
/// A test keeps it up to date, and `TYPED_EVENTS_LOCK=write cargo test` writes it, also while the
/// program does not compile because of it:
///
/// ```no_run
/// #[test]
/// fn events_are_locked() -> Result<(), typed_events::Error> {
///     typed_events::schema_lock!().verify()
/// }
/// ```
///
/// # A change that is meant
///
/// Of some changes nothing shows that values come back as they were: code that writes or reads a field
/// (`#[serde(with = ..)]`, `#[event(opaque)]`) comes, goes or becomes another; the default of a field is
/// another function's; a secret is no secret any more; less compatibility is promised. Such a change needs
/// a new version, or a reason: `#[event(changed = "...")]` on the field, or `changed = "..."` beside the
/// event's name for what concerns no field. The reason goes into the file with the change and stays there.
/// It is that of one change: the next one needs its own. What a function does inside is not seen.
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

    /// Compares the lock with the events that are linked into the program: each that is declared with
    /// `typed_events::locked` has its file, the file is what would be written now, and no event of the
    /// same crates is locked that is no longer declared.
    ///
    /// Compiled and run with `TYPED_EVENTS_LOCK=write`, it writes the files instead. A change within a
    /// version that breaks what is locked is not written without a reason.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SchemaLock`] lists all that differs, or can't be written, by event and file.
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

    /// What is stale, missing or too much, as far as the program can see it where it runs.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.stale();
        problems.extend(self.extra(false));
        problems
    }

    /// Events whose files are missing, or are not what would be written.
    fn stale(&self) -> Vec<String> {
        let linked = &registry().events;
        let crates = crates_of(locked(linked).map(|(decl, _)| decl));
        let mut problems = Vec::new();
        for decl in linked {
            let Some(locking) = &decl.locking else {
                if crates.contains(&crate_of(decl.location.item)) {
                    problems.push(format!(
                        "event `{}` ({}) is not locked, as others of its crate are: declare it with `typed_events::locked::event`",
                        decl.name, decl.location
                    ));
                }
                continue;
            };
            match (locking.file, step::of(decl, locking)) {
                (None, _) => problems.push(self.advise(decl, "is not locked")),
                (Some(_), Err(problem)) => problems.push(problem),
                (Some(file), Ok(step)) if unix(file.text) == render::file(decl, locking, &step) => {}
                (Some(_), Ok(_)) => problems.push(self.advise(decl, "has changed since it was locked")),
            }
        }
        problems
    }

    /// Files that can't be read, and events that are locked and no longer declared, of crates that
    /// declare others. Where the program runs there may be no folder: for `verify` there must be one.
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
                    "event `{0}` is locked ({1}/{0}), and `{2}` is not declared under the lock any more: declare it with `typed_events::locked::event`, or delete the file",
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
            "event `{name}` ({location}) {what}: {folder}/{name} is written by `TYPED_EVENTS_LOCK=write cargo test`"
        )
    }

    /// Writes all files that differ.
    fn write(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let folder = Path::new(self.folder);
        if let Err(error) = std::fs::create_dir_all(folder) {
            return vec![format!("{} can't be made: {error}", self.folder)];
        }
        for (decl, locking) in locked(&registry().events) {
            let step = match step::of(decl, locking) {
                Ok(step) => step,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let text = render::file(decl, locking, &step);
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
            // cargo does not know that what it compiled without a file has one now.
            let compiled = locking.file.map(|file| file.text);
            if found.as_deref().is_some_and(|found| Some(found) != compiled) {
                problems.push(format!(
                    "{} is not what the program was compiled with: touch {}, and write the lock again",
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

/// The events under the lock.
fn locked<'a>(
    events: &'a [&'static EventDecl],
) -> impl Iterator<Item = (&'static EventDecl, &'static Locking)> + 'a {
    events.iter().filter_map(|decl| Some((*decl, decl.locking.as_ref()?)))
}

/// The crates of declarations, of which a program has tens.
fn crates_of(events: impl Iterator<Item = &'static EventDecl>) -> Vec<&'static str> {
    let mut crates = Vec::new();
    for name in events.map(|decl| crate_of(decl.location.item)) {
        if !crates.contains(&name) {
            crates.push(name);
        }
    }
    crates
}

/// The crate of a path.
fn crate_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// A text as it was written, where git has changed its line ends.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}
