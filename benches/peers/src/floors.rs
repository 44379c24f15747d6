//! The floors: hand-written code for one event, without a library.

use std::collections::VecDeque;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use peers::{Case, Sixteen, Slots, Subscribe, sixteen, slots, subscribe, timed, work};
use tokio::runtime::Runtime;

type Handler = Box<dyn Fn(&Sixteen) + Send + Sync>;
type AsyncHandler = Box<dyn Fn(&Sixteen) -> BoxFuture<'static, ()> + Send + Sync>;

/// Handlers of one event, in a vector.
struct List<H> {
    slots: Slots,
    yields: bool,
    handlers: Vec<H>,
}

impl<H> List<H> {
    fn new(yields: bool, handlers: usize) -> Self
    where
        Self: Subscribe,
    {
        let mut list = Self { slots: slots(), yields, handlers: Vec::new() };
        subscribe(&mut list, handlers);
        list
    }
}

impl Subscribe for List<fn(Slots, &Sixteen)> {
    fn add<const N: usize>(&mut self) {
        self.handlers.push(|slots, event| work::<N>(slots, event.b));
    }
}

impl Subscribe for List<Handler> {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        self.handlers.push(Box::new(move |event| work::<N>(slots, event.b)));
    }
}

impl Subscribe for List<AsyncHandler> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields) = (self.slots, self.yields);
        self.handlers.push(Box::new(move |event| {
            let b = event.b;
            match yields {
                false => Box::pin(async move { work::<N>(slots, b) }),
                true => Box::pin(async move {
                    tokio::task::yield_now().await;
                    work::<N>(slots, b);
                }),
            }
        }));
    }
}

/// Calls the handlers through function pointers.
pub fn direct_calls(handlers: usize) -> Case {
    let list: List<fn(Slots, &Sixteen)> = List::new(false, handlers);
    let slots = list.slots;
    Case::new("floor: direct calls", handlers, slots, move |n| {
        timed(|| {
            for i in 0..n {
                let event = sixteen(i);
                list.handlers.iter().for_each(|handler| handler(slots, &event));
            }
        })
    })
}

/// Calls boxed closures in a vector that never changes.
pub fn boxed_closures(handlers: usize) -> Case {
    let list: List<Handler> = List::new(false, handlers);
    Case::new("floor: `Vec<Box<dyn Fn>>`", handlers, list.slots, move |n| {
        timed(|| {
            for i in 0..n {
                let event = sixteen(i);
                list.handlers.iter().for_each(|handler| handler(&event));
            }
        })
    })
}

/// Like [`boxed_closures`], with a vector that another thread may replace.
pub fn snapshot(handlers: usize) -> Case {
    let list: List<Handler> = List::new(false, handlers);
    let (slots, list) = (list.slots, ArcSwap::from_pointee(list.handlers));
    Case::new("floor: ArcSwap snapshot", handlers, slots, move |n| {
        timed(|| {
            for i in 0..n {
                let event = sixteen(i);
                list.load().iter().for_each(|handler| handler(&event));
            }
        })
    })
}

/// Like [`snapshot`], with four call sites: the processor predicts the target of each separately.
pub fn four_places(handlers: usize) -> Case {
    let list: List<Handler> = List::new(false, handlers);
    let (slots, list) = (list.slots, ArcSwap::from_pointee(list.handlers));
    Case::new("floor: ArcSwap snapshot, four calls in a row", handlers, slots, move |n| {
        timed(|| {
            for i in 0..n {
                let event = sixteen(i);
                let list = list.load();
                let (fours, rest) = list.as_chunks();
                for [first, second, third, fourth] in fours {
                    first(&event);
                    second(&event);
                    third(&event);
                    fourth(&event);
                }
                rest.iter().for_each(|handler| handler(&event));
            }
        })
    })
}

/// The guarantees of the default configuration, hand-written.
struct Composed<H> {
    handlers: ArcSwap<Vec<H>>,
    sequence: AtomicU64,
    ring: Mutex<VecDeque<Kept>>,
}

/// An event in the ring.
type Kept = (u64, SystemTime, Arc<Sixteen>);

impl<H> Composed<H> {
    fn new(handlers: Vec<H>) -> Self {
        let ring = Mutex::new(VecDeque::with_capacity(1001));
        Self { handlers: ArcSwap::from_pointee(handlers), sequence: AtomicU64::new(0), ring }
    }

