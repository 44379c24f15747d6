//! Gates at which handlers wait until a step of an actor opens them. All gates open if all actors wait, so that no
//! program hangs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::program::{GATES, STUCK};

#[derive(Default)]
pub(crate) struct Gates {
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    actors: usize,
    /// Number of actors that wait for the bus or have finished.
    idle: usize,
    waiting: [usize; GATES],
    /// How often each gate was opened.
    openings: [u64; GATES + 1],
    /// Whether all gates stay open, except the gate `STUCK`.
    ended: bool,
    released: bool,
}

impl Gates {
    pub(crate) fn of(actors: usize) -> Self {
        Self { state: Mutex::new(State { actors, ..State::default() }), opened: Notify::new() }
    }

    /// Releases the handlers that wait at a gate now.
    pub(crate) fn open(&self, gate: usize) {
        self.state().openings[gate] += 1;
        self.opened.notify_waiters();
    }

    /// Opens all gates for good.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.opened.notify_waiters();
    }

    /// Opens the gate `STUCK`.
    pub(crate) fn release(&self) {
        self.state().released = true;
        self.opened.notify_waiters();
    }

    /// Notes that an actor waits or has finished.
    pub(crate) fn rest(&self) {
        self.state().idle += 1;
        self.open_if_all_wait();
    }

    /// Notes that an actor continues.
    pub(crate) fn go_on(&self) {
        self.state().idle -= 1;
    }

    /// Waits at a gate.
    pub(crate) async fn pass(&self, gate: usize) {
        let before = self.state().openings[gate];
        let _waits = (gate != STUCK).then(|| Waits::new(self, gate));
        loop {
            let mut opened = std::pin::pin!(self.opened.notified());
            opened.as_mut().enable();
            if self.is_open(gate, before) {
                return;
            }
            self.open_if_all_wait();
            opened.await;
        }
    }

    /// Returns whether a gate was opened since `before`.
    fn is_open(&self, gate: usize, before: u64) -> bool {
        let state = self.state();
        let open = if gate == STUCK { state.released } else { state.ended };
        open || state.openings[gate] != before
    }

    fn open_if_all_wait(&self) {
        let mut state = self.state();
        if state.idle < state.actors || state.waiting.iter().all(|waiting| *waiting == 0) {
            return;
        }
        for gate in 0..GATES {
            state.openings[gate] += u64::from(state.waiting[gate] > 0);
        }
        drop(state);
        self.opened.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a handler at a gate until it continues or its future is dropped.
struct Waits<'a> {
    gates: &'a Gates,
    gate: usize,
}

impl<'a> Waits<'a> {
    fn new(gates: &'a Gates, gate: usize) -> Self {
        gates.state().waiting[gate] += 1;
        Self { gates, gate }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.gates.state().waiting[self.gate] -= 1;
    }
}
