//! The lock: what events looked like when they were last agreed on, checked in beside the code.
//!
//! A folder `events.lock` holds one file per event. `#[event]` of `typed_events::locked` reads an
//! event's file while the program is compiled, and refuses changes that records or running programs
//! would not survive; [`Lock`] says whether the folder as a whole fits the program, and writes it.

pub(crate) mod check;
mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::event::{EventDecl, registry};
use crate::schema::TypeSchema;

/// The value of `TYPED_EVENTS_LOCK` under which the lock is written, and nothing is checked.
const WRITE: &str = "write";

/// How the shape of an event may change within one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// New programs read what old ones wrote, and old ones what new ones write.
    Full,
    /// New programs read what old ones wrote: enough for replays.
    Backward,
    /// Old programs read what new ones write: enough for programs that run meanwhile.
    Forward,
}

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

/// What an event type under the lock says of itself, and what its file says.
#[derive(Clone, Copy)]
pub struct Locking {
    /// As declared.
    pub compatibility: Compatibility,
    /// Names of removed fields, as declared.
    pub reserved: &'static [&'static str],
    /// The event's file; `None` where there is none, which is an error unless the lock is written.
    pub file: Option<LockFile>,
}

/// The file of an event.
#[derive(Clone, Copy)]
pub struct LockFile {
    /// All of it.
    pub text: &'static str,
    /// The type that has claimed the name.
    pub item: &'static str,
    /// Names that no field may have again.
    pub reserved: &'static [&'static str],
    /// The version of the type that reads it, if it is there.
    pub version: Option<&'static TypeSchema>,
}

/// The lock as a whole: what `lock!()` gives.
///
/// A test keeps it up to date, and `TYPED_EVENTS_LOCK=write cargo test` writes it, also while the
/// program does not compile because of it:
///
/// ```no_run
/// #[test]
/// fn events_are_locked() -> Result<(), typed_events::Error> {
///     typed_events::lock!().verify()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    folder: &'static str,
    /// A line for each event: its name, and the type that has claimed it.
    index: &'static str,
    writes: bool,
}

impl Lock {
    #[doc(hidden)]
    pub const fn new(folder: &'static str, index: &'static str, env: Option<&str>) -> Self {
        Self { folder, index, writes: check::is_writing(env) }
    }

