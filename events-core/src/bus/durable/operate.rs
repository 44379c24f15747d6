//! Methods for operators: the status of consumers, pause, seek and removal, and dead letters.

use std::sync::Arc;

use crate::adapter::durable::{
    Caller, ConsumerId, ConsumerStatus, DeadLetter, DeadLetters, DurableAdapter, DurableError, Letters,
    Operated, Operation,
};
use crate::adapter::options::StartAt;
use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::suggestions::did_you_mean;
use crate::text::quoted;

/// A handle to one consumer, for operators. Returned by [`Bus::consumer`].
///
/// The consumer need not have a handler in this program.
///
/// # Errors
///
/// All methods return [`ErrorKind::Consumer`] if the adapter has no consumer of this name, has no durable
/// consumers, or fails.
///
/// # Cancel safety
///
/// If a future is dropped, its change has been made either completely or not at all.
#[derive(Debug)]
pub struct ConsumerHandle<'a> {
    bus: &'a Bus,
    name: String,
}

impl Bus {
    /// Returns the status of all consumers of the adapter, including those that no program handles any more.
    /// [Remove](ConsumerHandle::remove) the latter: the log is not trimmed past the position of a consumer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`] if the adapter has no durable consumers, or fails.
    pub async fn consumers(&self) -> Result<Vec<ConsumerStatus>, Error> {
        self.inner.list_consumers(None).await
    }

    /// Returns a handle to the consumer of this name. The name is checked when a method of the handle is
    /// called.
    ///
    /// ```no_run
    /// # async fn example(bus: typed_events::Bus) -> Result<(), typed_events::Error> {
    /// use typed_events::consumer::DeadLetters;
    ///
    /// let invoices = bus.consumer("send-invoice");
    /// for dead in invoices.dead_letters(10).await? {
    ///     println!("{dead}");
    /// }
    /// invoices.replay(DeadLetters::All).await?;
    /// # Ok(()) }
    /// ```
    pub fn consumer(&self, name: impl Into<String>) -> ConsumerHandle<'_> {
        ConsumerHandle { bus: self, name: name.into() }
    }
}

