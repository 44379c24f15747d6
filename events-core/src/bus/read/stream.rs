//! Events as a [`Stream`].

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::adapter::query::parse_pattern;
use crate::bus::handlers::argument::Argument;
use crate::bus::handlers::set::EventSet;
use crate::bus::inner::{Bus, Inner};
use crate::error::Error;
use crate::event::Event;
use crate::event::pattern::Pattern;
use crate::log::reader::{ReadItem, Reader};
use crate::record::Record;

/// Adds `next` to a stream, so that a `while let` loop needs no combinator crate.
macro_rules! next {
    ([$($generics:tt)*] $stream:ty, $item:ty) => {
        impl $($generics)* $stream {
            /// Returns the next item, or `None` once [`Bus::stop`] was called and everything was read. The
            /// stream also works with the combinators of other crates, such as `StreamExt` of futures.
            ///
            /// # Cancel safety
            ///
            /// Cancel safe: dropping the future loses no item.
            pub async fn next(&mut self) -> Option<Result<$item, Lagged>> {
                std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
            }
        }
    };
}

next!([] EventStream, Record);
next!([<E: Event>] TypedStream<E>, Arc<E>);
next!([<S: EventSet + for<'r> Argument<'r>>] SetStream<S>, S);

/// A stream of the records that match a pattern, beginning now, in the order in which events reached this bus. Returned
/// by [`Bus::stream`]. The stream ends after [`Bus::stop`], once everything was read.
///
/// Emits never wait for a stream. A stream has no buffer of its own: it reads the events that the bus keeps, so events of
/// other names can push out those that it has not read. While a stream exists, the bus keeps as many events as
/// [`BusBuilder::history`](crate::BusBuilder::history) or
/// [`BusBuilder::stream_buffer`](crate::BusBuilder::stream_buffer) says, whichever is more, in the memory that
/// [`BusBuilder::history_bytes`](crate::BusBuilder::history_bytes) allows. If a stream falls further behind, it yields
/// [`Lagged`] once, with the number of events that it lost, and continues with the oldest event that is kept.
///
/// If a server waits for its connections to end, and each connection waits for a stream, stop both at once:
/// `tokio::join!(server.with_graceful_shutdown(signal), async { signal.await; bus.stop().await })`.
///
/// # Cancel safety
///
/// Dropping the future of `next()` loses nothing. Dropping the stream releases the events that were kept for
/// it.
///
/// # Complexity
///
/// A read examines each event since the last read once. An emit examines each stream. For thousands of
/// readers, use one stream and distribute its events.
#[must_use = "streams do nothing unless polled"]
pub struct EventStream {
    reader: Reader,
    bus: Weak<Inner>,
    pattern: Box<str>,
}

/// Error of a stream that fell behind and lost events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    missed: u64,
}

impl Lagged {
    /// Returns how many events were lost that the stream's pattern matches. A [`TypedStream`] counts only the events of
    /// its type. A [`SetStream`] counts all events that the pattern matches, including those for which its set has no
    /// variant.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream fell behind and lost {} events", self.missed)
    }
}

impl std::error::Error for Lagged {}

impl EventStream {
    /// Narrows the stream to the events of one type, decoded.
    ///
    /// The bus decodes an event from another instance when it arrives. An event that does not fit its type is refused,
    /// counted in [`Bus::stats`], and never reaches the stream. An event that the bus accepted as
    /// [undeclared](crate::BusBuilder::accept_undeclared) is decoded only here: if it does not fit `E`, the stream
    /// skips it and logs a warning.
    ///
    /// Logs a warning, once per location in the code, if the stream's pattern matches other events and not this one.
    #[track_caller]
    pub fn of<E: Event>(self) -> TypedStream<E> {
        if !Pattern::of_valid(&self.pattern).matches(E::NAME)
            && let Some(bus) = self.bus.upgrade()
        {
            bus.note_pattern_misses_event(Location::caller(), &self.pattern, E::NAME);
        }
        self.reader.restrict_to(E::NAME);
        TypedStream { records: self, event: PhantomData }
    }
}

