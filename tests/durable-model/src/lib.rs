//! The executable model of durable delivery: the stored state and its operations, simulated programs, the twelve laws,
//! and a search for interleavings that break one. The page "Durable delivery" in ARCHITECTURE.md says the same in words.
//!
//! - `DURABLE_MODEL_RUNS=1000000` runs so many random runs, `DURABLE_MODEL_FROM=5000` begins with this seed.
//! - `DURABLE_MODEL_SEED=5123` replays one run and leaves out the steps that it does not need, and
//!   `DURABLE_MODEL_PRINT=1` prints each call and its answer.
//! - `DURABLE_MODEL_STATES=100000` searches so many states of each scenario, `DURABLE_MODEL_SCENARIO=seek` only the
//!   scenarios with this text in their names.
//! - `cargo test --profile long -p durable-model --test memory`, or `-p sqlite-tests --test laws` and
//!   `-p redis-tests --test laws`, is for long runs. RUNS.md lists them.

pub mod breaks;
pub mod calls;
pub mod engine;
pub mod laws;
pub mod program;
pub mod search;
pub mod store;
