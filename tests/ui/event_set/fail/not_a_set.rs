use typed_events::{EventSet, Record, event};

#[event("user.created")]
pub struct UserCreated {}

#[derive(EventSet)]
pub struct NotAnEnum<'a>(&'a UserCreated);

#[derive(EventSet)]
pub enum Empty {}

#[derive(EventSet)]
pub enum Forms<'a> {
    Unit,
    Two(&'a UserCreated, &'a Record),
    Fields { user: &'a UserCreated },
}

#[derive(EventSet)]
pub enum Generic<'a, 'b, T> {
    One(&'a T),
    Two(&'b UserCreated),
}

#[derive(EventSet)]
#[event_set(rest)]
pub enum Options<'a> {
    One(&'a UserCreated),
}

fn main() {}
