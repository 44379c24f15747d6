//! What serde writes, against the types of TypeScript.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use typed_events::export::typescript;
use typed_events::{catalog, event, payload};

use crate::judge::Judge;

#[payload]
enum Way {
    Unit,
    Holds(String),
    Fields { a: u8 },
}

#[event("beside.external")]
struct External {
    b: u8,
    #[serde(flatten)]
    way: Way,
}

#[event("beside.optional")]
struct Optional {
    b: u8,
    #[serde(flatten)]
    way: Option<Way>,
}

#[payload]
#[serde(tag = "kind")]
enum Tagged {
    Plain,
    Nothing(()),
    Way(Way),
    Map(BTreeMap<String, u8>),
    Result(Result<u8, String>),
}

#[event("beside.tag")]
struct BesideTag {
    b: u8,
    tagged: Tagged,
}

#[payload]
#[serde(untagged)]
enum Untagged {
    Other { one: u8 },
    Way(Way),
    Result(Result<u8, String>),
}

#[event("beside.untagged")]
struct BesideUntagged {
    b: u8,
    #[serde(flatten)]
    way: Untagged,
}

#[payload]
enum Never {}

#[payload]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    One,
    #[serde(untagged)]
    Other(String),
}

#[event("beside.keys")]
struct ByKey {
    names: BTreeMap<Name, u8>,
    never: Option<Never>,
}

/// A line of TypeScript for each value, and one for each of them that is wrong.
fn uses(right: &[(&str, Value)], wrong: &[(&str, Value)]) -> String {
    let mut text = "import type { Events } from \"./events\";\n".to_owned();
    for (index, (name, value)) in right.iter().enumerate() {
        text += &format!("export const right{index}: Events[{name:?}] = {value};\n");
    }
    for (index, (name, value)) in wrong.iter().enumerate() {
        text += &format!("// @ts-expect-error\nexport const wrong{index}: Events[{name:?}] = {value};\n");
    }
    text
}

fn written(event: impl Serialize) -> Value {
    serde_json::to_value(event).unwrap()
}

#[test]
fn x2_what_stands_beside_others_is_what_serde_writes() {
    let Some(judge) = Judge::of("x2_beside") else { return };
    let ways = || [Way::Unit, Way::Holds("x".into()), Way::Fields { a: 1 }];
    let mut right = Vec::new();
    for way in ways() {
        right.push(("beside.external", written(External { b: 1, way })));
    }
    for way in ways().map(Some).into_iter().chain([None]) {
        right.push(("beside.optional", written(Optional { b: 1, way })));
    }
    let tagged = ways().map(Tagged::Way).into_iter().chain([
        Tagged::Plain,
        Tagged::Nothing(()),
        Tagged::Map(BTreeMap::from([("x".into(), 1)])),
        Tagged::Result(Ok(1)),
    ]);
    for tagged in tagged {
        right.push(("beside.tag", written(BesideTag { b: 1, tagged })));
    }
    for way in ways().map(Untagged::Way).into_iter().chain([Untagged::Other { one: 1 }]) {
        right.push(("beside.untagged", written(BesideUntagged { b: 1, way })));
    }
    let names = BTreeMap::from([(Name::One, 1), (Name::Other("x".into()), 2)]);
    right.push(("beside.keys", written(ByKey { names, never: None })));
    let wrong = [
        ("beside.external", json!({"b": 1})),
        ("beside.external", json!({"b": 1, "Unit": 1})),
        ("beside.external", json!("Unit")),
        ("beside.tag", json!({"b": 1, "tagged": {"kind": "Way"}})),
        ("beside.tag", json!({"b": 1, "tagged": {"Unit": null}})),
        ("beside.untagged", json!({"b": 1, "one": "1"})),
        ("beside.keys", json!({"names": {"x": "1"}, "never": null})),
    ];
    let types = typescript(&catalog().only(|item| item.contains("tools::typescript::")));
    assert_eq!(judge.compile(&types, &uses(&right, &wrong)), [""; 0], "{types}");
}
