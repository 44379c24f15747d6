//! What an operator sees and does: consumers and their dead letters.

use std::sync::Arc;

use crate::adapter::durable::{ConsumerStatus, Control, DeadLetter, DeadLetters, DurableAdapter};
use crate::adapter::options::StartAt;
use crate::adapter::{Adapter, AdapterError};
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::suggestions::did_you_mean;
use crate::text::quoted;

/// One durable consumer, to look after: what [`Bus::consumer`] returns.
///
/// It may be one whose handler is not in this program.
///
/// # Errors
///
/// All methods: [`ErrorKind::Consumer`] where the adapter has no such consumer, has none at all, or fails.
///
/// # Cancel safety
///
/// Dropping a future halfway leaves done or undone as a whole what it asked for.
#[derive(Debug)]
pub struct ConsumerHandle<'a> {
    bus: &'a Bus,
    name: String,
}

impl Bus {
    /// All durable consumers of the adapter by name, those included that no program handles any more: these
    /// are to be [removed](ConsumerHandle::remove), since the log is not trimmed past them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`] where the adapter has none, or fails.
    pub async fn consumers(&self) -> Result<Vec<ConsumerStatus>, Error> {
        self.inner.list_consumers(None).await
    }

    /// A durable consumer, to look after.
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
    /// Where it stands.
    pub async fn status(&self) -> Result<ConsumerStatus, Error> {
        let all = self.list().await?;
        let found = all.iter().find(|status| status.name == self.name);
        found.cloned().ok_or_else(|| self.unknown(&all))
    }

    /// Hands out no more events, in any process, until [`resume`](Self::resume); what is being handled goes on.
    pub async fn pause(&self) -> Result<(), Error> {
        self.control(Control::Pause).await.map(drop)
    }

    /// Hands out events again.
    pub async fn resume(&self) -> Result<(), Error> {
        self.control(Control::Resume).await.map(drop)
    }

    /// Hands out everything from there on, again where it was handled before. Retries that wait are dropped: they
    /// come again if they are behind it. Dead letters stay.
    pub async fn seek(&self, to: StartAt) -> Result<(), Error> {
        self.control(Control::Seek(to)).await.map(drop)
    }

    /// Forgets the consumer with its position and dead letters. If a program still handles it, it is new there
    /// after the next start.
    pub async fn remove(&self) -> Result<(), Error> {
        self.control(Control::Remove).await.map(drop)
    }

    /// The oldest `limit` events it gave up on.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let (durable, adapter) = self.bus.inner.durable(Some(&self.name))?;
        let read = durable.dead_letters(&self.name, limit).await;
        let read =
            read.map_err(|error| failed(Some(&self.name), adapter, "can't read its dead letters", error))?;
        if read.is_empty() {
            // One that does not exist has none either.
            self.status().await?;
        }
        Ok(read)
    }

    /// Hands out dead letters again, with all their attempts; returns how many.
    pub async fn replay(&self, which: DeadLetters) -> Result<u64, Error> {
        self.control(Control::Replay(which)).await
    }

    /// Drops dead letters; returns how many.
    pub async fn purge(&self, which: DeadLetters) -> Result<u64, Error> {
        self.control(Control::Purge(which)).await
    }

    async fn control(&self, control: Control) -> Result<u64, Error> {
        let inner = &self.bus.inner;
        let (durable, adapter) = inner.durable(Some(&self.name))?;
        let (what, asked) = (what_of(&control), control);
        let done = durable.control(&self.name, asked, inner.now()).await;
        let done = done.map_err(|error| failed(Some(&self.name), adapter, what, error))?;
        match done {
            Some(done) => Ok(done),
            None => Err(self.unknown(&self.list().await?)),
        }
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

/// What an error is about: one consumer, or all of them.
fn subject(consumer: Option<&str>) -> String {
    consumer.map_or_else(|| "consumers".to_owned(), |name| format!("consumer `{}`", quoted(name)))
}

/// What an adapter failed at, when an operator asked for this.
fn what_of(control: &Control) -> &'static str {
    match control {
        Control::Pause => "did not pause it",
        Control::Resume => "did not resume it",
        Control::Seek(_) => "did not move it",
        Control::Remove => "did not remove it",
        Control::Replay(_) => "did not replay its dead letters",
        Control::Purge(_) => "did not purge its dead letters",
    }
}

fn failed(consumer: Option<&str>, adapter: &Arc<dyn Adapter>, what: &str, error: AdapterError) -> Error {
    let message = format!("{}: {} {what}: {error}", subject(consumer), adapter.name());
    Error::new(ErrorKind::Consumer, message).with_temporary(error.is_temporary())
}

impl Inner {
    /// The adapter, as far as it has durable consumers.
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

    /// Lists the consumers of the adapter, for an operator who asks of one or of all.
    async fn list_consumers(&self, consumer: Option<&str>) -> Result<Vec<ConsumerStatus>, Error> {
        let (durable, adapter) = self.durable(consumer)?;
        let listed = durable.consumers(self.now()).await;
        listed.map_err(|error| failed(consumer, adapter, "can't list its consumers", error))
    }
}
