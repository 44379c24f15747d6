//! GitHub's webhooks as typed events.
//!
//! ```text
//! cargo run --example github               # reads the samples at the end of this file
//! cargo run --example github -- -          # reads such lines from stdin
//! cargo run --example github -- <folder>   # reads files with names like `issues.opened.0.json`
//! ```
//!
//! The file contains the events, then the handlers, then the code that emits payloads from outside.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;
use typed_events::{Bus, Event, Record, event, on, payload};

// Types that several payloads share. They contain the fields that the program needs and ignore the rest. An error names
// the field that did not fit.

#[payload]
pub struct User {
    pub id: u64,
    pub login: String,
}

#[payload]
pub struct Repository {
    pub full_name: String,
}

#[payload]
pub struct Issue {
    pub number: u64,
    pub title: String,
}

#[payload]
pub struct PullRequest {
    pub number: u64,
    pub title: String,
    #[serde(default)] // reviews contain a short form without these fields
    pub merged: bool,
    #[serde(default)]
    pub additions: u64,
    #[serde(default)]
    pub deletions: u64,
}

#[payload]
pub struct Comment {
    pub body: Option<String>, // null if it is empty
}

#[payload]
pub struct Commit {
    pub id: String,
    pub message: String,
}

#[payload]
pub struct Run {
    pub name: String,
    pub conclusion: Option<String>, // null until the run has ended
}

#[payload]
pub struct Release {
    pub tag_name: String,
    pub prerelease: bool,
}

#[payload]
#[serde(rename_all = "lowercase")]
pub enum RefType {
    Branch,
    Tag,
}

// The events: one struct for each webhook.

#[event("issues.opened")]
pub struct IssuesOpened {
    pub issue: Issue,
    pub repository: Repository,
    pub sender: User,
}

#[event("pull_request.closed")]
pub struct PullRequestClosed {
    pub pull_request: PullRequest,
    pub sender: User,
}

#[event("push")]
pub struct Push {
    pub r#ref: String,
    pub forced: bool,
    pub commits: Vec<Commit>,
    pub sender: User,
}

/// Declares further events, one per line, which differ only in a few fields.
macro_rules! events {
    ($($name:literal $event:ident { $($field:ident: $type:ty),* })*) => {
        $(
            #[event($name, allow(naming))] // the names are GitHub's
            pub struct $event {
                $(pub $field: $type,)*
                pub sender: User,
            }
        )*

        /// The names of all events in this file.
        pub const DECLARED: &[&str] =
            &[IssuesOpened::NAME, PullRequestClosed::NAME, Push::NAME, $($event::NAME),*];
    };
}

events! {
    "check_run.completed" CheckRunCompleted { check_run: Run }
    "create" Create { r#ref: String, ref_type: RefType }
    "delete" Delete { r#ref: String, ref_type: RefType }
    "fork" Fork { forkee: Repository, repository: Repository }
    "issue_comment.created" IssueCommentCreated { issue: Issue, comment: Comment }
    "issues.edited" IssuesEdited { issue: Issue }
    "issues.reopened" IssuesReopened { issue: Issue }
    "member.added" MemberAdded { member: User, repository: Repository }
    "ping" Ping { zen: String, hook_id: u64 }
    "public" Public { repository: Repository }
    "pull_request.opened" PullRequestOpened { pull_request: PullRequest }
    "pull_request.reopened" PullRequestReopened { pull_request: PullRequest }
    "pull_request_review.submitted" ReviewSubmitted { pull_request: PullRequest, review: Comment }
    "release.created" ReleaseCreated { release: Release, repository: Repository }
    "release.published" ReleasePublished { release: Release, repository: Repository }
    "star.created" StarCreated { repository: Repository }
    "watch.started" WatchStarted { repository: Repository }
    "workflow_run.completed" WorkflowRunCompleted { workflow_run: Run }
}

// The handlers, and their shared state.

/// Counters by name.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    fn add(&self, name: &str, amount: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.to_owned()).or_default();
        *count = count.saturating_add(amount);
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Default)]
pub struct Board {
    pub events: Tally,
    pub senders: Tally,
    pub work: Tally,
}

