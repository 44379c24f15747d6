//! Durable consumption: the state of consumers, and exchanging finished events for new claims.

use std::sync::Arc;

use crc32fast::Hasher;
use events_core::{
    AdapterError, Claim, Claimed, Claims, Consumer, Finished, Interest, Outcome, Pattern, StartAt, Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use crate::error::{Result, StoreError};
use crate::log::{self, COLUMNS, Stored};

/// The most records of the log that one exchange reads: it blocks other writes meanwhile.
const SCAN_LIMIT: i64 = 1000;
/// How many events of a consumer may be pending (leased, waiting or held) before it takes no new ones.
const MAX_PENDING: i64 = 100_000;

/// A row of the consumers' table.
pub(crate) struct Row {
    pub(crate) consumer: i64,
    pub(crate) name: String,
    pub(crate) patterns: String,
    pub(crate) cursor: i64,
    pub(crate) paused: bool,
    /// Time at which a program last exchanged events. Negative if the program has stopped since.
    pub(crate) seen: i64,
}

impl Row {
    fn crc(&self) -> u32 {
        let mut crc = Hasher::new();
        crc.update(self.name.as_bytes());
        crc.update(&self.cursor.to_le_bytes());
        crc.update(&[u8::from(self.paused)]);
        crc.finalize()
    }

    /// Whether one of the consumer's patterns matches a name.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.patterns.split(' ').any(|text| Pattern::new(text).is_ok_and(|pattern| pattern.matches(name)))
    }

    pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<Self>> {
        Ok(Self::list(connection, "WHERE name = ?1", [name])?.pop())
    }

    pub(crate) fn all(connection: &Connection) -> Result<Vec<Self>> {
        Self::list(connection, "ORDER BY name", [])
    }

    fn list(connection: &Connection, which: &str, params: impl rusqlite::Params) -> Result<Vec<Self>> {
        let query = format!(
            "SELECT consumer, name, patterns, cursor, paused, seen, crc FROM typed_events_consumers {which}"
        );
        let mut query = connection.prepare_cached(&query)?;
        let mut rows = query.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (consumer, name, patterns) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let stored = Self {
                consumer,
                name,
                patterns,
                cursor: row.get(3)?,
                paused: row.get(4)?,
                seen: row.get(5)?,
            };
            if stored.crc() != row.get::<_, u32>(6)? {
                let name = &stored.name;
                return Err(StoreError::Damaged(format!(
                    "the row of consumer {name} does not match its checksum"
                )));
            }
            found.push(stored);
        }
        Ok(found)
    }

    /// Updates the stored row.
    pub(crate) fn save(&self, connection: &Connection) -> Result<()> {
        let save =
            "UPDATE typed_events_consumers SET patterns = ?2, cursor = ?3, paused = ?4, seen = ?5, crc = ?6
            WHERE consumer = ?1";
        let row = (self.consumer, &self.patterns, self.cursor, self.paused, self.seen, self.crc());
        connection.prepare_cached(save)?.execute(row)?;
        Ok(())
    }
}

/// Returns the cursor of a consumer that starts at `start`.
pub(crate) fn before(connection: &Connection, start: StartAt) -> Result<i64> {
    let (trimmed, last) = (log::trimmed(connection)?, log::last(connection)?);
    let cursor = match start {
        StartAt::Start => trimmed,
        StartAt::Position(position) => i64::try_from(position).unwrap_or(i64::MAX).saturating_sub(1),
        StartAt::Time(time) => log::position_at(connection, time.as_micros())? - 1,
        _ => last,
    };
    Ok(cursor.clamp(trimmed.min(last), last))
}

/// Registers a consumer, or opens it if it exists.
pub(crate) fn open(connection: &Connection, consumer: &Consumer, now: i64) -> Result<()> {
    let patterns = consumer.patterns().collect::<Vec<_>>().join(" ");
    if let Some(mut row) = Row::find(connection, consumer.name())? {
        (row.patterns, row.seen) = (patterns, now);
        return row.save(connection);
    }
    let cursor = before(connection, consumer.from())?;
    let name = consumer.name().to_owned();
    let row = Row { consumer: 0, name, patterns, cursor, paused: false, seen: now };
    let insert = "INSERT INTO typed_events_consumers (name, patterns, cursor, paused, seen, crc)
        VALUES (?1, ?2, ?3, 0, ?4, ?5)";
    connection.prepare_cached(insert)?.execute((&row.name, &row.patterns, cursor, now, row.crc()))?;
    Ok(())
}

