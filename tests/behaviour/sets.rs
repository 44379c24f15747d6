//! Event sets in handlers and streams.

use std::sync::{Arc, Mutex};

use typed_events::{Bus, ErrorKind, EventSet, Record, event, on};

#[event("sets.created")]
pub struct Created {
    pub id: u8,
}

#[event("sets.deleted")]
pub struct Deleted {
    pub id: u8,
}

#[derive(Debug, EventSet)]
pub enum Both<'a> {
    Created(&'a Created),
    Deleted(&'a Deleted),
}

#[derive(Debug, EventSet)]
pub enum Rest<'a> {
    Deleted(Arc<Deleted>),
    Other(&'a Record),
}

#[derive(Debug, EventSet)]
pub enum Kept {
    Created(Arc<Created>),
    Deleted(Arc<Deleted>),
}

#[derive(Debug, EventSet)]
pub enum OnlyDeleted {
    Deleted(Arc<Deleted>),
}

type Seen = Mutex<Vec<String>>;

#[on("sets.*")]
fn both(event: Both<'_>, seen: &Seen) {
    seen.lock().unwrap().push(match event {
        Both::Created(event) => format!("created {}", event.id),
        Both::Deleted(event) => format!("deleted {}", event.id),
    });
}

#[on("sets.*")]
async fn rest(event: Rest<'_>, seen: &Seen) {
    tokio::task::yield_now().await;
    seen.lock().unwrap().push(match event {
        Rest::Deleted(event) => format!("deleted {}", event.id),
        Rest::Other(record) => format!("other {}", record.name()),
    });
}

#[on("sets.*", "*.deleted")]
fn only_deleted(_: OnlyDeleted) {}

#[tokio::test]
async fn each_event_goes_to_its_variant() {
    for history in [0, 10] {
        let seen = Arc::new(Seen::default());
        let bus = Bus::builder()
            .shared(Arc::clone(&seen))
            .handler::<both>()
            .handler::<rest>()
            .history(history)
            .build()
            .await
            .unwrap();
        assert!(bus.emit(Created { id: 1 }).await.unwrap().failures().is_empty());
        assert!(bus.emit(Deleted { id: 2 }).await.unwrap().failures().is_empty());
        assert!(bus.emit_json("sets.deleted", r#"{"id": 3}"#).await.unwrap().failures().is_empty());
        let expected =
            ["created 1", "other sets.created", "deleted 2", "deleted 2", "deleted 3", "deleted 3"];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn an_undeclared_event_reaches_only_sets_with_a_variant_for_all_others() {
    let seen = Arc::new(Seen::default());
    let bus = Bus::builder()
        .shared(Arc::clone(&seen))
        .handler::<both>()
        .handler::<rest>()
        .accept_undeclared()
        .build()
        .await
        .unwrap();
    let emitted = bus.emit_json("sets.unknown", "1").await.unwrap();
    assert!(emitted.failures().is_empty());
    assert_eq!(*seen.lock().unwrap(), ["other sets.unknown"]);
}

#[tokio::test]
async fn build_refuses_a_set_without_a_variant_for_a_known_event() {
    let error = Bus::builder().handler::<only_deleted>().build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Build);
    let message = error.to_string();
    assert!(
        message.starts_with("handler behaviour::sets::only_deleted (tests/behaviour/sets.rs:"),
        "{message}"
    );
    assert!(
        message.contains("`sets.*` takes `sets.created`, for which its event set has no variant"),
        "{message}"
    );
}

#[tokio::test]
async fn a_stream_gives_the_variants_of_a_set() {
    let bus = Bus::new().await.unwrap();
    let mut stream = bus.stream("sets.*").unwrap().set::<Kept>();
    let mut deleted = bus.stream("*").unwrap().set::<OnlyDeleted>();
    bus.emit(Created { id: 1 }).await.unwrap();
    bus.emit(Deleted { id: 2 }).await.unwrap();
    bus.stop().await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Kept::Created(event))) if event.id == 1));
    assert!(matches!(stream.next().await, Some(Ok(Kept::Deleted(event))) if event.id == 2));
    assert!(stream.next().await.is_none());
    assert!(matches!(deleted.next().await, Some(Ok(OnlyDeleted::Deleted(event))) if event.id == 2));
    assert!(deleted.next().await.is_none());
}

#[event("sets_shared.big")]
pub struct Big(pub String);

#[derive(EventSet)]
pub enum Shared {
    Big(Arc<Big>),
}

static ADDRESSES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

#[on]
fn borrows(big: &Big) {
    ADDRESSES.lock().unwrap().push(big.0.as_ptr().addr());
}

#[on("sets_shared.*")]
fn shares(set: Shared) {
    let Shared::Big(big) = set;
    ADDRESSES.lock().unwrap().push(big.0.as_ptr().addr());
}

#[tokio::test]
async fn a_set_of_arcs_shares_the_event() {
    let bus = Bus::builder().handler::<borrows>().handler::<shares>().build().await.unwrap();
    let replayed = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&replayed);
    bus.replay(1).on(move |big: Arc<Big>| log.lock().unwrap().push(big.0.as_ptr().addr())).await.unwrap();
    let text = "text".repeat(100);
    let address = text.as_ptr().addr();
    bus.emit(Big(text)).await.unwrap();
    assert_eq!(*ADDRESSES.lock().unwrap(), [address; 2]);
    assert_eq!(*replayed.lock().unwrap(), [address]);
}
