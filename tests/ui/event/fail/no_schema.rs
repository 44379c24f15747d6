use typed_events::event;

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Address {
    pub city: String,
}

#[event("user.moved")]
pub struct UserMoved {
    pub id: u64,
    pub to: Address,
    pub before: Vec<Address>,
}

fn main() {}
