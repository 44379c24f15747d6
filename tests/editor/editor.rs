//! What rust-analyzer shows in a user's workspace: definitions, hovers, completions and errors.

mod client;
mod install;
mod project;
mod words;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use client::{Client, place};
use serde_json::{Value, json};
use words::Word;

/// The file for code that is being written.
const DRAFT: &str = "shop/src/draft.rs";

/// rust-analyzer on the workspace, for all tests.
struct Editor {
    folder: PathBuf,
    client: Client,
    /// The errors and warnings of rustc for the workspace.
    rustc: String,
}

impl Editor {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// Returns the hover text of a word in a file, at its first occurrence after `before`.
    fn hover(&mut self, file: &str, before: &str, word: &str) -> String {
        let text = self.text(file);
        let start = text.find(before).unwrap_or_else(|| panic!("{file} has no {before:?}"));
        let at = start + text[start..].find(word).unwrap();
        self.client.hover(place(&self.path(file), &text, at))
    }

    /// Returns the errors and warnings in a draft.
    fn draft(&mut self, draft: &str) -> Vec<String> {
        let path = self.path(DRAFT);
        self.client.write(&path, draft);
        self.client.diagnostics(&path)
    }

    /// Returns the completions in a draft, at its `$0`.
    fn complete(&mut self, draft: &str) -> Vec<Value> {
        let at = draft.find("$0").unwrap();
        let (path, text) = (self.path(DRAFT), draft.replacen("$0", "", 1));
        self.client.write(&path, &text);
        self.client.complete(place(&path, &text, at))
    }
}

