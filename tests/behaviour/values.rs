//! Values arrive bit for bit as they were emitted, or the emit is refused with the path of the value.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Mutex;

use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, InMemory, Published, Receiver, RecordCodec,
};
use typed_events::{Bus, ErrorKind, Event, Metadata, Record, event, payload};

#[payload]
#[derive(PartialEq)]
#[serde(tag = "kind")]
pub enum Tagged {
    Wide { value: f64 },
    Narrow { value: f32 },
}

#[payload]
#[derive(PartialEq)]
#[serde(untagged)]
pub enum Untagged {
    One(f32),
    Many(Vec<f32>),
}

#[event("values.measured")]
#[derive(PartialEq, Default)]
pub struct Measured {
    pub wide: f64,
    pub narrow: f32,
    pub option: Option<f64>,
    pub list: Vec<f32>,
    pub map: BTreeMap<String, f64>,
    pub tuple: (u8, f64),
    #[serde(flatten)]
    pub flat: Flat,
    pub tagged: Option<Tagged>,
    pub untagged: Option<Untagged>,
    pub variant: Option<Variant>,
}

#[payload]
#[derive(PartialEq, Default)]
pub struct Flat {
    pub flat_wide: f64,
    pub flat_narrow: f32,
}

#[payload]
#[derive(PartialEq)]
pub enum Variant {
    New(f64),
    Pair(u8, f64),
    Named { value: f64 },
}

#[event("values.tree")]
#[derive(PartialEq)]
pub struct Tree {
    pub children: Vec<Tree>,
}

#[event("values.open")]
#[derive(PartialEq)]
pub struct Open {
    pub any: Value,
}

/// Builds a bus whose records are serialised, and another bus that reads them.
async fn written() -> (Bus, Bus) {
    let memory = InMemory::new();
    let join = || Bus::builder().adapter(memory.clone()).quiet().build();
    (join().await.unwrap(), join().await.unwrap())
}

/// Emits an event, and checks that it is refused with this message and that nothing is stored.
async fn check_refused<E: Event>(event: E, why: &str) {
    let (bus, other) = written().await;
    let error = bus.emit(event.clone()).await.unwrap_err();
    let message = format!("{}: the event can't be written as JSON: {why}", E::NAME);
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Serialize, message.clone()));
    let error = bus.emit_all([event.clone()]).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Serialize, message.clone()));
    let error = bus.emit(event.clone()).detach().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Serialize, message.clone()));
    assert!(bus.history("*").await.unwrap().is_empty() && other.history("*").await.unwrap().is_empty());
    // A bus that does not serialise passes the event on unchanged. Reading it as text is refused.
    let bare = crate::bus().await;
    let emitted = bare.emit(event).await.unwrap();
    let record = emitted.record().unwrap();
    let error = record.json().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Serialize, message.clone()));
    assert!(record.to_string().contains(&message) && record.to_cloudevent().is_err());
    assert_eq!(bus.forward(record).await.unwrap_err().to_string(), message);
}

const NOT_FINITE: &str = "expected a finite number, found NaN or an infinity, which JSON does not have";

