//! A random program: what each actor does, and what each handler does when it is called.

use std::fmt;

use tests_support::Random;

use crate::events::{Kind, PATTERNS, Pat};

/// The program that a seed generates.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) actors: Vec<Actor>,
    pub(crate) end: End,
}

/// How the bus is built, and on which runtime it runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) history: usize,
    pub(crate) stream_buffer: usize,
    pub(crate) max_chain: u32,
    pub(crate) max_detached: usize,
    pub(crate) undeclared: bool,
    /// Whether a stream of all events is open from the beginning.
    pub(crate) witness: bool,
    /// Whether the bus has the `#[on]` function with two patterns.
    pub(crate) linked: bool,
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stop,
    /// Two calls of `stop` run at the same time.
    StopTwice,
    /// The last handle to the bus is dropped.
    Drop,
    /// `stop` reaches its deadline while handlers are stuck.
    Stuck,
}

#[derive(Clone)]
pub(crate) struct Actor {
    /// True for a thread outside of any runtime, false for a task.
    pub(crate) thread: bool,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Emit(Emission),
    On(On),
    Replay {
        n: usize,
        to: Target,
        does: Does,
        waits: bool,
        dropped: bool,
    },
    Unsubscribe(usize),
    Off(Pat),
    Stream {
        pattern: Pat,
        of: Option<Kind>,
    },
    Read(usize),
    CloseStream,
    History {
        pattern: Pat,
        limit: usize,
        of: Option<Kind>,
    },
    Count(Kind),
    OpenGate(usize),
    Yield,
    /// Emits on a separate runtime, which shuts down after these emits.
    Side {
        emissions: Vec<Emission>,
        worker: bool,
    },
    Stop,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Emission {
    pub(crate) kind: Kind,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Await,
    Detach,
    /// Dropped after the first poll.
    Drop,
    /// Dropped before the first poll.
    Unpolled,
    /// Polled once, and awaited at the end of the actor.
    Hold,
    Json,
    /// As JSON that does not fit the type.
    BadJson,
    Batch(u64),
    BatchDrop(u64),
    /// With one of two ids that the program created before.
    Id(usize),
    /// With metadata.
    With,
}

#[derive(Clone, Debug)]
pub(crate) struct On {
    pub(crate) slot: usize,
    pub(crate) to: Target,
    pub(crate) life: Life,
    pub(crate) form: Form,
    pub(crate) does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Event(Kind),
    Pattern(Pat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Long,
    Once,
    /// Until its guard is dropped.
    Guard,
}

/// The first argument of a handler, and whether it is async.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Borrowed,
    Shared,
    Owned,
    SharedAsync,
    OwnedAsync,
    Record,
    RecordAsync,
}

/// The behaviour of a handler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Does {
    pub(crate) acts: Vec<Act>,
    pub(crate) ends: Ends,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Yields to the runtime; async handlers only.
    Yield,
    /// Waits at a gate; async handlers only.
    Gate(usize),
    /// Blocks its thread until another thread has emitted.
    Block(Kind),
    Emit(Emission),
    On(Box<On>),
    Unsubscribe(usize),
    Off(Pat),
    /// Calls `stop`, which is an error; async handlers only.
    Stop,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ends {
    #[default]
    Well,
    Fails,
    Panics,
}

pub(crate) const SLOTS: usize = 6;
pub(crate) const GATES: usize = 3;
/// The gate that opens only after a `stop` that gave up.
pub(crate) const STUCK: usize = GATES;

impl Program {
    pub(crate) fn of(seed: u64) -> Self {
        let mut maker = Maker { random: Random::new(seed), end: End::Stop, exact: false };
        maker.exact = maker.one_in(4);
        maker.end = match maker.random.below(20) {
            0 if !maker.exact => End::Stuck,
            1..=3 => End::Drop,
            4..=6 => End::StopTwice,
            _ => End::Stop,
        };
        let settings = maker.settings();
        let actors = if maker.exact { 1 } else { 1 + maker.random.below(4) };
        let most = if maker.one_in(4) { 56 } else { 20 };
        let steps = 5 + maker.random.below(most);
        let mut program = Self { seed, settings, actors: Vec::new(), end: maker.end };
        for _ in 0..actors {
            let thread = !maker.exact && maker.one_in(4);
            let steps = (0..steps.div_ceil(actors)).map(|_| maker.step()).collect();
            program.actors.push(Actor { thread, steps });
        }
        program
    }

    /// Returns the number of steps.
    pub(crate) fn len(&self) -> usize {
        self.actors.iter().map(|actor| actor.steps.len()).sum()
    }

    /// Returns the program without one of its steps.
    pub(crate) fn without(&self, mut step: usize) -> Self {
        let mut less = self.clone();
        for actor in &mut less.actors {
            if step < actor.steps.len() {
                actor.steps.remove(step);
                break;
            }
            step -= actor.steps.len();
        }
        less
    }
}

struct Maker {
    random: Random,
    end: End,
    /// Whether there is one actor, and no handler waits: then nothing overlaps, and the laws determine the result
    /// exactly.
    exact: bool,
}

impl Maker {
    fn one_in(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize]
    }

