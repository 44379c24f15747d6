//! Structs, tuples, units and enums; serde's attributes; derives of the user.

use std::collections::HashMap;
use typed_events::{Event, event};

#[event("form.named")]
#[derive(PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    pub user_id: u64,
    #[serde(default)]
    pub tags: Vec<String>,
    pub more: HashMap<String, Option<f64>>,
    #[cfg(any())]
    pub gone: NoSuchType,
}

#[event("form.tuple")]
pub struct Tuple(pub u8, pub (bool, char));

#[event("form.unit")]
struct Unit;

#[event("form.choice")]
pub enum Choice {
    One,
    Two(u8),
    Three { to: String },
}

#[event("form.own-derives")]
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct OwnDerives {
    pub id: u64,
}

#[event("form.half_own")]
#[derive(serde::Serialize)]
pub struct HalfOwn {
    pub id: u64,
}

#[event("form.quiet", without(Debug))]
pub struct Quiet {
    pub token: String,
}

impl std::fmt::Debug for Quiet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quiet")
    }
}

pub struct Foreign;

mod foreign {
    pub fn serialize<S: serde::Serializer>(_: &super::Foreign, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_unit()
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<super::Foreign, D::Error> {
        <() as serde::Deserialize>::deserialize(d).map(|()| super::Foreign)
    }
}

impl Clone for Foreign {
    fn clone(&self) -> Self {
        Self
    }
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Foreign")
    }
}

#[event("form.opaque")]
pub struct Opaque {
    #[event(opaque)]
    #[serde(with = "foreign")]
    pub foreign: Foreign,
}

#[event("form.recursive")]
pub struct Recursive {
    pub children: Vec<Recursive>,
}

mod elsewhere {
    pub mod events {
        pub use ::typed_events::*;
    }
    #[::typed_events::event("form.moved", crate = crate::elsewhere::events)]
    pub struct Moved {
        pub id: u64,
    }
}

fn main() {
    assert_eq!(Named::NAME, "form.named");
    assert_eq!(Named::VERSION, 1);
    assert_eq!(elsewhere::Moved::NAME, "form.moved");
    let _ = (Unit, Unit::SCHEMA);
    let quiet = Quiet { token: "hidden".into() };
    assert_eq!(format!("{:?}", quiet.clone()), "Quiet");
}
