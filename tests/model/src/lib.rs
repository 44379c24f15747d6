//! A model check of the bus: random programs of emits, handlers, streams, replays and stops run on it, on 1 to 8
//! workers, and what they see is compared with a model.
//!
//! - `MODEL_PROGRAMS=100000` runs so many programs, `MODEL_SECONDS=3600` runs for so long.
//! - `MODEL_FROM=5000` begins with this seed. Each program has a seed of its own.
//! - `MODEL_SEED=5123` replays one program, `MODEL_TIMES` (100) times: what threads do differs from run to run.

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
