//! For generated pairs of types, the results of the constants agree with what serde does with generated values.

#![allow(dead_code, clippy::all, reason = "most of it is generated")]
// Some of the types have two fields with the same name on purpose.
#![allow(unreachable_patterns)]

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_events::__private::{from_json, to_json};
use typed_events::Schema;
use typed_events::schema::{Tag, TypeSchema};

include!(concat!(env!("OUT_DIR"), "/pairs.rs"));

/// Number of values of each pair that are written and read.
const VALUES: usize = 400;

/// Number of values that are tried before a refusal counts as wrong because no value confirms it.
const MORE_VALUES: usize = 20_000;

#[derive(Default)]
struct Tally {
    pairs: usize,
    readable: usize,
    checks: usize,
    /// Values that are refused when they are written: NaN, too deep, or what serde can't write.
    unwritable: usize,
    /// Values that serde wrote as invalid JSON, or with a duplicate key.
    broken: usize,
    /// Pairs of which every value is read, but some lose digits.
    lossy: usize,
    /// Pairs of which every value is read, but the text of a format, such as an address, is read as a variant `other`.
    swallowed: usize,
    /// Values that their own type does not read, because a key of a map is the name of a field.
    foreign: usize,
    disagreements: Vec<String>,
}

fn check<P, C>(index: usize, tally: &mut Tally)
where
    P: Schema + Serialize + DeserializeOwned + Sample,
    C: Schema + DeserializeOwned,
{
    let verdict = const { <C as Schema>::TYPE.can_read(<P as Schema>::TYPE) };
    tally.pairs += 1;
    tally.readable += usize::from(verdict.is_ok());
    let mut random = Random { state: index as u64, ..Random::default() };
    collect_names(C::TYPE, false, 0, &mut random.names);
    collect_names(C::TYPE, true, 0, &mut random.fields);
    collect_names(P::TYPE, true, 0, &mut random.fields);
    let mut refused = None;
    for round in 0..MORE_VALUES {
        if round >= VALUES && (verdict.is_ok() || refused.is_some()) {
            break;
        }
        TURN.set(round as u64);
        random.key_is_field = false;
        random.writable = only_writable(round);
        let Ok(json) = to_json(&P::sample(&mut random)) else {
            // A value that can't be written, such as a tag next to something that is not an object, is not read.
            tally.unwritable += 1;
            continue;
        };
        // serde writes a duplicate key if a flattened map has the name of a field as a key.
        if from_json::<Sound>(&json).is_err() {
            tally.broken += 1;
            continue;
        }
        tally.checks += 1;
        if let Err(error) = from_json::<C>(&json) {
            // A key of a flattened map that is the name of a field: the producer does not read it either. The values
            // without such keys show that the verdict is right.
            if verdict.is_ok() && random.key_is_field && from_json::<P>(&json).is_err() {
                tally.foreign += 1;
                continue;
            }
            refused.get_or_insert((json, error));
        }
    }
    match (verdict, refused) {
        (Ok(()), Some((json, error))) => {
            tally.disagreements.push(format!("{index}: said to be readable, but {json}: {error}"));
        }
        // serde reads such a number as another one.
        (Err(mismatch), None) if mismatch.to_string().ends_with("can't represent all of its digits") => {
            tally.lossy += 1
        }
        // No such text is the name of a variant with data, which serde would refuse. But the text is lost.
        (Err(mismatch), None) if is_swallowed(&mismatch.to_string()) => tally.swallowed += 1,
        (Err(mismatch), None) => {
            tally.disagreements.push(format!("{index}: all values are read, but {mismatch}"))
        }
        _ => {}
    }
}

/// Every second of the further values is generated so that it can be written. Otherwise hardly any value of a type with
/// many parts could be.
fn only_writable(round: usize) -> bool {
    round >= VALUES && round % 2 == 1
}

/// The results for types that are compared with themselves.
#[derive(Default)]
struct SelfTally {
    types: usize,
    accepted: usize,
    values: usize,
    /// Values of accepted types that were written, read and compared.
    compared: usize,
    /// Accepted types of which no value could be written.
    silent: usize,
    /// Values that are refused when they are written: NaN, too deep, or a variant with `skip_serializing`.
    unwritable: usize,
    /// Refused types of which some values could not be written, because of a variant with `skip_serializing`. The mistake
    /// may be in these values.
    partly_written: usize,
    /// Types refused because of an alias that serde never reaches, because an earlier field has that name.
    dead_aliases: usize,
    disagreements: Vec<String>,
}

