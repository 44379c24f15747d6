//! Log lines about failures of durable handlers, and about consumers without a handler.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests_support::Shared;
use tracing::field::{Field, Visit};
use tracing::{Level, span};
use typed_events::adapter::{Adapter, RecordCodec};
use typed_events::history::Events;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, BusBuilder, DurableOptions, Event, Record, StartAt, event, on};

use crate::outbox::until;
use crate::{File, Seen};

#[event("quiet.parcel.sent")]
pub struct Sent {
    pub number: u32,
}

/// The log lines of the whole program, because consumers run on other threads than the test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Line>>>);

/// A line of the log, with its fields.
type Line = (Level, BTreeMap<String, String>);

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Log {
    fn of(&self, consumer: &str) -> Vec<Line> {
        let lines = self.0.lock().unwrap().clone().into_iter();
        lines.filter(|(_, fields)| fields.get("consumer").is_some_and(|name| name == consumer)).collect()
    }

    pub(crate) fn warnings(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap().clone().into_iter();
        let warnings = lines.filter(|(level, _)| *level == Level::WARN);
        warnings.map(|(_, fields)| fields["message"].clone()).filter(|line| line.contains(text)).collect()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "typed_events"
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[on(durable = "quiet-mail", retries = 2, backoff = "1ms..2ms", from = "start")]
fn mail(_: &Sent) -> Result<(), &'static str> {
    Err("no paper\n")
}

#[on(durable = "quiet-panic", retries = 0, from = "start")]
fn panicking(_: &Sent) {
    panic!("no ink");
}

/// Runs on the thread of the test, so that its subscriber gets the lines.
#[tokio::test]
async fn s7_a_retry_is_a_warning_and_the_last_failure_an_error() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let bus = file.builder().handler::<mail>().handler::<panicking>().build().await.unwrap();
    let emitted = bus.emit(Sent { number: 1 }).await.unwrap();
    emitted.settled().await.unwrap();
    until(|| log.of("quiet-mail").len() >= 3 && !log.of("quiet-panic").is_empty()).await;
    let id = emitted.id().unwrap().to_string();
    let lines = log.of("quiet-mail");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (index, (level, fields)) in lines.iter().enumerate() {
        let is_last = index == 2;
        assert_eq!(*level, if is_last { Level::ERROR } else { Level::WARN });
        let field = |name: &str| fields.get(name).unwrap_or_else(|| panic!("{name} in {fields:?}")).as_str();
        assert_eq!(field("event"), "quiet.parcel.sent");
        assert_eq!(field("id"), id);
        assert!(field("handler").starts_with("durable::silence::mail (tests/sqlite/"), "{fields:?}");
        assert_eq!((field("attempt"), field("of")), (["1", "2", "3"][index], "3"));
        assert_eq!(field("error"), "no paper\\x0a");
        match is_last {
            true => assert_eq!(field("next"), "never"),
            false => assert!(field("next").parse::<typed_events::Timestamp>().is_ok(), "{fields:?}"),
        }
    }
    let lines = log.of("quiet-panic");
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].0, lines[0].1["error"].as_str()), (Level::ERROR, "no ink"));
    assert_eq!(bus.stats().failed, 4);
    bus.stop().await.unwrap();
}

/// Panics when it is dropped, as the destructor of a broken guard does.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "stuck lid");
    }
}

/// An event whose copy in the record panics when it is dropped.
#[event("quiet.lid.shut")]
pub struct LidShut {
    pub panics: bool,
}

impl Drop for LidShut {
    fn drop(&mut self) {
        assert!(!self.panics || std::thread::panicking(), "stuck lid");
    }
}

