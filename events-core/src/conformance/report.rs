//! Runs the conformance tests and reports their results.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::conformance::harness::{Ability, Harness};
use crate::conformance::testbed::{Case, Testbed};
use crate::conformance::{
    consumers, damage, history, leases, live, load, operators, order, stopping, versions,
};

/// Runs all cases that the abilities of the harness support, one after the other. Each case has its own store
/// and a time limit.
///
/// A case that fails or panics does not end the run. Failures are in the [`Report`].
///
/// # Cancel safety
///
/// If the future is dropped, the current case continues in its task, and its buses are not stopped.
pub async fn run<H: Harness>(harness: H) -> Report {
    run_only(harness, "").await
}

/// Like [`run`], for the cases whose names contain `part`. Use it to repeat a failing case.
///
/// # Cancel safety
///
/// The same as for [`run`].
pub async fn run_only<H: Harness>(harness: H, part: &str) -> Report {
    let abilities = harness.abilities();
    let harness = Arc::new(harness);
    let all = [
        live::cases(),
        history::cases(),
        consumers::cases(),
        order::cases(),
        leases::cases(),
        operators::cases(),
        stopping::cases(),
        versions::cases(),
        damage::cases(),
        load::cases(),
    ];
    let mut cases = Vec::new();
    for case in all.into_iter().flatten().filter(|case| case.name.contains(part)) {
        let missing: Vec<_> =
            case.needs.iter().copied().filter(|ability| !abilities.contains(ability)).collect();
        let begun = Instant::now();
        let name = case.name;
        let outcome = match missing.is_empty() {
            true => match attempt(&harness, case).await {
                Ok(()) => CaseOutcome::Passed,
                Err(why) => CaseOutcome::Failed(why),
            },
            false => CaseOutcome::Skipped(missing),
        };
        cases.push(CaseReport { name, outcome, took: begun.elapsed() });
    }
    Report { cases }
}

/// Maximum time for the buses of a case to stop after the case.
const TO_STOP: Duration = Duration::from_secs(20);

async fn attempt<H: Harness>(harness: &Arc<H>, case: Case<H>) -> Result<(), String> {
    let limit = harness.scale().limit;
    let store = harness.fresh().await.map_err(|error| format!("the harness created no store: {error}"))?;
    let testbed = Testbed::new(Arc::clone(harness), store);
    // Run in a task, so that a panic of the adapter ends only this case.
    let mut task = tokio::spawn((case.run)(testbed.clone()));
    let tried = match timeout(limit, &mut task).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(broken))) => Err(broken.to_message()),
        Ok(Err(error)) => Err(format!("it panicked: {error}")),
        Err(_) => {
            task.abort();
            Err(format!("it took longer than {} s", limit.as_secs_f64()))
        }
    };
    let stopped = timeout(TO_STOP, testbed.stop_all()).await;
    tried?;
    match stopped {
        Ok(stopped) => stopped
            .map_err(|broken| format!("the case passed, but a bus failed to stop: {}", broken.to_message())),
        Err(_) => Err(format!("the case passed, but its buses did not stop within {} s", TO_STOP.as_secs())),
    }
}

/// Results of a run. `Display` writes one line per case and a summary.
#[derive(Clone, Debug)]
pub struct Report {
    cases: Vec<CaseReport>,
}

/// Result of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// Subject and name of the case, such as `live::metadata_survives`.
    pub name: &'static str,
    /// Outcome of the case.
    pub outcome: CaseOutcome,
    /// Duration of the case.
    pub took: Duration,
}

/// Outcome of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The requirement is met.
    Passed,
    /// The case needs these abilities, which the harness does not have.
    Skipped(Vec<Ability>),
    /// The requirement is not met; contains the cause.
    Failed(String),
}

impl Report {
    /// Results of all cases, in the order in which they ran.
    pub fn cases(&self) -> &[CaseReport] {
        &self.cases
    }

    /// Whether no case failed.
    pub fn is_ok(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Asserts that no case failed and that at least one case passed.
    ///
    /// # Panics
    ///
    /// Panics with the report if a case failed, or if every case was skipped.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion of a test")]
    pub fn assert_ok(&self) {
        let tried = self.cases.iter().any(|case| matches!(case.outcome, CaseOutcome::Passed));
        if !self.is_ok() || !tried {
            panic!("the adapter does not conform:\n{self}");
        }
    }

    fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.outcome, CaseOutcome::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(f, "{case}")?;
        }
        let passed = self.cases.iter().filter(|case| case.outcome == CaseOutcome::Passed).count();
        let (all, failed) = (self.cases.len(), self.failed().count());
        let took: Duration = self.cases.iter().map(|case| case.took).sum();
        let skipped = all - passed - failed;
        write!(f, "{passed} passed, {skipped} skipped, {failed} failed, in {:.1} s", took.as_secs_f64())
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, took) = (self.name, self.took.as_secs_f64());
        match &self.outcome {
            CaseOutcome::Passed => write!(f, "passed   {name} ({took:.2} s)"),
            CaseOutcome::Skipped(missing) => {
                let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
                write!(f, "skipped  {name}: needs {}", missing.join(", "))
            }
            CaseOutcome::Failed(why) => write!(f, "FAILED   {name} ({took:.2} s): {why}"),
        }
    }
}
