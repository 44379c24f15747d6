use typed_events::Bus;

pub struct Mailer;

fn main() {
    let _ = Bus::builder().handler::<Mailer>();
}
