//! The same work done by this library, its peers and hand-written floors, as Markdown tables.
//!
//! `cargo run --release -p peers` runs itself in five processes, and prints the medians of their medians. Then it
//! prints the tables of `scale`, each measured by a separate process. `-- --once` runs the tables once and prints plain
//! figures, `-- --scale NAME` prints one table of `scale`, and `-- --only TEXT` prints only tables with the text in
//! their title.

mod floors;
mod ours;
mod rivals;
mod scale;

use std::collections::BTreeMap;
use std::process::Command;

use floors::Drive;
use ours::{Kind, typed_events};
use peers::{Case, measure, median};
use tokio::runtime::{Builder, Runtime};
use typed_events::Bus;

const PROCESSES: usize = 5;
const ROUNDS: usize = 21;
const COUNTS: [usize; 4] = [0, 1, 8, 64];

/// Creates the cases of a table for a number of handlers.
type Cases = fn(&'static Runtime, usize) -> Vec<Case>;

/// The titles of the tables, and their cases.
const TABLES: [(&str, Cases); 4] = [
    ("sync handlers, history off", sync),
    ("sync handlers, history of 1000 (the default)", sync_with_history),
    ("async handlers that are ready at once", ready),
    ("async handlers that yield once", yielding),
];

fn sync(runtime: &'static Runtime, handlers: usize) -> Vec<Case> {
    vec![
        typed_events("**typed-events**", runtime, Bus::builder().history(0), Kind::Sync, handlers),
        floors::direct_calls(handlers),
        floors::boxed_closures(handlers),
        floors::snapshot(handlers),
        floors::four_places(handlers),
        rivals::rt_events(handlers),
        rivals::mod_events(handlers),
        rivals::bevy(handlers),
        rivals::jaeb(runtime, handlers),
    ]
}

fn sync_with_history(runtime: &'static Runtime, handlers: usize) -> Vec<Case> {
    vec![
        typed_events("**typed-events**", runtime, Bus::builder(), Kind::Sync, handlers),
        floors::composed(handlers),
    ]
}

fn ready(runtime: &'static Runtime, handlers: usize) -> Vec<Case> {
    vec![
        typed_events("**typed-events**", runtime, Bus::builder(), Kind::Ready, handlers),
        typed_events(
            "**typed-events**, history off",
            runtime,
            Bus::builder().history(0),
            Kind::Ready,
            handlers,
        ),
        floors::futures(runtime, Drive::InTurn, false, true, handlers),
        floors::futures(runtime, Drive::InTurn, false, false, handlers),
        floors::futures(runtime, Drive::JoinAll, false, false, handlers),
        rivals::mod_events_async(runtime, false, handlers),
        rivals::jaeb_async(runtime, false, handlers),
        rivals::anycms(runtime, false, handlers),
        rivals::tokio_events(runtime, false, handlers),
        rivals::kameo(runtime, false, handlers),
        rivals::broadcast(runtime, false, handlers),
    ]
}

fn yielding(runtime: &'static Runtime, handlers: usize) -> Vec<Case> {
    vec![
        typed_events("**typed-events**", runtime, Bus::builder(), Kind::Yields, handlers),
        floors::futures(runtime, Drive::Unordered, true, true, handlers),
        floors::futures(runtime, Drive::Spawned, true, true, handlers),
        floors::futures(runtime, Drive::Unordered, true, false, handlers),
        floors::futures(runtime, Drive::InTurn, true, false, handlers),
        floors::futures(runtime, Drive::JoinAll, true, false, handlers),
        rivals::mod_events_async(runtime, true, handlers),
        rivals::jaeb_async(runtime, true, handlers),
        rivals::anycms(runtime, true, handlers),
        rivals::tokio_events(runtime, true, handlers),
        rivals::kameo(runtime, true, handlers),
        rivals::broadcast(runtime, true, handlers),
    ]
}

fn main() {
    let argument = |flag: &str| std::env::args().skip_while(|argument| argument != flag).nth(1);
    let only = argument("--only");
    let asked_for = |flag: &str| std::env::args().any(|argument| argument == flag);
    if asked_for("--once") {
        return once(only.as_deref());
    }
    if let Some(wanted) = argument("--scale") {
        let tables = scale::TABLES.iter().filter(|(table, _)| *table == wanted);
        return tables.for_each(|(_, print)| print(runtime()));
    }
    let this = std::env::current_exe().unwrap();
    let mut figures: BTreeMap<(usize, usize, usize), Vec<f64>> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(&this);
        command.arg("--once");
        if let Some(only) = &only {
            command.args(["--only", only]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [table, count, row, nanos, name] = fields[..] else { panic!("{line}") };
            let at = |text: &str| text.parse::<usize>().unwrap();
            figures.entry((at(table), at(row), at(count))).or_default().push(nanos.parse().unwrap());
            names.insert((at(table), at(row)), name.to_owned());
        }
    }
    let figures = figures.into_iter().map(|(key, figures)| (key, median(figures))).collect();
    print(&figures, &names);
    for (table, _) in scale::TABLES.iter().filter(|_| only.is_none()) {
        let status = Command::new(&this).args(["--scale", table]).status().unwrap();
        assert!(status.success(), "{table}");
    }
}

/// Creates a runtime that lives as long as the process.
fn runtime() -> &'static Runtime {
    Box::leak(Box::new(Builder::new_current_thread().enable_all().build().unwrap()))
}

/// Measures all tables once, and prints a line for each figure.
fn once(only: Option<&str>) {
    let runtime = runtime();
    for (table, (title, cases)) in TABLES.iter().enumerate() {
        if only.is_some_and(|only| !title.contains(only)) {
            continue;
        }
        for (count, handlers) in COUNTS.into_iter().enumerate() {
            let mut cases = cases(runtime, handlers);
            measure(&mut cases, ROUNDS);
            for (row, case) in cases.iter().enumerate() {
                println!("{table}\t{count}\t{row}\t{}\t{}", case.median(), case.name);
            }
        }
    }
}

/// Prints nanoseconds, and the ratio of the first row to each row.
fn print(figures: &BTreeMap<(usize, usize, usize), f64>, names: &BTreeMap<(usize, usize), String>) {
    for (table, (title, _)) in TABLES.iter().enumerate() {
        let rows: Vec<_> = names.range((table, 0)..(table + 1, 0)).collect();
        if rows.is_empty() {
            continue;
        }
        println!("| {title}: ns per emit (typed-events to it) | 0 | 1 | 8 | 64 |");
        println!("|---|---:|---:|---:|---:|");
        for ((_, row), name) in rows {
            let cells = COUNTS.iter().enumerate().map(|(count, _)| {
                let (ours, nanos) = (figures[&(table, 0, count)], figures[&(table, *row, count)]);
                match *row {
                    0 => format!("{nanos:.1}"),
                    _ => format!("{nanos:.1} ({:.2}x)", ours / nanos),
                }
            });
            println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        println!();
    }
}
