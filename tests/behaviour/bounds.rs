//! Bounds that hold for all behaviour of users and events.

use std::sync::Arc;

use tokio::sync::mpsc;
use typed_events::{Bus, ErrorKind, event};

#[event("bounds.hop")]
pub struct Hop(pub u32);

/// Builds a bus whose handler waits and then emits the next hop, detached. Sends the error that ends the chain.
async fn hopping(max_chain: u32) -> (Bus, mpsc::Receiver<typed_events::Error>) {
    let bus = Bus::builder().max_chain(max_chain).build().await.unwrap();
    let (sender, ended) = mpsc::channel(1);
    let handle = bus.clone();
    bus.on(move |hop: Arc<Hop>| {
        let (bus, sender) = (handle.clone(), sender.clone());
        async move {
            tokio::task::yield_now().await;
            if let Err(error) = bus.emit(Hop(hop.0 + 1)).detach() {
                sender.send(error).await.unwrap();
            }
        }
    });
    (bus, ended)
}

/// Regression test: each link of the chain dropped the one before it, which overflowed the stack.
#[test]
fn m3_a_chain_of_150_000_hops_needs_no_stack() {
    let hops = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (bus, mut ended) = hopping(150_000).await;
            bus.emit(Hop(1)).detach().unwrap();
            let error = ended.recv().await.unwrap();
            assert_eq!(error.kind(), ErrorKind::ChainTooDeep);
            let last = vec!["bounds.hop"; 32].join(" -> ");
            assert_eq!(
                error.to_string(),
                format!(
                    "bounds.hop: emits are nested more than 150000 deep: bounds.hop -> ... 149968 more ... -> {last}"
                )
            );
            assert_eq!(bus.history("*").limit(2000).await.unwrap().len(), 1000);
        });
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(hops).unwrap().join().unwrap();
}

#[event("bounds.outer")]
pub struct Outer;

/// Emits that are left out of the stored chain still count.
#[tokio::test]
async fn m3_a_deep_chain_knows_the_buses_it_came_through() {
    let (outer, (inner, mut ended)) = (Bus::new().await.unwrap(), hopping(100).await);
    let (stopped, mut outcome) = mpsc::channel(1);
    let (handle, first) = (outer.clone(), inner.clone());
    outer.on(move |_: &Outer| first.emit(Hop(1)).detach());
    inner.on(move |hop: Arc<Hop>| {
        let (outer, stopped) = (handle.clone(), stopped.clone());
        async move {
            if hop.0 == 90 {
                stopped.send(outer.stop().await).await.unwrap();
            }
        }
    });
    outer.emit(Outer).await.unwrap();
    let error = outcome.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StopInHandler);
    let error = ended.recv().await.unwrap().to_string();
    assert!(error.contains("bounds.outer -> ... 68 more ... -> bounds.hop -> "), "{error}");
}
