//! Runs a program: first its actors, then its end.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use typed_events::history::Events;
use typed_events::stream::{EventStream, Lagged, Stream, TypedStream};
use typed_events::{Bus, ErrorKind, Record, Subscription};

use crate::events::{A, B, C, Kind, Numbered, PATTERNS, Pat, serial_of};
use crate::handlers::{Handler, Linked, pattern_of, register, two_patterns, yields};
use crate::program::{Actor, Does, Emission, End, Life, Program, Step, Target};
use crate::run::{Run, Running};
use crate::trace::{Asked, Counted, Item, Sighting, Span, Stopped, Streamed, Trace};

/// Runtimes of 1 to 8 workers, which the buses of all programs share.
static RUNTIMES: LazyLock<Vec<Runtime>> = LazyLock::new(|| (1..=8).map(runtime).collect());

fn runtime(workers: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all().build().expect("a runtime")
}

/// The deadline of a `stop` that gives up: short, but long enough for all work that is not stuck to notice the stop.
const STUCK_DEADLINE: Duration = Duration::from_millis(2);

/// Runs a program to its end.
pub(crate) fn run(program: &Program) -> Trace {
    let run = Arc::new(Run::of(program));
    let runtime = &RUNTIMES[program.settings.workers - 1];
    let bus = runtime.block_on(build(program, &run));
    run.set_bus(Some(bus.clone()));
    let witness = program.settings.witness.then(|| open(&run, &bus, 5, None));
    let mut streams: Vec<Open> = witness.into_iter().collect();
    let mut threads = Vec::new();
    let mut tasks = Vec::new();
    for actor in program.actors.iter().cloned() {
        let playing = play(Arc::clone(&run), bus.clone(), actor.clone());
        match actor.thread {
            true => threads.push(std::thread::spawn(|| block_on(playing))),
            false => tasks.push(runtime.spawn(playing)),
        }
    }
    for task in tasks {
        streams.extend(runtime.block_on(task).expect("an actor does not panic"));
    }
    for thread in threads {
        streams.extend(thread.join().expect("an actor does not panic"));
    }
    runtime.block_on(end(program, &run, bus, streams));
    std::mem::take(&mut *run.trace())
}

async fn build(program: &Program, run: &Arc<Run>) -> Bus {
    let settings = &program.settings;
    let mut builder = Bus::builder()
        .quiet()
        .history(settings.history)
        .stream_buffer(settings.stream_buffer)
        .max_chain(settings.max_chain)
        .max_detached(settings.max_detached);
    if settings.undeclared {
        builder = builder.accept_undeclared();
    }
    if program.end == End::Stuck {
        builder = builder.stop_deadline(STUCK_DEADLINE);
    }
    if settings.linked {
        let linked = Linked::default();
        linked.to(run);
        builder = builder.handler::<two_patterns>().state(linked);
    }
    builder.build().await.expect("a bus")
}

async fn play(run: Arc<Run>, bus: Bus, actor: Actor) -> Vec<Open> {
    let mut player = Player { run, bus, held: Vec::new(), streams: Vec::new() };
    for step in &actor.steps {
        player.step(step).await;
    }
    for (serials, running) in std::mem::take(&mut player.held) {
        player.run.waiting(player.run.emit_rest(serials, running)).await;
    }
    player.run.gates.rest();
    player.streams
}

/// Performs the steps of an actor.
struct Player {
    run: Arc<Run>,
    bus: Bus,
    held: Vec<(Range<usize>, Running)>,
    streams: Vec<Open>,
}

