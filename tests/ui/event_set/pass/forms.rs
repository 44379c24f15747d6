//! Event sets in all their forms.

#![deny(warnings)]

use std::sync::Arc;

use typed_events::{EventSet, Record, event, on};

#[event("user.created")]
pub struct UserCreated {}

#[event("user.deleted")]
pub struct UserDeleted {}

type Gone = UserDeleted;

#[derive(Debug, EventSet)]
pub enum UserEvent<'event> {
    Created(&'event UserCreated),
    Deleted(&'event Gone),
}

/// Sets of sets, shared events, copies, and all others.
#[derive(Debug, EventSet)]
pub enum Anything<'a> {
    User(UserEvent<'a>),
    Created(Arc<UserCreated>),
    Deleted(UserDeleted),
    Other(&'a Record),
}

#[on("user.*")]
fn borrowed(event: UserEvent<'_>) {
    match event {
        UserEvent::Created(UserCreated {}) | UserEvent::Deleted(UserDeleted {}) => {}
    }
}

#[on("user.created", "*.deleted")]
async fn all(event: Anything<'_>, record: &Record) {
    println!("{event:?} {record}");
}

#[derive(EventSet)]
#[event_set(crate = ::typed_events)]
enum One {
    Created(Arc<UserCreated>),
}

#[on("+.created")]
fn one(set: One) -> Result<(), String> {
    let One::Created(_) = set;
    Ok(())
}

fn main() {}
