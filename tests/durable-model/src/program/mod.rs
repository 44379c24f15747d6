//! Simulated programs, and the world around them: a store that can be away or lose data, a network that can lose and
//! delay calls and answers, operators, and time.

mod bus;
mod quiet;
mod target;

use std::collections::BTreeMap;

use crate::breaks::Break;
use crate::calls::{
    Answer, Call, ConsumerId, ConsumerName, Event, EventId, Exchange, Incarnation, Key, Name, Number,
    Outcome, Pattern, Position, Record, Refusal, Reply, Request, SeekTo, SessionId, Settings, Time,
    TrimLimit, Version,
};
use crate::laws::Observer;
use crate::store::{CHUNK, Store, WINDOW};
pub use bus::{Bus, Config, Hand, Opened, Options, Progress, Read};
pub use target::Target;

/// The reading of the store's clock at the beginning.
const EPOCH: Time = 1000;

/// One step of a run. A step that is impossible does nothing, so that any part of a list of steps is a list of steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Emit {
        name: Name,
        version: Version,
        fields: [Key; 2],
    },
    /// Builds the program's bus.
    Start(usize),
    /// Begins to stop the bus, and ends it once nothing is in hand.
    Stop(usize),
    Kill(usize),
    /// The handlers of this event end their process.
    Poison(EventId),
    /// The program stands still until the next `Stall`.
    Stall(usize),
    /// The next start uses this configuration.
    Deploy(usize, usize),
    Beat(usize, Fate),
    Exchange(usize, usize, Fate),
    GiveUp(usize, usize),
    /// Calls the handler of a delivery in hand.
    Begin(usize, usize, usize),
    Finish(usize, usize, usize, Outcome),
    Operate(ConsumerName, Operate),
    Trim(TrimLimit, bool),
    Advance(Time),
    /// The store's clock jumps.
    Jump(i64),
    Away(bool),
    Snapshot,
    Restore,
    Wipe,
    /// The oldest call that was delayed arrives.
    Arrive,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Fine,
    LoseCall,
    LoseAnswer,
    /// The sender gives up waiting; the call arrives later.
    Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operate {
    Seek(SeekTo),
    /// A chunk of the move that runs.
    Move,
    Replay,
    Purge,
    Remove,
    DropUnclaimed,
    Forget(Pattern, bool),
    Pause,
    Resume,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<T = Store> {
    pub store: T,
    pub observer: Observer,
    pub programs: Vec<Program>,
    configs: Vec<Config>,
    /// The real time, and the monotonic clock of all programs.
    real: Time,
    /// How far the store's clock has jumped.
    skew: i64,
    away: bool,
    delayed: Vec<Request>,
    snapshot: Option<Box<(T, Observer)>>,
    ids: BTreeMap<ConsumerName, ConsumerId>,
    /// The rows whose new keys a move has asked for, and the settings to read them by.
    keys: BTreeMap<ConsumerId, Asked>,
    next_session: SessionId,
    next_event: EventId,
    poison: Option<EventId>,
    broken: Option<Break>,
    /// Prints each call and its answer.
    pub trace: bool,
}

/// Rows whose keys a move asks for, and the settings by which to read them.
type Asked = (Vec<(Position, Record)>, Option<(Number, Settings)>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    config: Config,
    /// The configuration of the next start.
    next: Option<Config>,
    pub bus: Option<Bus>,
    stalled: bool,
}

impl World {
    /// Programs on the model's store.
    pub fn new(programs: usize, configs: Vec<Config>, broken: Option<Break>) -> Self {
        Self { broken, ..Self::of(Store::new(broken), programs, configs) }
    }
}

impl<T: Target> World<T> {
    /// Programs by their configurations; the rest of the configurations are deployed later.
    pub fn of(store: T, programs: usize, configs: Vec<Config>) -> Self {
        let programs = configs.iter().cycle().take(programs);
        let programs =
            programs.map(|config| Program { config: config.clone(), next: None, bus: None, stalled: false });
        Self {
            store,
            observer: Observer::default(),
            programs: programs.collect(),
            configs,
            real: 0,
            skew: 0,
            away: false,
            delayed: Vec::new(),
            snapshot: None,
            ids: BTreeMap::new(),
            keys: BTreeMap::new(),
            next_session: 0,
            next_event: 0,
            poison: None,
            broken: None,
            trace: false,
        }
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Emit { name, version, fields } => self.emit(name, version, fields),
            Step::Start(program) => self.start(program),
            Step::Stop(program) => self.stop(program),
            Step::Kill(program) => self.kill(program),
            Step::Poison(event) => self.poison = Some(event),
            Step::Stall(program) => self.programs[program].stalled ^= true,
            Step::Deploy(program, config) => {
                self.programs[program].next = Some(self.configs[config % self.configs.len()].clone());
            }
            Step::Beat(program, fate) => self.beat(program, fate),
            Step::Exchange(program, which, fate) => self.exchange(program, which, fate),
            Step::GiveUp(program, which) => {
                if self.is_open(program, which) {
                    self.bus(program, |bus| bus.give_up(which));
                }
            }
            Step::Begin(program, which, hand) => self.begin(program, which, hand),
            Step::Finish(program, which, hand, outcome) => self.finish(program, which, hand, outcome),
            Step::Operate(consumer, operate) => self.operate(consumer, operate),
            Step::Trim(limit, past_consumers) => {
                self.ask(Call::Trim { limit, past_consumers });
            }
            Step::Advance(time) => self.real += time,
            Step::Jump(by) => self.skew = (self.skew + by).max(-(EPOCH as i64)),
            Step::Away(away) => self.away = away,
            Step::Snapshot => self.snapshot = Some(Box::new((self.store.clone(), self.observer.clone()))),
            Step::Restore => self.restore(),
            Step::Wipe => {
                self.store = self.store.empty();
                // Who ran a move registers again, and asks for keys again.
                self.keys.clear();
                self.observer = std::mem::take(&mut self.observer).lose(None);
            }
            Step::Arrive => {
                if !self.delayed.is_empty() && !self.away {
                    let request = self.delayed.remove(0);
                    self.apply(request);
                }
            }
        }
    }

    fn restore(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        self.store = snapshot.0;
        self.keys.clear();
        self.observer = std::mem::take(&mut self.observer).lose(Some(snapshot.1));
    }

    /// Applies a call, and shows it to the observer.
    fn apply(&mut self, request: Request) -> Reply {
        let clock = (EPOCH + self.real).saturating_add_signed(self.skew);
        if matches!(request.call, Call::Read { .. } | Call::Mark | Call::Settled { .. } | Call::Status { .. })
        {
            return self.store.apply(clock, request);
        }
        let before = self.store.before();
        let repeated = is_repeated(&self.observer, &request);
        let reply = self.store.apply(clock, request.clone());
        if let Some((same, changed)) = self.store.since(&before) {
            if repeated {
                self.observer.law_9_a_repeated_exchange_changes_nothing(&request.call, same);
            }
            let bound = bound(&request.call, self.ids.len());
            self.observer.law_12_work_is_bounded(&request.call, changed, bound);
        }
        if self.trace {
            println!("{}: {:?}\n    {:?}", self.real, request.call, reply.answer);
        }
        self.observer.observe(&request, &reply, self.real);
        reply
    }

    fn send(&mut self, request: Request, fate: Fate) -> Option<Reply> {
        if self.away {
            return None;
        }
        match fate {
            Fate::Fine => Some(self.apply(request)),
            Fate::LoseCall => None,
            Fate::LoseAnswer => {
                self.apply(request);
                None
            }
            Fate::Delay => {
                if self.delayed.len() < 2 {
                    self.delayed.push(request);
                }
                None
            }
        }
    }

    /// A call of an emitter or an operator.
    fn ask(&mut self, call: Call) -> Option<Answer> {
        self.send(Request { knows: None, call }, Fate::Fine).map(|reply| reply.answer)
    }

    fn emit(&mut self, name: Name, version: Version, fields: [Key; 2]) {
        self.next_event += 1;
        let event = Event { id: self.next_event, name, version, fields };
        if self.ask(Call::Append { events: vec![event] }).is_some() {
            let newest = self.mark();
            let records = self.log(newest, newest);
            self.observer.appended(records);
        }
    }

    /// The newest position, whatever the state of the network.
    fn mark(&mut self) -> Position {
        match self.apply(Request { knows: None, call: Call::Mark }).answer {
            Answer::Newest { newest, .. } => newest,
            _ => 0,
        }
    }

    /// Records of the log, whatever the state of the network.
    fn log(&mut self, from: Position, to: Position) -> Vec<(Position, Record)> {
        match self.apply(Request { knows: None, call: Call::Read { from, to } }).answer {
            Answer::Records(records) => records,
            _ => Vec::new(),
        }
    }

    fn start(&mut self, program: usize) {
        if self.programs[program].bus.is_some() || self.away {
            return;
        }
        self.next_session += 1;
        let mut bus = Bus::new(self.next_session);
        if let Some(next) = self.programs[program].next.take() {
            self.programs[program].config = next;
        }
        let config = self.programs[program].config.clone();
        for options in 0..config.consumers.len() {
            let call = Call::Register(bus.register(&config, options, None));
            if let Some(Answer::Registered(answer)) = self.ask(call) {
                self.ids.insert(config.consumers[options].name, answer.consumer);
                bus.registered(options, answer);
            }
        }
        self.programs[program].bus = Some(bus);
    }

    /// Stops claiming; ends the session once nothing is in hand.
    fn stop(&mut self, program: usize) {
        let Some(bus) = &mut self.programs[program].bus else { return };
        bus.stopping = true;
        let at_rest = bus.has_nothing_in_hand()
            && bus
                .opened
                .iter()
                .all(|opened| opened.removed || (opened.unanswered.is_none() && !opened.names_all));
        let session = bus.session;
        if at_rest && !self.away {
            self.ask(Call::EndSession { session });
            self.programs[program].bus = None;
        }
    }

    fn kill(&mut self, program: usize) {
        if let Some(bus) = self.programs[program].bus.take() {
            self.observer.forget_session(bus.session);
        }
        self.programs[program].stalled = false;
    }

    fn beat(&mut self, program: usize, fate: Fate) {
        let real = self.real;
        let since_sent = self.broken == Some(Break::BeatSinceSent);
        let Some(bus) = self.running(program) else { return };
        // A beat that is under way is answered now; a delayed one of a bus without such is only slow.
        let (beat, sent) = match bus.slow_beat.take() {
            Some(slow) => slow,
            None => {
                let beat = bus.next_beat(real);
                if fate == Fate::Delay {
                    bus.slow_beat = Some((beat, real));
                    return;
                }
                (beat, real)
            }
        };
        let at = if since_sent { sent } else { real };
        bus.beaten_at = None;
        let request = Request { knows: Some(bus.knows), call: Call::Beat(beat) };
        let Some(reply) = self.send(request, fate) else { return };
        match reply.answer {
            Answer::Beaten(answer) => self.bus(program, |bus| bus.beaten(&answer, at)),
            Answer::Refused(refusal) => self.refused(program, refusal),
            _ => {}
        }
    }

    fn exchange(&mut self, program: usize, which: usize, fate: Fate) {
        if !self.is_open(program, which) || self.away {
            return;
        }
        let read = self.read(program, which);
        let config = self.programs[program].config.clone();
        let Some(bus) = self.running(program) else { return };
        let exchange = bus.next_exchange(&config, which, &read);
        let request = Request { knows: Some(bus.knows), call: Call::Exchange(exchange.clone()) };
        let Some(reply) = self.send(request, fate) else { return };
        match reply.answer {
            Answer::Exchanged(answer) => {
                self.observer.announced(exchange.consumer, &answer.announced);
                self.bus(program, |bus| bus.exchanged(which, &exchange, &answer));
            }
            Answer::Refused(Refusal::Removed) => self.bus(program, |bus| {
                let opened = &mut bus.opened[which];
                (opened.removed, opened.unanswered) = (true, None);
                opened.hands.clear();
            }),
            Answer::Refused(refusal) => self.refused(program, refusal),
            _ => {}
        }
    }

    /// The records that a bus needs for a claim.
    fn read(&mut self, program: usize, which: usize) -> Read {
        let Some(bus) = &self.programs[program].bus else { return Read::default() };
        let from = bus.opened[which].terms.position + 1;
        match (self.ask(Call::Mark), self.ask(Call::Read { from, to: from + WINDOW - 1 })) {
            (Some(Answer::Newest { newest, begins }), Some(Answer::Records(records))) => {
                Read { newest, begins, records }
            }
            _ => Read::default(),
        }
    }

    /// Registers another session: the store does not know this one, has ended it, or has lost data.
    fn refused(&mut self, program: usize, refusal: Refusal) {
        let config = self.programs[program].config.clone();
        let Some(bus) = &self.programs[program].bus else { return };
        let (session, knew) = (bus.session, bus.knows.incarnation);
        match refusal {
            Refusal::Behind(found) => self.raise(session, found, knew, config.lease),
            Refusal::OtherIncarnation(_) | Refusal::SessionEnded | Refusal::UnknownSession => {}
            _ => return,
        }
        self.register_again(program, &config);
    }

    fn raise(&mut self, session: SessionId, found: Incarnation, knew: Incarnation, lease: Time) {
        self.ask(Call::RaiseIncarnation { session, found, knew, lease });
    }

    fn register_again(&mut self, program: usize, config: &Config) {
        let position = self.resumes_at(program);
        let Some(mut bus) = self.programs[program].bus.take() else { return };
        self.observer.forget_session(bus.session);
        self.next_session += 1;
        (bus.session, bus.beat, bus.beaten_at, bus.slow_beat) = (self.next_session, 0, None, None);
        let mut removed = Vec::new();
        for options in bus.opened.iter().filter(|opened| !opened.removed).map(|opened| opened.options) {
            let call = Call::Register(bus.register(config, options, Some(position)));
            removed.push((options, self.ask(call)));
        }
        for (options, answer) in removed {
            match answer {
                Some(Answer::Registered(answer)) => {
                    self.ids.insert(config.consumers[options].name, answer.consumer);
                    bus.registered(options, answer);
                }
                // Removed: there is nothing to report to.
                _ => bus.opened.iter_mut().filter(|opened| opened.options == options).for_each(|opened| {
                    opened.removed = true;
                    opened.hands.clear();
                }),
            }
        }
        // What was not begun belongs to the consumer again.
        bus.opened.iter_mut().for_each(|opened| opened.hands.retain(|hand| hand.progress != Progress::Held));
        self.programs[program].bus = Some(bus);
    }

    /// The newest position that the bus knows and the log still holds.
    fn resumes_at(&mut self, program: usize) -> Position {
        let pairs = self.programs[program].bus.as_ref().map_or(Vec::new(), |bus| bus.pairs.clone());
        let held = pairs.into_iter().rev().find(|(position, id)| {
            let records = self.ask(Call::Read { from: *position, to: *position });
            matches!(records, Some(Answer::Records(records)) if records.iter().any(|(_, record)| record.event.id == *id))
        });
        held.map_or(0, |(position, _)| position)
    }

    fn begin(&mut self, program: usize, which: usize, hand: usize) {
        if !self.is_open(program, which) {
            return;
        }
        let Some(bus) = self.running(program) else { return };
        let opened = &mut bus.opened[which];
        let id = opened.id;
        let mut held = opened.hands.iter_mut().filter(|hand| hand.progress == Progress::Held);
        let Some(hand) = held.nth(hand) else { return };
        hand.progress = Progress::Running;
        let (position, token) = (hand.position, hand.token);
        self.observer.begun(id, position, token);
        let event = self.log(position, position).first().map(|(_, record)| record.event.id);
        if event.is_some() && event == self.poison {
            self.kill(program);
        }
    }

    fn finish(&mut self, program: usize, which: usize, hand: usize, outcome: Outcome) {
        if !self.is_open(program, which) {
            return;
        }
        let Some(bus) = self.running(program) else { return };
        let hands = bus.opened[which].hands.iter_mut();
        let mut running = hands.filter(|hand| hand.progress == Progress::Running);
        if let Some(hand) = running.nth(hand) {
            hand.progress = Progress::Finished(outcome);
        }
    }

    fn operate(&mut self, name: ConsumerName, operate: Operate) {
        let Some(consumer) = self.ids.get(&name).copied() else { return };
        let call = match operate {
            Operate::Seek(to) => Call::Seek { consumer, to },
            Operate::Move => return self.run_move(consumer),
            Operate::Replay => return self.replay(consumer),
            Operate::Purge => Call::Purge { consumer },
            Operate::Remove => Call::Remove { consumer },
            Operate::DropUnclaimed => return self.drop_unclaimed(consumer),
            Operate::Forget(pattern, keep) => Call::ForgetPattern { consumer, pattern, keep },
            Operate::Pause => Call::Pause { consumer },
            Operate::Resume => Call::Resume { consumer },
        };
        self.ask(call);
    }

    /// Runs a chunk of a move, with the keys that the last chunk asked for.
    fn run_move(&mut self, consumer: ConsumerId) {
        let (records, by) = self.keys.remove(&consumer).unwrap_or_default();
        let keys = records
            .into_iter()
            .map(|(position, record)| (position, by.and_then(|(_, by)| by.key(&record.event))));
        let (keys, settings_number) = (keys.collect(), by.map_or(0, |(number, _)| number));
        if let Some(Answer::Operated(done)) = self.ask(Call::RunMove { consumer, settings_number, keys }) {
            self.keys.insert(consumer, (done.keys, done.keys_by));
        }
    }

    fn replay(&mut self, consumer: ConsumerId) {
        let mut after = 0;
        while let Some(Answer::Operated(done)) = self.ask(Call::Replay { consumer, after }) {
            match done.more {
                Some(more) => after = more,
                None => break,
            }
        }
    }

    /// An operator's call through a bus, so that the store sees whose data the window is of.
    fn drop_unclaimed(&mut self, consumer: ConsumerId) {
        let newest = self.mark();
        let records = self.log(1, newest);
        let begins = records.first().map_or(newest + 1, |(position, _)| *position);
        let read = Read { newest, begins, records };
        let window = self.programs.iter().find_map(|program| {
            let bus = program.bus.as_ref()?;
            let opened = bus.opened.iter().find(|opened| opened.id == consumer)?;
            let options = &program.config.consumers[opened.options];
            Some((bus.knows, opened.window(&program.config, options, &read)))
        });
        if let Some((knows, window)) = window {
            let call = Call::DropUnclaimed { consumer, window };
            self.send(Request { knows: Some(knows), call }, Fate::Fine);
        }
    }

    fn bus(&mut self, program: usize, change: impl FnOnce(&mut Bus)) {
        if let Some(bus) = &mut self.programs[program].bus {
            change(bus);
        }
    }

    fn running(&mut self, program: usize) -> Option<&mut Bus> {
        let program = &mut self.programs[program];
        program.bus.as_mut().filter(|_| !program.stalled)
    }

    fn is_open(&self, program: usize, which: usize) -> bool {
        let bus = self.programs[program].bus.as_ref();
        bus.is_some_and(|bus| bus.opened.get(which).is_some_and(|opened| !opened.removed))
    }
}

fn is_repeated(observer: &Observer, request: &Request) -> bool {
    match &request.call {
        Call::Exchange(Exchange { session, consumer, number, .. }) => {
            observer.newest_exchange(*session, *consumer) == Some(*number)
        }
        _ => false,
    }
}

/// The most rows and records that a call may change.
fn bound(call: &Call, consumers: usize) -> usize {
    let window = WINDOW as usize;
    match call {
        Call::Exchange(exchange) => {
            let reports = exchange.reports.len()
                + exchange.named_in_hand.as_ref().map_or(0, |_| exchange.in_hand + window);
            reports + exchange.claim.as_ref().map_or(0, |claim| claim.max + window) + 4 * CHUNK
        }
        Call::Beat(_) => 2 * CHUNK * consumers.max(4),
        Call::Append { events } => events.len(),
        Call::Trim { .. } => CHUNK * (1 + consumers),
        Call::DropUnclaimed { .. } => CHUNK + window,
        Call::RunMove { .. } | Call::Replay { .. } | Call::Purge { .. } | Call::ForgetPattern { .. } => CHUNK,
        _ => 0,
    }
}
