//! Everything a closure may be.

use std::sync::Arc;
use typed_events::{Bus, Record, event};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

async fn run(bus: &Bus) -> Result<(), typed_events::Error> {
    bus.on(|_: &UserCreated| ());
    bus.on(|_: UserCreated| ());
    bus.on(|_: Arc<UserCreated>| ());
    bus.on(|_: &UserCreated| Err::<(), _>("no"));
    bus.on(|user: Arc<UserCreated>| async move { drop(user) });
    bus.on(|user: Arc<UserCreated>| async move {
        if user.id == 0 { Err("no id") } else { Ok(()) }
    });
    bus.on(|user: &UserCreated| {
        let id = user.id;
        async move { println!("{id}") }
    });
    bus.pattern("user.*").on(|_: &Record| ())?;
    bus.pattern("user.*").on(|record: &Record| {
        let record = record.clone();
        async move { println!("{record}") }
    })?;
    bus.pattern("user.created").once(|_: &UserCreated| ())?;
    bus.pattern("user.*").replay(10).on(|_: &Record| async {}).await?;
    bus.once(|_: &UserCreated| ());
    bus.replay(10).on(|_: &UserCreated| ()).await?;
    fn named(_: &UserCreated) {}
    bus.on(named);
    Ok(())
}

fn main() {
    let _ = run;
}
