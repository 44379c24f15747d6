//! Every problem is logged: where the lines go, and how often each one is logged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Level, Metadata};
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, InMemory, Published, Receiver, RecordCodec,
};
use typed_events::{Bus, ErrorKind, Record, event, on};

use crate::logs::{is_child, stderr_of};
use crate::until;

#[event("silence.broken")]
pub struct Broken;

#[event("silence.mended")]
pub struct Mended;

/// A line of the log.
#[derive(Clone, Debug)]
pub struct Line {
    pub target: String,
    pub level: Level,
    pub fields: BTreeMap<String, String>,
}

impl Line {
    pub fn message(&self) -> &str {
        self.fields.get("message").map_or("", String::as_str)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// A subscriber that stores the lines that pass its filter.
#[derive(Clone)]
pub struct Log {
    filter: fn(&Metadata<'_>) -> bool,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Log {
    pub fn of(filter: fn(&Metadata<'_>) -> bool) -> Self {
        Self { filter, lines: Arc::default() }
    }

    /// Installs a subscriber on this thread that stores all lines.
    pub fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::of(|_| true);
        let guard = tests_support::listen(log.clone());
        (log, guard)
    }

    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// Returns the messages of a level that contain a text.
    pub fn with(&self, level: Level, text: &str) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line.level == level);
        lines.map(|line| line.message().to_owned()).filter(|message| message.contains(text)).collect()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (self.filter)(metadata)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let mut line =
            Line { target: metadata.target().to_owned(), level: *metadata.level(), fields: BTreeMap::new() };
        event.record(&mut line);
        self.lines.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Builds a bus with a failing handler and an unreachable pattern, and emits one event.
async fn go_wrong() {
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    bus.on(|_: &Broken| Err::<(), _>("no paper"));
    bus.pattern("slnce.*").on(|_: &Record| ()).unwrap();
    bus.emit(Broken).await.unwrap();
    bus.emit(Mended).await.unwrap();
}

#[tokio::test]
async fn s1_every_line_has_the_target_of_the_library() {
    let (log, _guard) = Log::listen();
    go_wrong().await;
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.level == Level::ERROR && line.message() == "handler failed"));
    assert!(lines.iter().any(|line| line.level == Level::WARN));
    assert!(lines.iter().any(|line| line.level == Level::DEBUG && line.fields["event"] == "silence.mended"));
    assert!(lines.iter().all(|line| line.target == "typed_events"), "{lines:?}");
}

#[tokio::test]
async fn s1_what_the_subscriber_does_not_take_goes_to_stderr() {
    if is_child() {
        // The filters of `RUST_LOG=my_app=info`, `typed_events=error` and `off`.
        let app = Log::of(|line| line.target().starts_with("my_app"));
        let errors = Log::of(|line| line.target() == "typed_events" && *line.level() <= Level::ERROR);
        let nothing = Log::of(|_| false);
        for (log, name) in [(&app, "app"), (&errors, "errors"), (&nothing, "nothing")] {
            let _guard = tests_support::listen(log.clone());
            eprintln!("begin {name}");
            go_wrong().await;
            eprintln!("taken: {}", log.lines().len());
        }
        return;
    }
    let stderr = stderr_of("silence::s1_what_the_subscriber_does_not_take_goes_to_stderr");
    let parts: Vec<_> = stderr.split("begin ").skip(1).collect();
    for (part, name, failure, taken) in
        [(parts[0], "app", true, 0), (parts[1], "errors", false, 1), (parts[2], "nothing", true, 0)]
    {
        assert!(part.starts_with(name), "{stderr}");
        assert_eq!(
            part.matches("typed-events: error: handler closure at").count(),
            usize::from(failure),
            "{part}"
        );
        assert_eq!(part.matches("typed-events: warning: closure at").count(), 1, "{part}");
        assert!(part.contains(&format!("taken: {taken}")), "{part}");
    }
}

/// Collects the lines of a crate that log without the reporter.
fn logging(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logging(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let of_reporter = path.ends_with("events-core/src/bus/inner/report.rs");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap();
                // Only the reporter logs, and each of its lines names the target.
                let logs =
                    ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "event!(", "enabled!(", "span!("]
                        .iter()
                        .any(|call| code.contains(&format!("tracing::{call}")));
                let next = text.lines().nth(number + 1).unwrap_or_default();
                let has_target = [code, next].iter().any(|line| line.contains("target: TARGET"));
                let uses = code.contains("use tracing") || code.contains("tracing::");
                if logs && !(of_reporter && has_target) || uses && !of_reporter {
                    found.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
}

#[test]
fn s1_only_the_reporter_logs_in_all_crates() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for crate_ in ["src", "events-core/src", "events-axum/src", "events-testing/src", "events-export/src"] {
        logging(&root.join(crate_), &mut found);
    }
    for engine in std::fs::read_dir(root.join("adapters")).unwrap() {
        logging(&engine.unwrap().path().join("src"), &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

mod web {
    use super::{Broken, on};

    #[on]
    pub fn welcome(_: &Broken) {}

    pub mod admin {
        use super::super::{Mended, on};

        #[on]
        pub fn audit(_: &Mended) {}
    }
}

mod website {
    use super::{Broken, on};

    #[on]
    pub fn count(_: &Broken) {}
}

#[tokio::test]
async fn s2_a_bus_that_selects_no_handlers_names_those_that_are_linked() {
    let (log, _guard) = Log::listen();
    for builder in [Bus::builder(), Bus::builder().accept_undeclared()] {
        builder.build().await.unwrap();
    }
    Bus::new().await.unwrap();
    let warnings = log.with(Level::WARN, "this bus takes none of the linked handlers");
    assert_eq!(warnings.len(), 3);
    let place = "behaviour::build::mail (tests/behaviour/build.rs:12)";
    assert!(warnings.iter().all(|warning| warning.contains(place)), "{warnings:?}");
}

#[tokio::test]
async fn s2_each_call_that_selects_handlers_is_one() {
    let (log, _guard) = Log::listen();
    let in_web = || Bus::builder().discover_in("behaviour::silence::web");
    for (builder, expected) in [
        (Bus::builder().no_handlers(), vec![]),
        (Bus::builder().handler::<web::welcome>(), vec!["web::welcome"]),
        (in_web(), vec!["web::admin::audit", "web::welcome"]),
        (in_web().without::<web::welcome>(), vec!["web::admin::audit"]),
        (
            in_web().discover_in("behaviour::silence::website"),
            vec!["web::admin::audit", "web::welcome", "website::count"],
        ),
        (in_web().handler::<website::count>(), vec!["web::admin::audit", "web::welcome", "website::count"]),
    ] {
        let bus = builder.build().await.unwrap();
        let names: Vec<_> = bus.handlers().into_iter().map(|handler| handler.name).collect();
        assert_eq!(names.len(), expected.len(), "{names:?}");
        for (name, expected) in names.iter().zip(expected) {
            assert!(name.starts_with(&format!("behaviour::silence::{expected} (")), "{name}");
        }
    }
    assert_eq!(log.with(Level::WARN, ""), Vec::<String>::new());
}

#[tokio::test]
async fn s2_selections_that_say_nothing_are_told() {
    for (builder, expected) in [
        (
            Bus::builder().discover_in("behaviour::silence::wbe"),
            "`.discover_in(\"behaviour::silence::wbe\")`: no handler is in `behaviour::silence::wbe`: did you mean `behaviour::silence::web`?",
        ),
        (Bus::builder().discover_in("crate::silence::web"), "did you mean `behaviour::silence::web`?"),
        (Bus::builder().discover_in("silence::web"), "did you mean `behaviour::silence::web`?"),
        (Bus::builder().discover_in("behaviour::silence::we"), "did you mean `behaviour::silence::web`?"),
        (
            Bus::builder().discover_in("behaviour::silence::web::welcome"),
            "which is a handler itself: write `.handler::<behaviour::silence::web::welcome>()`",
        ),
        (Bus::builder().discover_in("elsewhere"), ": handlers are in `behaviour::"),
        (Bus::builder().discover_in(""), "no handler is in ``"),
        (Bus::builder().no_handlers().handler::<web::welcome>(), "`.no_handlers()` contradicts"),
        (
            Bus::builder().handler::<web::welcome>().without::<web::welcome>(),
            "is selected by `.handler` and excluded by `.without`: remove one of the two calls",
        ),
    ] {
        let error = builder.build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Build);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let (log, _guard) = Log::listen();
    Bus::builder().handler::<web::welcome>().without::<website::count>().build().await.unwrap();
    assert_eq!(log.with(Level::WARN, "which no other call selects").len(), 1);
}

#[tokio::test]
async fn s6_each_place_with_a_pattern_that_nothing_matches_is_reported_once() {
    let (log, _guard) = Log::listen();
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    for _ in 0..1_000 {
        bus.pattern("slence.*").on(|_: &Record| ()).unwrap().unsubscribe();
        let _ = bus.pattern("slence.*").once(|_: &Record| ()).unwrap().unsubscribe();
        drop(bus.pattern("slence.*").replay(1).on(|_: &Record| ()).await.unwrap().guard());
        drop(bus.stream("slence.*").unwrap());
        drop(bus.stream("silence.broken").unwrap().of::<Mended>());
        assert!(bus.history("slence.*").await.unwrap().is_empty());
        assert_eq!(bus.off("slence.*").unwrap(), 0);
    }
    let warnings = log.with(Level::WARN, "");
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
    for what in ["stream at ", "history at ", "off at "] {
        let told = "no declared event matches `slence.*`: did you mean `silence.*`?";
        let found = warnings.iter().any(|warning| {
            warning.starts_with(&format!("{what}tests/behaviour/silence.rs:")) && warning.ends_with(told)
        });
        assert!(found, "{what} in {warnings:#?}");
    }
    assert_eq!(warnings.iter().filter(|warning| warning.starts_with("closure at ")).count(), 3);
    assert!(
        warnings
            .iter()
            .any(|warning| warning.ends_with("its pattern `silence.broken` does not match `silence.mended`"))
    );
    assert_eq!(bus.stats().unreachable, 7_000);
}

#[tokio::test]
async fn s6_patterns_that_an_event_may_match_are_not_reported() {
    let (log, _guard) = Log::listen();
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    bus.emit(Broken).await.unwrap();
    drop(bus.stream("silence.*").unwrap().of::<Mended>());
    assert!(bus.history("silence.mended").await.unwrap().is_empty());
    assert_eq!(bus.off("*.broken").unwrap(), 0);
    let any = Bus::builder().no_handlers().accept_undeclared().build().await.unwrap();
    any.pattern("slence.*").on(|_: &Record| ()).unwrap();
    assert_eq!(log.with(Level::WARN, ""), Vec::<String>::new());
    assert_eq!((bus.stats().unreachable, any.stats().unreachable), (0, 0));
}

#[tokio::test]
async fn s8_events_of_another_program_are_one_line_for_each_name() {
    let (log, _guard) = Log::listen();
    let memory = InMemory::new();
    let other =
        Bus::builder().no_handlers().adapter(memory.clone()).accept_undeclared().build().await.unwrap();
    let bus = Bus::builder().no_handlers().adapter(memory).build().await.unwrap();
    for number in 0..3_000_u64 {
        other.emit_json("stranger.seen", "{}").await.unwrap();
        other.emit(Broken).await.unwrap();
        until(|| bus.stats().refused == number + 1).await;
    }
    let told = log.with(Level::WARN, "was refused (others like it are only counted)");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("`stranger.seen` is not a declared event"), "{told:?}");
    for number in 0..1_100_u64 {
        other.emit_json(&format!("stranger.n{number}"), "{}").await.unwrap();
        until(|| bus.stats().refused == 3_001 + number).await;
    }
    let told = log.with(Level::WARN, "was refused");
    assert_eq!(told.len(), 1_000);
    assert!(told[999].contains("as are all further ones"), "{}", told[999]);
}

/// A value that shows when its last owner was dropped.
struct Held(Arc<()>);

#[tokio::test]
async fn s9_a_released_guard_and_a_replay_leave_nothing() {
    let held = Arc::new(());
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    for _ in 0..100 {
        let owner = Held(Arc::clone(&held));
        let released = bus.on(move |_: &Broken| drop(Arc::clone(&owner.0))).guard().release();
        assert!(released.is_active());
        bus.emit(Broken).await.unwrap();
        assert!(released.unsubscribe());
        let owner = Held(Arc::clone(&held));
        let replayed = bus.replay(10).on(move |_: &Broken| drop(Arc::clone(&owner.0))).await.unwrap();
        assert!(replayed.unsubscribe());
    }
    let kept = Held(Arc::clone(&held));
    let kept = bus.on(move |_: &Broken| drop(Arc::clone(&kept.0))).guard().release();
    drop(bus);
    assert!(!kept.is_active());
    drop(kept);
    until(|| Arc::strong_count(&held) == 1).await;
}

#[tokio::test]
async fn s14_nobody_emits_under_the_names_of_the_library() {
    let (log, _guard) = Log::listen();
    let memory = InMemory::new();
    let bus = Bus::builder().no_handlers().adapter(memory.clone()).accept_undeclared().build().await.unwrap();
    for name in ["typed-events.gap", "typed-events.lagged", "typed-events.operator.paused", "typed-events"] {
        let expected =
            format!("`{name}` can't be emitted: names that begin with `typed-events` belong to the library");
        for refused in [bus.emit_json(name, "{}").await, bus.emit_json(name, "{}").version(1).await] {
            let error = refused.unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::UnknownEvent, expected.clone()));
        }
        let forged = record_of(name);
        let error = bus.forward(&forged).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        // Another program has written the record to the log.
        typed_events::adapter::Adapter::publish(
            &memory,
            &[forged],
            &typed_events::adapter::RecordCodec::default(),
        )
        .await
        .unwrap();
    }
    until(|| bus.stats().refused == 4).await;
    assert_eq!(log.with(Level::WARN, "belong to the library").len(), 4);
    for name in ["typed-event.gap", "typed-events2.gap", "a.typed-events", "Typed-Events.gap"] {
        bus.emit_json(name, "{}").await.unwrap();
    }
}

fn record_of(name: &str) -> Record {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"urn:x","type":"{name}","time":"2026-01-31T12:00:00Z","origin":"{}","data":{{}}}}"#,
        typed_events::EventId::new(),
        "0197e0c8-0000-7000-8000-000000000001",
    );
    Record::from_cloudevent(&text).unwrap()
}

