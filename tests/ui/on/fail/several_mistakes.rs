use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

pub struct Mailer;

#[on("user.created", retries = 3)]
unsafe fn welcome<T>(_: &mut UserCreated, mailer: Mailer, _: &mut T) {}

fn main() {
    // The type that stands for the handler is there, so this is no further error.
    let _ = typed_events::Bus::builder().handler::<welcome>();
}
