//! Buses that share an adapter.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, Published, Receiver, RecordCodec,
};
use typed_events::{Bus, ErrorKind, EventId, Record, event, on};

use crate::logs::Lines;
use crate::replay::futures_poll;
use crate::{Seen, names};

#[event("adapter.paid")]
pub struct Paid {
    pub id: u64,
}

/// An adapter that several buses share. It stores all records, and passes each to all receivers, the sender's included.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    records: Vec<String>,
    inboxes: Vec<Receiver>,
    fail: Option<fn() -> AdapterError>,
    panic: bool,
    stopped: usize,
    waits: bool,
    /// Gates that delay the result of one publish, after its records are stored, or of one read of the history.
    acknowledge: Option<Arc<Semaphore>>,
    read: Option<Arc<Semaphore>>,
}

/// Waits at a gate, if one is set.
async fn wait_at(gate: fn(&mut Shared) -> Option<Arc<Semaphore>>, room: &Mutex<Shared>) {
    let gate = gate(&mut room.lock().unwrap());
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
}

impl Adapter for Room {
    fn name(&self) -> String {
        "room".into()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            if self.0.lock().unwrap().waits {
                tokio::task::yield_now().await;
            }
            let texts: Vec<_> =
                records.iter().map(|record| codec.encode(record)).collect::<Result<_, _>>()?;
            let panics = std::mem::take(&mut self.0.lock().unwrap().panic);
            assert!(!panics, "broken");
            let inboxes = {
                let mut shared = self.0.lock().unwrap();
                if let Some(fail) = shared.fail {
                    return Err(fail());
                }
                shared.records.extend(texts.clone());
                shared.inboxes.clone()
            };
            wait_at(|shared| shared.acknowledge.take(), &self.0).await;
            for text in texts {
                for receiver in &inboxes {
                    // A record that one bus refuses is not a failure of the sender.
                    let _ = receiver.deliver(receiver.codec().decode(&text)?).await;
                }
            }
            Ok(Published::default())
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            wait_at(|shared| shared.read.take(), &self.0).await;
            let texts = self.0.lock().unwrap().records.clone();
            Ok(query.select(texts.iter().map(|text| Ok(codec.decode(text)?))))
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.0.lock().unwrap().inboxes.push(receiver);
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.0.lock().unwrap().stopped += 1;
        let panics = std::mem::take(&mut self.0.lock().unwrap().panic);
        assert!(!panics, "broken");
        Box::pin(async { Ok(()) })
    }
}

#[on("adapter.*")]
fn note(record: &Record, seen: &Seen) {
    seen.push(format!("{} {}", record.name(), record.get::<Paid>().map_or(0, |paid| paid.id)));
}

async fn join(room: &Room) -> (Bus, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let builder = Bus::builder().adapter(room.clone()).handler::<note>().shared(Arc::clone(&seen));
    (builder.quiet().build().await.unwrap(), seen)
}

#[tokio::test]
async fn an_event_from_another_instance_runs_here_and_is_not_published_again() {
    for waits in [false, true] {
        let room = Room::default();
        room.0.lock().unwrap().waits = waits;
        let ((one, one_seen), (two, two_seen)) = (join(&room).await, join(&room).await);
        one.emit(Paid { id: 7 }).await.unwrap();
        assert_eq!(one_seen.take(), ["adapter.paid 7"], "once, its own echo is dropped");
        assert_eq!(two_seen.take(), ["adapter.paid 7"]);
        assert_eq!((one.stats().echoes, two.stats().echoes), (1, 0));
        assert_eq!(room.0.lock().unwrap().records.len(), 1);
        let history = two.history("adapter.*").await.unwrap();
        assert_eq!(names(&history), ["adapter.paid"]);
        assert_eq!(history[0].origin(), one.instance());
        assert_eq!(two.history("*").of::<Paid>().await.unwrap()[0].id, 7);
    }
}

#[tokio::test]
async fn a_record_delivered_twice_runs_once() {
    let room = Room::default();
    let ((one, _), (_two, two_seen)) = (join(&room).await, join(&room).await);
    one.emit(Paid { id: 7 }).await.unwrap();
    let (text, receiver) = {
        let shared = room.0.lock().unwrap();
        (shared.records[0].clone(), shared.inboxes[1].clone())
    };
    receiver.deliver(Record::from_cloudevent(&text).unwrap()).await.unwrap();
    assert_eq!(two_seen.take().len(), 1);
}

