use typed_events::event;

#[event("typed-events.gap")]
pub struct Gap;

#[event("typed-events")]
pub struct FirstSegmentAlone;

#[event("typed-events.operator.paused", version = 1, superseded)]
pub struct PausedV1;

#[event("typed-events2.gap")]
pub struct OtherSegment;

#[event("gap.typed-events")]
pub struct NotFirst;

fn main() {}
