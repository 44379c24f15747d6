//! Emits and handles events until it is killed.
//!
//! Its arguments are the file of the log, where to note what was acknowledged, where to note what was handled,
//! and the first number to emit.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlite_tests::{Numbered, taker};
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, Event};

/// Number of events that are emitted at the same time.
const AT_A_TIME: usize = 4;
/// One of this number of emits waits until its event is handled, so that the consumer keeps up.
const WAITS: u64 = 4;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("the arguments are as it says above");
    let log = next();
    let (acknowledged, handled) = (Notes::open(&next()), Notes::open(&next()));
    let number = Arc::new(AtomicU64::new(next().parse().expect("the last one is a number")));

    let take = move |event: &Numbered| handled.note(event.number);
    let bus = Bus::builder().adapter(Sqlite::at(log)).lease(Duration::from_millis(200)).durable(
        taker(),
        Numbered::NAME,
        take,
    );
    let bus = bus.build().await.expect("the log opens");
    let emitting: Vec<_> = (0..AT_A_TIME)
        .map(|_| tokio::spawn(emit(bus.clone(), Arc::clone(&number), acknowledged.clone())))
        .collect();
    for task in emitting {
        task.await.expect("emitting never ends");
    }
}

async fn emit(bus: Bus, number: Arc<AtomicU64>, acknowledged: Notes) {
    loop {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let length = if number.is_multiple_of(50) { 6_000 } else { number as usize % 90 };
        let emitted = bus.emit(Numbered::of_length(number, length)).await.expect("it is stored");
        acknowledged.note(number);
        if number.is_multiple_of(WAITS) {
            // If the other process had claimed the event and was killed, this takes until the lease has expired.
            let _ = emitted.settled().within(Duration::from_millis(50)).await;
        }
    }
}

/// A file whose content survives a kill of the process.
#[derive(Clone)]
struct Notes(Arc<File>);

impl Notes {
    fn open(path: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(Arc::new(file.expect("the file for notes opens")))
    }

    /// Notes a number with one write, so that it is in the file completely or not at all.
    fn note(&self, number: u64) {
        (&*self.0).write_all(format!("{number}\n").as_bytes()).expect("a note is written");
    }
}
