//! Where handlers wait for a step of an actor. Gates open by themselves when all actors wait, so that no
//! program stands still.

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
    /// Actors that wait for the bus, or are done.
    idle: usize,
    waiting: [usize; GATES],
    /// How often each was opened.
    openings: [u64; GATES + 1],
    /// Whether all are open from now on, except for the one of the stuck.
    ended: bool,
    released: bool,
}

impl Gates {
    pub(crate) fn of(actors: usize) -> Self {
        Self { state: Mutex::new(State { actors, ..State::default() }), opened: Notify::new() }
    }

    /// Lets go on who waits at a gate now.
    pub(crate) fn open(&self, gate: usize) {
        self.state().openings[gate] += 1;
        self.opened.notify_waiters();
    }

    /// Opens all gates for good.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.opened.notify_waiters();
    }

    /// Opens the gate of the stuck.
    pub(crate) fn release(&self) {
        self.state().released = true;
        self.opened.notify_waiters();
    }

    /// An actor waits or is done.
    pub(crate) fn rest(&self) {
        self.state().idle += 1;
        self.open_if_all_wait();
    }

    /// An actor goes on.
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

    /// Whether a gate has been opened since.
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

/// Counts a handler at a gate, also where its future is dropped there.
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
