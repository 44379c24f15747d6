use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

#[on]
#[on("user.created")]
fn welcome(_: &UserCreated) {}

#[on("user.created")]
#[typed_events::on]
async fn later(_: &UserCreated) {}

fn main() {}
