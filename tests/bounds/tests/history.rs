//! The bound of the history in bytes, compared with what is allocated.

#![allow(clippy::vec_box, reason = "each kind of memory is generated")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bounds_tests::{Random, bus, runtime};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use typed_events::adapter::InMemory;
use typed_events::{Bus, BusBuilder, EventId, Metadata, Record, event, payload};

const BOUND: usize = 2 << 20;

/// Maximum factor by which the memory of the history may exceed the bound.
const MOST: f64 = 1.5;

/// A type that the library treats like one of another crate.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Foreign {
    small: u8,
    number: u64,
    text: String,
    numbers: Vec<f64>,
    names: HashMap<String, u32>,
    choice: Choice,
    maybe: Option<Box<Foreign>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Choice {
    #[default]
    None,
    One(u64),
    Two {
        a: String,
        b: (u8, u64),
    },
}

#[payload]
#[derive(Default)]
pub struct Inner {
    pub flag: bool,
    pub text: Option<String>,
    pub deep: Vec<Inner>,
}

#[event("bound.unit")]
pub struct Unit;

#[event("bound.small")]
pub struct Small(pub u8);

#[event("bound.text")]
pub struct Text(pub String);

#[event("bound.texts")]
pub struct Texts {
    pub a: Box<str>,
    pub b: Arc<str>,
    pub c: Cow<'static, str>,
    pub d: PathBuf,
    pub e: Option<String>,
}

#[event("bound.lists")]
pub struct Lists {
    pub bytes: Vec<u8>,
    pub numbers: VecDeque<u64>,
    pub linked: LinkedList<u16>,
    pub heap: BinaryHeap<u32>,
    pub boxed: Box<[u64]>,
    pub boxes: Vec<Box<u8>>,
    pub texts: Vec<String>,
    pub nested: Vec<Vec<u8>>,
    pub cow: Cow<'static, [u32]>,
}

#[event("bound.maps")]
pub struct Maps {
    pub hashed: HashMap<u32, u8>,
    pub named: HashMap<String, u64>,
    pub tree: BTreeMap<u32, u8>,
    pub set: HashSet<u64>,
    pub ordered: BTreeSet<String>,
    pub deep: BTreeMap<String, Vec<Inner>>,
}

#[event("bound.shapes")]
pub struct Shapes {
    pub array: [Option<String>; 4],
    pub pair: (Box<u64>, Arc<Inner>),
    pub result: Result<Vec<u64>, String>,
    pub inner: Option<Box<Inner>>,
}

#[event("bound.json")]
pub struct Json(pub serde_json::Value);

#[event("bound.opaque")]
pub struct Opaque {
    #[event(opaque)]
    pub foreign: Vec<Foreign>,
    #[event(opaque)]
    pub zeros: Vec<Wrapper>,
    #[event(opaque)]
    pub boxed: Box<Foreign>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Wrapper(u64);

/// Variants that serde skips, or that a module of the user writes.
#[event("bound.variants")]
pub enum Variants {
    Plain(Vec<u8>),
    #[serde(with = "as_bytes")]
    With(Vec<u8>),
    #[serde(with = "as_bytes")]
    WithOpaque(#[event(opaque)] Vec<Padded>),
    #[serde(skip)]
    Hidden {
        bytes: Vec<u8>,
        cached: Vec<String>,
    },
}

mod as_bytes {
    use serde::de::DeserializeOwned;
    use serde::{Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// A type that is written as one number.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub struct Padded {
    x: u8,
    padding: [u64; 16],
}

impl From<u8> for Padded {
    fn from(x: u8) -> Self {
        Self { x, padding: [0; 16] }
    }
}

impl From<Padded> for u8 {
    fn from(padded: Padded) -> Self {
        padded.x
    }
}

/// A type whose JSON is much smaller than its memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sparse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<[u64; 8]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<String>,
    #[serde(skip)]
    pub cached: [u64; 4],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Wide {
    #[default]
    None,
    Full([u64; 16]),
}

#[event("bound.little")]
pub struct Little {
    #[event(opaque)]
    pub sparse: Vec<Sparse>,
    #[event(opaque)]
    pub padded: VecDeque<Padded>,
    #[event(opaque)]
    pub wide: Box<[Wide]>,
    #[event(opaque)]
    pub none: Option<Vec<Option<[u64; 16]>>>,
    #[event(opaque)]
    pub hashed: HashMap<u32, Wide>,
    #[event(opaque)]
    pub tree: BTreeMap<Padded, Sparse>,
    #[event(opaque)]
    pub set: HashSet<Padded>,
    #[event(opaque)]
    pub ordered: BTreeSet<Padded>,
}

#[event(view_of = Texts)]
struct Shown {
    a: String,
    e: Option<String>,
}

trait Generated: typed_events::Event {
    /// Number of kinds of values. Each kind fills a separate history, so that errors of different kinds can't cancel out.
    const KINDS: usize = 1;

