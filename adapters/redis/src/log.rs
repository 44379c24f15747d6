//! The log in Redis: one place for all instances, that may be gone when the server lost its memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::{AdapterError, Consumer, EventId, Inbox, StartAt, Timestamp};
use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::fault::Result;
use crate::link::Link;
use crate::scripts::{BEGIN, OPEN};

/// The format this program reads and writes.
const FORMAT: u32 = 1;

/// How the names of the channels end on which it is said that there is something new; no event's name does.
pub(crate) const BELL: &str = ":news";

pub(crate) struct Log {
    pub(crate) link: Link,
    prefix: String,
    pub(crate) inbox: Inbox,
    id: Mutex<String>,
    /// Held by whoever begins the log again.
    beginning: tokio::sync::Mutex<()>,
    /// Those this program has opened.
    consumers: Mutex<Vec<Arc<Consumer>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log, or begins one; says where it ends.
    pub(crate) async fn open(
        link: Link,
        prefix: String,
        inbox: Inbox,
    ) -> std::result::Result<(Self, u64), AdapterError> {
        let log = Self {
            link,
            prefix,
            inbox,
            id: Mutex::default(),
            beginning: Default::default(),
            consumers: Mutex::default(),
        };
        let last = log.begin().await?;
        Ok((log, last))
    }

    /// Which log it is: it changes when the server loses its memory.
    pub(crate) fn id(&self) -> String {
        lock(&self.id).clone()
    }

    /// The channel on which it is said that there is something new.
    pub(crate) fn channel(&self) -> String {
        format!("{}{BELL}", self.prefix)
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        format!("redis at {}", self.link)
    }

    /// Calls a script with these arguments; those may depend on whether it may have been done before.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        let id = self.id();
        let mut called = self.try_call(script, &arguments).await;
        if called.as_ref().is_err_and(|fault| fault.is_of_other_log()) {
            self.begin_again(&id).await?;
            called = self.try_call(script, &arguments).await;
        }
        called.map_err(|fault| fault.to_bus())
    }

    async fn try_call<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: &(impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync),
    ) -> Result<T> {
        let id = self.id();
        let invoke = |again| {
            let mut call = script.key(&self.prefix);
            call.arg(&id);
            arguments(&mut call, again);
            call
        };
        self.link.call(invoke).await
    }

    async fn begin(&self) -> std::result::Result<u64, AdapterError> {
        let new = EventId::new().to_string();
        let invoke = |_| {
            let mut call = BEGIN.key(&self.prefix);
            call.arg(&new).arg(FORMAT);
            call
        };
        let begun = self.link.call(invoke).await;
        let (id, format, last): (String, u32, u64) = begun.map_err(|fault| fault.to_bus())?;
        if format != FORMAT {
            let prefix = &self.prefix;
            return Err(AdapterError::refused(format_args!(
                "the log {prefix} has format {format}, and this program knows {FORMAT}"
            )));
        }
        *lock(&self.id) = id;
        Ok(last)
    }

    /// The server has lost the log, or was given another: what is left is to go on with that.
    async fn begin_again(&self, lost: &str) -> std::result::Result<(), AdapterError> {
        let _beginning = self.beginning.lock().await;
        if self.id() != lost {
            return Ok(());
        }
        self.begin().await?;
        self.inbox.warn(
            "no longer has the log that was opened (is it kept on disk? see `appendonly`): events that nobody had \
             handled are lost, and the history begins anew",
        );
        let consumers = lock(&self.consumers).clone();
        for consumer in consumers {
            let opened = self.try_call::<i64>(&OPEN, &open(&consumer)).await;
            opened.map_err(|fault| fault.to_bus())?;
        }
        Ok(())
    }

    /// Registers a consumer, or joins it.
    pub(crate) async fn open_consumer(
        &self,
        consumer: &Arc<Consumer>,
    ) -> std::result::Result<(), AdapterError> {
        self.call::<i64>(&OPEN, open(consumer)).await?;
        lock(&self.consumers).push(Arc::clone(consumer));
        Ok(())
    }
}

fn open(consumer: &Consumer) -> impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync + use<> {
    let name = consumer.name().to_owned();
    let patterns = consumer.patterns().collect::<Vec<_>>().join(" ");
    let (now, from) = (Timestamp::now().as_micros(), place(consumer.from()));
    move |call, _| {
        call.arg(&name).arg(&patterns).arg(now).arg(from.0).arg(from.1);
    }
}

/// A place in the log as the scripts know it.
pub(crate) fn place(place: StartAt) -> (&'static str, i64) {
    match place {
        StartAt::Start => ("start", 0),
        StartAt::Position(position) => ("position", i64::try_from(position).unwrap_or(i64::MAX)),
        StartAt::Time(time) => ("time", time.as_micros()),
        _ => ("now", 0),
    }
}
