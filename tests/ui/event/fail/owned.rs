use std::cell::Cell;
use std::rc::Rc;
use std::sync::Mutex;
use typed_events::{event, payload};

#[event("a.text")]
pub struct Text {
    pub name: &'static str,
    #[event(secret)]
    pub bytes: Option<&'static [u8]>,
}

#[event("a.shared")]
pub struct Shared {
    pub name: Rc<str>,
    pub all: Vec<Rc<u64>>,
}

#[event("a.changing")]
pub struct Changing {
    pub cell: Cell<u64>,
    pub cells: (u8, std::cell::RefCell<Vec<u8>>),
}

#[event("a.locking")]
pub enum Locking {
    Mutex(Mutex<u64>),
    Lock { lock: std::sync::RwLock<String> },
}

#[payload]
pub struct Part(pub &'static str);

#[event("a.borrowed")]
pub struct Borrowed<'a> {
    pub name: &'a str,
}

#[event(view_of = Text)]
pub struct View<'a> {
    pub name: &'a str,
}

fn main() {
    let _ = Text { name: "Ada", bytes: None };
}
