//! Derives above that `#[event]` does not add, and text that only looks like one.

use typed_events::{event, payload};

#[derive(PartialEq)]
#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

#[derive(Debug)]
#[event("user.updated", without(Debug))]
pub struct UserUpdated {
    pub id: u64,
}

#[derive(Debug, serde::Serialize)]
#[event(view_of = UserUpdated, without(Debug))]
pub struct View {
    pub id: u64,
}

// #[derive(Debug)]
#[payload]
pub struct Money {
    pub cents: i64,
}

#[event("user.kept")]
#[cfg_attr(all(), derive(Debug))]
pub struct UserKept {
    #[serde(skip)]
    pub name: &'static str,
    pub cell: Cell<u8>,
}

/// Not that of std.
#[payload]
pub struct Cell<T> {
    pub row: T,
}

fn main() {
    let _ = UserCreated { id: 1 } == UserCreated { id: 2 };
}
