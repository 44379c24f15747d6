//! Integers that a JavaScript number can't represent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The largest integer up to which JavaScript numbers represent every integer: `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE: u128 = (1 << 53) - 1;

const WARNING: &str = "Integers beyond 2^53 are rounded by `JSON.parse`.";

/// The TypeScript type of integers that may be beyond 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BigIntegers {
    /// `number`. A comment warns that `JSON.parse` rounds it.
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

/// The error of [`TypeScript::module`](crate::TypeScript::module): some paths contain no integer that may be beyond
/// 2^53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBigIntegers {
    paths: Vec<String>,
}

impl NoBigIntegers {
    /// Returns these paths as they were passed to [`TypeScript::big_integers_of`](crate::TypeScript::big_integers_of).
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

impl fmt::Display for NoBigIntegers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.paths.iter().map(|path| format!("`{}`", path.escape_debug())).collect();
        write!(f, "there is no integer that may be beyond 2^53 at {}", paths.join(", "))
    }
}

impl std::error::Error for NoBigIntegers {}

/// The settings for large integers, and the current position of the writer.
#[derive(Clone, Debug, Default)]
pub(super) struct Integers {
    pub(super) all: BigIntegers,
    /// By path: the names of types, variants and fields, joined by dots.
    pub(super) of: BTreeMap<String, BigIntegers>,
    /// The paths of `of` that contain a large integer.
    used_paths: BTreeSet<String>,
    path: String,
    /// Whether a rounded integer was written since the last comment.
    rounded: bool,
    any_rounded: bool,
    any_exact: bool,
}

/// The state to restore at the end of an item: the length of the path, and whether a rounded integer has no comment
/// yet.
pub(super) struct Outer(usize, bool);

impl Integers {
    /// Begins a type, variant or field.
    pub(super) fn enter(&mut self, name: &str) -> Outer {
        let outer = Outer(self.path.len(), std::mem::take(&mut self.rounded));
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        outer
    }

    /// Ends an item that has a comment, and returns the warning for that comment.
    pub(super) fn leave(&mut self, Outer(length, rounded): Outer) -> &'static str {
        self.path.truncate(length);
        match std::mem::replace(&mut self.rounded, rounded) {
            true => WARNING,
            false => "",
        }
    }

    /// Ends an item without a comment. The warning goes into the comment of the enclosing item.
    pub(super) fn pass_on(&mut self, Outer(length, rounded): Outer) {
        self.path.truncate(length);
        self.rounded |= rounded;
    }

    /// Returns the type of integers in this range.
    pub(super) fn of_range(&mut self, min: i128, max: u128) -> &'static str {
        if max <= MAX_SAFE && (min >= 0 || min.unsigned_abs() <= MAX_SAFE) {
            return BigIntegers::Number.type_name();
        }
        let kind = self.setting().unwrap_or(self.all);
        let is_rounded = kind == BigIntegers::Number;
        self.rounded |= is_rounded;
        self.any_rounded |= is_rounded;
        self.any_exact |= !is_rounded;
        kind.type_name()
    }

    /// Returns the setting for the current position: the one with the longest path.
    fn setting(&mut self) -> Option<BigIntegers> {
        let mut setting = None;
        for (path, kind) in &self.of {
            let is_in = self
                .path
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            // The paths are sorted, so the longest one is last.
            if is_in {
                self.used_paths.insert(path.clone());
                setting = Some(*kind);
            }
        }
        setting
    }

    pub(super) fn check(&self) -> Result<(), NoBigIntegers> {
        let paths: Vec<_> = self.of.keys().filter(|path| !self.used_paths.contains(*path)).cloned().collect();
        if paths.is_empty() { Ok(()) } else { Err(NoBigIntegers { paths }) }
    }

    /// Returns the comments at the head of the module.
    pub(super) fn about(&self) -> String {
        let rounded =
            "// `JSON.parse` rounds integers beyond 2^53: comments mark the fields that may contain some.\n";
        let kept = "// `JSON.parse` returns a `number` for each number: for a `bigint` or `string`, use a parser such as json-bigint.\n";
        [(self.any_rounded, rounded), (self.any_exact, kept)]
            .iter()
            .filter_map(|(any, line)| any.then_some(*line))
            .collect()
    }
}
