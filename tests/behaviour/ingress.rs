//! Events from outside, emitted as JSON.

use std::sync::Arc;

use typed_events::{Bus, ErrorKind, Record, Schema, event};

use crate::{Seen, bus};

#[derive(Debug, Clone, Schema, serde::Serialize, serde::Deserialize)]
pub struct Address {
    pub city: String,
    pub zip: Option<u32>,
}

#[event("intake.created")]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub id: u64,
    pub email_address: String,
    pub addresses: Vec<Address>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub nick: Option<String>,
}

#[event("intake.strict")]
#[serde(deny_unknown_fields)]
pub struct Strict {
    pub id: u64,
}

#[event("intake.tree")]
pub struct Tree {
    pub children: Vec<Tree>,
}

const GOOD: &str = r#"{"id": 1, "emailAddress": "a@b.c", "addresses": [{"city": "Bonn"}]}"#;

/// Emits JSON, and checks that it is refused with this message and has no other effect.
async fn check_refused(name: &str, json: &str, kind: ErrorKind, message: &str) {
    let bus = Bus::builder().max_payload(2000).build().await.unwrap();
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    bus.pattern("*").on(move |record: &Record| log.push(record.name())).unwrap();
    let error = bus.emit_json(name, json).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    assert!(!error.to_string().contains("SECRET"));
    assert!(std::error::Error::source(&error).is_none(), "no cause repeats the value");
    assert!(bus.history("*").await.unwrap().is_empty());
    assert_eq!(seen.take(), [""; 0]);
}

#[event("intake.numbers")]
pub struct Numbers {
    pub big: u128,
    pub signed: Option<i128>,
    pub name: String,
    pub any: Option<serde_json::Value>,
    pub float: Option<f64>,
}

#[tokio::test]
async fn m11_the_field_at_fault_is_named_beside_numbers_that_no_value_holds() {
    const MAX: &str = "340282366920938463463374607431768211455";
    let cases = [
        (format!("{{\"big\": {MAX}, \"name\": 5}}"), ".name: expected a string, found a number"),
        (
            "{\"big\": 1, \"signed\": -170141183460469231731687303715884105728, \"name\": 5}".to_owned(),
            ".name: expected a string, found a number",
        ),
        (
            "{\"big\": 1, \"name\": 5, \"other\": 1e999}".to_owned(),
            ".name: expected a string, found a number",
        ),
        (
            "{\"big\": 1.5, \"name\": \"\"}".to_owned(),
            ".big: expected an integer from 0 to 340282366920938463463374607431768211455, found a fraction or a number beyond 64 bits",
        ),
        (
            format!("{{\"name\": \"\", \"big\": {MAX}0}}"),
            ".big: the type does not accept the value (line 1, column 60)",
        ),
        (
            "{\"big\": 1, \"name\": \"\", \"any\": [1e999]}".to_owned(),
            ".any[0]: the number is out of range (line 1, column 36)",
        ),
        (
            "{\"big\": 1, \"name\": \"\", \"float\": -1e999}".to_owned(),
            ".float: the number is out of range (line 1, column 38)",
        ),
        ("{\"big\": 1, \"name\": 5, \"other\": 1e}".to_owned(), "not JSON (line 1, column 34)"),
    ];
    for (json, problem) in cases {
        let message = format!("intake.numbers: {problem}");
        check_refused("intake.numbers", &json, ErrorKind::Payload, &message).await;
    }
    let bus = bus().await;
    let json = format!("{{\"big\": {MAX}, \"name\": \"\", \"other\": 1e999}}");
    bus.emit_json("intake.numbers", &json).await.unwrap();
}

