//! The catalog as a Markdown document.

use std::fmt::Write as _;

use events_core::{Catalog, EventEntry};

use crate::json_schema::{Side, json_schema};

/// Returns the catalog as a Markdown document. It has each event with its docs, schema and handlers, each handler with
/// its patterns, the events that no handler takes, and the handlers that no event reaches.
pub fn markdown(catalog: &Catalog) -> String {
    let mut text = "# Events\n".to_owned();
    for event in catalog.events() {
        write_event(&mut text, catalog, event);
    }
    text += "\n# Handlers\n\n| handler | patterns | events | location |\n|---|---|---|---|\n";
    for handler in catalog.handlers() {
        let (file, line) = handler.location();
        let (patterns, events) = (codes(handler.patterns()), codes(handler.events()));
        let _ = writeln!(text, "| `{}` | {patterns} | {events} | {file}:{line} |", handler.item());
    }
    let unhandled: Vec<_> = catalog.unhandled().map(EventEntry::name).collect();
    let unreached: Vec<_> = catalog.unreached().map(|handler| handler.item()).collect();
    let _ = write!(text, "\nEvents that no handler takes: {}\n", or_none(&unhandled));
    let _ = write!(text, "\nHandlers that no event reaches: {}\n", or_none(&unreached));
    text
}

fn write_event(text: &mut String, catalog: &Catalog, event: &EventEntry) {
    let (file, line) = event.location();
    let deprecated = if event.is_deprecated() { ", deprecated" } else { "" };
    let _ = write!(text, "\n## {}\n\n", event.name());
    if !event.doc().is_empty() {
        let _ = write!(text, "{}\n\n", event.doc());
    }
    let _ = writeln!(text, "`{}` ({file}:{line}), version {}{deprecated}.", event.item(), event.version());
    let handlers = catalog.handlers().iter().filter(|handler| handler.events().contains(&event.name()));
    let handlers: Vec<_> = handlers.map(|handler| handler.item()).collect();
    let _ = match handlers.is_empty() {
        true => writeln!(text, "No handler takes it."),
        false => writeln!(text, "Handled by {}.", codes(&handlers)),
    };
    let schema = json_schema(event, Side::Written);
    let _ = write!(
        text,
        "\n<details><summary>Schema as written</summary>\n\n```json\n{schema:#}\n```\n\n</details>\n"
    );
}

fn codes(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { codes(names) }
}
