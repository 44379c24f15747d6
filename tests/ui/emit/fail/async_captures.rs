use std::sync::Arc;
use typed_events::{Bus, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

fn captures(bus: &Bus, mailer: String) {
    bus.on(async move |user: Arc<UserCreated>| {
        let _ = (user.id, &mailer);
    });
}

fn main() {}
