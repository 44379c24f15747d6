use typed_events::{Record, event, on};

#[event("user.created")]
pub struct UserCreated;

#[on("user..x")]
fn empty_segment(_: &Record) {}

#[on("us*r", "user.created", "user.**")]
fn partial_wildcards(_: &Record) {}

#[on("user.created.")]
fn typed(_: &UserCreated) {}

#[on("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.*")]
fn too_many_segments(_: &Record) {}

#[on(".created")]
fn stray_dot(_: &Record) {}

#[on(user.created)]
fn not_quoted(_: &UserCreated) {}

#[on("user.created", "user.created")]
fn twice(_: &UserCreated) {}

fn main() {}