/// Handles the event of its first argument. The board is state that the builder got.
#[on]
fn greet(opened: &IssuesOpened, board: &Board) {
    let (issue, login) = (&opened.issue, opened.sender.login.escape_debug());
    println!("Hello {login}, thanks for issue {}: {:?}", issue.number, issue.title);
    board.work.add("issues greeted", 1);
}

#[on]
fn pushed(push: &Push, board: &Board) {
    board.work.add("commits pushed", push.commits.len() as u64);
}

#[on]
fn merged(closed: &PullRequestClosed, board: &Board) {
    let pull_request = &closed.pull_request;
    if pull_request.merged {
        let lines = pull_request.additions.saturating_add(pull_request.deletions);
        board.work.add("lines changed by merges", lines);
    }
}

/// Handles all events of two families, including undeclared ones.
#[on("pull_request.*", "pull_request_review.*")]
fn reviewers(_: &Record, board: &Board) {
    board.work.add("events around pull requests", 1);
}

#[on("*.created")]
fn created(_: &Record, board: &Board) {
    board.work.add("things created", 1);
}

/// Handles every event. The record of an undeclared event holds its JSON as received, without a check by a type.
#[on("*")]
fn audit(record: &Record, board: &Board) -> Result<(), typed_events::Error> {
    #[derive(Deserialize)]
    struct Sent {
        sender: User,
    }
    board.events.add(record.name(), 1);
    match serde_json::from_str::<Sent>(record.json()?) {
        Ok(Sent { sender }) => board.senders.add(&sender.login, 1),
        Err(_) => board.senders.add("(nobody)", 1),
    }
    Ok(())
}

// Reading payloads from files or lines, and emitting them.

/// A received webhook: its line or file, and the name and payload, or why they can't be read.
pub struct Webhook {
    pub from: String,
    pub content: Result<(String, Vec<u8>), String>,
}

pub struct Summary {
    pub board: Arc<Board>,
    /// Where each refused webhook came from, and why it was refused.
    pub refused: Vec<(String, String)>,
}

pub async fn bus(board: Arc<Board>) -> Result<Bus, typed_events::Error> {
    Bus::builder()
        .shared(board)
        .discover() // every `#[on]` above
        .accept_undeclared() // GitHub has more events than this program declares
        .max_payload(25 << 20) // GitHub's own limit
        .build()
        .await
}

/// Emits all webhooks. Those that can't be emitted are reported and skipped.
pub async fn run(webhooks: impl Iterator<Item = io::Result<Webhook>>) -> Result<Summary, Box<dyn Error>> {
    let board = Arc::new(Board::default());
    let bus = bus(Arc::clone(&board)).await?;
    let mut refused = Vec::new();
    for webhook in webhooks {
        let Webhook { from, content } = webhook.map_err(|error| format!("can't read further: {error}"))?;
        let outcome = match content {
            Ok((name, json)) => bus.emit_json(&name, json).await.map_err(|error| error.to_string()),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = outcome {
            eprintln!("{from}: {problem}");
            refused.push((from, problem));
        }
    }
    bus.stop().await?;
    Ok(Summary { board, refused })
}

/// Reads one webhook per line: `{"event": "push", "payload": {...}}`.
pub fn lines(input: impl BufRead) -> impl Iterator<Item = io::Result<Webhook>> {
    #[derive(Deserialize)]
    struct Line {
        event: String,
        payload: Box<RawValue>, // the unparsed text, which the bus parses
    }
    let read = |line: &[u8]| {
        let line = std::str::from_utf8(line)
            .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
        match serde_json::from_str::<Line>(line) {
            Ok(Line { event, payload }) => Ok((event, payload.get().into())),
            Err(error) if error.is_data() => Err(r#"not {"event": "...", "payload": ...}"#.into()),
            Err(error) => Err(format!("not JSON (column {})", error.column())),
        }
    };
    input.split(b'\n').zip(1..).filter_map(move |(line, number)| match line {
        Ok(line) if line.trim_ascii().is_empty() => None,
        line => Some(line.map(|line| Webhook { from: format!("line {number}"), content: read(&line) })),
    })
}

/// Reads one webhook per file, sorted by file name: `<event>.<number>.json`.
pub fn files(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Webhook>>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths.into_iter().map(|path| {
        let event = path.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('.'));
        let content = match event {
            Some((event, number)) if number.parse::<u32>().is_ok() => {
                fs::read(&path).map(|json| (event.to_owned(), json)).map_err(|error| error.to_string())
            }
            _ => Err("not named <event>.<number>.json".into()),
        };
        Ok(Webhook { from: format!("{:?}", path.file_name().unwrap_or_default()), content })
    }))
}

