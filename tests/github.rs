//! Real webhooks of GitHub, through the code of `examples/github.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use typed_events::{Bus, ErrorKind};

#[allow(dead_code)] // its `main`
#[path = "../examples/github.rs"]
mod example;

use example::{Board, DECLARED, Summary};

/// Where the real payloads are; `None` where there are none, which CI does not accept.
fn payloads() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/github-webhooks"));
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "no payloads in {folder:?}");
    println!("skipped: no payloads in {folder:?}");
    None
}

/// The event names of the payloads, one per file.
fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let stem = file.strip_suffix(".json").unwrap();
        stem.rsplit_once('.').unwrap().0.to_owned()
    };
    fs::read_dir(folder).unwrap().map(name).collect()
}

async fn run_lines(input: &[u8]) -> Summary {
    example::run(example::lines(input)).await.unwrap()
}

fn refused(summary: &Summary) -> Vec<(&str, &str)> {
    let refused = summary.refused.iter();
    refused.map(|(from, problem)| (&**from, &**problem)).collect()
}

#[tokio::test]
async fn all_payloads_are_accepted() {
    let Some(folder) = payloads() else { return };
    let names = names(&folder);
    assert_eq!(names.len(), 191);
    let declared = names.iter().filter(|name| DECLARED.contains(&name.as_str()));
    let declared = declared.count() as u64;
    for name in DECLARED {
        assert!(names.iter().any(|other| other == name), "no payload of {name}");
    }

    let summary = example::run(example::files(&folder).unwrap()).await.unwrap();

    assert_eq!(refused(&summary), []);
    assert_eq!(summary.count(true), declared);
    assert_eq!(summary.count(false), 191 - declared);
    for (name, count) in summary.board.events.counts() {
        let files = names.iter().filter(|other| **other == name).count();
        assert_eq!(count, files as u64, "{name}");
    }
    let last = format!(
        "191 events: {declared} decoded as declared types, {} accepted as undeclared, 0 refused",
        191 - declared
    );
    assert_eq!(summary.to_string().lines().last(), Some(&*last));
}

/// `DECLARED` is what the library knows: it decodes those names, and no others.
#[tokio::test]
async fn the_listed_names_are_the_declared_ones() {
    let bus = Bus::new().await.unwrap();
    for name in DECLARED {
        let error = bus.emit_json(name, "[]").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Payload, "{error}");
    }
    let Some(folder) = payloads() else { return };
    for name in names(&folder) {
        if !DECLARED.contains(&name.as_str()) {
            let error = bus.emit_json(&name, "{}").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownEvent, "{error}");
        }
    }
}

#[tokio::test]
async fn a_changed_field_is_named() {
    let Some(folder) = payloads() else { return };
    let bus = example::bus(Arc::new(Board::default())).await.unwrap();
    let change = async |name: &str, field: &str, value: Value| {
        let json = fs::read_to_string(folder.join(format!("{name}.0.json"))).unwrap();
        let mut payload: Value = serde_json::from_str(&json).unwrap();
        *payload.pointer_mut(field).unwrap() = value;
        let error = bus.emit_json(name, payload.to_string()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Payload);
        let message = error.to_string();
        assert!(!message.contains("s3cret") && !message.contains("4711"), "{message}");
        message
    };

    assert_eq!(
        change("issues.opened", "/issue/number", "s3cret".into()).await,
        "issues.opened: .issue.number: expected an integer from 0 to 18446744073709551615, found a string"
    );
    assert_eq!(
        change("issue_comment.created", "/comment/body", 4711.into()).await,
        "issue_comment.created: .comment.body: expected a string or null, found a number"
    );
    assert_eq!(
        change("push", "/commits", Value::from_iter([("s3cret", 4711)])).await,
        "push: .commits: expected an array, found an object"
    );
    assert_eq!(
        change("push", "/commits", Value::from_iter([Value::Null])).await,
        "push: .commits[0]: expected an object, found null"
    );
    assert_eq!(
        change("create", "/ref_type", "s3cret".into()).await,
        "create: .ref_type: expected one of `branch`, `tag`, found another string"
    );
    assert!(bus.history("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn bad_lines_are_reported_and_skipped() {
    let input = br#"{"event": "star.created", "payload": {"repository": {"full_name": "ada/mill"}, "sender": {"id": 2, "login": "bob"}}}
this is s3cret

{"event": "issues.pinned", "payload": {"deep": [[["s3cret"]]]}}
{"name": "s3cret"}
{"event": "issues opened", "payload": {}}
{"payload": "verbatim", "event": "status"}
{"event": "star.created", "payload": {"repository": {"full_name": "ada/mill"}}}
{"event": "bell", "payload": "s3cret"
["bell"]
{"event": 4711, "payload": {}}
{"event": "\u001b[2J", "payload": {}}
{"event": "bell", "payload": null} {}
"#;
    let mut input = input.to_vec();
    input.extend(b"{\"event\": \"bell\", \"payload\": \"\xff\"}\n");
    input.extend(b"{\"event\": \"bell\", \"payload\": null}"); // and no line break

    let summary = run_lines(&input).await;

    let shape = r#"not {"event": "...", "payload": ...}"#;
    let characters = "is not an event name: a segment may contain only A-Z, a-z, 0-9, `_` and `-`";
    assert_eq!(
        refused(&summary),
        [
            ("line 2", "not JSON (column 2)"),
            ("line 5", shape),
            ("line 6", &*format!("`issues opened` {characters} (position 7)")),
            ("line 8", "star.created: .sender: missing, expected an object"),
            ("line 9", "not JSON (column 37)"),
            ("line 10", shape),
            ("line 11", shape),
            ("line 12", &*format!(r"`\x1b[2J` {characters} (position 1)")),
            ("line 13", "not JSON (column 36)"),
            ("line 14", "not UTF-8 at byte 31"),
        ]
    );
    assert_eq!((summary.count(true), summary.count(false)), (1, 3));
}

#[tokio::test]
async fn the_samples_end_with_a_line_that_is_refused() {
    let summary = run_lines(example::SAMPLES.as_bytes()).await;
    let problem =
        "star.created: .sender.id: expected an integer from 0 to 18446744073709551615, found a string";
    assert_eq!(refused(&summary), [("line 7", problem)]);
    assert_eq!((summary.count(true), summary.count(false)), (5, 1));
    let work = summary.board.work.counts();
    assert_eq!(work["issues greeted"], 1);
    assert_eq!(work["lines changed by merges"], 15);
    assert_eq!(work["things created"], 2); // a star and a discussion
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    assert!(example::files("no/such/folder".as_ref()).is_err());
}
