//! The peers, each used as its documentation recommends, in the cheapest way that runs every handler.
//!
//! A peer that does not wait for its handlers gets its events in batches, and the time is measured until all handlers
//! have run.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bevy_ecs::observer::On;
use bevy_ecs::world::World;
use futures_util::FutureExt;
use kameo::actor::{ActorRef, Spawn};
use kameo_actors::DeliveryStrategy;
use kameo_actors::message_bus::{MessageBus, Publish, Register};
use peers::{Case, MAX_HANDLERS, Sixteen, Slots, Subscribe, slots, subscribe, timed, work};
use tokio::runtime::Runtime;

/// Batch size for peers that don't wait for their handlers. It is below the bounds of all queues.
const BATCH: u64 = 32;

#[derive(Clone, Debug, bevy_ecs::event::Event)]
struct Event {
    #[allow(dead_code, reason = "the 16 bytes of every event here")]
    a: u64,
    b: u64,
}

impl mod_events::Event for Event {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl anycms_event::Event for Event {
    fn event_name() -> &'static str {
        "bench.sixteen"
    }
}

impl tokio_events::Event for Event {
    fn event_type() -> &'static str {
        "bench.sixteen"
    }

    fn serialize_event(&self) -> tokio_events::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn deserialize_event(_: &[u8]) -> tokio_events::Result<Self> {
        Ok(event(0))
    }
}

#[inline(always)]
fn event(n: u64) -> Event {
    let Sixteen { a, b } = peers::sixteen(n);
    Event { a, b }
}

/// A peer, and the slots of its handlers.
struct Filled<P> {
    slots: Slots,
    yields: bool,
    peer: P,
}

impl<P> Filled<P>
where
    Self: Subscribe,
{
    fn new(peer: P, yields: bool, handlers: usize) -> Self {
        let mut filled = Self { slots: slots(), yields, peer };
        subscribe(&mut filled, handlers);
        filled
    }
}

/// Creates the case of a peer whose `emit` returns when all handlers have run.
fn sync_case<P: 'static>(name: &str, handlers: usize, filled: Filled<P>, emit: fn(&mut P, Event)) -> Case {
    let (slots, mut peer) = (filled.slots, filled.peer);
    Case::new(name, handlers, slots, move |n| timed(|| (0..n).for_each(|i| emit(&mut peer, event(i)))))
}

/// Creates the case of a peer whose `emit` is async. `waits` says whether it waits for the handlers.
fn async_case<P: 'static>(
    name: &str,
    runtime: &'static Runtime,
    handlers: usize,
    filled: Filled<P>,
    waits: bool,
    emit: impl AsyncFn(&P, Event) + 'static,
) -> Case {
    let (slots, peer) = (filled.slots, filled.peer);
    let mut emitted = 0;
    Case::new(name, handlers, slots, move |n| {
        timed(|| {
            runtime.block_on(async {
                for i in 0..n {
                    emit(&peer, event(i)).await;
                    emitted += 1;
                    if !waits && (i % BATCH == BATCH - 1 || i == n - 1) {
                        drained(slots, handlers, emitted).await;
                    }
                }
            })
        })
    })
}

/// Waits until each handler has handled `events` events.
async fn drained(slots: Slots, handlers: usize, events: u64) {
    let mut turns = 0;
    while slots[..handlers].iter().any(|slot| slot.load(Relaxed) < events) {
        turns += 1;
        if turns > 10_000_000 {
            let seen: Vec<_> = slots[..handlers].iter().map(|slot| slot.load(Relaxed)).collect();
            panic!("{events} events were emitted, but the handlers have handled {seen:?}");
        }
        tokio::task::yield_now().await;
    }
}

impl Subscribe for Filled<rt_events::EventBus> {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        self.peer.on(move |event: &Event| work::<N>(slots, event.b));
    }
}

pub fn rt_events(handlers: usize) -> Case {
    let filled = Filled::new(rt_events::EventBus::new(), false, handlers);
    sync_case("rt-events", handlers, filled, |bus, event| bus.emit(event))
}

impl Subscribe for Filled<mod_events::EventDispatcher> {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        self.peer.on(move |event: &Event| work::<N>(slots, event.b));
    }
}

pub fn mod_events(handlers: usize) -> Case {
    let filled = Filled::new(mod_events::EventDispatcher::new(), false, handlers);
    sync_case("mod-events", handlers, filled, |bus, event| bus.emit(event))
}

/// A peer that is used with async handlers.
struct Async<P>(P);

impl Subscribe for Filled<Async<mod_events::EventDispatcher>> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields) = (self.slots, self.yields);
        self.peer.0.subscribe_async(move |event: &Event| {
            let b = event.b;
            async move {
                if yields {
                    tokio::task::yield_now().await;
                }
                work::<N>(slots, b);
                Ok(())
            }
        });
    }
}

pub fn mod_events_async(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let filled = Filled::new(Async(mod_events::EventDispatcher::new()), yields, handlers);
    async_case("mod-events", runtime, handlers, filled, true, async |bus, event| {
        assert!(bus.0.dispatch_async(event).await.all_succeeded());
    })
}

impl Subscribe for Filled<World> {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        self.peer.add_observer(move |event: On<'_, '_, Event>| work::<N>(slots, event.b));
    }
}

