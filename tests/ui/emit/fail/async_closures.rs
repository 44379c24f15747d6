use typed_events::{Bus, Record, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

fn closure(bus: &Bus) {
    bus.on(async |user: &UserCreated| drop(user.id.to_string()));
}

fn block(bus: &Bus) {
    bus.on(|user: &UserCreated| async move { drop(user.id.to_string()) });
}

fn record(bus: &Bus) {
    let _ = bus.pattern("*").on(async |record: &Record| drop(record.to_string()));
}

fn main() {}
