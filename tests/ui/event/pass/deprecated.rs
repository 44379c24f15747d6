//! Who allows what is deprecated hears no more of it: generated code says nothing.

#![deny(deprecated)]

use typed_events::{EventSet, Upcast, event, on, payload};

#[deprecated]
#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
}

#[deprecated]
pub struct Mailer;

#[allow(deprecated)]
#[on]
fn welcome(_: &UserCreated) {}

#[expect(deprecated)]
#[on("user.created")]
async fn later(_: &UserCreated, _: &Mailer) {}

#[allow(deprecated, reason = "until autumn")]
#[on(durable = "x", ordered_by = "id")]
fn stored(_: UserCreated) {}

#[allow(deprecated)]
#[derive(EventSet)]
pub enum Users<'a> {
    Created(&'a UserCreated),
}

#[on("user.*")]
fn set(_: Users<'_>) {}

#[allow(deprecated)]
#[event(view_of = UserCreated)]
pub struct View {
    pub id: u64,
}

#[deprecated]
#[payload]
pub struct Money {
    pub cents: u64,
}

#[allow(deprecated)]
#[event("user.paid")]
pub struct UserPaid {
    pub amount: Money,
}

#[deprecated]
#[event("user.left", superseded)]
pub struct UserLeftV1 {
    pub id: u64,
}

#[allow(deprecated)]
#[event("user.left", version = 2, previous = UserLeftV1)]
pub struct UserLeft {
    pub id: u64,
}

#[allow(deprecated)]
impl Upcast<UserLeftV1> for UserLeft {
    fn upcast(old: UserLeftV1) -> Self {
        Self { id: old.id }
    }
}

#[deprecated]
#[on]
fn handler(_: &UserPaid) {}

fn main() {}
