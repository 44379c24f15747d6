//! The exported JSON Schema against what `emit_json` accepts.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use typed_events::export::{Side, json_schema};
use typed_events::{Bus, catalog, event, payload};

#[allow(dead_code)] // its `main`
#[path = "../../../examples/github.rs"]
mod github;

/// Compares the two for one event, and counts.
struct Comparison {
    bus: Bus,
    validators: HashMap<&'static str, jsonschema::Validator>,
    accepted: usize,
    refused: usize,
}

impl Comparison {
    async fn new() -> Self {
        let validator = |schema: &Value| jsonschema::draft202012::new(schema).unwrap();
        let catalog = catalog();
        let events = catalog.events().iter();
        let validators = events.map(|event| (event.name(), validator(&json_schema(event, Side::Read))));
        let validators = validators.collect();
        Self { bus: Bus::builder().history(0).build().await.unwrap(), validators, accepted: 0, refused: 0 }
    }

    async fn compare(&mut self, name: &str, value: &Value) {
        let emitted = self.bus.emit_json(name, value.to_string()).await;
        let valid = self.validators[name].validate(value);
        match (&emitted, &valid) {
            (Ok(_), Ok(())) => self.accepted += 1,
            (Err(_), Err(_)) => self.refused += 1,
            _ => panic!("{name} {value}:\nemit_json: {:?}\nschema: {valid:?}", emitted.err()),
        }
    }

    /// The value itself, and it with each part left out or replaced by other values.
    async fn compare_all(&mut self, name: &str, value: &Value, others: &[Value]) {
        self.compare(name, value).await;
        let mut paths = Vec::new();
        paths_in(value, String::new(), &mut paths);
        for path in paths {
            for other in others {
                let mut changed = value.clone();
                *changed.pointer_mut(&path).unwrap() = other.clone();
                self.compare(name, &changed).await;
            }
            let (parent, key) = path.rsplit_once('/').unwrap_or_default();
            let mut changed = value.clone();
            if let Some(Value::Object(map)) = changed.pointer_mut(parent) {
                map.remove(&key.replace("~1", "/").replace("~0", "~"));
                map.insert("added".into(), json!(1));
                self.compare(name, &changed).await;
            }
        }
    }
}

/// The places in a value, at most two deep: what is deeper in real payloads is mostly ignored.
fn paths_in(value: &Value, path: String, paths: &mut Vec<String>) {
    if path.matches('/').count() < 2 {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    paths_in(value, format!("{path}/{key}"), paths);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate().take(2) {
                    paths_in(value, format!("{path}/{index}"), paths);
                }
            }
            _ => {}
        }
    }
    paths.push(path);
}

#[tokio::test]
async fn all_real_payloads_are_judged_alike() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/github-webhooks"));
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "no payloads in {folder:?}");
        println!("skipped: no payloads in {folder:?}");
        return;
    }
    let mut comparison = Comparison::new().await;
    let (mut files, mut declared) = (0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let name = name_of(&file);
        files += 1;
        let value: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        if github::DECLARED.contains(&name.as_str()) {
            declared += 1;
            comparison.compare_all(&name, &value, &[json!(null), json!("x"), json!([])]).await;
        }
        // Each payload against every declared event: most fit none but their own.
        for other in github::DECLARED {
            comparison.compare(other, &value).await;
        }
    }
    assert_eq!(files, 191);
    println!(
        "{declared} payloads of declared events; accepted {}, refused {}, all alike",
        comparison.accepted, comparison.refused
    );
    assert!(comparison.accepted > 1000 && comparison.refused > 1000);
}

fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    stem.rsplit_once('.').unwrap().0.to_owned()
}

#[payload]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Tagged {
    Unit,
    WithFields {
        a: u8,
        #[serde(default)]
        b: i64,
    },
    #[serde(alias = "was")]
    Renamed {
        #[serde(rename = "x y")]
        xy: Option<char>,
    },
}

#[payload]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u8, bool),
    Maybe(Option<i8>),
    Unit,
}

#[payload]
enum External {
    Unit,
    Other,
    Holds(String),
    Fields { a: f32 },
}

#[payload]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Fields { a: bool },
    Text(String),
}

#[payload]
struct Node {
    children: Vec<Node>,
    next: Option<Box<Node>>,
}

#[payload]
struct Beside {
    inner: u16,
    other: Option<String>,
}

#[payload]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(rename(deserialize = "read"), alias = "r", alias = "both")]
    both: bool,
    #[serde(default)]
    absent: u8,
    #[serde(skip)]
    skipped: u8,
}

#[event("export.kinds")]
struct Kinds {
    tagged: Tagged,
    adjacent: Adjacent,
    external: External,
    untagged: Untagged,
    node: Node,
    strict: Strict,
    tuple: (u8, Option<String>),
    map: BTreeMap<i16, bool>,
    array: [char; 2],
    #[serde(flatten)]
    beside: Beside,
}

