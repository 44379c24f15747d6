//! The messages that a bus receives from itself. Messages carry no origin, so the bus recognises its own by their
//! content.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a published message is expected back. After that it counts as lost.
const ECHO_TIMEOUT: Duration = Duration::from_secs(30);
/// The most messages that are expected back at a time. Beyond it, the oldest is forgotten.
const MAX_ECHOES: usize = 100_000;

/// The messages that this bus has published and not yet received back.
#[derive(Default)]
pub(crate) struct Echoes {
    expected: Mutex<Expected>,
    hasher: RandomState,
}

#[derive(Default)]
struct Expected {
    /// Hash of channel and message -> the times at which it was published.
    of: HashMap<u64, VecDeque<Instant>>,
    /// All of them, oldest first. Messages that were received back stay until they are the oldest.
    all: VecDeque<(Instant, u64)>,
}

impl Expected {
    /// Removes the oldest message.
    fn forget_oldest(&mut self) {
        let Some((published, hash)) = self.all.pop_front() else { return };
        if self.of.get(&hash).and_then(VecDeque::front) == Some(&published) {
            self.take(hash);
        }
    }

    /// Removes messages older than [`ECHO_TIMEOUT`].
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

    /// Notes a message that is about to be published.
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

    /// Removes a message that was not published after all.
    pub(crate) fn forget(&self, channel: &str, message: &str) {
        self.is_echo(channel, message.as_bytes());
    }

    /// Removes messages published before `moment`: no connection was subscribed that could receive them back.
    pub(crate) fn forget_before(&self, moment: Instant) {
        let mut expected = self.expected();
        while expected.all.front().is_some_and(|(published, _)| *published < moment) {
            expected.forget_oldest();
        }
    }

    /// Whether a received message is one of the bus's own, which is then no longer expected.
    ///
    /// If another program sends an equal message, the first to arrive counts as the bus's own. Since both are equal,
    /// this makes no difference.
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
