//! Appends what is emitted: what waits at the same time goes in one call.

use std::sync::Arc;

use events_core::{AdapterError, Draft, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::log::Log;
use crate::scripts::APPEND;

/// The most calls that wait; beyond it, whoever brings more waits.
const MOST_WAITING: usize = 1024;
/// The most that go at once.
const MOST_AT_ONCE: usize = 256;

/// Which of the records were there before.
type Appended = Result<Vec<usize>, AdapterError>;

struct Job {
    drafts: Vec<Draft>,
    done: oneshot::Sender<Appended>,
}

/// Where records are brought to be appended.
#[derive(Clone, Debug)]
pub(crate) struct Publisher(mpsc::Sender<Job>);

impl Publisher {
    pub(crate) fn start(log: Arc<Log>) -> Self {
        let (jobs, queue) = mpsc::channel(MOST_WAITING);
        tokio::spawn(work(log, queue));
        Self(jobs)
    }

    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> Appended {
        let gone = || AdapterError::unknown("the runtime that the bus was built on has shut down");
        let (done, appended) = oneshot::channel();
        self.0.send(Job { drafts, done }).await.map_err(|_| gone())?;
        appended.await.map_err(|_| gone())?
    }
}

/// A record as it is appended.
type Row = (String, String, u32, i64, String);

/// Ends when nobody can bring anything more.
async fn work(log: Arc<Log>, mut queue: mpsc::Receiver<Job>) {
    let (mut jobs, mut calls, mut newest) = (Vec::new(), 0_u64, Timestamp::from_micros(0));
    let origin = log.inbox.instance().to_string();
    while queue.recv_many(&mut jobs, MOST_AT_ONCE).await > 0 {
        calls += 1;
        let token = format!("{}.{calls}", origin.get(..8).unwrap_or(&origin));
        // The clock of another instance may have been ahead.
        let rows: Vec<_> = jobs.iter().flat_map(|job| &job.drafts).map(|draft| row(draft, newest)).collect();
        let appended = append(&log, &token, &origin, &rows).await;
        let mut begin = 0;
        for Job { drafts, done } in jobs.drain(..) {
            let own = begin..begin + drafts.len();
            begin = own.end;
            let of_job = |(time, duplicates): &(i64, Vec<usize>)| {
                newest = Timestamp::from_micros(*time);
                duplicates.iter().filter(|index| own.contains(index)).map(|index| index - own.start).collect()
            };
            // Whoever asked may have gone.
            let _ = done.send(appended.as_ref().map(of_job).map_err(Clone::clone));
        }
    }
}

fn row(draft: &Draft, after: Timestamp) -> Row {
    let record = draft.record();
    let time = record.stamp_after(after).as_micros();
    (record.id().to_string(), record.name().to_owned(), record.version(), time, draft.complete())
}

async fn append(
    log: &Log,
    token: &str,
    origin: &str,
    rows: &[Row],
) -> Result<(i64, Vec<usize>), AdapterError> {
    log.call(&APPEND, |call, _| {
        call.arg(token).arg(origin);
        for (id, name, version, time, text) in rows {
            call.arg(id).arg(name).arg(version).arg(time).arg(text);
        }
    })
    .await
}