    /// Compares the lock with the events that are linked into the program: each that is declared with
    /// `typed_events::locked` has its file, the file is what would be written now, and no event of the
    /// same crates is locked that is no longer declared.
    ///
    /// Compiled and run with `TYPED_EVENTS_LOCK=write`, it writes the files instead. A change within a
    /// version that breaks what is locked is not written: the file of an event that nobody depends on
    /// yet can be deleted first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lock`] lists all that differs, or can't be written, by event and file.
    pub fn verify(&self) -> Result<(), Error> {
        let problems = match self.writes {
            true => self.write(),
            false => self.problems(),
        };
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Lock, problems.join("\n"))),
        }
    }

    /// What is stale, missing or too much.
    pub(crate) fn problems(&self) -> Vec<String> {
        let linked = &registry().events;
        let crates: BTreeSet<_> = locked(linked).map(|(decl, _)| crate_of(decl.place.item)).collect();
        let mut problems = Vec::new();
        for decl in linked {
            let Some(locking) = &decl.locking else {
                if crates.contains(crate_of(decl.place.item)) {
                    problems.push(format!(
                        "event `{}` ({}) is not locked, as others of its crate are: declare it with `typed_events::locked::event`",
                        decl.name, decl.place
                    ));
                }
                continue;
            };
            match locking.file {
                Some(file) if unix(file.text) == render(decl, locking) => {}
                Some(_) => problems.push(self.advise(decl, "has changed since it was locked")),
                None => problems.push(self.advise(decl, "is not locked")),
            }
        }
        problems.extend(self.extra());
        problems
    }

    /// Events that are locked and no longer declared, of crates that declare others.
    fn extra(&self) -> Vec<String> {
        let linked = &registry().events;
        let crates: BTreeSet<_> = locked(linked).map(|(decl, _)| crate_of(decl.place.item)).collect();
        let names: BTreeSet<_> = linked.iter().map(|decl| decl.name).collect();
        let is_extra = |(name, item): &(&str, &str)| crates.contains(crate_of(item)) && !names.contains(name);
        let describe = |(name, item): (&str, &str)| {
            format!(
                "event `{name}` is locked ({}/{name}), but `{item}` is no longer declared: restore it, or delete the file and its line in {0}/index",
                self.folder
            )
        };
        entries(self.index).filter(is_extra).map(describe).collect()
    }

    fn advise(&self, decl: &EventDecl, what: &str) -> String {
        let (name, place, folder) = (decl.name, &decl.place, self.folder);
        format!(
            "event `{name}` ({place}) {what}: {folder}/{name} is written by `TYPED_EVENTS_LOCK=write cargo test`"
        )
    }

    /// Writes all files that differ.
    fn write(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut index: BTreeMap<_, _> =
            entries(self.index).map(|(name, item)| (name.to_owned(), item.to_owned())).collect();
        let mut save = |name: &str, text: &str| {
            let path = Path::new(self.folder).join(name);
            let saved = std::fs::create_dir_all(self.folder).and_then(|()| std::fs::write(&path, text));
            if let Err(error) = saved {
                problems.push(format!("{} can't be written: {error}", path.display()));
            }
        };
        let mut refused = Vec::new();
        for (decl, locking) in locked(&registry().events) {
            if let Some(problem) = check::broken(decl, locking) {
                let (name, folder) = (decl.name, self.folder);
                refused
                    .push(format!("{problem} (if nobody depends on it yet, delete {folder}/{name} first)"));
                continue;
            }
            index.insert(decl.name.to_owned(), decl.place.item.to_owned());
            let text = render(decl, locking);
            if locking.file.is_none_or(|file| file.text != text) {
                save(decl.name, &text);
            }
        }
        let lines: String = index.iter().map(|(name, item)| format!("{name} {item}\n")).collect();
        if lines != self.index {
            save("index", &lines);
        }
        problems.extend(refused);
        problems.extend(self.extra());
        problems
    }
}

/// The events under the lock.
fn locked<'a>(
    events: &'a [&'static EventDecl],
) -> impl Iterator<Item = (&'static EventDecl, &'static Locking)> + 'a {
    events.iter().filter_map(|decl| Some((*decl, decl.locking.as_ref()?)))
}

/// The names and types of an index.
fn entries(index: &str) -> impl Iterator<Item = (&str, &str)> {
    index.lines().filter_map(|line| line.split_once(' '))
}

/// The crate of a path.
fn crate_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// A text as it was written, where git has changed its line ends.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// The file of an event as it should be.
fn render(decl: &EventDecl, locking: &Locking) -> String {
    let file = locking.file.as_ref();
    let mut text = format!(
        "// The event as programs write and read it. Kept by typed-events; check it in.\n\nevent {:?}\ntype {:?}\ncompatibility {}\n",
        decl.name,
        decl.place.item,
        locking.compatibility.as_str()
    );
    let reserved: BTreeSet<_> =
        locking.reserved.iter().chain(file.map_or(&[][..], |file| file.reserved)).collect();
    if !reserved.is_empty() {
        let names: Vec<_> = reserved.iter().map(|name| format!("{name:?}")).collect();
        text += &format!("reserved {}\n", names.join(", "));
    }
    let text_before = file.map(|file| unix(file.text)).unwrap_or_default();
    for (number, version) in versions(&text_before) {
        if number != decl.version {
            text += &format!("\n{}\n", version.trim_end());
        }
    }
    let before = file.and_then(|file| file.version);
    text + "\n" + &print::version(decl.version, decl.schema, before)
}

/// The versions in a file, each with its text.
fn versions(text: &str) -> Vec<(u32, &str)> {
    let starts: Vec<_> = text.match_indices("\nversion ").map(|(at, _)| at + 1).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]);
    let number = |part: &str| part.split(' ').nth(1).and_then(|number| number.parse().ok());
    parts.filter_map(|part| Some((number(part)?, part))).collect()
}
