//! What a bus published itself and hears again: a message says nothing of where it comes from, so it is told by what it is.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an echo may take. One that takes longer, or was lost, is not waited for.
const ECHO_TIMEOUT: Duration = Duration::from_secs(30);
/// The most echoes that are waited for.
const MAX_ECHOES: usize = 100_000;

/// The echoes that are still to come.
#[derive(Default)]
pub(crate) struct Echoes {
    expected: Mutex<Expected>,
    hasher: RandomState,
}

#[derive(Default)]
struct Expected {
    /// By a hash of channel and message: when each was published.
    of: HashMap<u64, VecDeque<Instant>>,
    /// All of them, the oldest first, with some that came.
    all: VecDeque<(Instant, u64)>,
}

impl Expected {
    /// Forgets the oldest.
    fn forget_oldest(&mut self) {
        let Some((published, hash)) = self.all.pop_front() else { return };
        if self.of.get(&hash).and_then(VecDeque::front) == Some(&published) {
            self.take(hash);
        }
    }

    /// Forgets those that took too long.
    fn forget_late(&mut self) {
        while self.all.front().is_some_and(|(published, _)| published.elapsed() > ECHO_TIMEOUT) {
            self.forget_oldest();
        }
    }

    fn take(&mut self, hash: u64) -> bool {
        let Some(published) = self.of.get_mut(&hash) else { return false };
        published.pop_front();
        if published.is_empty() {
            self.of.remove(&hash);
        }
        true
    }
}

impl Echoes {
    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be published.
    pub(crate) fn expect(&self, channel: &str, message: &str) {
        let (hash, mut expected) = (self.hash(channel, message.as_bytes()), self.expected());
        let now = Instant::now();
        expected.forget_late();
        if expected.all.len() >= MAX_ECHOES {
            expected.forget_oldest();
        }
        expected.of.entry(hash).or_default().push_back(now);
        expected.all.push_back((now, hash));
    }

    /// It was not published.
    pub(crate) fn forget(&self, channel: &str, message: &str) {
        self.is_echo(channel, message.as_bytes());
    }

    /// What was published before this moment has no echo any more: there was no connection to hear it by.
    pub(crate) fn forget_before(&self, moment: Instant) {
        let mut expected = self.expected();
        while expected.all.front().is_some_and(|(published, _)| *published < moment) {
            expected.forget_oldest();
        }
    }

    /// Whether a message is one of the bus's own. Of several that are alike, the first to come are: it makes no
    /// difference which are which.
    pub(crate) fn is_echo(&self, channel: &str, message: &[u8]) -> bool {
        let (hash, mut expected) = (self.hash(channel, message), self.expected());
        expected.forget_late();
        expected.take(hash)
    }

    fn hash(&self, channel: &str, message: &[u8]) -> u64 {
        self.hasher.hash_one((channel, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_one_echo() {
        let echoes = Echoes::default();
        echoes.expect("user.created", "1");
        echoes.expect("user.created", "1");
        assert!(!echoes.is_echo("user.deleted", b"1"));
        assert!(!echoes.is_echo("user.created", b"2"));
        assert!(echoes.is_echo("user.created", b"1"));
        assert!(echoes.is_echo("user.created", b"1"));
        assert!(!echoes.is_echo("user.created", b"1"));
        assert!(echoes.expected().of.is_empty());
    }

    #[test]
    fn what_was_not_published_has_none() {
        let echoes = Echoes::default();
        echoes.expect("user.created", "1");
        echoes.forget("user.created", "1");
        echoes.expect("user.created", "2");
        echoes.forget_before(Instant::now());
        assert!(!echoes.is_echo("user.created", b"1"));
        assert!(!echoes.is_echo("user.created", b"2"));
    }
}
