//! A year of one event under the lock, as git commits of a real repository.

use std::process::Command;

use super::project::{Project, assert_said};

const FILE: &str = "events.lock/user.created";

const JANUARY: &str = "#[event(\"user.created\")]
pub struct UserCreated {
    pub id: u32,
    pub score: f64,
    pub tags: Vec<String>,
    #[serde(default = \"one\")]
    pub level: u32,
    #[event(secret)]
    pub password: String,
}

pub fn one() -> u32 { 1 }
pub fn two() -> u32 { 2 }

pub mod plain {
    use typed_events::__private::serde::{Deserialize, Deserializer, Serializer};
    pub fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(*value)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer)
    }
}
";

impl Project {
    fn git(&self, arguments: &[&str]) -> Result<String, String> {
        let mut git = Command::new("git");
        git.current_dir(&self.folder).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]);
        git.args(["-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"]).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_EDITOR", "true");
        let output = git.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]).unwrap();
        self.git(&["commit", "-q", "-m", message]).unwrap();
    }

    /// Makes a change that must compile, writes the lock, and commits.
    fn pass(&self, source: &str, message: &str) {
        self.source(source);
        self.check().unwrap_or_else(|said| panic!("{message}: {said}"));
        self.write_lock().unwrap_or_else(|said| panic!("{message}: {said}"));
        self.test().unwrap_or_else(|said| panic!("{message}: {said}"));
        self.commit(message);
    }

    /// Makes a change that must neither compile nor be written to the lock, and reverts it.
    fn refuse(&self, source: &str, message: &str) {
        self.source(source);
        assert_said(&self.check().expect_err(message), message);
        assert_said(&self.write_lock().expect_err(message), message);
        self.git(&["checkout", "-q", "."]).unwrap();
        assert_eq!(self.git(&["status", "--porcelain"]).unwrap(), "", "{message}");
    }
}

fn replaced(source: &str, from: &str, to: &str) -> String {
    assert!(source.contains(from), "{from}");
    source.replacen(from, to, 1)
}

#[test]
fn l_a_year_of_one_event_as_commits() {
    let project = Project::new("year", JANUARY);
    project.git(&["init", "-q", "-b", "main"]).unwrap();
    project.write(".gitignore", "target\n");
    project.write_lock().unwrap();
    project.test().unwrap();
    project.commit("January: the event is locked");
    let source = reasons(&project, JANUARY);
    silent_changes(&project, &source);
    let source = weaker_promise(&project, &source);
    let source = second_version(&project, &source);
    branches_that_add_events(&project, &source);
    branches_that_change_one_event(&project, &source);
    rewritten_file(&project, &source);
    // Each reason is in the history of the file, with the commit that needed it.
    let log = project.git(&["log", "--format=%s", "-S", "counted since April", "--", FILE]).unwrap();
    assert_eq!(log, "February: a reason\n");
}

/// February: code that the lock can't check (L1).
fn reasons(project: &Project, source: &str) -> String {
    let opaque = replaced(source, "    pub id: u32", "    #[serde(with = \"plain\")]\n    pub id: u32");
    project.refuse(&opaque, "`with plain: u32` was added");
    let reasoned = replaced(
        &opaque,
        "    #[serde(with",
        "    #[event(changed = \"counted since April\")]\n    #[serde(with",
    );
    project.pass(&reasoned, "February: a reason");
    project.refuse(
        &replaced(&reasoned, "    #[serde(with = \"plain\")]\n", ""),
        "The given reason belongs to an earlier change: give this change another reason",
    );
    project.refuse(
        &replaced(&reasoned, "    #[event(secret)]\n", ""),
        ".password: it was secret, but would be shown now",
    );
    reasoned
}

/// March to June: what the lock did not see (L2).
fn silent_changes(project: &Project, source: &str) {
    project.refuse(
        &replaced(source, "score: f64", "score: f32"),
        "`f64` is written, but `f32` can't represent all of its digits",
    );
    project.refuse(
        &replaced(source, "tags: Vec<String>", "tags: std::collections::HashSet<String>"),
        ".tags: the elements are written in an order or repeatedly, but a set keeps neither",
    );
    project.refuse(
        &replaced(source, "(default = \"one\")", "(default = \"two\")"),
        ".level: a record without it was read with `one`, and is now read with `two`",
    );
}

/// July: a weaker compatibility, together with the change that it allows (L1).
fn weaker_promise(project: &Project, source: &str) -> String {
    let weaker = replaced(source, "level: u32", "level: u64").replace("-> u32 { 1 }", "-> u64 { 1 }");
    project.refuse(&weaker, "`u64` is written, which does not fit into `u32`");
    let weaker = replaced(&weaker, "\")]", "\", compatibility = backward)]");
    project.refuse(&weaker, "its compatibility was `full`, and `backward` promises less");
    let weaker = replaced(&weaker, "backward)]", "backward, changed = \"its readers are deployed first\")]");
    project.pass(&weaker, "July: a weaker promise");
    weaker
}

