//! One emitted event: what handlers on wildcards, histories, streams and adapters see.

pub(crate) mod chain;
pub(crate) mod cloudevent;
pub(crate) mod codec;
pub(crate) mod growth;
pub(crate) mod metadata;
pub(crate) mod read_back;
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

/// One emitted event with everything known about it.
///
/// A clone shares the event: it costs one counter. The id and the JSON are made when first asked
/// for, once. Displays as one line, whatever the payload holds.
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

/// One allocation, which every emit with a history makes: small, and with the event in it.
struct Inner<P: ?Sized> {
    body: Body,
    origin: InstanceId,
    metadata: Metadata,
    chain: Chain,
    retry: bool,
    /// The log that keeps the record; 0 for none.
    log: AtomicU32,
    /// About how many bytes the record keeps in memory, what it was asked for later included.
    weight: AtomicUsize,
    timestamp: LazyTimestamp,
    id: OnceLock<EventId>,
    late: OnceLock<Box<Late>>,
    event: P,
}

/// What few records are asked for.
#[derive(Default)]
struct Late {
    json: OnceLock<Result<Box<str>, Box<str>>>,
    views: Views,
}

/// Where the event is.
enum Body {
    /// In the record itself.
    Own(&'static EventDecl),
    /// Beside it, because a handler shares it.
    Shared(&'static EventDecl, Arc<dyn Payload>),
    Stored(Box<Stored>),
}

/// JSON that came from outside, verbatim.
struct Stored {
    name: Name,
    version: u32,
    json: Box<str>,
    /// What stood beside it without its secrets, where it was sealed: all that is shown of it.
    shown: Option<Box<str>>,
    /// The event it was decoded to, once asked for.
    event: OnceLock<Result<Arc<dyn Payload>, DecodeError>>,
}

/// An event name: the constant of a type, or text that came from outside.
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

    /// About how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Declared(_) => 0,
            Self::Undeclared(name) => name.heap_size(),
        }
    }
}

/// Where a new record comes from, besides its payload.
pub(crate) struct Envelope {
    pub(crate) origin: InstanceId,
    pub(crate) metadata: Metadata,
    pub(crate) id: Option<EventId>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) chain: Chain,
}

impl Envelope {
    /// Of a new record that nothing else is known of.
    pub(crate) fn new(origin: InstanceId) -> Self {
        Self { origin, metadata: Metadata::new(), id: None, timestamp: None, chain: Chain::default() }
    }
}

/// A timestamp that is taken when first asked for.
struct LazyTimestamp(AtomicI64);

impl LazyTimestamp {
    /// No clock tells this moment.
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

    /// The timestamp; `now` if it was not asked for before.
    fn get_or_set(&self, now: Timestamp) -> Timestamp {
        let first =
            self.0.compare_exchange(Self::UNSET, now.as_micros(), Ordering::AcqRel, Ordering::Acquire);
        first.map_or_else(Timestamp::from_micros, |_| now)
    }

    /// [`get_or_set`](Self::get_or_set) where nobody else can ask at the same time: without a locked
    /// operation.
    #[inline]
    fn get_or_set_alone(&self, now: Timestamp) -> Timestamp {
        match self.0.load(Ordering::Acquire) {
            Self::UNSET => {
                self.0.store(now.as_micros(), Ordering::Release);
                now
            }
            micros => Timestamp::from_micros(micros),
        }
    }
}

/// What a log needs for each record: its place in three queues, which may have room for half as many more.
const PLACES: usize = 48;

/// What a log needs to find a record by its id.
const PLACE_OF_ID: usize = 48;

/// What a log needs for a name that is not declared.
const PLACE_OF_NAME: usize = 192;

impl<P> Inner<P> {
    /// A record without what its payload points to.
    const WEIGHT: usize = allocation(size_of::<Self>() + 16) + PLACES;
}

impl Inner<NoPayload> {
    fn new(body: Body, weight: usize, envelope: Envelope) -> Self {
        let around = envelope.metadata.weight() + envelope.chain.weight() + PLACE_OF_ID;
        Self {
            body,
            origin: envelope.origin,
            log: AtomicU32::new(0),
            weight: AtomicUsize::new(Self::WEIGHT.saturating_add(weight).saturating_add(around)),
            metadata: envelope.metadata,
            chain: envelope.chain,
            retry: envelope.id.is_some() && envelope.timestamp.is_none(),
            timestamp: envelope.timestamp.map_or_else(LazyTimestamp::unset, LazyTimestamp::given),
            id: envelope.id.map_or_else(OnceLock::new, OnceLock::from),
            late: OnceLock::new(),
            event: NoPayload,
        }
    }
}

