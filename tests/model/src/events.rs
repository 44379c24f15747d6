//! The events of all programs, and an independent matcher.

use typed_events::{Event, event};

#[event("model.a")]
pub(crate) struct A {
    serial: u64,
}

#[event("model.b")]
pub(crate) struct B {
    serial: u64,
}

#[event("model.deep.c")]
pub(crate) struct C {
    serial: u64,
}

/// An event that contains the number of its emit.
pub(crate) trait Numbered: Event {
    fn of(serial: u64) -> Self;
    fn serial(&self) -> u64;
}

macro_rules! numbered {
    ($($event:ident)+) => {
        $(impl Numbered for $event {
            fn of(serial: u64) -> Self {
                Self { serial }
            }

            fn serial(&self) -> u64 {
                self.serial
            }
        })+
    };
}

numbered!(A B C);

/// The kinds of events that are emitted: three declared events and two undeclared names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    A,
    B,
    C,
    X,
    Y,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "model.a",
            Self::B => "model.b",
            Self::C => "model.deep.c",
            Self::X => "ghost.x",
            Self::Y => "ghost.deep.y",
        }
    }

    pub(crate) fn is_declared(self) -> bool {
        self <= Self::C
    }
}

/// The index of a pattern in [`PATTERNS`].
pub(crate) type Pat = usize;

pub(crate) const PATTERNS: [&str; 13] = [
    "model.a",
    "model.b",
    "model.deep.c",
    "ghost.x",
    "ghost.deep.y",
    "*",
    "model.*",
    "model.+",
    "*.c",
    "ghost.*",
    "+.a",
    "+.deep.+",
    "*.deep.*",
];

/// Matches a pattern naively: `*` takes one or more segments, `+` exactly one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((&"*", after)), Some((_, left))) => rest(after, left) || rest(pattern, left),
            (Some((&"+", after)), Some((_, left))) => rest(after, left),
            (Some((segment, after)), Some((first, left))) => segment == first && rest(after, left),
            _ => false,
        }
    }
    rest(&pattern.split('.').collect::<Vec<_>>(), &name.split('.').collect::<Vec<_>>())
}

/// Returns the number of the emit that a payload contains.
pub(crate) fn serial_of(json: &str) -> u64 {
    let digits: String = json.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("every payload has a serial")
}
