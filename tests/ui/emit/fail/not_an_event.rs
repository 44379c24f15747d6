use typed_events::Bus;

pub struct Plain;

async fn run(bus: &Bus) {
    let _ = bus.emit(Plain).await;
    let _ = bus.history("*").of::<Plain>().await;
    bus.on(|_: &Plain| ());
}

fn main() {}
