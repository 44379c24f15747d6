//! The implementation of `DurableAdapter`, and the calls of operators.

use std::sync::Arc;

use events_core::{
    AdapterError, BoxFuture, Claim, Claims, Consumer, ConsumerStatus, Control, DeadLetter, DeadLetters,
    DurableAdapter, EventId, Finished, Pattern, Timestamp,
};

use crate::Redis;
use crate::consume;
use crate::log::{Log, start_argument};
use crate::scripts::{AHEAD, CLOSE, CONTROL, LETTERS, NAMES, STATUS, UNFINISHED};

/// The most dead letters that one call replays or purges: the server runs nothing else meanwhile.
const BATCH: u64 = 500;

impl DurableAdapter for Redis {
    fn open<'a>(&'a self, consumer: &'a Arc<Consumer>) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            let engine = self.engine()?;
            engine.log.open_consumer(consumer).await?;
            engine.warn_if_forgetful().await;
            Ok(())
        })
    }

    fn exchange<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        finished: &'a [Finished],
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, AdapterError>> {
        Box::pin(async move {
            let engine = self.engine()?;
            // The counter is read before the exchange, so a change during the exchange wakes the consumer again.
            let seen = *engine.changed.borrow();
            let claims = consume::exchange(&engine.log, consumer, finished, max, now).await?;
            Ok(Claims { seen, ..claims })
        })
    }

    fn renew<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        held: &'a [Claim],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move { consume::renew(&self.engine()?.log, consumer, held, now).await })
    }

    fn close<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            let closed = self.engine()?.log.call::<i64>(&CLOSE, |call, _| {
                call.arg(consumer.name()).arg(now.as_micros());
            });
            closed.await.map(drop)
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

    fn consumers(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(async move {
            let log = &self.engine()?.log;
            let mut names: Vec<String> = log.call(&NAMES, |_, _| {}).await?;
            names.sort_unstable();
            let mut listed = Vec::new();
            for name in names {
                listed.extend(status(log, name, now).await?);
            }
            Ok(listed)
        })
    }

    fn count_ahead<'a>(
        &'a self,
        consumer: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        Box::pin(async move {
            let counted: Option<(String, Vec<(String, u64)>)> = self
                .engine()?
                .log
                .call(&AHEAD, |call, _| {
                    call.arg(consumer).arg(max);
                })
                .await?;
            let Some((patterns, counts)) = counted else { return Ok(None) };
            let taken = counts.iter().filter(|(name, _)| take(&patterns, name));
            Ok(Some(taken.map(|(_, count)| count).sum()))
        })
    }

    fn control<'a>(
        &'a self,
        consumer: &'a str,
        what: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        Box::pin(async move { control(&self.engine()?.log, consumer, what, now).await })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(async move { dead_letters(&self.engine()?.log, consumer, limit).await })
    }

    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move { unfinished(&self.engine()?.log, event).await })
    }
}

/// Whether a name matches one of the space-separated patterns of a consumer.
fn take(patterns: &str, name: &str) -> bool {
    patterns.split(' ').any(|text| Pattern::new(text).is_ok_and(|pattern| pattern.matches(name)))
}

/// The answer of `status.lua`: `(patterns, position, lag, in progress, held, waiting, dead, paused, seen)`.
type Row = (String, u64, u64, u64, u64, u64, u64, bool, i64);

async fn status(log: &Log, name: String, now: Timestamp) -> Result<Option<ConsumerStatus>, AdapterError> {
    let row: Option<Row> = log
        .call(&STATUS, |call, _| {
            call.arg(&name).arg(now.as_micros());
        })
        .await?;
    // The consumer may have been removed since it was listed.
    let Some((patterns, position, lag, in_progress, newer, waiting, dead, paused, seen)) = row else {
        return Ok(None);
    };
    let mut status = ConsumerStatus::new(name);
    status.patterns = patterns.split(' ').map(str::to_owned).collect();
    (status.position, status.lag, status.in_progress) = (position, lag, in_progress);
    (status.newer, status.waiting, status.dead, status.paused) = (newer, waiting, dead, paused);
    status.seen_at(Timestamp::from_micros(seen.saturating_abs()), now);
    status.is_running &= seen > 0;
    Ok(Some(status))
}

async fn control(
    log: &Log,
    consumer: &str,
    control: Control,
    now: Timestamp,
) -> Result<Option<u64>, AdapterError> {
    let one = |which| match which {
        DeadLetters::All => String::new(),
        DeadLetters::Of(event) => event.to_string(),
    };
    let (what, value, at) = match control {
        Control::Pause => ("pause", String::new(), 0),
        Control::Resume => ("resume", String::new(), 0),
        Control::Seek(start) => ("seek", start_argument(start).0.to_owned(), start_argument(start).1),
        Control::Remove => ("remove", String::new(), 0),
        Control::Replay(which) => ("replay", one(which), 0),
        Control::Purge(which) => ("purge", one(which), 0),
        _ => return Err(AdapterError::refused(format_args!("redis does not support {control:?}"))),
    };
    let mut total = 0;
    loop {
        let done: Option<u64> = log
            .call(&CONTROL, |call, _| {
                call.arg(consumer).arg(now.as_micros()).arg(what).arg(&value).arg(BATCH).arg(at);
            })
            .await?;
        let Some(done) = done else { return Ok(None) };
        total += done;
        // A full batch: there may be more dead letters.
        if done < BATCH {
            return Ok(Some(total));
        }
    }
}

/// A dead letter of `letters.lua`: `(position, id, name, text, error, attempts, first, last)`.
type Letter = (u64, String, String, Vec<u8>, String, u32, i64, i64);

async fn dead_letters(log: &Log, consumer: &str, limit: usize) -> Result<Vec<DeadLetter>, AdapterError> {
    let max = i64::try_from(limit).unwrap_or(i64::MAX).min(1 << 50);
    if max == 0 {
        return Ok(Vec::new());
    }
    let letters: Vec<Letter> = log
        .call(&LETTERS, |call, _| {
            call.arg(consumer).arg(max);
        })
        .await?;
    let read = |(position, id, name, stored, error, attempts, first, last): Letter| {
        let id = id.parse().unwrap_or_else(|_| EventId::from_bytes([0; 16]));
        let mut dead = DeadLetter::new(id, name, position, stored);
        (dead.error, dead.attempts) = (error, attempts);
        (dead.first, dead.last) = (Timestamp::from_micros(first), Timestamp::from_micros(last));
        dead
    };
    Ok(letters.into_iter().map(read).collect())
}

/// A consumer of `unfinished.lua`: `(name, patterns, cursor is before the event, event is pending)`.
type Progress = (String, String, bool, bool);

async fn unfinished(log: &Log, event: EventId) -> Result<Option<Vec<String>>, AdapterError> {
    let found: Option<(String, Vec<Progress>)> = log
        .call(&UNFINISHED, |call, _| {
            call.arg(event.to_string());
        })
        .await?;
    let Some((event, consumers)) = found else { return Ok(None) };
    let left = consumers
        .into_iter()
        .filter(|(_, patterns, ahead, pending)| *pending || (*ahead && take(patterns, &event)));
    Ok(Some(left.map(|(name, ..)| name).collect()))
}