impl EventStream {
    /// Narrows the stream to the events for which an event set has a variant. Each variant of the set must
    /// hold an `Arc<E>`. Other events are skipped.
    ///
    /// Events that do not fit their types are refused or skipped, as by [`of`](Self::of).
    ///
    /// Logs a warning, once per location in the code, if the stream's pattern matches events, but none of the set.
    #[track_caller]
    pub fn set<S: EventSet + for<'r> Argument<'r>>(self) -> SetStream<S> {
        let accepts = S::ACCEPTS;
        if !accepts.is_reached(&[&self.pattern])
            && let (Some(bus), Some(name)) = (self.bus.upgrade(), accepts.names().first())
        {
            bus.note_pattern_misses_event(Location::caller(), &self.pattern, name);
        }
        SetStream { records: self, set: PhantomData }
    }
}

impl EventStream {
    /// Logs that a record is skipped because it can't be decoded.
    fn warn_of_unreadable(&self, record: &Record, error: &Error) {
        if let Some(bus) = self.bus.upgrade() {
            let id = record.id();
            let reporter = &bus.settings.reporter;
            reporter.warning(format_args!("a stream skips an event that can't be read: {error} (id {id})"));
        }
    }
}

/// A stream of the events of an event set, beginning now. Otherwise like [`EventStream`]. Returned by
/// [`EventStream::set`].
#[must_use = "streams do nothing unless polled"]
pub struct SetStream<S> {
    records: EventStream,
    set: PhantomData<fn() -> S>,
}

impl<S> Stream for SetStream<S>
where
    S: EventSet + for<'r> Argument<'r>,
{
    type Item = Result<S, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.records).poll_next(cx)) {
                Some(Ok(record)) => {
                    match S::of_record(&record) {
                        Ok(event) => return Poll::Ready(Some(Ok(event))),
                        Err(error) if S::ACCEPTS.contains(record.name()) => {
                            self.records.warn_of_unreadable(&record, &error)
                        }
                        // The set has no variant for the event.
                        Err(_) => {}
                    }
                }
                Some(Err(lagged)) => return Poll::Ready(Some(Err(lagged))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Record, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.reader.poll_next(cx).map(|read| match read? {
            ReadItem::Record(record, _) => Some(Ok(record)),
            ReadItem::Lost(missed) => Some(Err(Lagged { missed })),
        })
    }
}

/// A stream of the events of one type, beginning now. Otherwise like [`EventStream`]. Returned by
/// [`EventStream::of`].
#[must_use = "streams do nothing unless polled"]
pub struct TypedStream<E> {
    records: EventStream,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Stream for TypedStream<E> {
    type Item = Result<Arc<E>, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.records).poll_next(cx)) {
                Some(Ok(record)) => match record.decode() {
                    Ok(event) => return Poll::Ready(Some(Ok(event))),
                    Err(error) => self.records.warn_of_unreadable(&record, &error),
                },
                Some(Err(lagged)) => return Poll::Ready(Some(Err(lagged))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Bus {
    /// Returns a stream of the events that match a pattern, beginning now; see [`EventStream`].
    ///
    /// A pattern that matches no declared event is a warning, logged once per location in the code, unless the bus
    /// [accepts undeclared events](crate::BusBuilder::accept_undeclared).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) if the text is not a valid pattern.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("price.changed")]
    /// pub struct PriceChanged { pub cents: u64 }
    ///
    /// let bus = Bus::new().await?;
    /// let mut prices = bus.stream("price.*")?.of::<PriceChanged>();
    /// bus.emit(PriceChanged { cents: 250 }).await?;
    /// assert_eq!(prices.next().await.unwrap()?.cents, 250);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn stream(&self, pattern: &str) -> Result<EventStream, Error> {
        let stream = self.stream_unchecked(pattern)?;
        self.inner.note_pattern_without_events("stream", Location::caller(), parse_pattern(pattern)?);
        Ok(stream)
    }

    /// Returns a stream without reporting a pattern that no event can match.
    pub(crate) fn stream_unchecked(&self, pattern: &str) -> Result<EventStream, Error> {
        let parsed: Pattern<'_> = parse_pattern(pattern)?;
        let reader = Reader::new(Arc::clone(&self.inner.log), parsed);
        Ok(EventStream { reader, bus: Arc::downgrade(&self.inner), pattern: pattern.into() })
    }
}
