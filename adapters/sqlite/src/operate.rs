//! The implementation of `DurableAdapter`, and the calls of operators.

use std::sync::Arc;

use events_core::{
    AdapterError, BoxFuture, Claim, Claims, Consumer, ConsumerStatus, Control, DeadLetter, DeadLetters,
    DurableAdapter, EventId, Finished, Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use crate::Sqlite;
use crate::consume::{self, Row, before};
use crate::error::Result;
use crate::executor::{Durability, Tx};
use crate::log::{self, COLUMNS, Stored, bytes_of};

impl DurableAdapter for Sqlite {
    fn open<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
    ) -> BoxFuture<'a, std::result::Result<(), AdapterError>> {
        let (consumer, now) = (Arc::clone(consumer), Timestamp::now().as_micros());
        Box::pin(async move {
            let open = move |tx: &Tx<'_>| consume::open(tx, &consumer, now);
            self.engine()?.writer.run(Durability::Immediate, open).await
        })
    }

    fn exchange<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        finished: &'a [Finished],
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, std::result::Result<Claims, AdapterError>> {
        let (consumer, finished) = (Arc::clone(consumer), finished.to_vec());
        Box::pin(async move {
            let engine = self.engine()?;
            // The counter is read before the exchange, so a change during the exchange wakes the consumer again.
            let seen = *engine.changed.borrow();
            let exchange = move |tx: &Tx<'_>| consume::exchange(tx, &consumer, &finished, max, now);
            let mut claims = engine.writer.run(Durability::Deferred, exchange).await?;
            for claimed in &mut claims.claimed {
                if let Err(error) = &mut claimed.record {
                    *error = AdapterError::refused(format_args!("{}: {error}", self.path().display()));
                }
            }
            Ok(Claims { seen, ..claims })
        })
    }

    fn renew<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        held: &'a [Claim],
        now: Timestamp,
    ) -> BoxFuture<'a, std::result::Result<(), AdapterError>> {
        let (consumer, held, now) = (Arc::clone(consumer), held.to_vec(), now.as_micros());
        Box::pin(async move {
            let renew = move |tx: &Tx<'_>| consume::renew(tx, &consumer, &held, now);
            self.engine()?.writer.run(Durability::Deferred, renew).await
        })
    }

    fn close<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        now: Timestamp,
    ) -> BoxFuture<'a, std::result::Result<(), AdapterError>> {
        let (consumer, now) = (Arc::clone(consumer), now.as_micros());
        Box::pin(async move {
            let close = move |tx: &Tx<'_>| consume::close(tx, consumer.name(), now);
            let engine = self.engine()?;
            engine.writer.run(Durability::Deferred, close).await?;
            // Wakes other programs that have the consumer open: their next exchange sets `seen` again.
            engine.notify();
            Ok(())
        })
    }

    fn wait(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(engine) = self.engine() else { return std::future::pending().await };
            let mut changed = engine.changed.subscribe();
            if changed.wait_for(|count| *count > seen).await.is_err() {
                // The engine was dropped: nothing changes any more.
                std::future::pending().await
            }
        })
    }

    fn consumers(
        &self,
        now: Timestamp,
    ) -> BoxFuture<'_, std::result::Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(async move {
            let list = move |tx: &Tx<'_>| status(tx, now.as_micros());
            self.engine()?.reader.run(Durability::ReadOnly, list).await
        })
    }

    fn count_ahead<'a>(
        &'a self,
        consumer: &'a str,
        max: u64,
    ) -> BoxFuture<'a, std::result::Result<Option<u64>, AdapterError>> {
        let consumer = consumer.to_owned();
        Box::pin(async move {
            let count = move |tx: &Tx<'_>| count_ahead(tx, &consumer, max);
            self.engine()?.reader.run(Durability::ReadOnly, count).await
        })
    }

    fn control<'a>(
        &'a self,
        consumer: &'a str,
        what: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, std::result::Result<Option<u64>, AdapterError>> {
        let (consumer, now) = (consumer.to_owned(), now.as_micros());
        Box::pin(async move {
            let engine = self.engine()?;
            let control = move |tx: &Tx<'_>| control(tx, &consumer, what, now);
            let done = engine.writer.run(Durability::Immediate, control).await?;
            engine.notify();
            Ok(done)
        })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, std::result::Result<Vec<DeadLetter>, AdapterError>> {
        let consumer = consumer.to_owned();
        Box::pin(async move {
            let read = move |tx: &Tx<'_>| dead_letters(tx, &consumer, limit);
            self.engine()?.reader.run(Durability::ReadOnly, read).await
        })
    }

    fn unfinished(
        &self,
        event: EventId,
    ) -> BoxFuture<'_, std::result::Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move {
            let read = move |tx: &Tx<'_>| unfinished(tx, event);
            self.engine()?.reader.run(Durability::ReadOnly, read).await
        })
    }
}