impl Record {
    /// A record with its event in it, of which nothing else is known: that of most emits.
    #[inline]
    pub(crate) fn own<E: Event>(event: E, origin: InstanceId) -> Self {
        let inner = Inner {
            body: Body::Own(E::decl()),
            origin,
            metadata: Metadata::new(),
            chain: Chain::default(),
            retry: false,
            log: AtomicU32::new(0),
            weight: AtomicUsize::new(Inner::<E>::WEIGHT.saturating_add(event.heap_size())),
            timestamp: LazyTimestamp::unset(),
            id: OnceLock::new(),
            late: OnceLock::new(),
            event,
        };
        Self { inner: Arc::new(inner) }
    }

    /// A record of an event that stands beside it, to be shared.
    pub(crate) fn shared(decl: &'static EventDecl, event: Arc<dyn Payload>, envelope: Envelope) -> Self {
        let weight = event.size();
        Self { inner: Arc::new(Inner::new(Body::Shared(decl, event), weight, envelope)) }
    }

    /// A record of JSON that is known to be JSON.
    pub(crate) fn of_json(name: Arc<str>, version: u32, json: Box<str>, envelope: Envelope) -> Self {
        Self::of_sealed(name, version, json, None, envelope)
    }

    /// The same of JSON that was sealed, and what stood beside it to be shown.
    pub(crate) fn of_sealed(
        name: Arc<str>,
        version: u32,
        json: Box<str>,
        shown: Option<Box<str>>,
        envelope: Envelope,
    ) -> Self {
        let shown_weight = shown.as_ref().map_or(0, Box::heap_size);
        let name_weight = 2 * name.heap_size() + PLACE_OF_NAME;
        let weight = allocation(size_of::<Stored>()) + json.heap_size() + shown_weight + name_weight;
        let stored = Stored { name: Name::Undeclared(name), version, json, shown, event: OnceLock::new() };
        let body = Body::Stored(Box::new(stored));
        Self { inner: Arc::new(Inner::new(body, weight, envelope)) }
    }

    /// The id: a UUIDv7, made from the timestamp when first asked for unless it was given.
    pub fn id(&self) -> EventId {
        *self.inner.id.get_or_init(|| EventId::at(self.timestamp()))
    }

    /// The timestamp, if it was given or asked for before.
    pub fn known_timestamp(&self) -> Option<Timestamp> {
        self.inner.timestamp.known()
    }

    /// The id: made from this time, which the timestamp then need not be, unless it was given or asked for before.
    pub fn id_at(&self, time: Timestamp) -> EventId {
        *self.inner.id.get_or_init(|| EventId::at(time))
    }

    /// The id, if it was given or asked for before: two records whose ids differ here may still be
    /// one that nobody asked, so use it only to look for a given id.
    pub(crate) fn known_id(&self) -> Option<EventId> {
        self.inner.id.get().copied()
    }

    /// Whether the id was given or asked for before.
    #[inline]
    pub(crate) fn has_id(&self) -> bool {
        self.inner.id.get().is_some()
    }

    /// The name the event was emitted under.
    pub fn name(&self) -> &str {
        match &self.inner.body {
            Body::Own(decl) | Body::Shared(decl, _) => decl.name,
            Body::Stored(stored) => stored.name.as_str(),
        }
    }

    /// Whether the emitter gave the id: the event may have been emitted before.
    pub(crate) fn is_retry(&self) -> bool {
        self.inner.retry
    }

    /// The emits inside which the event was emitted.
    pub(crate) fn chain(&self) -> &Chain {
        &self.inner.chain
    }

    pub(crate) fn shared_name(&self) -> Name {
        match &self.inner.body {
            Body::Own(decl) | Body::Shared(decl, _) => Name::Declared(decl.name),
            Body::Stored(stored) => stored.name.clone(),
        }
    }

    /// The version of the event's shape; 1 unless declared.
    pub fn version(&self) -> u32 {
        match &self.inner.body {
            Body::Own(decl) | Body::Shared(decl, _) => decl.version,
            Body::Stored(stored) => stored.version,
        }
    }

    /// When the event was stored, in microseconds.
    ///
    /// The clock is read when this is first called, and never runs backwards. An adapter that calls
    /// it while it holds the position of the record in its order gets timestamps that never decrease
    /// in that order, as the in-memory history does.
    pub fn timestamp(&self) -> Timestamp {
        self.inner.timestamp.get()
    }

    /// Takes the timestamp, if nobody has asked for it before: now, but not earlier than `earliest`. For an adapter
    /// that shares its order with processes whose clocks may differ.
    pub fn stamp_after(&self, earliest: Timestamp) -> Timestamp {
        self.inner.timestamp.get_or_set(time::now().max(earliest))
    }

    /// Takes this timestamp, if nobody has asked for it before: for an adapter whose engine decides on it, as that only
    /// knows the order. Returns the one it has.
    pub fn stamp_at(&self, time: Timestamp) -> Timestamp {
        self.inner.timestamp.get_or_set(time)
    }

