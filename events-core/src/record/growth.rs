//! Records that take more memory after a log has counted them: they are decoded, or printed.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::record::Record;

/// A log, which counts the bytes of its records.
pub(crate) trait CountsBytes: Send + Sync {
    /// Counts more bytes for a record, where the log still keeps it.
    fn grow(&self, record: &Record, bytes: usize);
}

type Numbered = (u32, Weak<dyn CountsBytes>);

/// All logs with their numbers in ascending order.
static LOGS: Mutex<Vec<Numbered>> = Mutex::new(Vec::new());

/// Makes a log of its number, from 1: what its records know of it.
pub(crate) fn register<L: CountsBytes + 'static>(make: impl FnOnce(u32) -> L) -> Arc<L> {
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let (index, number) = next_number(&logs);
    let log = Arc::new(make(number));
    let weak = Arc::downgrade(&log);
    logs.insert(index, (number, weak));
    log
}

/// Forgets a log that is gone.
pub(crate) fn unregister(number: u32) {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
}

/// The number of a new log, and where it stands among the others. The numbers begin again only after billions of
/// buses, and then this is one that is free.
fn next_number(logs: &[Numbered]) -> (usize, u32) {
    if let Some(number) = logs.last().map_or(Some(1), |(last, _)| last.checked_add(1)) {
        return (logs.len(), number);
    }
    let is_free = |(index, (number, _)): &(usize, &Numbered)| *number as usize != index + 1;
    let index = logs.iter().enumerate().find(is_free).map_or(logs.len(), |(index, _)| index);
    (index, index as u32 + 1)
}

/// A record that a log keeps, or kept, takes more memory from now on.
#[cold]
pub(crate) fn note_growth(log: u32, record: &Record, bytes: usize) {
    let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = logs.binary_search_by_key(&log, |(number, _)| *number);
    let log = found.ok().and_then(|index| logs[index].1.upgrade());
    drop(logs);
    if let Some(log) = log {
        log.grow(record, bytes);
    }
}
