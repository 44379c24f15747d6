//! Views that are wrong as a whole.

use typed_events::{event, on};

#[event("user.created")]
struct UserCreated {
    id: u64,
}

struct Plain;

#[event(view_of = UserCreated)]
struct OfTuple(u64, u64);

#[event(view_of = Plain)]
struct OfPlain {
    id: u64,
}

#[event(view_of = "user.created")]
struct OfName {
    id: u64,
}

#[event(view_of = UserCreated, version = 2)]
struct Versioned {
    id: u64,
}

#[event(view_of = UserCreated)]
struct Generic<T> {
    id: T,
}

#[event(view_of = UserCreated)]
struct Good {
    id: u64,
}

#[on("user.deleted")]
fn other(_: &Good) {}

fn main() {}