/// Returns the editor, or `None` if rust-analyzer is not available.
fn editor() -> Option<MutexGuard<'static, Editor>> {
    static EDITOR: OnceLock<Result<Mutex<Editor>, String>> = OnceLock::new();
    let editor = EDITOR.get_or_init(|| {
        install::rust_analyzer()?;
        let folder = project::copy();
        let rustc = project::check(&folder);
        let options = json!({
            "cachePriming": { "enable": false },
            "cargo": { "targetDir": project::target(), "allTargets": false },
            "checkOnSave": false,
            // Unknown fields and methods are reported only with this setting.
            "diagnostics": { "experimental": { "enable": true } },
        });
        let client = Client::start(&folder, options);
        Ok(Mutex::new(Editor { folder, client, rustc }))
    });
    match editor {
        Ok(editor) => Some(editor.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

#[test]
fn nothing_is_reported_that_rustc_does_not_report() {
    let Some(mut editor) = editor() else { return };
    assert_eq!(editor.rustc, "");
    let files = project::files(&editor.folder);
    for file in files.iter().filter(|file| *file != DRAFT) {
        let path = editor.path(file);
        assert_eq!(editor.client.diagnostics(&path), [""; 0], "{file}");
    }
    let wrong = format!("{USED}#[on]\nfn wrong(user: &UserCreated) {{ user.no_such_field; }}\n");
    assert_eq!(editor.draft(&wrong).len(), 1, "a mistake is reported, once");
}

#[test]
fn every_word_leads_to_one_definition() {
    let Some(mut editor) = editor() else { return };
    let (mut words, mut refused) = (0, Vec::new());
    for file in project::files(&editor.folder) {
        let (path, text) = (editor.path(&file), editor.text(&file));
        let found = words::of(&mut editor.client, &path, &text);
        words += found.len();
        // Parts of the forms are inactive, or inside of `macro_rules!`.
        let may_lead_nowhere = file.starts_with("forms");
        let is_refused = |word: &&Word| !(word.is_clear() || may_lead_nowhere && word.targets.is_empty());
        refused.extend(found.iter().filter(is_refused).map(|word| format!("{file}:{word}")));
    }
    println!("{} of {words} words lead to several definitions, none, or one in `__private`", refused.len());
    assert!(refused.is_empty(), "{} of {words} words:\n{}", refused.len(), refused.join("\n"));
}

#[test]
fn a_handler_is_described_once() {
    let Some(mut editor) = editor() else { return };
    let shown = editor.hover("shop/src/handlers.rs", "async fn greet", "greet");
    println!("{shown}");
    assert_eq!(shown.matches("greet").count(), 1, "{shown}");
    assert_eq!(shown.matches("Greets a user who is new.").count(), 1, "{shown}");
    assert!(shown.contains("pub async fn greet(user: &UserCreated, mailer: &Mailer)"), "{shown}");
}

#[test]
fn macros_show_their_docs() {
    let Some(mut editor) = editor() else { return };
    for (file, before, word, docs) in [
        ("shop/src/events.rs", "#[event(\"", "event", "Declares an event"),
        ("shop/src/handlers.rs", "#[on]", "on", "Makes a function a handler"),
        ("vault/src/lib.rs", "#[event(\"", "event", "Declares an event"),
        ("vault/src/lib.rs", "#[event(\"", "event", "`compatibility = full`"),
        ("vault/src/lib.rs", "#[on]", "on", "Makes a function a handler"),
        ("vault/src/lib.rs", "#[on]", "on", "A pattern that no locked event matches"),
        (
            "shop/src/events.rs",
            "#[payload]",
            "payload",
            "Declares a struct or enum that fields of events can contain",
        ),
        ("shop/src/events.rs", "Deserialize, Schema)]", "Schema", "Implements `Schema` for a type"),
        ("shop/src/events.rs", "#[derive(EventSet)]", "EventSet", "for an enum with a"),
        ("vault/src/lib.rs", "schema_lock!()", "schema_lock", "of the compiled package"),
    ] {
        let shown = editor.hover(file, before, word);
        println!("{shown}");
        assert!(shown.contains(docs), "{file} {before}: {shown}");
        // rust-analyzer turns other links into pages of crates that don't exist.
        let links = shown.split("](").skip(1);
        let others: Vec<_> = links.filter(|link| !link.starts_with(HOSTED)).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

/// The URL of the facade's docs.
const HOSTED: &str = "https://docs.rs/typed-events/latest/typed_events/";

/// The code before each half-written handler.
const USED: &str = "use std::sync::Arc;
use crate::events::{Orders, Recipient, UserCreated};
use crate::handlers::Mailer;
use typed_events::{Record, on};

";

/// Half-written handlers, each with a name that must be completed at `$0`.
const HALF_WRITTEN: [(&str, &str); 15] = [
    ("#[on]\nfn half(event: &UserCreated) {\n    event.$0\n}", "email"),
    ("#[on]\nasync fn half(event: &UserCreated) {\n    event.$0\n}", "email"),
    ("#[on]\nfn half(event: UserCreated) {\n    event.$0\n}", "email"),
    ("#[on]\nfn half(event: Arc<UserCreated>) {\n    event.$0\n}", "email"),
    ("#[on(\"user.*\")]\nfn half(event: &Record) {\n    event.$0\n}", "metadata"),
    ("#[on(\"user.\")]\nfn half(event: &UserCreated) {\n    event.$0\n}", "email"),
    ("#[on(durable = \"half\", )]\nfn half(event: &UserCreated) {\n    event.$0\n}", "email"),
    (
        "#[on]\nasync fn half(event: &UserCreated, mailer: &Mailer) -> Result<(), String> {\n    mailer.send(&event.$0)\n}",
        "email",
    ),
    (
        "#[on]\nasync fn half(event: &UserCreated, mailer: &Mailer) -> Result<(), String> {\n    mailer.$0\n}",
        "send",
    ),
    ("#[on]\nfn half(event: &UserCreated) {\n    let email = event.$0\n    drop(email);\n}", "email"),
    ("#[on]\nfn half(event: &UserCreated) {\n    if event.$0\n}", "email"),
    ("#[on]\nfn half(event: &UserCreated) {\n    println!(\"{}\", event.$0);\n}", "email"),
    ("#[on]\nfn half(event: &UserCreated) {\n    event.$0", "email"),
    ("#[on]\nfn half(event: Recipient) -> Result<(), String> {\n    event.email.$0\n    Ok(())\n}", "as_str"),
    ("#[on(\"order.*\")]\nfn half(event: Orders<'_>) {\n    match event { Orders::$0 }\n}", "Created"),
];

#[test]
fn fields_are_offered_in_half_written_handlers() {
    let Some(mut editor) = editor() else { return };
    let mut missing = Vec::new();
    for (draft, name) in HALF_WRITTEN {
        let offered = editor.complete(&format!("{USED}{draft}\n"));
        if !offered.iter().any(|item| is_named(item, name)) {
            missing.push(draft);
        }
    }
    println!("{} of {} complete", HALF_WRITTEN.len() - missing.len(), HALF_WRITTEN.len());
    assert!(missing.is_empty(), "nothing is offered in:\n{}", missing.join("\n\n"));
}

/// Returns whether a completion begins with this name.
fn is_named(item: &Value, name: &str) -> bool {
    let label = item["label"].as_str().unwrap_or_default();
    label
        .strip_prefix(name)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

#[test]
fn handlers_of_another_crate_are_offered_with_their_docs() {
    let Some(mut editor) = editor() else { return };
    let offered =
        editor.complete("fn half() {\n    typed_events::Bus::builder().handler::<hands::$0>();\n}\n");
    let labels: Vec<_> = offered.iter().map(|item| item["label"].to_string()).collect();
    println!("{labels:?}");
    for (name, docs) in [("welcome", "Says hello to a guest."), ("see_out", "Sees a guest out.")] {
        let item = offered.iter().find(|item| is_named(item, name));
        let item = item.unwrap_or_else(|| panic!("no {name} in {labels:?}")).clone();
        let resolved = editor.client.ask("completionItem/resolve", item);
        assert_eq!(resolved["documentation"]["value"], docs, "{resolved}");
    }
    assert!(!offered.iter().any(|item| is_named(item, "private")), "{labels:?}");
}

#[test]
fn an_event_offers_what_users_need() {
    let Some(mut editor) = editor() else { return };
    for (used, draft, names) in [
        ("", "fn half() {\n    UserCreated::$0\n}\n", &["NAME", "SCHEMA"][..]),
        (
            "use typed_events::{Event, Schema};\n",
            "fn half() {\n    UserCreated::$0\n}\n",
            &["NAME", "SCHEMA"],
        ),
        (
            "use typed_events::{Event, Schema};\n",
            "fn half(event: &UserCreated) {\n    event.$0\n}\n",
            &["email"],
        ),
    ] {
        let offered = editor.complete(&format!("use crate::events::UserCreated;\n{used}\n{draft}"));
        let labels: Vec<_> = offered.iter().map(|item| item["label"].to_string()).collect();
        println!("{labels:?}");
        for name in names {
            assert!(offered.iter().any(|item| is_named(item, name)), "no {name} in {labels:?}");
        }
        for hidden in ["heap_size", "decl", "older", "had_secrets", "LOCKING", "TYPE"] {
            assert!(!offered.iter().any(|item| is_named(item, hidden)), "{hidden} in {labels:?}");
        }
    }
}
