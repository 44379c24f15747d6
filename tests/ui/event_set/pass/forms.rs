//! Event sets in all their forms.

#![deny(warnings)]

use std::sync::Arc;

use typed_events::{EventSet, Record, event, on};

#[event("user.created")]
pub struct UserCreated {}

#[event("user.deleted")]
pub struct UserDeleted {}

#[event("team.deleted")]
pub struct TeamDeleted {}

#[event("plan.deleted")]
pub struct PlanDeleted {}

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
    Team(Arc<TeamDeleted>),
    Plan(PlanDeleted),
    Other(&'a Record),
}

/// One event of a set, before the set.
#[derive(Debug, EventSet)]
pub enum OneFirst<'a> {
    Created(Arc<UserCreated>),
    User(UserEvent<'a>),
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

#[on("user.*")]
fn one_first(event: OneFirst<'_>) {
    println!("{event:?}");
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