/// Stores the outcomes of finished events, and claims up to `max` more.
pub(crate) fn exchange(
    connection: &Connection,
    consumer: &Arc<Consumer>,
    finished: &[Finished],
    max: usize,
    now: Timestamp,
) -> Result<Claims> {
    let mut claims = Claims::default();
    // An operator may have removed the consumer.
    let Some(row) = Row::find(connection, consumer.name())? else { return Ok(claims) };
    let mut exchange = Exchange { connection, consumer, row, now: now.as_micros(), claims: &mut claims };
    for finished in finished {
        exchange.finish(finished)?;
    }
    match (max > 0, exchange.row.paused) {
        (true, false) => exchange.hand_out(max)?,
        (true, true) => exchange.reopen()?,
        (false, _) => {}
    }
    Ok(claims)
}

/// Extends leases, and notes that a program has the consumer open.
pub(crate) fn renew(connection: &Connection, consumer: &Consumer, held: &[Claim], now: i64) -> Result<()> {
    let Some(mut row) = Row::find(connection, consumer.name())? else { return Ok(()) };
    let until = now.saturating_add(micros(consumer.lease()));
    let mut extend = connection.prepare_cached(
        "UPDATE typed_events_pending SET due = ?4
         WHERE consumer = ?1 AND position = ?2 AND token = ?3 AND leased = 1",
    )?;
    for Claim { position, token, .. } in held {
        extend.execute((row.consumer, *position as i64, stored_token(*token), until))?;
    }
    row.seen = now;
    row.save(connection)
}

/// Notes that a program that had the consumer open has stopped.
pub(crate) fn close(connection: &Connection, consumer: &str, now: i64) -> Result<()> {
    let Some(mut row) = Row::find(connection, consumer)? else { return Ok(()) };
    row.seen = -now;
    row.save(connection)
}

/// SQLite stores signed numbers.
fn stored_token(token: u64) -> i64 {
    token.cast_signed()
}

fn micros(duration: std::time::Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

/// An exchange in progress.
struct Exchange<'a> {
    connection: &'a Connection,
    consumer: &'a Arc<Consumer>,
    row: Row,
    now: i64,
    claims: &'a mut Claims,
}

/// The state of a pending event.
struct Pending {
    position: i64,
    attempts: u32,
    error: Option<String>,
    /// Whether it is leased. If it is also due, its lease has expired.
    leased: bool,
}