impl Player {
    async fn step(&mut self, step: &Step) {
        let (run, bus) = (&self.run, &self.bus);
        match step {
            Step::Emit(emission) => self.emit(*emission).await,
            Step::On(on) => register(run, bus, on, None),
            Step::Replay { n, to, does, waits, dropped } => {
                self.replay(*n, *to, does, *waits, *dropped).await;
            }
            Step::Unsubscribe(slot) => run.unsubscribe(*slot, None),
            Step::Off(pattern) => run.off(bus, *pattern, None),
            Step::Stream { pattern, of } => self.streams.push(open(run, bus, *pattern, *of)),
            Step::Read(most) => self.read(*most).await,
            Step::CloseStream => {
                if let Some(stream) = self.streams.pop() {
                    run.trace().streams.push(stream.note);
                }
            }
            Step::History { pattern, limit, of } => ask(run, bus, *pattern, *limit, *of).await,
            Step::Count(kind) => {
                let (span, count) = run.timed(|| bus.handler_count(kind.name()));
                run.trace().counts.push(Counted { span, kind: *kind, count });
            }
            Step::OpenGate(gate) => run.gates.open(*gate),
            Step::Yield => yields().await,
            Step::Side { emissions, worker } => self.side(emissions.clone(), *worker).await,
            Step::Stop => run.waiting(stop(run, bus)).await,
        }
    }

    async fn emit(&mut self, emission: Emission) {
        let rest = self.run.emit_first(&self.bus, emission, None).await;
        match rest {
            Some(held) if emission.how == crate::program::How::Hold => self.held.push(held),
            Some((serials, running)) => self.run.waiting(self.run.emit_rest(serials, running)).await,
            None => {}
        }
    }

    async fn replay(&mut self, n: usize, to: Target, does: &Does, waits: bool, dropped: bool) {
        let run = Arc::clone(&self.run);
        let handler = Handler::new(&run, to, Life::Long, does, None, Some(n));
        let (sub, bus) = (handler.sub, self.bus.clone());
        let mut registering = registering(bus, to, n, waits, handler);
        if dropped {
            let first = poll_fn(|cx| Poll::Ready(registering.as_mut().poll(cx))).await;
            if first.is_pending() {
                drop(registering);
                let removed = Span { start: run.trace().subs[sub].registered.start, end: run.tick() };
                run.trace().removals.push(crate::trace::Removal {
                    span: removed,
                    what: crate::trace::Removed::Sub(sub, None),
                    parent: None,
                });
                return;
            }
            self.registered(sub, first.map(|outcome| outcome.map(drop)));
            return;
        }
        let outcome = self.run.waiting(registering).await;
        self.registered(sub, Poll::Ready(outcome.map(drop)));
    }

    fn registered(&self, sub: usize, outcome: Poll<Result<(), typed_events::Error>>) {
        let now = self.run.tick();
        let mut trace = self.run.trace();
        let Poll::Ready(outcome) = outcome else { return };
        trace.subs[sub].registered.end = now;
        if let Some(replay) = &mut trace.subs[sub].replay {
            replay.outcome = Some(outcome.map_err(|error| error.kind()));
        }
    }

    /// Reads the available records from one of the streams.
    async fn read(&mut self, most: usize) {
        if self.streams.is_empty() {
            return;
        }
        let (mut stream, run) = (self.streams.remove(0), Arc::clone(&self.run));
        for _ in 0..most {
            let polled = poll_fn(|cx| Poll::Ready(stream.poll(&run, cx))).await;
            if !polled {
                break;
            }
        }
        self.streams.push(stream);
    }

    /// Emits on a separate runtime, which shuts down while handlers may be pending.
    async fn side(&mut self, emissions: Vec<Emission>, worker: bool) {
        let (run, bus) = (Arc::clone(&self.run), self.bus.clone());
        let (done, is_done) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = match worker {
                true => runtime(1),
                false => {
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
                }
            };
            runtime.block_on(async {
                let mut held = Vec::new();
                for emission in emissions {
                    match run.emit_first(&bus, emission, None).await {
                        Some(rest) if emission.how == crate::program::How::Hold => held.push(rest),
                        Some((serials, running)) => run.emit_rest(serials, running).await,
                        None => {}
                    }
                }
            });
            drop(runtime);
            let _ = done.send(());
        });
        let _ = self.run.waiting(is_done).await;
        thread.join().expect("an emit does not panic");
    }
}

