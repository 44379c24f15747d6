use typed_events::{event, on};

#[event("user.created")]
pub struct UserCreated { pub id: u64 }

#[on(durable = "a", timeout = 30)]
fn a(_: &UserCreated) {}
#[on(durable = "b", backoff = 5)]
fn b(_: &UserCreated) {}
#[on(durable = "c", retries = "3")]
fn c(_: &UserCreated) {}
#[on(durable = "d", concurrency = "3")]
fn d(_: &UserCreated) {}
#[on(durable = "e", ordered_by = id)]
fn e(_: &UserCreated) {}
#[on(durable = "f", from = start)]
fn f(_: &UserCreated) {}
#[on(durable = "g", ordered_by = "id", nulls = together)]
fn g(_: &UserCreated) {}
#[on(durable = send_invoice)]
fn h(_: &UserCreated) {}
#[on(durable)]
fn i(_: &UserCreated) {}
#[on(durable = "j", retries = -1)]
fn j(_: &UserCreated) {}
#[on(durable = "k", timeout = std::time::Duration::from_secs(3))]
fn k(_: &UserCreated) {}
#[on(durable = "l", timeout = 30s)]
fn l(_: &UserCreated) {}
#[on(durable = "m", retries)]
fn m(_: &UserCreated) {}
#[on("user.created" durable = "n")]
fn n(_: &UserCreated) {}
#[on(name = "x")]
fn o(_: &UserCreated) {}
#[on(user.created)]
fn p(_: &UserCreated) {}
#[on(UserCreated)]
fn q(_: &UserCreated) {}
#[on(durable("x"))]
fn r(_: &UserCreated) {}
#[on(durable = "s", retries = 3.5)]
fn s(_: &UserCreated) {}
#[on(durable = "t", timeout = NEVER)]
fn t(_: &UserCreated) {}
#[on(3)]
fn v(_: &UserCreated) {}
#[on('u')]
fn w(_: &UserCreated) {}
#[on(durable = "x", crate = "typed_events")]
fn x(_: &UserCreated) {}
#[on(durable = "y", retries(3))]
fn y(_: &UserCreated) {}

fn main() {}
