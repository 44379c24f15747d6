//! Small scenarios by name: what broke designs before, each in all its interleavings.

use super::exhaustive::{Move, Scenario};
use crate::calls::{Outcome, Pattern, SeekTo, Settings, TrimLimit};
use crate::program::{Config, Fate, Operate, Options, Step};

/// A program with one consumer.
fn program(patterns: &[Pattern], budget: u32) -> Config {
    let options = Options {
        name: 0,
        patterns: patterns.iter().copied().collect(),
        budget,
        backoff: 1,
        settings: Settings { ordered_by: None, other: 0 },
        from_start: true,
    };
    Config { lease: 9, version: 2, max: 2, consumers: vec![options] }
}

const ALL: &[Pattern] = &[Pattern::Every];
const FIRST: &[Pattern] = &[Pattern::One(0)];
const SECOND: &[Pattern] = &[Pattern::One(1)];

fn every(budget: u32) -> Config {
    program(ALL, budget)
}

fn ordered(field: u8) -> Config {
    let mut config = every(2);
    config.consumers[0].settings.ordered_by = Some(field);
    config
}

fn emit(name: u8) -> Step {
    Step::Emit { name, version: 1, fields: [0, name] }
}

fn exchange(program: usize) -> Step {
    Step::Exchange(program, 0, Fate::Fine)
}

fn begin(program: usize) -> Step {
    Step::Begin(program, 0, 0)
}

fn finish(program: usize, outcome: Outcome) -> Step {
    Step::Finish(program, 0, 0, outcome)
}

fn ok(program: usize) -> Step {
    finish(program, Outcome::Ok)
}

fn retry(program: usize) -> Step {
    finish(program, Outcome::Retry { delay: 0 })
}

fn operate(what: Operate) -> Step {
    Step::Operate(0, what)
}

fn seek(to: SeekTo) -> Step {
    operate(Operate::Seek(to))
}

/// Beats of one program until the lease of a silent one is lost.
fn outlives(program: usize) -> Vec<Step> {
    (0..5).flat_map(|_| [Step::Beat(program, Fate::Fine), Step::Advance(3)]).collect()
}

/// A slow beat of the first program, one of the second program meanwhile, and fast ones of both.
fn slow_beat() -> Vec<Step> {
    let beat = |program| Step::Beat(program, Fate::Fine);
    vec![Step::Beat(0, Fate::Delay), Step::Advance(1), beat(1), beat(0), beat(0), beat(1)]
}

/// A beat of the first program that is given up, and arrives later.
fn late_beat() -> Vec<Step> {
    let beat = Step::Beat(0, Fate::Fine);
    vec![beat.clone(), Step::Advance(3), Step::Beat(0, Fate::Delay), Step::Beat(0, Fate::Delay), beat]
}

/// Moves that may happen once.
fn once<const N: usize>(steps: [Step; N]) -> Vec<Move> {
    steps.into_iter().map(|step| Move { steps: vec![step], times: 1 }).collect()
}

/// Moves that may happen twice.
fn twice<const N: usize>(steps: [Step; N]) -> Vec<Move> {
    steps.into_iter().map(|step| Move { steps: vec![step], times: 2 }).collect()
}

fn together(steps: Vec<Step>) -> Vec<Move> {
    vec![Move { steps, times: 1 }]
}

fn scenario(name: &'static str, configs: &[Config], setup: &[Step], moves: &[Vec<Move>]) -> Scenario {
    let programs = configs.len().min(2);
    Scenario {
        name,
        programs,
        configs: configs.to_vec(),
        setup: setup.to_vec(),
        moves: moves.concat(),
        may_die: None,
    }
}

fn both_start(and: &[Step]) -> Vec<Step> {
    // The first exchanges only learn that the other program has joined.
    [&[Step::Start(0), Step::Start(1), exchange(0), exchange(1)], and].concat()
}

/// All scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = reports();
    all.extend(sessions());
    all.extend(patterns());
    all.extend(operators());
    all.extend(lost_data());
    all
}

