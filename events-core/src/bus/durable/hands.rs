//! The exchanges of a durable handler with its store, and the deliveries that it has in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::Id;

use crate::adapter::durable::{
    Claim, ConsumerId, Delivered, Exchange, Exchanged, Outcome, Position, Registered, Report, SessionId,
    Terms, Token,
};
use crate::bus::inner::in_flight::InFlightGuard;

/// What a handler has in hand, and the numbers of its exchanges.
pub(super) struct Hands {
    /// The registration of the session that the next exchange is of.
    pub(super) generation: u64,
    session: SessionId,
    consumer: ConsumerId,
    number: u64,
    answered: u64,
    /// The newest exchange, while it was not answered.
    unanswered: Option<Exchange>,
    names_all: bool,
    pub(super) terms: Terms,
    hands: Vec<InHand>,
    /// Number of deliveries in hand, over all handlers of the bus.
    total: Arc<AtomicUsize>,
}

/// A delivery in hand. It counts as in flight until its outcome is reported.
struct InHand {
    position: Position,
    token: Token,
    /// The store does not have it in this session's hand any more: its report will be late.
    void: bool,
    task: Option<Id>,
    outcome: Option<Outcome>,
    _flight: InFlightGuard,
}

impl Hands {
    pub(super) fn new(
        generation: u64,
        session: SessionId,
        registered: Registered,
        total: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            generation,
            session,
            consumer: registered.consumer,
            number: 0,
            answered: 0,
            unanswered: None,
            names_all: false,
            terms: registered.terms,
            hands: Vec::new(),
            total,
        }
    }

    /// Continues in another session. The deliveries in hand keep their tokens.
    pub(super) fn reopen(&mut self, generation: u64, session: SessionId, registered: Registered) {
        self.generation = generation;
        (self.session, self.consumer, self.terms) = (session, registered.consumer, registered.terms);
        (self.number, self.answered, self.unanswered, self.names_all) = (0, 0, None, false);
    }

    pub(super) fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hands.is_empty()
    }

    /// Number of deliveries whose handlers run.
    pub(super) fn running(&self) -> usize {
        self.hands.iter().filter(|hand| hand.outcome.is_none()).count()
    }

    pub(super) fn has_outcomes(&self) -> bool {
        self.hands.iter().any(|hand| hand.outcome.is_some())
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether the next exchange names what is in hand, before it can claim.
    pub(super) fn names_all(&self) -> bool {
        self.names_all
    }

    /// Returns the next exchange: the unanswered one again, else one with a new number.
    pub(super) fn next(&mut self, claim: Option<Claim>) -> &Exchange {
        let exchange = match self.unanswered.take() {
            Some(again) => again,
            None => self.create(claim),
        };
        self.unanswered.insert(exchange)
    }

    fn create(&mut self, claim: Option<Claim>) -> Exchange {
        self.number += 1;
        let own = self.hands.iter().filter(|hand| hand.token.session == self.session && !hand.void);
        let in_hand = own.clone().count();
        let named = own.map(|hand| (hand.position, hand.token.number)).collect();
        let reports = self.hands.iter().filter_map(|hand| {
            let outcome = hand.outcome.clone()?;
            Some(Report { position: hand.position, token: hand.token, outcome })
        });
        Exchange {
            session: self.session,
            consumer: self.consumer,
            number: self.number,
            last_answered: self.answered,
            in_hand,
            named_in_hand: self.names_all.then_some(named),
            reports: reports.take(super::window::MAX_WANTED).collect(),
            claim,
        }
    }

    /// Takes the answer to the newest exchange. Returns the call that it answers.
    pub(super) fn answered(&mut self, answer: &Exchanged) {
        let Some(call) = self.unanswered.take() else { return };
        self.answered = call.number;
        let before = self.hands.len();
        self.hands.retain(|hand| {
            !call.reports.iter().any(|report| (report.position, report.token) == (hand.position, hand.token))
        });
        self.total.fetch_sub(before - self.hands.len(), Ordering::SeqCst);
        for hand in &mut self.hands {
            let is_own = hand.token.session == self.session;
            hand.void |= is_own && answer.void.contains(&(hand.position, hand.token.number));
        }
        self.names_all = answer.recount;
        self.terms = answer.terms.clone();
    }

    /// Adds a delivery, whose handler runs in a task.
    pub(super) fn begin(
        &mut self,
        delivered: &Delivered,
        task: Option<Id>,
        outcome: Option<Outcome>,
        flight: InFlightGuard,
    ) {
        self.total.fetch_add(1, Ordering::SeqCst);
        self.hands.push(InHand {
            position: delivered.position,
            token: self.token(delivered),
            void: false,
            task,
            outcome,
            _flight: flight,
        });
    }

    pub(super) fn token(&self, delivered: &Delivered) -> Token {
        Token { session: self.session, number: delivered.number }
    }

    /// Keeps the outcome of a delivery until it is reported.
    pub(super) fn finish(&mut self, task: Id, outcome: Outcome) {
        if let Some(hand) = self.hands.iter_mut().find(|hand| hand.task == Some(task)) {
            (hand.task, hand.outcome) = (None, Some(outcome));
        }
    }

    /// Forgets a delivery without an outcome: its lease runs out.
    pub(super) fn forget(&mut self, task: Id) {
        self.retain(|hand| hand.task != Some(task));
    }

    /// Forgets all deliveries whose handlers have ended, for a consumer that was removed or a bus that gives up.
    pub(super) fn forget_finished(&mut self) {
        self.unanswered = None;
        self.retain(|hand| hand.outcome.is_none());
    }

    fn retain(&mut self, keep: impl Fn(&InHand) -> bool) {
        let before = self.hands.len();
        self.hands.retain(keep);
        self.total.fetch_sub(before - self.hands.len(), Ordering::SeqCst);
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.total.fetch_sub(self.hands.len(), Ordering::SeqCst);
    }
}
