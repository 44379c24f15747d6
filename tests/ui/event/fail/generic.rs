use typed_events::event;

#[event("item.stored")]
pub struct Stored<T> {
    pub item: T,
}

#[event("text.borrowed")]
pub struct Borrowed<'a> {
    pub text: &'a str,
}

fn main() {}
