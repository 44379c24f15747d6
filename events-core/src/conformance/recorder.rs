//! What handlers note, and how a case waits for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::conformance::testbed::{CaseFailure, CaseResult};
use crate::record::Record;
use crate::text::prefix;

/// What handlers have noted so far, in order.
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

    /// Waits until this many were noted; gives up when nothing comes for as long as a case is patient.
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
                    "{len} of {count} events reached the handler, and then none for {seconds} s"
                )));
            }
        }
    }
}

/// Lets handlers go on when a case says so.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// For good.
    pub(super) fn open(&self) {
        self.0.close();
    }

    /// For one.
    pub(super) fn open_once(&self) {
        self.0.add_permits(1);
    }

    pub(super) async fn pass(&self) {
        // It is closed when everybody may pass.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// The number in a payload such as `{"n":7}`; the largest there is where it has none.
pub(super) fn number(record: &Record) -> u64 {
    field(record, "n").and_then(|value| value.as_u64()).unwrap_or(u64::MAX)
}

/// The text in a field of a payload.
pub(super) fn text(record: &Record, name: &str) -> String {
    field(record, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn field(record: &Record, name: &str) -> Option<serde_json::Value> {
    let mut value: serde_json::Value = serde_json::from_str(record.json().ok()?).ok()?;
    Some(value.get_mut(name)?.take())
}

/// Whether what came is what was to come.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, came: T, expected: T) -> CaseResult {
    match came == expected {
        true => Ok(()),
        false => {
            Err(CaseFailure::new(format_args!("{what}: expected {}, found {}", cut(&expected), cut(&came))))
        }
    }
}

/// Whether all of `0..count` came, each once, in any order.
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
        "{what}: {total} came, each of {count} should have come once; missing: {missing}; more than once: {twice}"
    )))
}

/// Enough of a value to see what is wrong with it.
fn cut(value: &impl fmt::Debug) -> String {
    const MAX_BYTES: usize = 600;
    let mut text = format!("{value:?}");
    if text.len() > MAX_BYTES {
        text.truncate(prefix(&text, MAX_BYTES).len());
        text.push_str(" ...");
    }
    text
}
