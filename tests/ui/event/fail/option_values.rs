use typed_events::{EventSet, Schema, event, payload};

#[event("a.b", version = "2")]
pub struct A { pub id: u64 }
#[event("a.b", version)]
pub struct B { pub id: u64 }
#[event("a.b", previous)]
pub struct C { pub id: u64 }
#[event("a.b", version = 2, previous = "B")]
pub struct D { pub id: u64 }
#[event("a.b", allow)]
pub struct E { pub id: u64 }
#[event("a.b", allow = naming)]
pub struct F { pub id: u64 }
#[event("a.b", without)]
pub struct G { pub id: u64 }
#[event("a.b", without = Debug)]
pub struct H { pub id: u64 }
#[event("a.b", without("Debug"))]
pub struct I { pub id: u64 }
#[event("a.b", crate = "x")]
pub struct J { pub id: u64 }
#[event("a.b", superseded = true)]
pub struct K { pub id: u64 }
#[event(view_of)]
pub struct L { pub id: u64 }
#[event("a.b", view_of = L)]
pub struct M { pub id: u64 }
#[event(name = "a.b")]
pub struct N { pub id: u64 }
#[event(a.b)]
pub struct O { pub id: u64 }
#[event("a.b" version = 2)]
pub struct P { pub id: u64 }
#[event("a.b", "a.c")]
pub struct Q { pub id: u64 }
#[event]
pub struct S { pub id: u64 }
#[event("a.b", secret)]
pub struct T { pub id: u64 }
#[event("a.b", opaque)]
pub struct U { pub id: u64 }
#[event("a.b", verson = 2)]
pub struct V { pub id: u64 }
#[event("a.b", reserved = "x")]
pub struct W { pub id: u64 }
#[payload("money")]
pub struct X { pub id: u64 }
#[payload(opaque)]
pub struct Y { pub id: u64 }
#[event('a')]
pub struct Z { pub id: u64 }
#[derive(Schema)]
#[schema(crate = "typed_events")]
pub struct Path { pub id: u64 }
#[derive(EventSet)]
#[event_set(crate = "typed_events")]
pub enum Set<'a> { Q(&'a Q) }

fn main() {}
