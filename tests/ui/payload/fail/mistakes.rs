use typed_events::payload;

#[payload("money")]
pub struct Money(pub u64);

#[payload(version = 2)]
pub struct Item(pub u64);

#[payload]
fn not_a_type() {}

pub struct Foreign;

#[payload]
pub struct Place {
    #[event(hidden)]
    pub name: String,
}

fn main() {}
