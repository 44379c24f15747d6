use typed_events::event;

#[event("user.created", durable = true)]
pub struct UserCreated;

#[event("user.deleted", without(Copy))]
pub struct UserDeleted;

#[event("user.moved")]
pub struct UserMoved {
    #[event(hidden)]
    pub to: String,
}

fn main() {}
