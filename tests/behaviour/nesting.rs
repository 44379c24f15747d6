//! Handlers that use the bus.

use std::sync::Arc;

use typed_events::{Bus, ErrorKind, Record, event, on};

use crate::{Seen, bus};

#[event("nesting.down")]
pub struct Down(pub u32);

#[event("nesting.other")]
pub struct Other;

#[on]
async fn dig(down: &Down, bus: &Bus, seen: &Seen) -> Result<(), typed_events::Error> {
    let Err(error) = bus.emit(Down(down.0 + 1)).await else {
        return Ok(());
    };
    seen.push(format!("{} at {}: {error}", error.kind() == ErrorKind::ChainTooDeep, down.0));
    Ok(())
}

#[tokio::test]
async fn the_33rd_nested_emit_is_an_error_that_prints_the_chain() {
    let seen = Arc::new(Seen::default());
    let bus = Bus::builder().handler::<dig>().shared(Arc::clone(&seen)).build().await.unwrap();
    bus.emit(Down(1)).await.unwrap();
    let chain = vec!["nesting.down"; 33].join(" -> ");
    let expected = format!("true at 32: nesting.down: emits are nested more than 32 deep: {chain}");
    assert_eq!(seen.take(), [expected]);
    assert_eq!(bus.history("*").await.unwrap().len(), 32);
}

#[tokio::test]
async fn the_depth_can_be_set() {
    let seen = Arc::new(Seen::default());
    let bus = Bus::builder().handler::<dig>().shared(Arc::clone(&seen)).max_chain(2).build().await.unwrap();
    bus.emit(Down(1)).await.unwrap();
    assert_eq!(
        seen.take(),
        [
            "true at 2: nesting.down: emits are nested more than 2 deep: nesting.down -> nesting.down -> nesting.down"
        ]
    );
}

#[tokio::test]
async fn handlers_emit_subscribe_and_unsubscribe() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let (handle, log) = (bus.clone(), Arc::clone(&seen));
    bus.on(move |down: Arc<Down>| {
        let (bus, log) = (handle.clone(), Arc::clone(&log));
        async move {
            let inner = Arc::clone(&log);
            let subscription = bus.on(move |_: &Other| inner.push("inner"));
            bus.emit(Other).await?;
            bus.emit_json("nesting.other", "null").await?;
            subscription.unsubscribe();
            bus.off("nesting.other")?;
            bus.pattern("*").on(|_: &Record| ())?;
            bus.history("*").await?;
            log.push(format!("outer {}", down.0));
            Ok::<_, typed_events::Error>(())
        }
    });
    let emitted = bus.emit(Down(1)).await.unwrap();
    assert!(emitted.failures().is_empty(), "{:?}", emitted.failures());
    assert_eq!(seen.take(), ["inner", "inner", "outer 1"]);
    assert_eq!(bus.handlers().len(), 2);
}