#[tokio::test]
async fn s7_a_future_that_panics_when_it_is_dropped_at_the_timeout_is_a_failed_attempt() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let quick = |name| {
        let millis = Duration::from_millis;
        durable(name).retries(1).backoff(millis(1), millis(2)).timeout(millis(20))
    };
    let stuck = |_: Arc<Sent>| async {
        let _lid = PanicsWhenDropped;
        std::future::pending::<()>().await;
    };
    let bus = file.builder().durable(quick("quiet-lid"), Sent::NAME, stuck).build().await.unwrap();
    bus.emit(Sent { number: 1 }).await.unwrap().settled().await.unwrap();
    let lines = log.of("quiet-lid");
    let errors: Vec<_> = lines.iter().map(|(level, fields)| (*level, fields["error"].as_str())).collect();
    let error = "it took longer than 0.02 s, and panicked when it was dropped: stuck lid";
    assert_eq!(errors, [(Level::WARN, error), (Level::ERROR, error)]);
    let dead = bus.consumer("quiet-lid").dead_letters(10).await.unwrap();
    assert_eq!((dead.len(), dead[0].attempts, dead[0].error.as_str()), (1, 2, error));
    assert_eq!(bus.stats().failed, 2);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn s7_an_event_that_panics_when_it_is_dropped_is_handled_once() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let (file, calls) = (File::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    let take = move |_: &LidShut| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let builder = file.builder().durable(durable("quiet-shut"), LidShut::NAME, take);
    let bus = builder.history(0).build().await.unwrap();
    let emitted = bus.emit_json(LidShut::NAME, r#"{"panics":true}"#).await.unwrap();
    emitted.settled().await.unwrap();
    // It contains a copy of the event, whose destructor would panic here.
    std::mem::forget(emitted);
    assert_eq!((calls.load(Ordering::SeqCst), log.of("quiet-shut").len()), (1, 0));
    bus.stop().await.unwrap();
}

/// A subscriber that panics at the lines of one consumer.
struct Panicking(Log, &'static str);

impl tracing::Subscriber for Panicking {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.event(event);
        assert!(self.0.of(self.1).is_empty(), "no paper for the line");
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Records that another program wrote and that were damaged.
#[tokio::test]
async fn s8_damaged_records_are_one_line_for_each_reason() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let (bus, other) = (file.builder().build().await.unwrap(), file.builder().build().await.unwrap());
    let damage = "CREATE TRIGGER damage AFTER INSERT ON typed_events_log BEGIN
        UPDATE typed_events_log SET text = 'x' WHERE position = new.position; END;";
    rusqlite::Connection::open(file.path()).unwrap().execute_batch(damage).unwrap();
    other.emit_all((0..300).map(|number| Sent { number })).await.unwrap();
    until(|| bus.stats().lost == 300).await;
    let told = log.warnings("can't be read, and is lost (others like it are only counted): ");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the record at 1 does not match its checksum"), "{told:?}");
}

/// A row that was changed, and one that was removed.
#[tokio::test]
async fn v7_damaged_and_missing_rows_hide_no_other() {
    let file = File::new();
    let bus = file.builder().quiet().build().await.unwrap();
    bus.emit_all((0..6).map(|number| Sent { number })).await.unwrap();
    let damage = "UPDATE typed_events_log SET time = time + 1 WHERE position = 2;
        DELETE FROM typed_events_log WHERE position IN (4, 5);";
    rusqlite::Connection::open(file.path()).unwrap().execute_batch(damage).unwrap();
    let shown = |found: &Events<Record>| {
        let shown = found.all().map(|read| match read {
            Ok(record) => record.decode::<Sent>().unwrap().number.to_string(),
            Err(unreadable) => unreadable.to_string().rsplit(": ").next().unwrap().to_owned(),
        });
        shown.collect::<Vec<_>>()
    };
    let changed = "the record at 2 does not match its checksum";
    let all = bus.history("*").await.unwrap();
    assert_eq!(shown(&all), ["0", changed, "2", "the records at 4 to 5 are missing", "5"]);
    assert_eq!(all.iter().count(), 3);
    assert!(all.unreadable().all(|why| why.to_string().contains(file.path().to_str().unwrap())));
    // The index of names does not show that a row is missing.
    let of_name = bus.history(Sent::NAME).await.unwrap();
    assert_eq!(shown(&of_name), ["0", changed, "2", "5"]);
    assert_eq!(bus.history("*").of::<Sent>().await.unwrap().len(), 3);
    assert_eq!(shown(&bus.history("*").limit(2).await.unwrap()), ["the records at 4 to 5 are missing", "5"]);
}

#[on(durable = "quiet-paper", retries = 1, backoff = "1ms..2ms", from = "start")]
fn paper(_: &Sent) -> Result<(), &'static str> {
    Err("no paper")
}

#[tokio::test]
async fn s7_a_subscriber_that_panics_does_not_end_the_attempts() {
    let log = Log::default();
    let _guard = tests_support::listen(Panicking(log.clone(), "quiet-paper"));
    let file = File::new();
    let bus = file.builder().handler::<paper>().build().await.unwrap();
    bus.emit(Sent { number: 1 }).await.unwrap().settled().await.unwrap();
    assert_eq!(log.of("quiet-paper").len(), 2);
    assert_eq!(bus.consumer("quiet-paper").status().await.unwrap().dead, 1);
    bus.stop().await.unwrap();
}

fn durable(name: &'static str) -> DurableOptions {
    DurableOptions::new(name).from(StartAt::Start)
}

/// Builds the bus of a program with one durable handler, which gets no events.
async fn program(file: &File, name: &'static str, pattern: &str) -> Bus {
    file.builder().durable(durable(name), pattern, |_: &Record| ()).build().await.unwrap()
}

#[tokio::test]
async fn c6_a_renamed_durable_handler_is_reported_with_its_lag_and_new_name() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let before = program(&file, "quiet-invoice", "quiet.parcel.*").await;
    let other = program(&file, "elsewhere", Sent::NAME).await;
    before.consumer("quiet-invoice").pause().await.unwrap();
    other.consumer("elsewhere").pause().await.unwrap();
    before.emit_all((0..100).map(|number| Sent { number })).await.unwrap();
    other.stop().await.unwrap();
    before.stop().await.unwrap();
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());

    let after = program(&file, "bills", "quiet.parcel.*").await;
    let told = log.warnings("the durable consumer");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "`quiet-invoice` has 100 events left",
        "; its new name may be `bills`: give its handler the old name",
        "`bus.consumer(\"quiet-invoice\").remove()`",
    ] {
        assert!(told[0].contains(part), "{told:?}");
    }
    // Once the new consumer is stored, the old one may belong to another program, so it is not reported.
    after.stop().await.unwrap();
    let again = program(&file, "bills", "quiet.parcel.*").await;
    assert_eq!(log.warnings("the durable consumer").len(), 1);
    again.consumer("quiet-invoice").remove().await.unwrap();
    again.stop().await.unwrap();
    let similar = program(&file, "elsewhere-2", "*").await;
    assert!(log.warnings("the durable consumer")[1].contains("its new name may be `elsewhere-2`"));
    similar.stop().await.unwrap();
}

