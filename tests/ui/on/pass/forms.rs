//! Everything a handler may be.

use std::fmt::Display;
use std::sync::Arc;
use typed_events::{Bus, Delivery, Metadata, Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[event("user.deleted")]
pub struct UserDeleted;

type Alias = UserCreated;
type Reference<'a> = &'a UserCreated;
type Outcome = Result<(), Box<dyn Display>>;

pub trait Store: Send + Sync {}

#[on]
fn reference(_: &UserCreated) {}

#[on]
fn owned(_: UserCreated) {}

#[on]
fn arc(_: Arc<UserCreated>) {}

#[on("user.created")]
fn alias(_: &Alias) {}

#[on]
fn alias_of_a_reference(_: Reference<'_>) {}

#[on]
fn named_lifetime<'a>(_: &'a UserCreated, _: &'a str) {}

#[on("user.*", "*.failed")]
pub(crate) async fn many(_: &Record) {}

#[on]
async fn all_arguments(
    UserDeleted: &UserDeleted,
    _: &dyn Store,
    _: &(dyn Display + Send + Sync),
    _: &Vec<u8>,
    _: &[u8],
    _: &Bus,
    _: &Metadata,
    _: &Record,
    _: &Delivery,
) -> Result<(), String> {
    tokio::task::yield_now().await;
    Ok(())
}

#[on]
fn alias_of_a_result(_: &UserCreated) -> Outcome {
    Ok(())
}

#[on("*")]
#[cfg(any())]
fn gone(_: &NoSuchType) {}

mod inner {
    use super::*;

    #[on]
    pub fn handler(_: &UserCreated) {}
}

fn main() {
    #[event("local.event")]
    struct Local;

    #[on]
    fn local(_: &Local) {}

    reference(&UserCreated);
    let _ = Bus::builder().handler::<reference>().handler::<inner::handler>().handler::<local>();
}
