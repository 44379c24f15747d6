//! The door for events from outside: JSON under a name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::paths::{Polled, State, counted};
use crate::bus::inner::{Bus, Inner, report};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::{check_name, is_of_library};
use crate::event::suggestions::did_you_mean;
use crate::event::{EventDecl, Payload, parse_json};
use crate::id::EventId;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};
use crate::text::quoted;

/// The future that [`Bus::emit_json`] returns. Await it, or [`detach`](Self::detach) it.
///
/// It starts at its first poll, which decodes the JSON. From then on it is like [`Emit`](crate::Emit), with the same
/// cancel safety and panics.
///
/// # Errors
///
/// - [`ErrorKind::UnknownEvent`]: not a declared name, or one that belongs to the library (`typed-events.x`).
/// - [`ErrorKind::TooLarge`], [`ErrorKind::Payload`]: too large; not JSON or not fitting, with the
///   path: `user.created: .email: expected a string, found a number`. Never contains a value.
/// - Those of [`Emit`](crate::Emit). In all cases nothing was emitted, except as said there.
#[must_use = "an emit starts when it is awaited or detached"]
pub struct EmitJson<'a, J> {
    bus: &'a Bus,
    name: &'a str,
    /// Until it has started.
    json: Option<J>,
    /// `None` for the current version.
    version: Option<u32>,
    state: State,
}

// Nothing in it is ever pinned.
impl<J> Unpin for EmitJson<'_, J> {}

impl<J: AsRef<[u8]>> EmitJson<'_, J> {
    /// Reads the payload as this version's type and [upcasts](crate::Upcast) it to the current one, which is what is
    /// emitted. By default the payload is of the current version.
    ///
    /// A version that this program does not know is an [`ErrorKind::Payload`].
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Emits with this metadata, as [`Emit::metadata`](crate::Emit::metadata).
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        if self.json.is_some() {
            self.state.set(|options| options.metadata = metadata);
        }
        self
    }

    /// Emits under this id, as [`Emit::id`](crate::Emit::id).
    pub fn id(mut self, id: EventId) -> Self {
        if self.json.is_some() {
            self.state.set(|options| options.id = Some(id));
        }
        self
    }

    /// Emits without waiting, as [`Emit::detach`](crate::Emit::detach).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] where too many detached emits are running: nothing happened. Else as for awaiting it,
    /// as far as it is known when the first poll is over.
    pub fn detach(mut self) -> Result<(), Error> {
        let detached = self.bus.inner.detach(self.name)?;
        let Some(json) = self.json.take() else { return Ok(()) };
        self.state.detach(detached);
        match self.start(json.as_ref(), &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.map(drop),
            Poll::Pending => Ok(()),
        }
    }
}

impl<J> EmitJson<'_, J> {
    /// The first poll.
    fn start(&mut self, json: &[u8], cx: &mut Context<'_>) -> Polled {
        let (bus, name) = (self.bus, self.name);
        let (options, detached) = self.state.take();
        let version = self.version.unwrap_or_else(|| bus.inner.known.version(name));
        let read = bus.inner.read(name, version, json)?;
        let begun = counted(bus, name, options, detached, |envelope| read.record(envelope), cx)?;
        self.state.begun(begun, cx)
    }
}

impl<J: AsRef<[u8]>> Future for EmitJson<'_, J> {
    type Output = Result<Emitted, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.json.take() {
            Some(json) => self.start(json.as_ref(), cx),
            None => self.state.resume(cx),
        }
    }
}

impl Bus {
    /// Emits an event that comes from outside as JSON under a name.
    ///
    /// The JSON is decoded to the declared type. Fields the type does not have are accepted unless it
    /// says `#[serde(deny_unknown_fields)]`, and are gone then: handlers of records, too, see the event
    /// as its type writes it. Under a name that is not declared nothing is emitted,
    /// unless the builder says [`accept_undeclared`](crate::BusBuilder::accept_undeclared): then
    /// handlers of records get it as JSON.
    ///
    /// At most 1 MiB (settable by [`BusBuilder::max_payload`](crate::BusBuilder::max_payload)) and
    /// 127 levels deep.
    ///
    /// Nothing happens until the [`EmitJson`] is awaited or [detached](EmitJson::detach). Its options are methods:
    /// [`version`](EmitJson::version), [`metadata`](EmitJson::metadata), [`id`](EmitJson::id). See [`EmitJson`] for
    /// errors and cancellation.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("account.opened")]
    /// pub struct AccountOpened { pub email: String }
    ///
    /// let bus = Bus::new().await?;
    /// bus.emit_json("account.opened", r#"{"email": "alice@example.com"}"#).await?;
    ///
    /// let error = bus.emit_json("account.opened", r#"{"email": 7}"#).await.unwrap_err();
    /// assert_eq!(error.to_string(), "account.opened: .email: expected a string, found a number");
    /// # Ok(()) }
    /// ```
    pub fn emit_json<'a, J: AsRef<[u8]>>(&'a self, name: &'a str, json: J) -> EmitJson<'a, J> {
        EmitJson { bus: self, name, json: Some(json), version: None, state: State::Plain }
    }
}

