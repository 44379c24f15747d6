//! Costs that must not depend on numbers: of unrelated handlers, of names, of threads, and of records in the history.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

use crate::floors;
use peers::{Case, Sixteen, Slots, measure, median, sixteen, slots, timed, work};
use tokio::runtime::{Builder, Runtime};
use typed_events::{Bus, BusBuilder, Record, event};

/// A second event of the same size.
#[event("bench.other")]
#[derive(Copy)]
pub struct Other {
    pub a: u64,
    pub b: u64,
}

const ROUNDS: usize = 21;

/// The tables. Each is measured in a separate process, so that it starts with fresh memory.
pub const TABLES: [(&str, Table); 4] =
    [("unrelated", unrelated), ("names", names), ("threads", threads), ("history", history)];

type Table = fn(&'static Runtime);

fn bus(runtime: &Runtime, builder: BusBuilder) -> Bus {
    runtime.block_on(builder.quiet().build()).unwrap()
}

fn off() -> BusBuilder {
    Bus::builder().history(0).accept_undeclared()
}

/// Builds a bus with one handler of [`Sixteen`].
fn one_handler(runtime: &Runtime, builder: BusBuilder) -> (Bus, Slots) {
    let (bus, slots) = (bus(runtime, builder), slots());
    bus.on(move |event: &Sixteen| work::<0>(slots, event.b));
    (bus, slots)
}

/// Returns a name or pattern that matches no declared event. Half of them have a wildcard.
fn pattern(index: usize) -> String {
    match index % 4 {
        0 => format!("unrelated.part{index}.*"),
        1 => format!("*.unrelated{index}"),
        _ => format!("unrelated.name{index}"),
    }
}

fn subscribe_to(bus: &Bus, from: usize, to: usize) -> Duration {
    let patterns: Vec<_> = (from..to).map(pattern).collect();
    timed(|| {
        for pattern in &patterns {
            bus.pattern(pattern).on(|record: &Record| drop(black_box(record.clone()))).unwrap();
        }
    })
}

fn emits(bus: &Bus, runtime: &Runtime, n: u64) -> Duration {
    timed(|| {
        runtime.block_on(async {
            for i in 0..n {
                bus.emit(sixteen(i)).await.unwrap();
            }
        })
    })
}

/// Returns the resident memory of this process in bytes, or 0 if the system does not report it.
fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// One matching handler among many handlers of other events.
fn unrelated(runtime: &'static Runtime) {
    let mut cases = Vec::new();
    let mut subscribing = Vec::new();
    for count in [0, 10, 1_000, 100_000, 1_000_000] {
        let (bus, slots) = one_handler(runtime, off());
        let before = memory();
        subscribe_to(&bus, 0, count);
        let bytes = memory().saturating_sub(before) / count.max(1);
        // Measures the next thousand subscriptions, and removes them again.
        let next: Vec<_> = (0..5)
            .map(|round| {
                let from = count + round * 1_000;
                let took = subscribe_to(&bus, from, from + 1_000);
                (from..from + 1_000).for_each(|index| drop(bus.off(&pattern(index))));
                took.as_secs_f64() * 1e9 / 1_000.0
            })
            .collect();
        subscribing.push((count, median(next), bytes));
        cases.push(Case::new(count.to_string(), 1, slots, move |n| emits(&bus, runtime, n)));
    }
    measure(&mut cases, ROUNDS);
    let declared = typed_events::catalog().events().len();
    println!(
        "| unrelated subscriptions ({declared} declared events) | ns per emit (ratio) | ns to subscribe | bytes each |"
    );
    println!("|---:|---:|---:|---:|");
    for (case, (count, nanos, bytes)) in cases.iter().zip(subscribing) {
        let ratio = case.median() / cases[0].median();
        // With few subscriptions, spare memory of the process hides their size.
        let bytes = if count < 100_000 { "-".to_owned() } else { bytes.to_string() };
        println!("| {count} | {:.1} ({ratio:.2}x) | {nanos:.0} | {bytes} |", case.median());
    }
    println!();
}

/// Lookups of names that are known only at run time. Looks up 500 of them repeatedly, so that they are cached, or all
/// in turn, so that none is cached when it is looked up again.
fn names(runtime: &'static Runtime) {
    println!(
        "| names at run time, of so many | std's `HashMap<&str, _>`: 500, all | cached (ratio) | not cached (ratio) |"
    );
    println!("|---:|---:|---:|---:|");
    for count in [10_000, 1_000_000] {
        let bus: &'static Bus = Box::leak(Box::new(bus(runtime, off())));
        let all: &'static [String] =
            Vec::leak((0..count).map(|index| format!("unrelated.name{}", index * 7 % count)).collect());
        for name in all {
            bus.pattern(name).on(|record: &Record| drop(black_box(record.clone()))).unwrap();
        }
        bus.pattern("unrelated.*").on(|record: &Record| drop(black_box(record.clone()))).unwrap();
        let table: &'static HashMap<&str, usize> =
            Box::leak(Box::new(all.iter().map(String::as_str).zip(0..).collect()));
        let few: &'static [String] = Vec::leak(all.iter().step_by(count / 500).take(500).cloned().collect());
        let case = |names, look_up: fn(&'static HashMap<&str, usize>, &'static Bus, &str) -> usize| {
            let mut turn = 0;
            Case::bare("", move |n| {
                turn += n as usize;
                each(names, turn, n, |name| look_up(table, bus, name))
            })
        };
        let mut cases = vec![
            case(few, |table, _, name| table[name]),
            case(all, |table, _, name| table[name]),
            case(few, |_, bus, name| bus.handler_count(name)),
            case(all, |_, bus, name| bus.handler_count(name)),
        ];
        measure(&mut cases, ROUNDS);
        let [few, all, cached, uncached] = [0, 1, 2, 3].map(|index: usize| cases[index].median());
        let (hit, miss) = (cached / few, uncached / all);
        println!("| {count} | {few:.1}, {all:.1} | {cached:.1} ({hit:.1}x) | {uncached:.1} ({miss:.1}x) |");
    }
    println!();
}

/// Looks up `n` names in turn.
fn each(names: &'static [String], from: usize, n: u64, look_up: impl Fn(&str) -> usize) -> Duration {
    timed(|| {
        for i in from..from + n as usize {
            black_box(look_up(&names[i % names.len()]));
        }
    })
}

/// The rate of two threads compared with that of one.
fn threads(_: &'static Runtime) {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let home = runtime();
    let (off, on) = (bus(&home, off()), bus(&home, Bus::builder()));
    let (slots, others) = (slots(), slots());
    off.on(move |event: &Sixteen| work::<0>(slots, event.b));
    off.on(move |event: &Other| work::<0>(others, event.b));
    on.on(|event: &Sixteen| {
        black_box(event.b);
    });
    let one = |bus: Bus| {
        move || {
            let runtime = runtime();
            emits(&bus, &runtime, 200_000)
        }
    };
    let other = |bus: Bus| {
        move || {
            let runtime = runtime();
            timed(|| {
                runtime.block_on(async {
                    for a in 0..200_000 {
                        bus.emit(Other { a: black_box(a), b: black_box(1) }).await.unwrap();
                    }
                })
            })
        }
    };
    let compute = || {
        timed(|| {
            black_box((0..20_000_000_u64).fold(0, |sum, i| black_box(sum ^ i)));
        })
    };
    let composed = floors::shared();
    let mut kept = Vec::new();
    let mut discarded = 0;
    while kept.len() < 11 && discarded < 100 {
        let control = scaling(&compute, &compute);
        let different = scaling(&one(off.clone()), &other(off.clone()));
        let same = scaling(&one(on.clone()), &one(on.clone()));
        let floor = scaling(&composed, &composed);
        match control < 1.7 {
            true => discarded += 1,
            false => kept.push((control, different, same, floor)),
        }
    }
    if kept.is_empty() {
        println!("two threads: {discarded} runs, and none in which two did 1.7 times what one did\n");
        return;
    }
    let of = |figure: fn(&(f64, f64, f64, f64)) -> f64| median(kept.iter().map(figure).collect());
    let (control, different) = (of(|kept| kept.0), of(|kept| kept.1));
    let (same, floor) = (of(|kept| kept.2), of(|kept| kept.3));
    println!("| two threads, as times one's rate ({discarded} runs discarded) | |");
    println!("|---|---:|");
    println!("| computing | {control:.2} |");
    println!("| different events, history off | {different:.2} ({:.2} of computing) |", different / control);
    println!("| the same event, history on | {same:.2} |");
    println!("| the composed floor | {floor:.2} |");
    println!();
}

/// Work for one or two threads. It is never inlined, so that both run the same code.
type Work<'a> = &'a (dyn Fn() -> Duration + Sync);

/// Returns the rate of both at once, divided by the rate of the first alone.
fn scaling(first: Work<'_>, second: Work<'_>) -> f64 {
    let alone = first();
    let barrier = Barrier::new(2);
    let together = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            barrier.wait();
            second()
        });
        barrier.wait();
        let first = first();
        first.max(other.join().unwrap())
    });
    2.0 * alone.as_secs_f64() / together.as_secs_f64()
}

