//! Notifies a log that one of its records takes more memory, for example because it was decoded or
//! serialised.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::record::Record;

/// A log that counts the bytes of its records.
pub(crate) trait CountsBytes: Send + Sync {
    /// Adds bytes to the size that the log counts for a record, if the log still has the record.
    fn grow(&self, record: &Record, bytes: usize);
}

type Numbered = (u32, Weak<dyn CountsBytes>);

/// All logs, in ascending order of their numbers.
static LOGS: Mutex<Vec<Numbered>> = Mutex::new(Vec::new());

/// Creates a log with a new number, which is at least 1. The records of the log store that number.
pub(crate) fn register<L: CountsBytes + 'static>(make: impl FnOnce(u32) -> L) -> Arc<L> {
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let (index, number) = next_number(&logs);
    let log = Arc::new(make(number));
    let weak = Arc::downgrade(&log);
    logs.insert(index, (number, weak));
    log
}

/// Removes a dropped log.
pub(crate) fn unregister(number: u32) {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
}

/// Returns a number for a new log and its index in `logs`. If the numbers are exhausted, returns the lowest
/// free number.
fn next_number(logs: &[Numbered]) -> (usize, u32) {
    if let Some(number) = logs.last().map_or(Some(1), |(last, _)| last.checked_add(1)) {
        return (logs.len(), number);
    }
    let is_free = |(index, (number, _)): &(usize, &Numbered)| *number as usize != index + 1;
    let index = logs.iter().enumerate().find(is_free).map_or(logs.len(), |(index, _)| index);
    (index, index as u32 + 1)
}

/// Notifies a log that a record takes more memory. Has no effect if the log is dropped.
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
