//! The states of an event at a consumer, and what each operation makes of them: the table of the page "Durable
//! delivery" in ARCHITECTURE.md, a row of the page for each group of arms.

use crate::breaks::Break;
use crate::calls::{Key, Name, Outcome, Record, Report, Settings, Time, Token, Version, Wanted};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// After the consumer's position: no row.
    After,
    /// A row, not in hand.
    Waiting(Row),
    /// A row in hand of the session of its token.
    InHand(Row),
    Dead(DeadLetter),
    /// Before the position, without a row: done, passed over, dropped or purged.
    Gone,
}

/// An event that is not finished, before the position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub name: Name,
    pub version: Version,
    pub key: Option<Key>,
    /// Attempts that were handed out and not given back.
    pub attempts: u32,
    pub due: Time,
    /// In hand: the delivery. Waiting: the delivery whose lease was lost, if nothing has happened since.
    pub token: Option<Token>,
    /// Whether the lease of the last attempt was lost: its handler may end the process.
    pub suspect: bool,
    /// Whether it is in hand alone, as a suspect in its last attempt.
    pub solo: bool,
    /// Of a replayed dead letter, or of a record that was trimmed.
    pub copy: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeadLetter {
    pub attempts: u32,
    pub copy: Record,
    pub cause: Cause,
    /// The delivery whose lost lease made it.
    pub lost: Option<Token>,
    pub announced: Announced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    Report,
    Undecodable,
    LostLease,
    Forgotten,
}

/// Whether a program was told of a dead letter that no report made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announced {
    No,
    /// In the answer to this exchange, which the session has not confirmed.
    By(Token),
    Yes,
}

#[derive(Clone, Debug)]
pub enum Operation {
    /// A claim moves the position: the event is delivered, waits, or is passed over.
    ClaimNew(Wanted, Token),
    Hold(Wanted),
    PassOver,
    /// A claim of a row. `true`: alone.
    ClaimRow(Token, bool),
    Report(Report),
    /// The session named its deliveries, and this one was not among them.
    NotNamed,
    SessionEnded,
    SeekBack,
    SeekAhead,
    /// `false`: the union does not take it any more.
    Replay(bool),
    Purge,
    DropUnclaimed,
    /// No pattern takes the row any more. `true`: keep it as a dead letter.
    Forget(bool),
    NewKey(Option<Key>),
    TrimPast,
}

/// What a transition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Changed,
    /// The report's delivery is over: nothing changed.
    Late,
    /// The event is given up, and counted.
    Dropped,
    /// The operation does not apply.
    Unchanged,
}

/// What a transition has to know besides the state.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    pub time: Time,
    /// The log's record, unless it was trimmed.
    pub record: Option<Record>,
    /// Of the session whose attempt ends.
    pub budget: u32,
    pub backoff: Time,
    /// The settings that decide: a replayed event gets its key by them.
    pub settings: Settings,
    pub broken: Option<Break>,
}

/// The table.
pub fn next(state: State, operation: &Operation, at: &Context) -> (State, Effect) {
    use Effect::{Changed, Dropped, Late, Unchanged};
    use Operation as O;
    use State::{After, Dead, Gone, InHand, Waiting};
    match (state, operation) {
        // A claim.
        (After, O::ClaimNew(wanted, token)) => {
            (InHand(Row::of(wanted, at).delivered(*token, false)), Changed)
        }
        (After, O::Hold(wanted)) => (Waiting(Row::of(wanted, at)), Changed),
        (After, O::PassOver) => (Gone, Changed),
        (Waiting(row), O::ClaimRow(token, solo)) => (InHand(row.delivered(*token, *solo)), Changed),

        // A report settles its own delivery, or what a lost lease made of it; any other report is late.
        (InHand(row), O::Report(report)) if row.is_of(report, at) => reported(row, report, at),
        (Waiting(row), O::Report(report)) if row.suspect && row.is_of(report, at) => match report.outcome {
            Outcome::GivenBack => (Waiting(row), Late),
            _ => reported(row, report, at),
        },
        (Dead(dead), O::Report(report)) if dead.lost == Some(report.token) => reported_dead(dead, report),
        (state, O::Report(_)) => (state, Late),

        (InHand(row), O::NotNamed) => row.given_back(at),
        (InHand(row), O::SessionEnded) => lease_lost(row, at),

        // A seek.
        (Waiting(_) | InHand(_) | Dead(_), O::SeekBack) if at.record.is_some() => (After, Changed),
        (Waiting(row) | InHand(row), O::SeekBack) => match row.copy {
            Some(copy) => (Waiting(Row::of_copy(copy, at)), Changed),
            None => (Gone, Dropped),
        },
        (Dead(dead), O::SeekBack) => (Waiting(Row::of_copy(dead.copy, at)), Changed),
        (After | Waiting(_), O::SeekAhead) => (Gone, Dropped),

        // Operators.
        (Dead(dead), O::Replay(true)) => (Waiting(Row::of_copy(dead.copy, at)), Changed),
        (Dead(_), O::Purge) => (Gone, Changed),
        (After | Waiting(_), O::DropUnclaimed) => (Gone, Dropped),
        (Waiting(row), O::Forget(keep)) => match row.record(at).filter(|_| *keep) {
            Some(record) => (Dead(row.dead(record, Cause::Forgotten, None)), Changed),
            None => (Gone, Dropped),
        },
        (Waiting(row), O::NewKey(key)) => (Waiting(Row { key: *key, ..row }), Changed),
        (After, O::TrimPast) => (Gone, Dropped),
        (Waiting(row), O::TrimPast) if row.copy.is_none() => (Gone, Dropped),

        (state, _) => (state, Unchanged),
    }
}

