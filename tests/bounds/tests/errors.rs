//! The memory that the texts of errors take.

use std::fmt;

use bounds_tests::{bus, runtime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use typed_events::{Bus, event};

/// A text of 64 MiB, written in pieces.
struct Long;

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..1 << 20)
            .try_for_each(|_| f.write_str("é---------------------------------------------------------------"))
    }
}

/// A `Display` that ignores errors of the formatter.
struct Stubborn;

impl fmt::Display for Stubborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..1 << 12).for_each(|_| write!(f, "{}", "x".repeat(64)).unwrap());
        Ok(())
    }
}

#[event("errors.happened")]
pub struct Happened;

#[event("errors.unwritable")]
pub struct Unwritable {
    #[event(opaque)]
    pub field: Refuses,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("y".repeat(1 << 20)))
    }
}

/// Returns the peak of the memory, and the text of the failure.
fn failure_of<K>(subscribe: impl FnOnce(&Bus) -> K) -> (u64, String) {
    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder());
    subscribe(&bus);
    let mut message = String::new();
    let counted = allocation_counter::measure(|| {
        let emitted = runtime.block_on(async { bus.emit(Happened).await.unwrap() });
        message = emitted.failures()[0].message().to_owned();
    });
    (counted.bytes_max, message)
}

#[test]
fn m4_the_text_of_an_error_is_cut_while_it_is_written() {
    let failures = [
        ("sync", failure_of(|bus| bus.on(|_: &Happened| Err::<(), _>(Long)))),
        ("async", failure_of(|bus| bus.on(|_: &Happened| async { Err::<(), _>(Long) }))),
        ("stubborn", failure_of(|bus| bus.on(|_: &Happened| Err::<(), _>(Stubborn)))),
    ];
    for (what, (most, message)) in failures {
        println!("{what}: {most} bytes");
        assert!(most < 64 << 10, "{what}: {most}");
        assert!(message.len() <= 4096 + 3 && message.ends_with("..."), "{what}: {}", message.len());
    }
}

fn panic_with_a_long_text() {
    std::panic::panic_any("p".repeat(8 << 20));
}

#[test]
fn m4_the_message_of_a_panic_is_cut_without_a_copy() {
    // The hook of the test runner allocates texts, so only panics of other tests reach it.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_none_or(|message| message.len() < 8 << 20) {
            usual(panic);
        }
    }));
    let panics = |_: &Happened| panic_with_a_long_text();
    let (most, message) = failure_of(|bus| bus.on(panics));
    assert!(most < (8 << 20) + (256 << 10), "{most}: the message itself is there once");
    assert_eq!(message.len(), 4096 + 3);
}

/// The error of a serializer is truncated, too.
#[test]
fn m4_the_error_of_a_payload_that_can_not_be_written_is_cut() {
    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder());
    let emitted = runtime.block_on(async { bus.emit(Unwritable { field: Refuses }).await.unwrap() });
    let error = emitted.record().unwrap().json().unwrap_err().to_string();
    assert!(error.len() < 5_000, "{}", error.len());
}

#[derive(Debug, Clone, Serialize)]
pub struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(Long))
    }
}

#[event("errors.unreadable")]
pub struct Refused {
    #[event(opaque)]
    pub field: Unreadable,
}

/// The error of a `Deserialize` is not passed on, and never completely in memory.
#[test]
fn m4_the_error_of_a_payload_that_can_not_be_read_is_cut_while_it_is_written() {
    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder());
    let mut message = String::new();
    let counted = allocation_counter::measure(|| {
        let read = runtime.block_on(async { bus.emit_json("errors.unreadable", "{\"field\": 1}").await });
        message = read.unwrap_err().to_string();
    });
    assert!(message.starts_with("errors.unreadable: ") && message.len() < 200, "{message}");
    assert!(counted.bytes_max < 1 << 20, "{} bytes", counted.bytes_max);
}

/// The printed line of a record is written from its JSON, not from copies of it.
#[test]
fn m4_the_line_of_a_record_takes_no_copies() {
    #[event("errors.long")]
    pub struct Lines(pub String);

    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder());
    let text = "a\nline\u{202e}".repeat(1 << 17);
    let emitted = runtime.block_on(async { bus.emit(Lines(text)).await.unwrap() });
    let record = emitted.record().unwrap();
    let len = record.json().unwrap().len() as u64;
    let mut length = Length(0);
    let counted = allocation_counter::measure(|| fmt::write(&mut length, format_args!("{record}")).unwrap());
    assert!(length.0 > len as usize);
    assert!(counted.bytes_max < 4096, "{} bytes for {len}", counted.bytes_max);
}

struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// A handler with a replay that has caught up keeps nothing of the records it has handled.
#[test]
fn m4_a_replay_keeps_no_ids() {
    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder().history(50_000).history_bytes(usize::MAX));
    runtime.block_on(async { drop(bus.emit_all((0..50_000).map(|_| Happened)).await.unwrap()) });
    // Each record has its id.
    runtime.block_on(async {
        bus.history("*").limit(50_000).await.unwrap().iter().for_each(|record| {
            record.id();
        });
    });
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async { drop(bus.replay(50_000).on(|_: &Happened| ()).await.unwrap()) });
    });
    assert!(counted.bytes_current < 100_000, "{} bytes are kept", counted.bytes_current);
}
