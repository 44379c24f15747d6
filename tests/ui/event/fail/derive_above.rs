use typed_events::{event, payload};

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

/// Two more.
#[derive(Debug)]
#[derive(
    Clone,
    PartialEq,
)]
#[allow(dead_code)]
#[payload]
pub struct Money {
    pub cents: i64,
}

#[derive(Debug)]
#[event(view_of = UserCreated)]
pub struct View {
    #[event(secret)]
    pub id: u64,
}

#[derive(Clone, Debug)]
#[payload(secret)]
pub struct Token(String);

fn main() {}