fn reported(row: Row, report: &Report, at: &Context) -> (State, Effect) {
    match report.outcome {
        Outcome::Ok => (State::Gone, Effect::Changed),
        Outcome::GivenBack => row.given_back(at),
        Outcome::Retry { delay } if row.attempts < at.budget => row.waits(at.time + delay, None, at),
        Outcome::Retry { .. } | Outcome::DeadLetter => row.dies(Cause::Report, None, at),
        Outcome::Undecodable => row.dies(Cause::Undecodable, None, at),
    }
}

fn reported_dead(dead: DeadLetter, report: &Report) -> (State, Effect) {
    match report.outcome {
        Outcome::Ok => (State::Gone, Effect::Changed),
        Outcome::GivenBack => (State::Dead(dead), Effect::Late),
        _ => (State::Dead(DeadLetter { cause: Cause::Report, lost: None, ..dead }), Effect::Changed),
    }
}

fn lease_lost(row: Row, at: &Context) -> (State, Effect) {
    let token = row.token;
    if row.attempts < at.budget {
        row.waits(at.time + at.backoff, token, at)
    } else {
        row.dies(Cause::LostLease, token, at)
    }
}

impl Row {
    fn of(wanted: &Wanted, at: &Context) -> Self {
        Self {
            name: wanted.name,
            version: wanted.version,
            key: wanted.key,
            attempts: 0,
            due: at.time,
            token: None,
            suspect: false,
            solo: false,
            copy: None,
        }
    }

    /// An event that begins again with its own copy. The reports of its deliveries are late.
    fn of_copy(copy: Record, at: &Context) -> Self {
        Self {
            name: copy.event.name,
            version: copy.event.version,
            key: at.settings.key(&copy.event),
            attempts: 0,
            due: at.time,
            token: None,
            suspect: false,
            solo: false,
            copy: Some(copy),
        }
    }

    fn delivered(self, token: Token, solo: bool) -> Self {
        Self { attempts: self.attempts + 1, token: Some(token), solo, ..self }
    }

    fn is_of(&self, report: &Report, at: &Context) -> bool {
        self.token == Some(report.token) || at.broken == Some(Break::SettleByPosition)
    }

    /// The attempt does not count. A suspect stays one: its last attempt that began is still the one that was lost.
    fn given_back(self, at: &Context) -> (State, Effect) {
        let attempts =
            if at.broken == Some(Break::GiveBackCounts) { self.attempts } else { self.attempts - 1 };
        let suspect = self.suspect;
        match (Self { attempts, ..self }).waits(at.time, None, at) {
            (State::Waiting(row), effect) => (State::Waiting(Self { suspect, ..row }), effect),
            lost => lost,
        }
    }

    /// Waits for its next attempt; `lost` is the delivery whose lease was lost. If the log has lost the record past the
    /// consumer, there is nothing to deliver.
    fn waits(self, due: Time, lost: Option<Token>, at: &Context) -> (State, Effect) {
        if self.record(at).is_none() {
            return (State::Gone, Effect::Dropped);
        }
        (
            State::Waiting(Self { due, token: lost, suspect: lost.is_some(), solo: false, ..self }),
            Effect::Changed,
        )
    }

    fn dies(self, cause: Cause, lost: Option<Token>, at: &Context) -> (State, Effect) {
        match self.record(at) {
            Some(record) => (State::Dead(self.dead(record, cause, lost)), Effect::Changed),
            None => (State::Gone, Effect::Dropped),
        }
    }

    fn dead(self, copy: Record, cause: Cause, lost: Option<Token>) -> DeadLetter {
        let by_report = matches!(cause, Cause::Report | Cause::Undecodable);
        let announced = if by_report { Announced::Yes } else { Announced::No };
        DeadLetter { attempts: self.attempts, copy, cause, lost, announced }
    }

    fn record(&self, at: &Context) -> Option<Record> {
        self.copy.or(at.record)
    }
}