    fn generate(random: &mut Random, kind: usize) -> Self;
}

impl Generated for Unit {
    fn generate(_: &mut Random, _: usize) -> Self {
        Self
    }
}

impl Generated for Small {
    fn generate(random: &mut Random, _: usize) -> Self {
        Self(random.below(256) as u8)
    }
}

impl Generated for Text {
    const KINDS: usize = 2;

    fn generate(random: &mut Random, kind: usize) -> Self {
        // The second kind has unused capacity.
        Self(if kind == 0 { text(random) } else { String::with_capacity(random.size()) })
    }
}

/// Returns a text, sometimes with unused capacity.
fn text(random: &mut Random) -> String {
    let len = random.size();
    let mut text = "é".repeat(len / 2);
    if random.below(3) == 0 {
        text.reserve(random.size());
    }
    text
}

fn list<T>(random: &mut Random, mut item: impl FnMut(&mut Random) -> T) -> Vec<T> {
    let mut list = Vec::new();
    for _ in 0..random.size() / 4 {
        list.push(item(random));
    }
    match random.below(4) {
        0 => list.reserve(random.size()),
        1 => list.shrink_to_fit(),
        _ => {}
    }
    list
}

fn inner(random: &mut Random, depth: usize) -> Inner {
    let deep = if depth == 0 {
        Vec::new()
    } else {
        (0..random.below(4)).map(|_| inner(random, depth - 1)).collect()
    };
    Inner { flag: true, text: (random.below(2) == 0).then(|| text(random)), deep }
}

impl Generated for Texts {
    const KINDS: usize = 5;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let mut texts =
            Self { a: "".into(), b: "".into(), c: Cow::Borrowed("a constant"), d: PathBuf::new(), e: None };
        match kind {
            0 => texts.a = text(random).into(),
            1 => texts.b = text(random).into(),
            2 => texts.c = text(random).into(),
            3 => texts.d = text(random).into(),
            _ => texts.e = Some(text(random)),
        }
        texts
    }
}

impl Generated for Lists {
    const KINDS: usize = 10;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let mut lists = Self {
            bytes: Vec::new(),
            numbers: VecDeque::new(),
            linked: LinkedList::new(),
            heap: BinaryHeap::new(),
            boxed: Box::default(),
            boxes: Vec::new(),
            texts: Vec::new(),
            nested: Vec::new(),
            cow: Cow::Borrowed(&[]),
        };
        match kind {
            0 => lists.bytes = list(random, |random| random.below(256) as u8),
            1 => lists.numbers = list(random, |random| random.below(9) as u64).into(),
            2 => lists.linked = list(random, |random| random.below(9) as u16).into_iter().collect(),
            3 => lists.heap = list(random, |random| random.below(9) as u32).into(),
            4 => lists.boxed = list(random, |random| random.below(9) as u64).into(),
            5 => lists.boxes = list(random, |random| Box::new(random.below(9) as u8)),
            6 => lists.texts = list(random, |random| "x".repeat(random.below(40))),
            7 => lists.nested = list(random, |random| vec![0; random.below(40)]),
            8 => lists.cow = list(random, |random| random.below(9) as u32).into(),
            // Unused capacity.
            _ => lists.bytes = Vec::with_capacity(random.size()),
        }
        lists
    }
}

impl Generated for Maps {
    const KINDS: usize = 7;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let n = random.size() / 4;
        let mut maps = Self {
            hashed: HashMap::new(),
            named: HashMap::new(),
            tree: BTreeMap::new(),
            set: HashSet::new(),
            ordered: BTreeSet::new(),
            deep: BTreeMap::new(),
        };
        match kind {
            0 => maps.hashed = (0..n as u32).map(|n| (n, 1)).collect(),
            1 => maps.hashed = HashMap::with_capacity(n),
            2 => maps.named = (0..n).map(|n| (n.to_string(), 1)).collect(),
            // Insert in order, so that nodes are half full.
            3 => (0..n as u32).for_each(|n| {
                maps.tree.insert(n, 1);
            }),
            4 => maps.set = (0..n as u64).collect(),
            5 => (0..n).for_each(|n| {
                maps.ordered.insert(n.to_string());
            }),
            _ => maps.deep = (0..n.min(9)).map(|n| (n.to_string(), vec![inner(random, 2)])).collect(),
        }
        maps
    }
}

