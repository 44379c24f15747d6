use typed_events::event;

#[event("user..created", durable = true)]
pub struct UserCreated<T> {
    #[event(hidden)]
    pub id: T,
}

fn main() {}
