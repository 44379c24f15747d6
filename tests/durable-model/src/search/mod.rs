//! The search for an interleaving that breaks a law: random runs, and all interleavings of small scenarios.

mod exhaustive;
mod random;
mod scenarios;

use crate::program::Target;
pub use exhaustive::{Move, Scenario, Searched};
pub use random::{Random, Run, everything};
pub use scenarios::scenarios;

/// A number of the environment, or another one.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// Runs random runs as the environment says; `Err` tells of the first that breaks a law.
pub fn random_runs(runs: u64) -> Result<String, String> {
    let seed = number("DURABLE_MODEL_SEED", 0);
    if seed > 0 {
        return failing(seed, None).map_or(Ok(format!("seed {seed}: no law was broken")), Err);
    }
    let from = number("DURABLE_MODEL_FROM", 1);
    let runs = number("DURABLE_MODEL_RUNS", runs);
    let mut steps = 0;
    for seed in from..from + runs {
        let run = Run::of(seed);
        steps += run.steps.len();
        if run.broken(None).is_some() {
            return Err(failing(seed, None).unwrap_or_default());
        }
    }
    Ok(format!("seeds {from} to {}: {steps} steps, no law was broken", from + runs - 1))
}

/// The same on an engine, where shrinking may take long: `DURABLE_MODEL_SHRINK=0` leaves it out.
pub fn random_runs_on<T: Target>(engine: &T, runs: u64) -> Result<String, String> {
    let seed = number("DURABLE_MODEL_SEED", 0);
    if seed > 0 {
        return failing_on(engine, seed).map_or(Ok(format!("seed {seed}: no law was broken")), Err);
    }
    let from = number("DURABLE_MODEL_FROM", 1);
    let runs = number("DURABLE_MODEL_RUNS", runs);
    let mut steps = 0;
    for seed in from..from + runs {
        let run = Run::of(seed);
        steps += run.steps.len();
        if run.broken_on(engine).is_some() {
            return Err(failing_on(engine, seed).unwrap_or_default());
        }
    }
    Ok(format!("seeds {from} to {}: {steps} steps, no law was broken", from + runs - 1))
}

fn failing_on<T: Target>(engine: &T, seed: u64) -> Option<String> {
    let run = Run::of(seed);
    let (_, broken) = run.broken_on(engine)?;
    let (run, broken) = match number("DURABLE_MODEL_SHRINK", 1) {
        0 => (run, broken),
        _ => run.shrunk_on(engine),
    };
    if std::env::var_os("DURABLE_MODEL_PRINT").is_some() {
        run.print_on(engine);
    }
    Some(run.told(&broken))
}

/// What the run of a seed breaks, with the shortest list of its steps that still breaks it.
pub fn failing(seed: u64, which: Option<crate::breaks::Break>) -> Option<String> {
    let run = Run::of(seed);
    run.broken(which)?;
    let (run, broken) = run.shrunk(which);
    if std::env::var_os("DURABLE_MODEL_PRINT").is_some() {
        run.print(which);
    }
    Some(run.told(&broken))
}
