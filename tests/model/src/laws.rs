//! The model: the guarantees that a run must keep, given the order of what happened.
//!
//! Everything in a [`Trace`] is a span of ticks. An emit that began after a registration and whose handlers were
//! called before the removal *must* reach the handler. An emit that ended before the registration, or began after
//! the removal, *must not*. If the spans overlap, it *may*. In a program with one actor nothing overlaps, so the
//! laws then determine the result exactly.

use std::collections::{BTreeMap, HashMap, HashSet};

use typed_events::{ErrorKind, EventId};

use crate::events::{Kind, PATTERNS, matches};
use crate::handlers::message;
use crate::program::{End, Life, Program, Step};
use crate::trace::{
    Call, CallEnd, Emit, Failed, Item, NEVER, Outcome, Removal, Removed, Sighting, Span, Sub, Trace,
};

/// Returns descriptions of the laws that a run has broken.
pub(crate) fn broken(program: &Program, trace: &Trace) -> Vec<String> {
    let mut laws = Laws { program, trace, calls: HashMap::new(), order: None, broken: Vec::new() };
    for (index, call) in trace.calls.iter().enumerate() {
        laws.calls.entry((call.sub, call.serial)).or_default().push(index);
    }
    laws.broken.extend(trace.odd.iter().cloned());
    laws.find_order();
    laws.emits_are_taken_or_refused();
    laws.handlers_get_each_event_once();
    laws.once_handlers_run_once();
    laws.nothing_is_seen_of_itself();
    laws.calls_end();
    laws.emits_wait_and_tell();
    laws.ids_are_stored_once();
    laws.the_order_is_one();
    laws.records_agree();
    laws.histories_are_the_newest();
    laws.streams_have_no_gap();
    laws.replays_have_no_gap();
    laws.removals_count();
    laws.handlers_are_counted();
    laws.stop_waits();
    laws.stats_add_up();
    laws.broken
}

struct Laws<'a> {
    program: &'a Program,
    trace: &'a Trace,
    /// Indexes of calls, by handler and serial.
    calls: HashMap<(usize, u64), Vec<usize>>,
    /// The serials in the order of the log, if it is known.
    order: Option<Vec<u64>>,
    broken: Vec<String>,
}

/// A size of the history that holds all events of any program.
const WHOLE: usize = 1000;

impl<'a> Laws<'a> {
    fn say(&mut self, law: &str, what: std::fmt::Arguments<'_>) {
        self.broken.push(format!("{law}: {what}"));
    }

