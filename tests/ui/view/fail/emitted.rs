//! A view is received, not emitted.

use typed_events::{Bus, event};

#[event("user.created")]
struct UserCreated {
    id: u64,
}

#[event(view_of = UserCreated)]
struct Seen {
    id: u64,
}

async fn emitted(bus: &Bus) {
    let _ = bus.emit(Seen { id: 1 }).await;
}

fn main() {}