fn check_itself<T>(index: usize, tally: &mut SelfTally)
where
    T: Schema + Serialize + DeserializeOwned + Sample + std::fmt::Debug,
{
    let verdict = const { T::TYPE.reads_itself() };
    tally.types += 1;
    tally.accepted += usize::from(verdict.is_ok());
    let mut random = Random { state: index as u64, unlike: true, ..Random::default() };
    let (mut wrong, mut all_written, mut written) = (None, true, 0);
    for round in 0..MORE_VALUES {
        if wrong.is_some() || round >= VALUES && verdict.is_ok() {
            break;
        }
        TURN.set(round as u64);
        random.writable = only_writable(round);
        let value = T::sample(&mut random);
        tally.values += 1;
        wrong = match to_json(&value) {
            Ok(json) => {
                written += 1;
                mistake(&value, &json)
            }
            Err(error) if REFUSALS.iter().any(|refusal| error.contains(refusal)) => {
                tally.unwritable += 1;
                all_written &= !error.contains(REFUSALS[0]);
                None
            }
            Err(error) => Some(format!("{value:?} can't be written: {error}")),
        };
    }
    if verdict.is_ok() {
        tally.compared += written;
        tally.silent += usize::from(written == 0);
    }
    match (verdict, wrong) {
        (Ok(()), Some(wrong)) => {
            tally.disagreements.push(format!("{index}: said to read what it writes, but {wrong}"));
        }
        (Err(mismatch), None) if mismatch.to_string().contains("another part of it is named `") => {
            tally.dead_aliases += 1;
        }
        (Err(_), None) if !all_written => tally.partly_written += 1,
        (Err(mismatch), None) => {
            tally.disagreements.push(format!("{index}: all values come back, but {mismatch}"))
        }
        _ => {}
    }
}

/// Returns whether an accepted type may refuse to write a value: because of a variant with `skip_serializing`, a number
/// that is not finite, or a nesting deeper than what is read.
const REFUSALS: [&str; 3] = ["cannot be serialized", "finite", "nested deeper than"];

/// Returns how a value that is written as `json` differs when it is read back. The text of a value shows each bit of a
/// float.
fn mistake<T: DeserializeOwned + std::fmt::Debug>(value: &T, json: &str) -> Option<String> {
    if let Err(error) = from_json::<Sound>(json) {
        return Some(format!("{value:?} is written as {json}: {error}"));
    }
    match from_json::<T>(json) {
        Err(error) => Some(format!("{value:?} is written as {json}: {error}")),
        Ok(read) => {
            let (before, after) = (format!("{value:?}"), format!("{read:?}"));
            (before != after).then(|| format!("{before} comes back as {after}"))
        }
    }
}

#[test]
fn types_that_are_accepted_read_what_they_write() {
    let mut tally = SelfTally::default();
    check_selves(&mut tally);
    let SelfTally {
        types,
        accepted,
        values,
        compared,
        silent,
        unwritable,
        partly_written,
        dead_aliases,
        disagreements,
    } = &tally;
    println!(
        "{types} types, {accepted} of them accepted, {values} values ({compared} compared, {unwritable} of them can't be written), {} disagreements, {dead_aliases} types refused for an alias that is never looked at, {partly_written} that hold a variant that is never written",
        disagreements.len()
    );
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    // Stop at the first mistake of a refused type. The number of values matters only for accepted types.
    assert!(*types >= 300 && compared * 2 >= accepted * VALUES, "too few to mean anything");
    assert!(silent * 20 <= *accepted, "no value of {silent} accepted types can be written");
    assert!(accepted * 5 > *types && accepted * 10 < types * 9, "too many alike: {accepted} of {types}");
}

#[test]
fn constants_agree_with_serde() {
    let mut tally = Tally::default();
    check_all(&mut tally);
    let Tally { pairs, readable, checks, unwritable, broken, foreign, lossy, swallowed, disagreements } =
        &tally;
    println!(
        "{pairs} pairs, {readable} of them readable, {checks} values ({unwritable} more that can't be written, {broken} that serde wrote as no sound JSON, {foreign} that their own type does not read), {lossy} pairs that lose digits, {swallowed} in which a variant `other` swallows texts, {} disagreements",
        disagreements.len()
    );
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(*pairs >= 300 && *checks >= 100_000, "too few to mean anything");
    assert!(readable * 5 > *pairs && readable * 5 < pairs * 4, "too many alike: {readable} of {pairs}");
}

