//! Handlers of every kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use typed_events::{Bus, Delivery, Metadata, Record, on};

use crate::events::{
    CartEmptied, OrderCreate, OrderFailed, OrderPaid, Orders, Paid, Recipient, SessionOpened, UserCreated,
    UserRelocated,
};

/// Sends mails.
pub struct Mailer {
    pub sent: AtomicU64,
}

impl Mailer {
    pub async fn send(&self, to: &str) -> Result<(), String> {
        match to.contains('@') {
            true => self.sent.fetch_add(1, Ordering::Relaxed),
            false => return Err(format!("{to} is no address")),
        };
        Ok(())
    }
}

pub trait Store: Send + Sync {
    fn keep(&self, order: u64) -> bool;
}

/// Greets a user who is new.
///
/// By mail.
#[on]
pub async fn greet(user: &UserCreated, mailer: &Mailer) -> Result<(), String> {
    mailer.send(&user.email).await
}

#[on]
pub fn owned(user: UserCreated) {
    drop(user.nick);
}

#[on]
pub fn shared(session: Arc<SessionOpened>, mailer: &Mailer, sent: &AtomicU64) {
    let SessionOpened(id, _) = &*session;
    sent.store(*id + mailer.sent.load(Ordering::Relaxed), Ordering::Relaxed);
}

#[on("order.*", "cart.*")]
fn watch(record: &Record) {
    println!("{record}");
}

#[on]
pub async fn relocate(moved: UserRelocated, bus: &Bus, metadata: &Metadata, delivery: &Delivery) {
    let _ = (metadata, delivery);
    if moved.to.is_empty() {
        let _ = bus.emit(CartEmptied).await;
    }
}

#[on("order.*")]
pub fn orders(orders: Orders<'_>, store: &dyn Store) -> Result<(), String> {
    match orders {
        Orders::Created(OrderCreate::Online { cart, total }) if total.cents > 0 => {
            store.keep(*cart);
            Ok(())
        }
        Orders::Created(_) => Ok(()),
        Orders::Paid(paid) => match store.keep(paid.order) {
            true => Ok(()),
            false => Err("full".to_owned()),
        },
        Orders::Other(record) => Err(record.name().to_owned()),
    }
}

#[on("order.paid", "session.opened")]
pub(crate) fn paid(event: Paid) {
    if let Paid::Order(order) = event {
        drop(order);
    }
}

#[on(durable = "send-mail", retries = 3, backoff = "1s..5m", timeout = "30s", ordered_by = "id")]
pub async fn remind(user: &UserCreated, mailer: &Mailer) -> Result<(), String> {
    let UserCreated { email, .. } = user;
    mailer.send(email).await
}

#[on]
pub fn address(recipient: &Recipient) -> Result<(), std::fmt::Error> {
    match recipient.nick.as_deref() {
        Some(nick) if !nick.is_empty() => Ok(()),
        _ => Err(std::fmt::Error),
    }
}

#[on]
fn forward(recipient: Recipient) {
    let Recipient { email, nick } = recipient;
    drop((email, nick));
}

#[on]
fn failed<'a>(failure: &'a OrderFailed, paid: &std::sync::Mutex<Vec<OrderPaid>>) {
    let mut paid = paid.lock().unwrap_or_else(|error| error.into_inner());
    paid.retain(|paid| paid.order != failure.order);
}