impl ConsumerHandle<'_> {
    /// Returns the status of the consumer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn status(&self) -> Result<ConsumerStatus, Error> {
        let all = self.list().await?;
        let found = all.iter().find(|status| status.name == self.name);
        found.cloned().ok_or_else(|| self.unknown(&all))
    }

    /// Pauses the consumer in all programs: it gets no more events until [`resume`](Self::resume). Calls that
    /// have begun continue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn pause(&self) -> Result<(), Error> {
        self.operate(&Operation::Pause).await.map(drop)
    }

    /// Resumes a paused consumer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn resume(&self) -> Result<(), Error> {
        self.operate(&Operation::Resume).await.map(drop)
    }

    /// Moves the position of the consumer to `to`: it gets all events from there on, including those that it has
    /// acknowledged before, and dead letters among them. Events before `to` that wait, and new ones, are dropped. Dead
    /// letters before `to` are kept. [`Delivery::first_time`](crate::Delivery::first_time) is true again for the events
    /// that are delivered again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn seek(&self, to: StartAt) -> Result<(), Error> {
        let (id, done) = self.operate(&Operation::Seek(to)).await?;
        self.finish_move(id, done).await
    }

    /// Removes the consumer with its cursor and its dead letters. A program that still handles it creates it
    /// anew at the next start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn remove(&self) -> Result<(), Error> {
        self.operate(&Operation::Remove).await.map(drop)
    }

    /// Returns the oldest dead letters of the consumer, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let id = self.status().await?.id;
        let (durable, adapter) = self.bus.inner.durable(Some(&self.name))?;
        let read = durable.dead_letters(id, 0, limit).await;
        read.map_err(|error| failed(Some(&self.name), adapter, "can't read its dead letters", error))
    }

    /// Delivers dead letters again, with the full number of attempts. Returns how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn replay(&self, which: DeadLetters) -> Result<u64, Error> {
        self.repeat(which, Operation::Replay).await
    }

    /// Deletes dead letters. Returns how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`].
    pub async fn purge(&self, which: DeadLetters) -> Result<u64, Error> {
        self.repeat(which, Operation::Purge).await
    }

    /// Gives up a pattern with which the consumer was opened before: its waiting events that no other pattern of the
    /// consumer takes are dropped, and later ones are passed over. Await the returned value.
    ///
    /// A pattern stays with the consumer when programs stop having it, so that a deploy loses no events. Until it is
    /// given up, its events wait for a program that takes them and count as
    /// [unclaimed](ConsumerStatus::unclaimed), and the log is not trimmed past them.
    ///
    /// ```no_run
    /// # async fn example(bus: typed_events::Bus) -> Result<(), typed_events::Error> {
    /// let dropped = bus.consumer("send-invoice").forget_pattern("order.returned").await?;
    /// let kept = bus.consumer("send-invoice").forget_pattern("order.paid_late").keep().await?;
    /// # Ok(()) }
    /// ```
    pub fn forget_pattern(&self, pattern: impl Into<String>) -> ForgetPattern<'_> {
        ForgetPattern { consumer: self, pattern: pattern.into(), keep: false }
    }

    /// Drops the events that no running program takes, as far as the consumer has come to them. Returns how many. Their
    /// patterns stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`]; see [`ConsumerHandle`]. Also if no program runs the consumer: then every event would be
    /// one that no running program takes.
    pub async fn drop_unclaimed(&self) -> Result<u64, Error> {
        let id = self.status().await?.id;
        let mut dropped = 0;
        loop {
            let done = self.operate_on(id, &Operation::DropUnclaimed).await?;
            dropped += done.dropped;
            if done.more.is_none() {
                return Ok(dropped);
            }
        }
    }

    /// Calls the operation once.
    async fn operate(&self, operation: &Operation) -> Result<(ConsumerId, Operated), Error> {
        let id = self.status().await?.id;
        Ok((id, self.operate_on(id, operation).await?))
    }

    async fn operate_on(&self, id: ConsumerId, operation: &Operation) -> Result<Operated, Error> {
        let inner = &self.bus.inner;
        let (durable, adapter) = inner.durable(Some(&self.name))?;
        let done = durable.operate(&inner.caller(), id, operation).await;
        done.map_err(|error| match error {
            DurableError::Failed(error) => {
                failed(Some(&self.name), adapter, description_of(operation), error)
            }
            DurableError::Refused(refusal) => {
                let message = format!(
                    "{}: {} {}: {refusal}",
                    subject(Some(&self.name)),
                    adapter.name(),
                    description_of(operation)
                );
                Error::new(ErrorKind::Consumer, message)
            }
        })
    }

    /// Calls the operation on dead letters until it has come to the last one. Returns how many it affected.
    async fn repeat(&self, which: DeadLetters, operation: fn(Letters) -> Operation) -> Result<u64, Error> {
        let id = self.status().await?.id;
        let mut letters = match which {
            DeadLetters::All => Letters::After(0),
            DeadLetters::Of(event) => Letters::Of(event),
        };
        let mut affected = 0;
        loop {
            let done = self.operate_on(id, &operation(letters)).await?;
            affected += done.affected;
            match done.more {
                Some(after) => letters = Letters::After(after),
                None => return Ok(affected),
            }
        }
    }

    /// Runs the rest of a seek, so that it is complete when the method returns.
    async fn finish_move(&self, id: ConsumerId, mut done: Operated) -> Result<(), Error> {
        while done.more.is_some() && done.keys_by.is_none() {
            done = self.operate_on(id, &Operation::RunMove { settings_number: 0, keys: Vec::new() }).await?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ConsumerStatus>, Error> {
        self.bus.inner.list_consumers(Some(&self.name)).await
    }

    fn unknown(&self, known: &[ConsumerStatus]) -> Error {
        let (adapter, name) = (self.bus.inner.adapter_name(), quoted(&self.name));
        let suggestion = did_you_mean(&self.name, known.iter().map(|status| status.name.as_str()));
        let message = format!("{adapter} has no consumer `{name}`{suggestion}");
        Error::new(ErrorKind::Consumer, message)
    }
}

/// Gives up a pattern of a consumer; see [`ConsumerHandle::forget_pattern`]. Awaiting it returns the number of waiting
/// events that were dropped, or, with [`keep`](Self::keep), became dead letters.
///
/// # Errors
///
/// [`ErrorKind::Consumer`]; see [`ConsumerHandle`]. Also while a running program uses the pattern.
///
/// # Cancel safety
///
/// If the future is dropped, the pattern may be given up and its events are dropped or kept later, by the programs that
/// run the consumer.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct ForgetPattern<'a> {
    consumer: &'a ConsumerHandle<'a>,
    pattern: String,
    keep: bool,
}

