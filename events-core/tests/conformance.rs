//! Runs the conformance suite on the in-memory adapter.

use events_core::InMemory;
use events_core::conformance::{Ability, CaseOutcome, Harness, Scale, run_only};

struct OfMemory;

impl Harness for OfMemory {
    type Adapter = InMemory;
    type Store = InMemory;

    /// Returns the full size with `TESTS_FULL`, else a fifth of it.
    fn scale(&self) -> Scale {
        match std::env::var_os("TESTS_FULL") {
            Some(_) => Scale::default(),
            None => Scale::default().one_of(5),
        }
    }

    fn abilities(&self) -> Vec<Ability> {
        vec![Ability::Joins, Ability::History, Ability::Deduplication, Ability::Durable]
    }

    async fn fresh(&self) -> Result<InMemory, String> {
        Ok(InMemory::new())
    }

    fn adapter(&self, store: &InMemory) -> InMemory {
        store.clone()
    }
}

/// `CONFORMANCE_ROUNDS` sets how often the suite runs (default: once). `CONFORMANCE_ONLY` selects cases by a part of
/// their names.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "the figures are shown with `--nocapture`")]
async fn memory_conforms() {
    let rounds = std::env::var("CONFORMANCE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    for round in 1..=rounds {
        let report = run_only(OfMemory, &only).await;
        println!("round {round} of {rounds}\n{report}");
        report.assert_ok();
        let needs_none = |needs: &[Ability]| needs.iter().all(|need| OfMemory.abilities().contains(need));
        let tried = report.cases().iter().all(|case| match &case.outcome {
            CaseOutcome::Skipped(missing) => !needs_none(missing),
            _ => true,
        });
        assert!(tried, "only what needs other abilities is skipped");
    }
}
