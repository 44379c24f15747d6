//! Records: emitted events as wildcard handlers, histories, streams and adapters see them.

pub(crate) mod chain;
pub(crate) mod cloudevent;
pub(crate) mod codec;
pub(crate) mod growth;
pub(crate) mod metadata;
pub(crate) mod read_back;
pub(crate) mod repetition;
pub(crate) mod views;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind};
use crate::event::{DecodeError, Event, EventDecl, NoPayload, Payload, registry};
use crate::id::{EventId, InstanceId};
use crate::record::chain::Chain;
use crate::record::metadata::Metadata;
use crate::record::views::Views;
use crate::schema::Schema;
use crate::schema::memory::allocation;
use crate::secret::{self, Secrets};
use crate::text::{Escaped, escaped};
use crate::time::{self, Timestamp};

/// An emitted event with its id, timestamp, origin and metadata.
///
/// Clones share the event; cloning increments one counter. The id and the JSON are each created once, when
/// they are first requested. `Display` writes one line, even if the payload contains line breaks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::{Bus, event};
///
/// #[event("record_doc.created")]
/// pub struct Created { pub id: u64 }
///
/// let bus = Bus::new().await?;
/// bus.emit(Created { id: 7 }).await?;
/// let record = &bus.history("*").await?[0];
/// assert_eq!(record.name(), "record_doc.created");
/// assert_eq!(record.get::<Created>().map(|event| event.id), Some(7));
/// assert_eq!(record.json()?, r#"{"id":7}"#);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Record {
    inner: Arc<Inner<dyn Payload>>,
}

/// Contents of a record: one allocation that includes the event. Every emit with a history makes one, so it
/// is kept small.
struct Inner<P: ?Sized> {
    event_data: EventData,
    origin: InstanceId,
    metadata: Metadata,
    chain: Chain,
    retry: bool,
    /// Number of the log that keeps the record; 0 if no log does.
    log: AtomicU32,
    /// Approximate memory of the record in bytes, including values created later on request.
    weight: AtomicUsize,
    timestamp: LazyTimestamp,
    id: OnceLock<EventId>,
    lazy_data: OnceLock<Box<LazyData>>,
    event: P,
}

/// Data that only few records need, allocated on first use.
#[derive(Default)]
struct LazyData {
    json: OnceLock<Result<Box<str>, Box<str>>>,
    views: Views,
}

/// The event of a record: where it is stored, or its JSON.
enum EventData {
    /// In `Inner::event` of the record itself.
    Inline(&'static EventDecl),
    /// In a separate allocation, because a handler shares the event.
    Shared(&'static EventDecl, Arc<dyn Payload>),
    Json(Box<JsonEvent>),
}

/// JSON from outside, unchanged.
struct JsonEvent {
    name: Name,
    version: u32,
    json: Box<str>,
    /// For a sealed record: the JSON without secrets that was stored with the sealed text. Textual forms show
    /// only this.
    json_without_secrets: Option<Box<str>>,
    /// Result of decoding `json`, created when first requested.
    event: OnceLock<Result<Arc<dyn Payload>, DecodeError>>,
}

/// An event name: the constant of a declared type, or a name from outside.
#[derive(Clone)]
pub(crate) enum Name {
    Declared(&'static str),
    Undeclared(Arc<str>),
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Declared(name) => name,
            Self::Undeclared(name) => name,
        }
    }

    /// Approximate heap memory in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Declared(_) => 0,
            Self::Undeclared(name) => name.heap_size(),
        }
    }
}

/// Data of a new record other than its payload.
pub(crate) struct Envelope {
    pub(crate) origin: InstanceId,
    pub(crate) metadata: Metadata,
    pub(crate) id: Option<EventId>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) chain: Chain,
}

impl Envelope {
    /// The envelope of a record of which only the origin is given.
    pub(crate) fn new(origin: InstanceId) -> Self {
        Self { origin, metadata: Metadata::new(), id: None, timestamp: None, chain: Chain::default() }
    }
}