impl Generated for Shapes {
    const KINDS: usize = 5;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let mut shapes =
            Self { array: Default::default(), pair: Default::default(), result: Ok(Vec::new()), inner: None };
        match kind {
            0 => shapes.array = [None, Some(text(random)), None, Some(String::new())],
            1 => shapes.pair.1 = Arc::new(inner(random, 1)),
            2 => shapes.result = Ok(list(random, |_| 0)),
            3 => shapes.result = Err(text(random)),
            _ => shapes.inner = Some(Box::new(inner(random, 3))),
        }
        shapes
    }
}

fn json(random: &mut Random, depth: usize) -> serde_json::Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => serde_json::Value::Null,
        1 => true.into(),
        2 => (random.below(1_000_000) as f64 / 7.0).into(),
        3 => text(random).into(),
        4 => (0..random.below(30)).map(|_| json(random, depth - 1)).collect::<Vec<_>>().into(),
        _ => {
            let entries = (0..random.below(30)).map(|n| (n.to_string(), json(random, depth - 1)));
            serde_json::Value::Object(entries.collect())
        }
    }
}

impl Generated for Json {
    fn generate(random: &mut Random, _: usize) -> Self {
        Self(json(random, 3))
    }
}

fn foreign(random: &mut Random, depth: usize) -> Foreign {
    let choice = match random.below(3) {
        0 => Choice::None,
        1 => Choice::One(1),
        _ => Choice::Two { a: text(random), b: (1, 2) },
    };
    Foreign {
        small: 1,
        number: 2,
        text: text(random),
        numbers: list(random, |_| 0.0),
        names: (0..random.below(50)).map(|n| (n.to_string(), 1)).collect(),
        choice,
        maybe: (depth > 0 && random.below(2) == 0).then(|| Box::new(foreign(random, depth - 1))),
    }
}

impl Generated for Opaque {
    const KINDS: usize = 3;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let mut opaque = Self { foreign: Vec::new(), zeros: Vec::new(), boxed: Box::default() };
        match kind {
            0 => opaque.foreign = (0..random.below(20)).map(|_| foreign(random, 1)).collect(),
            1 => opaque.zeros = list(random, |_| Wrapper(0)),
            _ => *opaque.boxed = foreign(random, 3),
        }
        opaque
    }
}

impl Generated for Little {
    const KINDS: usize = 8;

    fn generate(random: &mut Random, kind: usize) -> Self {
        let mut little = Self {
            sparse: Vec::new(),
            padded: VecDeque::new(),
            wide: Box::default(),
            none: None,
            hashed: HashMap::new(),
            tree: BTreeMap::new(),
            set: HashSet::new(),
            ordered: BTreeSet::new(),
        };
        let n = (random.size() / 4).min(255) as u8;
        match kind {
            0 => little.sparse = list(random, |_| Sparse::default()),
            1 => little.padded = list(random, |_| Padded::default()).into(),
            2 => little.wide = list(random, |_| Wide::None).into(),
            3 => little.none = Some(list(random, |_| None)),
            4 => little.hashed = (0..n).map(|n| (n.into(), Wide::None)).collect(),
            5 => little.tree = (0..n).map(|n| (n.into(), Sparse::default())).collect(),
            6 => little.set = (0..n).map(Padded::from).collect(),
            _ => little.ordered = (0..n).map(Padded::from).collect(),
        }
        little
    }
}

#[event("bound.started")]
pub struct Start(pub u32);

/// How each record is used.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    Nothing,
    /// A handler reads its JSON, as one that prints does.
    Printed,
    /// It is emitted as JSON, so that it is decoded.
    Decoded,
    /// With metadata and an id.
    Described,
    /// It is emitted at the end of a chain of nested emits.
    Nested,
    /// On a bus with an adapter.
    Adapter,
    /// By another bus on the same adapter.
    Remote,
}

const USES: [Use; 7] =
    [Use::Nothing, Use::Printed, Use::Decoded, Use::Described, Use::Nested, Use::Adapter, Use::Remote];