fn reports() -> Vec<Scenario> {
    let two = [every(2), every(2)];
    let fails = finish(1, Outcome::DeadLetter);
    vec![
        scenario(
            "a late report beside a seek",
            &two,
            &both_start(&[emit(0)]),
            &[
                twice([exchange(0), exchange(1), operate(Operate::Move)]),
                once([begin(0), ok(0), begin(1), retry(1), fails, seek(SeekTo::Start)]),
            ],
        ),
        scenario(
            "a replay beside the late first owner",
            &[every(1), every(1)],
            &both_start(&[emit(0), exchange(0), begin(0)]),
            &[
                twice([exchange(0), exchange(1)]),
                once([ok(0), retry(0), begin(1), retry(1), operate(Operate::Replay)]),
                together(outlives(1)),
            ],
        ),
        scenario(
            "a purge beside a late report",
            &[every(1), every(1)],
            &both_start(&[emit(0), exchange(0), begin(0)]),
            &[
                twice([exchange(0), exchange(1)]),
                once([ok(0), operate(Operate::Purge), operate(Operate::Replay)]),
                together(outlives(1)),
            ],
        ),
        scenario(
            "a lost answer and its repeat",
            &two,
            &both_start(&[emit(0), emit(1)]),
            &[
                twice([exchange(0), exchange(1), Step::GiveUp(0, 0)]),
                once([
                    Step::Exchange(0, 0, Fate::LoseAnswer),
                    begin(0),
                    ok(0),
                    begin(1),
                    ok(1),
                    seek(SeekTo::Start),
                    operate(Operate::Move),
                ]),
            ],
        ),
        scenario(
            "a late call",
            &two,
            &both_start(&[emit(0), emit(1)]),
            &[
                twice([exchange(0), Step::Arrive, Step::GiveUp(0, 0)]),
                once([Step::Exchange(0, 0, Fate::Delay), begin(0), ok(0), retry(0), exchange(1)]),
            ],
        ),
        scenario(
            "a session ends beside a late call",
            &two,
            &both_start(&[emit(0)]),
            &[
                twice([Step::Arrive, Step::Stop(0), exchange(0), exchange(1)]),
                once([
                    Step::Exchange(0, 0, Fate::Delay),
                    Step::GiveUp(0, 0),
                    begin(0),
                    ok(0),
                    Step::Start(0),
                ]),
            ],
        ),
        scenario(
            "a stop gives back",
            &two,
            &both_start(&[emit(0), emit(1), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), Step::Stop(0)]),
                once([begin(0), retry(0), begin(1), ok(1), Step::Start(0)]),
            ],
        ),
        scenario(
            "retries of one key",
            &[ordered(0), ordered(0)],
            &both_start(&[emit(0), emit(1), emit(0)]),
            &[
                twice([exchange(0), exchange(1), begin(0), begin(1)]),
                once([retry(0), ok(0), ok(1), retry(1)]),
            ],
        ),
    ]
}

