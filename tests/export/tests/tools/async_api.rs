use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use typed_events::catalog::Catalog;
use typed_events::export::{AsyncApi, AsyncApiVersion, async_api};
use typed_events::{catalog, event, payload};

use crate::json_schema::compare;
use crate::judge::Judge;

/// Each kind of enum, with each kind of variant.
#[payload]
enum Way {
    Unit,
    /// Has a line of its own.
    Told,
    Holds(String),
    Fields {
        a: u8,
        inner: Result<u8, Duration>,
    },
    Pair(u8, Duration),
}

#[payload]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Tagged {
    Unit,
    WithFields { a: u8 },
    Newtype(Plain),
}

#[payload]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u8, bool),
    Fields { x: Duration },
}

#[payload]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Fields { a: bool },
}

/// Only names.
#[payload]
enum Names {
    One,
    Two,
}

#[payload]
struct Plain {
    x: u8,
}

/// Has the name that the title of a variant would be.
#[payload]
struct WayFields {
    y: u8,
}

#[event("titled.all")]
struct Everything {
    way: Way,
    tagged: Tagged,
    adjacent: Adjacent,
    untagged: Untagged,
    names: Names,
    fields: WayFields,
    result: Result<Names, Way>,
    times: Vec<Duration>,
    by_name: BTreeMap<String, Duration>,
    both: (Duration, Duration),
    maybe: Option<Duration>,
    #[serde(flatten)]
    beside: Beside,
    #[serde(flatten)]
    choice: Choice,
}

#[payload]
struct Beside {
    b: u8,
}

#[payload]
enum Choice {
    Left(Duration),
    Right,
}

/// The catalog with one event alone.
fn only(event: &str) -> Catalog {
    catalog().only(|item| item.ends_with(&format!("async_api::{event}")))
}

/// What the parser and modelina say of a document, which has no errors.
fn models(judge: &Judge, document: &Value) -> BTreeMap<String, String> {
    let file = judge.write("async-api.json", document.to_string());
    let said = judge.says("async-api", &[file]);
    assert_eq!(said["errors"], json!([]));
    serde_json::from_value(said["models"].clone()).unwrap()
}

#[test]
fn x1_generators_give_every_type_a_name() {
    let Some(judge) = Judge::of("x1_names") else { return };
    let models = models(&judge, &async_api(&only("Everything"), "Events", "1.0.0"));
    let unnamed = models.keys().filter(|name| name.starts_with("Anonymous") || *name == "Root");
    assert_eq!(unnamed.collect::<Vec<_>>(), [""; 0], "of {:?}", models.keys());
    for name in [
        "Everything",
        "WayUnit",
        "WayHolds",
        "WayFields",
        "WayFields2",
        "WayFieldsContent",
        "TaggedUnit",
        "TaggedWithFields",
        "TaggedNewtype",
        "AdjacentOne",
        "AdjacentFieldsContent",
        "UntaggedFields",
        "Names",
        "EverythingResultOk",
        "EverythingTimesItem",
        "EverythingByNameValue",
        "EverythingBoth1",
        "EverythingMaybe",
    ] {
        assert!(models.contains_key(name), "{name} of {:?}", models.keys());
    }
    assert!(models["WayFields"].contains("y: number"), "{}", models["WayFields"]);
}

#[test]
fn x1_documents_say_3_0_unless_3_1_is_chosen() {
    let Some(judge) = Judge::of("x1_versions") else { return };
    let document = async_api(&only("Everything"), "Events", "1.0.0");
    assert_eq!(document["asyncapi"], "3.0.0");
    assert!(models(&judge, &document)["Everything"].contains("tagged: TaggedUnit |"));
    let newer =
        AsyncApi::new("Events", "1.0.0").written_in(AsyncApiVersion::V3_1).document(&only("Everything"));
    assert_eq!(newer["asyncapi"], "3.1.0");
    models(&judge, &newer);
}