impl Summary {
    /// Returns how many events had declared names, or undeclared ones.
    pub fn count(&self, declared: bool) -> u64 {
        let events = self.board.events.counts().into_iter();
        let counted = events.filter(|(name, _)| DECLARED.contains(&name.as_str()) == declared);
        counted.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line per family, such as `issues.*`.
        let mut families: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for (name, count) in self.board.events.counts() {
            let family = name.split('.').next().unwrap_or_default();
            let column = usize::from(!DECLARED.contains(&name.as_str()));
            families.entry(family.to_owned()).or_default()[column] += count;
        }
        writeln!(f, "{:<32} {:>10} {:>10}", "events", "declared", "undeclared")?;
        for (family, [declared, undeclared]) in families {
            writeln!(f, "{family:<32} {declared:>10} {undeclared:>10}")?;
        }
        for (title, tally) in [("work", &self.board.work), ("senders", &self.board.senders)] {
            writeln!(f, "\n{title}")?;
            for (name, count) in tally.counts() {
                writeln!(f, "{:<32} {count:>10}", name.escape_debug().to_string())?;
            }
        }
        let (declared, undeclared) = (self.count(true), self.count(false));
        let refused = self.refused.len() as u64;
        write!(f, "\n{} events: ", declared + undeclared + refused)?;
        write!(f, "{declared} decoded as declared types, ")?;
        write!(f, "{undeclared} accepted as undeclared, {refused} refused")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let summary = match std::env::args_os().nth(1) {
        None => run(lines(SAMPLES.as_bytes())).await?,
        Some(argument) if argument == "-" => run(lines(io::stdin().lock())).await?,
        Some(folder) => {
            let files = files(folder.as_ref())
                .map_err(|error| format!("can't read {}: {error}", folder.display()))?;
            run(files).await?
        }
    };
    println!("{summary}");
    Ok(())
}

/// Samples. The second last has an undeclared name, and the last does not fit its type.
pub const SAMPLES: &str = r#"{"event": "ping", "payload": {"zen": "Design for failure.", "hook_id": 7, "sender": {"id": 1, "login": "ada"}}}
{"event": "star.created", "payload": {"repository": {"full_name": "ada/mill"}, "sender": {"id": 2, "login": "bob"}}}
{"event": "issues.opened", "payload": {"issue": {"number": 1, "title": "It stalls"}, "repository": {"full_name": "ada/mill"}, "sender": {"id": 2, "login": "bob"}}}
{"event": "push", "payload": {"ref": "refs/heads/fix", "forced": false, "commits": [{"id": "6dcb09b5", "message": "Oil it"}], "sender": {"id": 1, "login": "ada"}}}
{"event": "pull_request.closed", "payload": {"pull_request": {"number": 2, "title": "Oil it", "merged": true, "additions": 12, "deletions": 3}, "sender": {"id": 1, "login": "ada"}}}
{"event": "discussion.created", "payload": {"discussion": {"number": 3}, "sender": {"id": 2, "login": "bob"}}}
{"event": "star.created", "payload": {"repository": {"full_name": "ada/mill"}, "sender": {"id": "two", "login": "bob"}}}
"#;