pub fn bevy(handlers: usize) -> Case {
    let filled = Filled::new(World::new(), false, handlers);
    sync_case("bevy_ecs observers", handlers, filled, |world, event| world.trigger(event))
}

impl Subscribe for Filled<jaeb::EventBus> {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        let handler = move |event: &Event, _: &jaeb::EventBus| {
            work::<N>(slots, event.b);
            Ok(())
        };
        // Dropping the handle does not remove the handler.
        let _ = done(self.peer.subscribe::<Event, _, _>(handler)).unwrap();
    }
}

pub fn jaeb(runtime: &'static Runtime, handlers: usize) -> Case {
    let bus = runtime.block_on(jaeb::EventBus::builder().build()).unwrap();
    async_case("jaeb", runtime, handlers, Filled::new(bus, false, handlers), true, async |bus, event| {
        bus.publish(event).await.unwrap();
    })
}

impl Subscribe for Filled<Async<jaeb::EventBus>> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields) = (self.slots, self.yields);
        let handler = move |event: Event, _: jaeb::EventBus| async move {
            if yields {
                tokio::task::yield_now().await;
            }
            work::<N>(slots, event.b);
            Ok(())
        };
        let _ = done(self.peer.0.subscribe::<Event, _, _>(handler)).unwrap();
    }
}

pub fn jaeb_async(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let bus = runtime.block_on(jaeb::EventBus::builder().build()).unwrap();
    let filled = Filled::new(Async(bus), yields, handlers);
    async_case("jaeb (not awaited)", runtime, handlers, filled, false, async |bus, event| {
        bus.0.publish(event).await.unwrap();
    })
}

/// Returns the result of a subscription that is ready at its first poll.
fn done<T>(subscription: impl Future<Output = T>) -> T {
    subscription.now_or_never().unwrap()
}

impl Subscribe for Filled<anycms_event::EventBus> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields) = (self.slots, self.yields);
        let handler = move |event: Event| async move {
            if yields {
                tokio::task::yield_now().await;
            }
            work::<N>(slots, event.b);
            Ok(())
        };
        done(self.peer.subscribe(handler)).unwrap();
    }
}

pub fn anycms(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let _entered = runtime.enter();
    let filled = Filled::new(anycms_event::EventBus::new(), yields, handlers);
    async_case("anycms-event (not awaited)", runtime, handlers, filled, false, async |bus, event| {
        bus.publish(event).await.unwrap();
    })
}

impl Subscribe for Filled<tokio_events::EventBus> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields) = (self.slots, self.yields);
        let handler = move |event: Event| async move {
            if yields {
                tokio::task::yield_now().await;
            }
            work::<N>(slots, event.b);
        };
        // Dropping the handle would remove the handler.
        std::mem::forget(done(self.peer.subscribe(handler)).unwrap());
    }
}

pub fn tokio_events(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let _entered = runtime.enter();
    let bus = runtime.block_on(tokio_events::EventBus::builder().build()).unwrap();
    let filled = Filled::new(bus, yields, handlers);
    async_case("tokio-events (not awaited)", runtime, handlers, filled, false, async |bus, event| {
        bus.publish(event).await.unwrap();
    })
}

/// An actor that runs handler `N`.
#[derive(kameo::Actor)]
struct Worker<const N: usize> {
    slots: Slots,
    yields: bool,
}

impl<const N: usize> kameo::message::Message<Event> for Worker<N> {
    type Reply = ();

    async fn handle(&mut self, event: Event, _: &mut kameo::message::Context<Self, ()>) {
        if self.yields {
            tokio::task::yield_now().await;
        }
        work::<N>(self.slots, event.b);
    }
}

impl Subscribe for Filled<ActorRef<MessageBus>> {
    fn add<const N: usize>(&mut self) {
        let worker = Worker::<N>::spawn(Worker { slots: self.slots, yields: self.yields });
        self.peer.tell(Register(worker.recipient::<Event>())).try_send().unwrap();
    }
}

pub fn kameo(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let _entered = runtime.enter();
    let bus = MessageBus::spawn_with_mailbox(
        MessageBus::new(DeliveryStrategy::BestEffort),
        kameo::mailbox::bounded(MAX_HANDLERS + 1),
    );
    let filled = Filled::new(bus, yields, handlers);
    async_case("kameo_actors (not awaited)", runtime, handlers, filled, false, async |bus, event| {
        bus.tell(Publish(event)).await.unwrap();
    })
}

/// Tokio's broadcast channel, with one task per handler.
type Broadcast = tokio::sync::broadcast::Sender<Arc<Event>>;

impl Subscribe for Filled<Broadcast> {
    fn add<const N: usize>(&mut self) {
        let (slots, yields, mut receiver) = (self.slots, self.yields, self.peer.subscribe());
        tokio::spawn(async move {
            while let Ok(event) = receiver.recv().await {
                if yields {
                    tokio::task::yield_now().await;
                }
                work::<N>(slots, event.b);
            }
        });
    }
}

pub fn broadcast(runtime: &'static Runtime, yields: bool, handlers: usize) -> Case {
    let _entered = runtime.enter();
    let filled = Filled::new(Broadcast::new(1024), yields, handlers);
    async_case("tokio broadcast (not awaited)", runtime, handlers, filled, false, async |bus, event| {
        let _ = bus.send(Arc::new(event));
    })
}
