//! CI runs a slice of the random runs, and all scenarios.

use std::collections::BTreeSet;

use durable_model::breaks::Break;
use durable_model::calls::{Outcome, Pattern, Settings};
use durable_model::program::{Config, Fate, Options, Step, World};
use durable_model::search::{Searched, number, random_runs, scenarios};

/// `DURABLE_MODEL_RUNS` runs more, `DURABLE_MODEL_FROM` begins with another seed, `DURABLE_MODEL_SEED` replays one.
#[test]
fn random_runs_keep_the_laws() {
    match random_runs(15_000) {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}

/// `DURABLE_MODEL_STATES` searches more states of each scenario, `DURABLE_MODEL_SCENARIO` only those with a text in
/// their names.
#[test]
fn all_interleavings_of_the_scenarios_keep_the_laws() {
    let states = number("DURABLE_MODEL_STATES", 1_200) as usize;
    let only = std::env::var("DURABLE_MODEL_SCENARIO").unwrap_or_default();
    let mut failed = Vec::new();
    let mut total = 0;
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains(&only)) {
        let Searched { states, depth, complete, broken, .. } = scenario.search(None, states);
        total += states;
        println!(
            "{states:7} states, {depth:2} moves{}: {}",
            if complete { ", all" } else { "" },
            scenario.name
        );
        if let Some((steps, broken)) = broken {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            failed.push(format!("{}\n{}\n{broken:?}", scenario.name, steps.join("\n")));
        }
    }
    println!("{total:7} states in all");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// A bus that always has something in hand comes to a suspect all the same: it drains, since the answers say that a
/// suspect waits.
#[test]
fn a_suspect_is_delivered_under_load() {
    assert!(suspect_is_delivered(None));
    assert!(!suspect_is_delivered(Some(Break::SuspectWaitsSilently)));
}

fn suspect_is_delivered(which: Option<Break>) -> bool {
    let options = Options {
        name: 0,
        patterns: BTreeSet::from([Pattern::Every]),
        budget: 2,
        backoff: 0,
        settings: Settings { ordered_by: None, other: 0 },
        from_start: true,
    };
    let config = Config { lease: 9, version: 1, max: 2, consumers: vec![options] };
    let mut world = World::new(2, vec![config], which);
    let emit = Step::Emit { name: 0, version: 1, fields: [0, 0] };
    let exchange = Step::Exchange(1, 0, Fate::Fine);
    let begins = [
        Step::Start(0),
        Step::Start(1),
        // Learns that the other program has joined.
        Step::Exchange(0, 0, Fate::Fine),
        emit.clone(),
        Step::Exchange(0, 0, Fate::Fine),
        Step::Begin(0, 0, 0),
    ];
    begins.iter().for_each(|step| world.step(step));
    world.step(&Step::Kill(0));
    world.step(&emit);
    [exchange.clone(), Step::Begin(1, 0, 0)].iter().for_each(|step| world.step(step));
    for _ in 0..20 {
        let round = [
            Step::Beat(1, Fate::Fine),
            Step::Advance(3),
            emit.clone(),
            exchange.clone(),
            Step::Begin(1, 0, 0),
            Step::Finish(1, 0, 0, Outcome::Ok),
        ];
        round.iter().for_each(|step| world.step(step));
        let bus = world.programs[1].bus.as_ref();
        if bus.is_some_and(|bus| bus.opened[0].hands.iter().any(|hand| hand.position == 1)) {
            return true;
        }
    }
    false
}