/// A timestamp that is read from the clock when first requested.
struct LazyTimestamp(AtomicI64);

impl LazyTimestamp {
    /// Marks an unset timestamp. No clock returns this value.
    const UNSET: i64 = i64::MIN;

    #[inline]
    const fn unset() -> Self {
        Self(AtomicI64::new(Self::UNSET))
    }

    fn given(timestamp: Timestamp) -> Self {
        Self(timestamp.as_micros().into())
    }

    fn get(&self) -> Timestamp {
        self.known().unwrap_or_else(|| self.get_or_set(time::now()))
    }

    fn known(&self) -> Option<Timestamp> {
        match self.0.load(Ordering::Acquire) {
            Self::UNSET => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    /// Returns the timestamp. Sets it to `now` if it is not set.
    fn get_or_set(&self, now: Timestamp) -> Timestamp {
        let first =
            self.0.compare_exchange(Self::UNSET, now.as_micros(), Ordering::AcqRel, Ordering::Acquire);
        first.map_or_else(Timestamp::from_micros, |_| now)
    }

    /// Like [`get_or_set`](Self::get_or_set), but without an atomic read-modify-write. The caller must ensure
    /// that no other thread accesses the timestamp at the same time.
    #[inline]
    fn get_or_set_unshared(&self, now: Timestamp) -> Timestamp {
        match self.0.load(Ordering::Acquire) {
            Self::UNSET => {
                self.0.store(now.as_micros(), Ordering::Release);
                now
            }
            micros => Timestamp::from_micros(micros),
        }
    }
}

/// Memory that a log needs per record, in bytes: entries in three queues, whose capacity may exceed their
/// length by half.
const BYTES_IN_LOG: usize = 48;

/// Memory that a log needs to index a record by id, in bytes.
const BYTES_OF_ID_IN_LOG: usize = 48;

/// Memory that a log needs for an undeclared name, in bytes.
const BYTES_OF_NAME_IN_LOG: usize = 192;

impl<P> Inner<P> {
    /// Memory of a record without the heap memory of its payload, in bytes.
    const BASE_WEIGHT: usize = allocation(size_of::<Self>() + 16) + BYTES_IN_LOG;
}

impl Inner<NoPayload> {
    fn new(event_data: EventData, weight: usize, envelope: Envelope) -> Self {
        let around = envelope.metadata.weight() + envelope.chain.weight() + BYTES_OF_ID_IN_LOG;
        Self {
            event_data,
            origin: envelope.origin,
            log: AtomicU32::new(0),
            weight: AtomicUsize::new(Self::BASE_WEIGHT.saturating_add(weight).saturating_add(around)),
            metadata: envelope.metadata,
            chain: envelope.chain,
            retry: envelope.id.is_some() && envelope.timestamp.is_none(),
            timestamp: envelope.timestamp.map_or_else(LazyTimestamp::unset, LazyTimestamp::given),
            id: envelope.id.map_or_else(OnceLock::new, OnceLock::from),
            lazy_data: OnceLock::new(),
            event: NoPayload,
        }
    }
}

impl Record {
    /// Creates a record that contains its event and has no id, timestamp or metadata yet. Most emits use it.
    #[inline]
    pub(crate) fn inline<E: Event>(event: E, origin: InstanceId) -> Self {
        let inner = Inner {
            event_data: EventData::Inline(E::decl()),
            origin,
            metadata: Metadata::new(),
            chain: Chain::default(),
            retry: false,
            log: AtomicU32::new(0),
            weight: AtomicUsize::new(Inner::<E>::BASE_WEIGHT.saturating_add(event.heap_size())),
            timestamp: LazyTimestamp::unset(),
            id: OnceLock::new(),
            lazy_data: OnceLock::new(),
            event,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Creates a record of an event in a shared allocation.
    pub(crate) fn shared(decl: &'static EventDecl, event: Arc<dyn Payload>, envelope: Envelope) -> Self {
        let weight = event.size();
        Self { inner: Arc::new(Inner::new(EventData::Shared(decl, event), weight, envelope)) }
    }

    /// Creates a record from text that is known to be valid JSON.
    pub(crate) fn from_json(name: Arc<str>, version: u32, json: Box<str>, envelope: Envelope) -> Self {
        Self::from_sealed(name, version, json, None, envelope)
    }

    /// Creates a record from decrypted JSON. `json_without_secrets` was stored with the sealed text, if the
    /// record was sealed.
    pub(crate) fn from_sealed(
        name: Arc<str>,
        version: u32,
        json: Box<str>,
        json_without_secrets: Option<Box<str>>,
        envelope: Envelope,
    ) -> Self {
        let shown_weight = json_without_secrets.as_ref().map_or(0, Box::heap_size);
        let name_weight = 2 * name.heap_size() + BYTES_OF_NAME_IN_LOG;
        let weight = allocation(size_of::<JsonEvent>()) + json.heap_size() + shown_weight + name_weight;
        let stored = JsonEvent {
            name: Name::Undeclared(name),
            version,
            json,
            json_without_secrets,
            event: OnceLock::new(),
        };
        let event_data = EventData::Json(Box::new(stored));
        Self { inner: Arc::new(Inner::new(event_data, weight, envelope)) }
    }

    /// Returns the id, a UUIDv7. Unless the emitter gave one, it is created from the timestamp when first
    /// requested.
    pub fn id(&self) -> EventId {
        *self.inner.id.get_or_init(|| EventId::at(self.timestamp()))
    }

    /// Returns the timestamp if it is set already.
    pub fn known_timestamp(&self) -> Option<Timestamp> {
        self.inner.timestamp.known()
    }

    /// Returns the id. If it is not set, creates it from `time`, which may differ from the timestamp.
    pub fn id_at(&self, time: Timestamp) -> EventId {
        *self.inner.id.get_or_init(|| EventId::at(time))
    }

    /// Returns the id if it is set already.
    ///
    /// Use this only to look up a given id. It returns `None` while the id is not yet created, so it does not
    /// tell whether two records are the same.
    pub(crate) fn known_id(&self) -> Option<EventId> {
        self.inner.id.get().copied()
    }

    /// Whether the id is set already: the emitter gave it, or it was requested before.
    #[inline]
    pub fn has_id(&self) -> bool {
        self.inner.id.get().is_some()
    }

    /// Name under which the event was emitted.
    pub fn name(&self) -> &str {
        match &self.inner.event_data {
            EventData::Inline(decl) | EventData::Shared(decl, _) => decl.name,
            EventData::Json(stored) => stored.name.as_str(),
        }
    }

    /// Whether the emitter gave the id but no timestamp. The event may then have been emitted before.
    pub(crate) fn is_retry(&self) -> bool {
        self.inner.retry
    }

    /// The chain of nested emits that led to the event.
    pub(crate) fn chain(&self) -> &Chain {
        &self.inner.chain
    }

    pub(crate) fn shared_name(&self) -> Name {
        match &self.inner.event_data {
            EventData::Inline(decl) | EventData::Shared(decl, _) => Name::Declared(decl.name),
            EventData::Json(stored) => stored.name.clone(),
        }
    }

    /// Version of the event's schema. The default is 1.
    pub fn version(&self) -> u32 {
        match &self.inner.event_data {
            EventData::Inline(decl) | EventData::Shared(decl, _) => decl.version,
            EventData::Json(stored) => stored.version,
        }
    }

    /// Time at which the event was stored, with microsecond precision.
    ///
    /// The first call reads the clock, which never goes backwards. If an adapter makes that call while it
    /// holds the lock that assigns positions, timestamps never decrease in the order of the log. The
    /// in-memory history does so.
    pub fn timestamp(&self) -> Timestamp {
        self.inner.timestamp.get()
    }

    /// Returns the timestamp. If it is not set, sets it to the current time, but not to less than `earliest`.
    ///
    /// An adapter uses this if processes with different clocks append to the same log.
    pub fn stamp_after(&self, earliest: Timestamp) -> Timestamp {
        self.inner.timestamp.get_or_set(time::now().max(earliest))
    }

    /// Returns the timestamp. If it is not set, sets it to `time`.
    ///
    /// An adapter uses this if its engine assigns the timestamp together with the position.
    pub fn stamp_at(&self, time: Timestamp) -> Timestamp {
        self.inner.timestamp.get_or_set(time)
    }

    /// Returns the timestamp. Sets it to `now` if it is not set.
    #[inline]
    pub(crate) fn stamp(&self, now: Timestamp) -> Timestamp {
        match Arc::strong_count(&self.inner) {
            1 => {
                // Synchronises with the drops of other clones, so that their timestamp, if they set one, is
                // visible.
                fence(Ordering::Acquire);
                self.inner.timestamp.get_or_set_unshared(now)
            }
            _ => self.inner.timestamp.get_or_set(now),
        }
    }

    /// Metadata of the emit: source, correlation id, causation id, trace context and additional values.
    pub fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    /// Instance that emitted the event: the [`Bus::instance`](crate::Bus::instance) of this bus or of another
    /// bus on the same adapter.
    pub fn origin(&self) -> InstanceId {
        self.inner.origin
    }

    /// Returns the event if its type is `E`.
    ///
    /// Returns `None` if the event has another name, or if its stored JSON can't be decoded as `E`;
    /// [`decode`](Self::decode) returns the cause. JSON from outside is decoded once, on the first request.
    pub fn get<E: Event>(&self) -> Option<&E> {
        if self.name() != E::NAME {
            return None;
        }
        self.payload(E::decl()).ok()?.get()
    }

    /// Returns the event as an `Arc<E>`. The event is shared with the record if a handler of the event takes
    /// an `Arc<E>` or if the record came from outside; otherwise it is cloned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] if the event has another name or type, or if its JSON can't be decoded as `E`.
    pub fn decode<E: Event>(&self) -> Result<Arc<E>, Error> {
        let event = self.decoded::<E>()?;
        let shared = match &self.inner.event_data {
            // The copy is not kept in the record, because no memory limit would count it.
            EventData::Inline(_) => return Ok(Arc::new(event.clone())),
            EventData::Shared(_, event) => Some(event),
            EventData::Json(stored) => stored.event.get().and_then(|decoded| decoded.as_ref().ok()),
        };
        let shared: Option<Arc<dyn Any + Send + Sync>> = shared.map(|event| Arc::clone(event) as _);
        shared.and_then(|event| event.downcast().ok()).ok_or_else(|| other_type(E::NAME))
    }

    /// Returns a reference to the event, with the errors of [`decode`](Self::decode).
    pub(crate) fn decoded<E: Event>(&self) -> Result<&E, Error> {
        if self.name() != E::NAME {
            let message = format!("{}: the record is not a {}", self.name(), E::NAME);
            return Err(Error::new(ErrorKind::Unreadable, message));
        }
        let payload = self.payload(E::decl());
        let payload = payload.map_err(|error| Error::new(ErrorKind::Unreadable, error.to_string()))?;
        payload.get().ok_or_else(|| other_type(E::NAME))
    }

    /// Returns the payload. Decodes it with `decl` if the record holds JSON.
    pub(crate) fn payload(&self, decl: &'static EventDecl) -> Result<&dyn Payload, DecodeError> {
        match &self.inner.event_data {
            EventData::Inline(_) => Ok(&self.inner.event),
            EventData::Shared(_, event) => Ok(event.as_ref()),
            EventData::Json(stored) => {
                let decoded = self.init_and_count(
                    &stored.event,
                    || decl.decode(stored.version, &stored.json),
                    |decoded| decoded.as_ref().map_or_else(DecodeError::size, |event| event.size()),
                );
                decoded.as_ref().map(AsRef::as_ref).map_err(Clone::clone)
            }
        }
    }

    /// Declaration with which the record was created; `None` for JSON from outside.
    #[inline]
    pub(crate) fn decl(&self) -> Option<&'static EventDecl> {
        match &self.inner.event_data {
            EventData::Inline(decl) | EventData::Shared(decl, _) => Some(decl),
            EventData::Json(_) => None,
        }
    }

    /// Returns the payload if it is decoded already.
    #[inline]
    pub(crate) fn event(&self) -> Option<&dyn Payload> {
        match &self.inner.event_data {
            EventData::Inline(_) => Some(&self.inner.event),
            EventData::Shared(_, event) => Some(event.as_ref()),
            EventData::Json(stored) => Some(stored.event.get()?.as_ref().ok()?.as_ref()),
        }
    }

    fn lazy_data(&self) -> &LazyData {
        #[allow(clippy::borrowed_box, reason = "says what is kept once: the box, and not what is in it")]
        let lazy_data: &Box<LazyData> =
            self.init_and_count(&self.inner.lazy_data, Box::default, |_| allocation(size_of::<LazyData>()));
        lazy_data
    }

    fn json_once(&self, write: impl FnOnce() -> Result<Box<str>, Box<str>>) -> &Result<Box<str>, Box<str>> {
        let size = |json: &Result<Box<str>, Box<str>>| match json {
            Ok(text) | Err(text) => text.heap_size(),
        };
        self.init_and_count(&self.lazy_data().json, write, size)
    }

    /// Initialises a value that the record keeps, and adds its size to the weight of the record.
    fn init_and_count<'a, T>(
        &self,
        kept: &'a OnceLock<T>,
        make: impl FnOnce() -> T,
        size: impl FnOnce(&T) -> usize,
    ) -> &'a T {
        let mut is_new = false;
        let value = kept.get_or_init(|| {
            is_new = true;
            make()
        });
        if is_new {
            self.grow(size(value));
        }
        value
    }

    /// Adds bytes to the weight of the record, and to the log that keeps it.
    pub(crate) fn grow(&self, bytes: usize) {
        self.inner.weight.fetch_add(bytes, Ordering::Relaxed);
        let log = self.inner.log.load(Ordering::Relaxed);
        if log != 0 {
            growth::note_growth(log, self, bytes);
        }
    }

    /// Sets the log that keeps the record.
    #[inline]
    pub(crate) fn set_log(&self, log: u32) {
        self.inner.log.store(log, Ordering::Relaxed);
    }

    /// Whether both are clones of the same record.
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Returns the payload as JSON, without its secrets.
    ///
    /// - An event is serialised once, on the first request.
    /// - JSON from an adapter, or of an undeclared name, is returned unchanged if the event has no secrets.
    /// - For a sealed record, the JSON is the text without secrets that the adapter stored with the sealed
    ///   text.
    /// - For other JSON with secrets, the JSON is decoded into the current version of the event, which is then
    ///   serialised without its secrets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] if the type's `Serialize` fails, for example because the keys of a map are
    /// not strings; if a stored payload with secrets can't be decoded; or if decoding it panics.
    pub fn json(&self) -> Result<&str, Error> {
        let json = match &self.inner.event_data {
            EventData::Json(stored) => match (&stored.json_without_secrets, self.secret_decl()) {
                (Some(json_without_secrets), _) => return Ok(json_without_secrets),
                (None, None) => return Ok(&stored.json),
                // The JSON includes the secrets, and only the type tells which fields they are.
                (None, Some(decl)) => self.json_once(|| match self.payload(decl) {
                    Ok(event) => json_without_secrets(event),
                    Err(error) => Err(error.to_string().into()),
                }),
            },
            EventData::Inline(_) => self.json_once(|| json_without_secrets(&self.inner.event)),
            EventData::Shared(_, event) => self.json_once(|| json_without_secrets(event.as_ref())),
        };
        json.as_deref().map_err(|problem| self.serialize_error(problem))
    }

    /// Returns the declaration of the event if the event has secrets.
    fn secret_decl(&self) -> Option<&'static EventDecl> {
        let decl = self.decl().or_else(|| registry().find(self.name()));
        decl.filter(|decl| decl.has_secrets(self.version()))
    }

