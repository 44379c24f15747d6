use typed_events::{Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[on("user.*")]
fn one_of_many(_: &UserCreated) {}

#[on("user.created", "*")]
fn also_all(_: &UserCreated) {}

#[on]
fn which(_: &Record) {}

fn main() {}
