use typed_events::{Bus, Record, event};

#[event("user.created")]
pub struct UserCreated;

fn run(bus: &Bus) {
    bus.on(|_: &Record| ());
    bus.on(|_: &UserCreated| 7);
    bus.on(|| ());
    bus.on(|_: &UserCreated, _: &str| ());
}

fn main() {}
