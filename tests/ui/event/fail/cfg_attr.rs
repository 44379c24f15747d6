use typed_events::{event, payload};

#[event("user.created")]
pub struct UserCreated {
    #[cfg_attr(all(), event(secret))]
    pub password: String,
    #[cfg_attr(any(), serde(default), event(opaque))]
    pub other: String,
}

#[payload]
pub struct Login {
    #[cfg_attr(all(), event(secret))]
    pub password: String,
}

fn main() {}
