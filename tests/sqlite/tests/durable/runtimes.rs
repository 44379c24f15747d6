//! Buses that outlive their runtime, or whose runtime nobody runs.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;
use typed_events::{ErrorKind, event};

use crate::File;

/// Far more than any of it takes.
const SOON: Duration = Duration::from_secs(30);

#[event("runtimes.done")]
pub struct Done;

#[test]
fn without_its_runtime_a_bus_fails_and_does_not_hang() {
    let (file, first) = (File::new(), Builder::new_multi_thread().enable_all().build().unwrap());
    let bus = first.block_on(async { file.builder().event::<Done>().build().await.unwrap() });
    first.block_on(async { bus.emit(Done).await.unwrap() });
    drop(first);
    let second = Builder::new_multi_thread().enable_all().build().unwrap();
    second.block_on(async {
        // The second one finds what the first one has left.
        for _ in 0..2 {
            assert!(timeout(SOON, async { bus.emit(Done).await }).await.unwrap().is_err());
        }
        let history = timeout(SOON, async { bus.history("runtimes.*").await }).await.unwrap();
        assert_eq!(history.unwrap_err().kind(), ErrorKind::History);
    });
}

#[test]
fn a_runtime_that_nobody_runs_holds_up_nobody() {
    let (file, first) = (File::new(), Builder::new_current_thread().enable_all().build().unwrap());
    let bus = first.block_on(async { file.builder().event::<Done>().build().await.unwrap() });
    let second = Builder::new_multi_thread().enable_all().build().unwrap();
    let emitted = second.block_on(async {
        let mut emits = JoinSet::new();
        for _ in 0..64 {
            let bus = bus.clone();
            emits.spawn(async move { bus.emit(Done).await.is_ok() });
        }
        timeout(SOON, emits.join_all()).await.unwrap()
    });
    assert_eq!(emitted, [true; 64]);
}
