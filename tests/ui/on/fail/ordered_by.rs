use std::collections::{BTreeMap, HashSet};
use typed_events::{EventSet, event, on, payload};

#[payload]
pub enum Kind {
    Small,
    Large { kilos: u32 },
}

#[payload]
pub struct Weight(f64);

#[payload]
pub struct Address {
    pub city: String,
}

#[event("parcel.sent")]
pub struct ParcelSent {
    pub id: u64,
    pub price: Option<f32>,
    pub weight: Weight,
    pub labels: BTreeMap<String, String>,
    pub tags: HashSet<String>,
    pub kind: Kind,
    pub to: Address,
    pub pair: (u8, f64),
    pub nothing: (),
    #[event(opaque)]
    pub any: serde_json::Value,
}

#[on(durable = "a", ordered_by = "price")]
fn float(_: &ParcelSent) {}

#[on(durable = "b", ordered_by = "weight")]
fn newtype(_: &ParcelSent) {}

#[on(durable = "c", ordered_by = "labels")]
fn map(_: &ParcelSent) {}

#[on(durable = "d", ordered_by = "tags")]
fn set(_: &ParcelSent) {}

#[on(durable = "e", ordered_by = "kind")]
fn with_data(_: &ParcelSent) {}

#[on(durable = "f", ordered_by = "to")]
fn nested(_: &ParcelSent) {}

#[on(durable = "g", ordered_by = "pair")]
fn tuple(_: &ParcelSent) {}

#[on(durable = "h", ordered_by = "nothing")]
fn unit(_: &ParcelSent) {}

#[on(durable = "i", ordered_by = "any")]
fn opaque(_: &ParcelSent) {}

#[derive(EventSet)]
enum Parcels<'a> {
    Sent(&'a ParcelSent),
}

#[on("parcel.*", durable = "j", ordered_by = "price")]
fn member(_: Parcels<'_>) {}

#[on(durable = "k", nulls = "together")]
fn no_order(_: &ParcelSent) {}

#[on(durable = "l", ordered_by = "id", nulls = "first")]
fn no_such(_: &ParcelSent) {}

fn main() {}