/// Returns a builder whose clock, that of the runtime, is ahead by this number of hours.
async fn ahead(builder: BusBuilder, hours: u64) -> BusBuilder {
    let builder = builder.clock_of_runtime();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(hours * 3_600)).await;
    tokio::time::resume();
    builder
}

#[tokio::test]
async fn c6_a_consumer_that_no_program_has_open_is_reported() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let before = program(&file, "quiet-old", "quiet.parcel.*").await;
    before.consumer("quiet-old").pause().await.unwrap();
    before.emit(Sent { number: 1 }).await.unwrap();
    let again = || file.builder().durable(durable("unlike"), "*", |_: &Record| ());
    again().build().await.unwrap().stop().await.unwrap();
    assert_eq!(log.warnings("`quiet-old`"), Vec::<String>::new());
    before.stop().await.unwrap();
    drop(before);
    // A program without durable handlers reports nothing for a day.
    for (hours, is_worker, expected) in [(1, true, 1), (1, false, 1), (25, false, 2)] {
        let builder = if is_worker { again() } else { file.builder() };
        let bus = ahead(builder, hours).await.build().await.unwrap();
        let told = log.warnings("the durable consumer `quiet-old` has 1 events left");
        assert_eq!(told.len(), expected, "{told:?}");
        bus.stop().await.unwrap();
    }
}

#[tokio::test]
async fn c6_a_consumer_that_another_program_has_open_is_not_reported() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let web = program(&file, "web-mail", Sent::NAME).await;
    web.consumer("web-mail").pause().await.unwrap();
    web.emit_all((0..10).map(|number| Sent { number })).await.unwrap();
    // Another program with the same pattern, one with a similar name, and one that stops and is started again.
    for (name, pattern) in [("billing", Sent::NAME), ("web-mail-2", "quiet.*"), ("web-mail-2", Sent::NAME)] {
        program(&file, name, pattern).await.stop().await.unwrap();
    }
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    // The old program has stopped, so a new consumer with the same patterns counts as its new name.
    web.stop().await.unwrap();
    assert!(!file.builder().build().await.unwrap().consumer("web-mail").status().await.unwrap().is_running);
    program(&file, "post", Sent::NAME).await.stop().await.unwrap();
    let told = log.warnings("`web-mail` has 10 events left");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("its new name may be `post`"), "{told:?}");
}

