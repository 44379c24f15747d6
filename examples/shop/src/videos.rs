//! Videos, whose processing takes long. A durable handler enqueues a job, and a worker of the queue processes it.

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
/// The same as the `maxlength` of the page's field.
const MAX_TITLE_CHARS: usize = 80;

/// Uploads a video and returns its id.
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

/// Enqueues one job per event, even if the event is delivered again: the id of the job is that of the event.
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

/// Runs a job. A failed job runs again after 20 s, then 40 s, and so on.
async fn process(
    job: ProcessVideo,
    id: TaskId,
    attempt: Attempt,
    db: Data<SqlitePool>,
    outbox: Data<Outbox>,
) -> Result<(), BoxDynError> {
    if attempt.current() > ATTEMPTS {
        return Err(AbortError::new("the process ended during too many attempts").into());
    }
    // In a separate task, a panic becomes an error, and blocking code does not delay the worker.
    let outcome = tokio::spawn(run(job, db.0.clone(), outbox.0)).await.map_err(BoxDynError::from).flatten();
    if outcome.is_err() {
        // Without this, the queue would run it again at once.
        let later = sqlx::query("UPDATE Jobs SET run_at = unixepoch() + ? WHERE id = ?");
        later.bind(10_i64 << attempt.current()).bind(id.to_string()).execute(&db.0).await?;
    }
    outcome
}

/// Processes a video. It may run more than once for a job, but changes the status and emits the event only once.
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

/// Creates the queue, which is stored in the shop's database.
pub async fn queue(db: &SqlitePool) -> Result<Jobs, BoxDynError> {
    SqliteStorage::migrations().run(db).await?; // not `setup`: that sets `synchronous = OFF`
    // A worker takes one job at a time, when it can start it. A job that it took and gave back would count as an
    // attempt.
    Ok(SqliteStorage::new(db).with_config(Config::default().queue("process-video").batch_size(1)))
}

/// Runs jobs until `stop` is ready.
pub async fn work<S>(jobs: Jobs, db: SqlitePool, outbox: Outbox, stop: S) -> Result<(), BoxDynError>
where
    S: Future<Output = std::io::Result<()>> + Send,
{
    let worker = move |_| {
        // A database error, such as a lock held for 5 s, ends a worker. The next worker starts a second later.
        let jobs_later = jobs.clone().before_start(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        // The queue does not accept the same worker name again within 30 s.
        WorkerBuilder::new(format!("process-video-{}", EventId::new()))
            .backend(jobs_later.poll_with_interval(Duration::from_millis(500)))
            .data(db.clone())
            .data(outbox.clone())
            .concurrency(2)
            .build(process)
    };
    Ok(Monitor::new().register(worker).should_restart(|_, _| true).run_with_signal(stop).await?)
}
