//! The records that this bus has appended, which its tail does not have to read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tail::MAX_RECENT;

/// The most runs of records that are kept. The tail reads the records of others from the server.
const MAX_RUNS: usize = 1_000;

/// Runs of records that follow each other in the log, in the order of their positions.
#[derive(Default)]
pub(crate) struct OwnAppends(Mutex<VecDeque<Run>>);

struct Run {
    /// The id of the log.
    log: String,
    first: u64,
    last: u64,
    /// The ids of the last records: as many as the tail compares.
    ids: VecDeque<String>,
}

impl OwnAppends {
    fn runs(&self) -> MutexGuard<'_, VecDeque<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes records that were appended behind a position of a log.
    pub(crate) fn note(&self, log: &str, before: u64, ids: impl ExactSizeIterator<Item = String>) {
        let count = ids.len();
        if count == 0 {
            return;
        }
        let (first, last) = (before + 1, before + count as u64);
        let ids = ids.skip(count.saturating_sub(MAX_RECENT));
        let mut runs = self.runs();
        if let Some(run) = runs.back_mut().filter(|run| run.last == before && run.log == log) {
            run.last = last;
            run.ids.extend(ids);
            let surplus = run.ids.len().saturating_sub(MAX_RECENT);
            run.ids.drain(..surplus);
            return;
        }
        if runs.len() == MAX_RUNS {
            runs.pop_front();
        }
        runs.push_back(Run { log: log.to_owned(), first, last, ids: ids.collect() });
    }

    /// Returns the positions and ids of the last records of the run that follows a position of a log, if this bus has
    /// appended what follows. Forgets the runs before it.
    pub(crate) fn behind(&self, log: &str, position: u64) -> Option<Vec<(u64, String)>> {
        let mut runs = self.runs();
        while runs.front().is_some_and(|run| run.log != log || run.last <= position) {
            runs.pop_front();
        }
        let run = runs.front().filter(|run| run.first <= position + 1)?;
        let begin = run.last + 1 - run.ids.len() as u64;
        let ids = (begin..).zip(run.ids.iter().cloned()).filter(|(at, _)| *at > position);
        let found = ids.collect();
        runs.pop_front();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::RangeInclusive<u64>) -> impl ExactSizeIterator<Item = String> {
        let ids: Vec<_> = range.map(|number| number.to_string()).collect();
        ids.into_iter()
    }

    fn positions(found: Option<Vec<(u64, String)>>) -> Option<Vec<u64>> {
        let found = found?;
        assert!(found.iter().all(|(position, id)| position.to_string() == *id));
        Some(found.into_iter().map(|(position, _)| position).collect())
    }

    #[test]
    fn what_follows_a_position_is_found_once() {
        let own = OwnAppends::default();
        own.note("log", 4, ids(5..=6));
        own.note("log", 6, ids(7..=7));
        own.note("log", 9, ids(10..=11));
        assert_eq!(positions(own.behind("log", 3)), None);
        assert_eq!(positions(own.behind("log", 5)), Some(vec![6, 7]));
        assert_eq!(positions(own.behind("log", 7)), None);
        assert_eq!(positions(own.behind("log", 9)), Some(vec![10, 11]));
        assert_eq!(positions(own.behind("log", 11)), None);
    }

    #[test]
    fn those_of_another_log_are_forgotten() {
        let own = OwnAppends::default();
        own.note("log", 0, ids(1..=2));
        own.note("other", 2, ids(3..=3));
        assert_eq!(positions(own.behind("other", 2)), Some(vec![3]));
        own.note("log", 0, ids(1..=2));
        assert_eq!(positions(own.behind("other", 0)), None);
    }

    #[test]
    fn the_last_ids_of_a_long_run_are_kept() {
        let own = OwnAppends::default();
        (0..3).for_each(|n| own.note("log", n * 800, ids(n * 800 + 1..=n * 800 + 800)));
        assert_eq!(positions(own.behind("log", 0)), Some(Vec::from_iter(1_401..=2_400)));
    }
}
