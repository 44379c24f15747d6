//! This library.

use peers::{Case, Sixteen, Slots, Subscribe, sixteen, slots, subscribe, timed, work};
use tokio::runtime::Runtime;
use typed_events::{Bus, BusBuilder};

/// How the handlers of a case behave.
#[derive(Clone, Copy)]
pub enum Kind {
    Sync,
    Ready,
    Yields,
}

struct Filled {
    bus: Bus,
    slots: Slots,
    kind: Kind,
}

impl Subscribe for Filled {
    fn add<const N: usize>(&mut self) {
        let slots = self.slots;
        match self.kind {
            Kind::Sync => drop(self.bus.on(move |event: &Sixteen| work::<N>(slots, event.b))),
            Kind::Ready => drop(self.bus.on(move |event: &Sixteen| {
                let b = event.b;
                async move { work::<N>(slots, b) }
            })),
            Kind::Yields => drop(self.bus.on(move |event: &Sixteen| {
                let b = event.b;
                async move {
                    tokio::task::yield_now().await;
                    work::<N>(slots, b);
                }
            })),
        }
    }
}

/// Creates the case of a bus of this library, whose emits are awaited.
pub fn typed_events(
    name: &str,
    runtime: &'static Runtime,
    builder: BusBuilder,
    kind: Kind,
    handlers: usize,
) -> Case {
    let bus = runtime.block_on(builder.quiet().build()).unwrap();
    let mut filled = Filled { bus, slots: slots(), kind };
    subscribe(&mut filled, handlers);
    let bus = filled.bus;
    Case::new(name, handlers, filled.slots, move |n| {
        timed(|| {
            runtime.block_on(async {
                for i in 0..n {
                    bus.emit(sixteen(i)).await.unwrap();
                }
            })
        })
    })
}
