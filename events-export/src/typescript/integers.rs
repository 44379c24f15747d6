//! Integers that JavaScript's numbers do not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The largest integer up to which all are numbers of JavaScript: `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE: u128 = (1 << 53) - 1;

const WARNING: &str = "Integers beyond 2^53 are rounded by `JSON.parse`.";

/// What integers that may be beyond 2^53 are in TypeScript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BigIntegers {
    /// `number`, and a comment says that `JSON.parse` rounds it.
    #[default]
    Number,
    /// `bigint`.
    BigInt,
    /// `string`.
    String,
}

impl BigIntegers {
    fn type_name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::BigInt => "bigint",
            Self::String => "string",
        }
    }
}

/// Places that were named where there is no integer that may be beyond 2^53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBigIntegers {
    paths: Vec<String>,
}

impl NoBigIntegers {
    /// The places as they were named.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

impl fmt::Display for NoBigIntegers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.paths.iter().map(|path| format!("`{}`", path.escape_debug())).collect();
        write!(f, "no integer that may be beyond 2^53 is at {}", paths.join(", "))
    }
}

impl std::error::Error for NoBigIntegers {}

/// What is said of them, and where the writer is.
#[derive(Clone, Debug, Default)]
pub(super) struct Integers {
    pub(super) all: BigIntegers,
    /// By the names of types, variants and fields, joined by dots.
    pub(super) of: BTreeMap<String, BigIntegers>,
    /// Those that were met.
    met: BTreeSet<String>,
    at: String,
    /// Whether one that is rounded was written since the last comment.
    rounded: bool,
    any_rounded: bool,
    any_kept: bool,
}

/// Where the writer was, and whether a rounded one waited for a comment.
pub(super) struct Outer(usize, bool);

impl Integers {
    /// A type, variant or field is written next.
    pub(super) fn enter(&mut self, name: &str) -> Outer {
        let outer = Outer(self.at.len(), std::mem::take(&mut self.rounded));
        if !self.at.is_empty() {
            self.at.push('.');
        }
        self.at.push_str(name);
        outer
    }

    /// It is written, and has a comment of its own: what that warns of.
    pub(super) fn leave(&mut self, Outer(length, rounded): Outer) -> &'static str {
        self.at.truncate(length);
        match std::mem::replace(&mut self.rounded, rounded) {
            true => WARNING,
            false => "",
        }
    }

    /// It is written, and the comment is that of what it is in.
    pub(super) fn pass_on(&mut self, Outer(length, rounded): Outer) {
        self.at.truncate(length);
        self.rounded |= rounded;
    }

    /// The type of integers of this range.
    pub(super) fn of_range(&mut self, min: i128, max: u128) -> &'static str {
        if max <= MAX_SAFE && (min >= 0 || min.unsigned_abs() <= MAX_SAFE) {
            return BigIntegers::Number.type_name();
        }
        let as_what = self.said().unwrap_or(self.all);
        let is_rounded = as_what == BigIntegers::Number;
        self.rounded |= is_rounded;
        self.any_rounded |= is_rounded;
        self.any_kept |= !is_rounded;
        as_what.type_name()
    }

    /// What is said of the place, by the longest name.
    fn said(&mut self) -> Option<BigIntegers> {
        let mut said = None;
        for (path, as_what) in &self.of {
            let is_in = self
                .at
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            // They are in order: the longest comes last.
            if is_in {
                self.met.insert(path.clone());
                said = Some(*as_what);
            }
        }
        said
    }

    pub(super) fn check(&self) -> Result<(), NoBigIntegers> {
        let paths: Vec<_> = self.of.keys().filter(|path| !self.met.contains(*path)).cloned().collect();
        if paths.is_empty() { Ok(()) } else { Err(NoBigIntegers { paths }) }
    }

    /// What the module says at its head.
    pub(super) fn about(&self) -> String {
        let rounded = "// `JSON.parse` rounds integers beyond 2^53: comments say where there may be some.\n";
        let kept = "// `JSON.parse` gives neither a `bigint` nor a `string` for a number: use a parser that does, such as json-bigint.\n";
        [(self.any_rounded, rounded), (self.any_kept, kept)]
            .iter()
            .filter_map(|(any, line)| any.then_some(*line))
            .collect()
    }
}
