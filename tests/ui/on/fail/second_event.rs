use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

#[event("user.updated")]
pub struct UserUpdated;

pub struct Mailer;

#[on]
fn two(_: &UserCreated, _: &UserUpdated) {}

#[on("user.created")]
async fn behind_state(_: &UserCreated, _: &Mailer, _: &UserUpdated) {}

fn main() {}
