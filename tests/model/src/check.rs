//! Runs many programs. Prints the first one that breaks a law, shortened as far as possible.

use std::fmt::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use crate::program::Program;
use crate::{actors, laws};

/// Time after which a program counts as hung. Most programs take less than a millisecond.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a shortened program is run, because threads interleave differently in each run.
const TRIES: usize = 30;

/// Which programs to run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The first seed.
    pub from: u64,
    /// Maximum number of programs.
    pub programs: u64,
    /// Maximum duration in seconds.
    pub seconds: u64,
}

impl Size {
    /// Reads the settings from environment variables. Without them, the programs run for about 20 seconds.
    pub fn of_environment() -> Self {
        let seconds = tests_support::size("MODEL_SECONDS", 0) as u64;
        let programs = tests_support::size("MODEL_PROGRAMS", if seconds > 0 { usize::MAX } else { 6000 });
        let from = tests_support::size("MODEL_FROM", 1) as u64;
        let seconds = if seconds > 0 { seconds } else { u64::MAX };
        Self { from, programs: programs as u64, seconds }
    }
}

/// Runs programs as the environment variables say. `Err` describes the first program that broke a law.
pub fn check() -> Result<String, String> {
    silence_panics();
    let watched = watch();
    let seed = tests_support::size("MODEL_SEED", 0) as u64;
    if seed > 0 {
        let program = Program::of(seed);
        let times = tests_support::size("MODEL_TIMES", 100);
        println!("{program}");
        return match fails(&program, &watched, times) {
            Some(broken) => Err(told(&program, &broken)),
            None => Ok(format!("seed {seed}: {times} runs, no law was broken")),
        };
    }
    let size = Size::of_environment();
    let began = Instant::now();
    let (mut ran, mut steps) = (0, 0);
    while ran < size.programs && began.elapsed().as_secs() < size.seconds {
        let program = Program::of(size.from + ran);
        if let Some(broken) = fails(&program, &watched, 1) {
            let (program, broken) = shorter(program, broken, &watched);
            return Err(told(&program, &broken));
        }
        ran += 1;
        steps += program.len();
    }
    let (last, took) = (size.from + ran - 1, began.elapsed().as_secs_f64());
    Ok(format!(
        "seeds {} to {last}: {ran} programs of {steps} steps in {took:.1} s, no law was broken",
        size.from
    ))
}

/// Runs a program `times` times, until it breaks laws. Returns the broken laws.
fn fails(program: &Program, watched: &SyncSender<Option<Program>>, times: usize) -> Option<Vec<String>> {
    (0..times).find_map(|_| {
        let _ = watched.send(Some(program.clone()));
        let trace = actors::run(program);
        let _ = watched.send(None);
        let broken = laws::broken(program, &trace);
        (!broken.is_empty()).then(|| {
            let mut broken = broken;
            broken.push(format!("emits: {:#?}", trace.emits.iter().enumerate().collect::<Vec<_>>()));
            broken
        })
    })
}

/// Removes steps of a program as long as the remaining ones still break a law.
fn shorter(
    mut program: Program,
    mut broken: Vec<String>,
    watched: &SyncSender<Option<Program>>,
) -> (Program, Vec<String>) {
    let mut step = program.len();
    while step > 0 {
        step -= 1;
        let less = program.without(step);
        if let Some(still) = fails(&less, watched, TRIES) {
            (program, broken) = (less, still);
        }
    }
    (program, broken)
}

fn told(program: &Program, broken: &[String]) -> String {
    let mut text = format!("{program}\n");
    for law in broken {
        let _ = writeln!(text, "broken: {law}");
    }
    let _ = write!(text, "MODEL_SEED={} replays the whole program", program.seed);
    text
}

/// Starts a thread that prints the program and ends the process if a program hangs.
fn watch() -> SyncSender<Option<Program>> {
    let (begins, is_begun): (_, Receiver<Option<Program>>) = sync_channel(16);
    std::thread::spawn(move || {
        let mut running = None;
        loop {
            match (is_begun.recv_timeout(TIMEOUT), &running) {
                (Ok(program), _) => running = program,
                (Err(RecvTimeoutError::Timeout), Some(program)) => {
                    eprintln!("this program stands still:\n{program}");
                    std::process::abort();
                }
                (Err(RecvTimeoutError::Timeout), None) => {}
                (Err(RecvTimeoutError::Disconnected), _) => return,
            }
        }
    });
    begins
}

/// Suppresses the output of panics, because programs contain handlers that panic.
fn silence_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|message| message.starts_with("model: ")) {
            usual(panic);
        }
    }));
}
