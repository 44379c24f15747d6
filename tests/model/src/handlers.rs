//! The handlers of a program.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock, Weak};

use typed_events::handler::{EventHandler, IntoHandler};
use typed_events::{Bus, ErrorKind, Record, Subscription, on};

use crate::events::{A, B, C, Kind, Numbered, PATTERNS, serial_of};
use crate::program::{Act, Does, Ends, Form, How, Life, On, Target};
use crate::run::{Handle, Run, Slot};
use crate::trace::{Call, CallEnd, NEVER, Replay, Sighting, Span, Sub};

/// A handler that is about to be registered.
#[derive(Clone)]
pub(crate) struct Handler {
    run: Arc<Run>,
    pub(crate) sub: usize,
    is_replay: bool,
    does: Arc<Does>,
}

/// The state of [`two_patterns`].
#[derive(Default)]
pub(crate) struct Linked(OnceLock<Weak<Run>>);

/// The number of [`two_patterns`] among the handlers.
pub(crate) const LINKED: usize = 0;
pub(crate) const LINKED_PATTERNS: [&str; 2] = ["model.a", "model.*"];

#[on("model.a", "model.*")]
pub(crate) fn two_patterns(record: &Record, linked: &Linked) -> Result<(), String> {
    let Some(run) = linked.0.get().and_then(Weak::upgrade) else { return Ok(()) };
    let handler = Handler { run, sub: LINKED, is_replay: false, does: Arc::default() };
    handler.run_now(serial_of(record.json().expect("it was written")), Some(record))
}

impl Linked {
    pub(crate) fn to(&self, run: &Arc<Run>) {
        let _ = self.0.set(Arc::downgrade(run));
        let registered = Span { start: 0, end: 0 };
        let patterns = LINKED_PATTERNS.to_vec();
        run.trace().subs.push(Sub { patterns, life: Life::Long, registered, parent: None, replay: None });
    }
}

/// Returns the pattern that a target is registered under.
pub(crate) fn pattern_of(to: Target) -> &'static str {
    match to {
        Target::Event(kind) => kind.name(),
        Target::Pattern(pattern) => PATTERNS[pattern],
    }
}

/// Registers a handler at run time.
pub(crate) fn register(run: &Arc<Run>, bus: &Bus, on: &On, parent: Option<usize>) {
    let handler = Handler::new(run, on.to, on.life, &on.does, parent, None);
    let sub = handler.sub;
    let subscription = match (on.to, on.form) {
        (_, Form::Record) => on_records(bus, on, move |record: &Record| handler.on_record(record)),
        (_, Form::RecordAsync) => on_records(bus, on, move |record: &Record| handler.wait_record(record)),
        (Target::Event(Kind::A), _) => on_event::<A>(bus, on, handler),
        (Target::Event(Kind::B), _) => on_event::<B>(bus, on, handler),
        _ => on_event::<C>(bus, on, handler),
    };
    run.trace().subs[sub].registered.end = run.tick();
    let handle = match on.life {
        Life::Guard => Handle::Guard(subscription.guard()),
        Life::Long | Life::Once => Handle::Subscription(subscription),
    };
    run.put(on.slot, Slot { sub, handle }, parent);
}

fn on_records<K>(bus: &Bus, on: &On, handler: impl IntoHandler<K>) -> Subscription {
    let pattern = pattern_of(on.to);
    let subscription = match on.life {
        Life::Once => bus.pattern(pattern).once(handler),
        Life::Long | Life::Guard => bus.pattern(pattern).on(handler),
    };
    subscription.expect("it is a pattern")
}

fn on_event<E: Numbered>(bus: &Bus, on: &On, handler: Handler) -> Subscription {
    match on.form {
        Form::Shared => place(bus, on, move |event: Arc<E>| handler.run_now(event.serial(), None)),
        Form::Owned => place(bus, on, move |event: E| handler.run_now(event.serial(), None)),
        Form::SharedAsync => place(bus, on, move |event: Arc<E>| handler.wait(event.serial(), None)),
        Form::OwnedAsync => place(bus, on, move |event: E| handler.wait(event.serial(), None)),
        Form::Borrowed | Form::Record | Form::RecordAsync => {
            place(bus, on, move |event: &E| handler.run_now(event.serial(), None))
        }
    }
}

fn place<K>(bus: &Bus, on: &On, handler: impl EventHandler<K>) -> Subscription {
    match on.life {
        Life::Once => bus.once(handler),
        Life::Long | Life::Guard => bus.on(handler),
    }
}

impl Handler {
    pub(crate) fn new(
        run: &Arc<Run>,
        to: Target,
        life: Life,
        does: &Does,
        parent: Option<usize>,
        n: Option<usize>,
    ) -> Self {
        let mut trace = run.trace();
        let sub = trace.subs.len();
        let registered = Span { start: run.tick(), end: NEVER };
        let replay = n.map(|n| Replay { n, outcome: None });
        trace.subs.push(Sub { patterns: vec![pattern_of(to)], life, registered, parent, replay });
        Self { run: Arc::clone(run), sub, is_replay: n.is_some(), does: Arc::new(does.clone()) }
    }

    pub(crate) fn on_record(&self, record: &Record) -> Result<(), String> {
        self.run_now(serial_of(record.json().expect("it was written")), Some(record))
    }