#[tokio::test]
async fn every_kind_of_type_is_judged_alike() {
    let mut comparison = Comparison::new().await;
    let replacements = [
        json!(null),
        json!("x"),
        json!(""),
        json!(7),
        json!(-1),
        json!(1e300),
        json!(2.5),
        json!(true),
        json!([]),
        json!({}),
    ];
    let base = json!({
        "tagged": {"kind": "unit"},
        "adjacent": {"t": "One", "c": [1, true]},
        "external": "Unit",
        "untagged": 3,
        "node": {"children": [{"children": [], "next": null}], "next": {"children": []}},
        "strict": {"read": true, "absent": 3},
        "tuple": [1, null],
        "map": {"-7": true},
        "array": ["a", "b"],
        "inner": 5,
    });
    comparison.compare_all("export.kinds", &base, &replacements).await;
    let others = [
        ("tagged", json!({"kind": "with-fields", "a": 1, "b": -5})),
        ("tagged", json!({"kind": "renamed", "x y": "z"})),
        ("tagged", json!({"kind": "was"})),
        ("tagged", json!({"kind": "none"})),
        ("adjacent", json!({"t": "Maybe", "c": null})),
        ("adjacent", json!({"t": "Maybe"})),
        ("adjacent", json!({"t": "Unit"})),
        ("external", json!({"Holds": "x"})),
        ("external", json!({"Fields": {"a": 1.5}})),
        ("external", json!({"Fields": {"a": 1.5}, "Holds": "x"})),
        ("untagged", json!({"a": true})),
        ("untagged", json!("text")),
        ("untagged", json!(256)),
        ("strict", json!({"r": false})),
        ("strict", json!({"both": false})),
        ("strict", json!({"read": false, "skipped": 1})),
        ("map", json!({"x": true})),
        ("map", json!({"1": 1})),
    ];
    for (field, value) in others {
        let mut changed = base.clone();
        changed[field] = value;
        comparison.compare_all("export.kinds", &changed, &replacements).await;
    }
    println!("accepted {}, refused {}, all alike", comparison.accepted, comparison.refused);
}

#[payload]
enum Way {
    One { x: u8 },
    Two(String),
}

#[event("export.flattened")]
struct Flattened {
    b: u8,
    #[serde(flatten)]
    way: Way,
    #[serde(flatten)]
    strict: Strict,
}

#[tokio::test]
async fn what_is_flattened_leaves_room_for_the_others() {
    let mut comparison = Comparison::new().await;
    let replacements = [json!(null), json!("x"), json!(7), json!(300), json!({})];
    for side in [json!({"One": {"x": 1}}), json!({"Two": "y"}), json!({"Three": 3}), json!({})] {
        let mut whole = json!({"b": 1, "read": true, "absent": 3});
        whole.as_object_mut().unwrap().extend(side.as_object().unwrap().clone());
        comparison.compare_all("export.flattened", &whole, &replacements).await;
    }
    assert!(comparison.accepted > 0 && comparison.refused > 0);
}

#[payload]
struct Total {
    #[serde(alias = "sum")]
    total: u8,
    note: Option<String>,
}

#[event("export.denied.struct")]
#[serde(deny_unknown_fields)]
struct DeniedStruct {
    b: u8,
    #[serde(flatten)]
    total: Total,
}

#[event("export.denied.option")]
#[serde(deny_unknown_fields)]
struct DeniedOption {
    b: u8,
    #[serde(flatten)]
    total: Option<Total>,
}

#[event("export.denied.enum")]
#[serde(deny_unknown_fields)]
struct DeniedEnum {
    b: u8,
    #[serde(flatten)]
    way: Way,
    #[serde(flatten)]
    adjacent: Adjacent,
}

#[tokio::test]
async fn v3_unknown_fields_are_denied_beside_flattened_ones() {
    let mut comparison = Comparison::new().await;
    let replacements = [json!(null), json!("x"), json!(7), json!(300), json!({})];
    let wholes = [
        ("export.denied.struct", json!({"b": 1, "total": 2})),
        ("export.denied.struct", json!({"b": 1, "sum": 2, "note": "x"})),
        ("export.denied.struct", json!({"b": 1, "total": 2, "more": 3})),
        ("export.denied.enum", json!({"b": 1, "One": {"x": 1}, "t": "One", "c": [1, true]})),
        ("export.denied.enum", json!({"b": 1, "Two": "x", "t": "Unit"})),
        ("export.denied.enum", json!({"b": 1, "Two": "x", "t": "Unit", "more": 3})),
    ];
    for (name, whole) in wholes {
        comparison.compare_all(name, &whole, &replacements).await;
    }
    // Not each part replaced: of an option that it can't read, serde takes some entries away and denies others.
    let wholes = [
        json!({"b": 1, "total": 2, "note": null}),
        json!({"b": 1, "sum": 2}),
        json!({"b": 1}),
        json!({"b": 1, "more": 3}),
        json!({"b": 1, "total": 2, "more": 3}),
        json!({"b": 1, "note": 7, "total": 2}),
    ];
    for whole in wholes {
        comparison.compare("export.denied.option", &whole).await;
    }
    assert!(comparison.accepted > 0 && comparison.refused > 0);
}
