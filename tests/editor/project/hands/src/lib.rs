//! Handlers for other crates.

use typed_events::{event, on};

/// Somebody is here.
#[event("guest.arrived")]
pub struct GuestArrived {
    pub name: String,
}

/// Says hello to a guest.
#[on]
pub fn welcome(guest: &GuestArrived) {
    println!("hello, {}", guest.name);
}

/// Sees a guest out.
#[on]
pub async fn see_out(guest: GuestArrived) -> Result<(), String> {
    Err(guest.name)
}

#[on]
fn private(_: &GuestArrived) {}

/// Says hello.
pub fn hello() {
    private(&GuestArrived { name: String::new() });
}