fn status(connection: &Connection, now: i64) -> Result<Vec<ConsumerStatus>> {
    let last = log::last(connection)?;
    let mut counts = connection.prepare_cached(
        "SELECT count(*), min(position), coalesce(sum(leased = 1 AND due > ?2), 0), coalesce(sum(held), 0)
         FROM typed_events_pending WHERE consumer = ?1",
    )?;
    let mut dead = connection.prepare_cached("SELECT count(*) FROM typed_events_dead WHERE consumer = ?1")?;
    let mut listed = Vec::new();
    for row in Row::all(connection)? {
        let (pending, first, leased, held): (i64, Option<i64>, i64, i64) = counts
            .query_row((row.consumer, now), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut status = ConsumerStatus::new(row.name);
        status.patterns = row.patterns.split(' ').map(str::to_owned).collect();
        status.position = first.map_or(row.cursor, |first| first - 1) as u64;
        status.lag = (last - row.cursor + pending) as u64;
        status.in_progress = leased as u64;
        status.newer = held as u64;
        status.waiting = (pending - leased - held) as u64;
        status.dead = dead.query_row([row.consumer], |row| row.get::<_, i64>(0))? as u64;
        status.paused = row.paused;
        status.seen_at(Timestamp::from_micros(row.seen.saturating_abs()), Timestamp::from_micros(now));
        status.is_running &= row.seen > 0;
        listed.push(status);
    }
    Ok(listed)
}

fn count_ahead(connection: &Connection, name: &str, max: u64) -> Result<Option<u64>> {
    let Some(row) = Row::find(connection, name)? else { return Ok(None) };
    if (log::last(connection)? - row.cursor).unsigned_abs() > max {
        return Ok(None);
    }
    let count = "SELECT name, count(*) FROM typed_events_log WHERE position > ?1 GROUP BY name";
    let mut count = connection.prepare_cached(count)?;
    let mut rows = count.query([row.cursor])?;
    let mut taken = 0;
    while let Some(counted) = rows.next()? {
        if row.takes(&counted.get::<_, String>(0)?) {
            taken += counted.get::<_, i64>(1)?.unsigned_abs();
        }
    }
    Ok(Some(taken))
}

fn control(connection: &Connection, name: &str, control: Control, now: i64) -> Result<Option<u64>> {
    let Some(mut row) = Row::find(connection, name)? else { return Ok(None) };
    let consumer = row.consumer;
    let delete =
        |table: &str| connection.execute(&format!("DELETE FROM {table} WHERE consumer = ?1"), [consumer]);
    let concerned = match control {
        Control::Pause | Control::Resume => {
            row.paused = control == Control::Pause;
            row.save(connection)?;
            1
        }
        Control::Seek(place) => {
            row.cursor = before(connection, place)?;
            row.save(connection)?;
            delete("typed_events_pending")?;
            forget_notes(connection, &row.name, row.cursor)?;
            1
        }
        Control::Remove => {
            delete("typed_events_pending")?;
            delete("typed_events_dead")?;
            connection.execute("DELETE FROM typed_events_handled WHERE consumer = ?1", [name])?;
            delete("typed_events_consumers")?
        }
        Control::Replay(which) => replay(connection, consumer, which, now)?,
        Control::Purge(which) => purge(connection, consumer, which)?,
        _ => return Err(AdapterError::refused(format_args!("sqlite does not support {control:?}")).into()),
    };
    Ok(Some(concerned as u64))
}

/// Deletes the marks of `first_time` for the events after the cursor, which the consumer gets again.
fn forget_notes(connection: &Connection, consumer: &str, cursor: i64) -> Result<()> {
    let forget = "DELETE FROM typed_events_handled
        WHERE consumer = ?1 AND id IN (SELECT id FROM typed_events_log WHERE position > ?2)";
    connection.execute(forget, (consumer, cursor))?;
    Ok(())
}

/// Makes dead letters pending again. Those that were trimmed from the log are inserted into it.
fn replay(connection: &Connection, consumer: i64, which: DeadLetters, now: i64) -> Result<usize> {
    let id = id_of(which);
    connection.execute(
        "INSERT INTO typed_events_log (position, id, name, version, time, origin, outbox, crc, text)
         SELECT position, id, name, version, time, origin, outbox, crc, text FROM typed_events_dead
         WHERE consumer = ?1 AND (?2 IS NULL OR id = ?2) ON CONFLICT DO NOTHING",
        (consumer, id),
    )?;
    connection.execute(
        "INSERT INTO typed_events_pending (consumer, position, attempts, due, leased, token, held, first)
         SELECT consumer, position, 0, ?3, 0, 0, 0, ?3 FROM typed_events_dead
         WHERE consumer = ?1 AND (?2 IS NULL OR id = ?2) ON CONFLICT DO NOTHING",
        (consumer, id, now),
    )?;
    purge(connection, consumer, which)
}

fn purge(connection: &Connection, consumer: i64, which: DeadLetters) -> Result<usize> {
    let purge = "DELETE FROM typed_events_dead WHERE consumer = ?1 AND (?2 IS NULL OR id = ?2)";
    Ok(connection.execute(purge, (consumer, id_of(which)))?)
}

fn id_of(which: DeadLetters) -> Option<[u8; 16]> {
    match which {
        DeadLetters::All => None,
        DeadLetters::Of(event) => Some(event.to_bytes()),
    }
}

fn dead_letters(connection: &Connection, consumer: &str, limit: usize) -> Result<Vec<DeadLetter>> {
    let columns = COLUMNS.replace(", ", ", dead.");
    let query = format!(
        "SELECT dead.{columns}, dead.error, dead.attempts, dead.first, dead.last
         FROM typed_events_dead AS dead JOIN typed_events_consumers AS consumers USING (consumer)
         WHERE consumers.name = ?1 ORDER BY dead.position LIMIT ?2"
    );
    let mut query = connection.prepare_cached(&query)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map((consumer, limit), |row| {
        let (position, id, name): (i64, [u8; 16], String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let stored = bytes_of(row, 8)?;
        let mut dead = DeadLetter::new(EventId::from_bytes(id), name, position as u64, stored);
        (dead.error, dead.attempts) = (row.get(9)?, row.get(10)?);
        dead.first = Timestamp::from_micros(row.get(11)?);
        dead.last = Timestamp::from_micros(row.get(12)?);
        // If the record was damaged already when it was claimed, the error says so.
        if Stored::read(row).is_err() && !dead.error.contains("damaged") {
            dead.error =
                format!("the stored record is damaged by now; the last attempt failed with: {}", dead.error);
        }
        Ok(dead)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn unfinished(connection: &Connection, event: EventId) -> Result<Option<Vec<String>>> {
    let find = "SELECT position, name FROM typed_events_log WHERE id = ?1";
    let found = connection
        .prepare_cached(find)?
        .query_row([event.to_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some((position, name)) = found.optional()? else { return Ok(None) };
    let pending = "SELECT EXISTS (SELECT 1 FROM typed_events_pending WHERE consumer = ?1 AND position = ?2)";
    let mut pending = connection.prepare_cached(pending)?;
    let mut left = Vec::new();
    for row in Row::all(connection)? {
        let ahead = row.cursor < position && row.takes(&name);
        if ahead || pending.query_row((row.consumer, position), |row| row.get::<_, bool>(0))? {
            left.push(row.name);
        }
    }
    Ok(Some(left))
}
