//! The first minute with typed-events: `cargo run --example quickstart`.

use typed_events::{Bus, Record, event, on};

// An event is a struct with a name. Debug, Clone and serde come with it.
#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
    pub email: String,
}

#[event("user.deleted")]
pub struct UserDeleted {
    pub id: u64,
}

// State that handlers use. Tests can give another one.
pub struct Mailer {
    from: &'static str,
}

// A handler says by its first argument which event it takes; what follows is state.
#[on]
async fn welcome(user: &UserCreated, mailer: &Mailer) -> Result<(), String> {
    if !user.email.contains('@') {
        return Err(format!("can't mail to user {}", user.id));
    }
    tokio::task::yield_now().await; // it may wait: `emit` waits for it
    println!("  welcome: mail from {} to {}", mailer.from, user.email);
    Ok(())
}

// A pattern takes many events; `&Record` is any of them.
#[on("user.*")]
fn audit(record: &Record) {
    println!("  audit:   {} {}", record.name(), record.json().unwrap_or("?"));
}

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    let bus = Bus::builder()
        .state(Mailer { from: "hello@example.com" })
        .discover() // every `#[on]` in the program
        .build()
        .await?; // a missing state would be an error here, with its file and line

    println!("alice signs up");
    bus.emit(UserCreated { id: 1, email: "alice@example.com".into() }).await?;

    println!("bob signs up with a bad address: his welcome fails, the audit still runs");
    let emitted = bus.emit(UserCreated { id: 2, email: "bob".into() }).await?;
    for failure in emitted.failures() {
        println!("  failed:  {failure}");
    }

    println!("bob leaves");
    bus.emit(UserDeleted { id: 2 }).await?;

    println!("the history of user.*:");
    for record in bus.history("user.*").await? {
        println!("  {record}");
    }
    bus.stop().await
}
