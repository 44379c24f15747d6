//! Log output, to `tracing` and to stderr.

use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use typed_events::{Bus, Record, event};

#[event("logs.broken")]
pub struct Broken;

/// A subscriber that stores one line per event.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

/// What `RUST_LOG=typed_events=warn` shows.
#[derive(Default)]
struct Warnings(Lines);

impl Lines {
    /// Returns the messages of the lines that contain a text.
    pub(crate) fn of(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let said = lines.iter().map(|line| line.split_once("message=").map_or(&**line, |(_, said)| said));
        said.filter(|said| said.contains(text)).map(str::to_owned).collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_failure_is_logged_with_event_id_handler_pattern_and_error() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let bus = Bus::new().await.unwrap();
    bus.pattern("logs.*").on(|_: &Record| Err::<(), _>("no paper\n\x1b[2Kforged")).unwrap();
    let emitted = bus.emit(Broken).await.unwrap();
    let lines = lines.0.lock().unwrap();
    let line = lines.iter().find(|line| line.starts_with("ERROR")).unwrap();
    for part in [
        "event=\"logs.broken\"",
        &format!("id=\"{}\"", emitted.id().unwrap()),
        "handler=\"closure at tests/behaviour/logs.rs:",
        "pattern=\"logs.*\"",
        "error=no paper\\x0a\\x1b[2Kforged",
        "handler failed",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains('\n') && !line.contains('\x1b'));
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("typed_events") && *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.0.new_span(attributes)
    }
    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        self.0.event(event);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_filter_by_the_target_shows_a_failing_handler() {
    let lines = Lines::default();
    let _guard = tests_support::listen(Warnings(lines.clone()));
    let bus = Bus::builder().no_handlers().build().await.unwrap();
    bus.on(|_: &Broken| Err::<(), _>("no paper"));
    let emitted = bus.emit(Broken).await.unwrap();
    let lines = lines.0.lock().unwrap();
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    let id = format!("id=\"{}\"", emitted.id().unwrap());
    for part in ["event=\"logs.broken\"", &id, "handler=\"closure at tests/behaviour/logs.rs:", "attempt=1"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_bus_without_an_adapter_names_none() {
    let bus = Bus::new().await.unwrap();
    let consumer = bus.consumer("logs");
    for error in [
        consumer.pause().await.unwrap_err(),
        bus.consumers().await.unwrap_err(),
        consumer.status().await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("this bus has no adapter"), "{error}");
    }
}

#[tokio::test]
async fn an_event_that_nobody_handled_is_logged_at_debug() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let bus = Bus::new().await.unwrap();
    bus.emit(Broken).await.unwrap();
    let lines = lines.0.lock().unwrap();
    assert!(lines.iter().any(|line| line.starts_with("DEBUG") && line.contains("logs.broken")), "{lines:?}");
    assert_eq!(bus.stats().unhandled, 1);
}

#[tokio::test]
async fn a_run_time_pattern_that_nothing_declared_matches_is_a_warning() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let bus = Bus::new().await.unwrap();
    bus.pattern("lgs.*").on(|_: &Record| ()).unwrap();
    let lines = lines.0.lock().unwrap();
    assert!(
        lines.iter().any(|line| line.starts_with("WARN") && line.contains("did you mean `logs.*`?")),
        "{lines:?}"
    );
}

/// Runs one test of this program as a separate process, and returns its stderr.
pub(crate) fn stderr_of(test: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("TYPED_EVENTS_CHILD", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr
}

pub(crate) fn is_child() -> bool {
    std::env::var_os("TYPED_EVENTS_CHILD").is_some()
}

#[tokio::test]
async fn without_a_subscriber_failures_go_to_stderr() {
    if is_child() {
        let bus = Bus::new().await.unwrap();
        bus.on(|_: &Broken| Err::<(), _>("no paper\n\x1b[2Kforged"));
        bus.emit(Broken).await.unwrap();
        let quiet = Bus::builder().quiet().build().await.unwrap();
        quiet.on(|_: &Broken| Err::<(), _>("not to be seen"));
        quiet.emit(Broken).await.unwrap();
        return;
    }
    let stderr = stderr_of("logs::without_a_subscriber_failures_go_to_stderr");
    let line = stderr
        .lines()
        .find(|line| line.starts_with("typed-events: error: "))
        .unwrap_or_else(|| panic!("{stderr}"));
    assert!(line.starts_with("typed-events: error: handler closure at tests/behaviour/logs.rs:"), "{line}");
    assert!(line.contains(" failed on logs.broken (id "), "{line}");
    assert!(line.ends_with(", pattern logs.broken): no paper\\x0a\\x1b[2Kforged"), "{line}");
    assert!(!stderr.contains("not to be seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_is_named_in_a_warning_blocking_or_waiting() {
    if is_child() {
        let builder = || Bus::builder().slow_handler(std::time::Duration::from_millis(200));
        let bus = builder().build().await.unwrap();
        // The time is under test, so the handler really blocks for longer than the threshold.
        bus.on(|_: &Broken| std::thread::park_timeout(std::time::Duration::from_millis(450)));
        bus.emit(Broken).await.unwrap();
        let waiting = builder().build().await.unwrap();
        waiting.on(|_: &Broken| tokio::time::sleep(std::time::Duration::from_millis(450)));
        waiting.emit(Broken).await.unwrap();
        return;
    }
    let stderr = stderr_of("logs::a_slow_handler_is_named_in_a_warning_blocking_or_waiting");
    let warnings: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("typed-events: warning: handler closure at "))
        .collect();
    assert_eq!(warnings.len(), 2, "{stderr}");
    assert!(warnings[0].ends_with("s for logs.broken without waiting: it blocks its thread"), "{stderr}");
    assert!(warnings[1].ends_with("s for logs.broken and is still running"), "{stderr}");
}

/// Regression test: whether a subscriber exists was checked once for the whole process.
#[tokio::test]
async fn a_subscriber_of_another_thread_does_not_silence_stderr() {
    if is_child() {
        std::thread::spawn(|| tracing::subscriber::with_default(Lines::default(), || ())).join().unwrap();
        let bus = Bus::new().await.unwrap();
        bus.on(|_: &Broken| Err::<(), _>("no paper"));
        bus.emit(Broken).await.unwrap();
        bus.pattern("lgs.*").on(|_: &Record| ()).unwrap();
        Bus::builder().state(7_u8).build().await.unwrap();
        return;
    }
    let stderr = stderr_of("logs::a_subscriber_of_another_thread_does_not_silence_stderr");
    assert!(stderr.contains(": no paper"), "{stderr}");
    assert!(stderr.contains("no handler of this bus takes the state of type `u8`"), "{stderr}");
    assert!(stderr.contains("no declared event matches `lgs.*`: did you mean `logs.*`?"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stderr_that_is_full_does_not_stop_other_handlers() {
    if is_child() {
        let bus = Bus::new().await.unwrap();
        bus.on(|_: &Broken| Err::<(), _>("no paper"));
        bus.on(|_: &Broken| ());
        assert_eq!(bus.emit(Broken).await.unwrap().handled(), 2);
        return;
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["logs::a_stderr_that_is_full_does_not_stop_other_handlers", "--exact", "--nocapture"])
        .env("TYPED_EVENTS_CHILD", "1")
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert!(status.success());
}
