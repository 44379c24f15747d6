//! Appends emitted records. Records that wait at the same time are appended in one call.

use std::sync::Arc;
use std::time::Duration;

use events_core::{AdapterError, Draft, Timestamp};
use redis::ScriptInvocation;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::log::Log;
use crate::scripts::APPEND;
use crate::tail::Changed;

/// The most appends that may be queued. Beyond it, `append` waits for room.
const MAX_WAITING: usize = 1024;
/// A call to Redis takes no further append once it has this many records. The server runs nothing else meanwhile.
const MAX_BATCH: usize = 1000;
/// The shortest time between notifications of other instances. The first one after a pause is immediate. An append that
/// comes sooner is announced when this time has passed.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(2);
/// The most records of one append, which is never divided.
const MAX_APPEND: usize = 20_000;

/// A record whose id the log had already.
#[derive(Clone, Debug)]
pub(crate) struct Duplicate {
    pub(crate) index: usize,
    /// The text of the stored record; `None` if it was trimmed.
    pub(crate) stored: Option<String>,
}

/// The answer of `append.lua`.
type Answer = (Vec<(usize, i64)>, Vec<usize>, Vec<String>, u64);

/// The times of the records of a call, and those that were in the log already.
type NewRecords = (Vec<i64>, Vec<Duplicate>);

type Appended = Result<Vec<Duplicate>, AdapterError>;

struct Job {
    drafts: Vec<Draft>,
    since: Instant,
    done: oneshot::Sender<Appended>,
}

/// A handle to the task that appends records.
#[derive(Clone, Debug)]
pub(crate) struct Publisher(mpsc::Sender<Job>);

impl Publisher {
    pub(crate) fn start(log: Arc<Log>, changed: Arc<Changed>) -> Self {
        let (jobs, queue) = mpsc::channel(MAX_WAITING);
        let origin = log.receiver.instance().to_string();
        let appender = Appender { log, changed, origin, calls: 0, announced: None, is_unannounced: false };
        tokio::spawn(appender.run(queue));
        Self(jobs)
    }

    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> Appended {
        let count = drafts.len();
        if count > MAX_APPEND {
            return Err(AdapterError::refused(format_args!(
                "{count} events are too many for one call: emit at most {MAX_APPEND} at once"
            )));
        }
        let gone = || AdapterError::unknown("the runtime that the bus was built on has shut down");
        let (done, appended) = oneshot::channel();
        self.0.send(Job { drafts, since: Instant::now(), done }).await.map_err(|_| gone())?;
        appended.await.map_err(|_| gone())?
    }
}

/// A record to append, without its final time. The script decides on the time: it must not be before that of the
/// previous record, and the clocks of other instances may differ.
struct Row {
    /// Id, version, origin and name.
    head: String,
    /// Whether the script looks the id up, and enters it in its index.
    may_be_known: bool,
    /// Time by this instance's clock.
    time: Timestamp,
    /// Where the text has the time. Below zero if the time is fixed, because the caller has read it.
    offset: i64,
    text: String,
}

impl Row {
    fn new(draft: &Draft, origin: &str) -> Self {
        let (record, now) = (draft.record(), Timestamp::now());
        let (had_id, known) = (record.has_id(), record.known_timestamp());
        let id = record.id_at(now);
        let (before_time, behind_time) = draft.around_time(id);
        let time = known.unwrap_or(now);
        let offset = i64::try_from(before_time.len()).unwrap_or(i64::MAX);
        Self {
            head: format!("{id} {} {origin} {}", record.version(), record.name()),
            // The log may have an id that was given. An id that is made now for a record with another time needs an entry
            // in the index, because a search by the id's time would not find the record.
            may_be_known: had_id || known.is_some(),
            time,
            offset: if known.is_some() { -offset } else { offset },
            text: [before_time, time.to_string(), behind_time].concat(),
        }
    }

