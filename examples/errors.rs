//! What goes wrong, and where you see it: `cargo run --example errors`.

use typed_events::{Bus, ErrorKind, Record, event, on};

#[event("order.paid")]
pub struct OrderPaid {
    pub order: u64,
    pub cents: u64,
}

/// An error as an event of its own: others can handle it.
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
    assert!(paid.order != 13, "order 13 is bad luck"); // a panic stays in its handler, too
    println!("  counted order {}", paid.order);
}

/// Turns a failure into an event. `&Bus` is given to any handler that asks for it.
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
    // Failures are logged through `tracing`, or to stderr if nothing listens; here we print them.
    let bus = Bus::builder().quiet().discover().build().await?;

    for (order, cents) in [(1, 500), (2, 0), (13, 500), (4, 2_000_000)] {
        println!("order {order} is paid");
        // A failing handler is no error of the emit: the event happened, and the others ran.
        let emitted = bus.emit(OrderPaid { order, cents }).await?;
        for failure in emitted.failures() {
            println!("  {failure}");
        }
    }

    println!("events from outside are checked before anything happens:");
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
