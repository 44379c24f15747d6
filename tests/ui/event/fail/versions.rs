use typed_events::{Bus, Upcast, event, on};

#[event("user.created", superseded)]
pub struct UserCreatedV1 {
    pub name: String,
}

// No `impl Upcast<UserCreatedV1> for UserCreated`.
#[event("user.created", version = 2, previous = UserCreatedV1)]
pub struct UserCreated {
    pub first: String,
}

#[event("user.deleted", version = 2)]
pub struct UserDeleted {}

#[event("user.renamed", version = 3, previous = UserCreatedV1)]
pub struct UserRenamed {}

impl Upcast<UserCreatedV1> for UserRenamed {
    fn upcast(_: UserCreatedV1) -> Self {
        Self {}
    }
}

#[event("user.moved", version = 2, previous = UserDeleted)]
pub struct UserMoved {}

impl Upcast<UserDeleted> for UserMoved {
    fn upcast(_: UserDeleted) -> Self {
        Self {}
    }
}

#[event("user.left", version = 1, previous = UserCreatedV1)]
pub struct UserLeft {}

#[event("user.kept", version = 0)]
pub struct UserKept {}

#[on]
fn on_the_old(_: &UserCreatedV1) {}

async fn emits_the_old(bus: &Bus) {
    let _ = bus.emit(UserCreatedV1 { name: String::new() }).await;
}

fn main() {}