fn sessions() -> Vec<Scenario> {
    let two = [every(2), every(2)];
    let mut killer = scenario(
        "a handler that kills its process",
        &two,
        &both_start(&[Step::Poison(1), emit(0), emit(0), emit(0), exchange(0)]),
        &[
            twice([begin(0), exchange(0), exchange(1), begin(1), Step::Start(0)]),
            once([ok(0), ok(1)]),
            together(outlives(1)),
        ],
    );
    killer.may_die = Some(vec![1]);
    let mut several = [every(2), every(2)];
    for config in &mut several {
        let other = Options { name: 1, ..config.consumers[0].clone() };
        config.consumers.push(other);
    }
    let mut consumers = scenario(
        "a handler that kills a session of two consumers",
        &several,
        &both_start(&[
            Step::Poison(1),
            Step::Exchange(0, 1, Fate::Fine),
            Step::Exchange(1, 1, Fate::Fine),
            emit(0),
            emit(0),
            exchange(0),
            Step::Exchange(0, 1, Fate::Fine),
        ]),
        &[
            twice([begin(0), exchange(1), Step::Exchange(1, 1, Fate::Fine), begin(1), Step::Begin(1, 1, 0)]),
            once([Step::Begin(0, 1, 0), ok(1)]),
            together(outlives(1)),
        ],
    );
    consumers.may_die = Some(vec![1]);
    vec![
        killer,
        consumers,
        scenario(
            "a stalled program wakes",
            &two,
            &both_start(&[emit(0), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), Step::Stall(0)]),
                once([begin(0), ok(0), retry(0), begin(1), retry(1), Step::Beat(0, Fate::Fine)]),
                together(outlives(1)),
            ],
        ),
        scenario(
            "the store is away",
            &two,
            &both_start(&[emit(0), Step::Beat(0, Fate::Fine), Step::Beat(1, Fate::Fine), exchange(0)]),
            &[
                vec![Move { steps: vec![Step::Beat(0, Fate::Fine), Step::Advance(3)], times: 3 }],
                twice([Step::Advance(30), Step::Beat(1, Fate::Fine)]),
                once([Step::Away(true), Step::Away(false), exchange(1), begin(0), ok(0), exchange(0)]),
            ],
        ),
        Scenario {
            programs: 3,
            ..scenario(
                "slow beats",
                &[every(2), every(2), every(2)],
                &both_start(
                    &[slow_beat(), vec![Step::Start(2), emit(0), Step::Exchange(2, 0, Fate::Fine)]].concat(),
                ),
                &[
                    vec![Move { steps: slow_beat(), times: 6 }],
                    once([Step::Beat(2, Fate::Fine), Step::Advance(2), exchange(0), exchange(1)]),
                ],
            )
        },
        Scenario {
            programs: 3,
            ..scenario(
                "late beats",
                &[every(2), every(2), every(2)],
                &both_start(&[late_beat(), late_beat(), vec![Step::Start(2), emit(0)]].concat()),
                &[
                    vec![Move { steps: vec![Step::Advance(2), Step::Beat(0, Fate::Fine)], times: 3 }],
                    twice([Step::Arrive, Step::Exchange(2, 0, Fate::Fine)]),
                    once([Step::Beat(2, Fate::Fine), exchange(0)]),
                ],
            )
        },
        scenario(
            "a clock that jumps",
            &two,
            &both_start(&[emit(0), exchange(0), begin(0)]),
            &[
                twice([Step::Jump(-50), Step::Jump(100), exchange(0), exchange(1), Step::Advance(5)]),
                once([
                    finish(0, Outcome::Retry { delay: 8 }),
                    begin(1),
                    ok(1),
                    Step::Beat(0, Fate::Fine),
                    Step::Beat(1, Fate::Fine),
                ]),
            ],
        ),
        scenario(
            "fewer retries in a new deploy",
            &[every(3), every(1)],
            &[
                Step::Start(0),
                emit(0),
                exchange(0),
                begin(0),
                retry(0),
                exchange(0),
                begin(0),
                retry(0),
                Step::Stop(0),
                exchange(0),
            ],
            &[
                twice([exchange(1), begin(1), Step::Stop(0)]),
                once([Step::Start(1), retry(1), ok(1), Step::Kill(1), Step::Start(0), exchange(0)]),
            ],
        ),
    ]
}