#[tokio::test]
async fn a_wrong_type_names_the_path() {
    use ErrorKind::Payload;
    let cases = [
        (
            r#"{"id": "SECRET", "emailAddress": "", "addresses": []}"#,
            "intake.created: .id: expected an integer from 0 to 18446744073709551615, found a string",
        ),
        (
            r#"{"id": 1, "emailAddress": 42, "addresses": []}"#,
            "intake.created: .emailAddress: expected a string, found a number",
        ),
        (
            r#"{"id": -3, "emailAddress": "", "addresses": []}"#,
            "intake.created: .id: expected an integer from 0 to 18446744073709551615, found a number outside of it",
        ),
        (
            r#"{"id": 1, "emailAddress": "", "addresses": [{"city": "x"}, {"city": ["SECRET"]}]}"#,
            "intake.created: .addresses[1].city: expected a string, found an array",
        ),
        (
            r#"{"id": 1, "emailAddress": "", "addresses": [], "nick": 5}"#,
            "intake.created: .nick: expected a string or null, found a number",
        ),
        (r#""SECRET""#, "intake.created: expected an object, found a string"),
        // serde also reads a struct from an array.
        (r#"["SECRET"]"#, "intake.created: expected an object, found an array"),
        (
            r#"{"id": 1, "id": 2, "emailAddress": "", "addresses": []}"#,
            "intake.created: a field is given twice (line 1, column 14)",
        ),
    ];
    for (json, message) in cases {
        check_refused("intake.created", json, Payload, message).await;
    }
}

#[tokio::test]
async fn a_missing_field_names_the_path() {
    let json = r#"{"id": 1, "emailAddress": "SECRET", "addresses": [{"zip": 1}]}"#;
    let message = "intake.created: .addresses[0].city: missing, expected a string";
    check_refused("intake.created", json, ErrorKind::Payload, message).await;
    let json = r#"{"id": 1, "email_address": "SECRET", "addresses": []}"#;
    let message = "intake.created: .emailAddress: missing, expected a string";
    check_refused("intake.created", json, ErrorKind::Payload, message).await;
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_a_suggestion() {
    use ErrorKind::UnknownEvent;
    let message = "`intake.craeted` is not a declared event: did you mean `intake.created`?";
    check_refused("intake.craeted", GOOD, UnknownEvent, message).await;
    check_refused("nothing.alike", GOOD, UnknownEvent, "`nothing.alike` is not a declared event").await;
}

#[tokio::test]
async fn a_name_with_a_newline_or_esc_can_not_forge_a_log_line() {
    let message = "`a\\x0a\\x1b[2Kerror: all is lost` is not an event name: a segment may contain only A-Z, a-z, 0-9, `_` and `-` (position 2)";
    check_refused("a\n\x1b[2Kerror: all is lost", GOOD, ErrorKind::UnknownEvent, message).await;
    let long = "x".repeat(100_000);
    let error = bus().await.emit_json(&long, GOOD).await.unwrap_err().to_string();
    assert!(error.len() < 300, "{error}");
}

#[tokio::test]
async fn too_large_is_refused_before_it_is_read() {
    let json = format!(r#"{{"id": 1, "emailAddress": "{}", "addresses": []}}"#, "x".repeat(2000));
    let message = format!("intake.created: the payload has {} bytes, at most 2000 are accepted", json.len());
    check_refused("intake.created", &json, ErrorKind::TooLarge, &message).await;
}

#[tokio::test]
async fn too_deep_is_refused_also_in_fields_the_type_ignores() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let path = ".extra".to_owned() + &"[0]".repeat(127);
    let path = &path[..200];
    let message = format!("intake.created: {path}...: nested deeper than 127 (line 1, column 137)");
    let json = format!("{{\"extra\": {deep}, {}", &GOOD[1..]);
    check_refused("intake.created", &json, ErrorKind::Payload, &message).await;

    let tree = format!("{}{}", "{\"children\":[".repeat(90), "]}".repeat(90));
    let error = bus().await.emit_json("intake.tree", tree).await.unwrap_err().to_string();
    assert!(
        error.starts_with("intake.tree: .children[0].children[0]") && error.contains("nested deeper"),
        "{error}"
    );
    bus().await.emit_json("intake.tree", r#"{"children": [{"children": []}]}"#).await.unwrap();
}

#[tokio::test]
async fn extra_fields_are_accepted_unless_denied() {
    let bus = bus().await;
    let json = format!("{{\"more\": [1, {{}}], {}", &GOOD[1..]);
    bus.emit_json("intake.created", json).await.unwrap();
    let created = &bus.history("*").of::<Created>().await.unwrap()[0];
    assert_eq!((created.email_address.as_str(), created.addresses[0].city.as_str()), ("a@b.c", "Bonn"));
    bus.emit_json("intake.strict", r#"{"id": 1}"#).await.unwrap();
    let message = "intake.strict: .more: unknown field, which the type denies";
    check_refused("intake.strict", r#"{"id": 1, "more": "SECRET"}"#, ErrorKind::Payload, message).await;
    let message = "intake.strict: [\"a b\\x1b\"]: unknown field, which the type denies";
    check_refused("intake.strict", r#"{"id": 1, "a b\u001b": "SECRET"}"#, ErrorKind::Payload, message).await;
}

#[tokio::test]
async fn what_is_not_json_says_where() {
    use ErrorKind::Payload;
    for (json, message) in [
        ("", "intake.created: the JSON ends too early (line 1, column 0)"),
        ("{\"id\": SECRET}", "intake.created: not JSON (line 1, column 8)"),
        ("{\"id\": 1", "intake.created: the JSON ends too early (line 1, column 8)"),
        (&format!("{GOOD} SECRET"), "intake.created: more text follows the value (line 1, column 69)"),
    ] {
        check_refused("intake.created", json, Payload, message).await;
    }
    let error = bus().await.emit_json("intake.created", b"{\"id\xff\": 1}").await.unwrap_err();
    assert_eq!(error.to_string(), "intake.created: not JSON: not UTF-8 at byte 5");
}

#[tokio::test]
async fn undeclared_names_reach_wildcards_where_the_bus_accepts_them() {
    let bus = Bus::builder().accept_undeclared().quiet().build().await.unwrap();
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    let note = move |record: &Record| record.json().map(|json| log.push(format!("{} {json}", record.name())));
    bus.pattern("*").on(note).unwrap();
    bus.emit_json("foreign.thing", r#"{"a":  1}"#).await.unwrap();
    bus.emit_json("intake.strict", r#"{"id":  1}"#).await.unwrap();
    assert_eq!(seen.take(), [r#"foreign.thing {"a":  1}"#, r#"intake.strict {"id":1}"#]);
    let error = bus.emit_json("foreign.thing", "{]").await.unwrap_err();
    assert_eq!(error.to_string(), "foreign.thing: not JSON (line 1, column 2)");
    let error = bus.emit_json("not a name", "{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownEvent);
    assert_eq!(bus.history("foreign.*").await.unwrap().len(), 1);
    assert!(bus.is_declared("intake.strict") && !bus.is_declared("foreign.thing"));
}

#[event("intake.shapes")]
#[serde(default)]
#[derive(Default)]
pub struct Shapes {
    pub byte: u8,
    pub signed: i8,
    pub float: f64,
    pub letter: char,
    pub pair: (u8, bool),
    pub list: Vec<Option<bool>>,
    pub map: std::collections::BTreeMap<String, u8>,
    pub time: std::time::Duration,
    pub choice: Choice,
    pub big: u128,
    pub none: (),
    pub shelf: Shelf,
}

#[derive(Debug, Clone, Default, Schema, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    #[default]
    FirstOne,
    Second(u8),
}

#[derive(Debug, Clone, Default, Schema, serde::Serialize, serde::Deserialize)]
pub struct Shelf(pub u8, #[serde(skip)] pub u16, pub u8);

#[tokio::test]
async fn each_shape_says_what_it_expected() {
    let bus = bus().await;
    for (field, json, message) in [
        ("byte", "256", ".byte: expected an integer from 0 to 255, found a number outside of it"),
        (
            "byte",
            "1.5",
            ".byte: expected an integer from 0 to 255, found a fraction or a number beyond 64 bits",
        ),
        ("signed", "-129", ".signed: expected an integer from -128 to 127, found a number outside of it"),
        ("float", "true", ".float: expected a number, found a boolean"),
        ("letter", "\"ab\"", ".letter: expected a string of one character, found a string"),
        ("pair", "[1]", ".pair: expected an array of 2, found one of 1"),
        ("pair", "[1, null]", ".pair[1]: expected true or false, found null"),
        ("list", "[true, null, 1]", ".list[2]: expected true or false or null, found a number"),
        ("map", "{\"a.b\": []}", ".map[\"a.b\"]: expected an integer from 0 to 255, found an array"),
        (
            "map",
            "{\"\\\"\u{202e}\": []}",
            ".map[\"\\\"\\u{202e}\"]: expected an integer from 0 to 255, found an array",
        ),
        ("time", "{\"secs\": 1}", ".time.nanos: missing, expected an integer from 0 to 4294967295"),
        ("choice", "\"third\"", ".choice: expected one of `first-one`, `second`, found another string"),
        (
            "choice",
            "{\"second\": 256}",
            ".choice.second: expected an integer from 0 to 255, found a number outside of it",
        ),
        ("choice", "7", ".choice: expected one of `first-one`, `second`, found a number"),
        ("none", "0", ".none: expected null, found a number"),
        ("shelf", "[1, 2, 3]", ".shelf: expected an array of 2, found one of 3"),
    ] {
        let json = format!("{{\"{field}\": {json}}}");
        let error = bus.emit_json("intake.shapes", &json).await.expect_err(&json);
        assert_eq!(error.to_string(), format!("intake.shapes: {message}"), "{json}");
    }
}

/// serde reads more than the schema says, so an error must not be located at such a value.
#[tokio::test]
async fn only_the_place_that_serde_refused_is_named() {
    let bus = bus().await;
    for fine in [
        "\"time\": [1, 2]",
        "\"big\": 1180591620717411303424",
        "\"shelf\": [1, 3]",
        "\"choice\": {\"first-one\": null}",
    ] {
        bus.emit_json("intake.shapes", format!("{{{fine}}}")).await.expect(fine);
        let error = bus.emit_json("intake.shapes", format!("{{{fine}, \"byte\": -1}}")).await.unwrap_err();
        let message = "intake.shapes: .byte: expected an integer from 0 to 255, found a number outside of it";
        assert_eq!(error.to_string(), message);
    }
}

#[event("intake.tagged")]
#[serde(tag = "kind")]
pub enum Tagged {
    One { id: u8 },
}

#[tokio::test]
async fn where_serde_loses_the_place_the_schema_finds_it() {
    let bus = bus().await;
    for (json, message) in [
        (r#"{"kind": "One", "id": "SECRET"}"#, ".id: expected an integer from 0 to 255, found a string"),
        (r#"{"kind": "One"}"#, ".id: missing, expected an integer from 0 to 255"),
        (r#"{"kind": "Two", "id": 1}"#, ".kind: expected one of `One`, found another string"),
        (r#"{"id": 1}"#, ".kind: missing, expected one of `One`"),
        (r#""One""#, "expected an object, found a string"),
    ] {
        let error = bus.emit_json("intake.tagged", json).await.unwrap_err();
        assert_eq!(error.to_string(), format!("intake.tagged: {message}"));
    }
}
