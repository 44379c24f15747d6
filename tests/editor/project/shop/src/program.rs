//! A bus with handlers of three crates.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use typed_events::{Bus, Error, Event};

use crate::audit;
use crate::events::{CartEmptied, Money, OrderPaid, UserCreated};
use crate::handlers::{Mailer, Store, greet, orders, owned};

struct Shelf;

impl Store for Shelf {
    fn keep(&self, order: u64) -> bool {
        order > 0
    }
}

pub async fn run() -> Result<(), Error> {
    let mailer = Mailer { sent: AtomicU64::new(0) };
    let bus = Bus::builder()
        .state(mailer)
        .shared::<dyn Store>(Arc::new(Shelf))
        .handler::<greet>()
        .handler::<owned>()
        .handler::<orders>()
        .handler::<audit::record>()
        .handler::<hands::welcome>()
        .handler::<vault::keep>()
        .build()
        .await?;
    let total = Money { cents: 100, code: "EUR".to_owned() };
    let emitted = bus.emit(OrderPaid { order: 1, total }).await?;
    println!("{} {:?}", OrderPaid::NAME, emitted);
    let _subscription = bus.on(|user: &UserCreated| println!("{}", user.email));
    bus.emit(CartEmptied).await?;
    hands::welcome(&hands::GuestArrived { name: "Ada".to_owned() });
    bus.stop().await
}