    pub(crate) fn wait_record(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<(), String>> + Send + 'static + use<> {
        self.wait(serial_of(record.json().expect("it was written")), Some(record))
    }

    /// Runs a call from beginning to end.
    pub(crate) fn run_now(&self, serial: u64, record: Option<&Record>) -> Result<(), String> {
        let call = self.begin(serial, record);
        for act in &self.does.acts {
            self.act_now(act, call.index);
        }
        call.finish(self.does.ends)
    }

    /// Begins a call, and returns the future of the rest.
    pub(crate) fn wait(
        &self,
        serial: u64,
        record: Option<&Record>,
    ) -> impl Future<Output = Result<(), String>> + Send + 'static + use<> {
        let (call, handler) = (self.begin(serial, record), self.clone());
        async move {
            let (index, run) = (call.index, Arc::clone(&handler.run));
            let mut acts = Box::pin(async move {
                for act in &handler.does.acts {
                    handler.act(act, index).await;
                }
                handler.does.ends
            });
            let ends = poll_fn(|cx| {
                let polled = acts.as_mut().poll(cx);
                if polled.is_pending() {
                    run.trace().calls[index].first_poll = false;
                }
                polled
            });
            let ends = ends.await;
            call.finish(ends)
        }
    }

    fn begin(&self, serial: u64, record: Option<&Record>) -> Running {
        self.run.call_begins();
        let sighting = record.map(|record| (serial, Sighting::of(record)));
        let mut trace = self.run.trace();
        trace.sightings.extend(sighting);
        let span = Span { start: self.run.tick(), end: NEVER };
        let (sub, end, first_poll) = (self.sub, CallEnd::Running, !self.is_replay);
        trace.calls.push(Call { sub, serial, span, end, first_poll });
        Running { run: Arc::clone(&self.run), index: trace.calls.len() - 1, sub, serial }
    }

    fn act_now(&self, act: &Act, call: usize) {
        let Some(bus) = self.run.bus() else { return };
        match act {
            Act::Emit(emission) => {
                if self.run.may_nest() {
                    self.run.emit_now(&bus, *emission, Some(call));
                }
            }
            Act::On(on) => register(&self.run, &bus, on, Some(call)),
            Act::Unsubscribe(slot) => self.run.unsubscribe(*slot, Some(call)),
            Act::Off(pattern) => self.run.off(&bus, *pattern, Some(call)),
            Act::Block(kind) => self.block(bus, *kind),
            Act::Yield | Act::Gate(_) | Act::Stop => {}
        }
    }

    async fn act(&self, act: &Act, call: usize) {
        match act {
            Act::Yield => yields().await,
            Act::Gate(gate) => self.run.gates.pass(*gate).await,
            Act::Emit(emission) if emission.how != How::Detach => {
                let Some(bus) = self.run.bus() else { return };
                if self.run.may_nest() {
                    let by = Some(call);
                    let rest = self.run.emit_first(&bus, *emission, by).await;
                    if let (Some((serials, running)), false) = (rest, emission.how == How::Hold) {
                        self.run.emit_rest(serials, running).await;
                    }
                }
            }
            Act::Stop => {
                let Some(bus) = self.run.bus() else { return };
                let told = bus.stop().await.map_err(|error| error.kind());
                if told != Err(ErrorKind::StopInHandler) {
                    self.run.trace().odd.push(format!("stop inside of a handler: {told:?}"));
                }
            }
            act => self.act_now(act, call),
        }
    }

    /// Blocks until another thread, outside of all runtimes and handlers, has emitted.
    fn block(&self, bus: Bus, kind: Kind) {
        if !self.run.may_nest() {
            return;
        }
        let run = Arc::clone(&self.run);
        let emission = crate::program::Emission { kind, how: How::Detach };
        let other = std::thread::spawn(move || run.emit_now(&bus, emission, None));
        other.join().expect("an emit does not panic");
    }
}

/// Yields once, on any executor.
pub(crate) async fn yields() {
    let mut polled = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Returns the message with which a handler fails or panics.
pub(crate) fn message(sub: usize, serial: u64) -> String {
    format!("model: handler {sub} on {serial}")
}

/// A running call. If it is dropped before its end, it is noted as lost.
struct Running {
    run: Arc<Run>,
    index: usize,
    sub: usize,
    serial: u64,
}

impl Running {
    fn finish(self, ends: Ends) -> Result<(), String> {
        let (end, told) = match ends {
            Ends::Well => (CallEnd::Well, Ok(())),
            Ends::Fails => (CallEnd::Failed, Err(message(self.sub, self.serial))),
            Ends::Panics => (CallEnd::Panicked, Err(message(self.sub, self.serial))),
        };
        self.end(end);
        match (ends, told) {
            (Ends::Panics, Err(message)) => panic!("{message}"),
            (_, told) => told,
        }
    }

    fn end(&self, end: CallEnd) {
        let mut trace = self.run.trace();
        let now = self.run.tick();
        // The trace is empty once the run is over.
        let Some(call) = trace.calls.get_mut(self.index) else { return };
        if call.end == CallEnd::Running {
            (call.end, call.span.end) = (end, now);
            drop(trace);
            self.run.call_ended();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(CallEnd::Lost);
    }
}
