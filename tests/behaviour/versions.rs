//! Versions: old payloads are decoded as their own type and converted to the current one.

use typed_events::schema::PastEvent;
use typed_events::{Bus, ErrorKind, Event, Record, Upcast, event};

#[event("versions.named", version = 1, superseded)]
pub struct NamedV1 {
    pub name: String,
}

#[event("versions.named", version = 2, superseded, previous = NamedV1)]
pub struct NamedV2 {
    pub first: String,
    pub last: String,
}

#[event("versions.named", version = 3, previous = NamedV2)]
pub struct Named {
    pub names: Vec<String>,
}

impl Upcast<NamedV1> for NamedV2 {
    fn upcast(old: NamedV1) -> Self {
        let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
        Self { first: first.into(), last: last.into() }
    }
}

impl Upcast<NamedV2> for Named {
    fn upcast(old: NamedV2) -> Self {
        Self { names: vec![old.first, old.last] }
    }
}

const OLD: [(u32, &str); 3] = [
    (1, r#"{"name": "Ada Lovelace"}"#),
    (2, r#"{"first": "Ada", "last": "Lovelace"}"#),
    (3, r#"{"names": ["Ada", "Lovelace"]}"#),
];

#[tokio::test]
async fn json_of_any_version_is_emitted_as_the_current_one() {
    let bus = Bus::new().await.unwrap();
    for (version, json) in OLD {
        bus.emit_json("versions.named", json).version(version).await.unwrap();
    }
    bus.emit_json("versions.named", OLD[2].1).await.unwrap();
    let history = bus.history("versions.named").await.unwrap();
    assert_eq!(history.len(), 4);
    for record in &history {
        assert_eq!(record.version(), 3);
        assert_eq!(record.get::<Named>().unwrap().names, ["Ada", "Lovelace"]);
    }
    assert_eq!((NamedV1::VERSION, NamedV2::VERSION, Named::VERSION), (1, 2, 3));
}

#[tokio::test]
async fn a_stored_record_keeps_its_version_and_bytes_and_is_read_as_the_current_type() {
    for (version, json) in OLD {
        let stored = format!(
            r#"{{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"test","type":"versions.named","time":"2026-01-01T00:00:00Z","eventversion":{version},"origin":"01890a5d-ac96-774b-bcce-b302099a8057","data":{json}}}"#
        );
        let record = Record::from_cloudevent(&stored).unwrap();
        assert_eq!(record.version(), version);
        assert_eq!(record.decode::<Named>().unwrap().names, ["Ada", "Lovelace"]);
        assert_eq!(record.json().unwrap(), json);
    }
}

#[tokio::test]
async fn a_version_that_is_not_known_or_does_not_fit_is_refused() {
    let bus = Bus::new().await.unwrap();
    for (version, json, message) in [
        (4, OLD[2].1, "version 4 can't be read: the newest version this program knows is 3"),
        (0, OLD[0].1, "version 0 can't be read: the oldest version this program knows is 1"),
        (1, OLD[1].1, ".name: missing, expected a string"),
        (2, OLD[0].1, ".first: missing, expected a string"),
    ] {
        let error = bus.emit_json("versions.named", json).version(version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Payload);
        assert_eq!(error.to_string(), format!("versions.named: {message}"));
    }
    assert!(bus.history("*").await.unwrap().is_empty());
}

#[event("versions.divided", version = 1, superseded)]
pub struct DividedV1 {
    pub by: u8,
}

#[event("versions.divided", version = 2, previous = DividedV1)]
pub struct Divided {
    pub part: u8,
}

impl Upcast<DividedV1> for Divided {
    fn upcast(old: DividedV1) -> Self {
        Self { part: 100 / old.by }
    }
}

#[tokio::test]
async fn an_upcast_that_panics_is_an_error() {
    let bus = Bus::new().await.unwrap();
    bus.emit_json("versions.divided", r#"{"by":4}"#).version(1).await.unwrap();
    let error = bus.emit_json("versions.divided", r#"{"by":0}"#).version(1).await.unwrap_err();
    assert_eq!(error.to_string(), "versions.divided: reading version 1 of it panicked");
}
