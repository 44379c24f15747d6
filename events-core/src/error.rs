//! The one error of the library.

use std::fmt;

use crate::id::EventId;

/// Why a call failed, what it left behind, and whether trying again can help.
///
/// The message is one line (one line per problem for [`ErrorKind::Build`]), names the event,
/// pattern, handler, field path or file concerned, and never contains a payload's values.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::{Bus, ErrorKind};
///
/// let bus = Bus::new().await?;
/// let error = bus.emit_json("user.cretaed", r#"{"id": 1}"#).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownEvent);
/// # Ok(()) }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    temporary: bool,
    event_id: Option<EventId>,
    /// Where there may be several.
    problems: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`], each with what it leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `build()` found mistakes in the set-up; there is no bus.
    Build,
    /// The lock does not fit the events that are linked; what could be written is.
    SchemaLock,
    /// A text is not a pattern; nothing was registered, removed or read.
    Pattern,
    /// The event's name is not declared (or not a name); nothing was emitted.
    UnknownEvent,
    /// A payload from outside does not fit its event; nothing was emitted.
    Payload,
    /// A payload from outside, or for others to read, is over the limit; nothing was emitted.
    TooLarge,
    /// An event could not be written as JSON; where an adapter needed it, nothing was emitted.
    Serialize,
    /// The adapter refused the event; it is not stored and no handler ran.
    Append,
    /// The adapter does not know whether it stored the event. No live handler ran; other instances
    /// may see it. Emit again with [`Error::event_id`] so that it is stored once.
    OutcomeUnknown,
    /// Emits inside handlers of emits are nested too deep; the last one did not happen.
    ChainTooDeep,
    /// Too many emits are detached, or waiting for their handlers; this one did not happen.
    Overloaded,
    /// The adapter could not read its history.
    History,
    /// The adapter could not do what was asked of a durable consumer, or knows no such consumer; what an
    /// error says of it is as it was.
    Consumer,
    /// A durable consumer had not finished an event at the deadline; it goes on.
    Unsettled,
    /// The history dropped events before they were read; those are lost to this reader.
    Lagged,
    /// The bus is stopping or stopped; the emit did not happen.
    Stopped,
    /// `stop` reached its deadline; what it names is still running.
    StopIncomplete,
    /// `stop` was called inside a handler, which would wait for itself; the bus goes on.
    StopInHandler,
    /// There is no tokio runtime, or the one of the call and that of the bus shut down; handlers that were pending
    /// are gone. Or the emit needs what ran on the runtime of the bus, such as a durable handler; then it did not happen.
    Runtime,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            temporary: matches!(kind, ErrorKind::Overloaded | ErrorKind::OutcomeUnknown),
            event_id: None,
            problems: Vec::new(),
            source: None,
        }))
    }

    /// An error of several problems, whose message has a line for each.
    pub(crate) fn of_problems(kind: ErrorKind, problems: Vec<String>) -> Self {
        let mut error = Self::new(kind, problems.join("\n"));
        error.0.problems = problems;
        error
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_event_id(mut self, id: EventId) -> Self {
        self.0.event_id = Some(id);
        self
    }

    pub(crate) fn with_temporary(mut self, temporary: bool) -> Self {
        self.0.temporary = temporary;
        self
    }

    /// Says which event of a batch it is that none of the batch could be stored for.
    pub(crate) fn in_batch(mut self, number: usize, all: usize) -> Self {
        self.0
            .message
            .push_str(&format!(" (event {number} of {all} in the batch, of which none was stored)"));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// The problems that [`BusBuilder::build`](crate::BusBuilder::build) or the lock has found in the program, each of which
    /// the message has, too; empty where something else went wrong.
    pub fn problems(&self) -> &[String] {
        &self.0.problems
    }

    /// The id of the event that could not be stored, for a retry with
    /// [`Emit::id`](crate::Emit::id).
    pub fn event_id(&self) -> Option<EventId> {
        self.0.event_id
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// Prints the message as it is, so that `main` returning an [`Error`] shows what a person can read; as `{:#?}`, all that is
/// known.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return f.write_str(&self.0.message);
        }
        let mut fields = f.debug_struct("Error");
        fields.field("kind", &self.0.kind).field("message", &self.0.message);
        fields.field("temporary", &self.0.temporary).field("event_id", &self.0.event_id);
        fields.field("source", &self.0.source).finish()
    }
}

/// The source is what the message does not contain already.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
