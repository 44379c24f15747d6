//! Compile times of events: `cargo bench --bench compile -- run [EVENTS] [ROUNDS]`.
//!
//! Compiles the same structs of six fields with serde's derives alone, as events, as events under the schema lock, and
//! as events with one handler each. Each crate is checked and built by itself, with its dependencies compiled before
//! and without incremental compilation. The variants take turns. Prints medians, and their ratios to serde's derives.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const TYPES: [&str; 6] = ["u64", "String", "bool", "Option<String>", "Vec<u32>", "f64"];

/// A crate to compile.
struct Subject {
    name: &'static str,
    folder: PathBuf,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize, default| {
        arguments.get(index).map_or(default, |text| text.parse::<usize>().expect("a number"))
    };
    if arguments.first().is_none_or(|first| first != "run") {
        println!(
            "compile: takes many minutes; to run it: cargo bench --bench compile -- run [EVENTS] [ROUNDS]"
        );
        return;
    }
    let (events, rounds) = (number(1, 1000), number(2, 3));
    let subjects = ["plain", "events", "locked", "handlers"].map(|name| write(name, events));
    for subject in &subjects {
        subject.prepare();
    }
    let modes = ["check", "build"];
    let mut times = vec![Vec::new(); subjects.len() * modes.len()];
    for _ in 0..rounds {
        for (mode_index, mode) in modes.iter().enumerate() {
            for (index, subject) in subjects.iter().enumerate() {
                times[mode_index * subjects.len() + index].push(subject.time(mode));
            }
        }
    }
    println!("{events} events, medians of {rounds} rounds, seconds (ratio to the plain derives)\n");
    println!("| | check | build |\n|---|---:|---:|");
    for (index, subject) in subjects.iter().enumerate() {
        let mut row = format!("| {} |", subject.name);
        for mode_index in 0..modes.len() {
            let median = |index: usize| {
                let mut times = times[mode_index * subjects.len() + index].clone();
                times.sort();
                times[times.len() / 2].as_secs_f64()
            };
            let _ = write!(row, " {:.1} ({:.2}) |", median(index), median(index) / median(0));
        }
        println!("{row}");
    }
}

/// Writes a crate with the given variant of the structs.
fn write(name: &'static str, events: usize) -> Subject {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    let manifest = format!(
        "[package]\nname = \"cost-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\nname = \"cost\"\n\n[dependencies]\ntyped-events = {{ path = {root:?}, features = [\"lock\"] }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(Path::new(root).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut source = "#![allow(dead_code)]\n".to_owned();
    source += match name {
        "plain" => "use serde::{Deserialize, Serialize};\n",
        "locked" => "use typed_events::locked::event;\n",
        _ => "#[allow(unused_imports)]\nuse typed_events::{event, on};\n",
    };
    for event in 0..events {
        source += &match name {
            "plain" => "#[derive(Debug, Clone, Serialize, Deserialize)]\n".to_owned(),
            _ => format!("#[event(\"group{}.thing{event}.created\")]\n", event % 31),
        };
        let _ = writeln!(source, "pub struct E{event} {{");
        for (index, ty) in TYPES.iter().enumerate() {
            let _ = writeln!(source, "    pub field_{index}_{}: {ty},", event % 7);
        }
        source += "}\n";
        if name == "handlers" {
            let _ = writeln!(source, "#[on]\nfn handle{event}(_: &E{event}) {{}}");
        }
    }
    std::fs::write(folder.join("src/lib.rs"), source).unwrap();
    let test = "use cost as _;\n#[test]\nfn locked() -> Result<(), typed_events::Error> {\n    typed_events::schema_lock!().verify()\n}\n";
    if name == "locked" {
        std::fs::write(folder.join("tests/lock.rs"), test).unwrap();
    }
    Subject { name, folder }
}

impl Subject {
    fn cargo(&self, arguments: &[&str], lock: Option<&str>) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).args(["-q", "--offline"]).current_dir(&self.folder);
        cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-target"));
        cargo.env("CARGO_INCREMENTAL", "0").env_remove("TYPED_EVENTS_LOCK");
        cargo.envs(lock.map(|value| ("TYPED_EVENTS_LOCK", value)));
        assert!(cargo.status().unwrap().success(), "{}: cargo {arguments:?}", self.name);
    }

    /// Compiles the dependencies, and writes the schema lock.
    fn prepare(&self) {
        if self.name == "locked" {
            self.cargo(&["test"], Some("write"));
        }
        self.cargo(&["check"], None);
        self.cargo(&["build"], None);
    }

    /// Returns how long it takes to check or build this crate alone.
    fn time(&self, mode: &str) -> Duration {
        let source = self.folder.join("src/lib.rs");
        let now = std::time::SystemTime::now();
        std::fs::File::options().append(true).open(source).unwrap().set_modified(now).unwrap();
        let start = Instant::now();
        self.cargo(&[mode], None);
        start.elapsed()
    }
}
