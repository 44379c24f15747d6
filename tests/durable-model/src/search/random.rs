//! Random runs: each seed stands for programs and a list of steps.

use std::fmt::Write;

use crate::breaks::Break;
use crate::calls::{Outcome, Pattern, SeekTo, Settings, TrimLimit};
use crate::laws::Broken;
use crate::program::{Config, Fate, Operate, Options, Step, Target, World};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

/// Programs and steps.
#[derive(Clone, Debug)]
pub struct Run {
    pub seed: u64,
    pub programs: usize,
    pub configs: Vec<Config>,
    pub everything: Config,
    pub steps: Vec<Step>,
}

const STEPS: u64 = 80;

/// How many steps a run took until it broke laws, and which.
type Found = Option<(usize, Vec<Broken>)>;

impl Run {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let programs = 1 + random.below(3) as usize;
        let order = random.one_of(&[None, Some(0), Some(0)]);
        let configs: Vec<Config> = (0..programs + 2).map(|_| config(&mut random, order)).collect();
        let everything = everything(&configs);
        let mut steps: Vec<Step> = (0..programs).map(Step::Start).collect();
        let faults = random.below(4) > 0;
        let length = 20 + random.below(STEPS);
        steps.extend((0..length).map(|_| step(&mut random, programs, faults)));
        Self { seed, programs, configs, everything, steps }
    }

    /// The laws that the run breaks, and after how many steps; more than there are: at the quiet end.
    pub fn broken(&self, which: Option<Break>) -> Option<(usize, Vec<Broken>)> {
        self.broken_in(World::new(self.programs, self.configs.clone(), which))
    }

    /// The same on an engine.
    pub fn broken_on<T: Target>(&self, engine: &T) -> Option<(usize, Vec<Broken>)> {
        self.broken_in(World::of(engine.empty(), self.programs, self.configs.clone()))
    }

    /// Prints each call and its answer.
    pub fn print(&self, which: Option<Break>) {
        let mut world = World::new(self.programs, self.configs.clone(), which);
        world.trace = true;
        self.broken_in(world);
    }

    /// The same on an engine.
    pub fn print_on<T: Target>(&self, engine: &T) {
        let mut world = World::of(engine.empty(), self.programs, self.configs.clone());
        world.trace = true;
        self.broken_in(world);
    }

    fn broken_in<T: Target>(&self, mut world: World<T>) -> Option<(usize, Vec<Broken>)> {
        for (index, step) in self.steps.iter().enumerate() {
            world.step(step);
            if !world.observer.broken.is_empty() {
                return Some((index + 1, world.observer.broken));
            }
        }
        let broken = world.end_quietly(&self.everything, None);
        (!broken.is_empty()).then_some((self.steps.len() + 1, broken))
    }

    /// Leaves out steps for as long as the rest breaks the same law.
    pub fn shrunk(&self, which: Option<Break>) -> (Self, Vec<Broken>) {
        self.shrunk_by(&|run| run.broken(which))
    }

    /// The same on an engine.
    pub fn shrunk_on<T: Target>(&self, engine: &T) -> (Self, Vec<Broken>) {
        self.shrunk_by(&|run| run.broken_on(engine))
    }

    fn shrunk_by(&self, breaks: &dyn Fn(&Self) -> Found) -> (Self, Vec<Broken>) {
        let Some((steps, mut broken)) = breaks(self) else { return (self.clone(), Vec::new()) };
        let mut run = self.clone();
        run.steps.truncate(steps);
        let law = broken[0].law;
        let mut progress = true;
        while progress {
            progress = false;
            for index in (0..run.steps.len()).rev() {
                let mut less = run.clone();
                less.steps.remove(index);
                if let Some((steps, still)) = breaks(&less)
                    && still[0].law == law
                {
                    less.steps.truncate(steps);
                    (run, broken, progress) = (less, still, true);
                    break;
                }
            }
        }
        (run, broken)
    }

    /// The run as a text that says how to replay it.
    pub fn told(&self, broken: &[Broken]) -> String {
        let mut text = format!("{} programs\n", self.programs);
        for (index, config) in self.configs.iter().enumerate() {
            let _ = writeln!(text, "configuration {index}: {config:?}");
        }
        for step in &self.steps {
            let _ = writeln!(text, "  {step:?}");
        }
        for Broken { law, what } in broken {
            let _ = writeln!(text, "law {law} is broken: {what}");
        }
        let _ = write!(text, "DURABLE_MODEL_SEED={} replays the whole run", self.seed);
        text
    }
}