#[tokio::test]
async fn v4_what_is_not_finite_is_refused_with_its_path() {
    let measured = Measured::default;
    let map = BTreeMap::from([("a b".to_owned(), 1.0), ("c".to_owned(), f64::NEG_INFINITY)]);
    let cases = [
        (".wide", Measured { wide: f64::NAN, ..measured() }),
        (".narrow", Measured { narrow: f32::INFINITY, ..measured() }),
        (".option", Measured { option: Some(f64::NAN), ..measured() }),
        (".list[2]", Measured { list: vec![1.0, 2.0, f32::NAN], ..measured() }),
        (".map.c", Measured { map, ..measured() }),
        (".tuple[1]", Measured { tuple: (1, f64::NAN), ..measured() }),
        (".flat_wide", Measured { flat: Flat { flat_wide: f64::NAN, ..Flat::default() }, ..measured() }),
        (".flat_narrow", Measured { flat: Flat { flat_narrow: f32::NAN, ..Flat::default() }, ..measured() }),
        (".tagged.value", Measured { tagged: Some(Tagged::Wide { value: f64::INFINITY }), ..measured() }),
        (".untagged[1]", Measured { untagged: Some(Untagged::Many(vec![1.0, f32::NAN])), ..measured() }),
        (".variant.New", Measured { variant: Some(Variant::New(f64::NAN)), ..measured() }),
        (".variant.Pair[1]", Measured { variant: Some(Variant::Pair(1, f64::NAN)), ..measured() }),
        (
            ".variant.Named.value",
            Measured { variant: Some(Variant::Named { value: f64::NAN }), ..measured() },
        ),
    ];
    for (path, event) in cases {
        check_refused(event, &format!("{path}: {NOT_FINITE}")).await;
    }
}

#[event("values.extra")]
#[derive(PartialEq)]
pub struct Extra {
    pub id: u8,
    #[serde(flatten)]
    pub extra: BTreeMap<String, u8>,
}

#[payload]
#[derive(PartialEq)]
#[serde(tag = "kind")]
pub enum Labelled {
    A(BTreeMap<String, String>),
    B,
}

#[payload]
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Known,
    #[serde(untagged)]
    Other(String),
}

#[event("values.keyed")]
#[derive(PartialEq, Default)]
pub struct Keyed {
    pub labelled: Vec<Labelled>,
    pub by_name: BTreeMap<Name, u8>,
    pub hashed: HashMap<Name, u8>,
    pub by_number: BTreeMap<i16, BTreeMap<String, u8>>,
}

fn entries<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    entries.into_iter().collect()
}

#[tokio::test]
async fn v1_an_object_that_would_have_a_key_twice_is_refused_with_its_path() {
    const TWICE: &str = "two entries of the object have the same key";
    let extra = |key: &str| Extra { id: 1, extra: entries([("a".to_owned(), 1), (key.to_owned(), 2)]) };
    check_refused(extra("id"), &format!(".id: {TWICE}")).await;
    let labelled = |key: &str| Labelled::A(entries([(key.to_owned(), "B".to_owned())]));
    let names = || [(Name::Known, 1), (Name::Other("Known".to_owned()), 2), (Name::Other("x".to_owned()), 3)];
    let cases = [
        (".labelled[1].kind", Keyed { labelled: vec![labelled("x"), labelled("kind")], ..Keyed::default() }),
        (".by_name.Known", Keyed { by_name: entries(names()), ..Keyed::default() }),
        (".hashed.Known", Keyed { hashed: HashMap::from(names()), ..Keyed::default() }),
    ];
    for (path, event) in cases {
        check_refused(event, &format!("{path}: {TWICE}")).await;
    }

    // Keys with a common prefix, keys in another order than their texts, and equal keys in different objects.
    let (bus, other) = written().await;
    let inner = || entries(["b", "a\"", "a", "a b", "-1", "\n"].map(|key| (key.to_owned(), 1)));
    let keyed = Keyed {
        labelled: vec![labelled("x"), labelled("a"), labelled("A"), Labelled::B],
        by_name: entries(["a", "aa", "", "\u{e9}"].map(|name| (Name::Other(name.to_owned()), 1))),
        hashed: ('a'..='z').map(|name| (Name::Other(name.to_string()), 1)).collect(),
        by_number: (-20..120).map(|number| (number, inner())).collect(),
    };
    bus.emit(keyed.clone()).await.unwrap();
    assert!(*other.history("values.keyed").await.unwrap()[0].decode::<Keyed>().unwrap() == keyed);
    bus.emit(extra("Id")).await.unwrap();
    assert!(*other.history("values.extra").await.unwrap()[0].decode::<Extra>().unwrap() == extra("Id"));
}

