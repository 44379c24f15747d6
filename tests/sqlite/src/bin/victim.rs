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

/// How many events are emitted at a time.
const AT_A_TIME: usize = 4;
/// One in so many emits waits until its event is handled, so that consumers are not left behind.
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
            // Where the other process has it and was killed, that takes a lease.
            let _ = emitted.settled().within(Duration::from_millis(50)).await;
        }
    }
}

/// A file that keeps what is written to it when the process dies.
#[derive(Clone)]
struct Notes(Arc<File>);

impl Notes {
    fn open(path: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(Arc::new(file.expect("the file for notes opens")))
    }

    /// One write, so that a note is there as a whole or not at all.
    fn note(&self, number: u64) {
        (&*self.0).write_all(format!("{number}\n").as_bytes()).expect("a note is written");
    }
}
