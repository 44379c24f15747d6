use std::rc::Rc;
use typed_events::{Record, event, on};

#[event("user.created")]
pub struct UserCreated;

pub struct Plain;
pub struct Mailer;

#[on]
fn not_an_event(_: &Plain) {}

#[on("user.*")]
fn number(_: u64) {}

#[on]
fn nothing() {}

#[on]
fn state_by_value(_: &UserCreated, _mailer: Mailer) {}

#[on]
fn state_by_arc(_: &UserCreated, _mailer: std::sync::Arc<Mailer>) {}

#[on]
fn mutable_event(_: &mut UserCreated) {}

#[on]
fn mutable_state(_: &UserCreated, _mailer: &mut Mailer) {}

#[on("*")]
fn not_shared(_: &Record, _mailer: &Rc<Mailer>) {}

#[on("*")]
fn maybe(_: &Record, _mailer: Option<&Mailer>) {}

#[on("*")]
fn sometimes(_: &Record, #[cfg(any())] _mailer: &Mailer) {}

fn main() {}
