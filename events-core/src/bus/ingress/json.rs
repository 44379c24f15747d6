//! Events from outside, as JSON with an event name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::paths::{EmitState, Polled, start_counted};
use crate::bus::inner::{Bus, Inner, report};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::{check_name, is_of_library};
use crate::event::suggestions::did_you_mean;
use crate::event::{EventDecl, Payload, parse_json};
use crate::id::EventId;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};
use crate::text::quoted;

/// The future of an emit of JSON. Returned by [`Bus::emit_json`]; await it, or [`detach`](Self::detach) it.
///
/// The emit starts at the first poll, which decodes the JSON. After that it is like [`Emit`](crate::Emit),
/// with the same cancel safety and panics.
///
/// # Errors
///
/// - [`ErrorKind::UnknownEvent`]: the name is not declared, or is reserved for the library
///   (`typed-events.x`).
/// - [`ErrorKind::TooLarge`]: the JSON exceeds the [limit](crate::BusBuilder::max_payload).
/// - [`ErrorKind::Payload`]: the text is not JSON, or does not fit the event. The message names the path, and
///   never contains a value: `user.created: .email: expected a string, found a number`.
/// - Those of [`Emit`](crate::Emit).
///
/// With the first three, nothing was emitted.
#[must_use = "emits do nothing unless awaited or detached"]
pub struct EmitJson<'a, J> {
    bus: &'a Bus,
    name: &'a str,
    /// The JSON; `None` once the emit has started.
    json: Option<J>,
    /// `None` for the current version.
    version: Option<u32>,
    state: EmitState,
}

// No field is pinned.
impl<J> Unpin for EmitJson<'_, J> {}

impl<J: AsRef<[u8]>> EmitJson<'_, J> {
    /// Sets the version of the payload: it is decoded as that version's type, and [upcast](crate::Upcast) to
    /// the current one before it is emitted. By default, the payload is of the current version.
    ///
    /// A version that this program does not know is an error of kind [`ErrorKind::Payload`].
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the metadata, as [`Emit::metadata`](crate::Emit::metadata) does.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        if self.json.is_some() {
            self.state.set(|options| options.metadata = metadata);
        }
        self
    }

    /// Sets the id of the event, as [`Emit::id`](crate::Emit::id) does.
    pub fn id(mut self, id: EventId) -> Self {
        if self.json.is_some() {
            self.state.set(|options| options.id = Some(id));
        }
        self
    }

    /// Emits without waiting for handlers, as [`Emit::detach`](crate::Emit::detach) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] if too many detached emits are running; nothing was emitted. Otherwise those
    /// of [`EmitJson`], if they occur in the first poll.
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
    /// Runs the first poll.
    fn start(&mut self, json: &[u8], cx: &mut Context<'_>) -> Polled {
        let (bus, name) = (self.bus, self.name);
        let (options, detached) = self.state.take();
        let version = self.version.unwrap_or_else(|| bus.inner.declared_events.version(name));
        let read = bus.inner.read(name, version, json)?;
        let first_poll = start_counted(bus, name, options, detached, |envelope| read.record(envelope), cx)?;
        self.state.after_first_poll(first_poll, cx)
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
    /// Emits an event that comes from outside, as JSON with an event name.
    ///
    /// The JSON is decoded to the type of the declared event. Fields that the type does not have are dropped,
    /// unless the type has `#[serde(deny_unknown_fields)]`: handlers of records, too, get the event as its
    /// type writes it. An undeclared name is an error, unless
    /// [`accept_undeclared`](crate::BusBuilder::accept_undeclared) is set: then handlers of records get the
    /// JSON.
    ///
    /// The JSON may have at most 1 MiB (see [`BusBuilder::max_payload`](crate::BusBuilder::max_payload)) and
    /// 127 levels.
    ///
    /// Nothing happens until the [`EmitJson`] is awaited or [detached](EmitJson::detach). Options are set by
    /// its methods [`version`](EmitJson::version), [`metadata`](EmitJson::metadata) and [`id`](EmitJson::id).
    /// For errors and cancel safety, see [`EmitJson`].
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
        EmitJson { bus: self, name, json: Some(json), version: None, state: EmitState::Plain }
    }
}

/// A payload from outside that was read and fits its event.
pub(crate) enum Read<'a> {
    Declared(&'static EventDecl, Arc<dyn Payload>),
    Undeclared { name: &'a str, version: u32, json: &'a str },
}

impl Read<'_> {
    pub(crate) fn record(self, envelope: Envelope) -> Record {
        match self {
            Self::Declared(decl, event) => Record::shared(decl, event, envelope),
            Self::Undeclared { name, version, json } => {
                Record::from_json(name.into(), version, json.into(), envelope)
            }
        }
    }
}

impl Bus {
    /// Emits a record of another bus, with the record's id and metadata. A durable handler can use it to
    /// forward every record of an outbox to a bus on another engine. If a record is forwarded twice, it is
    /// stored once, as long as the adapter can detect the duplicate.
    ///
    /// # Errors
    ///
    /// Those of [`EmitJson`], without its size limit: a record of another bus is not refused for its size,
    /// unless the adapter of this bus sends it to channels that are shared with other programs.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`Emit`](crate::Emit).
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
        let json = record.json_with_secrets()?;
        let decl = self.inner.declared(record.name())?;
        let made = read_as(decl, record.name(), record.version(), &json)?;
        let (id, metadata) = (Some(record.id()), record.metadata().clone());
        self.emit_record(record.name(), |envelope| made.record(Envelope { id, metadata, ..envelope })).await
    }

    /// Returns true if an event of this name is declared: it is linked, a handler of this bus takes it, or it
    /// was given to the builder.
    pub fn is_declared(&self, name: &str) -> bool {
        self.inner.declared_events.contains(name)
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

    /// Returns the declaration of an event, or `None` for an undeclared name that is accepted.
    fn declared(&self, name: &str) -> Result<Option<&'static EventDecl>, Error> {
        let decl = self.declared_events.get(name);
        if decl.is_none() {
            self.check_undeclared(name)?;
        }
        Ok(decl)
    }

    /// Returns an error unless an undeclared name is accepted.
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
        if self.declared_events.is_undeclared(name) {
            return Ok(());
        }
        if self.settings.accept_undeclared {
            report::undeclared(name, self.declared_events.names());
            return Ok(());
        }
        let suggestion = did_you_mean(name, self.declared_events.names());
        refuse(format!("`{}` is not a declared event{suggestion}", quoted(name)))
    }
}

/// Reads a payload according to its declaration, or as any JSON if the name is undeclared.
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