fn patterns() -> Vec<Scenario> {
    let mut older = [every(2), every(2)];
    older[0].version = 1;
    older.iter_mut().for_each(|config| config.consumers[0].settings.ordered_by = Some(0));
    let newer = Step::Emit { name: 0, version: 2, fields: [0, 0] };
    vec![
        scenario(
            "two programs with different patterns",
            &[program(ALL, 2), program(FIRST, 2)],
            &both_start(&[emit(0), emit(1)]),
            &[
                twice([exchange(0), exchange(1)]),
                once([begin(0), retry(0), begin(1), retry(1), Step::Kill(0), Step::Start(0), emit(1)]),
            ],
        ),
        scenario(
            "a narrowed pattern in a rolling deploy",
            &[program(ALL, 2), program(ALL, 2), program(FIRST, 2)],
            &both_start(&[emit(1), emit(0), exchange(0), Step::Deploy(0, 2), Step::Deploy(1, 2)]),
            &[
                twice([exchange(0), exchange(1), Step::Stop(0)]),
                once([
                    begin(0),
                    retry(0),
                    Step::Start(0),
                    begin(1),
                    finish(1, Outcome::DeadLetter),
                    operate(Operate::Replay),
                ]),
            ],
        ),
        scenario(
            "an added pattern",
            &[program(FIRST, 2), program(SECOND, 2)],
            &[Step::Start(0), emit(0), emit(1)],
            &[
                twice([exchange(0), exchange(1), emit(1)]),
                once([
                    begin(0),
                    ok(0),
                    Step::Start(1),
                    begin(1),
                    ok(1),
                    seek(SeekTo::Start),
                    operate(Operate::Move),
                ]),
            ],
        ),
        scenario(
            "a newer version in a rolling deploy",
            &older,
            &[Step::Start(0), newer.clone(), emit(0)],
            &[
                twice([exchange(0), exchange(1), begin(0), begin(1)]),
                once([ok(0), ok(1), Step::Start(1), newer, Step::Kill(1)]),
            ],
        ),
        scenario(
            "a forgotten pattern beside a live session",
            &[program(FIRST, 2), program(SECOND, 2)],
            &both_start(&[emit(0), emit(1), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), Step::Stop(1)]),
                once([
                    begin(1),
                    retry(1),
                    operate(Operate::Forget(Pattern::One(1), false)),
                    operate(Operate::Forget(Pattern::One(1), true)),
                    Step::Start(1),
                    operate(Operate::Replay),
                ]),
            ],
        ),
        scenario(
            "unclaimed events are dropped",
            &[program(FIRST, 2), program(SECOND, 2)],
            &both_start(&[emit(0), emit(1), emit(0)]),
            &[
                twice([exchange(0), exchange(1), operate(Operate::DropUnclaimed)]),
                once([Step::Stop(1), Step::Start(1), begin(0), ok(0), emit(1)]),
            ],
        ),
    ]
}

fn operators() -> Vec<Scenario> {
    let two = [every(2), every(2)];
    let trim = Step::Trim(TrimLimit::To(2), false);
    let past = Step::Trim(TrimLimit::To(2), true);
    let order = [ordered(0), ordered(1), ordered(0)];
    vec![
        scenario(
            "a seek ahead beside deliveries",
            &two,
            &both_start(&[emit(0), emit(0), emit(0), exchange(0)]),
            &[
                twice([exchange(0), operate(Operate::Move), begin(0)]),
                once([
                    ok(0),
                    retry(0),
                    exchange(1),
                    seek(SeekTo::Now),
                    seek(SeekTo::Position(2)),
                    Step::GiveUp(0, 0),
                ]),
            ],
        ),
        scenario(
            "a replay beside a seek ahead",
            &two,
            &both_start(&[emit(0), exchange(0), begin(0), finish(0, Outcome::DeadLetter), exchange(0)]),
            &[
                twice([exchange(0), operate(Operate::Move), operate(Operate::Replay)]),
                once([begin(0), ok(0), emit(0), seek(SeekTo::Now), seek(SeekTo::Start)]),
            ],
        ),
        scenario(
            "a seek in chunks",
            &[ordered(0), ordered(0)],
            &both_start(&[emit(0), emit(0), emit(0), emit(0), emit(0), exchange(0), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), operate(Operate::Move), begin(0)]),
                once([ok(0), seek(SeekTo::Position(2)), emit(0), Step::Kill(0)]),
            ],
        ),
        scenario(
            "a trim beside a seek",
            &two,
            &both_start(&[emit(0), emit(0), emit(0), exchange(0), begin(0), finish(0, Outcome::DeadLetter)]),
            &[
                twice([exchange(0), operate(Operate::Move), trim.clone()]),
                once([
                    begin(0),
                    ok(0),
                    seek(SeekTo::Start),
                    seek(SeekTo::Position(2)),
                    operate(Operate::Replay),
                    past.clone(),
                ]),
            ],
        ),
        scenario(
            "a trim past a consumer",
            &two,
            &both_start(&[emit(0), emit(0), exchange(0)]),
            &[
                twice([exchange(0), past, exchange(1)]),
                once([
                    begin(0),
                    retry(0),
                    ok(0),
                    Step::Stop(0),
                    Step::Kill(0),
                    seek(SeekTo::Start),
                    operate(Operate::Move),
                ]),
            ],
        ),
        scenario(
            "another order in a rolling deploy",
            &order,
            &[Step::Start(0), emit(0), emit(1), emit(1), exchange(0)],
            &[
                twice([exchange(0), exchange(1), operate(Operate::Move), begin(0)]),
                once([retry(0), Step::Start(1), Step::Kill(0)]),
                together(outlives(1)),
            ],
        ),
        scenario(
            "an order that is rolled back",
            &order,
            &[
                Step::Start(0),
                emit(0),
                emit(1),
                emit(1),
                Step::Start(1),
                Step::Stop(0),
                exchange(1),
                operate(Operate::Move),
            ],
            &[
                twice([exchange(0), exchange(1), operate(Operate::Move), begin(1), Step::Stop(1)]),
                once([retry(1), Step::Start(0), begin(0), operate(Operate::DropUnclaimed)]),
            ],
        ),
        scenario(
            "a removal beside a late report",
            &two,
            &both_start(&[emit(0), emit(0), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), begin(0), Step::Beat(1, Fate::Fine)]),
                once([ok(0), operate(Operate::Remove), Step::Kill(1), Step::Start(1), begin(1)]),
            ],
        ),
        scenario(
            "an operator's pause",
            &two,
            &both_start(&[emit(0), emit(0), exchange(0)]),
            &[
                twice([exchange(0), exchange(1), operate(Operate::Pause), operate(Operate::Resume)]),
                once([begin(0), retry(0), ok(0), begin(1), ok(1)]),
            ],
        ),
    ]
}

