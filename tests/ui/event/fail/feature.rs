use typed_events::event;

#[event("user.created")]
pub struct UserCreated {
    pub id: uuid::Uuid,
    pub friends: Vec<uuid::Uuid>,
}

fn main() {}
