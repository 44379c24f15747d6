//! Types that events are made of, without serde in sight.

use typed_events::{Event, event, payload};

#[payload]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub item_id: u64,
    pub price: Money,
    #[event(opaque)]
    pub anything: Vec<u8>,
}

#[payload(without(Debug))]
#[derive(PartialEq)]
pub struct Money(pub i64, pub Currency);

impl std::fmt::Debug for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[payload]
#[derive(PartialEq, Copy, Clone)]
pub enum Currency {
    Euro,
    Other { code: [char; 3] },
}

#[payload]
pub struct Page<T> {
    pub items: Vec<T>,
}

#[event("order.placed")]
pub struct OrderPlaced {
    pub items: Vec<Item>,
    pub page: Page<u8>,
}

fn main() {
    assert_eq!(OrderPlaced::NAME, "order.placed");
    assert!(Money(1, Currency::Euro) == Money(1, Currency::Euro));
}
