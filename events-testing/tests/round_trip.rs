//! Events that are read back as another value fail the test that emits them.

#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use typed_events::testing::{TestBus, assert_round_trip};
use typed_events::{Schema, event};

#[event("round_trip.kept")]
pub struct Kept {
    pub id: u64,
    pub price: f64,
    pub names: HashSet<String>,
    pub by_name: HashMap<String, Vec<u8>>,
    #[event(secret)]
    pub code: String,
}

fn kept() -> Kept {
    let names = (0..20).map(|n| n.to_string()).collect();
    let by_name = (0..20).map(|n| (n.to_string(), vec![n])).collect();
    Kept { id: 1, price: -0.0, names, by_name, code: "1234".into() }
}

/// Writes a number as a text, which the type does not read.
fn as_text<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[event("round_trip.broken")]
pub struct Broken {
    #[event(opaque)]
    #[serde(serialize_with = "as_text")]
    pub count: u32,
}

/// Writes another number than it has.
fn rounded<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(number / 10)
}

#[event("round_trip.changed")]
pub struct Changed {
    #[event(opaque)]
    #[serde(serialize_with = "rounded")]
    pub count: u32,
}

#[event("round_trip.skipped")]
pub struct Skipped {
    pub id: u64,
    #[serde(skip)]
    pub cached: u32,
}

/// Reverses its lists when it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Schema)]
pub struct Backwards {
    list: Vec<u8>,
    pair: (u8, u8),
    set: HashSet<u8>,
    heap: Vec<Vec<HashSet<u8>>>,
}

impl<'de> Deserialize<'de> for Backwards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Plain {
            list: Vec<u8>,
            pair: (u8, u8),
            set: HashSet<u8>,
            heap: Vec<Vec<HashSet<u8>>>,
        }
        let Plain { mut list, pair: (one, other), set, mut heap } = Plain::deserialize(deserializer)?;
        list.reverse();
        heap.iter_mut().for_each(|inner| inner.reverse());
        Ok(Self { list, pair: (other, one), set, heap })
    }
}

