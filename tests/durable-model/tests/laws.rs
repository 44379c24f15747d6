//! CI runs a slice of the random runs, and all scenarios.

use durable_model::search::{Searched, number, random_runs, scenarios};

/// `DURABLE_MODEL_RUNS` runs more, `DURABLE_MODEL_FROM` begins with another seed, `DURABLE_MODEL_SEED` replays one.
#[test]
fn random_runs_keep_the_laws() {
    match random_runs(20_000) {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}

/// `DURABLE_MODEL_STATES` searches more states of each scenario, `DURABLE_MODEL_SCENARIO` only those with a text in
/// their names.
#[test]
fn all_interleavings_of_the_scenarios_keep_the_laws() {
    let states = number("DURABLE_MODEL_STATES", 2_000) as usize;
    let only = std::env::var("DURABLE_MODEL_SCENARIO").unwrap_or_default();
    let mut failed = Vec::new();
    let mut total = 0;
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains(&only)) {
        let Searched { states, depth, complete, broken, .. } = scenario.search(None, states);
        total += states;
        println!("{states:7} states, {depth:2} moves{}: {}", if complete { ", all" } else { "" }, scenario.name);
        if let Some((steps, broken)) = broken {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            failed.push(format!("{}\n{}\n{broken:?}", scenario.name, steps.join("\n")));
        }
    }
    println!("{total:7} states in all");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
