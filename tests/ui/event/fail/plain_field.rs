use typed_events::event;

pub struct Address {
    pub city: String,
}

#[event("user.moved")]
pub struct UserMoved {
    pub to: Address,
}

fn main() {}
