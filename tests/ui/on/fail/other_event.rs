use std::sync::Arc;
use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

#[event("user.updated")]
pub struct UserUpdated;

#[on("user.created")]
fn welcome(_: &UserUpdated) {}

#[on("user.created", "user.deleted")]
fn shared(_: Arc<UserCreated>) {}

#[on("user.created")]
async fn by_value(_: UserUpdated) {}

fn main() {}
