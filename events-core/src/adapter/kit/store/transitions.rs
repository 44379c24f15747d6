//! The states of an event at a consumer, and what each operation makes of them: the table of the page "Durable
//! delivery" in ARCHITECTURE.md, a row of the page for each group of arms.

use super::rows::{Announced, KindId, Micros, Row};
use crate::adapter::durable::{Outcome, Position, Report, Token};

/// Error of an event whose session ended.
const LOST_LEASE: &str = "the program that handled it ended, or sent no sign of life for its lease, before the outcome was reported";
/// Error of an event whose pattern was given up.
const FORGOTTEN: &str = "the pattern that took it was given up";

#[derive(Clone, Debug)]
pub(super) enum State {
    /// After the consumer's position: no row.
    After,
    /// A row, not in hand.
    Waiting(Row),
    /// A row in hand of the session of its token.
    InHand(Row),
    /// A dead letter without its record, which stays where it is.
    Dead(Letter),
    /// Before the position, without a row: done, passed over, dropped or purged.
    Gone,
}

/// A dead letter without its record.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) position: Position,
    pub(super) kind: KindId,
    pub(super) key: Option<String>,
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) first: Micros,
    pub(super) last: Micros,
    /// The delivery whose lost lease made it.
    pub(super) lost: Option<Token>,
    pub(super) announced: Announced,
}

/// A new event of a window.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) position: Position,
    pub(super) kind: KindId,
    pub(super) key: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// A claim moves the position: the event is delivered, or waits. An event that is passed over has no step.
    ClaimNew(New, Token),
    Hold(New),
    /// A claim of a row. `true`: alone.
    ClaimRow(Token, bool),
    Report(&'a Report),
    /// The session named its deliveries, and this one was not among them.
    NotNamed,
    SessionEnded,
    SeekBack,
    SeekAhead,
    Replay,
    Purge,
    DropUnclaimed,
    /// No pattern takes the row any more. `true`: keep it as a dead letter.
    Forget(bool),
    NewKey(Option<String>),
    TrimPast,
}

/// What a transition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Changed,
    /// The report's delivery is over: nothing changed.
    Late,
    /// The event is dropped, and counted.
    Dropped,
    /// The operation does not apply.
    Unchanged,
}

/// What a transition has to know besides the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) time: Micros,
    /// Whether the log has the record.
    pub(super) in_log: bool,
    /// Of the session whose attempt ends.
    pub(super) attempts: u32,
    pub(super) backoff: Micros,
}

/// The table.
pub(super) fn next(state: State, step: Step<'_>, at: &Situation) -> (State, Effect) {
    use Effect::{Changed, Dropped, Late, Unchanged};
    use State::{After, Dead, Gone, InHand, Waiting};
    use Step as S;
    match (state, step) {
        // A claim.
        (After, S::ClaimNew(new, token)) => (InHand(Row::of(new, at).delivered(token, false, at)), Changed),
        (After, S::Hold(new)) => (Waiting(Row::of(new, at)), Changed),
        (Waiting(row), S::ClaimRow(token, solo)) => (InHand(row.delivered(token, solo, at)), Changed),

        // A report settles its own delivery, or what a lost lease made of it; any other report is late.
        (InHand(row), S::Report(report)) if row.is_of(report) => reported(row, report, at),
        (Waiting(row), S::Report(report)) if row.suspect && row.is_of(report) => match report.outcome {
            Outcome::GivenBack => (Waiting(row), Late),
            _ => reported(row, report, at),
        },
        (Dead(dead), S::Report(report)) if dead.lost == Some(report.token) => reported_dead(dead, report, at),
        (state, S::Report(_)) => (state, Late),

        (InHand(row), S::NotNamed) => row.given_back(at),
        (InHand(row), S::SessionEnded) => lease_lost(row, at),

        // A seek.
        (Waiting(_) | InHand(_) | Dead(_), S::SeekBack) if at.in_log => (After, Changed),
        (Waiting(row) | InHand(row), S::SeekBack) if row.copied => (Waiting(row.restarted(at)), Changed),
        (Waiting(_) | InHand(_), S::SeekBack) => (Gone, Dropped),
        (Dead(dead), S::SeekBack | S::Replay) => (Waiting(dead.again(at)), Changed),
        (After | Waiting(_), S::SeekAhead) => (Gone, Dropped),

        // Operators.
        (Dead(_), S::Purge) => (Gone, Changed),
        (After | Waiting(_), S::DropUnclaimed) => (Gone, Dropped),
        (Waiting(row), S::Forget(true)) => row.dies(Some(FORGOTTEN.to_owned()), None, Announced::No, at),
        (Waiting(_), S::Forget(false)) => (Gone, Dropped),
        (Waiting(row), S::NewKey(key)) => (Waiting(Row { key, blocked: false, ..row }), Changed),
        (Dead(dead), S::NewKey(key)) => (Dead(Letter { key, ..dead }), Changed),
        (After, S::TrimPast) => (Gone, Dropped),
        (Waiting(row), S::TrimPast) if !row.copied => (Gone, Dropped),

        (state, _) => (state, Unchanged),
    }
}

