//! Videos, whose processing takes long: a durable handler puts a job on a queue, which has workers of its own.

use std::time::Duration;

use apalis::layers::retry::HasherRng;
use apalis::layers::retry::backoff::{ExponentialBackoffMaker, MakeBackoff};
use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use sqlx::SqlitePool;
use typed_events::{Delivery, EventId, on, payload};
use ulid::Ulid;

use crate::events::{VideoProcessed, VideoUploaded};
use crate::shop::{Outbox, Refused, Shop, begin};

#[payload]
pub struct ProcessVideo {
    pub video: String,
    pub title: String,
    pub operations: Vec<String>,
}

pub type Jobs = SqliteStorage<ProcessVideo>;

const ATTEMPTS: usize = 5;

/// Uploads a video; returns its id.
pub async fn upload(shop: &Shop, user: &str, title: &str) -> Result<String, Refused> {
    let (video, title) = (EventId::new().to_string(), title.to_owned());
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

/// Does a job: at least once, so it must be safe to repeat.
async fn process(job: ProcessVideo, db: Data<SqlitePool>, outbox: Data<Outbox>) -> Result<(), BoxDynError> {
    for _ in &job.operations {
        tokio::time::sleep(Duration::from_millis(400)).await; // the work
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
    Ok(SqliteStorage::new(db).with_config(Config::default().queue("process-video")))
}

/// Works until `stop` is ready.
pub async fn work<S>(jobs: Jobs, db: SqlitePool, outbox: Outbox, stop: S) -> Result<(), BoxDynError>
where
    S: Future<Output = std::io::Result<()>> + Send,
{
    let (seconds, minutes) = (Duration::from_secs(1), Duration::from_secs(300));
    let backoff = ExponentialBackoffMaker::new(seconds, minutes, 0.5, HasherRng::default())?.make_backoff();
    let worker = move |_| {
        // A name must not be used again within 30 s.
        WorkerBuilder::new(format!("process-video-{}", EventId::new()))
            .backend(jobs.clone().poll_with_interval(Duration::from_millis(500)))
            .data(db.clone())
            .data(outbox.clone())
            .retry(RetryPolicy::retries(ATTEMPTS - 1).with_backoff(backoff.clone()))
            .concurrency(2)
            .parallelize(tokio::spawn)
            .build(process)
    };
    Ok(Monitor::new().register(worker).should_restart(|_, _| true).run_with_signal(stop).await?)
}
