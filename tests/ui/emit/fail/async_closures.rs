use typed_events::{Bus, Record, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

fn closure(bus: &Bus) {
    bus.on(async |user: &UserCreated| print!("{}", user.id));
}

fn block(bus: &Bus) {
    bus.on(|user: &UserCreated| async move { print!("{}", user.id) });
}

fn record(bus: &Bus) {
    let _ = bus.on_pattern("*", async |record: &Record| drop(record.to_string()));
}

fn main() {}
