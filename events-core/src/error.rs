//! The error type of the library.

use std::fmt;

use crate::id::EventId;

/// Why a call failed, what has happened nevertheless, and whether a retry can help.
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
    /// Empty unless the error lists several problems.
    problems: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`], with what has happened and what has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `build()` found mistakes in the set-up. No bus was built.
    Build,
    /// The linked events do not fit the schema lock. Everything that could be written to its file was written.
    SchemaLock,
    /// A text is not a pattern. Nothing was registered, removed or read.
    Pattern,
    /// No event of this name is declared, or the text is not an event name. Nothing was emitted.
    UnknownEvent,
    /// JSON from outside does not fit its event. Nothing was emitted.
    Payload,
    /// A record can't be read as the event or type that was asked for: it is damaged, does not fit the type, or has
    /// another version.
    Unreadable,
    /// The payload is larger than the limit, either in JSON from outside or when written for other programs. Nothing
    /// was emitted.
    TooLarge,
    /// An event could not be written as JSON. If an adapter needed the JSON, nothing was emitted.
    Serialize,
    /// The adapter refused the event. It is not stored, and no handler ran.
    Append,
    /// The adapter does not know whether the event was stored. No live handler of this bus ran; durable
    /// handlers and other instances may get the event. Emit again with [`Error::event_id`], so that it is stored once.
    OutcomeUnknown,
    /// The id that was given to the emit is that of another event, with another name or payload. Nothing was stored,
    /// and no handler ran.
    IdConflict,
    /// Emits inside handlers are nested too deeply. The innermost emit did not happen.
    ChainTooDeep,
    /// Too many emits are detached or wait for their handlers. This emit did not happen.
    Overloaded,
    /// The adapter could not read its log.
    History,
    /// The adapter could not carry out an operation on a consumer, or there is no such consumer. The consumer named by
    /// the error is unchanged.
    Consumer,
    /// A consumer had not finished an event at the deadline. The consumer continues.
    Unsettled,
    /// The history dropped events before they were read. This reader will not get them.
    Lagged,
    /// The bus is stopping or has stopped. The emit did not happen.
    Stopped,
    /// `stop` reached its deadline. The handlers and emits named by the message are still running.
    StopIncomplete,
    /// `stop` was called inside a handler, where it would wait for itself. The bus keeps running.
    StopInHandler,
    /// There is no tokio runtime, or both the caller's runtime and the runtime of the bus have shut down. Handlers that
    /// were pending were dropped. Or the runtime of the bus has shut down and the emit needs a task that ran on it,
    /// such as a durable handler; then the emit did not happen.
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

    /// Creates an error with several problems. The message has one line for each.
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

    /// Adds to the message which event of a batch failed. None of the batch was stored.
    pub(crate) fn in_batch(mut self, number: usize, all: usize) -> Self {
        self.0
            .message
            .push_str(&format!(" (event {number} of {all} in the batch, of which none was stored)"));
        self
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether the same call may succeed later without a change.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// Returns the problems that [`BusBuilder::build`](crate::BusBuilder::build) or the schema lock found in the
    /// program. The message contains them, too. Empty for all other errors.
    pub fn problems(&self) -> &[String] {
        &self.0.problems
    }

    /// Returns the id of the event that could not be stored, for a retry with [`Emit::id`](crate::Emit::id).
    pub fn event_id(&self) -> Option<EventId> {
        self.0.event_id
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

/// Prints the message alone, so that an [`Error`] returned from `main` is readable. `{:#?}` prints the kind, the id and
/// the source, too.
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

/// The source contains only details that the message lacks.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