fn reported(row: Row, report: &Report, at: &Situation) -> (State, Effect) {
    match &report.outcome {
        Outcome::Done => (State::Gone, Effect::Changed),
        Outcome::GivenBack => row.given_back(at),
        Outcome::Retry { delay, error } if row.attempts < at.attempts => {
            let row = Row { error: Some(error.clone()), ..row };
            row.waits(at.time.saturating_add(super::micros(*delay)), None, at)
        }
        Outcome::Retry { error, .. } | Outcome::DeadLetter { error } | Outcome::Undecodable { error } => {
            row.dies(Some(error.clone()), None, Announced::Yes, at)
        }
    }
}

fn reported_dead(dead: Letter, report: &Report, at: &Situation) -> (State, Effect) {
    match &report.outcome {
        Outcome::Done => (State::Gone, Effect::Changed),
        Outcome::GivenBack => (State::Dead(dead), Effect::Late),
        Outcome::Retry { error, .. } | Outcome::DeadLetter { error } | Outcome::Undecodable { error } => {
            (State::Dead(Letter { error: error.clone(), last: at.time, lost: None, ..dead }), Effect::Changed)
        }
    }
}

fn lease_lost(row: Row, at: &Situation) -> (State, Effect) {
    let token = row.token;
    if row.attempts < at.attempts {
        row.waits(at.time.saturating_add(at.backoff), token, at)
    } else {
        row.dies(Some(LOST_LEASE.to_owned()), token, Announced::No, at)
    }
}

impl Row {
    fn of(new: New, at: &Situation) -> Self {
        Self {
            position: new.position,
            kind: new.kind,
            in_hand: false,
            blocked: false,
            key: new.key,
            attempts: 0,
            due: at.time,
            token: None,
            suspect: false,
            solo: false,
            copied: false,
            error: None,
            first: 0,
        }
    }

    /// Begins again with its own record. The reports of its deliveries are late.
    fn restarted(self, at: &Situation) -> Self {
        let new = New { position: self.position, kind: self.kind, key: self.key };
        Self { copied: true, ..Self::of(new, at) }
    }

    fn delivered(self, token: Token, solo: bool, at: &Situation) -> Self {
        let first = if self.first == 0 { at.time } else { self.first };
        Self { attempts: self.attempts + 1, token: Some(token), solo, first, ..self }
    }

    fn is_of(&self, report: &Report) -> bool {
        self.token == Some(report.token)
    }

    /// The attempt does not count. A suspect stays one: its last attempt that began is still the one that was lost.
    fn given_back(self, at: &Situation) -> (State, Effect) {
        let (attempts, suspect) = (self.attempts.saturating_sub(1), self.suspect);
        match (Self { attempts, ..self }).waits(at.time, None, at) {
            (State::Waiting(row), effect) => (State::Waiting(Self { suspect, ..row }), effect),
            lost => lost,
        }
    }

    /// Waits for its next attempt; `lost` is the delivery whose lease was lost. If the log has lost the record past the
    /// consumer, there is nothing to deliver.
    fn waits(self, due: Micros, lost: Option<Token>, at: &Situation) -> (State, Effect) {
        if !self.copied && !at.in_log {
            return (State::Gone, Effect::Dropped);
        }
        let row = Self { due, token: lost, suspect: lost.is_some(), solo: false, ..self };
        (State::Waiting(row), Effect::Changed)
    }

    fn dies(
        self,
        error: Option<String>,
        lost: Option<Token>,
        announced: Announced,
        at: &Situation,
    ) -> (State, Effect) {
        if !self.copied && !at.in_log {
            return (State::Gone, Effect::Dropped);
        }
        let letter = Letter {
            position: self.position,
            kind: self.kind,
            key: self.key,
            error: error.or(self.error).unwrap_or_default(),
            attempts: self.attempts,
            first: self.first,
            last: at.time,
            lost,
            announced,
        };
        (State::Dead(letter), Effect::Changed)
    }
}

impl Letter {
    fn again(self, at: &Situation) -> Row {
        let new = New { position: self.position, kind: self.kind, key: self.key };
        Row { copied: true, ..Row::of(new, at) }
    }
}
