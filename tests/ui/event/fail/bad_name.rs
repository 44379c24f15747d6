use typed_events::event;

#[event("user..created")]
pub struct EmptySegment;

#[event("user.*")]
pub struct Wildcard;

#[event("us*r")]
pub struct PartialWildcard;

#[event("user created")]
pub struct Space;

#[event("")]
pub struct Empty;

#[event("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q")]
pub struct SeventeenSegments;

fn main() {}
