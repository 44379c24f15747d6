//! Secrets that something would show, or that nothing could hide.

use typed_events::{Schema, event, payload};

#[event("user.registered")]
#[derive(Debug, Clone)]
struct UserRegistered {
    name: String,
    #[event(secret)]
    password: String,
}

#[payload]
#[derive(PartialEq, Debug)]
struct Login {
    #[event(secret)]
    password: String,
}

#[payload(secret)]
#[derive(Debug)]
struct Token(String);

#[event("user.named")]
struct Unnamed(#[event(secret)] String);

#[event("user.skipped")]
struct Skipped {
    #[event(secret)]
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

#[payload(secret)]
struct Generic<T> {
    value: T,
}

#[payload(secret, without(Serialize))]
struct Own {
    value: u8,
}

#[event("user.all", secret)]
struct WholeEvent {
    value: u8,
}

#[derive(serde::Serialize, serde::Deserialize, Schema)]
struct OnlySchema {
    #[schema(secret)]
    password: String,
}

#[payload]
struct Credentials {
    password: String,
}

impl From<Becomes> for Credentials {
    fn from(login: Becomes) -> Self {
        Self { password: login.password }
    }
}

#[payload]
#[serde(into = "Credentials")]
struct Becomes {
    #[event(secret)]
    password: String,
}

#[payload]
#[serde(transparent)]
struct Transparent {
    #[event(secret)]
    password: String,
}

#[event("user.left", without(Serialize))]
struct ByHand {
    #[event(secret)]
    password: String,
}

impl serde::Serialize for ByHand {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.password)
    }
}

fn main() {}
