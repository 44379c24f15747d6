//! One bus of a program: a session, and what it has in hand.

use std::collections::BTreeSet;

use crate::calls::{
    Beat, Beaten, Claim, ConsumerId, ConsumerName, Delivery, Event, EventId, Exchange, Exchanged, Knows,
    Name, Number, Origin, Outcome, Pattern, Position, Record, Register, Registered, Report, SessionId,
    Settings, Terms, Time, Token, Version, Wanted, Window, take,
};
use crate::store::WINDOW;

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub lease: Time,
    pub version: Version,
    /// Free slots of each consumer.
    pub max: usize,
    pub consumers: Vec<Options>,
}

/// A durable handler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub name: ConsumerName,
    pub patterns: BTreeSet<Pattern>,
    pub budget: u32,
    pub backoff: Time,
    pub settings: Settings,
    pub from_start: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bus {
    pub session: SessionId,
    pub knows: Knows,
    pub beat: Number,
    /// By the bus's monotonic clock; absent if the newest beat failed.
    pub beaten_at: Option<Time>,
    /// A beat that waits for its answer.
    pub slow_beat: Option<(Beat, Time)>,
    /// Positions and ids that beats named, the newest last.
    pub pairs: Vec<(Position, EventId)>,
    pub opened: Vec<Opened>,
    pub stopping: bool,
}

/// A consumer of a bus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Opened {
    pub options: usize,
    pub id: ConsumerId,
    /// The consumer was removed: the bus does not ask for it again.
    pub removed: bool,
    pub number: Number,
    pub answered: Number,
    pub hands: Vec<Hand>,
    /// The newest exchange, which was not answered.
    pub unanswered: Option<Exchange>,
    pub names_all: bool,
    pub wants_solo: bool,
    pub terms: Terms,
}

/// What a bus read in the log.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Records may be missing before it, since they were trimmed.
    pub newest: Position,
    pub begins: Position,
    pub records: Vec<(Position, Record)>,
}

/// A delivery in hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hand {
    pub position: Position,
    pub token: Token,
    pub solo: bool,
    pub progress: Progress,
    /// Whether the store has it, too; else its report will be late.
    pub void: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    Held,
    Running,
    Finished(Outcome),
}

impl Config {
    pub fn takes(&self, options: &Options, event: &Event) -> bool {
        take(&options.patterns, event.name) && event.version <= self.version
    }
}

