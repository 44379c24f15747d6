//! A model check of the bus: random programs of emits, handlers, streams, replays and stops run on it, on 1 to 8
//! workers, and the results are compared with a model.
//!
//! - `MODEL_PROGRAMS=100000` runs that many programs; `MODEL_SECONDS=3600` runs programs for that time.
//! - `MODEL_FROM=5000` begins with this seed. Each program has its own seed.
//! - `MODEL_SEED=5123` replays one program, `MODEL_TIMES` (100) times, because threads interleave differently
//!   in each run.

mod actors;
mod check;
mod events;
mod gates;
mod handlers;
mod laws;
mod program;
mod run;
mod trace;

pub use check::{Size, check};
