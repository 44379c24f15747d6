//! Comparisons of a type with itself and with others, checked against what serde does with the same values.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_events::__private::{from_json, to_json};
use typed_events::Schema;
use typed_events::schema::TypeSchema;

/// Checks that a type reports that it can't read back what it writes, and that the value really does not come back.
#[track_caller]
fn refused<T>(value: &T, because: &str)
where
    T: Schema + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let mismatch = T::TYPE.reads_itself().expect_err(because).to_string();
    assert!(mismatch.contains(because), "{mismatch}");
    let json = to_json(value);
    let read = json.as_ref().map(|json| from_json::<T>(json));
    let comes_back = matches!(&read, Ok(Ok(read)) if format!("{read:?}") == format!("{value:?}"));
    assert!(!comes_back, "{value:?} comes back");
}

#[track_caller]
fn accepted<T>(value: &T)
where
    T: Schema + Serialize + DeserializeOwned + std::fmt::Debug,
{
    T::TYPE.reads_itself().unwrap();
    let json = to_json(value).unwrap();
    let read = from_json::<T>(&json).unwrap();
    assert_eq!(format!("{read:?}"), format!("{value:?}"));
}

macro_rules! types {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)+) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Schema)]
            $(#[$attribute])*
            $kind $name $body
        )+
    };
}

types! {
    struct Big { total: u128 }
    struct Total { total: u8 }
    #[serde(deny_unknown_fields)]
    struct Strict { total: u8 }
    struct AllOptional { total: Option<u8> }
    enum Plain { One, Two }
    enum Data { One(u8) }
    #[serde(tag = "kind")]
    enum Tagged { One, Two { x: u8 } }
    #[serde(tag = "kind", content = "content")]
    enum Adjacent { One, Two { x: u8 } }
    #[serde(untagged)]
    enum Text { Plain(Plain), Text(String) }
    #[serde(untagged)]
    enum Number { Number(u8) }
    #[serde(transparent)]
    struct Transparent { key: u64 }
}

#[test]
fn v1_keys_of_every_kind() {
    #[track_caller]
    fn bad<K: Ord + Schema + Serialize + DeserializeOwned + std::fmt::Debug>(key: K) {
        refused(&BTreeMap::from([(key, 1u8)]), "can't be the key of a map");
    }
    bad((1u8, 2u8));
    bad(vec![1u8]);
    bad([1u8, 2]);
    bad(());
    bad(Data::One(1));
    bad(Tagged::One);
    bad(Adjacent::One);
    bad(Total { total: 1 });
    // `None` would be read back as `Some`.
    <BTreeMap<Option<u8>, u8>>::TYPE.reads_itself().unwrap_err();
    <HashMap<Option<String>, u8>>::TYPE.reads_itself().unwrap_err();
    // The key is written as text, and an untagged enum then sees only text, not a number.
    refused(&BTreeMap::from([(Number::Number(1), 1u8)]), "numbers as keys");

    accepted(&BTreeMap::from([(u128::MAX, 1u8)]));
    accepted(&BTreeMap::from([(i128::MIN, 1u8)]));
    accepted(&BTreeMap::from([(true, 'x')]));
    accepted(&BTreeMap::from([('x', BTreeMap::<u8, u8>::new())]));
    accepted(&BTreeMap::from([(Plain::Two, 1u8)]));
    accepted(&BTreeMap::from([(Text::Plain(Plain::One), 1u8), (Text::Text("text".into()), 2)]));
    accepted(&BTreeMap::from([(Transparent { key: u64::MAX }, 1u8)]));
    accepted(&BTreeMap::from([(std::net::IpAddr::from([127, 0, 0, 1]), 1u8)]));
}