impl Bus {
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            knows: Knows::default(),
            beat: 0,
            beaten_at: None,
            slow_beat: None,
            pairs: Vec::new(),
            opened: Vec::new(),
            stopping: false,
        }
    }

    /// The call that opens a consumer; `again` where the bus had it before.
    pub fn register(&self, config: &Config, options: usize, again: Option<Position>) -> Register {
        let of = &config.consumers[options];
        let origin = match again {
            Some(position) => Origin::Again(position),
            None if of.from_start => Origin::Start,
            None => Origin::Now,
        };
        Register {
            session: self.session,
            lease: config.lease,
            consumer: of.name,
            patterns: of.patterns.clone(),
            version: config.version,
            budget: of.budget,
            backoff: of.backoff,
            settings: of.settings,
            origin,
        }
    }

    pub fn registered(&mut self, options: usize, answer: Registered) {
        self.knows = answer.knows;
        match self.opened.iter_mut().find(|opened| opened.options == options) {
            // The numbers of another session begin again; its deliveries keep their tokens.
            Some(opened) => {
                (opened.id, opened.number, opened.answered) = (answer.consumer, 0, 0);
                (opened.unanswered, opened.names_all, opened.terms) = (None, false, answer.terms);
            }
            None => self.opened.push(Opened {
                options,
                id: answer.consumer,
                removed: false,
                number: 0,
                answered: 0,
                hands: Vec::new(),
                unanswered: None,
                names_all: false,
                wants_solo: false,
                terms: answer.terms,
            }),
        }
    }

    /// The next beat, at a time of the bus's monotonic clock.
    pub fn next_beat(&mut self, now: Time) -> Beat {
        self.beat += 1;
        Beat {
            session: self.session,
            number: self.beat,
            elapsed: self.beaten_at.map_or(0, |then| now - then),
        }
    }

    /// The answer to a beat that was sent at a time.
    pub fn beaten(&mut self, answer: &Beaten, at: Time) {
        self.beaten_at = Some(at);
        self.knows.heard = self.knows.heard.max(answer.heard);
        self.knows.newest = self.knows.newest.max(answer.newest);
        let pair = answer.newest_id.map(|id| (answer.newest, id));
        self.pairs.extend(pair.filter(|pair| self.pairs.last() != Some(pair)));
    }

    pub fn has_nothing_in_hand(&self) -> bool {
        self.opened.iter().all(|opened| opened.hands.is_empty())
    }

    /// The next exchange: the unanswered one again, else a new number.
    pub fn next_exchange(&mut self, config: &Config, which: usize, read: &Read) -> Exchange {
        let solo = self.has_nothing_in_hand();
        let waits = self.opened.iter().any(|opened| opened.wants_solo && !solo)
            || self.opened.iter().any(|opened| opened.hands.iter().any(|hand| hand.solo));
        let (session, stopping) = (self.session, self.stopping);
        let opened = &mut self.opened[which];
        if let Some(again) = &opened.unanswered {
            return again.clone();
        }
        if stopping {
            let held = opened.hands.iter_mut().filter(|hand| hand.progress == Progress::Held);
            held.for_each(|hand| hand.progress = Progress::Finished(Outcome::GivenBack));
        }
        let own = opened.hands.iter().filter(|hand| hand.token.session == session && !hand.void);
        let in_hand = own.clone().count();
        let named = own.map(|hand| (hand.position, hand.token.number)).collect();
        let reports = opened.hands.iter().filter_map(|hand| match hand.progress {
            Progress::Finished(outcome) => {
                Some(Report { position: hand.position, token: hand.token, outcome })
            }
            _ => None,
        });
        let reports: Vec<Report> = reports.collect();
        let free = config.max.saturating_sub(opened.hands.len() - reports.len());
        let options = &config.consumers[opened.options];
        let claim = Claim { max: free, solo, window: opened.window(config, options, read) };
        opened.number += 1;
        let exchange = Exchange {
            session,
            consumer: opened.id,
            number: opened.number,
            last_answered: opened.answered,
            in_hand,
            named_in_hand: opened.names_all.then_some(named),
            reports,
            claim: (!stopping && !waits).then_some(claim),
        };
        opened.unanswered = Some(exchange.clone());
        exchange
    }

    pub fn exchanged(&mut self, which: usize, call: &Exchange, answer: &Exchanged) {
        let (session, opened) = (self.session, &mut self.opened[which]);
        if opened.number != call.number || opened.answered == call.number {
            return;
        }
        (opened.unanswered, opened.answered) = (None, call.number);
        let is_reported = |hand: &Hand| {
            call.reports.iter().any(|report| (report.position, report.token) == (hand.position, hand.token))
        };
        opened.hands.retain(|hand| !is_reported(hand));
        for hand in &mut opened.hands {
            hand.void |= answer.void.contains(&(hand.position, hand.token.number));
        }
        // A handler that has not begun is not called for a delivery that is over.
        opened.hands.retain(|hand| !(hand.void && hand.progress == Progress::Held));
        opened.hands.extend(answer.deliveries.iter().map(|delivery| Hand::of(session, delivery)));
        opened.names_all = answer.recount;
        opened.wants_solo = answer.wants_solo;
        opened.terms = answer.terms.clone();
    }

    /// Gives up on the unanswered exchange: the next one has a new number and names all deliveries in hand.
    pub fn give_up(&mut self, which: usize) {
        let opened = &mut self.opened[which];
        if opened.unanswered.take().is_some() {
            opened.names_all = true;
        }
    }
}

impl Hand {
    fn of(session: SessionId, delivery: &Delivery) -> Self {
        let token = Token { session, number: delivery.number };
        Self {
            position: delivery.position,
            token,
            solo: delivery.solo,
            progress: Progress::Held,
            void: false,
        }
    }
}

impl Opened {
    /// What the bus reads in the log after the consumer's position.
    pub fn window(&self, config: &Config, options: &Options, read: &Read) -> Window {
        let from = self.terms.position + 1;
        let to = read.newest.min(self.terms.position + WINDOW);
        let records = read.records.iter().filter(|(position, _)| (from..=to).contains(position));
        let is_wanted = |name: Name| take(&self.terms.union, name);
        let wanted =
            records.filter(|(_, record)| is_wanted(record.event.name)).map(|(position, record)| Wanted {
                position: *position,
                name: record.event.name,
                version: record.event.version,
                key: self.terms.settings.key(&record.event),
                takes: config.takes(options, &record.event),
            });
        Window {
            patterns_number: self.terms.patterns_number,
            settings_number: self.terms.settings_number,
            from,
            to,
            begins: read.begins,
            read: read.records.last().map(|(position, record)| (*position, record.event.id)),
            wanted: wanted.collect(),
        }
    }
}
