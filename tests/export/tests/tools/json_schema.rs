//! What ajv accepts of what is read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use typed_events::export::{Side, json_schema};
use typed_events::{Bus, catalog, event, payload};

use crate::judge::Judge;

#[event("read.aliases")]
struct Aliases {
    #[serde(alias = "sum")]
    total: u8,
    #[serde(alias = "remark", alias = "comment")]
    note: Option<String>,
    #[serde(default, alias = "n")]
    count: u8,
    inner: Inner,
    #[serde(flatten)]
    beside: Inner,
    way: Way,
}

#[payload]
struct Inner {
    #[serde(alias = "y")]
    x: u8,
}

#[payload]
enum Way {
    #[serde(alias = "Uno")]
    One {
        #[serde(alias = "b")]
        a: u8,
    },
}

#[tokio::test]
async fn x4_an_alias_beside_its_field_is_refused() {
    let base = json!({"total": 1, "inner": {"x": 1}, "x": 1, "way": {"One": {"a": 1}}});
    let mut values = vec![base.clone()];
    let more = [
        json!({"sum": 1}),
        json!({"note": null}),
        json!({"remark": "x"}),
        json!({"remark": "x", "comment": "y"}),
        json!({"note": null, "comment": "y"}),
        json!({"count": 1}),
        json!({"n": 1}),
        json!({"count": 1, "n": 1}),
        json!({"inner": {"y": 1}}),
        json!({"inner": {"x": 1, "y": 1}}),
        json!({"y": 1}),
        json!({"way": {"Uno": {"b": 1}}}),
        json!({"way": {"One": {"a": 1, "b": 1}}}),
        json!({"way": {"One": {"a": 1}, "Uno": {"a": 1}}}),
    ];
    for more in more {
        let mut value = base.clone();
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        values.push(value);
    }
    let mut renamed = base.clone();
    renamed.as_object_mut().unwrap().remove("total");
    renamed["sum"] = json!(1);
    values.extend([renamed]);
    compare("x4_aliases", "read.aliases", values).await;
}

macro_rules! integer_keys {
    ($($field:ident $ty:ty,)+) => {
        #[event("read.keys")]
        struct Keys {
            $(#[serde(default)] $field: BTreeMap<$ty, u8>,)+
            #[serde(default)]
            char: BTreeMap<char, u8>,
            #[serde(default)]
            bool: BTreeMap<bool, u8>,
            #[serde(default)]
            name: BTreeMap<Name, u8>,
            #[serde(default)]
            id: BTreeMap<Id, u8>,
        }

        fn integer_keys() -> Vec<(&'static str, Vec<String>)> {
            let near = |bound: i128| [bound - 1, bound, bound + 1].map(|n| n.to_string());
            vec![$((stringify!($field), {
                let mut all = near(<$ty>::MIN as i128).to_vec();
                all.extend(near(<$ty>::MAX as i128));
                all
            }),)+]
        }
    };
}

integer_keys! {
    u8 u8, u16 u16, u32 u32, u64 u64, usize usize, i8 i8, i16 i16, i32 i32, i64 i64, isize isize,
}

#[payload]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    One,
    #[serde(alias = "Deux")]
    Two,
}

#[payload]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Id(std::num::NonZero<i8>);

#[event("read.wide")]
struct Wide {
    #[serde(default)]
    u128: BTreeMap<u128, u8>,
    #[serde(default)]
    i128: BTreeMap<i128, u8>,
}

#[tokio::test]
async fn x4_keys_are_those_that_are_read() {
    let texts = [
        "",
        "0",
        "-0",
        "00",
        "01",
        "-1",
        "+1",
        "1.0",
        "1e2",
        " 1",
        "1 ",
        "7",
        "12",
        "99",
        "100",
        "127",
        "128",
        "199",
        "200",
        "249",
        "255",
        "256",
        "1000",
        "x",
        "xy",
        "é",
        "𝄞",
        "true",
        "True",
        "One",
        "Two",
        "Deux",
        "Three",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
    ];
    let mut values = Vec::new();
    for (field, bounds) in
        integer_keys().into_iter().chain(["char", "bool", "name", "id"].map(|field| (field, vec![])))
    {
        for text in texts.iter().map(|text| text.to_string()).chain(bounds) {
            values.push(json!({field: {text: 1}}));
        }
    }
    compare("x4_keys", "read.keys", values).await;

    let (most, least) = (u128::MAX.to_string(), i128::MIN.to_string());
    let beyond = ["340282366920938463463374607431768211456", "-170141183460469231731687303715884105729"];
    let widest = i128::MAX.to_string();
    let values = ["u128", "i128"].iter().flat_map(|field| {
        let texts = [
            &*most,
            &*least,
            &*widest,
            beyond[0],
            beyond[1],
            "0",
            "01",
            "-1",
            "170141183460469231731687303715884105728",
        ];
        texts.map(|text| json!({*field: {text: 1}}))
    });
    compare("x4_wide", "read.wide", values.collect()).await;
}