type Registering = Pin<Box<dyn Future<Output = Result<Subscription, typed_events::Error>> + Send>>;

fn registering(bus: Bus, to: Target, n: usize, waits: bool, handler: Handler) -> Registering {
    match (to, waits) {
        (Target::Event(Kind::A), _) => replay_event::<A>(bus, n, waits, handler),
        (Target::Event(Kind::B), _) => replay_event::<B>(bus, n, waits, handler),
        (Target::Event(Kind::C), _) => replay_event::<C>(bus, n, waits, handler),
        (_, true) => Box::pin(async move {
            bus.pattern(pattern_of(to)).replay(n).on(move |record: &Record| handler.wait_record(record)).await
        }),
        (_, false) => Box::pin(async move {
            bus.pattern(pattern_of(to)).replay(n).on(move |record: &Record| handler.on_record(record)).await
        }),
    }
}

fn replay_event<E: Numbered>(bus: Bus, n: usize, waits: bool, handler: Handler) -> Registering {
    Box::pin(async move {
        match waits {
            true => bus.replay(n).on(move |event: Arc<E>| handler.wait(event.serial(), None)).await,
            false => bus.replay(n).on(move |event: &E| handler.run_now(event.serial(), None)).await,
        }
    })
}

async fn ask(run: &Run, bus: &Bus, pattern: Pat, limit: usize, of: Option<Kind>) {
    let start = run.tick();
    let query = bus.history(PATTERNS[pattern]).limit(limit);
    let serials = match of {
        Some(Kind::A) => serials_of::<A>(query.of().await),
        Some(Kind::B) => serials_of::<B>(query.of().await),
        Some(_) => serials_of::<C>(query.of().await),
        None => query.await.map(|records| {
            let mut trace = run.trace();
            let seen = records.iter().map(|record| (serial(record), Sighting::of(record)));
            let seen: Vec<_> = seen.collect();
            trace.sightings.extend(seen.iter().cloned());
            seen.into_iter().map(|(serial, _)| serial).collect()
        }),
    };
    let span = Span { start, end: run.tick() };
    let is_taken = of.is_none_or(|kind| pattern_takes(pattern, kind));
    match serials {
        Err(error) if !is_taken && error.kind() == ErrorKind::Pattern => {}
        Ok(_) if !is_taken => {
            run.trace().odd.push(format!("the history of {} has no event of the type", PATTERNS[pattern]));
        }
        Ok(serials) => run.trace().histories.push(Asked { span, pattern, of, limit, serials }),
        Err(error) => run.trace().odd.push(format!("history of {}: {error}", PATTERNS[pattern])),
    }
}

fn pattern_takes(pattern: Pat, kind: Kind) -> bool {
    typed_events::Pattern::new(PATTERNS[pattern]).is_ok_and(|pattern| pattern.matches(kind.name()))
}

fn serials_of<E: Numbered>(
    events: Result<Events<Arc<E>>, typed_events::Error>,
) -> Result<Vec<u64>, typed_events::Error> {
    events?.complete().map(|events| events.iter().map(|event| event.serial()).collect())
}

fn serial(record: &Record) -> u64 {
    serial_of(record.json().expect("it was written"))
}

async fn stop(run: &Run, bus: &Bus) {
    let start = run.tick();
    let mut stopping = pin!(bus.stop());
    let first = poll_fn(|cx| Poll::Ready(stopping.as_mut().poll(cx))).await;
    let first_poll = Span { start, end: run.tick() };
    let outcome = match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => stopping.await,
    };
    let stopped =
        Stopped { first_poll, end: run.tick(), outcome: outcome.map_err(|error| error.to_string()) };
    run.trace().stops.push(stopped);
}

