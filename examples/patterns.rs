//! Patterns, and the events that they match: `cargo run --example patterns`.
//!
//! In a pattern, `*` stands for one or more segments of a name and `+` for exactly one.

use typed_events::{Bus, Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[event("user.profile.updated")]
pub struct ProfileUpdated;

#[event("payment.failed")]
pub struct PaymentFailed;

#[event("auth.login.failed")]
pub struct LoginFailed;

/// The handlers that were called since the last print.
#[derive(Default)]
pub struct Seen(std::sync::Mutex<Vec<&'static str>>);

impl Seen {
    fn by(&self, handler: &'static str) {
        self.0.lock().unwrap().push(handler);
    }
}

#[on("*")]
fn everything(_: &Record, seen: &Seen) {
    seen.by("*");
}

#[on("user.*")] // user.created, user.profile.updated; not user alone
fn all_of_user(_: &Record, seen: &Seen) {
    seen.by("user.*");
}

#[on("user.+")] // exactly one more segment: user.created
fn directly_below_user(_: &Record, seen: &Seen) {
    seen.by("user.+");
}

#[on("*.failed")] // payment.failed, auth.login.failed
fn failures(_: &Record, seen: &Seen) {
    seen.by("*.failed");
}

#[on("payment.*", "auth.+.failed")] // several patterns; each event is handled once
fn worth_an_alarm(_: &Record, seen: &Seen) {
    seen.by("payment.* or auth.+.failed");
}

#[on] // no pattern: the event's own name
fn only_created(_: &UserCreated, seen: &Seen) {
    seen.by("user.created");
}

// Mistakes that the compiler reports at this attribute:
//
// #[on("us*r")]           `us*r` is not a pattern: a wildcard must be a whole segment, as in `user.*` (position 3)
// #[on("user.deleted")]   handler `only_created` is on `user.deleted`, but `&UserCreated` is the event `user.created`

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    let seen = std::sync::Arc::new(Seen::default());
    let bus = Bus::builder().shared(seen.clone()).discover().build().await?;

    let print = |name: &str| {
        println!("{name:22} -> {}", seen.0.lock().unwrap().drain(..).collect::<Vec<_>>().join(", "))
    };

    bus.emit(UserCreated).await?;
    print("user.created");
    bus.emit(ProfileUpdated).await?;
    print("user.profile.updated");
    bus.emit(PaymentFailed).await?;
    print("payment.failed");
    bus.emit(LoginFailed).await?;
    print("auth.login.failed");

    bus.stop().await
}
