//! Failing handlers and rejected events: `cargo run --example errors`.

use typed_events::{Bus, ErrorKind, Record, event, on};

#[event("order.paid")]
pub struct OrderPaid {
    pub order: u64,
    pub cents: u64,
}

/// An error as an event, which other handlers can handle.
#[event("order.failed")]
pub struct OrderFailed {
    pub order: u64,
    pub why: String,
}

#[on]
async fn ship(paid: &OrderPaid) -> Result<(), String> {
    if paid.cents == 0 {
        return Err(format!("order {} was paid with nothing", paid.order));
    }
    println!("  shipped order {}", paid.order);
    Ok(())
}

#[on]
fn count(paid: &OrderPaid) {
    assert!(paid.order != 13, "order 13 is bad luck"); // a panic is caught, too
    println!("  counted order {}", paid.order);
}

/// Reports a problem as an event. Every handler can take `&Bus`.
#[on]
async fn invoice(paid: &OrderPaid, bus: &Bus) -> Result<(), typed_events::Error> {
    if paid.cents > 1_000_000 {
        bus.emit(OrderFailed { order: paid.order, why: "too much for one invoice".into() }).await?;
    }
    Ok(())
}

#[on("*.failed")]
fn alarm(failed: &Record) {
    let cause = failed.metadata().causation_id().unwrap_or("nothing"); // set by the bus
    println!("  alarm: {failed}, caused by {cause}");
}

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    // Failures are logged by `tracing`, or to stderr without a subscriber. This example prints them itself.
    let bus = Bus::builder().quiet().discover().build().await?;

    for (order, cents) in [(1, 500), (2, 0), (13, 500), (4, 2_000_000)] {
        println!("order {order} is paid");
        // A failing handler does not fail the emit: the event was recorded and the other handlers ran.
        let emitted = bus.emit(OrderPaid { order, cents }).await?;
        for failure in emitted.failures() {
            println!("  {failure}");
        }
    }

    println!("events from outside are checked before any handler runs:");
    for (name, json) in [
        ("order.paid", r#"{"order": 5, "cents": "many"}"#),
        ("order.paid", r#"{"order": 5}"#),
        ("order.payed", r#"{"order": 5, "cents": 1}"#),
        ("order.paid", r#"{"order": 5, "#),
    ] {
        let error = bus.emit_json(name, json).await.unwrap_err();
        println!("  {error}");
        assert!(matches!(error.kind(), ErrorKind::Payload | ErrorKind::UnknownEvent));
    }

    bus.stop().await?;
    let error = bus.emit(OrderPaid { order: 6, cents: 1 }).await.unwrap_err();
    println!("after stop: {error}");
    Ok(())
}
