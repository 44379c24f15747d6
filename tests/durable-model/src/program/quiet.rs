//! The quiet end of a run: no faults. First the programs as they are have to handle what they take, then every pattern,
//! name and version is served, and each event has to be finished.

use super::{Config, Fate, Operate, Progress, Step, Target, World};
use crate::calls::{Answer, Call, ConsumerId, Outcome, Position};
use crate::laws::Broken;

/// Rounds of the programs as they are, and of one that serves everything.
const ROUNDS: usize = 10;
const LAST_ROUNDS: usize = 60;
/// Rounds after the events are finished. A session that was killed with the announcement of a dead letter is ended after
/// its lease, of up to four rounds; then another one announces it, and confirms that.
const ANNOUNCING_ROUNDS: usize = 8;

impl<T: Target> World<T> {
    /// Ends the run quietly, and returns the laws that were broken in it. Only `may_die` may be dead letters then.
    pub fn end_quietly(mut self, everything: &Config, may_die: Option<&[Position]>) -> Vec<Broken> {
        self.away = false;
        self.delayed.clear();
        for program in 0..self.programs.len() {
            self.programs[program].stalled = false;
        }
        (0..ROUNDS).for_each(|_| self.round());
        for _ in 0..LAST_ROUNDS {
            if self.unhandled().is_none() {
                break;
            }
            self.round();
        }
        if let Some(what) = self.unhandled() {
            self.observer.broken.push(Broken { law: 0, what });
        }
        for program in 0..self.programs.len() {
            self.step(&Step::Stop(program));
        }
        (0..ROUNDS).for_each(|_| self.round());
        self.programs[0].next = Some(everything.clone());
        for _ in 0..LAST_ROUNDS {
            self.step(&Step::Start(0));
            self.round();
            if self.is_at_rest() {
                break;
            }
        }
        (0..ANNOUNCING_ROUNDS).for_each(|_| self.round());
        self.judge(may_die)
    }

    /// Each program beats, reports, claims, and handles what it has in hand.
    fn round(&mut self) {
        for program in 0..self.programs.len() {
            self.beat(program, Fate::Fine);
            let opened = self.programs[program].bus.as_ref().map_or(0, |bus| bus.opened.len());
            for which in 0..opened {
                self.exchange(program, which, Fate::Fine);
                while self.handle_one(program, which) {}
            }
            if self.programs[program].bus.as_ref().is_some_and(|bus| bus.stopping) {
                self.stop(program);
            }
        }
        for name in self.ids.clone().into_keys() {
            // In each round, because older data may have another consumer of this name, which is paused.
            self.operate(name, Operate::Resume);
            self.operate(name, Operate::Move);
        }
        self.real += 3;
    }

    fn handle_one(&mut self, program: usize, which: usize) -> bool {
        let in_progress = |world: &Self| {
            let bus = world.programs[program].bus.as_ref();
            bus.is_some_and(|bus| {
                bus.opened[which].hands.iter().any(|hand| !matches!(hand.progress, Progress::Finished(_)))
            })
        };
        if !in_progress(self) || !self.is_open(program, which) {
            return false;
        }
        self.begin(program, which, 0);
        self.finish(program, which, 0, Outcome::Ok);
        true
    }

    /// What the programs as they are could have handled, and have not: everything except unclaimed events.
    fn unhandled(&mut self) -> Option<String> {
        let newest = self.mark();
        for consumer in self.ids.clone().into_values() {
            if !self.is_served(consumer) {
                continue;
            }
            if let Some(Answer::Status(status)) = self.ask(Call::Status { consumer })
                && (status.waiting, status.in_hand, status.position, status.moving)
                    != (status.unclaimed, 0, newest, false)
            {
                return Some(format!("consumer {consumer} leaves events that its programs take: {status:?}"));
            }
        }
        None
    }

    /// Whether programs have the consumer, all with the settings that decide: others may have to wait. A program that was
    /// told that the consumer is removed leaves it alone, also if older data bring it back.
    fn is_served(&self, consumer: ConsumerId) -> bool {
        let mut decide = Vec::new();
        for program in &self.programs {
            let Some(bus) = program.bus.as_ref().filter(|bus| !bus.stopping) else { continue };
            let opened = bus.opened.iter().filter(|opened| opened.id == consumer);
            decide.extend(opened.map(|opened| {
                let settings = program.config.consumers[opened.options].settings;
                !opened.removed && settings == opened.terms.settings
            }));
        }
        !decide.is_empty() && decide.iter().all(|decides| *decides)
    }

    fn is_at_rest(&mut self) -> bool {
        let newest = self.mark();
        let ids: Vec<_> = self.ids.values().copied().collect();
        ids.into_iter().all(|consumer| match self.ask(Call::Status { consumer }) {
            Some(Answer::Status(status)) => {
                (status.waiting, status.in_hand, status.position, status.moving) == (0, 0, newest, false)
            }
            _ => true,
        })
    }

    fn judge(mut self, may_die: Option<&[Position]>) -> Vec<Broken> {
        for consumer in self.ids.clone().into_values() {
            if let Some(Answer::Status(status)) = self.ask(Call::Status { consumer }) {
                self.observer.law_1_each_event_is_finished(consumer, &status);
                let other =
                    status.dead_letters.iter().find(|at| may_die.is_some_and(|may| !may.contains(at)));
                if let Some(other) = other {
                    let what =
                        format!("event {other} of consumer {consumer} is a dead letter of another's making");
                    self.observer.broken.push(Broken { law: 0, what });
                }
            }
        }
        let newest = self.mark();
        if let Some(Answer::Settled(false)) = self.ask(Call::Settled { to: newest }) {
            self.observer.broken.push(Broken { law: 1, what: "not settled at the end".into() });
        }
        self.observer.dead_letters_are_announced();
        self.observer.law_8_deliveries_of_ended_sessions_come_back();
        self.observer.broken
    }
}