#[tokio::test]
async fn c6_events_that_its_patterns_do_not_take_are_not_left_to_it() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let before = program(&file, "quiet-counted", Sent::NAME).await;
    before.emit(Sent { number: 1 }).await.unwrap().settled().await.unwrap();
    before.stop().await.unwrap();
    let other = file.builder().build().await.unwrap();
    let shut = || LidShut { panics: false };
    other.emit_all((0..100).map(|_| shut())).await.unwrap();
    program(&file, "quiet-counted-2", Sent::NAME).await.stop().await.unwrap();
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    other.emit_all((0..2).map(|number| Sent { number })).await.unwrap();
    other.emit(shut()).await.unwrap();
    program(&file, "quiet-counted-3", Sent::NAME).await.stop().await.unwrap();
    let told = log.warnings("the durable consumer `quiet-counted` has 2 events left");
    assert_eq!(told.len(), 1, "{:?}", log.warnings("the durable consumer"));
    // If too many events are unread, the warning does not say how many of them match the patterns.
    other.emit_all((0..10_000).map(|_| shut())).await.unwrap();
    program(&file, "quiet-counted-4", Sent::NAME).await.stop().await.unwrap();
    let told = log.warnings("the durable consumer `quiet-counted` may have up to 10103 events left");
    assert_eq!(told.len(), 1, "{:?}", log.warnings("the durable consumer"));
}

/// Advances the clock of the runtime.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Builds a program on the runtime's clock, whose durable handler resembles none of the others.
async fn unlike(file: &File) -> Bus {
    let builder = file.builder().clock_of_runtime();
    builder.durable(durable("send-bills"), "*", |_: &Record| ()).build().await.unwrap()
}

/// Advances the clock in steps. After each step, the open consumers are renewed, including that of the bus.
async fn pass_while_open(bus: &Bus, consumer: &str, seconds: u64) {
    let seen = async || {
        let of = async |name: &str| bus.consumer(name).status().await.unwrap().seen;
        [of(consumer).await, of("send-bills").await]
    };
    for _ in 0..seconds.div_ceil(70) {
        let before = seen().await;
        pass(70).await;
        let renewed = async {
            while seen().await.iter().zip(&before).any(|(now, before)| now == before) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), renewed).await.expect("they say that they live");
    }
}

#[tokio::test]
async fn c6_an_orphan_of_a_crashed_program_is_reported_while_others_run() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let before = program(&file, "quiet-alpha", Sent::NAME).await;
    before.consumer("quiet-alpha").pause().await.unwrap();
    before.emit(Sent { number: 1 }).await.unwrap();
    // Dropped without a stop, as if the process were killed.
    drop(before);
    let idle = file.builder().clock_of_runtime().build().await.unwrap();
    let bills = unlike(&file).await;
    let told = || log.warnings("the durable consumer `quiet-alpha` has 1 events left").len();
    assert_eq!(told(), 0);
    while bills.consumer("send-bills").status().await.unwrap().lag > 0 {
        tokio::task::yield_now().await;
    }
    // Its session ends.
    while idle.consumer("quiet-alpha").status().await.unwrap().is_running {
        tokio::task::yield_now().await;
    }
    pass(181).await;
    until(|| told() == 1).await;
    bills.stop().await.unwrap();
    // A program without durable handlers reports it after a day. Each program reports it once.
    pass(25 * 3_600).await;
    until(|| told() == 2).await;
    pass(25 * 3_600).await;
    idle.stop().await.unwrap();
    assert_eq!(log.warnings("the durable consumer").len(), 2, "{:?}", log.warnings("the durable consumer"));
}

#[tokio::test]
async fn c6_an_orphan_of_a_stopped_program_is_reported_to_one_with_other_patterns() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let before = program(&file, "quiet-beta", Sent::NAME).await;
    before.consumer("quiet-beta").pause().await.unwrap();
    before.emit_all((0..3).map(|number| Sent { number })).await.unwrap();
    before.stop().await.unwrap();
    let bills = unlike(&file).await;
    // The consumer may belong to another program, which is only restarting.
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    pass(181).await;
    until(|| log.warnings("the durable consumer `quiet-beta` has 3 events left").len() == 1).await;
    bills.stop().await.unwrap();
}

