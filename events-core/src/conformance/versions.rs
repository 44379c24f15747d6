//! Cases with versions of an event that a program does not know.

use std::fmt;
use std::sync::Arc;

use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::bus::builder::BusBuilder;
use crate::conformance::harness::Harness;
use crate::conformance::recorder::{Recorder, number, same};
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, numbered};
use crate::event::{DecodeError, Event, EventDecl, read_json};
use crate::record::Record;
use crate::schema::{Schema, TypeSchema};

cases! { "versions":
    a_newer_version_is_left_to_a_program_that_knows_it [Durable],
    a_newer_version_does_not_hold_up_others [Durable],
}

/// One event at version `V`, for programs of different age.
#[derive(Clone)]
struct Versioned<const V: u32>(Value);

impl<const V: u32> Serialize for Versioned<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const V: u32> Deserialize<'de> for Versioned<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

impl<const V: u32> fmt::Debug for Versioned<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Versioned<{V}>({})", self.0)
    }
}

impl<const V: u32> Schema for Versioned<V> {
    const TYPE: &'static TypeSchema = &TypeSchema::Any;
}

macro_rules! versions {
    ($($version:literal)+) => {
        $(
            impl Event for Versioned<$version> {
                const NAME: &'static str = "conformance.thing.versioned";
                const VERSION: u32 = $version;

                fn decl() -> &'static EventDecl {
                    static DECL: EventDecl = EventDecl::new::<Versioned<$version>>();
                    &DECL
                }

                fn decode_older(_: u32, json: &str) -> Result<Self, DecodeError> {
                    read_json(Self::NAME, Self::TYPE, json)
                }
            }
        )+
    };
}

versions!(1 2);

fn handled(builder: BusBuilder, recorder: &Arc<Recorder<u64>>) -> BusBuilder {
    let log = Arc::clone(recorder);
    let options = durable("work").ordered_by("key");
    builder.durable(options, "conformance.thing.versioned", move |record: &Record| log.note(number(record)))
}

/// Checks that events of a version that no running program knows are kept for a program that knows
/// their version, and that they count as lag.
async fn a_newer_version_is_left_to_a_program_that_knows_it<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (at_old, at_new) = (testbed.recorder(), testbed.recorder());
    let old = testbed.build(handled(testbed.builder().event::<Versioned<1>>(), &at_old)).await?;
    let emitter = testbed.build(testbed.builder().event::<Versioned<2>>()).await?;
    for n in 0..6 {
        let bus = if n % 2 == 0 { &emitter } else { &old };
        bus.emit_json("conformance.thing.versioned", numbered(n)).await?;
    }
    let status = testbed
        .until_status(&old, "work", "three events of a newer version", |status| {
            (status.lag, status.unclaimed) == (3, 3)
        })
        .await?;
    same(
        "events of the old program, waiting events and dead letters",
        (at_old.all(), status.waiting, status.dead),
        (vec![1, 3, 5], 0, 0),
    )?;
    old.stop().await?;
    let new = testbed.build(handled(testbed.builder().event::<Versioned<2>>(), &at_new)).await?;
    let status = testbed.until_done(&new, "work").await?;
    let mut came = at_new.all();
    came.sort_unstable();
    same(
        "events of the new program, and events of newer versions",
        (came, status.unclaimed),
        (vec![0, 2, 4], 0),
    )
}

/// Checks that each event is handled once, by a program that knows its version, while programs of both
/// versions run.
async fn a_newer_version_does_not_hold_up_others<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (at_old, at_new) = (testbed.recorder(), testbed.recorder());
    let old = testbed.build(handled(testbed.builder().event::<Versioned<1>>(), &at_old)).await?;
    let new = testbed.build(handled(testbed.builder().event::<Versioned<2>>(), &at_new)).await?;
    for n in 0..60 {
        let bus = if n % 2 == 0 { &new } else { &old };
        bus.emit_json("conformance.thing.versioned", numbered(n)).await?;
    }
    testbed.until_done(&new, "work").await?;
    let wrong: Vec<_> = at_old.all().into_iter().filter(|n| n % 2 == 0).collect();
    same("events of the new version in the old program", wrong, vec![])?;
    let all = [at_old.all(), at_new.all()].concat();
    crate::conformance::recorder::each_once("events in both programs", all, 60)
}
