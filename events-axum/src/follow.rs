//! The one task that follows the bus for all clients of a bridge, in the order of the history: that is the order in
//! which a client may resume, on whichever instance.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use events_core::bridge;
use events_core::{Bus, Error, EventStream, Lagged, Record};
use futures_util::FutureExt;
use tokio::sync::broadcast;

use crate::message::{Message, Unsent};
use crate::place::Place;

/// The most that is read of the history at a time; what came in between is less, unless the history could not be read.
const MOST: usize = 100_000;

/// What goes to the clients: a message, or that some are missing.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Message(Arc<Message>),
    Gap,
}

pub(crate) struct Follower {
    bus: Bus,
    pattern: String,
    stream: EventStream,
    /// The newest event that was passed on, where the history is shared; instances may append to it in another order
    /// than that in which it reaches this one.
    seen: Option<Place>,
    clients: broadcast::Sender<Told>,
    unsent: Arc<Unsent>,
    /// Whether the bridge is gone.
    is_over: Arc<AtomicBool>,
}

impl Follower {
    pub(crate) async fn new(
        bus: &Bus,
        pattern: &str,
        place: &'static Location<'static>,
        clients: broadcast::Sender<Told>,
        unsent: &Arc<Unsent>,
        is_over: &Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let stream = bridge::stream_for(bus, pattern, "SseBridge", place)?;
        let newest = bridge::history(bus, pattern).limit(1).await?;
        let (bus, pattern, seen) = (bus.clone(), pattern.to_owned(), newest.first().map(Place::of));
        let (unsent, is_over) = (Arc::clone(unsent), Arc::clone(is_over));
        Ok(Self { bus, pattern, stream, seen, clients, unsent, is_over })
    }

    /// Ends with the bus.
    pub(crate) async fn run(mut self) {
        while let Some(next) = self.stream.next().await {
            if !self.bus.shares_history() {
                match next {
                    Ok(record) => self.pass_on(&record),
                    Err(_) => self.tell(Told::Gap),
                }
                continue;
            }
            // What is there already is read with it.
            let mut came = vec![next];
            while let Some(Some(next)) = self.stream.next().now_or_never() {
                came.push(next);
            }
            if let Err(error) = self.read().await {
                self.do_without(came, &error);
            }
        }
    }

    /// Where the history can't be read, passes on what came, after a gap.
    fn do_without(&mut self, came: Vec<Result<Record, Lagged>>, error: &Error) {
        bridge::warn(
            &self.bus,
            format_args!(
                "the history can't be read for browsers, who are told that events may be missing: {error}"
            ),
        );
        self.tell(Told::Gap);
        for record in came.into_iter().flatten() {
            self.pass_on(&record);
            self.seen = Some(Place::of(&record));
        }
    }

    /// Passes on what the history has behind what was seen.
    async fn read(&mut self) -> Result<(), Error> {
        let behind = Behind::read(&self.bus, &self.pattern, self.seen, MOST).await?;
        if behind.has_gap {
            self.tell(Told::Gap);
        }
        behind.records().iter().for_each(|record| self.pass_on(record));
        self.seen = behind.all.last().map(Place::of).or(self.seen);
        Ok(())
    }

    fn pass_on(&self, record: &Record) {
        if let Some(message) = Message::of(&self.bus, &self.unsent, record) {
            self.tell(Told::Message(Arc::new(message)));
        }
    }

    fn tell(&self, told: Told) {
        // There may be no client now.
        let _ = self.clients.send(told);
    }
}

impl Drop for Follower {
    /// Says so where its runtime has shut down.
    fn drop(&mut self) {
        if bridge::is_running(&self.bus) && !self.is_over.load(Ordering::Acquire) {
            let pattern = &self.pattern;
            bridge::warn(
                &self.bus,
                format_args!(
                    "the runtime on which the SseBridge of {pattern} was built has shut down before `stop`: the connections of browsers end at once; build it on the runtime that lives longest"
                ),
            );
        }
    }
}

/// What a history has behind a place.
pub(crate) struct Behind {
    /// Also what stands before it.
    pub(crate) all: Vec<Record>,
    begin: usize,
    /// Whether there may have been more, which is not kept, too much, or can't be read.
    pub(crate) has_gap: bool,
}

impl Behind {
    /// Reads at most `most` records, the newest ones; of no place, all there are.
    pub(crate) async fn read(
        bus: &Bus,
        pattern: &str,
        place: Option<Place>,
        most: usize,
    ) -> Result<Self, Error> {
        let mut history = bridge::history(bus, pattern).limit(most);
        if let Some(place) = place
            && bus.shares_history()
        {
            // Its times never decrease.
            history = history.since(place.time);
        }
        let found = history.await?;
        let Some(place) = place else {
            return Ok(Self { all: found.into_iter().collect(), begin: 0, has_gap: false });
        };
        let is_place = |record: &Record| record.id() == place.event;
        let mut reads = found.all();
        let is_kept = reads.any(|read| read.is_ok_and(is_place));
        // Of what is behind the place.
        let has_gap = !is_kept || reads.any(|read| read.is_err());
        drop(reads);
        let all: Vec<_> = found.into_iter().collect();
        let begin = match is_kept {
            true => all.iter().position(is_place).map(|place| place + 1),
            false => all.iter().position(|record| record.timestamp() > place.time),
        };
        let begin = begin.unwrap_or(all.len());
        Ok(Self { all, begin, has_gap })
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.all[self.begin..]
    }
}