fn config(random: &mut Random, order: Option<u8>) -> Config {
    let consumers = 1 + random.below(2);
    Config {
        lease: random.one_of(&[9, 9, 12]),
        version: random.one_of(&[1, 2, 2]),
        max: random.one_of(&[1, 2, 3]),
        consumers: (0..consumers).map(|name| options(random, name as u8, order)).collect(),
    }
}

fn options(random: &mut Random, name: u8, order: Option<u8>) -> Options {
    let all = [Pattern::Every, Pattern::Every, Pattern::One(0), Pattern::One(1), Pattern::One(2)];
    let patterns = (0..1 + random.below(2)).map(|_| random.one_of(&all)).collect();
    let ordered_by = random.one_of(&[order, order, order, Some(1)]);
    Options {
        name,
        patterns,
        budget: random.one_of(&[1, 2, 2, 3]),
        backoff: random.below(4),
        settings: Settings { ordered_by, other: random.below(2) as u8 },
        from_start: random.below(2) == 0,
    }
}

/// A program that takes everything that the others take.
pub fn everything(configs: &[Config]) -> Config {
    let all = configs.iter().flat_map(|config| &config.consumers);
    let patterns: std::collections::BTreeSet<Pattern> =
        all.clone().flat_map(|options| options.patterns.iter().copied()).collect();
    let names: std::collections::BTreeSet<u8> = all.map(|options| options.name).collect();
    let settings = configs[0].consumers[0].settings;
    let consumers = names.into_iter().map(|name| Options {
        name,
        patterns: patterns.clone(),
        budget: 2,
        backoff: 1,
        settings,
        from_start: true,
    });
    Config { lease: 9, version: 2, max: 4, consumers: consumers.collect() }
}

fn fate(random: &mut Random, faults: bool) -> Fate {
    match random.below(20) {
        0 if faults => Fate::LoseCall,
        1 | 2 if faults => Fate::LoseAnswer,
        3 if faults => Fate::Delay,
        _ => Fate::Fine,
    }
}

fn step(random: &mut Random, programs: usize, faults: bool) -> Step {
    let program = random.below(programs as u64) as usize;
    let which = random.below(3) as usize / 2;
    let hand = random.below(3) as usize;
    match random.below(if faults { 112 } else { 100 }) {
        0..12 => Step::Emit {
            name: random.below(3) as u8,
            version: random.one_of(&[1, 1, 2]),
            fields: [random.below(2) as u8, random.below(2) as u8],
        },
        12..38 => Step::Exchange(program, which, fate(random, faults)),
        38..52 => Step::Begin(program, which, hand),
        52..66 => Step::Finish(program, which, hand, outcome(random)),
        66..76 => Step::Beat(program, fate(random, faults)),
        76..84 => Step::Advance(1 + random.below(4)),
        84..88 => Step::Start(program),
        88..90 => Step::Stop(program),
        90 => Step::Deploy(program, random.below(5) as usize),
        91 => Step::GiveUp(program, which),
        92..99 => Step::Operate(random.below(2) as u8, operate(random)),
        99 => Step::Trim(limit(random), random.below(4) == 0),
        100..102 => Step::Kill(program),
        102 => Step::Stall(program),
        103 => Step::Jump(random.one_of(&[-50, -7, 7, 100])),
        104 => Step::Away(true),
        105 | 106 => Step::Away(false),
        107 | 108 => Step::Arrive,
        109 => Step::Snapshot,
        110 => random.one_of(&[Step::Restore, Step::Restore, Step::Wipe, Step::Snapshot]),
        _ => Step::GiveUp(program, which),
    }
}

fn outcome(random: &mut Random) -> Outcome {
    match random.below(10) {
        0..5 => Outcome::Ok,
        5..8 => Outcome::Retry { delay: random.below(4) },
        8 => Outcome::DeadLetter,
        _ => Outcome::Undecodable,
    }
}

fn limit(random: &mut Random) -> TrimLimit {
    random.one_of(&[TrimLimit::To(2), TrimLimit::To(5), TrimLimit::To(20), TrimLimit::Age(10)])
}

fn operate(random: &mut Random) -> Operate {
    match random.below(20) {
        0 => Operate::Seek(SeekTo::Start),
        1 => Operate::Seek(SeekTo::Now),
        2 | 3 => Operate::Seek(SeekTo::Position(1 + random.below(8))),
        4..10 => Operate::Move,
        10..13 => Operate::Replay,
        13 => Operate::Purge,
        14 => random.one_of(&[Operate::Remove, Operate::DropUnclaimed]),
        15 => Operate::DropUnclaimed,
        16 | 17 => {
            let pattern = random.one_of(&[Pattern::Every, Pattern::One(0), Pattern::One(1), Pattern::One(2)]);
            Operate::Forget(pattern, random.below(2) == 0)
        }
        18 => Operate::Pause,
        _ => Operate::Resume,
    }
}
