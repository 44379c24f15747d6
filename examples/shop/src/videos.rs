//! Videos, whose processing takes long: a durable handler puts a job on a queue, which has workers of its own.

use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use axum::http::StatusCode;
use sqlx::SqlitePool;
use typed_events::{Delivery, EventId, on, payload};
use ulid::Ulid;

use crate::events::{VideoProcessed, VideoUploaded};
use crate::guard::Refused;
use crate::shop::{Outbox, Shop, begin};

#[payload]
pub struct ProcessVideo {
    pub video: String,
    pub title: String,
    pub operations: Vec<String>,
}

pub type Jobs = SqliteStorage<ProcessVideo>;

const ATTEMPTS: usize = 5;
/// The page's field has the same limit.
const MAX_TITLE_CHARS: usize = 80;

/// Uploads a video; returns its id.
pub async fn upload(shop: &Shop, user: &str, title: &str) -> Result<String, Refused> {
    let (video, title) = (EventId::new().to_string(), title.trim().to_owned());
    if title.is_empty() || title.chars().count() > MAX_TITLE_CHARS || title.contains(char::is_control) {
        let why = format!("a title has 1 to {MAX_TITLE_CHARS} characters, on one line");
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    let mut tx = begin(&shop.db).await?;
    sqlx::query("INSERT INTO videos (id, user, title, status) VALUES (?, ?, ?, 'uploaded')")
        .bind(&video)
        .bind(user)
        .bind(&title)
        .execute(&mut *tx)
        .await?;
    shop.outbox.emit_in(&mut tx, VideoUploaded { video: video.clone(), title }).await?;
    tx.commit().await?;
    Ok(video)
}

/// Enqueues one job for an event, however often that is delivered: the job's id is the event's.
#[on(durable = "enqueue")]
pub async fn enqueue(uploaded: &VideoUploaded, delivery: &Delivery, jobs: &Jobs) -> Result<(), BoxDynError> {
    let id = delivery.record().id();
    let VideoUploaded { video, title } = uploaded.clone();
    let operations = ["transcode", "thumbnail", "analyze"].map(String::from).to_vec();
    let job = TaskBuilder::new(ProcessVideo { video, title, operations })
        .task_id(TaskId::from_ulid(Ulid::from_bytes(id.to_bytes())))
        .idempotency_key(id.to_string()) // a second job with this key is dropped, and `push_task` is `Ok`
        .max_attempts(ATTEMPTS)
        .build();
    Ok(jobs.clone().push_task(job).await?)
}

/// Runs a job, again where it fails: after 20 s, 40 s, and so on.
async fn process(
    job: ProcessVideo,
    id: TaskId,
    attempt: Attempt,
    db: Data<SqlitePool>,
    outbox: Data<Outbox>,
) -> Result<(), BoxDynError> {
    if attempt.current() > ATTEMPTS {
        return Err(AbortError::new("it ended its process too often").into());
    }
    // In a task of its own, a panic is an error, and what blocks does not hold up the worker.
    let outcome = tokio::spawn(run(job, db.0.clone(), outbox.0)).await.map_err(BoxDynError::from).flatten();
    if outcome.is_err() {
        // Else it would be repeated at once.
        let later = sqlx::query("UPDATE Jobs SET run_at = unixepoch() + ? WHERE id = ?");
        later.bind(10_i64 << attempt.current()).bind(id.to_string()).execute(&db.0).await?;
    }
    outcome
}

/// The work: it may be done more than once, and what it leads to happens once.
async fn run(job: ProcessVideo, db: SqlitePool, outbox: Outbox) -> Result<(), BoxDynError> {
    for _ in &job.operations {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let ProcessVideo { video, title, .. } = job;
    let mut tx = begin(&db).await?;
    let ready = sqlx::query("UPDATE videos SET status = 'ready' WHERE id = ? AND status = 'uploaded'");
    if ready.bind(&video).execute(&mut *tx).await?.rows_affected() == 1 {
        outbox.emit_in(&mut tx, VideoProcessed { video, title }).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The queue, in the shop's database.
pub async fn queue(db: &SqlitePool) -> Result<Jobs, BoxDynError> {
    SqliteStorage::migrations().run(db).await?; // not `setup`: that sets `synchronous = OFF`
    // A worker takes a job when it can begin it: one that it gives back counts as an attempt.
    Ok(SqliteStorage::new(db).with_config(Config::default().queue("process-video").batch_size(1)))
}

/// Works until `stop` is ready.
pub async fn work<S>(jobs: Jobs, db: SqlitePool, outbox: Outbox, stop: S) -> Result<(), BoxDynError>
where
    S: Future<Output = std::io::Result<()>> + Send,
{
    let worker = move |_| {
        // A database error, such as a lock held for 5 s, ends a worker: another begins a second later.
        let jobs_later = jobs.clone().before_start(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        // A name must not be used again within 30 s.
        WorkerBuilder::new(format!("process-video-{}", EventId::new()))
            .backend(jobs_later.poll_with_interval(Duration::from_millis(500)))
            .data(db.clone())
            .data(outbox.clone())
            .concurrency(2)
            .build(process)
    };
    Ok(Monitor::new().register(worker).should_restart(|_, _| true).run_with_signal(stop).await?)
}