#[tokio::test]
async fn v4_one_of_a_batch_is_named_and_none_is_stored() {
    let (bus, _) = written().await;
    let events = [1.0, 2.0, f64::NAN, 4.0].map(|wide| Measured { wide, ..Measured::default() });
    let error = bus.emit_all(events).await.unwrap_err();
    assert!(error.to_string().ends_with(" (event 3 of 4 in the batch, of which none was stored)"), "{error}");
    assert!(bus.history("*").await.unwrap().is_empty());
}

/// Returns special bit patterns, and pseudo-random ones that are the same in each run.
fn bits() -> impl Iterator<Item = u64> {
    let special = [0, 1, 1 << 63, 0x7fef_ffff_ffff_ffff, 0x000f_ffff_ffff_ffff, 0x405d_6888_7f75_f4d1];
    let random = (0..4_000_u64).map(|n| {
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    // The last one becomes a different `f32` if it is parsed as an `f64` first.
    special.into_iter().chain(random).chain([u64::from(7.038531e-26_f32.to_bits()) << 32])
}

#[tokio::test]
async fn v5_floats_come_back_bit_for_bit() {
    let (bus, other) = written().await;
    let finite = |bits: u64| (f64::from_bits(bits), f32::from_bits((bits >> 32) as u32));
    let all: Vec<_> =
        bits().map(finite).filter(|(wide, narrow)| wide.is_finite() && narrow.is_finite()).collect();
    for part in all.chunks(500) {
        let events = part.iter().map(|&(wide, narrow)| Measured {
            wide,
            narrow,
            option: Some(wide),
            list: vec![narrow],
            map: BTreeMap::from([("x".to_owned(), wide)]),
            tuple: (0, wide),
            flat: Flat { flat_wide: wide, flat_narrow: narrow },
            tagged: Some(if wide < 0.0 {
                Tagged::Wide { value: wide }
            } else {
                Tagged::Narrow { value: narrow }
            }),
            untagged: Some(Untagged::Many(vec![narrow])),
            variant: Some(Variant::Named { value: wide }),
        });
        bus.emit_all(events).await.unwrap();
        let opened = part.iter().map(|&(wide, _)| Open { any: json!([wide, {"x": wide}]) });
        bus.emit_all(opened).await.unwrap();
    }
    let stored = other.history("values.measured").limit(usize::MAX).await.unwrap();
    assert_eq!(stored.len(), all.len());
    for (record, &(wide, narrow)) in stored.iter().zip(&all) {
        let m = record.decode::<Measured>().unwrap();
        let (tagged_wide, tagged_narrow) = match m.tagged {
            Some(Tagged::Wide { value }) => (value, narrow),
            Some(Tagged::Narrow { value }) => (wide, value),
            None => panic!("it has one"),
        };
        let Some(Untagged::Many(untagged)) = &m.untagged else { panic!("another variant of {narrow:e}") };
        let Some(Variant::Named { value }) = m.variant else { panic!() };
        let wides = [m.wide, m.option.unwrap(), m.map["x"], m.tuple.1, m.flat.flat_wide, value, tagged_wide];
        assert_eq!(wides.map(f64::to_bits), [wide.to_bits(); 7], "{wide:e}");
        let narrows = [m.narrow, m.list[0], m.flat.flat_narrow, untagged[0], tagged_narrow];
        assert_eq!(narrows.map(f32::to_bits), [narrow.to_bits(); 5], "{narrow:e}");
    }
    let opened = other.history("values.open").limit(usize::MAX).await.unwrap();
    for (record, &(wide, _)) in opened.iter().zip(&all) {
        let open = record.decode::<Open>().unwrap();
        let found = [&open.any[0], &open.any[1]["x"]].map(|value| value.as_f64().unwrap().to_bits());
        assert_eq!(found, [wide.to_bits(); 2], "{wide:e}");
    }
}

#[tokio::test]
async fn v5_floats_of_metadata_and_of_texts_from_outside_come_back_bit_for_bit() {
    let (bus, other) = written().await;
    let numbers: Vec<f64> =
        bits().map(f64::from_bits).filter(|number| number.is_finite()).take(1000).collect();
    let metadata = Metadata::new().with("numbers", json!(numbers));
    bus.emit(Measured::default()).metadata(metadata).await.unwrap();
    let record = &other.history("*").await.unwrap()[0];
    let came = record.metadata().get("numbers").unwrap().as_array().unwrap();
    for (number, came) in numbers.iter().zip(came) {
        assert_eq!(number.to_bits(), came.as_f64().unwrap().to_bits(), "{number:e}");
    }
    // Each text is read as the nearest number.
    let plain = crate::bus().await;
    for text in ["117.63331139400017", "0.1e1", "9007199254740993.0", "2.2250738585072011e-308", "1e23", "-0"]
    {
        let json = format!("{{\"any\": {text}}}");
        plain.emit_json("values.open", &json).await.unwrap();
        let open = plain.history("values.open").limit(1).await.unwrap()[0].decode::<Open>().unwrap();
        let expected: f64 = text.parse().unwrap();
        assert_eq!(open.any.as_f64().unwrap().to_bits(), expected.to_bits(), "{text}");
    }
}

/// Returns nested arrays.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |value, _| Value::Array(vec![value]))
}

#[tokio::test]
async fn v6_the_deepest_that_is_stored_is_read_and_deeper_is_refused() {
    let tree = |depth: usize| {
        (0..depth).fold(Tree { children: Vec::new() }, |tree, _| Tree { children: vec![tree] })
    };
    let (bus, other) = written().await;
    // The object of the event is one of the 127 levels.
    let deepest = Open { any: nested(126) };
    bus.emit(deepest.clone()).await.unwrap();
    assert!(other.history("*").await.unwrap()[0].decode::<Open>().unwrap().any == deepest.any);
    let path = format!(".any{}[...", "[0]".repeat(65));
    check_refused(Open { any: nested(127) }, &format!("{path}: nested deeper than 127")).await;
    check_refused(Open { any: nested(500) }, &format!("{path}: nested deeper than 127")).await;

    // Each tree has two levels: an object and an array.
    bus.emit(tree(62)).await.unwrap();
    let stored = other.history("values.tree").await.unwrap()[0].decode::<Tree>().unwrap();
    assert!(*stored == tree(62));
    let error = bus.emit(tree(63)).await.unwrap_err().to_string();
    let begin = "values.tree: the event can't be written as JSON: .children[0].children[0]";
    assert!(error.starts_with(begin) && error.ends_with("nested deeper than 127"), "{error}");

    // The same limit holds for JSON from outside and for metadata.
    for bus in [&bus, &crate::bus().await] {
        let json = |depth| json!({ "any": nested(depth) }).to_string();
        bus.emit_json("values.open", json(126)).await.unwrap();
        let error = bus.emit_json("values.open", json(127)).await.unwrap_err();
        assert!(error.to_string().contains("nested deeper than 127"), "{error}");
        assert!(
            bus.emit_json("values.open", format!("{{\"any\": 1, \"more\": {}}}", nested(126))).await.is_ok()
        );
        assert!(
            bus.emit_json("values.open", format!("{{\"any\": 1, \"more\": {}}}", nested(127))).await.is_err()
        );
    }
    let with = |depth| bus.emit(Measured::default()).metadata(Metadata::new().with("deep", nested(depth)));
    let id = with(126).await.unwrap().record().unwrap().id();
    let stored = other.history("values.measured").await.unwrap();
    assert!(stored[0].id() == id && stored[0].metadata().get("deep") == Some(&nested(126)));
    let error = with(127).await.unwrap_err();
    let begin = "values.measured: the metadata can't be written as JSON: .deep[0][0]";
    assert!(error.kind() == ErrorKind::Serialize && error.to_string().starts_with(begin), "{error}");
    assert_eq!(other.history("values.measured").await.unwrap().len(), 1);
}

/// Bytes in serde's data model, which JSON writes as an array.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[tokio::test]
async fn v6_bytes_are_a_level_of_their_own() {
    #[event("values.nested_bytes")]
    #[derive(PartialEq)]
    struct NestedBytes {
        nest: Nest,
    }
    #[payload]
    #[derive(PartialEq)]
    enum Nest {
        Deeper(Box<Nest>),
        Bytes(#[event(opaque)] Bytes),
    }
    let nested = |depth: usize| NestedBytes {
        nest: (1..depth).fold(Nest::Bytes(Bytes(vec![1, 2])), |nest, _| Nest::Deeper(Box::new(nest))),
    };
    let (bus, other) = written().await;
    // The levels are the object of the event, one object per variant, and the array of the bytes.
    bus.emit(nested(125)).await.unwrap();
    assert!(*other.history("*").await.unwrap()[0].decode::<NestedBytes>().unwrap() == nested(125));
    let error = bus.emit(nested(126)).await.unwrap_err().to_string();
    assert!(error.ends_with("nested deeper than 127"), "{error}");
    assert_eq!(other.history("*").await.unwrap().len(), 1);
}

#[payload]
#[derive(PartialEq)]
pub struct FloatKey(f64);

impl Eq for FloatKey {}

impl PartialOrd for FloatKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FloatKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[tokio::test]
async fn v4_a_key_that_is_not_finite_is_refused_with_its_path() {
    #[event("values.by_float")]
    #[derive(PartialEq)]
    struct ByFloat {
        map: BTreeMap<FloatKey, u8>,
    }
    let by_float = |key: f64| ByFloat { map: entries([(FloatKey(-1.5), 1), (FloatKey(key), 2)]) };
    check_refused(by_float(f64::NAN), &format!(".map.NaN: {NOT_FINITE}")).await;
    check_refused(by_float(f64::NEG_INFINITY), &format!(".map.-inf: {NOT_FINITE}")).await;
    let (bus, other) = written().await;
    for key in [-0.0, 0.1, 1e300, 5e-324] {
        bus.emit(by_float(key)).await.unwrap();
        let stored = &other.history("*").limit(1).await.unwrap()[0];
        assert!(*stored.decode::<ByFloat>().unwrap() == by_float(key), "{key:e}");
    }
}

#[tokio::test]
async fn big_integers_and_keys_come_back_as_they_were() {
    #[event("values.big")]
    #[derive(PartialEq)]
    struct Big {
        unsigned: u128,
        signed: i128,
        exact: u64,
        by_number: BTreeMap<i64, u8>,
        by_flag: BTreeMap<bool, char>,
        text: String,
        nothing: (),
    }
    let (bus, other) = written().await;
    let big = Big {
        unsigned: u128::MAX,
        signed: i128::MIN,
        exact: (1 << 53) + 1,
        by_number: BTreeMap::from([(i64::MIN, 1), (-1, 2), (i64::MAX, 3)]),
        by_flag: BTreeMap::from([(true, '\u{10ffff}'), (false, '"')]),
        text: "\u{0}\n\"\\\u{2028}\u{e000}é😀".to_owned(),
        nothing: (),
    };
    bus.emit(big.clone()).await.unwrap();
    assert_eq!(*other.history("*").await.unwrap()[0].decode::<Big>().unwrap(), big);
}

/// An adapter with a log that an older program has written.
struct Old(Mutex<Vec<String>>);

impl Adapter for Old {
    fn name(&self) -> String {
        "old".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            for record in records {
                self.0.lock().unwrap().push(codec.encode(record)?);
            }
            Ok(Published::default())
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let texts = self.0.lock().unwrap().clone();
            // A record of a program without the check, which stored NaN as `null`.
            let stored = texts.iter().map(|text| match text.contains("\"wide\":3.0") {
                true => codec.decode(&text[..text.len() / 2]),
                false => codec.decode(&text.replace("\"wide\":-1.0", "\"wide\":null")),
            });
            Ok(query.select(stored.map(|read| Ok(read?))))
        })
    }

    fn subscribe(&self, _: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn v7_one_record_that_cannot_be_read_hides_no_other() {
    let bus = Bus::builder().adapter(Old(Mutex::default())).quiet().build().await.unwrap();
    for wide in [1.0, -1.0, 2.0] {
        bus.emit(Measured { wide, ..Measured::default() }).await.unwrap();
    }
    let events = bus.history("values.*").of::<Measured>().await.unwrap();
    assert_eq!(events.iter().map(|event| event.wide).collect::<Vec<_>>(), [1.0, 2.0]);
    let in_place: Vec<_> = events.all().map(|event| event.ok().map(|event| event.wide)).collect();
    assert_eq!(in_place, [Some(1.0), None, Some(2.0)]);
    let unreadable = events.unreadable().next().unwrap();
    assert_eq!(unreadable.record().unwrap().id(), bus.history("*").await.unwrap()[1].id());
    let text = unreadable.to_string();
    assert!(text.starts_with("values.measured: .wide: expected a number, found null (id "), "{text}");
    let error = events.complete().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Unreadable, text));
    // A handler with a replay gets all other events, and the unreadable one is reported as its failure.
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    bus.replay(10).on(move |event: &Measured| log.lock().unwrap().push(event.wide)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1.0, 2.0]);
}

