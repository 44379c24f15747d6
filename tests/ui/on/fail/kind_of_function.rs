use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

pub struct Mailer;

#[on]
fn generic<T: Send>(_: &UserCreated, _: &T) {}

#[on]
fn constant<const N: usize>(_: &UserCreated) {}

#[on]
fn anonymous(_: &UserCreated, _: &impl Send) {}

#[on]
unsafe fn dangerous(_: &UserCreated) {}

#[on]
extern "C" fn foreign(_: &UserCreated) {}

impl Mailer {
    #[on]
    fn method(&self, _: &UserCreated) {}
}

#[on]
struct NotAFunction;

#[on(retries = 3)]
fn option(_: &UserCreated) {}

fn main() {}