/// Ends a program: releases everything that waits, stops the bus, and reads all streams to their ends.
async fn end(program: &Program, run: &Arc<Run>, bus: Bus, streams: Vec<Open>) {
    run.gates.end();
    match program.end {
        End::Stop => stop(run, &bus).await,
        End::StopTwice => {
            tokio::join!(stop(run, &bus), stop(run, &bus));
        }
        End::Stuck => {
            stop(run, &bus).await;
            run.gates.release();
            run.no_call().await;
        }
        End::Drop => {}
    }
    let (freed, is_freed) = oneshot::channel();
    // A handler that is never called is dropped with the bus.
    let freed = std::sync::Mutex::new(Some(Freed(Some(freed))));
    bus.pattern("model.never").on(move |_: &Record| drop(freed.lock().unwrap().take())).expect("a pattern");
    if program.end != End::Drop {
        ask(run, &bus, 5, usize::MAX, None).await;
        run.no_call().await;
        run.trace().stats = Some(bus.stats());
    }
    drop(run.set_bus(None));
    drop(bus);
    let _ = is_freed.await;
    run.no_call().await;
    for mut stream in streams {
        while poll_fn(|cx| stream.poll_next(run, cx)).await {}
        stream.note.ended = true;
        run.trace().streams.push(stream.note);
    }
}

/// Sends a message when it is dropped.
struct Freed(Option<oneshot::Sender<()>>);

impl Drop for Freed {
    fn drop(&mut self) {
        if let Some(freed) = self.0.take() {
            let _ = freed.send(());
        }
    }
}

/// An open stream, and the items that it has yielded.
struct Open {
    stream: AnyStream,
    note: Streamed,
}

enum AnyStream {
    Records(EventStream),
    A(TypedStream<A>),
    B(TypedStream<B>),
    C(TypedStream<C>),
}

fn open(run: &Run, bus: &Bus, pattern: Pat, of: Option<Kind>) -> Open {
    let (opened, stream) = run.timed(|| {
        let stream = bus.stream(PATTERNS[pattern]).expect("it is a pattern");
        match of {
            Some(Kind::A) => AnyStream::A(stream.of()),
            Some(Kind::B) => AnyStream::B(stream.of()),
            Some(_) => AnyStream::C(stream.of()),
            None => AnyStream::Records(stream),
        }
    });
    Open { stream, note: Streamed { opened, pattern, of, items: Vec::new(), ended: false } }
}

impl Open {
    /// Reads all items that are ready. Returns whether there were any.
    fn poll(&mut self, run: &Run, cx: &mut Context<'_>) -> bool {
        matches!(self.poll_next(run, cx), Poll::Ready(true))
    }

    /// Reads the next item. Returns whether there is one.
    fn poll_next(&mut self, run: &Run, cx: &mut Context<'_>) -> Poll<bool> {
        let item = match &mut self.stream {
            AnyStream::Records(stream) => Pin::new(stream).poll_next(cx).map(|item| {
                item.map(|item| {
                    item.map(|record| {
                        let serial = serial(&record);
                        run.trace().sightings.push((serial, Sighting::of(&record)));
                        serial
                    })
                })
            }),
            AnyStream::A(stream) => next(stream, cx),
            AnyStream::B(stream) => next(stream, cx),
            AnyStream::C(stream) => next(stream, cx),
        };
        item.map(|item| match item {
            Some(item) => {
                self.note.items.push(match item {
                    Ok(serial) => Item::Event(serial),
                    Err(lagged) => Item::Lost(lagged.missed()),
                });
                true
            }
            None => false,
        })
    }
}

fn next<E: Numbered>(stream: &mut TypedStream<E>, cx: &mut Context<'_>) -> Poll<Option<Result<u64, Lagged>>> {
    Pin::new(stream).poll_next(cx).map(|item| item.map(|item| item.map(|event| event.serial())))
}

/// Wakes a thread.
struct Thread(std::thread::Thread);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, outside of any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        std::thread::park();
    }
}
