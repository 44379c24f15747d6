//! A view that would show what its event hides.

use typed_events::{event, payload};

#[payload(secret)]
struct Token(String);

#[event("user.registered")]
struct UserRegistered {
    #[event(secret)]
    password: String,
    token: Token,
}

#[event(view_of = UserRegistered)]
struct Leaky {
    password: String,
    token: String,
}

#[event(view_of = UserRegistered)]
struct Tight {
    #[event(secret)]
    password: String,
    token: Token,
}

fn main() {}