/// Calls `emit` until the memory in use has not grown for as long as it grew before, so that the history is full. Returns
/// the peak of the memory, as a factor of the bound.
fn factor(mut emit: impl FnMut()) -> f64 {
    let bound = BOUND as i64;
    let (mut kept, mut most, mut rounds, mut fullest) = (0, 0, 0, 50);
    while rounds < 2 * fullest && kept < 4 * bound {
        kept += allocation_counter::measure(&mut emit).bytes_current;
        rounds += 1;
        // Once the history is nearly full, ignore growth by a few bytes.
        let more = if most < bound / 2 { 0 } else { bound / 50 };
        if kept > most + more {
            (most, fullest) = (kept, fullest.max(rounds));
        }
    }
    most.max(kept) as f64 / BOUND as f64
}

fn bounded(runtime: &Runtime, builder: BusBuilder) -> Bus {
    bus(runtime, builder.history(usize::MAX).history_bytes(BOUND).accept_undeclared())
}

/// Emits events of a type, each as `how` says.
fn factor_of<E: Generated>(how: Use, kind: usize, seed: u64) -> f64 {
    let (runtime, mut random, memory) = (runtime(), Random::new(seed), InMemory::bounded(1, 1));
    let builder = match how {
        Use::Adapter | Use::Remote => Bus::builder().adapter(memory.clone()),
        _ => Bus::builder(),
    };
    let bus = bounded(&runtime, builder);
    let emitter = match how {
        Use::Remote => bounds_tests::bus(&runtime, Bus::builder().adapter(memory).history(0)),
        _ => bus.clone(),
    };
    if how == Use::Printed {
        bus.pattern("*").on(|record: &Record| assert!(!record.to_string().is_empty())).unwrap();
    }
    let slot = Arc::new(Mutex::new(None));
    let (inside, handle) = (Arc::clone(&slot), bus.clone());
    bus.on(move |start: &Start| {
        let event = if start.0 == 0 { inside.lock().unwrap().take() } else { None };
        match event {
            Some(event) => handle.emit::<E>(event).detach(),
            None => handle.emit(Start(start.0 - 1)).detach(),
        }
    });
    factor(|| {
        let event = E::generate(&mut random, kind);
        runtime.block_on(async {
            match how {
                Use::Nothing | Use::Printed | Use::Adapter => drop(bus.emit(event).await.unwrap()),
                Use::Remote => {
                    drop(emitter.emit(event).await.unwrap());
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                }
                Use::Nested => {
                    *slot.lock().unwrap() = Some(event);
                    drop(bus.emit(Start(random.below(25) as u32)).await.unwrap());
                }
                Use::Described => {
                    let source = "x".repeat(random.size());
                    let metadata = Metadata::new().with_source(source).with("more", json(&mut random, 1));
                    drop(bus.emit(event).metadata(metadata).id(EventId::new()).await.unwrap());
                }
                Use::Decoded => {
                    let json = serde_json::to_string(&event).unwrap();
                    drop(bus.emit_json(E::NAME, &json).await.unwrap());
                }
            }
        });
    })
}

/// Prints each factor, and returns the largest.
fn worst_of<E: Generated>() -> f64 {
    let mut worst = 0.0_f64;
    for (kind, how) in (0..E::KINDS).flat_map(|kind| USES.map(|how| (kind, how))) {
        for seed in 1..=seeds().div_ceil(E::KINDS as u64) {
            let factor = factor_of::<E>(how, kind, seed);
            println!("{}, kind {kind}, {how:?}, seed {seed}: {factor:.2}", E::NAME);
            worst = worst.max(factor);
        }
    }
    worst
}