#[tokio::test]
async fn s14_a_pattern_on_events_of_the_library_is_a_warning_for_now() {
    #[on("typed-events.*")]
    fn operated(_: &Record) {}

    let (log, _guard) = Log::listen();
    let bus = Bus::builder().handler::<operated>().build().await.unwrap();
    drop(bus.stream("typed-events.operator.*").unwrap());
    assert_eq!(log.with(Level::WARN, "matches only events of the library").len(), 2);
}

#[tokio::test]
async fn s15_a_message_on_a_consumer_names_it() {
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    let consumer = bus.consumer("nope");
    let all = typed_events::consumer::DeadLetters::All;
    let errors = [
        consumer.status().await.unwrap_err(),
        consumer.dead_letters(1).await.unwrap_err(),
        consumer.pause().await.unwrap_err(),
        consumer.resume().await.unwrap_err(),
        consumer.seek(typed_events::StartAt::Start).await.unwrap_err(),
        consumer.remove().await.unwrap_err(),
        consumer.replay(all).await.unwrap_err(),
        consumer.purge(all).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Consumer);
        assert_eq!(
            error.to_string(),
            "consumer `nope`: this bus has no adapter, and so no durable consumers"
        );
    }
    let error = bus.consumers().await.unwrap_err().to_string();
    assert_eq!(error, "consumers: this bus has no adapter, and so no durable consumers");
}