/// An adapter with an invalid text among its records.
#[tokio::test]
async fn v7_a_stored_text_that_is_no_record_hides_no_other() {
    let bus = Bus::builder().adapter(Old(Mutex::default())).quiet().build().await.unwrap();
    for wide in [1.0, 3.0, 2.0] {
        bus.emit(Measured { wide, ..Measured::default() }).await.unwrap();
    }
    let widths =
        |events: &[std::sync::Arc<Measured>]| events.iter().map(|event| event.wide).collect::<Vec<_>>();
    let records = bus.history("values.*").await.unwrap();
    assert_eq!(records.iter().map(|record| record.name()).collect::<Vec<_>>(), ["values.measured"; 2]);
    let in_place: Vec<_> = records.all().map(|read| read.is_ok()).collect();
    assert_eq!(in_place, [true, false, true]);
    let unreadable = records.unreadable().next().unwrap();
    assert!(unreadable.record().is_none());
    assert!(unreadable.to_string().starts_with("not a stored record: "), "{unreadable}");
    assert_eq!(records.complete().unwrap_err().kind(), ErrorKind::Unreadable);
    // The unreadable record is also listed among the events of one type, since it may be one of them.
    let events = bus.history("values.*").of::<Measured>().await.unwrap();
    assert_eq!(widths(&events), [1.0, 2.0]);
    assert_eq!(events.all().map(|read| read.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    // It counts towards the limit.
    assert_eq!(widths(&bus.history("*").limit(2).of::<Measured>().await.unwrap()), [2.0]);
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    bus.replay(10).on(move |event: &Measured| log.lock().unwrap().push(event.wide)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1.0, 2.0]);
}

#[tokio::test]
async fn v13_a_pattern_that_never_takes_the_type_is_an_error() {
    let bus = crate::bus().await;
    bus.emit(Measured::default()).await.unwrap();
    for pattern in ["values.tree", "other.*", "values", "values.+.x", "typed-events.*"] {
        let error = bus.history(pattern).limit(3).of::<Measured>().await.unwrap_err();
        let said = format!(
            "`{pattern}` does not match `values.measured`: query `values.measured`, or a pattern that matches it"
        );
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Pattern, said));
    }
    for pattern in ["values.measured", "values.*", "*", "+.measured"] {
        assert_eq!(bus.history(pattern).of::<Measured>().await.unwrap().len(), 1, "{pattern}");
    }
    assert_eq!(bus.history("a..b").of::<Measured>().await.unwrap_err().kind(), ErrorKind::Pattern);
}
