//! Events as a `Stream`.

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
use crate::log::reader::{Read, Reader};
use crate::record::Record;

/// Adds `next` to a stream, so that a `while let` loop needs no crate of combinators.
macro_rules! next {
    ([$($generics:tt)*] $stream:ty, $item:ty) => {
        impl $($generics)* $stream {
            /// The next item; `None` after [`Bus::stop`], when all is read. The combinators of other crates, such as
            /// futures' `StreamExt`, work on the stream as well.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn next(&mut self) -> Option<Result<$item, Lagged>> {
                std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
            }
        }
    };
}

next!([] EventStream, Record);
next!([<E: Event>] TypedStream<E>, Arc<E>);
next!([<S: EventSet + for<'r> Argument<'r>>] SetStream<S>, S);

/// The records of a pattern from now on, in the history's order: what [`Bus::stream`] returns.
///
/// With an adapter, the order is that in which events reached this bus. It ends after [`Bus::stop`], when all is read. Emits never wait for it. It may fall behind by as
/// many events as the history keeps, and at least by 1024 (settable by
/// [`BusBuilder::stream_buffer`](crate::BusBuilder::stream_buffer)) of whatever names; what it loses
/// then it is told, once, as [`Lagged`], and goes on with the oldest that is kept.
///
/// A server that waits for its connections to end, while each of them waits for a stream, stops with
/// the bus: `tokio::join!(server.with_graceful_shutdown(signal), async { signal.await; bus.stop().await })`.
///
/// # Cancel safety
///
/// `next()` may be dropped: nothing is lost by it. Dropping the stream frees what was kept for it.
///
/// # Complexity
///
/// Reading looks once at each event since. An emit looks at each stream that waits: thousands of
/// consumers are better served by one stream that passes on.
#[must_use = "a stream gives nothing until it is polled"]
pub struct EventStream {
    reader: Reader,
    bus: Weak<Inner>,
    pattern: Box<str>,
}

/// A stream fell behind: so many of its events are lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    missed: u64,
}

impl Lagged {
    /// How many matching events were lost.
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
    /// Only the events of one type, decoded.
    ///
    /// An event that comes from another instance and does not fit `E` never reaches the stream: it
    /// is refused, and counted in [`Bus::stats`].
    ///
    /// Where the stream's pattern never takes the event, that is a warning.
    #[track_caller]
    pub fn of<E: Event>(self) -> TypedStream<E> {
        if !Pattern::of_valid(&self.pattern).matches(E::NAME)
            && let Some(bus) = self.bus.upgrade()
        {
            bus.note_other_event(Location::caller(), &self.pattern, E::NAME);
        }
        self.reader.narrow(E::NAME);
        TypedStream { records: self, event: PhantomData }
    }
}

impl EventStream {
    /// Only the events that an event set has a variant for: a set whose variants hold an `Arc<E>` each.
    /// The others are passed over.
    ///
    /// An event that comes from another instance and does not fit its type never reaches the stream.
    ///
    /// Where the stream's pattern never takes any of them, that is a warning.
    #[track_caller]
    pub fn set<S: EventSet + for<'r> Argument<'r>>(self) -> SetStream<S> {
        let takes = S::TAKES;
        if !takes.is_reached(&[&self.pattern])
            && let (Some(bus), Some(name)) = (self.bus.upgrade(), takes.names().first())
        {
            bus.note_other_event(Location::caller(), &self.pattern, name);
        }
        SetStream { records: self, set: PhantomData }
    }
}

impl EventStream {
    /// Tells of a record that can't be read as what the stream gives.
    fn pass_over(&self, record: &Record, error: &Error) {
        if let Some(bus) = self.bus.upgrade() {
            let id = record.id();
            let fallback = &bus.settings.fallback;
            fallback
                .warning(format_args!("a stream passes over an event that can't be read: {error} (id {id})"));
        }
    }
}

/// The events of a set from now on; in all else an [`EventStream`].
#[must_use = "a stream gives nothing until it is polled"]
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
                        Err(error) if S::TAKES.takes(record.name()) => {
                            self.records.pass_over(&record, &error)
                        }
                        // The set has no variant for it.
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
            Read::Record(record, _) => Some(Ok(record)),
            Read::Lost(missed) => Some(Err(Lagged { missed })),
        })
    }
}

/// The events of one type from now on; in all else an [`EventStream`].
#[must_use = "a stream gives nothing until it is polled"]
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
                    Err(error) => self.records.pass_over(&record, &error),
                },
                Some(Err(lagged)) => return Poll::Ready(Some(Err(lagged))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Bus {
    /// The events of a pattern from now on, as a stream; see [`EventStream`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) for a text that is not a pattern. One that no declared event
    /// matches is a warning, once per place in the code.
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
        self.inner.note_reach("stream", Location::caller(), parse_pattern(pattern)?);
        Ok(stream)
    }

    /// A stream whose pattern is not reported where no event can match it.
    pub(crate) fn stream_unchecked(&self, pattern: &str) -> Result<EventStream, Error> {
        let parsed: Pattern<'_> = parse_pattern(pattern)?;
        let reader = Reader::new(Arc::clone(&self.inner.log), parsed);
        Ok(EventStream { reader, bus: Arc::downgrade(&self.inner), pattern: pattern.into() })
    }
}
