//! Handlers that are still to be written.

use std::sync::Arc;
use typed_events::{Bus, Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[on]
fn function(_: &UserCreated) {
    todo!()
}

#[on]
async fn later(_: &UserCreated) -> Result<(), String> {
    todo!()
}

fn closures(bus: &Bus) {
    bus.on(|_: &UserCreated| todo!());
    bus.on(|_: UserCreated| unimplemented!("later"));
    bus.once(|_: &UserCreated| -> ! { loop {} });
    bus.on(async |_: Arc<UserCreated>| todo!());
    bus.on(|_: Arc<UserCreated>| async { todo!() });
    let _ = bus.pattern("*").on(|_: &Record| todo!());
}

fn main() {}