impl ForgetPattern<'_> {
    /// Keeps the waiting events as dead letters.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    async fn forget(self) -> Result<u64, Error> {
        let id = self.consumer.status().await?.id;
        let mut affected = 0;
        loop {
            let forget = Operation::ForgetPattern { pattern: self.pattern.clone(), keep: self.keep };
            let done = self.consumer.operate_on(id, &forget).await?;
            affected += done.affected;
            if done.more.is_none() {
                return Ok(affected);
            }
        }
    }
}

impl<'a> IntoFuture for ForgetPattern<'a> {
    type Output = Result<u64, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.forget())
    }
}

/// Returns the subject of an error message: one consumer, or all of them.
fn subject(consumer: Option<&str>) -> String {
    consumer.map_or_else(|| "consumers".to_owned(), |name| format!("consumer `{}`", quoted(name)))
}

/// Returns the text of an error message that says which operation failed.
fn description_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Pause => "did not pause it",
        Operation::Resume => "did not resume it",
        Operation::Seek(_) | Operation::RunMove { .. } => "did not move it",
        Operation::Remove => "did not remove it",
        Operation::Replay(_) => "did not replay its dead letters",
        Operation::Purge(_) => "did not purge its dead letters",
        Operation::DropUnclaimed => "did not drop its unclaimed events",
        Operation::ForgetPattern { .. } => "did not give up the pattern",
    }
}

fn failed(consumer: Option<&str>, adapter: &Arc<dyn Adapter>, what: &str, error: AdapterError) -> Error {
    let message = format!("{}: {} {what}: {error}", subject(consumer), adapter.name());
    Error::new(ErrorKind::Consumer, message).with_temporary(error.is_temporary())
}

impl Inner {
    /// Returns the adapter and its durable consumers, or an error about `consumer` if it has none.
    pub(crate) fn durable(
        &self,
        consumer: Option<&str>,
    ) -> Result<(&dyn DurableAdapter, &Arc<dyn Adapter>), Error> {
        let adapter = self.adapter.as_ref();
        adapter.and_then(|adapter| Some((adapter.durable()?, adapter))).ok_or_else(|| {
            let why = match adapter {
                Some(adapter) => format!("{} has no durable consumers", adapter.name()),
                None => "this bus has no adapter, and so no durable consumers".to_owned(),
            };
            Error::new(ErrorKind::Consumer, format!("{}: {why}", subject(consumer)))
        })
    }

    /// Returns what goes with a call of an operator.
    pub(crate) fn caller(&self) -> Caller {
        match self.session.get() {
            Some(session) => session.caller(),
            None => Caller { knows: None, now: self.settings.clock.of_test() },
        }
    }

    /// Returns the status of all consumers of the adapter. An error is about `consumer`, if given.
    async fn list_consumers(&self, consumer: Option<&str>) -> Result<Vec<ConsumerStatus>, Error> {
        let (durable, adapter) = self.durable(consumer)?;
        let listed = durable.consumers(&self.caller()).await;
        listed.map_err(|error| failed(consumer, adapter, "can't list its consumers", error))
    }
}
