//! Views: handlers that read some fields of an event.

use std::sync::Arc;

use typed_events::{Bus, ErrorKind, EventSet, Record, Upcast, event, on, payload};

use crate::Seen;

#[event("views.created", version = 1, superseded)]
pub struct CreatedV1 {
    pub mail: String,
}

#[event("views.created", version = 2, previous = CreatedV1)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub user_id: u64,
    pub mail_address: String,
    pub home: Address,
}

impl Upcast<CreatedV1> for Created {
    fn upcast(old: CreatedV1) -> Self {
        Self { user_id: 0, mail_address: old.mail, home: Address { city: "?".into(), street: String::new() } }
    }
}

#[payload]
pub struct Address {
    pub city: String,
    pub street: String,
}

#[event(view_of = Created)]
#[serde(rename_all = "camelCase")]
struct Mailed {
    mail_address: String,
    home: City,
}

#[payload]
struct City {
    city: String,
}

#[event(view_of = Created)]
struct Counted {
    #[serde(rename = "userId")]
    id: i128,
}

#[derive(EventSet)]
enum Views<'a> {
    Created(&'a Counted),
    Other(&'a Record),
}

#[on]
fn mail(user: &Mailed, seen: &Seen) {
    seen.push(format!("{} in {}", user.mail_address, user.home.city));
}

#[on]
async fn count(user: Counted, seen: &Seen) {
    seen.push(user.id.to_string());
}

#[on("views.*")]
fn each(view: Views<'_>, seen: &Seen) {
    match view {
        Views::Created(user) => seen.push(format!("set {}", user.id)),
        Views::Other(record) => seen.push(record.name()),
    }
}

async fn bus() -> (Bus, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let builder = Bus::builder().shared(Arc::clone(&seen)).accept_undeclared();
    let bus = builder.handler::<mail>().handler::<count>().handler::<each>().build().await.unwrap();
    (bus, seen)
}

#[tokio::test]
async fn handlers_get_the_part_they_declare() {
    let (bus, seen) = bus().await;
    let home = Address { city: "Bonn".into(), street: "Rhein".into() };
    let emitted = bus.emit(Created { user_id: 7, mail_address: "a@b.c".into(), home }).await.unwrap();
    assert!(emitted.failures().is_empty());
    let mut got = seen.take();
    got.sort_unstable();
    assert_eq!(got, ["7", "a@b.c in Bonn", "set 7"]);
}

#[tokio::test]
async fn json_from_outside_fills_views_also_of_an_older_version() {
    let (bus, seen) = bus().await;
    bus.emit_json("views.created", r#"{"mail": "old"}"#).version(1).await.unwrap();
    bus.emit_json(
        "views.created",
        r#"{"userId": 1, "mailAddress": "new", "home": {"city": "Ulm", "street": ""}}"#,
    )
    .await
    .unwrap();
    bus.emit_json("views.unknown", "1").await.unwrap();
    let mut got = seen.take();
    got.sort_unstable();
    assert_eq!(got, ["0", "1", "new in Ulm", "old in ?", "set 0", "set 1", "views.unknown"]);
}

#[tokio::test]
async fn records_are_viewed_and_say_why_not() {
    let (bus, _) = bus().await;
    let home = Address { city: "Bonn".into(), street: String::new() };
    bus.emit(Created { user_id: 9, mail_address: "x".into(), home }).await.unwrap();
    bus.emit_json("views.other", "1").await.unwrap();
    let history = bus.history("views.*").await.unwrap();
    let first: &Counted = history[0].view().unwrap();
    assert_eq!(first.id, 9);
    assert_eq!(history[0].view::<Mailed>().unwrap().mail_address, "x");
    assert!(std::ptr::eq(first, history[0].view().unwrap()), "it is read once");
    let error = history[1].view::<Counted>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert_eq!(error.to_string(), "views.other: the record is not a views.created");
}
