use typed_events::event;

#[event]
pub struct Bare;

#[event()]
pub struct Parentheses;

#[event(UserCreated)]
pub struct Word;

#[event("user.created", "user.made")]
pub struct Two;

fn main() {}
