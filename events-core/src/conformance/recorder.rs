//! Recorders of what handlers received, and waiting for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::conformance::testbed::{CaseFailure, CaseResult};
use crate::record::Record;
use crate::text::prefix;

/// Values that handlers have recorded, in order.
pub(super) struct Recorder<T> {
    noted: Mutex<Vec<T>>,
    more: Notify,
    timeout: Duration,
}

impl<T: Clone + fmt::Debug> Recorder<T> {
    pub(super) fn new(timeout: Duration) -> Arc<Self> {
        Arc::new(Self { noted: Mutex::default(), more: Notify::new(), timeout })
    }

    pub(super) fn note(&self, what: T) {
        self.noted().push(what);
        self.more.notify_waiters();
    }

    fn noted(&self) -> MutexGuard<'_, Vec<T>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.noted().clone()
    }

    pub(super) fn len(&self) -> usize {
        self.noted().len()
    }

    /// Waits until `count` values are recorded. Fails if none is added for the timeout.
    pub(super) async fn wait_for(&self, count: usize) -> Result<Vec<T>, CaseFailure> {
        loop {
            let more = self.more.notified();
            let len = self.len();
            if len >= count {
                return Ok(self.all());
            }
            if timeout(self.timeout, more).await.is_err() && self.len() == len {
                let seconds = self.timeout.as_secs();
                return Err(CaseFailure::new(format_args!(
                    "{len} of {count} events reached the handlers, and no further one within {seconds} s"
                )));
            }
        }
    }
}

/// Blocks handlers until the case lets them continue.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets all current and later calls continue.
    pub(super) fn open(&self) {
        self.0.close();
    }

    /// Lets one call continue.
    pub(super) fn open_once(&self) {
        self.0.add_permits(1);
    }

    pub(super) async fn pass(&self) {
        // The semaphore is closed if all calls may continue.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// Returns the number in a payload such as `{"n":7}`, or `u64::MAX` if there is none.
pub(super) fn number(record: &Record) -> u64 {
    field(record, "n").and_then(|value| value.as_u64()).unwrap_or(u64::MAX)
}

/// Returns the text in a field of a payload.
pub(super) fn text(record: &Record, name: &str) -> String {
    field(record, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn field(record: &Record, name: &str) -> Option<serde_json::Value> {
    let mut value: serde_json::Value = serde_json::from_str(record.json().ok()?).ok()?;
    Some(value.get_mut(name)?.take())
}

/// Checks that a value equals the expected value.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, came: T, expected: T) -> CaseResult {
    match came == expected {
        true => Ok(()),
        false => {
            Err(CaseFailure::new(format_args!("{what}: expected {}, found {}", cut(&expected), cut(&came))))
        }
    }
}

/// Checks that each number of `0..count` was received exactly once, in any order.
pub(super) fn each_once(what: &str, mut came: Vec<u64>, count: usize) -> CaseResult {
    came.sort_unstable();
    let (all, total) = (came.clone(), came.len());
    came.dedup();
    let missing: Vec<_> = (0..count as u64).filter(|number| came.binary_search(number).is_err()).collect();
    if missing.is_empty() && total == count {
        return Ok(());
    }
    let twice: Vec<_> = all.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    let (missing, twice) = (cut(&missing), cut(&twice));
    Err(CaseFailure::new(format_args!(
        "{what}: expected each of {count} events once, received {total}; missing: {missing}; more than once: {twice}"
    )))
}

/// Cuts the text of a value to a readable length.
fn cut(value: &impl fmt::Debug) -> String {
    const MAX_BYTES: usize = 600;
    let mut text = format!("{value:?}");
    if text.len() > MAX_BYTES {
        text.truncate(prefix(&text, MAX_BYTES).len());
        text.push_str(" ...");
    }
    text
}