#[test]
fn x1_titles_are_told_apart() {
    let document = async_api(&only("Everything"), "Events", "1.0.0").to_string();
    let titles: Vec<_> =
        document.split("\"title\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut distinct = titles.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), titles.len(), "{titles:?}");
    assert!(titles.len() > 30, "{titles:?}");
}

/// Fields with the names of keywords of JSON Schema, and others that mean something to what reads the document.
#[event("titled.keys")]
struct Keys {
    #[serde(rename = "$ref")]
    reference: String,
    #[serde(rename = "$id")]
    id: String,
    #[serde(rename = "$schema")]
    schema: String,
    #[serde(rename = "$anchor")]
    anchor: String,
    #[serde(rename = "$dynamicRef")]
    dynamic_reference: String,
    #[serde(rename = "$dynamicAnchor")]
    dynamic_anchor: String,
    #[serde(rename = "$recursiveRef")]
    recursive_reference: String,
    #[serde(rename = "$recursiveAnchor")]
    recursive_anchor: String,
    #[serde(rename = "$defs")]
    definitions: String,
    #[serde(rename = "$comment")]
    comment: String,
    #[serde(rename = "$vocabulary")]
    vocabulary: String,
    #[serde(rename = "__proto__")]
    prototype: String,
    #[serde(rename = "prefixItems")]
    items: String,
    constructor: String,
    title: String,
    properties: String,
    required: String,
    way: KeyWay,
    tag: KeyTag,
    content: KeyContent,
    #[serde(flatten)]
    beside: KeyBeside,
}

#[payload]
enum KeyWay {
    #[serde(rename = "$ref")]
    Reference(u8),
    #[serde(rename = "$id")]
    Id(u8),
    Other,
}

#[payload]
#[serde(tag = "$ref")]
enum KeyTag {
    #[serde(rename = "$ref")]
    Reference {
        x: u8,
    },
    Other,
}

#[payload]
#[serde(tag = "$id", content = "$ref")]
enum KeyContent {
    One(u8),
    Other,
}

#[payload]
enum KeyBeside {
    #[serde(rename = "$anchor ")]
    Anchor(u8),
    #[serde(rename = "$ref ")]
    Reference { x: u8 },
}

#[tokio::test]
async fn x3_schemas_check_fields_with_the_names_of_keywords() {
    let names = [
        "$ref",
        "$id",
        "$schema",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$defs",
        "$comment",
        "$vocabulary",
        "__proto__",
        "prefixItems",
        "constructor",
        "title",
        "properties",
        "required",
    ];
    let mut base = json!({
        "way": {"$ref": 1}, "tag": {"$ref": "$ref", "x": 1}, "content": {"$id": "One", "$ref": 1}, "$ref ": {"x": 1}
    });
    names.iter().for_each(|name| base[name] = json!("x"));
    let mut values = vec![base.clone()];
    for name in names {
        let mut changed = base.clone();
        changed[name] = json!(1);
        values.push(changed);
    }
    for (field, value) in [
        ("way", json!({"$ref": "x"})),
        ("way", json!({"$id": 1})),
        ("way", json!("$ref")),
        ("tag", json!({"$ref": "Other"})),
        ("tag", json!({"$ref": "another"})),
        ("content", json!({"$id": "One", "$ref": "x"})),
        ("content", json!({"$id": "Other"})),
        ("$ref ", json!({"x": "x"})),
    ] {
        let mut changed = base.clone();
        changed[field] = value;
        values.push(changed);
    }
    compare("x3_schemas", "titled.keys", values).await;
}

#[test]
fn x3_fields_may_have_the_names_of_keywords() {
    let Some(judge) = Judge::of("x3_keywords") else { return };
    let models = models(&judge, &async_api(&only("Keys"), "Events", "1.0.0"));
    let keys = &models["Keys"];
    for field in
        ["id", "schema", "anchor", "dynamicRef", "defs", "comment", "vocabulary", "prefixItems", "title"]
    {
        assert!(keys.contains(&format!("{field}: string;")), "{field}: {keys}");
    }
}
