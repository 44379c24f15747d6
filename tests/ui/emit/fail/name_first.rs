use typed_events::{Bus, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

async fn emit(bus: &Bus, event: UserCreated) {
    let _ = bus.emit("user.created", event).await;
}

fn handle(bus: &Bus) {
    bus.on("user.created", |_: &UserCreated| ());
    bus.once("user.created", |_: &UserCreated| ());
}

fn main() {}
