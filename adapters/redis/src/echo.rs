//! What a bus published itself and hears again: a message says nothing of where it comes from, so it is told by what it is.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an echo may take. One that takes longer, or was lost, is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most echoes that are waited for.
const MOST: usize = 100_000;

/// The echoes that are still to come.
#[derive(Default)]
pub(crate) struct Echoes {
    /// By a hash of channel and message: when each was published.
    expected: Mutex<HashMap<u64, Vec<Instant>>>,
    hasher: RandomState,
}

impl Echoes {
    fn expected(&self) -> MutexGuard<'_, HashMap<u64, Vec<Instant>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be published.
    pub(crate) fn expect(&self, channel: &str, message: &str) {
        let (hash, now) = (self.hash(channel, message.as_bytes()), Instant::now());
        let mut expected = self.expected();
        if expected.len() >= MOST {
            expected.retain(|_, published| published.last().is_some_and(|last| now - *last < PATIENCE));
        }
        expected.entry(hash).or_default().push(now);
    }

    /// It was not published.
    pub(crate) fn forget(&self, channel: &str, message: &str) {
        self.is_echo(channel, message.as_bytes());
    }

    /// What was published before this moment has no echo any more: there was no connection to hear it by.
    pub(crate) fn forget_before(&self, moment: Instant) {
        self.expected().retain(|_, published| {
            published.retain(|published| *published >= moment);
            !published.is_empty()
        });
    }

    /// Whether a message is one of the bus's own. Of several that are alike, the first to come are: it makes no
    /// difference which are which.
    pub(crate) fn is_echo(&self, channel: &str, message: &[u8]) -> bool {
        let mut expected = self.expected();
        let hash = self.hash(channel, message);
        let Some(published) = expected.get_mut(&hash) else { return false };
        let now = Instant::now();
        published.retain(|published| now - *published < PATIENCE);
        let is_echo = !published.is_empty();
        if is_echo {
            published.remove(0);
        }
        if published.is_empty() {
            expected.remove(&hash);
        }
        is_echo
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
        assert!(echoes.expected().is_empty());
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
