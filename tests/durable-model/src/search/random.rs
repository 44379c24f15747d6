//! Random runs: each seed stands for programs and a list of steps.

use std::fmt::Write;

use crate::breaks::Break;
use crate::calls::{Outcome, Pattern, SeekTo, Settings, TrimLimit, Version};
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
        let mix = Mix::of(&mut random, programs);
        let order = random.one_of(&[None, Some(0), Some(0)]);
        let configs: Vec<Config> = (0..programs + 2).map(|_| config(&mut random, &mix, order)).collect();
        let everything = everything(&configs);
        let mut steps: Vec<Step> = (0..programs).map(Step::Start).collect();
        let length = steps.len() + 20 + random.below(STEPS) as usize;
        while steps.len() < length {
            steps.extend(mix.next(&mut random));
        }
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

fn config(random: &mut Random, mix: &Mix, order: Option<u8>) -> Config {
    let consumers = 1 + random.below(2);
    Config {
        lease: random.one_of(&[9, 9, 12]),
        version: random.one_of(&[1, 2, 2]),
        max: random.one_of(&[1, 2, 3]),
        consumers: (0..consumers).map(|name| options(random, mix, name as u8, order)).collect(),
    }
}

fn options(random: &mut Random, mix: &Mix, name: u8, order: Option<u8>) -> Options {
    let patterns = (0..1 + random.below(2)).map(|_| match random.below(5) {
        0 | 1 => Pattern::Every,
        _ => Pattern::One(random.below(mix.names) as u8),
    });
    let patterns = patterns.collect();
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

/// What the steps of a run are about. Runs differ in it, because many faults need several steps of the same sort.
struct Mix {
    programs: usize,
    faults: bool,
    versions: &'static [Version],
    /// Names and fields of events are below these: the fewer, the more events share a key.
    names: u64,
    fields: u64,
    weights: [(Sort, u64); 7],
}

#[derive(Clone, Copy)]
enum Sort {
    Emit,
    Work,
    Time,
    Programs,
    Operators,
    Faults,
    /// Several steps, see [`Mix::course`].
    Course,
}

impl Mix {
    fn of(random: &mut Random, programs: usize) -> Self {
        let faults = random.below(4) > 0;
        let usual = [
            (Sort::Emit, 12),
            (Sort::Work, 54),
            (Sort::Time, 18),
            (Sort::Programs, 7),
            (Sort::Operators, 8),
            (Sort::Faults, if faults { 12 } else { 0 }),
            (Sort::Course, 3),
        ];
        Self {
            programs,
            faults,
            versions: random.one_of(&[&[1], &[1, 1, 2], &[1, 1, 2]]),
            names: random.one_of(&[1, 2, 3, 3]),
            fields: random.one_of(&[1, 2, 2]),
            weights: usual.map(|(sort, weight)| (sort, weight * random.one_of(&[1, 2, 2, 6]))),
        }
    }

    /// The next step, or several.
    fn next(&self, random: &mut Random) -> Vec<Step> {
        vec![match self.sort(random) {
            Sort::Emit => self.emit(random),
            Sort::Work => self.work(random),
            Sort::Time => self.time(random),
            Sort::Programs => self.start_or_stop(random),
            Sort::Operators => operators(random),
            Sort::Faults => self.fault(random),
            Sort::Course => return self.course(random),
        }]
    }

    fn sort(&self, random: &mut Random) -> Sort {
        let mut left = random.below(self.weights.iter().map(|(_, weight)| weight).sum());
        for (sort, weight) in self.weights {
            if left < weight {
                return sort;
            }
            left -= weight;
        }
        Sort::Work
    }

    fn program(&self, random: &mut Random) -> usize {
        random.below(self.programs as u64) as usize
    }

    fn emit(&self, random: &mut Random) -> Step {
        Step::Emit {
            name: random.below(self.names) as u8,
            version: random.one_of(self.versions),
            fields: [random.below(self.fields) as u8, random.below(self.fields) as u8],
        }
    }

    fn fate(&self, random: &mut Random) -> Fate {
        match random.below(20) {
            0 if self.faults => Fate::LoseCall,
            1 | 2 if self.faults => Fate::LoseAnswer,
            3 if self.faults => Fate::Delay,
            _ => Fate::Fine,
        }
    }

    fn work(&self, random: &mut Random) -> Step {
        let (program, which, hand) = (self.program(random), which(random), random.below(3) as usize);
        match random.below(54) {
            0..26 => Step::Exchange(program, which, self.fate(random)),
            26..40 => Step::Begin(program, which, hand),
            _ => Step::Finish(program, which, hand, outcome(random)),
        }
    }

    fn time(&self, random: &mut Random) -> Step {
        match random.below(18) {
            0..10 => Step::Beat(self.program(random), self.fate(random)),
            _ => Step::Advance(1 + random.below(4)),
        }
    }

    fn start_or_stop(&self, random: &mut Random) -> Step {
        let program = self.program(random);
        match random.below(8) {
            0..4 => Step::Start(program),
            4 | 5 => Step::Stop(program),
            6 => Step::Deploy(program, random.below(5) as usize),
            _ => Step::GiveUp(program, which(random)),
        }
    }

    fn fault(&self, random: &mut Random) -> Step {
        let program = self.program(random);
        match random.below(12) {
            0 | 1 => Step::Kill(program),
            2 => Step::Stall(program),
            3 => Step::Jump(random.one_of(&[-50, -7, 7, 100])),
            4 => Step::Away(true),
            5 | 6 => Step::Away(false),
            7 | 8 => Step::Arrive,
            9 => Step::Snapshot,
            10 => random.one_of(&[Step::Restore, Step::Restore, Step::Wipe, Step::Snapshot]),
            _ => Step::GiveUp(program, which(random)),
        }
    }

    /// Steps that chance seldom puts in this order.
    fn course(&self, random: &mut Random) -> Vec<Step> {
        let (program, which) = (self.program(random), which(random));
        match random.below(if self.faults { 8 } else { 5 }) {
            0 | 1 => self.attempt(random, program, which),
            2 => drain(random, program, which),
            3 => [drain(random, program, which), seek_back(random, which as u8)].concat(),
            4 => seek_back(random, which as u8),
            5 | 6 => self.silence(random, program, which),
            _ => self.loss(random, program, which),
        }
    }

    /// An event is handled, and another one is emitted meanwhile.
    fn attempt(&self, random: &mut Random, program: usize, which: usize) -> Vec<Step> {
        vec![
            self.emit(random),
            Step::Exchange(program, which, Fate::Fine),
            Step::Begin(program, which, 0),
            self.emit(random),
            Step::Finish(program, which, 0, outcome(random)),
            Step::Exchange(program, which, self.fate(random)),
        ]
    }

    /// A program ends, or stands still, until its session has ended; another one gets what it had.
    fn silence(&self, random: &mut Random, program: usize, which: usize) -> Vec<Step> {
        let other = (program + 1) % self.programs;
        let stalls = self.programs > 1 && random.below(2) == 0;
        let mut steps = vec![Step::Exchange(program, which, Fate::Fine), Step::Begin(program, which, 0)];
        match stalls {
            true => steps.push(Step::Stall(program)),
            false => steps.extend([Step::Kill(program), Step::Start(other)]),
        }
        for _ in 0..5 {
            steps.extend([Step::Beat(other, Fate::Fine), Step::Advance(3)]);
        }
        steps.push(Step::Beat(other, Fate::Fine));
        match random.below(3) {
            0 => steps.extend([Step::Exchange(other, which, Fate::LoseAnswer), Step::Kill(other)]),
            _ => steps.push(Step::Exchange(other, which, self.fate(random))),
        }
        if stalls {
            steps.extend([Step::Stall(program), Step::Finish(program, which, 0, outcome(random))]);
            // The first one is refused: the session registers again.
            steps.extend(vec![Step::Exchange(program, which, Fate::Fine); 2]);
        }
        steps
    }

    /// The store loses what happened last, and goes on. A program has a delivery of it, or a call that is under way.
    fn loss(&self, random: &mut Random, program: usize, which: usize) -> Vec<Step> {
        let other = (program + 1) % self.programs;
        let fate = random.one_of(&[Fate::Fine, Fate::LoseCall, Fate::Delay]);
        let mut steps = vec![self.emit(random), Step::Snapshot, self.emit(random)];
        steps.push(Step::Exchange(program, which, fate));
        steps.extend((random.below(2) == 0).then_some(Step::Beat(other, Fate::Fine)));
        steps.push(Step::Restore);
        steps.extend((random.below(2) == 0).then(|| self.emit(random)));
        let next = random.one_of(&[program, other]);
        steps.extend(vec![Step::Exchange(next, which, Fate::Fine); 2]);
        steps
    }
}

fn which(random: &mut Random) -> usize {
    random.below(3) as usize / 2
}

fn operators(random: &mut Random) -> Step {
    match random.below(8) {
        0 => Step::Trim(limit(random), random.below(4) == 0),
        _ => Step::Operate(random.below(2) as u8, operate(random)),
    }
}

/// A program handles what waits, dead letters may be replayed, and the log is trimmed.
fn drain(random: &mut Random, program: usize, which: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..2 {
        steps.push(Step::Exchange(program, which, Fate::Fine));
        for _ in 0..2 {
            steps.push(Step::Begin(program, which, 0));
            steps.push(Step::Finish(program, which, 0, outcome(random)));
        }
    }
    steps.push(Step::Exchange(program, which, Fate::Fine));
    steps.extend((random.below(3) == 0).then_some(Step::Operate(which as u8, Operate::Replay)));
    let trim = Step::Trim(TrimLimit::To(20), random.below(4) == 0);
    steps.extend(vec![trim; 1 + random.below(3) as usize]);
    steps
}

/// A seek back, and chunks of its work.
fn seek_back(random: &mut Random, consumer: u8) -> Vec<Step> {
    let position = SeekTo::Position(1 + random.below(8));
    let to = random.one_of(&[SeekTo::Start, position]);
    let mut steps = vec![Step::Operate(consumer, Operate::Seek(to))];
    steps.extend(vec![Step::Operate(consumer, Operate::Move); random.below(4) as usize]);
    steps
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