#[tokio::test]
async fn c6_a_renamed_handler_that_has_nothing_left_yet_is_reported_once_it_has() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    program(&file, "quiet-gamma", Sent::NAME).await.stop().await.unwrap();
    let builder = file.builder().clock_of_runtime();
    let after = builder.durable(durable("bills"), Sent::NAME, |_: &Record| ()).build().await.unwrap();
    after.emit(Sent { number: 1 }).await.unwrap();
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    pass(181).await;
    let told = || log.warnings("the durable consumer `quiet-gamma` has 1 events left");
    until(|| told().len() == 1).await;
    assert!(
        told()[0].contains("; its new name may be `bills`: give its handler the old name"),
        "{:?}",
        told()
    );
    after.stop().await.unwrap();
}

#[tokio::test]
async fn c6_a_consumer_is_not_reported_while_it_is_open_and_each_time_it_is_left() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let builder =
        || file.builder().clock_of_runtime().durable(durable("quiet-delta"), Sent::NAME, |_: &Record| ());
    // Their clocks begin here.
    let (before, again) = (builder(), builder());
    let before = before.build().await.unwrap();
    before.consumer("quiet-delta").pause().await.unwrap();
    before.emit(Sent { number: 1 }).await.unwrap();
    let bills = unlike(&file).await;
    pass_while_open(&bills, "quiet-delta", 3_600).await;
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    // The program stops, starts again, and then stops for good.
    let told = || log.warnings("the durable consumer `quiet-delta` has 1 events left").len();
    before.stop().await.unwrap();
    pass(400).await;
    until(|| told() == 1).await;
    let again = again.build().await.unwrap();
    again.consumer("quiet-delta").resume().await.unwrap();
    again.emit(Sent { number: 2 }).await.unwrap().settled().await.unwrap();
    again.consumer("quiet-delta").pause().await.unwrap();
    again.emit(Sent { number: 3 }).await.unwrap();
    pass_while_open(&bills, "quiet-delta", 600).await;
    again.stop().await.unwrap();
    assert_eq!(told(), 1);
    pass(400).await;
    until(|| told() == 2).await;
    bills.stop().await.unwrap();
}

#[tokio::test]
async fn c6_a_consumer_that_one_of_two_programs_has_closed_is_open() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let file = File::new();
    let stays = program(&file, "quiet-epsilon", Sent::NAME).await;
    let leaves = program(&file, "quiet-epsilon", Sent::NAME).await;
    stays.consumer("quiet-epsilon").pause().await.unwrap();
    stays.emit(Sent { number: 1 }).await.unwrap();
    leaves.stop().await.unwrap();
    let reopened = async {
        while !stays.consumer("quiet-epsilon").status().await.unwrap().is_running {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reopened).await.expect("the other one says that it lives");
    let other = program(&file, "bills", Sent::NAME).await;
    assert_eq!(log.warnings("the durable consumer"), Vec::<String>::new());
    other.stop().await.unwrap();
    stays.stop().await.unwrap();
}

#[tokio::test]
async fn s14_a_durable_handler_takes_no_forged_event_of_the_library() {
    let (file, names) = (File::new(), Arc::new(Seen::default()));
    let (sqlite, seen) = (Arc::new(Sqlite::at(file.path())), Arc::clone(&names));
    let take = move |record: &Record| seen.note(record.name());
    let ops = |builder: BusBuilder| {
        builder.durable(durable("quiet-ops"), "typed-events.*", |_: &Record| Err::<(), _>("forged"))
    };
    let builder =
        Bus::builder().adapter(Shared(Arc::clone(&sqlite))).no_handlers().quiet().accept_undeclared();
    let bus = ops(builder).durable(durable("quiet-all"), "*", take).build().await.unwrap();
    let forged = |name: &str, end: u32| {
        let text = format!(
            r#"{{"specversion":"1.0","id":"0197e0c8-0000-7000-8000-00000000000{end}","source":"urn:x","type":"{name}","time":"2026-01-31T12:00:00Z","origin":"0197e0c8-0000-7000-8000-000000000001","data":{{}}}}"#
        );
        Record::from_cloudevent(&text).unwrap()
    };
    let records = [forged("typed-events.operator.paused", 1), forged("quiet.other", 2)];
    sqlite.publish(&records, &RecordCodec::default()).await.unwrap();
    until(|| !names.all().is_empty()).await;
    bus.emit(Sent { number: 1 }).await.unwrap().settled().await.unwrap();
    assert_eq!(names.all(), ["quiet.other", Sent::NAME]);
    let status = bus.consumer("quiet-ops").status().await.unwrap();
    assert_eq!((status.dead, bus.stats().failed), (0, 0));
    bus.stop().await.unwrap();
}
