//! The log in Redis, which all instances share. A server that loses its data loses the log; then a new one is begun.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::{AdapterError, Consumer, EventId, Receiver, Retention, StartAt, Timestamp};
use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation};
use tokio::time::Instant;

use crate::connection::ServerConnection;
use crate::consume::Unanswered;
use crate::error::Result;
use crate::scripts::{BEGIN, OPEN, RETENTION};

/// The stored format that this program reads and writes.
const FORMAT: u32 = 2;

/// Suffix of the channel on which instances announce changes. No event name ends with it.
pub(crate) const NOTIFY_SUFFIX: &str = ":notify";

pub(crate) struct Log {
    pub(crate) server: ServerConnection,
    prefix: String,
    pub(crate) receiver: Receiver,
    id: Mutex<String>,
    /// Held while the log is begun again.
    beginning: tokio::sync::Mutex<()>,
    /// The consumers that this program has opened.
    consumers: Mutex<Vec<Arc<Consumer>>>,
    /// Name of a consumer -> its last exchange whose answer was lost.
    unanswered: Mutex<HashMap<String, Unanswered>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic, so a poisoned one holds a valid value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log, or begins one. Returns it with its last position.
    pub(crate) async fn open(
        server: ServerConnection,
        prefix: String,
        receiver: Receiver,
    ) -> std::result::Result<(Self, u64), AdapterError> {
        let log = Self {
            server,
            prefix,
            receiver,
            id: Mutex::default(),
            beginning: Default::default(),
            consumers: Mutex::default(),
            unanswered: Mutex::default(),
        };
        let (id, last) = log.begin().await?;
        *lock(&log.id) = id;
        Ok((log, last))
    }

    /// The id of the log. It changes if the server loses its data.
    pub(crate) fn id(&self) -> String {
        lock(&self.id).clone()
    }

    /// The channel on which instances announce changes.
    pub(crate) fn channel(&self) -> String {
        format!("{}{NOTIFY_SUFFIX}", self.prefix)
    }

    /// The engine and its address, for messages.
    pub(crate) fn address(&self) -> String {
        format!("redis at {}", self.server)
    }

