//! Variants that are never reached, since those before them take all that they take.

use std::sync::Arc;

use typed_events::{EventSet, Record, event};

#[event("user.created")]
pub struct UserCreated {
    id: u64,
}

#[event("user.deleted")]
pub struct UserDeleted {}

#[event(view_of = UserCreated)]
pub struct OnlyId {
    id: u64,
}

#[derive(EventSet)]
pub enum CatchAllFirst<'a> {
    Other(&'a Record),
    Created(&'a UserCreated),
}

#[derive(EventSet)]
pub enum TwoOfOneEvent<'a> {
    Created(&'a UserCreated),
    Deleted(&'a UserDeleted),
    Shared(Arc<UserCreated>),
}

#[derive(EventSet)]
pub enum TwoCatchAlls<'a> {
    Created(&'a UserCreated),
    Other(&'a Record),
    Rest(&'a Record),
}

#[derive(EventSet)]
pub enum ViewOfTheSame<'a> {
    Created(&'a UserCreated),
    Id(&'a OnlyId),
}

#[derive(EventSet)]
pub enum User<'event> {
    Created(&'event UserCreated),
    Deleted(&'event UserDeleted),
}

#[derive(EventSet)]
pub enum SetAfterItsParts<'a> {
    Deleted(UserDeleted),
    Created(&'a UserCreated),
    Users(User<'a>),
}

#[derive(EventSet)]
pub enum SetAfterAll<'a> {
    Other(&'a Record),
    Users(User<'a>),
}

fn main() {}