/// A payload from outside that was found to fit.
pub(crate) enum Read<'a> {
    Declared(&'static EventDecl, Arc<dyn Payload>),
    Undeclared { name: &'a str, version: u32, json: &'a str },
}

impl Read<'_> {
    pub(crate) fn record(self, envelope: Envelope) -> Record {
        match self {
            Self::Declared(decl, event) => Record::shared(decl, event, envelope),
            Self::Undeclared { name, version, json } => {
                Record::of_json(name.into(), version, json.into(), envelope)
            }
        }
    }
}

impl Bus {
    /// Emits what another bus has recorded, under its id and with its metadata: a durable handler that forwards every
    /// record of an outbox to a bus on another engine. Forwarded again, it is stored once, where the adapter can tell
    /// duplicates.
    ///
    /// # Errors
    ///
    /// Those of [`EmitJson`], but for its limit: what one bus has recorded is not refused
    /// for its size by another one, unless that one sends it over channels that others share.
    ///
    /// # Cancel safety
    ///
    /// That of [`Emit`](crate::Emit).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("parcel.sent")]
    /// pub struct ParcelSent { pub to: String }
    ///
    /// let (here, there) = (Bus::new().await?, Bus::new().await?);
    /// here.emit(ParcelSent { to: "Bern".into() }).await?;
    /// for record in here.history("*").await? {
    ///     there.forward(&record).await?;
    /// }
    /// assert_eq!(there.history("*").await?[0].id(), here.history("*").await?[0].id());
    /// # Ok(()) }
    /// ```
    pub async fn forward(&self, record: &Record) -> Result<Emitted, Error> {
        let json = record.revealed()?;
        let decl = self.inner.declared(record.name())?;
        let made = read_as(decl, record.name(), record.version(), &json)?;
        let (id, metadata) = (Some(record.id()), record.metadata().clone());
        self.emit_made(record.name(), |envelope| made.record(Envelope { id, metadata, ..envelope })).await
    }

    /// Whether an event of this name is declared: linked, named by a handler of this bus, or given to
    /// its builder.
    pub fn is_declared(&self, name: &str) -> bool {
        self.inner.known.contains(name)
    }
}

impl Inner {
    /// Reads a payload from outside.
    pub(crate) fn read<'a>(&self, name: &'a str, version: u32, json: &'a [u8]) -> Result<Read<'a>, Error> {
        let decl = self.declared(name)?;
        self.codec.check_size(name, json.len())?;
        let json = std::str::from_utf8(json).map_err(|error| {
            let message = format!("{name}: not JSON: not UTF-8 at byte {}", error.valid_up_to() + 1);
            Error::new(ErrorKind::Payload, message)
        })?;
        read_as(decl, name, version, json)
    }

    /// The declaration of an event; `None` for an undeclared name that may pass.
    fn declared(&self, name: &str) -> Result<Option<&'static EventDecl>, Error> {
        let decl = self.known.get(name);
        if decl.is_none() {
            self.check_undeclared(name)?;
        }
        Ok(decl)
    }

    /// Whether an undeclared name may pass.
    pub(crate) fn check_undeclared(&self, name: &str) -> Result<(), Error> {
        let refuse = |message| Err(Error::new(ErrorKind::UnknownEvent, message));
        if let Err(error) = check_name(name) {
            return refuse(format!("`{}` is not an event name: {error}", quoted(name)));
        }
        if is_of_library(name) {
            return refuse(format!(
                "`{}` can't be emitted: names that begin with `typed-events` belong to the library",
                quoted(name)
            ));
        }
        if self.known.is_undeclared(name) {
            return Ok(());
        }
        if self.settings.accept_undeclared {
            report::undeclared(name, self.known.names());
            return Ok(());
        }
        let suggestion = did_you_mean(name, self.known.names());
        refuse(format!("`{}` is not a declared event{suggestion}", quoted(name)))
    }
}

/// Reads a payload as its declaration says.
fn read_as<'a>(
    decl: Option<&'static EventDecl>,
    name: &'a str,
    version: u32,
    json: &'a str,
) -> Result<Read<'a>, Error> {
    let refuse = |problem: String| Error::new(ErrorKind::Payload, problem);
    match decl {
        Some(decl) => {
            let event = decl.decode(version, json).map_err(|error| refuse(error.to_string()))?;
            Ok(Read::Declared(decl, event))
        }
        None => {
            parse_json(json).map_err(|problem| refuse(format!("{name}: {problem}")))?;
            Ok(Read::Undeclared { name, version, json })
        }
    }
}
