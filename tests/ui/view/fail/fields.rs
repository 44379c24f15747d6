//! Fields that the event can't fill, each for a reason of its own.

mod producer {
    use typed_events::{event, payload};

    #[payload]
    pub enum Plan {
        Free,
        Paid,
    }

    #[payload]
    pub struct Address {
        pub city: Option<String>,
    }

    #[event("user.created")]
    pub struct UserCreated {
        pub id: u64,
        pub email_address: String,
        pub nick: Option<String>,
        pub plan: Plan,
        pub address: Address,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub notes: Vec<String>,
    }
}

use typed_events::{event, payload};

#[payload]
enum FreeOnly {
    Free,
}

#[payload]
struct City {
    city: String,
}

#[event(view_of = producer::UserCreated)]
struct View {
    email: String,
    id: u32,
    nick: String,
    plan: FreeOnly,
    address: City,
    notes: Vec<String>,
    #[serde(rename = "email_address")]
    mail: u64,
}

fn main() {}