    #[allow(clippy::disallowed_methods, reason = "what it costs is measured")]
    fn keep(&self, event: &Arc<Sixteen>) {
        let number = self.sequence.fetch_add(1, Relaxed);
        let kept = (number, SystemTime::now(), Arc::clone(event));
        let mut ring = self.ring.lock().unwrap();
        ring.push_back(kept);
        let dropped = if ring.len() > 1000 { ring.pop_front() } else { None };
        drop(ring);
        drop(dropped);
    }
}

/// The floor of the default configuration.
pub fn composed(handlers: usize) -> Case {
    let list: List<Handler> = List::new(false, handlers);
    let (slots, bus) = (list.slots, Composed::new(list.handlers));
    Case::new("floor: composed", handlers, slots, move |n| {
        timed(|| {
            for i in 0..n {
                let event = Arc::new(sixteen(i));
                bus.keep(&event);
                for handler in bus.handlers.load().iter() {
                    let _ = catch_unwind(AssertUnwindSafe(|| handler(&event)));
                }
            }
        })
    })
}

/// The floor of the default configuration with one handler, as a function that several threads can run at once.
pub fn shared() -> impl Fn() -> Duration + Sync {
    let handler: Handler = Box::new(|event| {
        black_box(event.b);
    });
    let bus = Composed::new(vec![handler]);
    move || {
        timed(|| {
            for i in 0..200_000 {
                let event = Arc::new(sixteen(i));
                bus.keep(&event);
                for handler in bus.handlers.load().iter() {
                    let _ = catch_unwind(AssertUnwindSafe(|| handler(&event)));
                }
            }
        })
    }
}

/// How the futures of an event's handlers are driven.
#[derive(Clone, Copy)]
pub enum Drive {
    InTurn,
    JoinAll,
    Unordered,
    Spawned,
}

impl Drive {
    fn name(self) -> &'static str {
        match self {
            Self::InTurn => "boxed futures in turn",
            Self::JoinAll => "`join_all`",
            Self::Unordered => "poll once, then FuturesUnordered",
            Self::Spawned => "poll once, then one task",
        }
    }

    async fn run(self, futures: impl Iterator<Item = BoxFuture<'static, ()>>) {
        match self {
            Self::InTurn => {
                for future in futures {
                    future.await;
                }
            }
            Self::JoinAll => drop(join_all(futures).await),
            Self::Unordered => match pending(futures).await {
                rest if rest.is_empty() => {}
                rest => rest.into_iter().collect::<FuturesUnordered<_>>().collect().await,
            },
            Self::Spawned => match pending(futures).await {
                rest if rest.is_empty() => {}
                rest => {
                    let rest: FuturesUnordered<_> = rest.into_iter().collect();
                    tokio::spawn(rest.collect::<()>()).await.unwrap();
                }
            },
        }
    }
}

/// Polls each future once, and returns those that are pending.
async fn pending(futures: impl Iterator<Item = BoxFuture<'static, ()>>) -> Vec<BoxFuture<'static, ()>> {
    let mut rest = Vec::new();
    for mut future in futures {
        let mut polled = pin!(&mut future);
        if std::future::poll_fn(|cx| Poll::Ready(polled.as_mut().poll(cx))).await.is_pending() {
            rest.push(future);
        }
    }
    rest
}

/// Drives the futures of handlers, alone or with the guarantees of the default configuration.
pub fn futures(runtime: &'static Runtime, drive: Drive, yields: bool, whole: bool, handlers: usize) -> Case {
    let list: List<AsyncHandler> = List::new(yields, handlers);
    let (slots, bus) = (list.slots, Composed::new(list.handlers));
    let what = if whole { "composed, " } else { "" };
    let name = format!("floor: {what}{}", drive.name());
    Case::new(name, handlers, slots, move |n| {
        timed(|| {
            runtime.block_on(async {
                for i in 0..n {
                    if whole {
                        let event = Arc::new(sixteen(i));
                        bus.keep(&event);
                        let handlers = bus.handlers.load();
                        drive.run(handlers.iter().map(|handler| handler(&event))).await;
                    } else {
                        let (event, handlers) = (sixteen(i), bus.handlers.load());
                        drive.run(handlers.iter().map(|handler| handler(&event))).await;
                    }
                }
            })
        })
    })
}
