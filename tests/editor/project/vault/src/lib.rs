//! Events and handlers under the lock.

use typed_events::locked::{event, on};
use typed_events::{Bus, Error, EventSet, Upcast, schema_lock};

#[event("coin.stored", version = 2, previous = CoinStoredV1, compatibility = backward, reserved("weight"))]
pub struct CoinStored {
    pub id: u64,
    pub value: u32,
}

#[event("coin.stored", version = 1, superseded)]
pub struct CoinStoredV1 {
    pub id: u64,
}

impl Upcast<CoinStoredV1> for CoinStored {
    fn upcast(old: CoinStoredV1) -> Self {
        Self { id: old.id, value: 1 }
    }
}

#[event("coin.taken")]
pub struct CoinTaken {
    pub id: u64,
    pub by: Option<String>,
}

/// What a count needs.
#[event(view_of = "coin.stored")]
pub struct Value {
    pub value: u32,
}

#[derive(EventSet)]
pub enum Coins<'a> {
    Stored(&'a CoinStored),
    Taken(&'a CoinTaken),
}

/// Keeps a coin.
#[on]
pub fn keep(coin: &CoinStored) {
    assert!(coin.id > 0);
}

#[on("coin.*")]
pub fn count(coins: Coins<'_>) {
    match coins {
        Coins::Stored(coin) => assert!(coin.value > 0),
        Coins::Taken(coin) => drop(coin.by.clone()),
    }
}

#[on]
pub fn sum(value: &Value) {
    assert!(value.value > 0);
}

pub async fn open() -> Result<Bus, Error> {
    Bus::builder().schema_lock(schema_lock!()).build().await
}