    fn emits(&self) -> impl Iterator<Item = (u64, &'a Emit)> + use<'a> {
        self.trace.emits.iter().enumerate().map(|(serial, emit)| (serial as u64, emit))
    }

    fn subs(&self) -> impl Iterator<Item = (usize, &'a Sub)> + use<'a> {
        self.trace.subs.iter().enumerate()
    }

    fn calls(&self, sub: usize, serial: u64) -> impl Iterator<Item = &'a Call> + use<'a> {
        let calls = self.calls.get(&(sub, serial)).cloned().unwrap_or_default();
        let trace = self.trace;
        calls.into_iter().map(|call| &trace.calls[call])
    }

    /// Returns the calls of an emit, except those of handlers with a replay.
    fn plain_calls(&self, serial: u64) -> impl Iterator<Item = &'a Call> + use<'a> {
        let trace = self.trace;
        let of = move |call: &&Call| call.serial == serial && trace.subs[call.sub].replay.is_none();
        trace.calls.iter().filter(of)
    }

    /// The span from the begin of the first `stop` to the time at which emits were certainly refused.
    fn stopping(&self) -> Span {
        let stops = &self.trace.stops;
        let first = |tick: fn(&crate::trace::Stopped) -> u64| stops.iter().map(tick).min().unwrap_or(NEVER);
        Span { start: first(|stop| stop.first_poll.start), end: first(|stop| stop.first_poll.end) }
    }

    fn keeps_all(&self) -> bool {
        self.program.settings.history >= WHOLE
    }

    /// Returns a span: until its start, a handler is certainly registered under a pattern, and from its end on, it
    /// certainly is not. Ignores the removal `except`.
    fn removed(&self, sub: &Sub, index: usize, pattern: &str, except: Option<usize>) -> Span {
        let mut removed = Span { start: NEVER, end: NEVER };
        for (at, removal) in self.trace.removals.iter().enumerate() {
            let of = match removal.what {
                Removed::Sub(other, _) => other == index,
                Removed::Pattern(other, _) => PATTERNS[other] == pattern,
            };
            if !of || except == Some(at) || removal.span.end < sub.registered.start {
                continue;
            }
            removed.start = removed.start.min(removal.span.start);
            if sub.registered.is_before(removal.span) {
                removed.end = removed.end.min(removal.span.end);
            }
        }
        // A bus that has stopped registers nothing.
        let stopping = self.stopping();
        if stopping.start < sub.registered.end {
            removed.start = removed.start.min(sub.registered.start);
        }
        if self.trace.stops.iter().any(|stop| stop.end < sub.registered.start) {
            removed.end = removed.end.min(sub.registered.start);
        }
        match sub.replay.as_ref().map(|replay| replay.outcome) {
            None => {}
            // The handler is removed when the task of its replay ends.
            Some(Some(Ok(()))) => removed.start = removed.start.min(self.stopping().start),
            Some(_) => {
                removed.start = removed.start.min(sub.registered.start);
                removed.end = removed.end.min(sub.registered.end);
            }
        }
        removed
    }

    /// Like [`removed`](Self::removed), for events of a kind, which several patterns of the handler may take.
    fn removed_for(&self, sub: &Sub, index: usize, kind: Kind) -> Span {
        let patterns = sub.patterns.iter().filter(|pattern| matches(pattern, kind.name()));
        let all = patterns.map(|pattern| self.removed(sub, index, pattern, None));
        all.reduce(|one, other| Span { start: one.start.max(other.start), end: one.end.max(other.end) })
            .unwrap_or(Span { start: 0, end: 0 })
    }

    /// Returns whether a handler is certainly in the list of an emit, unless `once` has removed it.
    fn must(&self, index: usize, sub: &Sub, emit: &Emit) -> bool {
        emit.is_accepted()
            && sub.takes(emit.kind)
            && sub.registered.is_before(emit.span)
            && emit.span.end < self.removed_for(sub, index, emit.kind).start
    }

    /// Returns whether a handler may be in the list of an emit.
    fn may(&self, index: usize, sub: &Sub, emit: &Emit) -> bool {
        emit.is_accepted()
            && sub.takes(emit.kind)
            && sub.registered.start < emit.span.end
            && emit.span.start < self.removed_for(sub, index, emit.kind).end
    }

    fn find_order(&mut self) {
        let trace = self.trace;
        let settings = &self.program.settings;
        let whole = |items: &[Item]| -> Option<Vec<u64>> {
            items
                .iter()
                .map(|item| if let Item::Event(serial) = item { Some(*serial) } else { None })
                .collect()
        };
        let witness = trace.streams.iter().filter(|stream| settings.witness && stream.opened.start <= 2);
        let witnessed = witness.filter(|stream| stream.ended).find_map(|stream| whole(&stream.items));
        let is_last = self.program.end != End::Drop && self.keeps_all();
        let kept = trace.histories.last().filter(|_| is_last).map(|asked| asked.serials.clone());
        if let (Some(witnessed), Some(kept)) = (&witnessed, &kept)
            && !witnessed.starts_with(kept)
        {
            self.say("one order", format_args!("a stream gave {witnessed:?}, the history {kept:?}"));
        }
        self.order = witnessed.or(kept);
    }

    /// Emits outside of handlers are refused once `stop` is called, nested ones never; chains and detached emits
    /// are bounded; nothing else is refused.
    fn emits_are_taken_or_refused(&mut self) {
        let stopping = self.stopping();
        let mut steps = self.program.actors.iter().flat_map(|actor| &actor.steps);
        if self.trace.runtimes_ended > 0 && !steps.any(|step| matches!(step, Step::Side { .. })) {
            self.say("refusal", format_args!("a runtime ended, though none did"));
        }
        for (serial, emit) in self.emits() {
            let refused = match emit.outcome {
                Outcome::None => continue,
                Outcome::Refused(kind) => Some(kind),
                Outcome::Accepted | Outcome::Done(_) => None,
            };
            let settings = &self.program.settings;
            let depth = self.trace.depth(emit);
            let (mut can, mut must) = (Vec::new(), false);
            if !emit.kind.is_declared() && !settings.undeclared {
                (can, must) = (vec![ErrorKind::UnknownEvent], true);
            } else if emit.bad {
                (can, must) = (vec![ErrorKind::Payload], true);
            } else {
                let others = |running: bool| self.detached(serial, emit, running);
                if emit.detached && others(false) >= settings.max_detached {
                    can.push(ErrorKind::Overloaded);
                    must |= others(true) >= settings.max_detached;
                }
                if emit.parent.is_none() && stopping.start < emit.span.end {
                    can.push(ErrorKind::Stopped);
                    must |= stopping.end < emit.span.start;
                }
                if emit.parent.is_some() && self.program.end == End::Stuck && stopping.start < emit.span.end {
                    can.push(ErrorKind::Stopped);
                }
                if depth >= settings.max_chain {
                    can.push(ErrorKind::ChainTooDeep);
                    must = true;
                }
                // Each emit has a payload of its own, so a second emit of an id is one of another event.
                for (_, other) in self.emits().filter(|(other, _)| *other != serial) {
                    let is_same = emit.given_id.is_some() && other.given_id == emit.given_id;
                    if is_same && other.is_accepted() && other.span.start < emit.span.end {
                        can.push(ErrorKind::IdConflict);
                        must |= self.keeps_all() && other.span.end < emit.span.start;
                    }
                }
            }
            match refused {
                Some(kind) if !can.contains(&kind) => {
                    self.say("refusal", format_args!("emit {serial} was refused as {kind:?}, not {can:?}"));
                }
                None if must => {
                    self.say(
                        "refusal",
                        format_args!("emit {serial} was taken, not refused as one of {can:?}"),
                    );
                }
                _ => {}
            }
        }
    }

    /// Counts the other detached emits that may run at the same time, or that certainly do.
    fn detached(&self, serial: u64, emit: &Emit, certainly: bool) -> usize {
        let other = |(other, detached): &(u64, &Emit)| {
            let runs = match certainly {
                false => detached.span.start < emit.span.end,
                true => {
                    detached.is_accepted()
                        && detached.span.is_before(emit.span)
                        && self
                            .plain_calls(*other)
                            .any(|call| !call.first_poll && call.span.end > emit.span.end)
                }
            };
            *other != serial && detached.detached && runs
        };
        self.emits().filter(other).count()
    }

    fn handlers_get_each_event_once(&mut self) {
        for (index, sub) in self.subs().filter(|(_, sub)| sub.replay.is_none()) {
            for (serial, emit) in self.emits() {
                let seen = self.calls(index, serial).count();
                let removed = self.removed_for(sub, index, emit.kind);
                if seen > 1 {
                    self.say("once each", format_args!("handler {index} got {serial} {seen} times"));
                } else if seen == 1 && !self.may(index, sub, emit) {
                    let what = format_args!(
                        "handler {index} ({:?}, removed {removed:?}) got {serial} ({:?}, {:?})",
                        sub.registered, emit.span, emit.outcome
                    );
                    self.say("not before, not after", what);
                } else if seen == 0 && sub.life != Life::Once && self.must(index, sub, emit) {
                    let what = format_args!(
                        "handler {index} ({:?}, removed {removed:?}) did not get {serial} ({:?})",
                        sub.registered, emit.span
                    );
                    self.say("each", what);
                }
            }
        }
    }

    fn once_handlers_run_once(&mut self) {
        for (index, sub) in self.subs().filter(|(_, sub)| sub.life == Life::Once) {
            let calls: Vec<_> = self.trace.calls.iter().filter(|call| call.sub == index).collect();
            if calls.len() > 1 {
                self.say("once", format_args!("the once handler {index} was called {} times", calls.len()));
            }
            let first =
                self.emits().filter(|(_, emit)| self.must(index, sub, emit)).map(|(_, emit)| emit.span.end);
            match (first.min(), calls.first()) {
                (Some(_), None) => {
                    self.say("once", format_args!("the once handler {index} was never called"))
                }
                // A handler of an emit may emit before the other handlers of that emit are called.
                (Some(first), Some(call)) if first < self.trace.emit(call.serial).span.start => {
                    self.say("once", format_args!("the once handler {index} let an emit pass"));
                }
                _ => {}
            }
        }
    }

    /// An emit does not call handlers that its own handlers registered, or that they removed before their turn.
    fn nothing_is_seen_of_itself(&mut self) {
        for (index, sub) in self.subs() {
            let Some(parent) = sub.parent else { continue };
            let Call { sub: by, serial, .. } = self.trace.calls[parent];
            // The task of a replay may get the event before the emit has read its list of handlers.
            let is_replay = self.trace.subs[by].replay.is_some();
            if !is_replay && self.calls(index, serial).next().is_some() {
                self.say(
                    "the next emit",
                    format_args!("{serial} registered the handler {index} and called it"),
                );
            }
        }
        for removal in &self.trace.removals {
            let Some(parent) = removal.parent else { continue };
            let serial = self.trace.calls[parent].serial;
            for (index, sub) in self.subs().filter(|(_, sub)| sub.replay.is_none()) {
                let ends = match removal.what {
                    Removed::Sub(other, _) => other == index,
                    Removed::Pattern(pattern, _) => {
                        sub.patterns == [PATTERNS[pattern]] && sub.registered.end < removal.span.start
                    }
                };
                if ends && self.calls(index, serial).any(|call| removal.span.end < call.span.start) {
                    self.say("removed", format_args!("{serial} removed the handler {index}, then called it"));
                }
            }
        }
    }

    /// Every call ends, even if the runtime of the emit shuts down: then its handlers move to the runtime of the bus.
    fn calls_end(&mut self) {
        for call in &self.trace.calls {
            if matches!(call.end, CallEnd::Running | CallEnd::Lost) {
                self.say("each call ends", format_args!("{call:?}"));
            }
        }
    }

    /// An emit resolves after its handlers have finished, and lists those that failed.
    fn emits_wait_and_tell(&mut self) {
        for (serial, emit) in self.emits() {
            let Some(done) = emit.done() else { continue };
            if done.duplicate {
                // The other event may have been evicted before the emit could be compared with it.
                let is_possible = emit.given_id.is_some() && !self.keeps_all();
                if done.handled > 0 || !done.failures.is_empty() || !is_possible {
                    self.say("duplicate", format_args!("{serial}: {done:?}"));
                }
                continue;
            }
            let calls: Vec<_> = self.plain_calls(serial).collect();
            for call in &calls {
                if call.span.end > emit.resolved {
                    self.say("an emit waits", format_args!("{serial} resolved before {call:?}"));
                }
            }
            let replays: Vec<_> = self.subs().filter(|(_, sub)| sub.replay.is_some()).collect();
            let least = replays.iter().filter(|(index, sub)| self.must(*index, sub, emit)).count();
            let most = replays.iter().filter(|(index, sub)| self.may(*index, sub, emit)).count();
            if !(calls.len() + least..=calls.len() + most).contains(&done.handled) {
                let what =
                    format_args!("{serial}: {} for {} and {least}-{most} replays", done.handled, calls.len());
                self.say("handled", what);
            }
            self.failures_are_told(serial, emit, &done.failures, &calls);
        }
    }

    fn failures_are_told(&mut self, serial: u64, emit: &Emit, told: &[Failed], calls: &[&Call]) {
        let failed = |call: &&Call| matches!(call.end, CallEnd::Failed | CallEnd::Panicked);
        let mut told: Vec<Failed> = told.to_vec();
        let replayed = self.trace.calls.iter().filter(|call| call.serial == serial);
        let replayed: Vec<_> = replayed.filter(|call| self.trace.subs[call.sub].replay.is_some()).collect();
        for call in calls.iter().copied().chain(replayed).filter(failed) {
            let (sub, panicked) = (&self.trace.subs[call.sub], call.end == CallEnd::Panicked);
            let is_of = |failed: &Failed| {
                failed.message == message(call.sub, serial)
                    && failed.panicked == panicked
                    && sub.patterns.contains(&failed.pattern.as_str())
            };
            match told.iter().position(is_of) {
                Some(at) => drop(told.remove(at)),
                None if sub.replay.is_some()
                    && (emit.parent.is_some() || !self.must(call.sub, sub, emit)) => {}
                None => self.say("failures", format_args!("{serial} does not tell of {call:?}")),
            }
        }
        let small = !self.keeps_all();
        told.retain(|failed| !(small && failed.message.contains("fell behind")));
        if !told.is_empty() {
            self.say("failures", format_args!("{serial} tells of {told:?}, which did not fail"));
        }
    }

    fn ids_are_stored_once(&mut self) {
        let mut by_id: BTreeMap<EventId, usize> = BTreeMap::new();
        for (_, emit) in self.emits() {
            if let (Some(id), Outcome::Accepted | Outcome::Done(_)) = (emit.given_id, &emit.outcome) {
                *by_id.entry(id).or_default() += usize::from(emit.is_accepted());
            }
        }
        for (id, stored) in by_id {
            if stored == 0 || (stored > 1 && self.keeps_all()) {
                self.say("one id", format_args!("{id} was stored {stored} times"));
            }
        }
    }

    /// The log contains each accepted event once, in an order that is consistent with real time, and each batch without
    /// other events in between.
    fn the_order_is_one(&mut self) {
        let Some(order) = self.order.clone() else { return };
        let mut taken: Vec<u64> =
            self.emits().filter(|(_, emit)| emit.is_accepted()).map(|(n, _)| n).collect();
        let mut stored = order.clone();
        taken.sort_unstable();
        stored.sort_unstable();
        if taken != stored {
            self.say("the log", format_args!("has {stored:?} of {taken:?}"));
        }
        let spans: Vec<_> = order.iter().map(|serial| self.trace.emit(*serial).span).collect();
        for (at, later) in spans.iter().enumerate() {
            if let Some(before) = spans[..at].iter().position(|earlier| later.is_before(*earlier)) {
                let what = format_args!("{} stands before {}", order[before], order[at]);
                self.say("real time", what);
            }
        }
        for (at, serial) in order.iter().enumerate() {
            let Some(first) = self.trace.emit(*serial).batch else { continue };
            let next = serial + 1;
            let in_batch = self.trace.emits.get(next as usize).is_some_and(|emit| emit.batch == Some(first));
            if in_batch && order.get(at + 1) != Some(&next) {
                self.say("a batch", format_args!("{next} does not follow {serial} in {order:?}"));
            }
        }
    }

    /// A record has the same content for all readers, and its causation is right.
    fn records_agree(&mut self) {
        let mut known: BTreeMap<u64, &Sighting> = BTreeMap::new();
        for (serial, sighting) in &self.trace.sightings {
            let first = *known.entry(*serial).or_insert(sighting);
            if first != sighting {
                self.say("one record", format_args!("{serial} is {first:?} and {sighting:?}"));
            }
        }
        let mut ids = HashSet::new();
        for (serial, sighting) in &known {
            let emit = self.trace.emit(*serial);
            let is_new = ids.insert(sighting.id) || emit.given_id.is_some();
            let given = emit.given_id.is_none_or(|id| id == sighting.id);
            let source = if emit.with_source { sighting.source.as_deref() == Some("model") } else { true };
            let parent = emit.parent.map(|call| self.trace.calls[call].serial);
            let caused = match parent.map(|parent| known.get(&parent)) {
                None => sighting.causation.is_none() && sighting.correlation.is_none(),
                Some(None) => sighting.causation.is_some() && sighting.correlation.is_some(),
                Some(Some(parent)) => {
                    let id = parent.id.to_string();
                    sighting.correlation.as_ref() == Some(parent.correlation.as_ref().unwrap_or(&id))
                        && sighting.causation.as_ref() == Some(&id)
                }
            };
            if !(is_new && given && source && caused && sighting.name == emit.kind.name()) {
                self.say("records", format_args!("{serial}, emitted inside of {parent:?}: {sighting:?}"));
            }
        }
        let times = |serials: &[u64]| -> Vec<_> {
            serials.iter().filter_map(|serial| Some(known.get(serial)?.timestamp)).collect()
        };
        let orders = self.trace.histories.iter().map(|asked| &asked.serials).chain(&self.order);
        let backwards: Vec<_> = orders.filter(|serials| !times(serials).is_sorted()).cloned().collect();
        for serials in backwards {
            self.say("time", format_args!("runs backwards in {serials:?}"));
        }
    }

    /// Returns the smallest and largest number of events that the log may have had during a span.
    fn lengths(&self, order: &[u64], span: Span) -> std::ops::RangeInclusive<usize> {
        let before = |serial: &u64| self.trace.emit(*serial).span.is_before(span);
        let started = |serial: &u64| self.trace.emit(*serial).span.start < span.end;
        let least = order.iter().rposition(before).map_or(0, |at| at + 1);
        let most = order.iter().rposition(started).map_or(0, |at| at + 1);
        least..=most.max(least)
    }

    fn takes(&self, serial: u64, pattern: usize, of: Option<Kind>) -> bool {
        let kind = self.trace.emit(serial).kind;
        matches(PATTERNS[pattern], kind.name()) && of.is_none_or(|of| of == kind)
    }

    fn histories_are_the_newest(&mut self) {
        for asked in &self.trace.histories {
            let mut unique = asked.serials.clone();
            unique.sort_unstable();
            unique.dedup();
            let ours = unique.iter().all(|serial| self.takes(*serial, asked.pattern, asked.of));
            if unique.len() != asked.serials.len() || unique.len() > asked.limit || !ours {
                self.say("history", format_args!("{asked:?}"));
            }
            let Some(order) = &self.order.clone() else { continue };
            let history = self.program.settings.history;
            let at = |length: usize| -> Vec<u64> {
                let kept = &order[length.saturating_sub(history)..length];
                let all = kept.iter().copied().filter(|serial| self.takes(*serial, asked.pattern, asked.of));
                let all: Vec<_> = all.collect();
                all[all.len().saturating_sub(asked.limit)..].to_vec()
            };
            let lengths = self.lengths(order, asked.span);
            if !lengths.clone().any(|length| at(length) == asked.serials) {
                let expected = at(*lengths.end());
                self.say("history", format_args!("{asked:?}, not {expected:?} (of {lengths:?})"));
            }
        }
    }

    /// A stream yields the records of the log from its creation on, in order, and reports exactly how many it lost.
    fn streams_have_no_gap(&mut self) {
        let settings = &self.program.settings;
        let buffer = settings.history.max(settings.stream_buffer);
        for stream in &self.trace.streams {
            let lost = stream.items.iter().any(|item| matches!(item, Item::Lost(_)));
            if lost && self.trace.emits.len() <= buffer {
                self.say("stream", format_args!("lost events that were kept: {stream:?}"));
            }
            let Some(order) = &self.order.clone() else { continue };
            let given = |from: usize| {
                let takes = |serial: &&u64| self.takes(**serial, stream.pattern, stream.of);
                let mut rest = order[from..].iter().filter(takes);
                let fits = stream.items.iter().all(|item| match item {
                    Item::Event(serial) => rest.next() == Some(serial),
                    Item::Lost(missed) => (0..*missed).all(|_| rest.next().is_some()),
                });
                fits && (!stream.ended || rest.next().is_none())
            };
            let lengths = self.lengths(order, stream.opened);
            if !lengths.clone().any(given) {
                self.say("stream", format_args!("{stream:?}, opened at {lengths:?} of {order:?}"));
            }
        }
    }

    /// A replay gets the last `n` events, then each later one, one at a time, in the order of the log.
    fn replays_have_no_gap(&mut self) {
        for (index, sub) in self.subs() {
            let Some(replay) = &sub.replay else { continue };
            let mut calls: Vec<_> = self.trace.calls.iter().filter(|call| call.sub == index).collect();
            calls.sort_by_key(|call| call.span.start);
            if calls.windows(2).any(|pair| pair[0].span.end > pair[1].span.start) {
                self.say("replay", format_args!("handler {index} was called twice at a time: {calls:?}"));
            }
            let serials: Vec<_> = calls.iter().map(|call| call.serial).collect();
            if serials.iter().collect::<HashSet<_>>().len() != serials.len() {
                self.say("replay", format_args!("handler {index} got an event twice: {serials:?}"));
            }
            let removed = self.removed(sub, index, sub.patterns[0], None);
            match replay.outcome {
                Some(Err(ErrorKind::Stopped)) if self.ended_before(sub, index) => {}
                Some(Err(ErrorKind::Lagged)) if !self.keeps_all() => {}
                Some(Err(kind)) => self.say("replay", format_args!("handler {index} ended with {kind:?}")),
                Some(Ok(())) | None => {}
            }
            for (serial, emit) in self.emits() {
                let live = self.must(index, sub, emit) && emit.parent.is_none() && emit.done().is_some();
                let ended = self.calls(index, serial).any(|call| call.span.end < emit.resolved);
                if live && emit.resolved < removed.start && !ended && self.keeps_all() {
                    self.say("replay", format_args!("{serial} did not wait for handler {index}"));
                }
            }
            if self.keeps_all() && self.order.is_some() {
                let stays =
                    sub.registered.end < self.stopping().start && self.removals(sub, index).next().is_none();
                self.replay_follows_the_order(index, sub, replay.n, &serials, stays);
            }
        }
    }

    /// Returns the removals of a handler with a replay.
    fn removals(&self, sub: &'a Sub, index: usize) -> impl Iterator<Item = &'a Removal> + use<'a> {
        self.trace.removals.iter().filter(move |removal| match removal.what {
            Removed::Sub(other, _) => other == index,
            Removed::Pattern(pattern, _) => PATTERNS[pattern] == sub.patterns[0],
        })
    }

    /// Returns whether a removal or a stop explains that a replay did not catch up.
    fn ended_before(&self, sub: &'a Sub, index: usize) -> bool {
        let starts = self.removals(sub, index).map(|removal| removal.span.start);
        starts.chain([self.stopping().start]).any(|start| start < sub.registered.end)
    }

    fn replay_follows_the_order(&mut self, index: usize, sub: &Sub, n: usize, seen: &[u64], to_end: bool) {
        let Some(order) = &self.order.clone() else { return };
        let takes = |serial: &&u64| sub.takes(self.trace.emit(**serial).kind);
        let all: Vec<u64> = order.iter().filter(takes).copied().collect();
        let to_end = to_end && sub.replay.as_ref().is_some_and(|replay| replay.outcome == Some(Ok(())));
        let fits = |length: usize| {
            let before = order[..length].iter().filter(takes).count();
            let expected = &all[before.saturating_sub(n)..];
            if to_end { seen == expected } else { expected.starts_with(seen) }
        };
        let lengths = self.lengths(order, sub.registered);
        if !lengths.clone().any(fits) {
            let what =
                format_args!("handler {index} got {seen:?} of {all:?}, n {n}, from {lengths:?}, {sub:?}");
            self.say("replay", what);
        }
        let is_ok = sub.replay.as_ref().is_some_and(|replay| replay.outcome == Some(Ok(())));
        let late = self.trace.calls.iter().filter(|call| call.sub == index && is_ok).find(|call| {
            self.trace.emit(call.serial).span.is_before(sub.registered) && call.span.end > sub.registered.end
        });
        if let Some(call) = late {
            self.say("replay", format_args!("handler {index} had not caught up: {call:?}"));
        }
    }

    /// A handler is removed once, and the call that removes it returns true.
    fn removals_count(&mut self) {
        let trace = self.trace;
        for (at, removal) in trace.removals.iter().enumerate() {
            match removal.what {
                Removed::Sub(_, None) => {}
                Removed::Sub(index, Some(told)) => {
                    let sub = &trace.subs[index];
                    let (can, must) = self.is_there(index, sub, sub.patterns[0], removal.span, Some(at));
                    if (told && !can) || (!told && must) {
                        self.say(
                            "unsubscribe",
                            format_args!("handler {index}: {told} at {:?}", removal.span),
                        );
                    }
                }
                Removed::Pattern(pattern, count) => {
                    let (mut least, mut most) = (0, 0);
                    for (index, sub) in self.subs() {
                        if sub.patterns.contains(&PATTERNS[pattern]) {
                            let (can, must) =
                                self.is_there(index, sub, PATTERNS[pattern], removal.span, Some(at));
                            (least, most) = (least + usize::from(must), most + usize::from(can));
                        }
                    }
                    if !(least..=most).contains(&count) {
                        let what = format_args!("{}: {count}, not {least} to {most}", PATTERNS[pattern]);
                        self.say("off", what);
                    }
                }
            }
        }
    }

    /// Returns whether a handler may be, and whether it certainly is, registered under a pattern during a span.
    fn is_there(
        &self,
        index: usize,
        sub: &Sub,
        pattern: &str,
        span: Span,
        except: Option<usize>,
    ) -> (bool, bool) {
        let removed = self.removed(sub, index, pattern, except);
        let (mut can, mut must) = (
            sub.registered.start < span.end && span.start < removed.end,
            sub.registered.end < span.start && span.end < removed.start,
        );
        if sub.life == Life::Once {
            let calls = || self.trace.calls.iter().filter(|call| call.sub == index);
            can &= !calls().any(|call| call.span.start < span.start);
            must &= !calls().any(|call| self.trace.emit(call.serial).span.start < span.end);
        }
        (can, must)
    }

    fn handlers_are_counted(&mut self) {
        for counted in &self.trace.counts {
            let (mut least, mut most) = (0, 0);
            for (index, sub) in self.subs() {
                let patterns = sub.patterns.iter().filter(|pattern| matches(pattern, counted.kind.name()));
                let there = patterns.map(|pattern| self.is_there(index, sub, pattern, counted.span, None));
                let there = there.fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
                (least, most) = (least + usize::from(there.1), most + usize::from(there.0));
            }
            if !(least..=most).contains(&counted.count) {
                self.say("handler_count", format_args!("{counted:?}, not {least} to {most}"));
            }
        }
    }

    /// Nothing runs after a `stop` that returned `Ok`. All calls of `stop` return the same.
    fn stop_waits(&mut self) {
        let trace = self.trace;
        for stop in &trace.stops {
            if stop.outcome != trace.stops[0].outcome {
                self.say("stop", format_args!("{stop:?}, and {:?}", trace.stops[0]));
            }
            if let Err(message) = &stop.outcome
                && (self.program.end != End::Stuck || !message.starts_with("stop gave up after"))
            {
                self.say("stop", format_args!("{message}"));
            }
            let late = trace.calls.iter().find(|call| call.span.end > stop.end);
            if let (Ok(()), Some(call)) = (&stop.outcome, late) {
                self.say("stop", format_args!("{call:?} goes on behind {stop:?}"));
            }
            let stuck = trace
                .calls
                .iter()
                .any(|call| call.span.start < stop.first_poll.start && call.span.end > stop.end);
            if stop.outcome.is_err() && !stuck && self.program.end != End::Stuck {
                self.say("stop", format_args!("gave up though nothing ran: {stop:?}"));
            }
        }
    }

    fn stats_add_up(&mut self) {
        let Some(stats) = self.trace.stats else { return };
        let failed = |call: &&Call| matches!(call.end, CallEnd::Failed | CallEnd::Panicked);
        let failed = self.trace.calls.iter().filter(failed).count() as u64;
        let lags = !self.keeps_all();
        // Work that continues after a `stop` that gave up may not be counted yet.
        let late = self.program.end == End::Stuck;
        if (stats.failed < failed && !late) || (stats.failed > failed && !lags) {
            self.say("stats", format_args!("{} failed, not {failed}", stats.failed));
        }
        if stats.refused + stats.lost + stats.echoes + stats.abandoned != 0 {
            self.say("stats", format_args!("{stats:?}"));
        }
        let (mut least, mut most) = (0, 0);
        for (serial, emit) in self.emits().filter(|(_, emit)| emit.is_accepted()) {
            if let Some(done) = emit.done() {
                (least, most) = (least + u64::from(done.handled == 0), most + u64::from(done.handled == 0));
            } else if self.plain_calls(serial).next().is_none() {
                let replays = || self.subs().filter(|(_, sub)| sub.replay.is_some());
                least += u64::from(!replays().any(|(index, sub)| self.may(index, sub, emit)));
                most += u64::from(!replays().any(|(index, sub)| self.must(index, sub, emit)));
            }
        }
        if !(least..=most).contains(&stats.unhandled) {
            self.say("stats", format_args!("{} unhandled, not {least} to {most}", stats.unhandled));
        }
    }
}