/// Histories of a thousand and of a million records.
fn history(runtime: &'static Runtime) {
    let mut emitting = Vec::new();
    let mut asking = Vec::new();
    let mut bytes = Vec::new();
    for count in [1_000, 1_000_000] {
        let before = memory();
        let (bus, slots) = one_handler(runtime, Bus::builder().history(count).history_bytes(usize::MAX));
        runtime.block_on(async {
            for i in 0..count as u64 {
                match i % 10 {
                    0 => drop(bus.emit(Other { a: i, b: 1 }).await.unwrap()),
                    _ => drop(bus.emit(Sixteen { a: i, b: 0 }).await.unwrap()),
                }
            }
        });
        bytes.push(memory().saturating_sub(before) / count);
        let asked = bus.clone();
        emitting.push(Case::new(count.to_string(), 1, slots, move |n| emits(&bus, runtime, n)));
        asking.push(Case::bare(count.to_string(), move |n| {
            timed(|| {
                runtime.block_on(async {
                    for _ in 0..n {
                        black_box(asked.history("bench.other").limit(10).await.unwrap());
                    }
                })
            })
        }));
    }
    // Queries are measured first, because emits drop the queried records.
    measure(&mut asking, ROUNDS);
    measure(&mut emitting, ROUNDS);
    println!(
        "| records in the history | ns per emit (ratio) | ns for the last 10 of one name (ratio) | bytes each |"
    );
    println!("|---:|---:|---:|---:|");
    for index in 0..2 {
        let (emit, ask) = (emitting[index].median(), asking[index].median());
        let (more, longer) = (emit / emitting[0].median(), ask / asking[0].median());
        let count = &emitting[index].name;
        let bytes = if index == 0 { "-".to_owned() } else { bytes[index].to_string() };
        println!("| {count} | {emit:.1} ({more:.2}x) | {ask:.0} ({longer:.2}x) | {bytes} |");
    }
    println!();
}