#[tokio::test]
async fn a_stream_and_a_history_of_all_events_have_none_of_the_library() {
    let bus = Bus::builder().no_handlers().accept_undeclared().build().await.unwrap();
    let mut stream = bus.stream("*").unwrap();
    bus.emit_json("silence.undeclared", "{}").await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().name(), "silence.undeclared");
}

/// An adapter that waits for a permit and then refuses the record.
struct Refusing(Arc<tokio::sync::Semaphore>);

impl Adapter for Refusing {
    fn name(&self) -> String {
        "refusing".to_owned()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn publish<'a>(
        &'a self,
        _: &'a [Record],
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async {
            self.0.acquire().await.unwrap().forget();
            Err(AdapterError::refused("disk full"))
        })
    }

    fn history<'a>(
        &'a self,
        _: &'a HistoryQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn subscribe(&self, _: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Polls a future once, and drops it.
async fn give_up<T>(emit: impl Future<Output = T>) {
    tokio::select! {
        biased;
        _ = emit => panic!("it waits for the adapter"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn o1_an_emit_that_fails_when_nobody_waits_for_it_any_more_is_reported() {
    let (log, _guard) = Log::listen();
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let bus = Bus::builder().no_handlers().adapter(Refusing(Arc::clone(&open))).build().await.unwrap();
    let told = || log.with(Level::WARN, "disk full").len();
    give_up(bus.emit(Broken)).await;
    give_up(bus.emit_json("silence.broken", "null")).await;
    give_up(bus.emit_all([Broken, Broken])).await;
    bus.emit(Broken).detach().unwrap();
    open.add_permits(4);
    until(|| told() == 4).await;
    // An emit that has failed before it is dropped, without being polled again.
    let mut emit = Box::pin(bus.emit(Broken));
    give_up(emit.as_mut()).await;
    open.add_permits(1);
    until(|| open.available_permits() == 0).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(), 4);
    drop(emit);
    assert_eq!(told(), 5);
    let lines =
        log.with(Level::WARN, "that was detached or dropped failed: silence.broken: refusing did not store");
    assert_eq!(lines.len(), 5, "{:?}", log.with(Level::WARN, "disk full"));
    // A failure that the caller awaits is returned and not logged.
    open.add_permits(1);
    assert_eq!(bus.emit(Broken).await.unwrap_err().kind(), ErrorKind::Append);
    open.add_permits(1);
    assert_eq!(bus.emit(Broken).detach().unwrap_err().kind(), ErrorKind::Append);
    assert_eq!(told(), 5);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn s6_a_stream_that_no_event_reaches_is_reported_once_whatever_it_is_read_as() {
    let (log, _guard) = Log::listen();
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    drop(bus.stream("slnce.*").unwrap().of::<Broken>());
    assert_eq!(bus.stats().unreachable, 1);
    assert_eq!(log.with(Level::WARN, "slnce.*").len(), 1);
}

#[tokio::test]
async fn s6_a_pattern_of_the_library_is_reported_also_where_undeclared_events_are_accepted() {
    let (log, _guard) = Log::listen();
    let bus = Bus::builder().no_handlers().accept_undeclared().build().await.unwrap();
    bus.pattern("typed-events.gap").on(|_: &Record| ()).unwrap();
    drop(bus.stream("typed-events.gap").unwrap());
    drop(bus.stream("other.*").unwrap());
    assert_eq!(bus.stats().unreachable, 2);
    assert_eq!(log.with(Level::WARN, "typed-events.gap").len(), 2);
}
