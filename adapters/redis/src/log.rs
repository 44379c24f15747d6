//! The log in Redis, which all instances share. A server that loses its data loses the log; then a new one is begun.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::durable::ConsumerId;
use events_core::store::Limits;
use events_core::{AdapterError, EventId, Receiver, Retention};
use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation};
use tokio::time::Instant;

use crate::connection::ServerConnection;
use crate::error::Result;
use crate::own_appends::OwnAppends;
use crate::scripts::{BEGIN, CONSUMER_KEYS, LOG_KEYS, QUICK_KEYS, RETENTION, limits};

/// The stored format that this program reads and writes.
const FORMAT: u32 = 4;

/// Suffix of the channel on which instances announce changes. No event name ends with it.
pub(crate) const NOTIFY_SUFFIX: &str = ":notify";

pub(crate) struct Log {
    pub(crate) server: ServerConnection,
    prefix: String,
    pub(crate) receiver: Receiver,
    id: Mutex<String>,
    pub(crate) own_appends: OwnAppends,
    /// Held while the log is begun again.
    beginning: tokio::sync::Mutex<()>,
    /// Bounds other than those in production, as JSON, for checks.
    limits: Option<String>,
    /// The keys of the log.
    keys: Keys,
    /// Those of them that `append.lua` needs.
    append_keys: Keys,
    /// The consumers that were called.
    consumers: Mutex<HashMap<ConsumerId, Arc<OfConsumer>>>,
}

/// What is known of a consumer.
pub(crate) struct OfConsumer {
    pub(crate) keys: Keys,
    /// The keys of `quick.lua`.
    pub(crate) quick_keys: Keys,
    /// Whether the consumer had waiting rows at its last exchange, so that `quick.lua` can't do the next one.
    pub(crate) has_rows: AtomicBool,
}

/// The keys of a script.
pub(crate) type Keys = Arc<[String]>;

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
        other_limits: Option<Limits>,
    ) -> std::result::Result<(Self, u64), AdapterError> {
        let log = Self {
            server,
            keys: LOG_KEYS.iter().map(|name| format!("{prefix}:{name}")).collect(),
            append_keys: LOG_KEYS[..3].iter().map(|name| format!("{prefix}:{name}")).collect(),
            prefix,
            receiver,
            limits: other_limits.map(|other| {
                let fields = limits(&other).map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{\"limits\":{{{}}}", fields.join(","))
            }),
            id: Mutex::default(),
            own_appends: OwnAppends::default(),
            beginning: Default::default(),
            consumers: Mutex::default(),
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

    /// The keys of a script on the log.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The keys of `append.lua`.
    pub(crate) fn append_keys(&self) -> &Keys {
        &self.append_keys
    }

    /// The keys of a script on a consumer: those of the log, and its own.
    pub(crate) fn keys_of(&self, consumer: ConsumerId) -> Keys {
        Arc::clone(&self.of_consumer(consumer).keys)
    }

    pub(crate) fn of_consumer(&self, consumer: ConsumerId) -> Arc<OfConsumer> {
        let new = || {
            let key = |name: &&str| format!("{}:{}:{name}", self.prefix, consumer.0);
            let own = CONSUMER_KEYS.iter().map(key);
            let (of_log, of_consumer) = QUICK_KEYS;
            let of_log = of_log.iter().map(|name| format!("{}:{name}", self.prefix));
            Arc::new(OfConsumer {
                keys: self.keys.iter().cloned().chain(own).collect(),
                quick_keys: of_log.chain(of_consumer.iter().map(key)).collect(),
                has_rows: AtomicBool::new(true),
            })
        };
        Arc::clone(lock(&self.consumers).entry(consumer).or_insert_with(new))
    }

    /// The keys of a script on the log and on some keys of consumers.
    pub(crate) fn keys_with(&self, consumers: &[ConsumerId], names: &[&str]) -> Keys {
        let own = consumers.iter().flat_map(|consumer| {
            names.iter().map(move |name| format!("{}:{}:{name}", self.prefix, consumer.0))
        });
        self.keys.iter().cloned().chain(own).collect()
    }

    /// Calls a script on the log. `arguments` adds its arguments, and gets whether an earlier try of this call may have
    /// run.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        script: &'static Script,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        self.call_since(Instant::now(), script, &self.keys, arguments).await
    }

    /// Calls a script with other keys and one argument, a JSON object.
    pub(crate) async fn call_with<T: FromRedisValue>(
        &self,
        script: &'static Script,
        keys: &Keys,
        argument: &str,
    ) -> std::result::Result<T, AdapterError> {
        let argument = match (&self.limits, argument) {
            (None, argument) => Cow::Borrowed(argument),
            (Some(limits), "{}") => format!("{limits}}}").into(),
            (Some(limits), argument) => format!("{limits},{}", &argument[1..]).into(),
        };
        let arguments = |call: &mut ScriptInvocation<'static>, _: bool| {
            call.arg(&*argument);
        };
        self.call_since(Instant::now(), script, keys, arguments).await
    }

    /// Like [`call`](Self::call), with the retry deadline counted from `since`.
    pub(crate) async fn call_since<T: FromRedisValue>(
        &self,
        since: Instant,
        script: &'static Script,
        keys: &Keys,
        arguments: impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync,
    ) -> std::result::Result<T, AdapterError> {
        let id = self.id();
        let mut called = self.call_on(since, &id, script, keys, &arguments).await;
        if called.as_ref().is_err_and(|fault| fault.is_of_other_log()) {
            self.begin_again(&id).await?;
            called = self.call_on(since, &self.id(), script, keys, &arguments).await;
        }
        called.map_err(|fault| fault.to_bus())
    }

    async fn call_on<T: FromRedisValue>(
        &self,
        since: Instant,
        id: &str,
        script: &'static Script,
        keys: &Keys,
        arguments: &(impl Fn(&mut ScriptInvocation<'static>, bool) + Send + Sync),
    ) -> Result<T> {
        let invoke = |again| {
            let mut call = script.key(&keys[..]);
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
            // A server that wants a password takes no more than ten arguments before it has said so.
            let mut call = BEGIN.key(&self.keys[..2]);
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

    /// Begins a new log after the server has lost the opened one or its data were replaced. Sessions notice by what
    /// they know, and register again.
    async fn begin_again(&self, lost: &str) -> std::result::Result<(), AdapterError> {
        let _beginning = self.beginning.lock().await;
        if self.id() != lost {
            return Ok(());
        }
        let (id, _) = self.begin().await?;
        *lock(&self.id) = id;
        self.receiver.warn(
            "no longer has the log that was opened: events that were not handled are lost, and the history begins anew; does \
             the server store its data? (see `appendonly`)",
        );
        Ok(())
    }
}