    /// Whether textual forms of the record omit secrets.
    pub(crate) fn has_secrets(&self) -> bool {
        let is_sealed = matches!(&self.inner.event_data, EventData::Json(stored) if stored.json_without_secrets.is_some());
        is_sealed || self.secret_decl().is_some()
    }

    /// Returns the payload as JSON, including its secrets.
    pub(crate) fn json_with_secrets(&self) -> Result<Cow<'_, str>, Error> {
        match &self.inner.event_data {
            EventData::Json(stored) => Ok(Cow::Borrowed(&stored.json)),
            EventData::Inline(decl) | EventData::Shared(decl, _) => match self.event() {
                Some(event) if decl.secrets() != Secrets::None => {
                    // The JSON without secrets is written first, because its errors name the full path.
                    self.json()?;
                    let json = secret::reveal(|| event.to_json());
                    json.map(|json| Cow::Owned(json.into()))
                        .map_err(|error| self.serialize_error(&error.without_keys()))
                }
                _ => self.json().map(Cow::Borrowed),
            },
        }
    }

    fn serialize_error(&self, problem: &str) -> Error {
        let message = format!("{}: the event can't be written as JSON: {}", self.name(), escaped(problem));
        Error::new(ErrorKind::Serialize, message)
    }

    pub(crate) fn views(&self) -> &Views {
        &self.lazy_data().views
    }

    /// Returns the payload as JSON of the given version. A record of another version is converted to the
    /// current version with `decl`.
    pub(crate) fn json_of(
        &self,
        version: u32,
        decl: Option<&'static EventDecl>,
    ) -> Result<Cow<'_, str>, Error> {
        match &self.inner.event_data {
            EventData::Json(stored) if stored.version != version => {
                let refused = |problem: &str| Error::new(ErrorKind::Unreadable, problem);
                let Some(decl) = decl else {
                    let (name, own) = (self.name(), stored.version);
                    let problem =
                        format!("{name}: version {own} can't be read, only version {version} is known here");
                    return Err(refused(&problem));
                };
                let event = self.payload(decl).map_err(|error| refused(&error.to_string()))?;
                let json = secret::reveal(|| event.to_json());
                json.map(|json| Cow::Owned(json.into())).map_err(|error| refused(&error.without_keys()))
            }
            _ => self.json_with_secrets(),
        }
    }

    /// Approximate memory of the record in bytes, as counted by the byte limit of the history.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.inner.weight.load(Ordering::Relaxed)
    }
}