fn lost_data() -> Vec<Scenario> {
    let two = [every(2), every(2)];
    let beats = [Step::Beat(0, Fate::Fine), Step::Beat(1, Fate::Fine)];
    let newcomer = [every(2), every(2), every(2)];
    vec![
        scenario(
            "older data",
            &two,
            &both_start(&[emit(0), Step::Snapshot, emit(0), exchange(0), begin(0)]),
            &[
                twice([exchange(0), exchange(1), beats[0].clone(), beats[1].clone()]),
                once([ok(0), Step::Restore, begin(1), emit(0), Step::Advance(3)]),
            ],
        ),
        scenario(
            "older data with rows",
            &two,
            &both_start(&[
                emit(0),
                exchange(0),
                begin(0),
                finish(0, Outcome::Retry { delay: 3 }),
                exchange(0),
                Step::Snapshot,
                Step::Advance(3),
                emit(0),
                beats[1].clone(),
                exchange(0),
                begin(0),
            ]),
            &[
                twice([exchange(0), exchange(1), beats[0].clone(), beats[1].clone()]),
                once([Step::Restore, ok(0), begin(1)]),
            ],
        ),
        scenario(
            "wiped data",
            &two,
            &both_start(&[emit(0), exchange(0), begin(0), beats[0].clone(), beats[1].clone()]),
            &[
                twice([exchange(0), exchange(1), beats[0].clone(), beats[1].clone(), emit(0)]),
                once([ok(0), Step::Wipe, begin(1)]),
            ],
        ),
        scenario(
            "other data at the same position",
            &[program(FIRST, 2), program(FIRST, 2)],
            &both_start(&[Step::Snapshot, emit(1)]),
            &[
                twice([exchange(0), exchange(1), emit(0)]),
                once([
                    Step::Exchange(0, 0, Fate::LoseCall),
                    Step::Restore,
                    begin(0),
                    ok(0),
                    beats[0].clone(),
                ]),
            ],
        ),
        Scenario {
            programs: 3,
            ..scenario(
                "a newcomer beside older data",
                &newcomer,
                &both_start(&[emit(0), Step::Snapshot, emit(0), exchange(0), begin(0), beats[0].clone()]),
                &[
                    twice([exchange(0), exchange(2), beats[0].clone()]),
                    once([Step::Restore, Step::Start(2), ok(0), begin(2), ok(2), emit(0)]),
                ],
            )
        },
    ]
}
