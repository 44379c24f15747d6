//! The random runs on the in-memory adapter. The variables are those of the model's own runs.

use durable_model::engine::{Engine, SMALL};
use durable_model::search::random_runs_on;
use events_core::InMemory;

#[test]
fn the_adapter_in_memory_keeps_the_laws() {
    match random_runs_on(&Engine::new(InMemory::with_limits(SMALL)), 600) {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}
