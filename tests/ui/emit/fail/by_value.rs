use std::sync::Arc;
use typed_events::{Bus, Record, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

#[event(view_of = UserCreated)]
pub struct View {
    pub id: u64,
}

async fn emit(bus: &Bus, event: UserCreated, view: View, shared: Arc<UserCreated>, record: Arc<Record>) {
    let _ = bus.emit(&event).await;
    let _ = bus.emit(view).await;
    let _ = bus.emit(shared).await;
    let _ = bus.emit(Box::new(event)).await;
    let _ = bus.emit(record).await;
    let _ = bus.emit(serde_json::json!({ "id": 7 })).await;
}

fn handle(bus: &Bus) {
    bus.on(|_: &View| ());
    bus.on(|_: Arc<Record>| ());
    let _ = bus.pattern("user.*").on(|_: Arc<Record>| ());
}

fn main() {}