    /// The timestamp; `now` if nobody asked for it before.
    #[inline]
    pub(crate) fn stamp(&self, now: Timestamp) -> Timestamp {
        match Arc::strong_count(&self.inner) {
            1 => {
                // After what others did with clones that are gone now.
                fence(Ordering::Acquire);
                self.inner.timestamp.get_or_set_alone(now)
            }
            _ => self.inner.timestamp.get_or_set(now),
        }
    }

    /// Source, correlation, causation, trace context and further values.
    pub fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    /// The bus that emitted the event: [`Bus::instance`](crate::Bus::instance) of this one, or of
    /// another one that shares the adapter.
    pub fn origin(&self) -> InstanceId {
        self.inner.origin
    }

    /// The event, if it is an `E`.
    ///
    /// `None` for an event of another name, and for one whose stored JSON does not fit `E`; then
    /// [`decode`](Self::decode) says why. JSON from outside is decoded once, when first asked for.
    pub fn get<E: Event>(&self) -> Option<&E> {
        if self.name() != E::NAME {
            return None;
        }
        self.payload(E::decl()).ok()?.get()
    }

    /// The event as an `E` of its own: shared with the record where a handler of the event takes an `Arc<E>`
    /// or the record came from outside, else a copy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] for an event of another name or type, or with JSON that does not fit.
    pub fn decode<E: Event>(&self) -> Result<Arc<E>, Error> {
        let event = self.decoded::<E>()?;
        let shared = match &self.inner.body {
            // Not kept: it would count in no bound.
            Body::Own(_) => return Ok(Arc::new(event.clone())),
            Body::Shared(_, event) => Some(event),
            Body::Stored(stored) => stored.event.get().and_then(|decoded| decoded.as_ref().ok()),
        };
        let shared: Option<Arc<dyn Any + Send + Sync>> = shared.map(|event| Arc::clone(event) as _);
        shared.and_then(|event| event.downcast().ok()).ok_or_else(|| other_type(E::NAME))
    }

    /// The event as an `E`, borrowed; fails like [`decode`](Self::decode).
    pub(crate) fn decoded<E: Event>(&self) -> Result<&E, Error> {
        if self.name() != E::NAME {
            let message = format!("{}: the record is not a {}", self.name(), E::NAME);
            return Err(Error::new(ErrorKind::Payload, message));
        }
        let payload = self.payload(E::decl());
        let payload = payload.map_err(|error| Error::new(ErrorKind::Payload, error.to_string()))?;
        payload.get().ok_or_else(|| other_type(E::NAME))
    }

    /// The payload, decoded by `decl` where it came as JSON.
    pub(crate) fn payload(&self, decl: &'static EventDecl) -> Result<&dyn Payload, DecodeError> {
        match &self.inner.body {
            Body::Own(_) => Ok(&self.inner.event),
            Body::Shared(_, event) => Ok(event.as_ref()),
            Body::Stored(stored) => {
                let decoded = self.keep_once(
                    &stored.event,
                    || decl.decode(stored.version, &stored.json),
                    |decoded| decoded.as_ref().map_or_else(DecodeError::size, |event| event.size()),
                );
                decoded.as_ref().map(AsRef::as_ref).map_err(Clone::clone)
            }
        }
    }

