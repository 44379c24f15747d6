//! Two releases of a program on one file: this one knows version 1 of its event, and `src/bin/newer.rs` version 2.

use std::process::Command;
use std::sync::Arc;

use typed_events::{Delivery, event, on};

use crate::outbox::until;
use crate::{File, Seen};

#[event("ticket.opened", version = 1)]
pub struct Opened {
    pub number: u32,
    pub who: String,
}

#[on(durable = "seat", ordered_by = "who")]
fn seat(opened: &Opened, delivery: &Delivery, seen: &Seen) {
    seen.note(format!("{} {} (attempt {})", opened.number, opened.who, delivery.attempt()));
}

fn opened(number: u32) -> Opened {
    Opened { number, who: "Ada Lovelace".into() }
}

/// Runs the newer release, and returns what it printed.
pub(crate) fn newer(file: &File, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_newer")).arg(file.path()).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_waits_for_the_newer_program_which_reads_the_older_one_too() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let builder = file.builder().shared(Arc::clone(&seen)).handler::<seat>();
    let bus = builder.build().await.unwrap();
    bus.emit(opened(1)).await.unwrap().settled().await.unwrap();
    newer(&file, &["emit", "2"]);
    bus.emit(opened(3)).await.unwrap().settled().await.unwrap();
    // The event blocks no other, is no failure, and appears in the status.
    let seat = bus.consumer("seat");
    let status = seat.status().await.unwrap();
    assert_eq!((status.lag, status.unclaimed, status.waiting, status.dead), (1, 1, 0, 0));
    assert_eq!(status.position, 1, "everything up to it is finished");
    assert_eq!(seen.all(), ["1 Ada Lovelace (attempt 1)", "3 Ada Lovelace (attempt 1)"]);
    // An old record remains for the newer release.
    seat.pause().await.unwrap();
    bus.emit(opened(4)).await.unwrap();
    bus.stop().await.unwrap();

    assert_eq!(newer(&file, &["handle"]), "2 Hopper, Grace (attempt 1)\n4 Lovelace, Ada (attempt 1)\n");

    // Back to the older release: it has no events left, and continues.
    let builder = file.builder().shared(Arc::clone(&seen)).handler::<seat>();
    let bus = builder.build().await.unwrap();
    bus.emit(opened(5)).await.unwrap();
    until(|| seen.all().len() == 3).await;
    assert_eq!(seen.all()[2], "5 Ada Lovelace (attempt 1)");
    bus.stop().await.unwrap();
}
