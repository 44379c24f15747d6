//! A view that would show what its event hides.

use typed_events::{event, payload};

#[payload(secret)]
struct Token(String);

#[payload]
struct Login {
    name: String,
    #[event(secret)]
    password: String,
}

#[event("user.registered")]
struct UserRegistered {
    #[event(secret)]
    password: String,
    token: Token,
    login: Login,
    tokens: Vec<Token>,
}

#[event(view_of = UserRegistered)]
struct Leaky {
    password: String,
    token: String,
}

#[event(view_of = UserRegistered)]
struct Renamed {
    #[serde(alias = "password")]
    secret: String,
}

#[payload]
struct OwnLogin {
    password: String,
}

#[event(view_of = UserRegistered)]
struct Deep {
    login: OwnLogin,
    tokens: Vec<String>,
}

#[event(view_of = UserRegistered)]
struct Anything {
    login: serde_json::Value,
}

#[event(view_of = UserRegistered)]
struct Tight {
    #[event(secret)]
    password: String,
    token: Token,
}

fn main() {}