    /// The declaration the record was made with; `None` for JSON from outside.
    #[inline]
    pub(crate) fn decl(&self) -> Option<&'static EventDecl> {
        match &self.inner.body {
            Body::Own(decl) | Body::Shared(decl, _) => Some(decl),
            Body::Stored(_) => None,
        }
    }

    /// The payload as far as it is decoded.
    #[inline]
    pub(crate) fn event(&self) -> Option<&dyn Payload> {
        match &self.inner.body {
            Body::Own(_) => Some(&self.inner.event),
            Body::Shared(_, event) => Some(event.as_ref()),
            Body::Stored(stored) => Some(stored.event.get()?.as_ref().ok()?.as_ref()),
        }
    }

    fn late(&self) -> &Late {
        #[allow(clippy::borrowed_box, reason = "says what is kept once: the box, and not what is in it")]
        let late: &Box<Late> =
            self.keep_once(&self.inner.late, Box::default, |_| allocation(size_of::<Late>()));
        late
    }

    fn json_once(&self, write: impl FnOnce() -> Result<Box<str>, Box<str>>) -> &Result<Box<str>, Box<str>> {
        let size = |json: &Result<Box<str>, Box<str>>| match json {
            Ok(text) | Err(text) => text.heap_size(),
        };
        self.keep_once(&self.late().json, write, size)
    }

    /// Makes what the record keeps from now on, once, and counts it where the record is counted.
    fn keep_once<'a, T>(
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

    /// Counts bytes that the record keeps from now on.
    pub(crate) fn grow(&self, bytes: usize) {
        self.inner.weight.fetch_add(bytes, Ordering::Relaxed);
        let log = self.inner.log.load(Ordering::Relaxed);
        if log != 0 {
            growth::note_growth(log, self, bytes);
        }
    }

    /// Notes which log keeps the record.
    #[inline]
    pub(crate) fn note_log(&self, log: u32) {
        self.inner.log.store(log, Ordering::Relaxed);
    }

    /// Whether both are clones of one record.
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The payload as JSON, without its secrets: an event serialised, once; JSON of an undeclared name,
    /// or from an adapter, verbatim. What was sealed and is not declared here is shown as the adapter kept
    /// it beside the sealed text; a stored version that has secrets is shown as the current one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where the type's `Serialize` fails, for example for a map whose keys
    /// are not strings; where a stored payload with secrets does not fit its type, or reading it panics.
    pub fn json(&self) -> Result<&str, Error> {
        let json = match &self.inner.body {
            Body::Stored(stored) => match (&stored.shown, self.secret_decl()) {
                (Some(shown), _) => return Ok(shown),
                (None, None) => return Ok(&stored.json),
                // What is verbatim has its secrets: the type knows which these are.
                (None, Some(decl)) => self.json_once(|| match self.payload(decl) {
                    Ok(event) => shown(event),
                    Err(error) => Err(error.to_string().into()),
                }),
            },
            Body::Own(_) => self.json_once(|| shown(&self.inner.event)),
            Body::Shared(_, event) => self.json_once(|| shown(event.as_ref())),
        };
        json.as_deref().map_err(|problem| self.unwritable(problem))
    }

    /// The declaration of an event that has secrets.
    fn secret_decl(&self) -> Option<&'static EventDecl> {
        let decl = self.decl().or_else(|| registry().find(self.name()));
        decl.filter(|decl| decl.has_secrets(self.version()))
    }

    /// Whether textual forms leave something out.
    pub(crate) fn has_secrets(&self) -> bool {
        let is_sealed = matches!(&self.inner.body, Body::Stored(stored) if stored.shown.is_some());
        is_sealed || self.secret_decl().is_some()
    }

    /// The payload as JSON with its secrets.
    pub(crate) fn revealed(&self) -> Result<Cow<'_, str>, Error> {
        match &self.inner.body {
            Body::Stored(stored) => Ok(Cow::Borrowed(&stored.json)),
            Body::Own(decl) | Body::Shared(decl, _) => match self.event() {
                Some(event) if decl.secrets() != Secrets::None => {
                    // What is not secret is refused with its whole path.
                    self.json()?;
                    let json = secret::reveal(|| event.to_json());
                    json.map(|json| Cow::Owned(json.into()))
                        .map_err(|error| self.unwritable(&error.without_keys()))
                }
                _ => self.json().map(Cow::Borrowed),
            },
        }
    }

    fn unwritable(&self, problem: &str) -> Error {
        let message = format!("{}: the event can't be written as JSON: {}", self.name(), escaped(problem));
        Error::new(ErrorKind::Serialize, message)
    }

    pub(crate) fn views(&self) -> &Views {
        &self.late().views
    }

    /// The payload as JSON of a version: what is older is brought to the current one by `decl`.
    pub(crate) fn json_of(
        &self,
        version: u32,
        decl: Option<&'static EventDecl>,
    ) -> Result<Cow<'_, str>, Error> {
        match &self.inner.body {
            Body::Stored(stored) if stored.version != version => {
                let refused = |problem: &str| Error::new(ErrorKind::Payload, problem);
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
            _ => self.revealed(),
        }
    }

    /// About how many bytes the record keeps in memory: what the history's byte bound counts.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.inner.weight.load(Ordering::Relaxed)
    }
}

/// The event as JSON without its secrets.
fn shown(event: &dyn Payload) -> Result<Box<str>, Box<str>> {
    event.to_json().map_err(|error| error.to_string().into())
}

fn other_type(name: &str) -> Error {
    let message = format!("{}: two types claim this name, and the record is of the other", name);
    Error::new(ErrorKind::Payload, message)
}

/// `2026-01-31T12:00:00.000000Z user.created {"id":1}`, on one line and without control characters.
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
                match (&self.0.inner.body, self.0.json()) {
                    (Body::Own(_), _) => self.0.inner.event.as_debug().fmt(f),
                    (Body::Shared(_, event), _) => event.as_debug().fmt(f),
                    (Body::Stored(_), Ok(json)) => write!(f, "{}", Escaped { text: json, newline: None }),
                    (Body::Stored(_), Err(error)) => write!(f, "({error})"),
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