/// August and September: a second version, and the first change after it (L3).
fn second_version(project: &Project, source: &str) -> String {
    let (event, rest) = source.split_once("\npub fn one").unwrap();
    let old = replaced(
        event,
        "\", compatibility = backward, changed = \"its readers are deployed first\")]",
        "\", version = 1, superseded)]",
    );
    let old = replaced(&old, "UserCreated", "UserCreatedV1");
    let new = "
#[event(\"user.created\", version = 2, previous = UserCreatedV1)]
pub struct UserCreated {
    pub id: String,
    #[event(secret)]
    pub password: String,
}

impl typed_events::Upcast<UserCreatedV1> for UserCreated {
    fn upcast(old: UserCreatedV1) -> Self {
        Self { id: old.id.to_string(), password: old.password }
    }
}
";
    let both = format!("{old}{new}\npub fn one{rest}");
    project.source(&both);
    assert_said(&project.check().unwrap_err(), "events.lock/user.created has no version 2");
    project.write_lock().unwrap();
    project.test().unwrap();
    project.commit("August: a second version");
    project.refuse(
        &replaced(&both, "score: f64", "score: u8"),
        "`user.created` breaks its lock (version 1): old records can't be read: .score",
    );
    project.refuse(
        &replaced(&both, "    #[event(secret)]\n", ""),
        "`user.created` breaks its lock (version 1): .password: it was secret, but would be shown now",
    );
    project.refuse(
        &replaced(&both, "\"one\"", "\"two\"").replace("-> u32 { 2 }", "-> u64 { 2 }"),
        "`user.created` breaks its lock (version 1): .level: a record without it was read with `one`",
    );
    both
}

/// October: branches that each add an event, with adjacent names (L4).
fn branches_that_add_events(project: &Project, source: &str) {
    project.write("src/a.rs", "");
    project.write("src/b.rs", "");
    project.source(&format!("{source}\npub mod a;\npub mod b;\n"));
    project.commit("October: two modules");
    for (branch, module, event) in [("left", "a", "user.created-a"), ("right", "b", "user.created-b")] {
        project.git(&["checkout", "-q", "-b", branch, "main"]).unwrap();
        project.write(
            &format!("src/{module}.rs"),
            &format!("use typed_events::locked::event;\n\n#[event(\"{event}\", allow(naming))]\npub struct Added {{\n    pub id: u8,\n}}\n"),
        );
        project.write_lock().unwrap();
        project.test().unwrap();
        project.commit(&format!("October: {event}"));
    }
    for (onto, other) in [("left", "right"), ("right", "left")] {
        project.git(&["checkout", "-q", "-b", &format!("{onto}-first"), onto]).unwrap();
        project.git(&["merge", "-q", "--no-edit", other]).unwrap();
        assert_eq!(project.files("events.lock"), ["user.created", "user.created-a", "user.created-b"]);
        project.git(&["checkout", "-q", "-b", &format!("{onto}-rebased"), onto]).unwrap();
        project.git(&["rebase", "-q", other]).unwrap();
        assert_eq!(project.files("events.lock"), ["user.created", "user.created-a", "user.created-b"]);
    }
    project.git(&["checkout", "-q", "main"]).unwrap();
    project.git(&["merge", "-q", "left-first"]).unwrap();
    project.check().unwrap();
    project.test().unwrap();
}

/// November: branches that change the same event (L4).
fn branches_that_change_one_event(project: &Project, source: &str) {
    let modules = "\npub mod a;\npub mod b;\n";
    let with = |fields: &[(&str, &str)]| {
        let declared = fields.iter().map(|(name, ty)| format!("    pub {name}: Option<{ty}>,\n"));
        let declared = declared.collect::<String>() + "    pub id: String,";
        let set: String = fields.iter().map(|(name, _)| format!("{name}: None, ")).collect();
        let source = replaced(source, "    pub id: String,", &declared);
        format!("{}{modules}", replaced(&source, "Self { id: ", &format!("Self {{ {set}id: ")))
    };
    let (phone, mobile) = (("phone", "u8"), ("mobile", "u16"));
    for (branch, field) in [("phone", phone), ("mobile", mobile)] {
        project.git(&["checkout", "-q", "-b", branch, "main"]).unwrap();
        project.pass(&with(&[field]), "November: a field");
    }
    let said = project.git(&["merge", "-q", "phone"]).unwrap_err();
    assert_said(&said, "CONFLICT (content): Merge conflict in events.lock/user.created");
    project.source(&with(&[phone, mobile]));
    let line = project.read(FILE).lines().position(|line| line.starts_with("<<<<<<<")).unwrap() + 1;
    let message = format!("events.lock/user.created:{line} contains a conflict marker of a merge");
    assert_said(&project.check().unwrap_err(), &message);
    assert_said(&project.write_lock().unwrap_err(), &message);
    project.git(&["checkout", "-q", "--theirs", FILE]).unwrap();
    project.check().unwrap();
    project.write_lock().unwrap();
    project.test().unwrap();
    project.commit("November: both fields");
    let text = project.read(FILE);
    assert_said(&text, "phone: Option<u8>,\n");
    assert_said(&text, "mobile: Option<u16>,\n");
}

/// December: the file is deleted, and written again with a breaking change (L5).
fn rewritten_file(project: &Project, source: &str) {
    let history = |text: &str| text.lines().find(|line| line.starts_with("history ")).unwrap().to_owned();
    let first = history(&project.git(&["show", "main:events.lock/user.created"]).unwrap());
    assert_eq!(history(&project.read(FILE)), first);
    project.source(&format!(
        "{}\npub mod a;\npub mod b;\n",
        replaced(source, "pub id: String", "pub id: u8")
            .replace("id: old.id.to_string()", "id: old.id as u8")
    ));
    project.remove(FILE);
    project.write_lock().unwrap();
    assert_said(&project.git(&["diff", "--", FILE]).unwrap(), &format!("\n-{first}\n"));
    assert_ne!(history(&project.read(FILE)), first);
    project.git(&["checkout", "-q", "."]).unwrap();
}
