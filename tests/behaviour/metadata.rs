//! The metadata of events.

use std::sync::Arc;

use typed_events::{Bus, EventContext, Metadata, Record, event, on};

use crate::bus;

#[event("metadata.first")]
pub struct First;

#[event("metadata.second")]
pub struct Second;

#[event("metadata.third")]
pub struct Third;

#[on]
async fn first(_: &First, bus: &Bus) -> Result<(), typed_events::Error> {
    tokio::task::yield_now().await;
    bus.emit(Second).await?;
    Ok(())
}

#[on]
fn second(_: &Second, bus: &Bus) -> Result<(), typed_events::Error> {
    bus.emit(Third).metadata(Metadata::new().with_source("second")).detach()
}

async fn chain(history: usize) -> (Bus, Vec<Record>) {
    let bus = Bus::builder().handler::<first>().handler::<second>().history(history).build().await.unwrap();
    let seen: Arc<std::sync::Mutex<Vec<Record>>> = Arc::default();
    let log = Arc::clone(&seen);
    bus.pattern("*").on(move |record: &Record| log.lock().unwrap().push(record.clone())).unwrap();
    bus.emit(First)
        .metadata(Metadata::new().with_trace_context("00-a-b-01", None).with("user", 7))
        .await
        .unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort_by_key(|record| record.name().to_owned());
    (bus, seen)
}

#[tokio::test]
async fn is_kept() {
    let (_bus, records) = chain(1000).await;
    let metadata = records[0].metadata();
    assert_eq!(metadata.traceparent(), Some("00-a-b-01"));
    assert_eq!(metadata.get("user"), Some(&7.into()));
    assert_eq!((metadata.correlation_id(), metadata.causation_id(), metadata.source()), (None, None, None));
    assert_eq!(metadata.iter().count(), 1);
}

#[tokio::test]
async fn correlation_is_inherited_and_causation_set() {
    for history in [1000, 0] {
        let (bus, records) = chain(history).await;
        let [first, second, third] = &records[..] else { panic!("{records:?}") };
        let root = first.id().to_string();
        assert_eq!(second.metadata().correlation_id(), Some(&*root));
        assert_eq!(second.metadata().causation_id(), Some(&*root));
        assert_eq!(third.metadata().correlation_id(), Some(&*root));
        assert_eq!(third.metadata().causation_id(), Some(&*second.id().to_string()));
        assert_eq!(third.metadata().source(), Some("second"), "what it says itself stays");
        assert_eq!(third.metadata().traceparent(), Some("00-a-b-01"));
        assert_eq!(third.metadata().get("user"), None, "further values belong to one event");
        assert_eq!(third.origin(), bus.instance());
    }
}

#[tokio::test]
async fn causation_follows_an_emit_that_needed_no_record() {
    let bus = Bus::builder().history(0).build().await.unwrap();
    let (handle, inside) = (bus.clone(), Arc::new(std::sync::Mutex::new(None)));
    let id = Arc::clone(&inside);
    bus.on(move |_: &First| {
        *id.lock().unwrap() = EventContext::current().event_id();
        handle.emit(Second).detach()
    });
    let caused = Arc::new(std::sync::Mutex::new(None));
    let cause = Arc::clone(&caused);
    bus.on(move |second: Arc<Second>| {
        let _ = second;
        *cause.lock().unwrap() = EventContext::current().event_id();
    });
    let emitted = bus.emit(First).await.unwrap();
    assert!(emitted.record().is_none());
    assert_eq!(emitted.id(), *inside.lock().unwrap());
    assert!(caused.lock().unwrap().is_some_and(|id| Some(id) != emitted.id()));
}

#[tokio::test]
async fn a_spawned_task_loses_it_and_context_carries_it() {
    let bus = bus().await;
    let handle = bus.clone();
    bus.on(move |_: Arc<First>| {
        let bus = handle.clone();
        async move {
            let (lost, carried) = (bus.clone(), bus.clone());
            tokio::spawn(async move { lost.emit(Second).await.map(drop) }).await.unwrap()?;
            let third = async move {
                tokio::task::yield_now().await;
                carried.emit(Third).await.map(drop)
            };
            tokio::spawn(EventContext::current().carry(third)).await.unwrap()
        }
    });
    let first = bus.emit(First).await.unwrap();
    assert!(first.failures().is_empty());
    let id = first.id().unwrap().to_string();
    let causes = bus.history("*").await.unwrap();
    let causes: Vec<_> = causes
        .iter()
        .map(|record| (record.name(), record.metadata().causation_id().map(str::to_owned)))
        .collect();
    assert_eq!(causes, [("metadata.first", None), ("metadata.second", None), ("metadata.third", Some(id))]);
    assert!(EventContext::current().event_id().is_none());
}
