use std::rc::Rc;
use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

#[on]
async fn welcome(_: &UserCreated) {
    let name = Rc::new("alice");
    tokio::task::yield_now().await;
    println!("{name}");
}

fn main() {}
