//! Names that say what has happened, or a state, and one that somebody else has chosen.

#![deny(deprecated)]

use typed_events::event;

#[event("order.created")]
pub struct OrderCreated;

#[event("app.ready")]
pub struct AppReady;

#[event("user.login")]
pub struct UserLogin;

#[event("push.create", allow(naming))]
pub struct Create;

fn main() {}
