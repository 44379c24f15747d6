use typed_events::{event, payload};

#[event("user.created")]
#[event("user.updated")]
pub struct UserChanged {
    pub id: u64,
}

#[payload]
#[payload]
pub struct Money {
    pub cents: i64,
}

#[payload]
#[event("money.sent")]
pub struct Sent {
    pub money: Money,
}

#[event("money.received")]
#[payload]
pub struct Received {
    pub sent: Sent,
}

fn main() {}
