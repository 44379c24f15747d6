//! The buffer of the newest messages, which all clients share.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::LogPosition;

use crate::message::Message;

/// The limits of the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The reason for which all connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The bus has stopped, or the bridge was dropped. Clients that reconnect may find another instance.
    Stopped,
    /// `close` was called.
    Closed,
}

pub(crate) struct Feed<U> {
    bounds: Bounds,
    state: Mutex<State<U>>,
}

struct State<U> {
    messages: VecDeque<Arc<Message<U>>>,
    bytes: usize,
    /// The position behind which all messages are buffered.
    from: LogPosition,
    /// The position up to which the log was read.
    end: LogPosition,
    /// The positions of each user's messages, if messages list their users.
    of: HashMap<U, VecDeque<u64>>,
    ended: Option<End>,
}

/// The answer to a client that has read up to a position.
pub(crate) enum Next<U> {
    Message(Arc<Message<U>>),
    /// No message up to this position.
    Nothing(LogPosition),
    /// The messages behind the position are no longer buffered; the log may have them. Contains the newest position.
    Behind(LogPosition),
    /// The position is of another log. Contains the position at which the buffer begins.
    OtherLog(LogPosition),
    /// The log ends before the position. Contains the newest position.
    Ahead(LogPosition),
    /// The connection ends.
    Ended,
}

impl<U: Clone + Eq + Hash> Feed<U> {
    pub(crate) fn new(bounds: Bounds, position: LogPosition) -> Self {
        let state = State {
            messages: VecDeque::new(),
            bytes: 0,
            from: position,
            end: position,
            of: HashMap::new(),
            ended: None,
        };
        Self { bounds, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<U>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position up to which the log was read.
    pub(crate) fn end(&self) -> LogPosition {
        self.lock().end
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.lock().ended
    }

    /// Ends all connections. `Closed` takes precedence over `Stopped`.
    pub(crate) fn finish(&self, why: End) {
        let mut state = self.lock();
        if state.ended != Some(End::Closed) {
            state.ended = Some(why);
        }
    }

    /// Adds messages, and sets the position up to which the log was read.
    pub(crate) fn push(&self, messages: Vec<Message<U>>, end: LogPosition) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        for message in messages {
            state.bytes += message.weight();
            for key in &message.keys {
                state.of.entry(key.clone()).or_default().push_back(message.number);
            }
            state.messages.push_back(Arc::new(message));
        }
        state.end = end;
        while state.messages.len() > self.bounds.messages
            || state.bytes > self.bounds.bytes && state.messages.len() > 1
        {
            dropped.extend(state.pop());
        }
        drop(state);
        // The destructors of events and users may panic.
        events_core::bridge::call(|| drop(dropped));
    }

    /// Empties the buffer, and begins it again at a position, which may be of another log.
    pub(crate) fn restart(&self, position: LogPosition) {
        let mut state = self.lock();
        let dropped = (std::mem::take(&mut state.messages), std::mem::take(&mut state.of));
        (state.bytes, state.from, state.end) = (0, position, position);
        drop(state);
        events_core::bridge::call(|| drop(dropped));
    }

    /// Returns the first message behind a position: of all messages, or of those for one user.
    ///
    /// # Complexity
    ///
    /// Logarithmic in the number of buffered messages.
    pub(crate) fn next(&self, position: LogPosition, user: Option<&U>) -> Next<U> {
        let state = self.lock();
        if state.ended == Some(End::Closed) {
            return Next::Ended;
        }
        if position.log != state.end.log {
            return Next::OtherLog(state.from);
        }
        if position.number < state.from.number {
            return Next::Behind(state.end);
        }
        if position.number > state.end.number {
            return Next::Ahead(state.end);
        }
        let first = match user {
            None => Some(position.number + 1),
            Some(user) => state.of.get(user).and_then(|numbers| {
                numbers.get(numbers.partition_point(|number| *number <= position.number)).copied()
            }),
        };
        let found = first.and_then(|first| {
            state.messages.get(state.messages.partition_point(|message| message.number < first))
        });
        match found {
            Some(message) => Next::Message(Arc::clone(message)),
            None if state.ended.is_some() => Next::Ended,
            None => Next::Nothing(state.end),
        }
    }
}

/// A removed message, and the users without another one. They are dropped after the unlock.
type Popped<U> = (Arc<Message<U>>, Vec<U>);

impl<U: Clone + Eq + Hash> State<U> {
    fn pop(&mut self) -> Option<Popped<U>> {
        let mut gone = Vec::new();
        let message = self.messages.pop_front()?;
        self.bytes -= message.weight();
        self.from.number = message.number;
        for key in &message.keys {
            if let Some(numbers) = self.of.get_mut(key) {
                numbers.pop_front();
                if numbers.is_empty() {
                    gone.extend(self.of.remove_entry(key).map(|(key, _)| key));
                }
            }
        }
        Some((message, gone))
    }
}
