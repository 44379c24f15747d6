use std::sync::Arc;
use typed_events::{Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[on("user.*")]
fn shared(_: Arc<Record>) {}

#[on("user.*")]
fn owned(_: Record) {}

#[on]
fn boxed(_: Box<UserCreated>) {}

#[on]
fn maybe(_: Option<UserCreated>) {}

#[on("user.created")]
fn text(_: &str) {}

fn main() {}
