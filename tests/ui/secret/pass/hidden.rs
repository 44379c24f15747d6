//! Secrets in all the places where they may be.

use typed_events::{event, payload};

#[payload(secret)]
struct Token(String);

#[payload(secret, crate = ::typed_events)]
#[derive(PartialEq)]
#[serde(rename_all = "lowercase")]
enum Key {
    Short(u8),
    Long { value: Vec<u8> },
}

#[payload]
struct Page<T> {
    #[event(secret)]
    items: Vec<T>,
    next: Option<T>,
}

#[event("user.registered", without(Debug))]
struct UserRegistered {
    #[event(secret)]
    #[serde(rename = "passWord")]
    password: String,
    token: Token,
    keys: Vec<Key>,
    page: Page<Token>,
}

impl std::fmt::Debug for UserRegistered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a user")
    }
}

#[event("user.changed")]
enum UserChanged {
    Password {
        #[event(secret)]
        new: String,
        #[cfg(any())]
        #[event(secret)]
        gone: Missing,
    },
    Key(Key),
    Nothing,
}

#[payload]
struct Login {
    name: String,
    #[event(secret)]
    password: String,
}

#[event("user.signed-in")]
struct UserSignedIn {
    #[serde(flatten)]
    login: Login,
    previous: Vec<Login>,
    devices: Vec<serde_json::Value>,
    key: Option<Key>,
}

/// What is not secret, and what stays so.
#[event(view_of = UserSignedIn)]
struct Names {
    name: String,
    #[event(secret)]
    password: String,
    previous: Vec<Name>,
    devices: Vec<serde_json::Value>,
    #[serde(default)]
    #[event(secret)]
    key: serde_json::Value,
}

#[payload]
struct Name {
    name: String,
}

fn main() {
    let changed = UserChanged::Password { new: "x".into() };
    assert_eq!(format!("{changed:?}"), "Password { .. }");
    let changed = UserChanged::Key(Key::Long { value: vec![1] });
    assert_eq!(format!("{changed:?}"), "Key([secret])");
    assert_eq!(format!("{:?}", UserChanged::Nothing), "Nothing");
}