#[tokio::test]
async fn publish_failing_means_no_handler_ran() {
    let room = Room::default();
    let (bus, seen) = join(&room).await;
    room.0.lock().unwrap().fail = Some(|| AdapterError::unavailable("no route\x1b"));
    let error = bus.emit(Paid { id: 1 }).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Append, true));
    assert_eq!(
        error.to_string(),
        "adapter.paid: room did not store the event; no handler ran: no route\\x1b"
    );
    // The error has no source, so printing the sources repeats nothing.
    assert!(std::error::Error::source(&error).is_none());
    let error = bus.emit_all([Paid { id: 1 }, Paid { id: 2 }]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append);
    assert_eq!(seen.take(), [""; 0]);
    assert!(bus.history("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_is_an_error_of_its_own_kind_and_can_be_retried() {
    let room = Room::default();
    let (bus, seen) = join(&room).await;
    for panics in [false, true] {
        {
            let mut shared = room.0.lock().unwrap();
            shared.fail = Some(|| AdapterError::unknown("timed out"));
            shared.panic = panics;
        }
        let id = EventId::new();
        let error = bus.emit(Paid { id: 1 }).id(id).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::OutcomeUnknown, true));
        assert_eq!(error.event_id(), Some(id));
        assert_eq!(seen.take(), [""; 0]);
        room.0.lock().unwrap().fail = None;
        let emitted = bus.emit(Paid { id: 1 }).id(error.event_id().unwrap()).await.unwrap();
        assert_eq!((emitted.id(), seen.take().len()), (Some(id), 1));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_counted_and_told_to_the_adapter() {
    let room = Room::default();
    let ((one, _), (two, two_seen)) = (join(&room).await, join(&room).await);
    one.emit(Paid { id: 7 }).await.unwrap();
    two_seen.take();
    let (text, receiver) = {
        let shared = room.0.lock().unwrap();
        (shared.records[0].clone(), shared.inboxes[1].clone())
    };
    let id = Record::from_cloudevent(&text).unwrap().id().to_string();
    let text = text.replace(&id, "0193b3e2-7f5c-7cc2-98b4-5a3c8f0e1d2a");
    let wrong = Record::from_cloudevent(&text.replace("{\"id\":7}", "{\"id\":\"7\"}")).unwrap();
    let error = receiver.deliver(wrong).await.unwrap_err();
    assert!(error.to_string().starts_with("adapter.paid: .id: expected an integer"), "{error}");
    let unknown = Record::from_cloudevent(&text.replace("adapter.paid", "adapter.paaid")).unwrap();
    let error = receiver.deliver(unknown).await.unwrap_err();
    assert_eq!(error.to_string(), "`adapter.paaid` is not a declared event: did you mean `adapter.paid`?");
    receiver.lost(3, "reconnected");
    assert_eq!((two.stats().refused, two.stats().lost), (2, 3));
    assert_eq!(two_seen.take(), [""; 0]);
    drop(two);
    let error = receiver.deliver(Record::from_cloudevent(&text).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn b13_losses_are_told_once_per_period() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let room = Room::default();
    let (bus, _) = join(&room).await;
    let receiver = room.0.lock().unwrap().inboxes[0].clone();
    let slow = "handlers were slow";
    for _ in 0..1000 {
        receiver.lost(1, slow);
    }
    receiver.lost(5, "reconnected");
    let mut told = vec![format!("room lost 1 event: {slow}"), "room lost 5 events: reconnected".to_owned()];
    assert_eq!(lines.of(" lost "), told);
    tokio::time::sleep(Duration::from_secs(11)).await;
    told.push(format!("room lost 999 events: {slow}"));
    assert_eq!(lines.of(" lost "), told);
    // After a period without a loss, the next loss is logged at once.
    tokio::time::sleep(Duration::from_secs(20)).await;
    receiver.lost(2, slow);
    receiver.lost(3, slow);
    told.push(format!("room lost 2 events: {slow}"));
    assert_eq!(lines.of(" lost "), told);
    bus.stop().await.unwrap();
    told.push(format!("room lost 3 events: {slow}"));
    assert_eq!(lines.of(" lost "), told);
    assert_eq!(bus.stats().lost, 1010);
}

#[tokio::test(start_paused = true)]
async fn b13_what_was_not_told_is_when_the_bus_goes() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let room = Room::default();
    let (bus, _) = join(&room).await;
    let receiver = room.0.lock().unwrap().inboxes[0].clone();
    for reason in 0..5000 {
        receiver.lost(1, &format!("reason {reason}"));
    }
    let told = lines.of(" lost ").len();
    assert!((1000..1010).contains(&told), "a bounded number of reasons: {told}");
    drop(bus);
    let lost: u64 =
        lines.of(" lost ").iter().map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(lost, 5000);
}

#[tokio::test]
async fn b13_forwarding_has_no_limit_of_its_own() {
    let limited = || Bus::builder().max_payload(10).no_handlers().quiet();
    let (here, there) = (limited().build().await.unwrap(), limited().build().await.unwrap());
    here.emit(Paid { id: u64::MAX }).await.unwrap();
    let record = here.history("*").await.unwrap()[0].clone();
    there.forward(&record).await.unwrap();
    assert_eq!(there.history("*").await.unwrap()[0].id(), record.id());
    let error = there.emit_json("adapter.paid", r#"{"id": 12345678}"#).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_late_handler_replays_from_the_adapter() {
    let room = Room::default();
    let (one, _) = join(&room).await;
    for id in 0..3 {
        one.emit(Paid { id }).await.unwrap();
    }
    let (two, _) = join(&room).await;
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    two.replay(2).on(move |paid: &Paid| log.push(paid.id.to_string())).await.unwrap();
    one.emit(Paid { id: 3 }).await.unwrap();
    assert_eq!(seen.take(), ["1", "2", "3"]);
}

#[tokio::test]
async fn stop_stops_the_adapter_once() {
    let room = Room::default();
    let (bus, _) = join(&room).await;
    bus.emit(Paid { id: 1 }).await.unwrap();
    bus.stop().await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(room.0.lock().unwrap().stopped, 1);
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_emit_dropped_while_the_append_waits_is_still_delivered() {
    let room = Room::default();
    room.0.lock().unwrap().waits = true;
    let (bus, seen) = join(&room).await;
    {
        let mut emit = std::pin::pin!(bus.emit(Paid { id: 5 }));
        assert!(futures_poll(emit.as_mut()).await.is_none());
    }
    bus.stop().await.unwrap();
    assert_eq!(seen.take(), ["adapter.paid 5"]);
}

/// Regression test: records that the reader delivered were missing in the history, with all records after them.
#[tokio::test]
async fn a_replay_misses_nothing_where_the_orders_of_adapter_and_bus_differ() {
    let (room, gates) = (Room::default(), [(); 2].map(|()| Arc::new(Semaphore::new(0))));
    let (bus, _) = join(&room).await;
    // The first event is stored first and acknowledged last, while the history is being read.
    room.0.lock().unwrap().acknowledge = Some(Arc::clone(&gates[0]));
    let mut first = std::pin::pin!(bus.emit(Paid { id: 1 }));
    assert!(futures_poll(first.as_mut()).await.is_none());
    for id in 2..=4 {
        bus.emit(Paid { id }).await.unwrap();
    }
    room.0.lock().unwrap().read = Some(Arc::clone(&gates[1]));
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    let mut replay = std::pin::pin!(bus.replay(10).on(move |paid: &Paid| log.push(paid.id.to_string())));
    assert!(futures_poll(replay.as_mut()).await.is_none());
    gates[0].add_permits(1);
    first.await.unwrap();
    gates[1].add_permits(1);
    replay.await.unwrap();
    bus.emit(Paid { id: 5 }).await.unwrap();
    assert_eq!(seen.sorted(), ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn an_adapter_that_panics_when_it_stops_is_named() {
    let room = Room::default();
    let (bus, _) = join(&room).await;
    room.0.lock().unwrap().panic = true;
    let error = bus.stop().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StopIncomplete);
    assert!(error.to_string().ends_with("on: room panicked when it was stopped"), "{error}");
}
