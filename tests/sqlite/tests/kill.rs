//! Processes that are killed at any moment lose nothing that was acknowledged.
//!
//! `KILL_CYCLES=2000` kills that often. `CRASH_SEED` repeats the times of the kills, as far as that is possible.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlite_tests::{Noted, Random, consuming, drain, log_in, numbers, size, taker, whole};
use tokio::time::{Instant, sleep};
use typed_events::sqlite::Sqlite;

/// The longest time between two kills, in microseconds.
const LIFE: u64 = 60_000;

/// Two processes on one file, and the folder with their notes.
struct Victims {
    folder: PathBuf,
    running: [Child; 2],
    started: u64,
}

impl Victims {
    fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let running = [spawn(&folder, 0), spawn(&folder, 1)];
        Self { folder, running, started: 2 }
    }

    /// Starts a process in place of one that was killed.
    fn restart(&mut self, which: usize) {
        self.running[which] = spawn(&self.folder, self.started);
        self.started += 1;
    }

    /// Kills a process with `SIGKILL`.
    fn kill(&mut self, which: usize) {
        let victim = &mut self.running[which];
        let ended = victim.try_wait().expect("a process can be asked how it is");
        assert!(ended.is_none(), "a process ended by itself: {ended:?}");
        victim.kill().and_then(|()| victim.wait()).expect("a process can be killed");
    }

    /// Returns the numbers that all processes noted in a file, with duplicates.
    fn noted(&self, file: &str) -> Vec<u64> {
        let noted = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        noted.lines().map(|line| line.parse().expect("a note is whole")).collect()
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for victim in &mut self.running {
            // It may have ended.
            let _ = victim.kill();
            let _ = victim.wait();
        }
    }
}

/// Starts a process. Its numbers begin so far apart that no two processes use the same.
fn spawn(folder: &Path, started: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_victim"))
        .args([log_in(folder), folder.join("acknowledged"), folder.join("handled")])
        .arg((started * 1_000_000).to_string())
        .stdin(Stdio::null())
        .spawn()
        .expect("the victim starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_nothing_that_was_acknowledged() {
    let (cycles, mut random) = (size("KILL_CYCLES", 40), Random::printed("kill"));
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut victims = Victims::start(folder.path());
    for cycle in 0..cycles {
        sleep(Duration::from_micros(random.below(LIFE))).await;
        let which = random.below(2) as usize;
        victims.kill(which);
        if cycle % 4 == 3 {
            // Now no process has the file open, so the next one finds the state after a crash of the only process.
            victims.kill(1 - which);
            victims.restart(1 - which);
        }
        victims.restart(which);
    }
    (0..2).for_each(|which| victims.kill(which));
    let killing = began.elapsed();

    let here = Arc::new(Noted::default());
    let bus = consuming(Sqlite::at(log_in(folder.path())), taker(), &here).build().await.unwrap();
    drain(&bus).await;
    let in_log = numbers(&bus).await;
    assert_eq!(bus.consumer("take").status().await.unwrap().dead, 0);
    bus.stop().await.unwrap();

    let acknowledged = victims.noted("acknowledged");
    let handled: Vec<_> = victims.noted("handled").into_iter().chain(here.all()).collect();
    assert_eq!(whole(&log_in(folder.path())), in_log.len());
    check(&acknowledged, &in_log, &handled);
    println!(
        "kill: {cycles} cycles in {killing:.1?} (checked after {:.1?}): {} events acknowledged, 0 lost; \
         {} in the log; {}",
        began.elapsed(),
        acknowledged.len(),
        in_log.len(),
        again(&handled),
    );
    assert!(acknowledged.len() > cycles, "the victims had no time to do anything");
}

fn check(acknowledged: &[u64], in_log: &HashSet<u64>, handled: &[u64]) {
    let missing = |all: &HashSet<u64>| acknowledged.iter().filter(|number| !all.contains(number)).count();
    let handled = handled.iter().copied().collect();
    assert_eq!(missing(in_log), 0, "acknowledged events are not in the log");
    assert_eq!(missing(&handled), 0, "acknowledged events were not handled");
    assert_eq!(in_log.difference(&handled).count(), 0, "events in the log were not handled");
    assert_eq!(handled.difference(in_log).count(), 0, "events were handled that are not in the log");
}

fn again(handled: &[u64]) -> String {
    let mut times: HashMap<u64, u32> = HashMap::new();
    handled.iter().for_each(|number| *times.entry(*number).or_default() += 1);
    let (again, most) = (times.values().filter(|times| **times > 1).count(), times.values().max());
    format!("{again} handled more than once, at most {} times", most.unwrap_or(&0))
}