#[test]
#[allow(unreachable_patterns, reason = "two variants of one name")]
fn v1_keys_that_are_read_under_other_names() {
    types! {
        #[serde(into = "String", from = "u64")]
        struct Converted { n: u64 }
        #[serde(into = "String", try_from = "String")]
        struct Parsed { n: u64 }
        #[serde(into = "u64", from = "u64")]
        struct Numbered { n: u64 }
        enum Names { #[serde(rename(serialize = "a", deserialize = "b"))] A }
        enum Skipped { #[serde(skip_deserializing)] A, B }
        enum Twice { #[serde(rename = "x")] A, #[serde(rename = "x")] B }
        #[serde(untagged)]
        enum TextFirst { Text(String), Plain(Plain) }
        enum Aliased { #[serde(rename(serialize = "a", deserialize = "b"), alias = "a")] A }
        enum Unwritten { #[serde(skip_serializing)] A, B }
        enum Rest { A, #[serde(other)] Rest }
        enum Half { A, #[serde(untagged)] Text(String) }
    }
    impl From<Converted> for String {
        fn from(key: Converted) -> Self {
            format!("k{}", key.n)
        }
    }
    impl From<Parsed> for String {
        fn from(key: Parsed) -> Self {
            key.n.to_string()
        }
    }
    impl TryFrom<String> for Parsed {
        type Error = std::num::ParseIntError;
        fn try_from(text: String) -> Result<Self, Self::Error> {
            text.parse().map(|n| Self { n })
        }
    }
    impl From<u64> for Converted {
        fn from(n: u64) -> Self {
            Self { n }
        }
    }
    impl From<u64> for Numbered {
        fn from(n: u64) -> Self {
            Self { n }
        }
    }
    impl From<Numbered> for u64 {
        fn from(key: Numbered) -> Self {
            key.n
        }
    }
    fn map<K: Ord>(key: K) -> BTreeMap<K, u8> {
        BTreeMap::from([(key, 1)])
    }
    refused(&map(Converted { n: 1 }), ".(key): `String` is written, but `u64` is expected");
    refused(&map(Names::A), ".(key).a: it is written as `a` and read as `b`");
    refused(&map(Skipped::A), ".(key).A: it is written, but never read");
    refused(&map(Twice::B), ".(key).x: another part of it is named `x`, too");
    refused(
        &map(TextFirst::Plain(Plain::One)),
        ".(key).Plain: the variant `Text` before it also reads some of its values",
    );

    accepted(&map(Parsed { n: 1 }));
    accepted(&map(Numbered { n: 1 }));
    accepted(&map(Aliased::A));
    accepted(&map(Unwritten::B));
    accepted(&map(Rest::Rest));
    accepted(&map(Half::Text("text".into())));
}

#[test]
fn v1_flattened_fields() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        id: u64,
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Two<A, B> {
        #[serde(flatten)]
        one: A,
        #[serde(flatten)]
        two: B,
    }
    let map = || HashMap::from([("key".to_owned(), 1u8)]);
    refused(&Flat { id: 1, inner: Big { total: 1 } }, "128 bits");
    refused(&Flat { id: 1, inner: Some(Big { total: 1 }) }, "128 bits");
    refused(&Flat { id: 1, inner: Flat { id: 1, inner: Total { total: 1 } } }, "is named `id`");
    refused(&Flat { id: 1, inner: HashMap::from([(1u64, 1u8)]) }, "numbers as keys");
    refused(&Flat { id: 1, inner: HashMap::from([(true, 1u8)]) }, "numbers as keys");
    refused(&Flat { id: 1, inner: None::<AllOptional> }, "comes back as `Some`");
    refused(&Flat { id: 1, inner: None::<HashMap<String, u8>> }, "comes back as `Some`");
    refused(&Flat { id: 1, inner: 1u8 }, "can't be flattened");
    refused(&Two { one: map(), two: Total { total: 1 } }, "also reads the entries of `two`");
    refused(
        &Two { one: Tagged::One, two: HashMap::<String, String>::new() },
        "also reads the entries of `one`",
    );
    refused(&Two { one: Total { total: 1 }, two: Strict { total: 1 } }, "is named `total`");
    refused(
        &Two { one: map(), two: HashMap::from([("other".to_owned(), 1u8)]) },
        "also reads the entries of",
    );

    accepted(&Flat { id: 1, inner: Total { total: 1 } });
    accepted(&Flat { id: 1, inner: map() });
    accepted(&Flat { id: 1, inner: None::<Total> });
    accepted(&Flat { id: 1, inner: Some(Tagged::Two { x: 1 }) });
    accepted(&Two { one: Total { total: 1 }, two: map() });
    accepted(&Two { one: Adjacent::Two { x: 1 }, two: map() });
    accepted(&Two { one: Data::One(1), two: map() });
    accepted(&Two { one: Tagged::Two { x: 1 }, two: Total { total: 2 } });
    accepted(&Flat { id: 1, inner: Two { one: Total { total: 1 }, two: map() } });
}

/// Defines a struct with many fields.
macro_rules! many {
    ($type:ident: $($field:ident)+) => {
        #[derive(Debug, Serialize, Deserialize, Schema)]
        struct $type {
            $($field: u8,)+
        }

        impl $type {
            fn new() -> Self {
                Self { $($field: 1,)+ }
            }
        }
    };
}

#[test]
fn v1_a_flattened_struct_of_many_fields() {
    many! {
        Many:
            f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23
            f24 f25 f26 f27 f28 f29 f30 f31 f32 f33 f34 f35 f36 f37 f38 f39 f40 f41 f42 f43 f44 f45
            f46 f47 f48 f49 f50 f51 f52 f53 f54 f55 f56 f57 f58 f59 f60 f61 f62 f63 f64 f65 f66 f67
            f68 f69 f70 f71 f72 f73 f74 f75 f76 f77 f78 f79
    }
    many! {
        Others:
            g0 g1 g2 g3 g4 g5 g6 g7 g8 g9 g10 g11 g12 g13 g14 g15 g16 g17 g18 g19 g20 g21 g22 g23
            g24 g25 g26 g27 g28 g29 g30 g31 g32 g33 g34 g35 g36 g37 g38 g39 g40 g41 g42 g43 g44 g45
            g46 g47 g48 g49 g50 g51 g52 g53 g54 g55 g56 g57 g58 g59 g60 g61 g62 g63 g64 g65 g66 g67
            g68 g69 g70 g71 g72 g73 g74 f76
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        total: u8,
        #[serde(flatten)]
        many: Many,
        #[serde(flatten)]
        other: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Outer {
        f70: u8,
        #[serde(flatten)]
        many: Many,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Aliased {
        #[serde(alias = "f79")]
        x: u8,
        #[serde(flatten)]
        many: Many,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "f77")]
    enum InTag {
        Many(Many),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Last {
        f79: u8,
    }
    refused(&Outer { f70: 2, many: Many::new() }, "is named `f70`");
    refused(&Aliased { x: 2, many: Many::new() }, "is named `f79`");
    refused(&InTag::Many(Many::new()), "`f77`");
    refused(&Flat { total: 1, many: Many::new(), other: Last { f79: 1 } }, "is named `f79`");
    refused(&Flat { total: 1, many: Many::new(), other: Some(Many::new()) }, "is named `f0`");
    refused(&Flat { total: 1, many: Many::new(), other: Others::new() }, "is named `f76`");
    accepted(&Flat { total: 1, many: Many::new(), other: Data::One(1) });
}

#[test]
fn v1_null_for_two_values() {
    refused(&Some(None::<u8>), "`Some(None)`");
    refused(&vec![Some(())], "`Some` of `()`");
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Nothing {
        Nothing,
    }
    refused(&Some(Nothing::Nothing), "`Some` of `Nothing`");
    accepted(&Some(vec![None, Some(1u8)]));
}

/// serde reads such a value without an error. The message says which digits, order or part of a text are lost, and not
/// that no variant fits.
#[test]
fn v9_what_untagged_variants_read_with_a_loss() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Any<T> {
        Flag(bool),
        Of(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Fields<T> {
        Other { other: char },
        Of { n: T },
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    enum Rest<T> {
        Known,
        #[serde(untagged)]
        Of(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Plain<T> {
        n: T,
    }
    #[track_caller]
    fn mismatch_of<R: Schema, W: Schema>(because: &str) {
        let mismatch = R::TYPE.can_read(W::TYPE).unwrap_err().to_string();
        assert!(mismatch.ends_with(because), "{mismatch}");
    }
    mismatch_of::<Any<f64>, u64>("`u64` is written, but `f64` can't represent all of its digits");
    mismatch_of::<Any<Vec<f32>>, Any<Vec<u128>>>(
        "[]: `u128` is written, but `f32` can't represent all of its digits",
    );
    mismatch_of::<Any<Plain<f64>>, Plain<i64>>(
        ".n: `i64` is written, but `f64` can't represent all of its digits",
    );
    mismatch_of::<Any<Plain<Option<f64>>>, Plain<Option<i64>>>("` can't represent all of its digits");
    mismatch_of::<Any<Plain<f64>>, Plain<Option<i64>>>("none of the variants reads it");
    mismatch_of::<Fields<f64>, Plain<i64>>(
        ".n: `i64` is written, but `f64` can't represent all of its digits",
    );
    mismatch_of::<Fields<f64>, Fields<i64>>(
        ".n: `i64` is written, but `f64` can't represent all of its digits",
    );
    mismatch_of::<Fields<Option<f64>>, HashMap<String, i64>>(
        ".n: `i64` is written, but `f64` can't represent all of its digits",
    );
    mismatch_of::<Rest<f64>, u64>("` can't represent all of its digits");
    mismatch_of::<Rest<Plain<f64>>, Plain<u64>>(
        ".n: `u64` is written, but `f64` can't represent all of its digits",
    );
    mismatch_of::<Plain<Any<f32>>, Plain<f64>>(
        ".n: `f64` is written, but `f32` can't represent all of its digits",
    );
    mismatch_of::<Any<std::collections::BTreeSet<u8>>, Vec<u8>>("a set keeps neither");
    mismatch_of::<Any<Moment>, WithOffset>("keeps only a part of it");

    mismatch_of::<Any<u8>, u64>("none of the variants reads it");
    mismatch_of::<Fields<u8>, Plain<u64>>("none of the variants reads it");
    // Another variant reads the value without a loss.
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Both {
        Exact(u64),
        Float(f64),
    }
    Both::TYPE.can_read(u64::TYPE).unwrap();
    <Any<f64>>::TYPE.can_read(u32::TYPE).unwrap();
}

/// serde passes only the tag and the content to a flattened, adjacently tagged enum, so it never sees a field that it
/// denies.
#[test]
fn v9_denied_fields_of_flattened_adjacent_enums() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t", content = "c", deny_unknown_fields)]
    enum Strict {
        Unit,
        Fields { x: u8 },
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t", content = "c", deny_unknown_fields)]
    enum WithRest {
        Unit,
        Fields {
            x: u8,
        },
        #[serde(untagged)]
        Rest {
            no: u8,
        },
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Beside<T> {
        id: u8,
        #[serde(flatten)]
        inner: T,
    }
    let written = Beside { id: 1, inner: Strict::Fields { x: 1 } };
    let json = to_json(&written).unwrap();
    from_json::<Flat<Strict>>(&json).unwrap();
    <Flat<Strict>>::TYPE.can_read(<Beside<Strict>>::TYPE).unwrap();
    <Flat<Option<Strict>>>::TYPE.can_read(<Beside<Strict>>::TYPE).unwrap();
    from_json::<Strict>(&json).unwrap_err();
    Strict::TYPE.can_read(<Beside<Strict>>::TYPE).unwrap_err();
    from_json::<Flat<WithRest>>(&json).unwrap_err();
    <Flat<WithRest>>::TYPE.can_read(<Beside<Strict>>::TYPE).unwrap_err();
}

/// serde finds a flattened, externally tagged variant only by the names of the enum's variants.
#[test]
fn v9_unknown_variants_beside_other_fields() {
    types! {
        enum Rest { A(u8), #[serde(other)] Rest }
        enum Wide { A(u8), B(()) }
        enum Known { A(u8), Rest }
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    let json = to_json(&Wide::B(())).unwrap();
    assert_eq!(json, to_json(&Flat { inner: Wide::B(()) }).unwrap());
    from_json::<Rest>(&json).unwrap();
    Rest::TYPE.can_read(Wide::TYPE).unwrap();
    from_json::<Flat<Rest>>(&json).unwrap_err();
    <Flat<Rest>>::TYPE.can_read(<Flat<Wide>>::TYPE).unwrap_err();
    <Flat<Rest>>::TYPE.can_read(Wide::TYPE).unwrap_err();
    <Flat<Option<Rest>>>::TYPE.can_read(<Flat<Wide>>::TYPE).unwrap_err();
    // The variant `Rest` is found by its own name.
    from_json::<Flat<Rest>>(&to_json(&Flat { inner: Known::Rest }).unwrap()).unwrap();
    <Flat<Rest>>::TYPE.can_read(<Flat<Known>>::TYPE).unwrap();
}

/// A flattened enum with an untagged variant gets all entries, so the name of a variant must be the only entry.
#[test]
fn v9_flattened_enums_with_an_untagged_variant() {
    types! {
        enum Half { A(u8), #[serde(untagged)] Else { no: u8 } }
        enum OnlyA { A(u8) }
        enum OnlyNo { #[serde(rename = "no")] No(u8) }
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Beside<T> {
        id: u8,
        #[serde(flatten)]
        inner: T,
    }
    let json = to_json(&Beside { id: 1, inner: OnlyA::A(1) }).unwrap();
    from_json::<Flat<OnlyA>>(&json).unwrap();
    <Flat<OnlyA>>::TYPE.can_read(<Beside<OnlyA>>::TYPE).unwrap();
    from_json::<Beside<Half>>(&json).unwrap();
    <Beside<Half>>::TYPE.can_read(<Beside<OnlyA>>::TYPE).unwrap();
    from_json::<Flat<Half>>(&json).unwrap_err();
    <Flat<Half>>::TYPE.can_read(<Beside<OnlyA>>::TYPE).unwrap_err();
    <Flat<Half>>::TYPE.can_read(<Flat<OnlyA>>::TYPE).unwrap();
    from_json::<Flat<Half>>(&to_json(&Beside { id: 1, inner: OnlyNo::No(1) }).unwrap()).unwrap();
    <Flat<Half>>::TYPE.can_read(<Beside<OnlyNo>>::TYPE).unwrap();

    refused(&two(Flat { inner: Half::A(1) }, Flat { inner: OnlyA::A(1) }), BECAUSE);
    accepted(&two(Flat { inner: Half::A(1) }, Beside { id: 1, inner: OnlyA::A(1) }));
}

/// serde also reads an array as a tagged enum: its first element is the tag, and a number is the index of a variant.
#[test]
fn v1_arrays_before_untagged_variants() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t", content = "c")]
    enum Apart<T> {
        Number(i8),
        Unit,
        Fields {
            x: u8,
        },
        #[serde(untagged)]
        Else(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t")]
    enum Inside<T> {
        Unit,
        #[serde(untagged)]
        Else(T),
    }
    let because = "before it also reads some of its values";
    refused(&Apart::Else([0u32, 0]), because);
    refused(&Apart::Else((0u8, 1u8)), because);
    refused(&Apart::Else(vec![0u8, 1]), because);
    refused(&Apart::Else((1u8, ())), because);
    refused(&Apart::Else((Some(0u8), 1u8)), because);
    refused(&Inside::Else((0u8,)), because);
    refused(&Inside::Else(vec![0u8]), because);

    accepted(&Apart::Else((0u8, "text".to_owned())));
    accepted(&Apart::Else((2u8, [1u8])));
    accepted(&Apart::Else([0u8, 1, 2]));
    accepted(&Apart::Else((true, 1u8)));
    accepted(&Apart::Else((3u8, "text".to_owned())));
    accepted(&Apart::Else(vec![false, true]));
    accepted(&Inside::Else((0u8, 1u8)));
    accepted(&Inside::Else((true,)));
}

/// serde also reads an array as an internally tagged variant: first the tag, then the content of the variant.
#[test]
fn v1_arrays_before_variants_beside_a_tag() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t")]
    enum Inside<T> {
        Fields {
            x: u8,
        },
        Unit,
        New(Total),
        #[serde(untagged)]
        Else(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "t")]
    enum Lists<T> {
        #[serde(skip_serializing)]
        Pair((u8, u8)),
        #[serde(skip_serializing)]
        All(Vec<bool>),
        Default {
            #[serde(default)]
            x: u8,
        },
        #[serde(untagged)]
        Else(T),
    }
    types! {
        enum Tag { New }
    }
    let because = "before it also reads some of its values";
    refused(&Inside::Else((0u8, 1u8)), because);
    refused(&Inside::Else([0u8, 1]), because);
    refused(&Inside::Else(vec![0u8, 1]), because);
    refused(&Inside::Else((2u8, 1u8)), because);
    refused(&Inside::Else((Tag::New, 1u8)), because);
    refused(&Inside::Else((1u8,)), because);
    refused(&Lists::Else((0u8, 1u8, 2u8)), because);
    refused(&Lists::Else((1u8, true, false)), because);
    refused(&Lists::Else((2u8,)), because);

    accepted(&Inside::Else((0u8, "text".to_owned())));
    accepted(&Inside::Else((0u8, 1u8, 2u8)));
    accepted(&Inside::Else((Tag::New,)));
    accepted(&Inside::Else((Tag::New, true)));
    accepted(&Inside::Else((true, 1u8)));
    accepted(&Inside::Else((3u8, "text".to_owned())));
    accepted(&Lists::Else((1u8, true, 'x')));
    accepted(&Lists::Else(("text".to_owned(), 1u8)));
}

/// If a field is skipped, the object may be read as another variant than an object with the field.
#[test]
fn v9_fields_that_are_left_out_in_untagged_variants() {
    types! {
        struct Maybe { #[serde(skip_serializing_if = "is_five", default)] n: u8 }
        struct MaybeTwo { a: u8, #[serde(skip_serializing_if = "Option::is_none")] n: Option<bool> }
        struct Needs { n: u8 }
        #[serde(deny_unknown_fields)]
        struct Empty {}
        #[serde(deny_unknown_fields)]
        struct OnlyA { a: u8 }
        enum Names { #[serde(rename = "n")] N(u8), #[serde(rename = "a")] A(u8) }
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Either<A, B> {
        A(A),
        B(B),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    #[track_caller]
    fn reads<R, W>(values: &[W], all: bool)
    where
        R: Schema + DeserializeOwned,
        W: Schema + Serialize,
    {
        let is_read = |value: &W| from_json::<R>(&to_json(value).unwrap()).is_ok();
        assert_eq!(values.iter().all(is_read), all);
        let verdict = R::TYPE.can_read(W::TYPE);
        assert_eq!(verdict.is_ok(), all, "{verdict:?}");
    }
    type Chars = BTreeMap<String, char>;
    type Numbers = BTreeMap<String, u8>;
    let maybe = [Maybe { n: 5 }, Maybe { n: 1 }];
    reads::<Either<Needs, Chars>, _>(&maybe, true);
    reads::<Either<Needs, Option<Chars>>, _>(&maybe, true);
    reads::<Either<Needs, Flat<Chars>>, _>(&maybe, true);
    reads::<Either<Needs, Empty>, _>(&maybe, true);
    reads::<Either<Names, Empty>, _>(&maybe, true);
    reads::<Either<Names, Chars>, _>(&maybe, true);
    reads::<Either<Empty, Numbers>, _>(&maybe, true);
    reads::<Either<Chars, Empty>, _>(&maybe, false);
    reads::<Names, _>(&maybe, false);
    let maybe = [MaybeTwo { a: 1, n: None }, MaybeTwo { a: 1, n: Some(true) }];
    reads::<Either<MaybeTwo, Numbers>, _>(&maybe, true);
    reads::<Either<OnlyA, BTreeMap<String, serde_json::Value>>, _>(&maybe, true);
    reads::<Either<Names, (u8, bool)>, _>(&maybe, false);
    reads::<Either<Numbers, OnlyA>, _>(&maybe, false);

    // A flattened enum writes one entry, even next to fields that other types read.
    let flat = [Flat { inner: Names::N(1) }, Flat { inner: Names::A(1) }];
    reads::<Names, _>(&flat, true);
    reads::<Flat<Names>, _>(&flat, true);
    reads::<Flat<Names>, _>(&[Names::N(1), Names::A(1)], true);
    reads::<Either<Needs, Names>, _>(&flat, true);
    reads::<Flat<Names>, _>(&[Needs { n: 1 }], true);
}

/// Distinguishes types whose only value is written as `null` from those whose only value is written otherwise.
#[test]
fn v1_null_of_types_with_one_value() {
    use std::marker::PhantomData;
    type Alias = ();
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Own;
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Braces {}
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Newtype<T>(T);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(transparent)]
    struct Through<T> {
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum One<T> {
        Some(T),
        Nothing,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Field<T> {
        of: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(tag = "kind")]
    enum Beside<T> {
        A { of: T },
    }
    let because = "` is written as `null`, which is read as `None`";
    refused(&Some(Own), because);
    refused(&Some::<Alias>(()), because);
    refused(&Some(PhantomData::<u8>), because);
    refused(&Some(Newtype(())), because);
    refused(&Some(Newtype(Own)), because);
    refused(&Some(Newtype(None::<u8>)), because);
    refused(&Some(Through { inner: Own }), because);
    refused(&Some(Through { inner: None::<Braces> }), because);
    refused(&Some(One::<u8>::Nothing), because);
    refused(&Some(Box::new(())), because);
    refused(&Box::new(Some(Own)), because);
    refused(&Some(Box::new(Newtype(Own))), because);
    refused(&Newtype(Some(())), because);
    refused(&Through { inner: Some(Own) }, because);
    refused(&Field { of: Some(Own) }, because);
    refused(&Field { of: Box::new(Some(())) }, because);
    refused(&Flat { inner: Field { of: Some(Own) } }, because);
    refused(&Beside::A { of: Some(Newtype(())) }, because);
    refused(&Flat { inner: Beside::A { of: Some(()) } }, because);
    refused(&(1u8, Some(Own)), because);
    refused(&BTreeMap::from([("key".to_owned(), Some(()))]), because);
    refused(&[Some(One::<u8>::Nothing)], because);

    accepted(&Some(Braces {}));
    accepted(&Box::new(Some(Braces {})));
    accepted(&Field { of: Box::new(Some(Braces {})) });
    accepted(&Field { of: Some(Newtype(Braces {})) });
    accepted(&Flat { inner: Field { of: Some(Braces {}) } });
    accepted(&Some((Own,)));
    accepted(&Some([(), ()]));
    accepted(&Some(Field { of: Own }));
    accepted(&Some(Field { of: None::<u8> }));
    accepted(&(Own, (), PhantomData::<u8>, Newtype(Own)));
    accepted(&One::<u8>::Nothing);
}

#[test]
fn v3_denied_fields_beside_flattened_ones() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(deny_unknown_fields)]
    struct Denies<T> {
        id: u64,
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        id: u64,
        #[serde(flatten)]
        inner: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct More {
        total: u8,
        more: u8,
    }
    let because = "unknown fields are denied";
    refused(&Denies { id: 1, inner: HashMap::from([("key".to_owned(), 1u8)]) }, because);
    refused(&Denies { id: 1, inner: serde_json::json!({"key": 1}) }, because);
    refused(&Denies { id: 1, inner: Tagged::One }, because);
    refused(&Denies { id: 1, inner: Flat { id: 2, inner: Total { total: 1 } } }, "");
    accepted(&Denies { id: 1, inner: Total { total: 1 } });
    accepted(&Denies { id: 1, inner: Some(Total { total: 1 }) });
    accepted(&Denies { id: 1, inner: Adjacent::Two { x: 1 } });

    // serde passes only the entries of its fields to a flattened struct, so it never sees a field that it denies.
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(deny_unknown_fields, tag = "type")]
    struct Typed {
        total: u8,
    }
    refused(&Typed { total: 1 }, because);
    accepted(&Flat { id: 1, inner: Typed { total: 1 } });
    accepted(&Flat { id: 1, inner: Some(Typed { total: 1 }) });
    refused(&Flat { id: 1, inner: HashMap::from([("key".to_owned(), Typed { total: 1 })]) }, because);
    refused(&Flat { id: 1, inner: Flat { id: 1, inner: Typed { total: 1 } } }, "");
    refused(&Denies { id: 1, inner: Typed { total: 1 } }, "");

    // The type as a reader of other types.
    let strict = <Denies<Total>>::TYPE;
    strict.can_read(<Flat<Total>>::TYPE).unwrap();
    let mismatch = strict.can_read(<Flat<More>>::TYPE).unwrap_err();
    assert_eq!(mismatch.to_string(), "the field `more` is written, but unknown fields are denied");
    serde_json::from_str::<Denies<Total>>(r#"{"id":1,"total":1,"more":1}"#).unwrap_err();
    <Denies<HashMap<String, u8>>>::TYPE.can_read(<Flat<Total>>::TYPE).unwrap_err();
    <Denies<serde_json::Value>>::TYPE.can_read(<Flat<Total>>::TYPE).unwrap_err();
    <Denies<Tagged>>::TYPE.can_read(<Flat<Tagged>>::TYPE).unwrap_err();
    <Denies<Adjacent>>::TYPE.can_read(<Flat<Adjacent>>::TYPE).unwrap();
    // The writer has no field that would be refused.
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct OnlyId {
        id: u64,
    }
    <Denies<HashMap<String, u8>>>::TYPE.can_read(OnlyId::TYPE).unwrap();
    <Denies<Total>>::TYPE.can_read(OnlyId::TYPE).unwrap_err();
}

/// A key of a flattened map may be the new name of a renamed field, and serde then finds the field twice.
#[test]
fn l8_an_alias_beside_a_flattened_map() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct Old<K: Ord> {
        name: u8,
        #[serde(flatten)]
        rest: BTreeMap<K, u8>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct Renamed<K: Ord> {
        #[serde(alias = "name")]
        title: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<K, u8>,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Bare<K: Ord> {
        #[serde(flatten)]
        rest: BTreeMap<K, u8>,
    }
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
    #[serde(rename_all = "lowercase")]
    enum Title {
        Title,
    }
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
    #[serde(rename_all = "lowercase")]
    enum Other {
        Other,
    }
    let old = Old { name: 1, rest: BTreeMap::from([("title".to_owned(), 2)]) };
    let text = serde_json::to_string(&old).unwrap();
    assert_eq!(serde_json::from_str::<Old<String>>(&text).unwrap(), old);
    assert!(serde_json::from_str::<Renamed<String>>(&text).is_err());

    let mismatch = <Renamed<String>>::TYPE.can_read(<Old<String>>::TYPE).unwrap_err().to_string();
    assert_eq!(mismatch, ".title: the map next to it may have the key `title`, which is one of its names");
    <Renamed<Title>>::TYPE.can_read(<Old<Title>>::TYPE).unwrap_err();
    <Renamed<String>>::TYPE.can_read(<Bare<String>>::TYPE).unwrap_err();
    // The maps have no key that is another name of the field.
    <Renamed<Other>>::TYPE.can_read(<Old<Other>>::TYPE).unwrap();
    <Bare<String>>::TYPE.can_read(<Old<String>>::TYPE).unwrap();
    // A value with such a key would not be read back by the writer either.
    <Renamed<String>>::TYPE.can_read(<Renamed<String>>::TYPE).unwrap();
    accepted(&Renamed { title: Some(1), rest: BTreeMap::from([("other".to_owned(), 2)]) });
}

#[test]
fn l6_a_flattened_option_reads_what_is_written_as_some() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        id: u64,
        #[serde(flatten)]
        inner: Option<T>,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Both<T, U> {
        #[serde(flatten)]
        one: Option<T>,
        #[serde(flatten)]
        two: Option<U>,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Text {
        total: String,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Loose {
        total: Option<u8>,
        a: Option<u8>,
        b: Option<u8>,
        c: Option<u8>,
        d: Option<u8>,
        e: Option<u8>,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Two {
        a: Option<u8>,
        total: u8,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    enum Other {
        Three(u8),
        Four { x: u8 },
    }

    let reader = <Flat<Total>>::TYPE;
    reader.can_read(<Flat<Total>>::TYPE).unwrap();
    let mismatch = reader.can_read(<Flat<Text>>::TYPE).unwrap_err();
    assert_eq!(mismatch.to_string(), ".total: `String` is written, but `u8` is expected");
    let read: Flat<Total> = serde_json::from_str(r#"{"id":1,"total":"some text"}"#).unwrap();
    assert!(read.inner.is_none());
    // The entries that the reader needs are absent or `null`.
    reader.can_read(<Flat<Tagged>>::TYPE).unwrap();
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Plain<T> {
        id: u64,
        #[serde(flatten)]
        inner: T,
    }
    reader.can_read(<Plain<Loose>>::TYPE).unwrap();
    // Without `total`, `Two` can't be read, and `a` would be lost.
    <Flat<Two>>::TYPE.can_read(<Plain<Loose>>::TYPE).unwrap_err();

    // Each of the two enums ignores the variants of the other one.
    let both = <Both<Data, Other>>::TYPE;
    both.can_read(both).unwrap();
    accepted(&Both { one: Some(Data::One(1)), two: Some(Other::Four { x: 1 }) });
    accepted(&Both { one: None::<Data>, two: Some(Other::Three(1)) });
    <Both<Data, Total>>::TYPE.can_read(both).unwrap_err();
    <Both<Tagged, Adjacent>>::TYPE.can_read(<Both<Data, Other>>::TYPE).unwrap();
    let mixed = <Both<Data, Adjacent>>::TYPE;
    mixed.can_read(mixed).unwrap();
    let mixed = <Both<Tagged, Other>>::TYPE;
    mixed.can_read(mixed).unwrap();
}

#[test]
fn l12_instances_of_a_generic_type_are_told_apart() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct List<T> {
        items: Vec<T>,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Node {
        nodes: List<List<Node>>,
    }

    let (text, number) = (<List<List<String>>>::TYPE, <List<List<u8>>>::TYPE);
    let mismatch = text.can_read(number).unwrap_err();
    assert_eq!(mismatch.to_string(), ".items[].items[]: `u8` is written, but `String` is expected");
    assert!(!text.is_same(number));
    text.can_read(text).unwrap();
    assert!(text.is_same(text));
    // A type that contains itself through flattened enums.
    Node::TYPE.can_read(Node::TYPE).unwrap();
    Node::TYPE.reads_itself().unwrap();
    assert!(Node::TYPE.is_same(Node::TYPE));
}

#[test]
fn v9_later_variants_that_earlier_ones_read() {
    let because = "`One` before it also reads some of its values";
    refused(&two(1.5, 2u64), because);
    refused(&two(1u8, 2u64), because);
    refused(&two(1u8, 2i8), because);
    refused(&two(Tagged::One, Adjacent::One), because);
    refused(&two(String::new(), 'x'), because);
    refused(&two(String::new(), Plain::One), because);
    refused(&two(Text::Text(String::new()), Plain::One), because);
    refused(&two(vec![1u8], Vec::<String>::new()), because);
    refused(&two([1u8, 2], (1u8, 2u16)), because);
    refused(&two(Total { total: 1 }, (1u16,)), because);
    refused(&two(AllOptional { total: None }, Tagged::One), because);
    refused(&two(HashMap::<String, u8>::new(), Total { total: 1 }), because);
    refused(&two(HashMap::<String, u8>::new(), Data::One(1)), because);
    refused(&two(Some(1u8), ()), because);
    refused(&two((), None::<u8>), because);
    refused(&two(serde_json::json!(1), 2u8), because);
    refused(&two(Two::<u8, Total>::One(1), Total { total: 1 }), because);

    accepted(&two(1u64, 2.0));
    accepted(&two(1u64, -0.0));
    accepted(&two(1u64, "1".to_owned()));
    accepted(&two(Strict { total: 1 }, Data::One(1)));
    accepted(&two([1u8, 2], (1u8, 2u16, 3u8)));
    accepted(&two(Total { total: 1 }, HashMap::from([("other".to_owned(), 1u8)])));
    accepted(&two(Plain::One, "text".to_owned()));
    accepted(&two(Tagged::One, Total { total: 1 }));
    accepted(&two(Tagged::One, Data::One(1)));
    accepted(&two(Total { total: 1 }, serde_json::json!({"other": 1})));
}

#[derive(Debug, Serialize, Deserialize, Schema)]
#[serde(untagged)]
enum Two<A, B> {
    One(A),
    Two(B),
}

fn two<A, B>(_: A, two: B) -> Two<A, B> {
    Two::Two(two)
}

const BECAUSE: &str = "`One` before it also reads some of its values";

#[test]
fn v9_texts_of_a_narrower_format() {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

    use typed_events::Timestamp;

    let (four, six) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let (any, any_socket) = (IpAddr::V4(four), SocketAddr::new(IpAddr::V4(four), 1));
    refused(&two(any, four), BECAUSE);
    refused(&two(any, six), BECAUSE);
    refused(&two(four, any), BECAUSE);
    refused(&two(any_socket, SocketAddrV4::new(four, 1)), BECAUSE);
    refused(&two(any_socket, SocketAddrV6::new(six, 1, 0, 0)), BECAUSE);
    refused(&two(SocketAddrV4::new(four, 1), any_socket), BECAUSE);
    accepted(&two(four, six));
    accepted(&two(six, four));
    accepted(&two(any, any_socket));

    let utc = Moment("2024-01-01T00:00:00Z".into());
    let offset = WithOffset("2024-01-01T00:00:00+01:00".into());
    let date = Date("2024-01-01".into());
    let stamp: Timestamp = serde_json::from_str("\"2024-01-01T00:00:00Z\"").unwrap();
    refused(&two(utc.clone(), offset.clone()), BECAUSE);
    refused(&two(offset.clone(), utc.clone()), BECAUSE);
    refused(&two(stamp, utc.clone()), BECAUSE);
    refused(&two(stamp, offset.clone()), BECAUSE);
    refused(&two(utc.clone(), stamp), BECAUSE);
    refused(&two(offset, stamp), BECAUSE);
    accepted(&two(utc.clone(), date.clone()));
    accepted(&two(date, utc.clone()));
    // A `String` variant after a variant with a text format is accepted: the user asked for it.
    accepted(&two(any, "text".to_owned()));
    accepted(&two(utc, "text".to_owned()));
}

/// Defines types that write texts in a format.
macro_rules! formats {
    ($($name:ident = $format:literal, $is_valid:expr;)+) => {
        $(
            #[derive(Debug, Clone, Serialize, Deserialize)]
            #[serde(try_from = "String")]
            struct $name(String);

            impl TryFrom<String> for $name {
                type Error = &'static str;
                fn try_from(text: String) -> Result<Self, Self::Error> {
                    let is_valid: fn(&str) -> bool = $is_valid;
                    if is_valid(&text) { Ok(Self(text)) } else { Err($format) }
                }
            }

            impl Schema for $name {
                const TYPE: &'static TypeSchema = &TypeSchema::Format($format);
            }
        )+
    };
}

formats! {
    Moment = "date-time", |text| text.contains('T');
    WithOffset = "offset-date-time", |text| text.contains('T');
    Date = "date", |text| text.len() == 10;
}

#[test]
fn v9_variants_for_all_other_names() {
    types! {
        enum Rest { A, #[serde(other)] Rest }
        #[serde(tag = "t")]
        enum TaggedRest { A { x: u8 }, #[serde(other)] Rest }
        #[serde(tag = "t", content = "c")]
        enum AdjacentRest { A(u8), #[serde(other)] Rest }
        struct WithText { t: String, z: u8 }
        struct WithNumber { t: u8 }
        struct WithNull { a: Option<u8> }
        struct WithNullA { #[serde(rename = "A")] a: (), b: u8 }
        #[serde(tag = "t", content = "c", deny_unknown_fields)]
        enum StrictRest { A(u8), #[serde(other)] Rest }
        #[serde(tag = "t")]
        enum OtherTagged { A { y: u8 } }
        struct WithMaybe { t: Option<String> }
        struct WithDefault { #[serde(default, skip_serializing_if = "is_zero")] n: u8, a: Option<u8> }
    }
    let text = WithText { t: "q".into(), z: 1 };
    refused(&two(Rest::A, "text".to_owned()), BECAUSE);
    refused(&two(Rest::A, 'x'), BECAUSE);
    refused(&two(Rest::A, Some("text".to_owned())), BECAUSE);
    refused(&two(Rest::A, Date("2024-01-01".into())), BECAUSE);
    refused(&two(Rest::A, Plain::One), BECAUSE);
    refused(&two(TaggedRest::Rest, text.clone()), BECAUSE);
    refused(&two(AdjacentRest::Rest, text.clone()), BECAUSE);
    refused(&two(TaggedRest::Rest, WithMaybe { t: Some("q".into()) }), BECAUSE);

    accepted(&two(Rest::A, 1u8));
    let text2 = text.clone();
    accepted(&two(Rest::A, text));
    refused(&two(TaggedRest::Rest, WithNumber { t: 1 }), BECAUSE);
    refused(&two(Rest::A, WithNull { a: None }), BECAUSE);
    refused(&two(Rest::A, WithDefault { n: 0, a: None }), BECAUSE);
    accepted(&two(Rest::A, WithNullA { a: (), b: 1 }));
    accepted(&two(TaggedRest::Rest, Total { total: 1 }));
    accepted(&two(TaggedRest::Rest, "text".to_owned()));
    accepted(&two(TaggedRest::Rest, OtherTagged::A { y: 1 }));
    accepted(&two(StrictRest::Rest, text2));
    accepted(&two(AdjacentRest::Rest, HashMap::from([("key".to_owned(), 1u8)])));
}

#[test]
fn v9_the_own_name_of_a_flattened_variant_for_all_others() {
    types! {
        enum Rest { A, #[serde(other, alias = "also")] Rest }
        struct HasRest { #[serde(rename = "Rest")] rest: () }
        struct MaybeRest { #[serde(rename = "Rest")] rest: Option<u8>, n: u8 }
        struct Also { also: () }
        struct Number { #[serde(rename = "Rest")] rest: u8 }
        struct Unknown { unknown: () }
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Flat<T> {
        #[serde(flatten)]
        inner: T,
    }
    let one = || Flat { inner: Rest::A };
    refused(&two(one(), HasRest { rest: () }), BECAUSE);
    refused(&two(one(), MaybeRest { rest: None, n: 1 }), BECAUSE);
    refused(&two(one(), Also { also: () }), BECAUSE);
    accepted(&two(one(), Number { rest: 1 }));
    accepted(&two(one(), Unknown { unknown: () }));
}

#[test]
fn v9_tags_that_a_field_may_hold() {
    types! {
        #[serde(tag = "t")]
        enum Kind { A { x: u8 }, B }
        #[serde(tag = "t", content = "c")]
        enum Beside { A { x: u8 }, B }
        enum Names { A, Z }
        enum Others { Y, Z }
        struct Named { t: Names, x: u8 }
        struct NamedOther { t: Others, x: u8 }
        struct NamedContent { t: Names, c: Total }
        struct NamedX { t: Names, c: X }
        enum NameB { B }
        struct NamedB { t: NameB, c: X }
        struct Numbered { t: u8, x: u8 }
        struct NumberedFrom { t: std::num::NonZeroU8, x: u8 }
        #[serde(tag = "t")]
        enum OnlyA { A { x: u8 } }
        struct X { x: u8 }
    }
    refused(&two(Kind::B, Named { t: Names::A, x: 1 }), BECAUSE);
    refused(&two(Beside::B, NamedX { t: Names::A, c: X { x: 1 } }), BECAUSE);
    refused(&two(OnlyA::A { x: 1 }, Numbered { t: 0, x: 1 }), BECAUSE);
    accepted(&two(OnlyA::A { x: 1 }, NumberedFrom { t: std::num::NonZeroU8::MIN, x: 1 }));
    accepted(&two(Beside::B, NamedB { t: NameB::B, c: X { x: 1 } }));
    accepted(&two(Kind::B, NamedOther { t: Others::Z, x: 1 }));
    accepted(&two(Kind::B, Total { total: 1 }));
    accepted(&two(Beside::B, NamedContent { t: Names::A, c: Total { total: 1 } }));
}

#[test]
fn v9_arrays_without_the_last_fields() {
    types! {
        struct AllDefault { #[serde(default)] a: u8, #[serde(default)] b: String }
        struct LastDefault { a: u8, #[serde(default)] b: u8 }
        struct MaybeLast { a: u8, b: Option<u8> }
        struct FirstDefault { #[serde(default)] a: u8, b: u8 }
    }
    let all = || AllDefault { a: 1, b: String::new() };
    refused(&two(all(), Vec::<AllDefault>::new()), BECAUSE);
    refused(&two(all(), Vec::<u16>::new()), BECAUSE);
    refused(&two(all(), Vec::<Total>::new()), BECAUSE);
    refused(&two(LastDefault { a: 1, b: 1 }, (1u8,)), BECAUSE);
    refused(&two(LastDefault { a: 1, b: 1 }, vec![1u8]), BECAUSE);
    refused(&two(LastDefault { a: 1, b: 1 }, [1u8, 2]), BECAUSE);

    // serde requires an element for an `Option` without `default`.
    accepted(&two(MaybeLast { a: 1, b: None }, (1u8,)));
    accepted(&two(FirstDefault { a: 1, b: 1 }, (1u8,)));
    accepted(&two(LastDefault { a: 1, b: 1 }, vec![Total { total: 1 }]));
    accepted(&two(LastDefault { a: 1, b: 1 }, (1u8, "text".to_owned())));
    accepted(&two(LastDefault { a: 1, b: 1 }, (1u8, 2u8, 3u8)));
}

#[test]
fn v9_objects_that_may_have_one_entry() {
    types! {
        enum Data1 { A(u8) }
        struct Maybe {
            #[serde(rename = "A")]
            a: u8,
            #[serde(skip_serializing_if = "Option::is_none")]
            b: Option<u8>,
        }
        struct Null { #[serde(rename = "A")] a: u8, b: Option<u8> }
        struct MaybeFirst {
            #[serde(rename = "A", skip_serializing_if = "Option::is_none")]
            a: Option<u8>,
            b: u8,
        }
    }
    let a = Data1::A(1);
    refused(&two(a.clone(), Maybe { a: 1, b: None }), BECAUSE);
    accepted(&two(a.clone(), Null { a: 1, b: None }));
    accepted(&two(a, MaybeFirst { a: Some(1), b: 1 }));
}

#[test]
fn v9_objects_with_the_entries_of_a_flattened_enum() {
    types! {
        struct MaybeA { #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u8> }
        struct NeedsX { x: u8 }
        struct NeedsOther { other: u8 }
        #[serde(deny_unknown_fields)]
        struct OnlyA { a: u8 }
        enum Outer { Unit, X(u8), Y { z: u8 } }
        #[serde(tag = "k")]
        enum Inner { P { x: u8 }, Q { other: u8 } }
        #[serde(tag = "k", content = "x")]
        enum Apart { P(u8), Q }
        enum Names { #[serde(rename = "x", alias = "y")] Renamed(u8) }
        enum Texts { #[serde(rename = "x")] Text(String) }
    }
    #[derive(Debug, Clone, Serialize, Deserialize, Schema)]
    struct With<T> {
        n: u8,
        #[serde(flatten)]
        part: T,
    }
    #[derive(Debug, Clone, Serialize, Deserialize, Schema)]
    struct Alone<T> {
        #[serde(flatten)]
        part: T,
    }
    fn with<T>(part: T) -> With<T> {
        With { n: 1, part }
    }
    // Fields next to the enum do not matter to a reader that ignores them.
    refused(&two(MaybeA { a: None }, with(Outer::X(1))), BECAUSE);
    refused(&two(MaybeA { a: None }, Alone { part: Outer::Unit }), BECAUSE);
    refused(&two(NeedsX { x: 1 }, Alone { part: Inner::P { x: 1 } }), BECAUSE);
    refused(&two(NeedsX { x: 1 }, Alone { part: Apart::P(1) }), BECAUSE);
    refused(&two(NeedsX { x: 1 }, Alone { part: Names::Renamed(1) }), BECAUSE);
    // Each variant counts, at any position.
    refused(&two(NeedsOther { other: 1 }, Alone { part: Inner::Q { other: 1 } }), BECAUSE);
    refused(&two(MaybeA { a: None }, Alone { part: Alone { part: Outer::X(1) } }), BECAUSE);
    // A flattened enum as the reader.
    refused(&two(Alone { part: Names::Renamed(1) }, NeedsX { x: 1 }), BECAUSE);
    refused(&two(Alone { part: Inner::P { x: 1 } }, with(Inner::P { x: 1 })), BECAUSE);
    refused(&two(Alone { part: Names::Renamed(1) }, Alone { part: Apart::P(1) }), BECAUSE);

    accepted(&two(OnlyA { a: 1 }, Alone { part: Outer::X(1) }));
    accepted(&two(NeedsX { x: 1 }, Alone { part: Outer::X(1) }));
    accepted(&two(NeedsX { x: 1 }, Alone { part: Texts::Text("text".into()) }));
    accepted(&two(NeedsOther { other: 1 }, Alone { part: Apart::P(1) }));
    accepted(&two(Alone { part: Texts::Text(String::new()) }, NeedsX { x: 1 }));
    accepted(&two(Alone { part: Names::Renamed(1) }, NeedsOther { other: 1 }));
    accepted(&two(with(Names::Renamed(1)), NeedsX { x: 1 }));
}

#[test]
fn v9_denied_fields_beside_a_flattened_earlier_variant() {
    types! {
        #[serde(tag = "t", content = "c", deny_unknown_fields)]
        enum Denies { P(u8), Q }
        #[serde(tag = "t", content = "c", deny_unknown_fields)]
        enum DeniesElse { P(u8), #[serde(untagged)] Else { other: u8 } }
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Alone<T> {
        #[serde(flatten)]
        part: T,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct With<T> {
        n: u8,
        #[serde(flatten)]
        part: T,
    }
    // Flattened, the enum gets only its tag and its content.
    refused(&two(Alone { part: Denies::Q }, With { n: 1, part: Denies::P(1) }), BECAUSE);
    refused(&two(Alone { part: Denies::Q }, With { n: 1, part: Denies::Q }), BECAUSE);
    accepted(&two(Denies::Q, With { n: 1, part: Denies::P(1) }));
    // With an untagged variant, the enum gets all entries.
    accepted(&two(Alone { part: DeniesElse::P(1) }, With { n: 1, part: Denies::P(1) }));
    refused(&two(Alone { part: DeniesElse::P(1) }, Alone { part: Denies::P(1) }), BECAUSE);
}

#[test]
fn v1_null_deeper_in_untagged_variants() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Nothing {
        Nothing,
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum Within<T> {
        In(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    enum Half<T> {
        A(u8),
        #[serde(untagged)]
        In(T),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Newtype<T>(T);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    #[serde(untagged)]
    enum SkippedField {
        A(#[serde(skip)] u8),
        B(String),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct SkippedNewtype(#[serde(skip)] u8);
    let because = "` is written as `null`, which is read as `None`";
    refused(&Some(Within::In(Nothing::Nothing)), because);
    refused(&Some(Within::In(Within::In(Nothing::Nothing))), because);
    refused(&Some(Within::In(Box::new(Within::In(Nothing::Nothing)))), because);
    refused(&Some(Newtype(Within::In(Nothing::Nothing))), because);
    refused(&Some(Newtype(Newtype(Within::In(())))), because);
    refused(&Some(Half::In(Nothing::Nothing)), because);
    refused(&Some(Half::In(Within::In(None::<u8>))), because);
    refused(&Some(SkippedField::A(0)), because);

    accepted(&Some(Within::In(1u8)));
    accepted(&Some(Within::In(Newtype(vec![None, Some(1u8)]))));
    accepted(&Some(Half::<u8>::In(1)));
    accepted(&Some(Half::<u8>::A(1)));
    accepted(&Some(SkippedNewtype(0)));
    accepted(&SkippedField::A(0));
    accepted(&SkippedField::B("text".into()));
}

fn some() -> Option<u8> {
    Some(1)
}

fn one() -> Vec<u8> {
    vec![1]
}

fn text() -> String {
    "text".into()
}

fn yes() -> bool {
    true
}

fn five() -> u8 {
    5
}

fn is_five(n: &u8) -> bool {
    *n == 5
}

fn is_empty(items: &[u8]) -> bool {
    items == [1]
}

fn is_none(item: &Option<u8>) -> bool {
    *item == Some(1)
}

#[test]
fn v1_what_is_left_out_comes_back_as_it_was() {
    types! {
        struct SomeForNone { #[serde(skip_serializing_if = "Option::is_none", default = "some")] n: Option<u8> }
        struct OneForEmpty { #[serde(skip_serializing_if = "Vec::is_empty", default = "one")] n: Vec<u8> }
        struct TextForEmpty { #[serde(skip_serializing_if = "String::is_empty", default = "text")] n: String }
        struct PathForEmpty {
            #[serde(skip_serializing_if = "std::collections::BTreeSet::is_empty", default = "set")]
            n: std::collections::BTreeSet<u8>,
        }
        struct Typed { #[serde(skip_serializing_if = "Vec::<u8>::is_empty", default = "one")] n: Vec<u8> }

        struct Plain1 { #[serde(skip_serializing_if = "Option::is_none", default)] n: Option<u8> }
        struct Plain2 { #[serde(skip_serializing_if = "Vec::is_empty", default)] n: Vec<u8> }
        struct Plain3 { #[serde(skip_serializing_if = "Vec::is_empty", default = "Vec::new")] n: Vec<u8> }
        struct Plain4 { #[serde(skip_serializing_if = "String::is_empty", default = "String::new")] n: String }
        struct Plain5 { #[serde(skip_serializing_if = "Vec::is_empty", default = "Default::default")] n: Vec<u8> }
        struct Plain6 {
            #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
            n: Option<u8>,
        }
        struct Plain7 {
            #[serde(skip_serializing_if = "std::vec::Vec::<u8>::is_empty", default = "std::vec::Vec::<u8>::new")]
            n: Vec<u8>,
        }
        struct Flag { #[serde(skip_serializing_if = "std::ops::Not::not", default = "yes")] n: bool }
        struct PlainFlag { #[serde(skip_serializing_if = "std::ops::Not::not", default)] n: bool }
        struct TrueFlag { #[serde(skip_serializing_if = "Clone::clone", default = "yes")] n: bool }
        struct Own1 { #[serde(skip_serializing_if = "is_five", default = "five")] n: u8 }
        struct Own2 { #[serde(skip_serializing_if = "is_empty", default = "one")] n: Vec<u8> }
        struct Own3 { #[serde(skip_serializing_if = "is_none", default = "some")] n: Option<u8> }
    }
    let because = ".n: it is left out if";
    refused(&SomeForNone { n: None }, because);
    refused(&OneForEmpty { n: Vec::new() }, because);
    refused(&TextForEmpty { n: String::new() }, because);
    refused(&PathForEmpty { n: std::collections::BTreeSet::new() }, because);
    refused(&Typed { n: Vec::new() }, because);

    accepted(&Plain1 { n: None });
    accepted(&Plain2 { n: Vec::new() });
    accepted(&Plain3 { n: Vec::new() });
    accepted(&Plain4 { n: String::new() });
    accepted(&Plain5 { n: Vec::new() });
    accepted(&Plain6 { n: None });
    accepted(&Plain7 { n: Vec::new() });
    refused(&Flag { n: false }, because);
    accepted(&PlainFlag { n: false });
    accepted(&TrueFlag { n: true });
    accepted(&Own1 { n: 5 });
    accepted(&Own2 { n: vec![1] });
    accepted(&Own3 { n: Some(1) });
}

fn set() -> std::collections::BTreeSet<u8> {
    [1].into()
}

fn some_boxed() -> Box<Option<u8>> {
    Box::new(Some(1))
}

#[allow(clippy::borrowed_box, reason = "serde passes a reference to the field")]
fn is_boxed_none(item: &Box<Option<u8>>) -> bool {
    item.is_none()
}

/// serde reads an absent `Option` as `None`, even in a `Box`, an alias or a transparent type.
#[test]
fn v1_options_that_are_left_out() {
    type Alias = Option<u8>;
    types! {
        #[serde(transparent)]
        struct Through { n: Option<u8> }
        struct Is1 { #[serde(skip_serializing_if = "Option::is_some")] n: Option<u8> }
        struct Is2 { #[serde(skip_serializing_if = "Option::is_some")] n: Alias }
        struct Is3 { #[serde(skip_serializing_if = "std::option::Option::is_some")] n: Box<Option<u8>> }
        struct Is4 { #[serde(skip_serializing_if = "Option::is_some", default)] n: Option<Vec<u8>> }
        struct Is5 { #[serde(skip_serializing_if = "Option::is_some", default = "Option::default")] n: Option<u8> }
        enum Is6 { A { #[serde(skip_serializing_if = "Option::is_some")] n: Option<u8> } }
        struct ForNone { #[serde(skip_serializing_if = "Option::is_none", default = "some_boxed")] n: Box<Option<u8>> }

        struct None1 { #[serde(skip_serializing_if = "Option::is_none")] n: Box<Option<u8>> }
        struct None2 { #[serde(skip_serializing_if = "is_boxed_none")] n: Box<Option<u8>> }
        // A function of the user decides, even if it skips `Some(1)`, which is then read as `None`.
        struct Own { #[serde(skip_serializing_if = "is_none")] n: Option<u8> }
        struct Inner { n: Through }
    }
    let because = "is_some` returns `true`, and is then read as `None`";
    refused(&Is1 { n: Some(1) }, because);
    refused(&Is2 { n: Some(1) }, because);
    refused(&Is3 { n: Box::new(Some(1)) }, because);
    refused(&Is4 { n: Some(vec![1]) }, because);
    refused(&Is5 { n: Some(1) }, because);
    refused(&Is6::A { n: Some(1) }, because);
    refused(&ForNone { n: Box::new(None) }, ".n: it is left out if `Option::is_none`");
    for n in [None, Some(1)] {
        accepted(&None1 { n: Box::new(n) });
        accepted(&None2 { n: Box::new(n) });
        accepted(&Inner { n: Through { n } });
    }
    Own::TYPE.reads_itself().unwrap();
}

#[test]
fn v1_two_instances_of_one_generic_type() {
    #[derive(Debug, Clone, Serialize, Deserialize, Schema)]
    struct Serialized<T> {
        x: T,
    }
    types! {
        #[serde(from = "Serialized<u8>", into = "Serialized<String>")]
        struct Two1 { x: u8 }
        #[serde(from = "Serialized<u8>", into = "Serialized<u8>")]
        struct Same { x: u8 }
        #[serde(from = "Serialized<u16>", into = "Serialized<u8>")]
        struct Wider { x: u8 }
        #[serde(from = "Serialized<Option<Option<u8>>>", into = "Serialized<Option<Option<u8>>>")]
        struct NullTwice { x: Option<Option<u8>> }
    }
    impl From<Serialized<u8>> for Two1 {
        fn from(serialized: Serialized<u8>) -> Self {
            Self { x: serialized.x }
        }
    }
    impl From<Two1> for Serialized<String> {
        fn from(two: Two1) -> Self {
            Self { x: two.x.to_string() }
        }
    }
    impl From<Serialized<u8>> for Same {
        fn from(serialized: Serialized<u8>) -> Self {
            Self { x: serialized.x }
        }
    }
    impl From<Same> for Serialized<u8> {
        fn from(same: Same) -> Self {
            Self { x: same.x }
        }
    }
    impl From<Serialized<u16>> for Wider {
        fn from(serialized: Serialized<u16>) -> Self {
            Self { x: serialized.x.try_into().unwrap_or_default() }
        }
    }
    impl From<Wider> for Serialized<u8> {
        fn from(wider: Wider) -> Self {
            Self { x: wider.x }
        }
    }
    impl From<Serialized<Option<Option<u8>>>> for NullTwice {
        fn from(serialized: Serialized<Option<Option<u8>>>) -> Self {
            Self { x: serialized.x }
        }
    }
    impl From<NullTwice> for Serialized<Option<Option<u8>>> {
        fn from(twice: NullTwice) -> Self {
            Self { x: twice.x }
        }
    }
    refused(&Two1 { x: 1 }, ".x: `String` is written, but `u8` is expected");
    refused(&NullTwice { x: Some(None) }, ".x: `Some(None)`");
    accepted(&Same { x: 1 });
    accepted(&Wider { x: 1 });
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

#[test]
fn v1_elements_of_tuples_that_are_left_out() {
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct First(#[serde(skip_serializing_if = "is_zero")] u8, u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Both(
        #[serde(skip_serializing_if = "is_zero", default)] u8,
        #[serde(skip_serializing_if = "is_zero", default)] u8,
    );
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Unwritten(#[serde(skip_serializing, default)] u8, #[serde(default)] u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Unread(#[serde(skip_deserializing)] u8, u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    enum Variant {
        A(#[serde(skip_serializing_if = "is_zero")] u8, u8),
    }
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Last(u8, #[serde(skip_serializing_if = "is_zero", default)] u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Skipped(#[serde(skip)] u8, u8, u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Defaults(u8, #[serde(default)] u8);
    #[derive(Debug, Serialize, Deserialize, Schema)]
    struct Newtype(#[serde(skip_serializing_if = "is_zero")] u8);

    let because = "an element may be left out, which shifts the elements after it";
    refused(&First(0, 5), because);
    refused(&vec![First(0, 5)], because);
    refused(&Both(0, 5), because);
    refused(&Unwritten(0, 5), because);
    refused(&Unread(1, 5), because);
    refused(&Variant::A(0, 5), because);
    accepted(&Last(1, 0));
    accepted(&Last(1, 1));
    accepted(&Skipped(0, 1, 2));
    accepted(&Defaults(1, 2));
    accepted(&Newtype(0));
    // A type that is only written and never read.
    <Vec<u8>>::TYPE.can_read(First::TYPE).unwrap();
    <(u8, u8)>::TYPE.can_read(First::TYPE).unwrap_err();
}