/// Returns the event as JSON without its secrets.
fn json_without_secrets(event: &dyn Payload) -> Result<Box<str>, Box<str>> {
    event.to_json().map_err(|error| error.to_string().into())
}

fn other_type(name: &str) -> Error {
    let message = format!("{}: two types claim this name, and the record has the other type", name);
    Error::new(ErrorKind::Unreadable, message)
}

/// Writes `2026-01-31T12:00:00.000000Z user.created {"id":1}`, on one line and without control characters.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.timestamp(), self.name())?;
        match self.json() {
            Ok(json) => write!(f, "{}", Escaped { text: json, newline: Some(" ") }),
            Err(error) => write!(f, "({error})"),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Redacted<'a>(&'a Record);
        impl fmt::Debug for Redacted<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match (&self.0.inner.event_data, self.0.json()) {
                    (EventData::Inline(_), _) => self.0.inner.event.as_debug().fmt(f),
                    (EventData::Shared(_, event), _) => event.as_debug().fmt(f),
                    (EventData::Json(_), Ok(json)) => write!(f, "{}", Escaped { text: json, newline: None }),
                    (EventData::Json(_), Err(error)) => write!(f, "({error})"),
                }
            }
        }
        f.debug_struct("Record")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("timestamp", &self.timestamp())
            .field("metadata", self.metadata())
            .field("event", &Redacted(self))
            .finish_non_exhaustive()
    }
}
