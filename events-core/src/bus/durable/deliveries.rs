//! The exchanges of a durable handler with its store, and the deliveries that it has in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::Id;

use crate::adapter::durable::{
    Claim, ConsumerId, Delivered, Exchange, Exchanged, Outcome, Position, Registered, Report, SessionId,
    Terms, Token,
};
use crate::bus::inner::in_flight::InFlightGuard;

/// The deliveries that a handler has in hand, and the numbers of its exchanges with the store.
pub(super) struct Deliveries {
    /// The registration of the session that the next exchange is of.
    pub(super) generation: u64,
    session: SessionId,
    consumer: ConsumerId,
    number: u64,
    answered: u64,
    /// The newest exchange, while it was not answered.
    unanswered: Option<Exchange>,
    must_name_all: bool,
    pub(super) terms: Terms,
    in_hand: Vec<DeliveryInHand>,
    /// Number of deliveries in hand, over all handlers of the bus.
    total: Arc<AtomicUsize>,
}

/// A delivery in hand. It counts as in flight until its outcome is reported.
struct DeliveryInHand {
    position: Position,
    token: Token,
    /// The store does not have it in this session's hand any more: its report will be late.
    is_void: bool,
    task: Option<Id>,
    outcome: Option<Outcome>,
    _flight: InFlightGuard,
}

impl Deliveries {
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
            must_name_all: false,
            terms: registered.terms,
            in_hand: Vec::new(),
            total,
        }
    }

    /// Continues in another session. The deliveries in hand keep their tokens.
    pub(super) fn reopen(&mut self, generation: u64, session: SessionId, registered: Registered) {
        self.generation = generation;
        (self.session, self.consumer, self.terms) = (session, registered.consumer, registered.terms);
        (self.number, self.answered, self.unanswered, self.must_name_all) = (0, 0, None, false);
    }

    pub(super) fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// Number of deliveries whose handlers run.
    pub(super) fn running(&self) -> usize {
        self.in_hand.iter().filter(|delivery| delivery.outcome.is_none()).count()
    }

    pub(super) fn has_outcomes(&self) -> bool {
        self.in_hand.iter().any(|delivery| delivery.outcome.is_some())
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether the next exchange names what is in hand, before it can claim.
    pub(super) fn must_name_all(&self) -> bool {
        self.must_name_all
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
        let own = self
            .in_hand
            .iter()
            .filter(|delivery| delivery.token.session == self.session && !delivery.is_void);
        let count = own.clone().count();
        let named = own.map(|delivery| (delivery.position, delivery.token.number)).collect();
        let reports = self.in_hand.iter().filter_map(|delivery| {
            let outcome = delivery.outcome.clone()?;
            Some(Report { position: delivery.position, token: delivery.token, outcome })
        });
        Exchange {
            session: self.session,
            consumer: self.consumer,
            number: self.number,
            last_answered: self.answered,
            in_hand: count,
            named_in_hand: self.must_name_all.then_some(named),
            reports: reports.take(super::lookahead::MAX_WANTED).collect(),
            claim,
        }
    }

    /// Takes the answer to the newest exchange. Returns the call that it answers.
    pub(super) fn answered(&mut self, answer: &Exchanged) {
        let Some(call) = self.unanswered.take() else { return };
        self.answered = call.number;
        let before = self.in_hand.len();
        self.in_hand.retain(|delivery| {
            !call
                .reports
                .iter()
                .any(|report| (report.position, report.token) == (delivery.position, delivery.token))
        });
        self.total.fetch_sub(before - self.in_hand.len(), Ordering::SeqCst);
        for delivery in &mut self.in_hand {
            let is_own = delivery.token.session == self.session;
            delivery.is_void |= is_own && answer.void.contains(&(delivery.position, delivery.token.number));
        }
        self.must_name_all = answer.recount;
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
        self.in_hand.push(DeliveryInHand {
            position: delivered.position,
            token: self.token(delivered),
            is_void: false,
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
        if let Some(delivery) = self.in_hand.iter_mut().find(|delivery| delivery.task == Some(task)) {
            (delivery.task, delivery.outcome) = (None, Some(outcome));
        }
    }

    /// Forgets a delivery without an outcome: its lease runs out.
    pub(super) fn forget(&mut self, task: Id) {
        self.retain(|delivery| delivery.task != Some(task));
    }

    /// Forgets all deliveries whose handlers have ended, for a consumer that was removed or a bus that gives up.
    pub(super) fn forget_finished(&mut self) {
        self.unanswered = None;
        self.retain(|delivery| delivery.outcome.is_none());
    }

    fn retain(&mut self, keep: impl Fn(&DeliveryInHand) -> bool) {
        let before = self.in_hand.len();
        self.in_hand.retain(keep);
        self.total.fetch_sub(before - self.in_hand.len(), Ordering::SeqCst);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.total.fetch_sub(self.in_hand.len(), Ordering::SeqCst);
    }
}
