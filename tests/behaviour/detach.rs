//! Detached emits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::Semaphore;
use typed_events::{Bus, ErrorKind, EventId, Metadata, event};

use crate::{Seen, bus};

#[event("detach.fired")]
pub struct Fired(pub u32);

#[tokio::test]
async fn handlers_are_called_before_detach_returns() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    bus.on(move |fired: &Fired| log.push(fired.0.to_string()));
    bus.emit(Fired(1)).detach().unwrap();
    assert_eq!(seen.take(), ["1"]);
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_detached_emit_has_its_id_and_metadata() {
    let (bus, id) = (bus().await, EventId::new());
    bus.emit(Fired(1)).metadata(Metadata::new().with_source("here")).id(id).detach().unwrap();
    let record = &bus.history("*").await.unwrap()[0];
    assert_eq!((record.id(), record.metadata().source()), (id, Some("here")));
}

#[tokio::test]
async fn json_has_the_options_of_an_emit() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    bus.on(move |fired: &Fired| log.push(fired.0.to_string()));
    let (first, second) = (EventId::new(), EventId::new());
    let metadata = || Metadata::new().with_source("here");
    let emit = bus.emit_json("detach.fired", "1").metadata(metadata()).id(first);
    assert_eq!(seen.take(), [""; 0], "nothing happens before the first poll");
    assert_eq!(emit.await.unwrap().id(), Some(first));
    bus.emit_json("detach.fired", "2").id(second).metadata(metadata()).detach().unwrap();
    assert_eq!(seen.take(), ["1", "2"]);
    for (record, id) in bus.history("*").await.unwrap().iter().zip([first, second]) {
        assert_eq!((record.id(), record.metadata().source()), (id, Some("here")));
    }
    let again = bus.emit_json("detach.fired", "1").id(first).await.unwrap();
    assert!(again.is_duplicate());
    let refused = bus.emit_json("detach.fired", "{}").detach().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Payload);
}

#[tokio::test]
async fn detached_json_counts_among_the_detached_emits() {
    let bus = Bus::builder().max_detached(1).build().await.unwrap();
    let gate = nesting_handler(&bus);
    bus.emit_json("detach.fired", "1").detach().unwrap();
    let error = bus.emit_json("detach.fired", "1").detach().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(bus.emit(Fired(1)).detach().unwrap_err().kind(), ErrorKind::Overloaded);
    gate.add_permits(10);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn an_emit_that_has_begun_is_not_changed_by_an_id_or_by_detach() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let (gate, log) = (Arc::new(Semaphore::new(0)), Arc::clone(&seen));
    let opened = Arc::clone(&gate);
    bus.on(move |fired: &Fired| {
        let (log, opened, fired) = (Arc::clone(&log), Arc::clone(&opened), fired.0);
        async move {
            opened.acquire().await.unwrap().forget();
            log.push(fired.to_string());
        }
    });
    let mut emit = bus.emit(Fired(1));
    assert!(Pin::new(&mut emit).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut emit = emit.id(EventId::new());
    gate.add_permits(1);
    assert_eq!((&mut emit).await.unwrap().handled(), 1);
    emit.detach().unwrap();
    assert_eq!(seen.take(), ["1"], "once");
}

#[tokio::test]
async fn detached_work_is_bounded_and_nested_emits_do_not_wait_on_the_bound() {
    let bus = Bus::builder().max_detached(2).build().await.unwrap();
    let gate = nesting_handler(&bus);
    bus.emit(Fired(1)).detach().unwrap();
    bus.emit(Fired(1)).detach().unwrap();
    let error = bus.emit(Fired(1)).detach().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.is_temporary());
    assert_eq!(bus.history("*").await.unwrap().len(), 2, "the third did not happen");
    gate.add_permits(2);
    bus.stop().await.unwrap();
    assert_eq!(bus.history("*").await.unwrap().len(), 4);
}

#[tokio::test]
async fn emits_that_nobody_awaits_any_more_are_bounded() {
    let bus = Bus::builder().max_in_flight(2).build().await.unwrap();
    let gate = nesting_handler(&bus);
    for _ in 0..2 {
        let mut emit = std::pin::pin!(bus.emit(Fired(1)));
        assert!(crate::replay::futures_poll(emit.as_mut()).await.is_none());
    }
    let error = bus.emit(Fired(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(
        error.to_string(),
        "detach.fired: 2 emits are waiting for their handlers; nothing was emitted"
    );
    gate.add_permits(2);
    bus.stop().await.unwrap();
    assert_eq!((bus.history("*").await.unwrap().len(), bus.stats().failed), (4, 0));
}

/// Adds a handler that waits at the gate. For the first event, it emits a second one.
fn nesting_handler(bus: &Bus) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    let (open, handle) = (Arc::clone(&gate), bus.clone());
    bus.on(move |fired: Arc<Fired>| {
        let (open, bus) = (Arc::clone(&open), handle.clone());
        async move {
            open.acquire().await.unwrap().forget();
            if fired.0 == 1 {
                // An emit that is awaited inside a handler does not wait for the limit on emits.
                open.add_permits(1);
                bus.emit(Fired(2)).await?;
            }
            Ok::<_, typed_events::Error>(())
        }
    });
    gate
}
