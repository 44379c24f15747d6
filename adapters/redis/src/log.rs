//! The log in Redis: one place for all instances, that may be gone when the server lost its memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::{AdapterError, Consumer, EventId, Receiver, StartAt, Timestamp};
use redis::{FromRedisValue, Script, ScriptInvocation};
use tokio::time::Instant;

use crate::connection::ServerConnection;
use crate::consume::Unanswered;
use crate::error::Result;
use crate::scripts::{BEGIN, OPEN};

/// The format this program reads and writes.
const FORMAT: u32 = 1;

/// How the names of the channels end on which it is said that there is something new; no event's name does.
pub(crate) const NOTIFY_SUFFIX: &str = ":notify";

pub(crate) struct Log {
    pub(crate) server: ServerConnection,
    prefix: String,
    pub(crate) receiver: Receiver,
    id: Mutex<String>,
    /// Held by whoever begins the log again.
    beginning: tokio::sync::Mutex<()>,
    /// Those this program has opened.
    consumers: Mutex<Vec<Arc<Consumer>>>,
    /// By consumer.
    unanswered: Mutex<HashMap<String, Unanswered>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log, or begins one; says where it ends.
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

    /// Which log it is: it changes when the server loses its memory.
    pub(crate) fn id(&self) -> String {
        lock(&self.id).clone()
    }

    /// The channel on which it is said that there is something new.
    pub(crate) fn channel(&self) -> String {
        format!("{}{NOTIFY_SUFFIX}", self.prefix)
    }

    /// Where it is, for messages.
    pub(crate) fn address(&self) -> String {
        format!("redis at {}", self.server)
    }

    /// Calls a script with these arguments; those may depend on whether it may have been done before.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        self.call_since(Instant::now(), script, arguments).await
    }

    /// The same of what has been waiting since then.
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

    /// Begins a log, unless there is one: its id, and where it ends.
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
                "the log {prefix} has format {format}, and this program knows {FORMAT}"
            )));
        }
        Ok((id, last))
    }

    /// The server has lost the log, or was given another: what is left is to go on with that.
    async fn begin_again(&self, lost: &str) -> std::result::Result<(), AdapterError> {
        let _beginning = self.beginning.lock().await;
        if self.id() != lost {
            return Ok(());
        }
        let (id, _) = self.begin().await?;
        let consumers = lock(&self.consumers).clone();
        for consumer in consumers {
            // All there is came after what was lost.
            let opened =
                self.call_on::<i64>(Instant::now(), &id, &OPEN, &open(&consumer, StartAt::Start)).await;
            opened.map_err(|fault| fault.to_bus())?;
        }
        // Only now: whoever gave up in between left nothing half done.
        *lock(&self.id) = id;
        self.receiver.warn(
            "no longer has the log that was opened (is it kept on disk? see `appendonly`): events that nobody had \
             handled are lost, and the history begins anew",
        );
        Ok(())
    }

    pub(crate) fn take_unanswered(&self, consumer: &str) -> Option<Unanswered> {
        lock(&self.unanswered).remove(consumer)
    }

    pub(crate) fn note_unanswered(&self, consumer: &str, unanswered: Unanswered) {
        lock(&self.unanswered).insert(consumer.to_owned(), unanswered);
    }

    /// Registers a consumer, or joins it.
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

/// A place in the log as the scripts know it.
pub(crate) fn start_argument(start: StartAt) -> (&'static str, i64) {
    match start {
        StartAt::Start => ("start", 0),
        StartAt::Position(position) => ("position", i64::try_from(position).unwrap_or(i64::MAX)),
        StartAt::Time(time) => ("time", time.as_micros()),
        _ => ("now", 0),
    }
}