    fn settings(&mut self) -> Settings {
        Settings {
            workers: 1 + self.random.below(8) as usize,
            history: self.pick(&[1000, 1000, 1000, 1000, 7, 3, 0]),
            stream_buffer: self.pick(&[1024, 1024, 1024, 4, 2]),
            max_chain: self.pick(&[32, 32, 1, 2, 3]),
            max_detached: self.pick(&[1024, 1024, 2, 1]),
            undeclared: !self.one_in(4),
            witness: !self.one_in(3),
            linked: self.one_in(4),
        }
    }

    fn kind(&mut self) -> Kind {
        self.pick(&[Kind::A, Kind::A, Kind::A, Kind::B, Kind::B, Kind::C, Kind::X, Kind::Y])
    }

    fn pattern(&mut self) -> Pat {
        self.random.below(PATTERNS.len() as u64) as usize
    }

    fn step(&mut self) -> Step {
        match self.random.below(100) {
            0..37 => Step::Emit(self.emission()),
            37..57 => Step::On(self.on(2)),
            57..62 if self.end != End::Stuck => self.replay(),
            62..67 => Step::Unsubscribe(self.random.below(SLOTS as u64) as usize),
            67..71 => Step::Off(self.pattern()),
            71..75 => Step::Stream { pattern: self.pattern(), of: self.of() },
            75..80 => Step::Read(1 + self.random.below(9) as usize),
            80..81 => Step::CloseStream,
            81..86 => {
                let limit = self.pick(&[100, 100, 1, 2, 5, 0]);
                Step::History { pattern: self.pattern(), limit, of: self.of() }
            }
            86..89 => Step::Count(self.kind()),
            89..92 => Step::OpenGate(self.random.below(GATES as u64) as usize),
            92..96 if !self.exact && self.end != End::Stuck => {
                let emissions = (0..1 + self.random.below(3)).map(|_| self.emission()).collect();
                Step::Side { emissions, worker: self.one_in(2) }
            }
            96..97 if self.end != End::Stuck => Step::Stop,
            97..100 => Step::Yield,
            _ => Step::Emit(self.emission()),
        }
    }

    fn emission(&mut self) -> Emission {
        let kind = self.kind();
        let few = 1 + self.random.below(4);
        let how = match self.random.below(20) {
            _ if self.end == End::Stuck => self.pick(&[How::Detach, How::Drop, How::BatchDrop(few)]),
            0..7 => How::Await,
            7..9 => How::Detach,
            9..11 => How::Drop,
            11 => How::Unpolled,
            12 => How::Hold,
            13..15 => How::Json,
            15 => How::Batch(few),
            16 => How::BatchDrop(few),
            17 => How::Id(self.random.below(2) as usize),
            18 => How::With,
            _ => How::BadJson,
        };
        Emission { kind, how }
    }

    fn of(&mut self) -> Option<Kind> {
        let kinds = [Kind::A, Kind::B, Kind::C];
        self.one_in(4).then(|| self.pick(&kinds))
    }

    fn target(&mut self) -> Target {
        if self.one_in(2) { Target::Event(self.kind()) } else { Target::Pattern(self.pattern()) }
    }

    fn on(&mut self, depth: u64) -> On {
        let to = self.target();
        let records = [Form::Record, Form::Record, Form::RecordAsync];
        let form = match to {
            Target::Event(kind) if kind.is_declared() => self.pick(&[
                Form::Borrowed,
                Form::Borrowed,
                Form::Shared,
                Form::Owned,
                Form::SharedAsync,
                Form::SharedAsync,
                Form::OwnedAsync,
                Form::Record,
                Form::RecordAsync,
            ]),
            _ => self.pick(&records),
        };
        let life = self.pick(&[Life::Long, Life::Long, Life::Long, Life::Once, Life::Guard]);
        On { slot: self.random.below(SLOTS as u64) as usize, to, life, form, does: self.does(depth) }
    }

    fn does(&mut self, depth: u64) -> Does {
        let acts = (0..self.pick(&[0, 0, 1, 1, 2])).map(|_| self.act(depth)).collect();
        let ends = match self.random.below(10) {
            0..2 => Ends::Fails,
            2 => Ends::Panics,
            _ => Ends::Well,
        };
        Does { acts, ends }
    }

    fn act(&mut self, depth: u64) -> Act {
        match self.random.below(20) {
            0..5 if !self.exact => Act::Yield,
            5..9 if self.end == End::Stuck => Act::Gate(STUCK),
            5..9 if !self.exact => Act::Gate(self.random.below(GATES as u64) as usize),
            9 if !self.exact => Act::Block(self.kind()),
            10..12 if depth > 0 => Act::On(Box::new(self.on(depth - 1))),
            12..14 => Act::Unsubscribe(self.random.below(SLOTS as u64) as usize),
            14 => Act::Off(self.pattern()),
            15 if self.end != End::Stuck => Act::Stop,
            _ => Act::Emit(self.emission()),
        }
    }

    fn replay(&mut self) -> Step {
        let does = self.does(1);
        let (n, to) = (self.pick(&[0, 1, 2, 5, 100]), self.target());
        Step::Replay { n, to, does, waits: !self.exact && self.one_in(2), dropped: self.one_in(6) }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {:?}", self.seed, self.settings)?;
        for (index, actor) in self.actors.iter().enumerate() {
            writeln!(f, "actor {index}{}:", if actor.thread { " (a thread)" } else { "" })?;
            for step in &actor.steps {
                writeln!(f, "  {step:?}")?;
            }
        }
        write!(f, "end: {:?}", self.end)
    }
}
