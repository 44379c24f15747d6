//! A first look at typed-events: `cargo run --example quickstart`.

use typed_events::{Bus, Record, event, on};

// An event is a struct with a name. `#[event]` derives Debug, Clone and serde's traits.
#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
    pub email: String,
}

#[event("user.deleted")]
pub struct UserDeleted {
    pub id: u64,
}

// State that handlers use. Tests can pass another value.
pub struct Mailer {
    from: &'static str,
}

// The first argument of a handler is the event it handles. Further arguments are state.
#[on]
async fn welcome(user: &UserCreated, mailer: &Mailer) -> Result<(), String> {
    if !user.email.contains('@') {
        return Err(format!("can't mail to user {}", user.id));
    }
    tokio::task::yield_now().await; // a handler may await; `emit` waits for it
    println!("  welcome: mail from {} to {}", mailer.from, user.email);
    Ok(())
}

// A pattern matches many events, and `&Record` can hold any event.
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
        .await?; // reports a missing state, with the file and line of the handler

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
