use std::future::Future;
use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated;

pub struct NotDisplayed;

#[on]
fn number(_: &UserCreated) -> u32 {
    1
}

#[on]
async fn option(_: &UserCreated) -> Option<()> {
    None
}

#[on]
fn error(_: &UserCreated) -> Result<(), NotDisplayed> {
    Ok(())
}

#[on]
async fn value(_: &UserCreated) -> Result<u32, String> {
    Ok(1)
}

#[on]
fn future(_: &UserCreated) -> impl Future<Output = ()> {
    async {}
}

#[on]
fn never(_: &UserCreated) -> ! {
    std::process::exit(1)
}

fn main() {}