/// Returns whether the refusal is about a format that an enum with a variant `other` reads.
fn is_swallowed(mismatch: &str) -> bool {
    const FORMATS: [&str; 9] =
        ["ip", "ipv4", "ipv6", "socket", "socket-v4", "socket-v6", "uuid", "date-time", "decimal"];
    let refused =
        mismatch.strip_suffix("Other` is expected").and_then(|start| start.split_once("` is written, but `"));
    let found = refused.and_then(|(before, _)| before.rsplit_once('`'));
    found.is_some_and(|(_, format)| FORMATS.contains(&format))
}

/// JSON without duplicate keys.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Sound;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
                let mut keys = std::collections::BTreeSet::new();
                while let Some((key, Sound)) = map.next_entry::<String, Sound>()? {
                    if !keys.insert(key) {
                        return Err(serde::de::Error::custom("a key is there twice"));
                    }
                }
                Ok(Sound)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
                while let Some(Sound) = items.next_element()? {}
                Ok(Sound)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
                Ok(Sound)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
                Ok(Sound)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
                Ok(Sound)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
                Ok(Sound)
            }
            fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
                Ok(Sound)
            }
            fn visit_unit<E>(self) -> Result<Sound, E> {
                Ok(Sound)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Returns the names that a type reads, or all names that it reads or writes.
fn collect_names(shape: &'static TypeSchema, all: bool, depth: usize, names: &mut Vec<&'static str>) {
    if depth > 8 {
        return;
    }
    match shape {
        TypeSchema::Named(named) => collect_names(named.get().shape, all, depth + 1, names),
        TypeSchema::Option(inner) | TypeSchema::Sequence(inner, _) | TypeSchema::Map(_, inner) => {
            collect_names(inner, all, depth + 1, names);
        }
        TypeSchema::Tuple(items) => items.iter().for_each(|item| collect_names(item, all, depth + 1, names)),
        TypeSchema::Differs { read, written } => {
            collect_names(read, all, depth + 1, names);
            if all {
                collect_names(written, all, depth + 1, names);
            }
        }
        TypeSchema::Struct(schema) => {
            for field in schema.fields {
                names.extend(field.read.iter().chain(field.aliases));
                if all {
                    names.extend(field.written);
                }
                collect_names(field.shape, all, depth + 1, names);
            }
        }
        TypeSchema::Enum(schema) => {
            for variant in schema.variants {
                names.extend(variant.read.iter().chain(variant.aliases));
                if all {
                    names.extend(variant.written);
                }
                variant.body.iter().for_each(|body| collect_names(body, all, depth + 1, names));
            }
            if let (true, Tag::Internal(tag)) = (all, schema.tag) {
                names.push(tag);
            }
            if let (true, Tag::Adjacent(tag, content)) = (all, schema.tag) {
                names.extend([tag, content]);
            }
        }
        _ => {}
    }
}

/// A random number generator (splitmix64) with the names that random texts are chosen from.
#[derive(Default)]
struct Random {
    state: u64,
    names: Vec<&'static str>,
    /// The names of fields, variants and tags.
    fields: Vec<&'static str>,
    /// Whether a generated key of a map is one of `fields`.
    key_is_field: bool,
    /// Whether texts and `Value`s must differ from everything else that is written.
    unlike: bool,
    /// Whether to generate only values that can be written and read back by their own type: all numbers finite, no deep
    /// nesting, and no key of a map that is the name of a field.
    writable: bool,
}

impl Random {
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// Leaves out about half of the values. Decides the same each time for one object, because serde asks twice.
fn at_times<T>(value: &T) -> bool {
    let address = std::ptr::from_ref(value).addr() as u64;
    let mixed = (TURN.get() ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 63 == 0
}

/// Leaves out the value that serde reads for a missing field.
fn is_default<T: Default + std::fmt::Debug>(value: &T) -> bool {
    format!("{value:?}") == format!("{:?}", T::default())
}

/// Returns the same value each time.
fn first<T: Sample>() -> T {
    T::sample(&mut Random { state: 1, unlike: true, ..Random::default() })
}

/// Leaves out the value of `first`.
fn is_first<T: Sample + std::fmt::Debug>(value: &T) -> bool {
    format!("{value:?}") == format!("{:?}", first::<T>())
}

fn yes() -> bool {
    true
}

/// Returns a value that is not empty.
fn filled<T: Filled>() -> T {
    T::filled()
}

trait Filled {
    fn filled() -> Self;
}

impl<T: Sample> Filled for Option<T> {
    fn filled() -> Self {
        Some(first())
    }
}

impl<T: Sample> Filled for Vec<T> {
    fn filled() -> Self {
        vec![first()]
    }
}

impl<K: Sample + Ord + Serialize, V: Sample> Filled for BTreeMap<K, V> {
    fn filled() -> Self {
        Self::from([(first(), first())])
    }
}

thread_local! {
    /// Another one for each value that is written.
    static TURN: std::cell::Cell<u64> = const { std::cell::Cell::new(1) };
}

trait Sample {
    fn sample(random: &mut Random) -> Self;
}

macro_rules! integers {
    ($($ty:ty)+) => {
        $(impl Sample for $ty {
            fn sample(random: &mut Random) -> Self {
                match random.below(6) {
                    5 => (1u64 << 53 | 1) as $ty,
                    0 => <$ty>::MIN,
                    1 => <$ty>::MAX,
                    2 => 1,
                    3 => 0,
                    _ => random.bits() as $ty,
                }
            }
        })+
    };
}

integers!(u8 u16 u32 u64 i8 i16 i32 i64 u128 i128);

macro_rules! samples {
    ($($ty:ty: $($value:expr),+;)+) => {
        $(impl Sample for $ty {
            fn sample(random: &mut Random) -> Self {
                let values = [$($value),+];
                let index = random.below(values.len());
                values.into_iter().nth(index).unwrap()
            }
        })+
    };
}

macro_rules! floats {
    ($($ty:ty: $($value:expr),+;)+) => {
        $(impl Sample for $ty {
            fn sample(random: &mut Random) -> Self {
                let mut values = vec![$($value),+];
                values.retain(|value: &$ty| !random.writable || value.is_finite());
                values[random.below(values.len())]
            }
        })+
    };
}

floats! {
    f32: 0.0, -0.0, -1.5, f32::MAX, f32::MIN_POSITIVE, 1.0, f32::from_bits(1), 0.1, f32::NAN, f32::INFINITY;
    f64: 0.0, -0.0, -1.5, f64::MAX, f64::MIN_POSITIVE, 1.0, 9_007_199_254_740_993.0, f64::from_bits(1), 0.1, 5e-324, 1.0 / 3.0,
        f64::NAN, f64::NEG_INFINITY;
}

samples! {
    bool: true, false;
    char: 'a', 'é', '"', '7', '漢';
    (): ();
    std::net::Ipv4Addr: [127, 0, 0, 1].into();
    std::net::IpAddr: [127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into();
    std::net::SocketAddr: ([127, 0, 0, 1], 1).into(), (std::net::Ipv6Addr::LOCALHOST, 1).into();
    std::net::SocketAddrV4: std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 1);
}

impl Sample for serde_json::Value {
    fn sample(random: &mut Random) -> Self {
        use serde_json::json;
        if random.unlike {
            return json!({"no such name": [{"a": -1.5}, null]});
        }
        if random.below(16) == 0 && !random.writable {
            // Alone, the value has the maximum depth that is read. Inside another value, it is too deep.
            return (0..127).fold(json!(null), |value, _| json!([value]));
        }
        let values = [json!(null), json!(1), json!("a"), json!([1, null]), json!({"a": -1.5}), json!(true)];
        let index = random.below(values.len());
        values.into_iter().nth(index).unwrap()
    }
}

impl Sample for String {
    fn sample(random: &mut Random) -> Self {
        if random.unlike {
            let texts = ["", "some text", "twelve", "\u{0}\"é", "2026-02-30", "-"];
            // A text of one character is also a `char`.
            return texts[random.below(texts.len() - 1)].to_owned();
        }
        let texts = ["", "a", "some text", "12", "true", "\u{0}\"é"];
        let index = random.below(texts.len() + random.names.len().min(6));
        match texts.get(index) {
            Some(text) => (*text).to_owned(),
            None => {
                let index = random.below(random.names.len());
                random.names[index].to_owned()
            }
        }
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(random: &mut Random) -> Self {
        (random.below(3) > 0).then(|| T::sample(random))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(random: &mut Random) -> Self {
        (0..random.below(4)).map(|_| T::sample(random)).collect()
    }
}

impl<T: Sample> Sample for Box<T> {
    fn sample(random: &mut Random) -> Self {
        Self::new(T::sample(random))
    }
}

impl<T: Sample, const N: usize> Sample for [T; N] {
    fn sample(random: &mut Random) -> Self {
        std::array::from_fn(|_| T::sample(random))
    }
}

impl<K: Sample + Ord + Serialize, V: Sample> Sample for BTreeMap<K, V> {
    fn sample(random: &mut Random) -> Self {
        let mut map = Self::new();
        for _ in 0..random.below(3) {
            let key = K::sample(random);
            if let Ok(text) = serde_json::to_string(&key) {
                let is_field = random.fields.contains(&text.trim_matches('"'));
                if is_field && random.writable {
                    continue;
                }
                random.key_is_field |= is_field;
            }
            map.insert(key, V::sample(random));
        }
        map
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {
        $(impl<$($name: Sample),+> Sample for ($($name,)+) {
            fn sample(random: &mut Random) -> Self {
                ($($name::sample(random),)+)
            }
        })+
    };
}

tuples!(A; A B; A B C;);

/// A type that contains itself. Each of its levels is two levels of JSON.
#[derive(Debug, Default, Serialize, Deserialize, Schema)]
struct Nest {
    within: Vec<Nest>,
}

impl Sample for Nest {
    fn sample(random: &mut Random) -> Self {
        let depths = [0, 1, 2, 3, 55, 60, 62];
        let count = if random.writable { 4 } else { depths.len() };
        (0..depths[random.below(count)]).fold(Self::default(), |nest, _| Self { within: vec![nest] })
    }
}

// Types that are used as keys of maps.

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeyUnit {
    One,
    Two,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
struct KeyNew(u64);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeyData {
    None,
    Some(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(untagged)]
enum KeyText {
    Letter(KeyUnit),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
struct KeyStruct {
    id: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
struct KeyFloat(f64);

impl PartialEq for KeyFloat {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for KeyFloat {}

impl PartialOrd for KeyFloat {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyFloat {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeyRest {
    One,
    #[serde(other)]
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(into = "String", from = "u64")]
struct KeyConverted(u64);

impl From<KeyConverted> for String {
    fn from(key: KeyConverted) -> Self {
        format!("k{}", key.0)
    }
}

impl From<u64> for KeyConverted {
    fn from(key: u64) -> Self {
        Self(key)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeyRenamed {
    #[serde(rename(serialize = "a", deserialize = "b"))]
    One,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeySkipped {
    #[serde(skip_deserializing)]
    One,
    Two,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum KeyTwice {
    #[serde(rename = "x")]
    One,
    #[serde(rename = "x")]
    Two,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(untagged)]
enum KeyTextFirst {
    Text(String),
    Letter(KeyUnit),
}

samples! {
    KeyRest: KeyRest::One, KeyRest::Rest;
    KeyConverted: KeyConverted(1);
    KeyRenamed: KeyRenamed::One;
    KeySkipped: KeySkipped::One, KeySkipped::Two;
    KeyTwice: KeyTwice::One, KeyTwice::Two;
    KeyTextFirst: KeyTextFirst::Text("some text".into()), KeyTextFirst::Letter(KeyUnit::One);
    KeyUnit: KeyUnit::One, KeyUnit::Two;
    KeyData: KeyData::None, KeyData::Some(1);
    KeyText: KeyText::Letter(KeyUnit::One), KeyText::Text("some text".into());
    KeyStruct: KeyStruct { id: 1 };
    KeyNew: KeyNew(0), KeyNew(u64::MAX);
}

impl Sample for KeyFloat {
    fn sample(random: &mut Random) -> Self {
        let values = [1.5, -0.0, f64::MAX, f64::NAN];
        let count = if random.writable { 3 } else { values.len() };
        Self(values[random.below(count)])
    }
}