impl Exchange<'_> {
    fn finish(&mut self, finished: &Finished) -> Result<()> {
        let (consumer, position) = (self.row.consumer, finished.claim.position as i64);
        let held = "SELECT key FROM typed_events_pending
            WHERE consumer = ?1 AND position = ?2 AND token = ?3 AND leased = 1";
        let mut held = self.connection.prepare_cached(held)?;
        let held = held.query_row((consumer, position, stored_token(finished.claim.token)), |row| row.get(0));
        let Some(key): Option<Option<String>> = held.optional()? else {
            self.claims.late.push(finished.claim);
            return Ok(());
        };
        match &finished.outcome {
            Outcome::Done => self.drop_pending(position, key)?,
            Outcome::Dead { error, attempts } => match self.dead_letter(position, *attempts, error)? {
                true => self.drop_pending(position, key)?,
                false => self.record_loss(position)?,
            },
            Outcome::Retry { at, error } => self.wait(position, 0, at.as_micros(), Some(error))?,
            Outcome::Returned => self.wait(position, 1, self.now, None)?,
        }
        Ok(())
    }

    fn wait(&self, position: i64, uncount: u32, due: i64, error: Option<&str>) -> Result<()> {
        let wait = "UPDATE typed_events_pending
            SET leased = 0, due = ?3, attempts = attempts - ?4, error = coalesce(?5, error)
            WHERE consumer = ?1 AND position = ?2";
        let row = (self.row.consumer, position, due, uncount, error);
        self.connection.prepare_cached(wait)?.execute(row)?;
        Ok(())
    }

    /// Removes a finished event.
    fn drop_pending(&self, position: i64, key: Option<String>) -> Result<()> {
        let consumer = self.row.consumer;
        let delete = "DELETE FROM typed_events_pending WHERE consumer = ?1 AND position = ?2";
        self.connection.prepare_cached(delete)?.execute((consumer, position))?;
        self.next_of(key)
    }

    /// Makes the next event of a key due, if it waits for the key.
    fn next_of(&self, key: Option<String>) -> Result<()> {
        let (consumer, Some(key)) = (self.row.consumer, key) else { return Ok(()) };
        let next = "UPDATE typed_events_pending SET due = ?3
            WHERE consumer = ?1 AND due IS NULL AND held = 0 AND position =
                (SELECT min(position) FROM typed_events_pending WHERE consumer = ?1 AND key = ?2)";
        self.connection.prepare_cached(next)?.execute((consumer, key, self.now))?;
        Ok(())
    }

    /// Counts an event as lost and removes it. Returns an error if the log was not trimmed up to it: then the file is
    /// damaged.
    fn record_loss(&mut self, position: i64) -> Result<()> {
        if position > log::trimmed(self.connection)? {
            return Err(StoreError::Damaged(format!("the record at {position} is missing")));
        }
        self.claims.lost += 1;
        self.drop_pending(position, self.key_of(position)?)
    }

    /// Stores an event as a dead letter, without decoding it. Returns false if the log no longer has it.
    fn dead_letter(&self, position: i64, attempts: u32, error: &str) -> Result<bool> {
        let dead_letter = "INSERT OR REPLACE INTO typed_events_dead
            (consumer, position, id, name, version, time, origin, outbox, crc, text, error, attempts, first, last)
            SELECT ?1, log.position, log.id, log.name, log.version, log.time, log.origin, log.outbox, log.crc, log.text,
                ?3, ?4, pending.first, ?5
            FROM typed_events_log AS log, typed_events_pending AS pending
            WHERE log.position = ?2 AND pending.consumer = ?1 AND pending.position = ?2";
        let row = (self.row.consumer, position, error, attempts, self.now);
        Ok(self.connection.prepare_cached(dead_letter)?.execute(row)? == 1)
    }

    /// Notes that this program has the consumer open, if another program has noted that it stopped.
    fn reopen(&mut self) -> Result<()> {
        if self.row.seen > 0 {
            return Ok(());
        }
        self.row.seen = self.now;
        self.row.save(self.connection)
    }

    fn hand_out(&mut self, max: usize) -> Result<()> {
        self.release_held()?;
        let passed_over = self.hand_out_due(max)?;
        let free = max - self.claims.claimed.len();
        let full = match free {
            0 => true,
            free => self.hand_out_new(free)?,
        };
        self.claims.more = full || passed_over;
        self.row.seen = self.now;
        self.row.save(self.connection)?;
        let due = "SELECT min(due) FROM typed_events_pending WHERE consumer = ?1 AND due > ?2";
        let due: Option<i64> = self
            .connection
            .prepare_cached(due)?
            .query_row((self.row.consumer, self.now), |row| row.get(0))?;
        self.claims.due = due.map(Timestamp::from_micros);
        Ok(())
    }

    /// Makes held events due whose versions this program knows.
    fn release_held(&self) -> Result<()> {
        let held = "SELECT DISTINCT log.name, log.version FROM typed_events_pending AS pending
            JOIN typed_events_log AS log USING (position) WHERE pending.consumer = ?1 AND pending.held = 1";
        let any = "SELECT EXISTS (SELECT 1 FROM typed_events_pending WHERE consumer = ?1 AND held = 1)";
        if !self
            .connection
            .prepare_cached(any)?
            .query_row([self.row.consumer], |row| row.get::<_, bool>(0))?
        {
            return Ok(());
        }
        let mut held = self.connection.prepare_cached(held)?;
        let mut rows = held.query([self.row.consumer])?;
        while let Some(row) = rows.next()? {
            let (name, version): (String, u32) = (row.get(0)?, row.get(1)?);
            if self.consumer.interest(&name, version) != Interest::Newer {
                let release = "UPDATE typed_events_pending SET held = 0, due = ?4
                    WHERE consumer = ?1 AND held = 1 AND position IN
                        (SELECT position FROM typed_events_log WHERE name = ?2 AND version = ?3)";
                let which = (self.row.consumer, &name, version, self.now);
                self.connection.prepare_cached(release)?.execute(which)?;
            }
        }
        Ok(())
    }

    /// Claims events that are due, and those whose lease has expired. Returns true if fewer events were claimed than
    /// were due, because the consumer no longer takes some: then there may be more.
    fn hand_out_due(&mut self, max: usize) -> Result<bool> {
        let due = "SELECT position, attempts, error, leased FROM typed_events_pending
            WHERE consumer = ?1 AND due <= ?2 ORDER BY due, position LIMIT ?3";
        let mut due = self.connection.prepare_cached(due)?;
        let rows = due.query_map((self.row.consumer, self.now, max as i64), |row| {
            let (position, attempts, error) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Pending { position, attempts, error, leased: row.get(3)? })
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let due = rows.len();
        for pending in rows {
            self.hand_out_again(pending)?;
        }
        Ok(self.claims.claimed.len() < due)
    }

    fn hand_out_again(&mut self, pending: Pending) -> Result<()> {
        let Pending { position, attempts, error, leased } = pending;
        let stored = match log::at(self.connection, position) {
            Ok(Some(stored)) => Ok(stored),
            Ok(None) => return self.record_loss(position),
            Err(StoreError::Damaged(what)) => Err(what),
            Err(fault) => return Err(fault),
        };
        let interest = stored
            .as_ref()
            .map_or(Interest::Take, |stored| self.consumer.interest(&stored.name, stored.version));
        let consumer = self.row.consumer;
        let claim = Claim::new(position as u64, attempts + 1);
        match interest {
            Interest::Skip => return self.drop_pending(position, self.key_of(position)?),
            Interest::Newer => {
                let key = self.key_of(position)?;
                let hold = "UPDATE typed_events_pending SET held = 1, leased = 0, due = NULL, key = NULL
                    WHERE consumer = ?1 AND position = ?2";
                self.connection.prepare_cached(hold)?.execute((consumer, position))?;
                return self.next_of(key);
            }
            Interest::Take => {}
        }
        let lease =
            "UPDATE typed_events_pending SET attempts = ?3, leased = 1, due = ?4, token = ?5, held = 0
            WHERE consumer = ?1 AND position = ?2";
        let until = self.now.saturating_add(micros(self.consumer.lease()));
        let row = (consumer, position, claim.attempt, until, stored_token(claim.token));
        self.connection.prepare_cached(lease)?.execute(row)?;
        let record = self.decode(stored);
        self.claims.claimed.push(Claimed { claim, record, last_error: error, lost_lease: leased });
        Ok(())
    }

    fn key_of(&self, position: i64) -> Result<Option<String>> {
        let key = "SELECT key FROM typed_events_pending WHERE consumer = ?1 AND position = ?2";
        let key =
            self.connection.prepare_cached(key)?.query_row((self.row.consumer, position), |row| row.get(0));
        Ok(key.optional()?.flatten())
    }

    fn decode(
        &self,
        stored: std::result::Result<Stored, String>,
    ) -> std::result::Result<events_core::Record, AdapterError> {
        stored.map_err(AdapterError::refused).and_then(|stored| stored.record(self.consumer.codec()))
    }

    /// Claims events after the cursor. Returns true if there may be more.
    fn hand_out_new(&mut self, max: usize) -> Result<bool> {
        let trimmed = log::trimmed(self.connection)?;
        if self.row.cursor < trimmed {
            self.claims.lost += (trimmed - self.row.cursor) as u64;
            self.row.cursor = trimmed;
        }
        if self.is_overfull()? {
            return Ok(false);
        }
        let next =
            format!("SELECT {COLUMNS} FROM typed_events_log WHERE position > ?1 ORDER BY position LIMIT ?2");
        let mut next = self.connection.prepare_cached(&next)?;
        let mut rows = next.query((self.row.cursor, SCAN_LIMIT))?;
        let mut taken = 0;
        let begun_at = self.row.cursor;
        while let Some(row) = rows.next()? {
            let position: i64 = row.get(0)?;
            if position != self.row.cursor + 1 {
                return Err(StoreError::Damaged(format!("the record at {} is missing", self.row.cursor + 1)));
            }
            taken += usize::from(self.scan(position, row)?);
            self.row.cursor = position;
            if taken == max {
                return Ok(true);
            }
        }
        Ok(self.row.cursor - begun_at == SCAN_LIMIT)
    }

    /// Whether the consumer has too many pending events to take new ones.
    fn is_overfull(&self) -> Result<bool> {
        let span = "SELECT min(position) FROM typed_events_pending WHERE consumer = ?1";
        let first: Option<i64> =
            self.connection.prepare_cached(span)?.query_row([self.row.consumer], |row| row.get(0))?;
        if first.is_none_or(|first| self.row.cursor - first < MAX_PENDING) {
            return Ok(false);
        }
        // Counting is slow, so it is done only if the positions are far enough apart.
        let count = "SELECT count(*) FROM (SELECT 1 FROM typed_events_pending WHERE consumer = ?1 LIMIT ?2)";
        let mut count = self.connection.prepare_cached(count)?;
        let counted: i64 = count.query_row((self.row.consumer, MAX_PENDING), |row| row.get(0))?;
        Ok(counted == MAX_PENDING)
    }

    /// Claims a new record, skips it, or stores it as waiting or held. Returns true if it was claimed.
    fn scan(&mut self, position: i64, row: &rusqlite::Row<'_>) -> Result<bool> {
        let stored = match Stored::read(row) {
            Ok(stored) => Ok(stored),
            Err(StoreError::Damaged(what)) => Err(what),
            Err(fault) => return Err(fault),
        };
        let interest = match &stored {
            Ok(stored) => self.consumer.interest(&stored.name, stored.version),
            Err(_) => Interest::Take,
        };
        match interest {
            Interest::Skip => Ok(false),
            Interest::Newer => self.insert(position, None, None, true, None).map(|()| false),
            Interest::Take => {
                let record = self.decode(stored);
                let key = match &record {
                    Ok(record) if self.consumer.is_ordered() => self.consumer.key(record),
                    _ => None,
                };
                if let Some(key) = &key
                    && self.is_waiting(key)?
                {
                    return self.insert(position, None, None, false, Some(key)).map(|()| false);
                }
                let until = self.now.saturating_add(micros(self.consumer.lease()));
                let claim = Claim::new(position as u64, 1);
                self.insert(position, Some(claim), Some(until), false, key.as_deref())?;
                self.claims.claimed.push(Claimed { claim, record, last_error: None, lost_lease: false });
                Ok(true)
            }
        }
    }

    fn is_waiting(&self, key: &str) -> Result<bool> {
        let waiting = "SELECT EXISTS (SELECT 1 FROM typed_events_pending WHERE consumer = ?1 AND key = ?2)";
        Ok(self.connection.prepare_cached(waiting)?.query_row((self.row.consumer, key), |row| row.get(0))?)
    }

    fn insert(
        &self,
        position: i64,
        claim: Option<Claim>,
        due: Option<i64>,
        held: bool,
        key: Option<&str>,
    ) -> Result<()> {
        let insert = "INSERT INTO typed_events_pending
            (consumer, position, attempts, due, leased, token, held, key, first)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let (attempts, token) = claim.map_or((0, 0), |claim| (claim.attempt, stored_token(claim.token)));
        let row = (self.row.consumer, position, attempts, due, claim.is_some(), token, held, key, self.now);
        self.connection.prepare_cached(insert)?.execute(row)?;
        Ok(())
    }
}
