//! Whatever users call things, the generated code does not mind; and signatures that need care.

#![deny(deprecated)]

use std::fmt::Display;
use std::marker::PhantomData;
use typed_events::{event, on, payload};

#[event("user.created")]
pub struct UserCreated;

#[allow(non_upper_case_globals, dead_code)]
const binder: u8 = 0;
#[allow(non_upper_case_globals, dead_code)]
static states: u8 = 0;

#[on]
fn call(_: &UserCreated, _: &u8) {}

#[on]
async fn delivery(_: &UserCreated, _: &u8) {}

#[on]
fn bind(_: &UserCreated, _: &u8) {}

#[on]
fn state0(_: &UserCreated, _: &u8) {}

#[on]
async fn future(_: &UserCreated) {}

#[on]
fn error_with_a_lifetime<'a>(_: &'a UserCreated) -> Result<(), &'a str> {
    Err("no")
}

#[on]
fn error_of_some_kind(_: &UserCreated) -> Result<(), impl Display> {
    Err::<(), _>(7)
}

#[on]
fn function_as_state(_: &UserCreated, _: &(dyn for<'x> Fn(&'x str) -> &'x str + Send + Sync)) {}

#[deprecated]
#[on]
fn old_handler(_: &UserCreated) {}

#[event("user.made")]
#[deprecated]
pub struct UserMade;

pub struct Foreign;

#[event("user.skipped")]
pub enum Skipped {
    One(u8, #[serde(skip)] Option<Nothing>),
    #[serde(skip)]
    Two(Nothing),
}

#[derive(Debug, Clone, Default)]
pub struct Nothing;

#[payload]
#[serde(transparent)]
pub struct Tagged {
    kind: PhantomData<u8>,
    value: u8,
}

trait Meddling {
    fn bind(&self) {}
    fn weight(&self) {}
}

impl<T: ?Sized> Meddling for T {}

macro_rules! handler {
    ($name:ident, $event:ty, $state:ty) => {
        #[on]
        fn $name(_: $event, _: $state) {}
    };
}

handler!(by_macro, &UserCreated, &u8);

#[derive(typed_events::Schema)]
pub struct Borrowing<'a> {
    #[schema(opaque)]
    pub text: std::borrow::Cow<'a, str>,
}

fn main() {}