#[event("read.numbers")]
struct Numbers {
    #[serde(default)]
    f32: f32,
    #[serde(default)]
    f64: f64,
    #[serde(default)]
    u128: u128,
    #[serde(default)]
    i128: i128,
    #[serde(default)]
    u64: u64,
    #[serde(default)]
    i64: i64,
}

#[tokio::test]
async fn x4_numbers_are_in_the_range_of_their_type() {
    // No whole number as a float that is in range: it is one to JSON Schema, and none to serde.
    let numbers = [
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e39),
        json!(-1e39),
        json!(1e300),
    ];
    let mut values = Vec::new();
    for field in ["f32", "f64", "u128", "i128", "u64", "i64"] {
        values.extend(numbers.iter().map(|number| json!({field: number})));
    }
    values.push(json!({"f32": f32::MAX}));
    compare("x4_numbers", "read.numbers", values).await;
}

#[event("read.map")]
struct BesideMap {
    #[serde(alias = "named")]
    name: String,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

#[payload]
#[serde(tag = "kind")]
enum Tagged {
    Map(BTreeMap<String, u8>),
    Fields {
        a: String,
        #[serde(flatten)]
        more: BTreeMap<char, u8>,
    },
    Inner(Nested),
}

#[payload]
#[serde(tag = "kind2")]
enum Nested {
    Map(BTreeMap<String, bool>),
}

#[event("read.tag")]
struct BesideTag {
    tagged: Tagged,
}

#[payload]
struct Outer {
    b: String,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

#[event("read.nested")]
struct BesideNested {
    a: String,
    #[serde(flatten)]
    way: Way,
    #[serde(flatten)]
    outer: Outer,
}

#[tokio::test]
async fn x4_what_a_map_holds_beside_others_is_of_its_type() {
    let values = [
        json!({"name": "n", "x": 1}),
        json!({"named": "n", "y": 1, "z": 2}),
        json!({"name": "n", "x": 1, "z": "2"}),
        json!({"name": "n", "x": 1, "z": 300}),
        json!({"name": "n", "z": 1}),
    ];
    compare("x4_map", "read.map", values.to_vec()).await;
    let tagged = [
        json!({"kind": "Map"}),
        json!({"kind": "Map", "x": 1}),
        json!({"kind": "Map", "x": "1"}),
        json!({"kind": "Map", "x": 300}),
        json!({"kind": "Fields", "a": "a"}),
        json!({"kind": "Fields", "a": "a", "b": 1}),
        json!({"kind": "Fields", "a": "a", "b": "1"}),
        json!({"kind": "Fields", "a": "a", "bb": 1}),
        json!({"kind": "Fields", "b": 1}),
        json!({"kind": "Inner", "kind2": "Map", "x": true}),
        json!({"kind": "Inner", "kind2": "Map", "x": 1}),
        json!({"kind": "Inner", "x": true}),
        json!({"x": 1}),
    ];
    compare("x4_tag", "read.tag", tagged.map(|tagged| json!({"tagged": tagged})).to_vec()).await;
    let nested = [
        json!({"a": "a", "b": "b", "One": {"a": 1}}),
        json!({"a": "a", "b": "b", "One": {"a": 1}, "c": 1}),
        json!({"a": "a", "b": "b", "Uno": {"a": 1}, "c": 1}),
        json!({"a": "a", "b": "b", "One": {"a": 1}, "c": "1"}),
        json!({"a": "a", "One": {"a": 1}, "c": 1}),
    ];
    compare("x4_nested", "read.nested", nested.to_vec()).await;
}

/// What ajv accepts is what the bus accepts.
pub async fn compare(test: &str, name: &str, values: Vec<Value>) {
    let Some(judge) = Judge::of(test) else { return };
    let bus = Bus::builder().history(0).no_handlers().build().await.unwrap();
    let schema = json_schema(catalog().event(name).unwrap(), Side::Read);
    let file = judge.write("cases.json", json!([{"schema": schema, "values": values}]).to_string());
    let judged: Vec<Vec<bool>> = serde_json::from_value(judge.says("json-schema", &[file])).unwrap();
    let (mut unlike, mut accepted) = (Vec::new(), 0);
    for (value, valid) in values.iter().zip(&judged[0]) {
        let emitted = bus.emit_json(name, value.to_string()).await;
        accepted += usize::from(emitted.is_ok());
        if emitted.is_ok() != *valid {
            unlike.push(format!(
                "{value}: ajv {valid}, emit_json {:?}",
                emitted.err().map(|error| error.to_string())
            ));
        }
    }
    assert_eq!(unlike, [""; 0], "{schema:#}");
    assert!(0 < accepted && accepted < values.len(), "both happen: {accepted} of {}", values.len());
}