    /// Calls a script. `arguments` adds its arguments, and gets whether an earlier try of this call may have run.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        self.call_since(Instant::now(), script, arguments).await
    }

    /// Like [`call`](Self::call), with the retry deadline counted from `since`.
    pub(crate) async fn call_since<T: FromRedisValue>(
        &self,
        since: Instant,
        script: &'static Script,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        let id = self.id();
        let mut called = self.call_on(since, &id, script, &arguments).await;
        if called.as_ref().is_err_and(|fault| fault.is_of_other_log()) {
            self.begin_again(&id).await?;
            called = self.call_on(since, &self.id(), script, &arguments).await;
        }
        called.map_err(|fault| fault.to_bus())
    }

    async fn call_on<T: FromRedisValue>(
        &self,
        since: Instant,
        id: &str,
        script: &'static Script,
        arguments: &(impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync),
    ) -> Result<T> {
        let invoke = |again| {
            let mut call = script.key(&self.prefix);
            call.arg(id);
            arguments(&mut call, again);
            call
        };
        self.server.call(since, invoke).await
    }

    /// Warns if the server may evict the log, or a part of it, to free memory.
    pub(crate) async fn warn_of_eviction(&self) {
        // The user of this connection may not be allowed to run INFO. Then the setting is unknown.
        let Ok(mut connection) = self.server.connection().await else { return };
        let info: RedisResult<String> = redis::cmd("INFO").arg("memory").query_async(&mut connection).await;
        let policy = info.ok().and_then(|info| {
            let mut lines = info.lines();
            lines.find_map(|line| {
                line.strip_prefix("maxmemory_policy:").map(|policy| policy.trim().to_owned())
            })
        });
        if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
            self.receiver.warn(&format!(
                "has `maxmemory-policy {policy}`: when its memory is full, it deletes events and the state of consumers without an error; set `maxmemory-policy noeviction`"
            ));
        }
    }

    /// Notes the retention of this program, and warns if the program that opened the log before has another.
    pub(crate) async fn note_retention(&self, own: Retention) -> std::result::Result<(), AdapterError> {
        let text = own.to_string();
        let arguments = move |call: &mut ScriptInvocation<'static>, _| {
            call.arg(&text);
        };
        let other: String = self.call(&RETENTION, arguments).await?;
        if !other.is_empty() {
            self.receiver.warn_of_retention(&other, own);
        }
        Ok(())
    }

    /// Begins a log unless there is one. Returns its id and last position.
    async fn begin(&self) -> std::result::Result<(String, u64), AdapterError> {
        let new = EventId::new().to_string();
        let invoke = |_| {
            let mut call = BEGIN.key(&self.prefix);
            call.arg(&new).arg(FORMAT);
            call
        };
        let begun = self.server.call(Instant::now(), invoke).await;
        let (id, format, last): (String, u32, u64) = begun.map_err(|fault| fault.to_bus())?;
        if format != FORMAT {
            let prefix = &self.prefix;
            return Err(AdapterError::refused(format_args!(
                "the log {prefix} has format {format}, and this program reads format {FORMAT}: use another prefix, or a version of typed-events that reads it"
            )));
        }
        Ok((id, last))
    }

    /// Begins a new log after the server has lost the opened one or its data were replaced, and opens all consumers in
    /// it.
    async fn begin_again(&self, lost: &str) -> std::result::Result<(), AdapterError> {
        let _beginning = self.beginning.lock().await;
        if self.id() != lost {
            return Ok(());
        }
        let (id, _) = self.begin().await?;
        let consumers = lock(&self.consumers).clone();
        for consumer in consumers {
            // Every record of the new log came after the lost ones, so none may be skipped.
            let opened =
                self.call_on::<i64>(Instant::now(), &id, &OPEN, &open(&consumer, StartAt::Start)).await;
            opened.map_err(|fault| fault.to_bus())?;
        }
        // The id is set last: if this future is dropped before, the next call starts over.
        *lock(&self.id) = id;
        self.receiver.warn(
            "no longer has the log that was opened: events that were not handled are lost, and the history begins anew; does \
             the server store its data? (see `appendonly`)",
        );
        Ok(())
    }

    pub(crate) fn take_unanswered(&self, consumer: &str) -> Option<Unanswered> {
        lock(&self.unanswered).remove(consumer)
    }

    pub(crate) fn note_unanswered(&self, consumer: &str, unanswered: Unanswered) {
        lock(&self.unanswered).insert(consumer.to_owned(), unanswered);
    }

    /// Registers a consumer, or opens it if it exists.
    pub(crate) async fn open_consumer(
        &self,
        consumer: &Arc<Consumer>,
    ) -> std::result::Result<(), AdapterError> {
        self.call::<i64>(&OPEN, open(consumer, consumer.from())).await?;
        lock(&self.consumers).push(Arc::clone(consumer));
        Ok(())
    }
}

fn open(
    consumer: &Consumer,
    from: StartAt,
) -> impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync + use<> {
    let name = consumer.name().to_owned();
    let patterns = consumer.patterns().collect::<Vec<_>>().join(" ");
    let (now, from) = (Timestamp::now().as_micros(), start_argument(from));
    move |call, _| {
        call.arg(&name).arg(&patterns).arg(now).arg(from.0).arg(from.1);
    }
}

/// The two arguments that `before` in `common.lua` takes for a start position.
pub(crate) fn start_argument(start: StartAt) -> (&'static str, i64) {
    match start {
        StartAt::Start => ("start", 0),
        StartAt::Position(position) => ("position", i64::try_from(position).unwrap_or(i64::MAX)),
        StartAt::Time(time) => ("time", time.as_micros()),
        _ => ("now", 0),
    }
}