fn backwards() -> Backwards {
    Backwards { list: vec![1], pair: (1, 1), set: HashSet::new(), heap: Vec::new() }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
#[serde(untagged)]
pub enum Any {
    Flag(bool),
    Set(HashSet<u8>),
    Backwards(Backwards),
}

/// A set that is written and read as a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Converted(HashSet<u8>);

impl From<Vec<u8>> for Converted {
    fn from(list: Vec<u8>) -> Self {
        Self(list.into_iter().collect())
    }
}

impl From<Converted> for Vec<u8> {
    fn from(set: Converted) -> Self {
        set.0.into_iter().collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
#[serde(tag = "kind")]
pub enum Kind {
    Backwards { inner: Backwards },
    Set { inner: HashSet<u8> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
pub enum Variant {
    Set(HashSet<u8>),
    Backwards(Backwards),
}

#[event("round_trip.ordered")]
#[derive(PartialEq)]
pub struct Ordered {
    pub first: Option<Backwards>,
    #[serde(flatten)]
    pub flat: BTreeMap<String, Vec<Any>>,
    #[event(opaque)]
    pub opaque: HashSet<u8>,
    pub converted: Converted,
    pub kind: Kind,
    pub variant: Variant,
}

fn ordered() -> Ordered {
    Ordered {
        first: None,
        flat: BTreeMap::new(),
        opaque: (0..50).collect(),
        converted: Converted((0..50).collect()),
        kind: Kind::Set { inner: (0..50).collect() },
        variant: Variant::Set((0..50).collect()),
    }
}

#[test]
fn m10_lists_and_tuples_come_back_in_their_order() {
    let sets = || Backwards { set: (0..50).collect(), heap: vec![vec![(0..50).collect()]], ..backwards() };
    let flat = |any: Any| BTreeMap::from([("flat".to_owned(), vec![Any::Flag(true), any])]);
    assert_round_trip(&Ordered {
        first: Some(sets()),
        flat: flat(Any::Set((0..50).collect())),
        kind: Kind::Backwards { inner: sets() },
        variant: Variant::Backwards(sets()),
        ..ordered()
    });
    let list = || Backwards { list: vec![1, 2, 3], ..backwards() };
    let pair = || Backwards { pair: (1, 2), ..backwards() };
    let heap = Backwards { heap: vec![vec![[1].into(), [2].into()]], ..backwards() };
    let cases = [
        (".first.list[0]", Ordered { first: Some(list()), ..ordered() }),
        (".first.pair[0]", Ordered { first: Some(pair()), ..ordered() }),
        (".first.heap[0][0][0]", Ordered { first: Some(heap), ..ordered() }),
        (".flat[1].list[0]", Ordered { flat: flat(Any::Backwards(list())), ..ordered() }),
        (".kind.inner.pair[0]", Ordered { kind: Kind::Backwards { inner: pair() }, ..ordered() }),
        (".variant.Backwards.list[0]", Ordered { variant: Variant::Backwards(list()), ..ordered() }),
    ];
    for (path, event) in cases {
        let said = panic_of(|| assert_round_trip(&event));
        assert!(said.contains(&format!("another value: {path}: ")), "{path}: {said}");
    }
}

/// Returns the message of a panic.
fn panic_of(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).expect_err("it panics");
    payload.downcast_ref::<String>().expect("with a text").clone()
}

#[test]
fn what_comes_back_as_it_was_passes() {
    assert_round_trip(&kept());
    assert_round_trip(&Skipped { id: 1, cached: 0 });
}

#[test]
fn what_does_not_come_back_fails_with_its_path() {
    let said = panic_of(|| assert_round_trip(&Broken { count: 7 }));
    // The message has no path, because an opaque value may contain secrets, and the path would show keys.
    assert!(said.contains("`round_trip.broken`") && said.contains("can't read what it writes"), "{said}");
    let said = panic_of(|| assert_round_trip(&Kept { price: f64::NAN, ..kept() }));
    assert!(
        said.contains("`round_trip.kept`") && said.contains(".price: expected a finite number"),
        "{said}"
    );
    let said = panic_of(|| assert_round_trip(&Changed { count: 25 }));
    assert!(said.contains("`round_trip.changed`") && said.contains(".count"), "{said}");
    let said = panic_of(|| assert_round_trip(&Skipped { id: 1, cached: 5 }));
    assert!(said.contains("`round_trip.skipped`") && said.contains("cached: 5"), "{said}");
}

#[tokio::test]
async fn a_bus_for_tests_fails_the_test_when_it_is_dropped() {
    let start = || TestBus::start(|bus| bus.secrets(typed_events::secret::Plain).quiet());
    let bus = start().await.unwrap();
    bus.emit(kept()).await.unwrap();
    drop(bus);
    let bus = start().await.unwrap();
    let error = bus.emit(Broken { count: 7 }).await.unwrap_err().to_string();
    assert!(error.starts_with("round_trip.broken (") && error.contains("round_trip.rs:"), "{error}");
    assert!(error.contains("can't read what it writes"), "{error}");
    assert!(bus.records().await.unwrap().is_empty());
    let said = panic_of(|| drop(bus));
    assert!(said.contains(&error), "{said}");
    // The same for an emit in a handler.
    let bus = start().await.unwrap();
    let emitter = bus.clone();
    bus.on(move |_: &Kept| {
        let bus = emitter.clone();
        async move {
            // The error is dropped, but the test still fails.
            let _ = bus.emit(Changed { count: 25 }).await;
        }
    });
    bus.emit(kept()).await.unwrap();
    let said = panic_of(|| drop(bus));
    assert!(said.contains("round_trip.changed") && said.contains("another value: .count"), "{said}");
}
