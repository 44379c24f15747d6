//! Testing handlers: `cargo test --example testing` (or `cargo run --example testing` to run the program itself).
//!
//! A handler is a function, so a test can call it. To test how handlers work together, build a bus with some of them,
//! and with test doubles for their state.

use std::sync::Arc;

use typed_events::{Bus, event, on};

#[event("user.created")]
pub struct UserCreated {
    pub email: String,
}

#[event("mail.sent")]
pub struct MailSent {
    pub to: String,
}

/// Sends mail. Tests have their own implementation.
pub trait Mailer: Send + Sync {
    fn send(&self, to: &str) -> Result<(), String>;
}

pub struct Smtp;

impl Mailer for Smtp {
    fn send(&self, to: &str) -> Result<(), String> {
        println!("mail to {to}");
        Ok(())
    }
}

#[on]
pub async fn welcome(user: &UserCreated, mailer: &dyn Mailer, bus: &Bus) -> Result<(), String> {
    mailer.send(&user.email)?;
    bus.emit(MailSent { to: user.email.clone() }).await.map_err(|error| error.to_string())?;
    Ok(())
}

/// A handler that the test leaves out.
#[on]
pub async fn call_the_sales_team(_: &UserCreated) {
    println!("ring, ring");
}

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    let mailer: Arc<dyn Mailer> = Arc::new(Smtp);
    let bus = Bus::builder().shared(mailer).discover().build().await?;
    bus.emit(UserCreated { email: "alice@example.com".into() }).await?;
    bus.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test double that rejects one address.
    struct Picky;

    impl Mailer for Picky {
        fn send(&self, to: &str) -> Result<(), String> {
            if to == "nobody" { Err("no such mailbox".into()) } else { Ok(()) }
        }
    }

    /// Returns a bus with one handler and a test double for its state.
    async fn bus() -> Bus {
        let mailer: Arc<dyn Mailer> = Arc::new(Picky);
        Bus::builder().handler::<welcome>().shared(mailer).quiet().build().await.unwrap()
    }

    #[tokio::test]
    async fn a_new_user_gets_a_mail() {
        let bus = bus().await;
        let emitted = bus.emit(UserCreated { email: "alice".into() }).await.unwrap();
        // The emit resolves when all handlers have finished, so the test need not sleep or poll.
        assert!(emitted.failures().is_empty());
        let sent = bus.history("mail.*").of::<MailSent>().await.unwrap();
        assert_eq!(sent[0].to, "alice");
    }

    #[tokio::test]
    async fn a_bad_address_is_a_failure_and_sends_nothing() {
        let bus = bus().await;
        let emitted = bus.emit(UserCreated { email: "nobody".into() }).await.unwrap();
        assert_eq!(emitted.failures()[0].message(), "no such mailbox");
        assert!(bus.history("mail.*").await.unwrap().is_empty());
    }
}