    fn id(&self) -> String {
        self.head.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// The task that appends records.
struct Appender {
    log: Arc<Log>,
    changed: Arc<Changed>,
    /// The instance, as text.
    origin: String,
    /// Number of calls so far.
    calls: u64,
    /// When other instances were last notified.
    announced: Option<Instant>,
    /// Whether records were appended since then.
    is_unannounced: bool,
}

impl Appender {
    /// Appends queued records until all [`Publisher`]s are dropped.
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while let Some(first) = self.next(&mut queue).await {
            let (since, mut count) = (first.since, first.drafts.len());
            jobs.push(first);
            while count < MAX_BATCH
                && let Ok(next) = queue.try_recv()
            {
                count += next.drafts.len();
                jobs.push(next);
            }
            let drafts = jobs.iter().flat_map(|job| &job.drafts);
            let rows: Vec<_> = drafts.map(|draft| Row::new(draft, &self.origin)).collect();
            let appended = self.append(since, &rows).await;
            answer(jobs.drain(..), &appended);
        }
    }

    /// Returns the next append, or `None` at the end. Meanwhile notifies the other instances if that is due.
    async fn next(&mut self, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        while self.is_unannounced {
            let due = self.announced.map_or_else(Instant::now, |last| last + ANNOUNCE_INTERVAL);
            let announce = async {
                sleep_until(due).await;
                self.announce().await;
            };
            tokio::select! {
                biased;
                job = queue.recv() => {
                    if job.is_none() {
                        self.announce().await;
                    }
                    return job;
                }
                () = announce => (self.announced, self.is_unannounced) = (Some(Instant::now()), false),
            }
        }
        queue.recv().await
    }

    /// Notifies the other instances. If that fails, they find the records when they poll.
    async fn announce(&self) {
        let mut commands = redis::pipe();
        commands.cmd("PUBLISH").arg(self.log.channel()).arg(&self.origin).ignore();
        let _: Result<(), _> = self.log.server.send(&commands).await;
    }

    /// Appends records, and notifies this instance of it; the others too, unless they were just notified.
    async fn append(&mut self, since: Instant, rows: &[Row]) -> Result<NewRecords, AdapterError> {
        self.calls += 1;
        let (now, last) = (Instant::now(), self.announced);
        let announces = last.is_none_or(|last| now.duration_since(last) >= ANNOUNCE_INTERVAL);
        let call = Call { origin: &self.origin, number: self.calls, announces, rows };
        let appended = append(&self.log, since, &call).await;
        if announces && appended.is_ok() {
            (self.announced, self.is_unannounced) = (Some(now), false);
        } else {
            self.is_unannounced = true;
        }
        self.changed.appended();
        appended
    }
}

/// Passes the result of a call to those whose records it had.
fn answer(jobs: impl Iterator<Item = Job>, appended: &Result<NewRecords, AdapterError>) {
    let mut begin = 0;
    for Job { drafts, done, .. } in jobs {
        let own = begin..begin + drafts.len();
        begin = own.end;
        let of_job = |(times, duplicates): &NewRecords| {
            for (draft, time) in drafts.iter().zip(times.get(own.clone()).unwrap_or_default()) {
                draft.record().stamp_at(Timestamp::from_micros(*time));
            }
            let own_duplicates = duplicates.iter().filter(|duplicate| own.contains(&duplicate.index));
            let of_call = |duplicate: &Duplicate| Duplicate {
                index: duplicate.index - own.start,
                stored: duplicate.stored.clone(),
            };
            own_duplicates.map(of_call).collect()
        };
        // The caller may have dropped its future.
        let _ = done.send(appended.as_ref().map(of_job).map_err(Clone::clone));
    }
}

/// A call of `append.lua`.
struct Call<'a> {
    origin: &'a str,
    number: u64,
    /// Whether the script notifies other instances.
    announces: bool,
    rows: &'a [Row],
}

/// Appends records. Returns their times, and those that were in the log already.
async fn append(log: &Log, since: Instant, call: &Call<'_>) -> Result<NewRecords, AdapterError> {
    let Call { origin, number, announces, rows } = *call;
    let may_be_known = rows.iter().enumerate().filter(|(_, row)| row.may_be_known);
    let may_be_known: Vec<_> = may_be_known.map(|(index, _)| index.to_string()).collect();
    let may_be_known = may_be_known.join(" ");
    let arguments = |call: &mut ScriptInvocation<'static>, _| {
        call.arg(origin).arg(format!("{number:016}")).arg(&may_be_known).arg(i32::from(announces));
        for Row { head, time, offset, text, .. } in rows {
            call.arg(head).arg(time.as_micros()).arg(*offset).arg(text);
        }
    };
    let log_id = log.id();
    let answer = log.call_since(since, &APPEND, log.append_keys(), arguments).await;
    let (other, indexes, stored, before): Answer = answer?;
    // If the log was begun again meanwhile, the positions may be those of either log.
    if log.id() == log_id {
        let is_new = |(index, _): &(usize, &Row)| indexes.binary_search(index).is_err();
        let ids: Vec<_> = rows.iter().enumerate().filter(is_new).map(|(_, row)| row.id()).collect();
        log.own_appends.note(&log_id, before, ids.into_iter());
    }
    let mut times: Vec<_> = rows.iter().map(|row| row.time.as_micros()).collect();
    for (index, micros) in other {
        if let Some(time) = times.get_mut(index) {
            *time = micros;
        }
    }
    let duplicate = |(index, stored): (usize, String)| Duplicate {
        index,
        stored: (!stored.is_empty()).then_some(stored),
    };
    Ok((times, indexes.into_iter().zip(stored).map(duplicate).collect()))
}
