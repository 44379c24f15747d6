//! Runs the cases, and says what came of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::conformance::harness::{Ability, Harness};
use crate::conformance::testbed::{Case, Testbed};
use crate::conformance::{
    consumers, damage, history, leases, live, load, operators, order, stopping, versions,
};

/// Tries every law that the abilities of a harness concern, one after the other, each on a place of its own and with
/// a time limit.
///
/// # Cancel safety
///
/// Dropping it leaves the case under way to its buses.
pub async fn run<H: Harness>(harness: H) -> Report {
    run_only(harness, "").await
}

/// [`run`] of the cases whose names have this text in them: while one of them fails.
///
/// # Cancel safety
///
/// That of [`run`].
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

/// How long the buses of a case have to stop after it.
const TO_STOP: Duration = Duration::from_secs(20);

async fn attempt<H: Harness>(harness: &Arc<H>, case: Case<H>) -> Result<(), String> {
    let limit = harness.scale().limit;
    let store = harness.fresh().await.map_err(|error| format!("there is no place to try it on: {error}"))?;
    let testbed = Testbed::new(Arc::clone(harness), store);
    // A task, so that a panic of the adapter ends the case alone.
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
        Ok(stopped) => stopped.map_err(|broken| format!("after all went well: {}", broken.to_message())),
        Err(_) => Err(format!("after all went well, its buses did not stop within {} s", TO_STOP.as_secs())),
    }
}

/// What came of a run: displays as one line per case.
#[derive(Clone, Debug)]
pub struct Report {
    cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its subject and name.
    pub name: &'static str,
    /// What came of it.
    pub outcome: CaseOutcome,
    /// How long it took.
    pub took: Duration,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The law was kept.
    Passed,
    /// It needs abilities that the harness does not have.
    Skipped(Vec<Ability>),
    /// The law was broken, and how.
    Failed(String),
}

impl Report {
    /// All cases, in the order in which they were tried.
    pub fn cases(&self) -> &[CaseReport] {
        &self.cases
    }

    /// Whether no law was broken.
    pub fn is_ok(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Ends the test where a law was broken.
    ///
    /// # Panics
    ///
    /// With the report, where a case has failed; or where every case was skipped.
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