/// Returns the number of seeds of each event, shared among its kinds. `BOUNDS_SEEDS` sets it.
fn seeds() -> u64 {
    std::env::var("BOUNDS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2)
}

macro_rules! holds {
    ($($test:ident: $event:ty;)+) => {
        $(#[test]
        fn $test() {
            let worst = worst_of::<$event>();
            println!("worst factor: {worst:.2}");
            assert!(worst <= MOST, "{worst}");
        })+
    };
}

holds! {
    m1_units: Unit;
    m1_numbers: Small;
    m1_a_text: Text;
    m1_texts: Texts;
    m1_lists: Lists;
    m1_maps: Maps;
    m1_shapes: Shapes;
    m1_json_values: Json;
    m1_opaque_fields: Opaque;
    m1_opaque_fields_that_write_little: Little;
}

/// Tests each variant separately, and without decoding, because skipped variants can't be decoded.
#[test]
fn m1_variants_that_serde_does_not_look_into() {
    let variants: [fn() -> Variants; 4] = [
        || Variants::Plain(vec![1; 10_000]),
        || Variants::With(vec![1; 10_000]),
        || Variants::WithOpaque(vec![Padded::default(); 100]),
        || Variants::Hidden { bytes: vec![1; 10_000], cached: vec!["x".repeat(100); 100] },
    ];
    for variant in variants {
        let runtime = runtime();
        let bus = bounded(&runtime, Bus::builder());
        let factor = factor(|| runtime.block_on(async { drop(bus.emit(variant()).await.unwrap()) }));
        println!("variants: {factor:.2}");
        assert!(factor <= MOST, "{factor}");
    }
}

/// Names come from outside, too.
#[test]
fn m1_undeclared_names() {
    for length in [1, 240] {
        let runtime = runtime();
        let bus = bounded(&runtime, Bus::builder());
        let mut n = 0;
        let factor = factor(|| {
            n += 1;
            let name = format!("some.{}.{n}", "x".repeat(length));
            runtime.block_on(async { drop(bus.emit_json(&name, "[1,2]").await.unwrap()) });
        });
        println!("undeclared names, {length}: {factor:.2}");
        assert!(factor <= 1.1, "{length}: {factor}");
    }
}

/// A record keeps the names of the events that caused it, even if nothing else keeps them.
#[test]
fn m1_undeclared_names_of_chains() {
    let runtime = runtime();
    let inner = bounded(&runtime, Bus::builder());
    let outer = bus(&runtime, Bus::builder().history(0).accept_undeclared());
    let (from, to) = (outer.clone(), inner.clone());
    let pass_on = move |record: &Record| {
        let (from, to, name) = (from.clone(), to.clone(), format!("{}x", record.name()));
        async move {
            match name.ends_with("xxxxxxxx") {
                true => to.emit(Small(1)).await.map(drop),
                false => from.emit_json(&name, "null").await.map(drop),
            }
        }
    };
    outer.pattern("some.*").on(pass_on).unwrap();
    let mut n = 0;
    let factor = factor(|| {
        n += 1;
        let name = format!("some.{}.{n}.", "y".repeat(200));
        runtime.block_on(async { drop(outer.emit_json(&format!("{name}x"), "null").await.unwrap()) });
    });
    println!("undeclared names of chains: {factor:.2}");
    assert!(factor <= MOST, "{factor}");
    assert_eq!(outer.stats().failed, 0);
}

/// Memory that a record takes later, when it is decoded or written, is counted, even if no event is emitted any more.
#[test]
fn m1_records_that_are_asked_later() {
    type Ask = fn(&Record);
    let asks: [(&str, Ask); 4] = [
        ("json", |record| assert!(record.json().is_ok())),
        ("printed", |record| assert!(!record.to_string().is_empty())),
        ("debugged", |record| assert!(!format!("{record:?}").is_empty())),
        ("viewed", |record| {
            let shown = record.view::<Shown>().unwrap();
            std::hint::black_box((&shown.a, &shown.e));
        }),
    ];
    for (what, ask) in asks {
        let (runtime, mut random) = (runtime(), Random::new(7));
        let bus = bounded(&runtime, Bus::builder());
        let filled = factor(|| {
            let kind = random.below(Texts::KINDS);
            let event = Texts::generate(&mut random, kind);
            runtime.block_on(async { drop(bus.emit(event).await.unwrap()) });
        });
        let asked = allocation_counter::measure(|| {
            let records = runtime.block_on(async { bus.history("*").limit(usize::MAX).await.unwrap() });
            records.iter().for_each(ask);
        });
        let factor = filled + asked.bytes_current as f64 / BOUND as f64;
        println!("{what}: {filled:.2}, then {factor:.2}");
        assert!(factor <= MOST, "{what}: {factor}");
    }
}

/// A few large records follow many small ones.
#[test]
fn m1_room_for_many_records_is_not_kept_for_few() {
    let runtime = runtime();
    let bus = bounded(&runtime, Bus::builder());
    let emits = |n: usize, size: usize| {
        for _ in 0..n {
            runtime.block_on(async { drop(bus.emit(Text("x".repeat(size))).await.unwrap()) });
        }
    };
    let counted = allocation_counter::measure(|| {
        emits(30_000, 0);
        emits(2, BOUND / 2 - 1_000);
    });
    let factor = counted.bytes_current as f64 / BOUND as f64;
    println!("many, then few: {factor:.2}");
    assert!(factor <= 1.1, "{factor}");
}
