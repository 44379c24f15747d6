//! Each law is seen to fail when the code behind it is broken on purpose.

use durable_model::breaks::Break;
use durable_model::search::{Run, scenarios};

/// The law that a break breaks, and where the search finds it: a scenario, else a seed.
fn found(which: Break, law: u8) -> Option<String> {
    // Most are found near the beginning of a scenario.
    let few = scenarios().into_iter().map(|scenario| (scenario, 60));
    for (scenario, states) in few.chain(scenarios().into_iter().map(|scenario| (scenario, 500))) {
        let searched = scenario.search(Some(which), states);
        if let Some((steps, broken)) = searched.broken
            && broken.iter().any(|broken| broken.law == law)
        {
            return Some(format!("{}, {} steps", scenario.name, steps.len()));
        }
    }
    (1..5_000).find_map(|seed| {
        let (_, broken) = Run::of(seed).broken(Some(which))?;
        broken.iter().any(|broken| broken.law == law).then(|| format!("seed {seed}"))
    })
}

fn table(breaks: &[(u8, Break)]) {
    let mut missed = Vec::new();
    for (law, which) in breaks {
        match found(*which, *law) {
            Some(by) => println!("law {law:2}  {which:?}: {by}"),
            None => missed.push(format!("law {law} does not fail with {which:?}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn each_law_fails_when_it_is_broken() {
    table(&[
        (1, Break::PassOverUnclaimed),
        (1, Break::TrimIgnoresRows),
        (2, Break::SettleByPosition),
        (3, Break::ReleaseNamed),
        (4, Break::WaitingFreesKey),
        (5, Break::ClaimBuries),
        (6, Break::GiveBackCounts),
        (7, Break::UnboundedBeat),
        (8, Break::EndedKeepsDeliveries),
        (9, Break::RepeatRuns),
        (10, Break::OldNumberRuns),
        (11, Break::TimeIsClock),
        (12, Break::SeekAtOnce),
    ]);
}

/// Wordings of the design that the model refuted.
#[test]
fn refuted_wordings_fail() {
    table(&[
        (4, Break::OlderSettingsOnly),
        (1, Break::ReplayWhileMoving),
        (1, Break::WindowWithoutId),
        (3, Break::LossHoldsPositionsOnly),
        (2, Break::SeekAheadMakesLate),
        (7, Break::BeatSinceSent),
        (7, Break::BeatsWithoutNumber),
    ]);
}
