//! The catalog as a Mermaid diagram.

use std::fmt::Write as _;

use events_core::Catalog;

/// Returns the events and the handlers that they reach as a Mermaid flowchart. Events that no handler takes and
/// handlers that no event reaches have a dashed border.
pub fn mermaid(catalog: &Catalog) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (index, event) in catalog.events().iter().enumerate() {
        let _ = writeln!(text, "  e{index}([\"{}\"])", label(event.name()));
    }
    for (index, handler) in catalog.handlers().iter().enumerate() {
        let _ = writeln!(text, "  h{index}[\"{}\"]", label(handler.item()));
    }
    for (handler_index, handler) in catalog.handlers().iter().enumerate() {
        for name in handler.events() {
            let event = catalog.events().iter().position(|event| event.name() == *name);
            if let Some(index) = event {
                let _ = writeln!(text, "  e{index} --> h{handler_index}");
            }
        }
    }
    let unhandled: Vec<_> = catalog.unhandled().map(|event| event.name()).collect();
    let unhandled =
        catalog.events().iter().enumerate().filter(|(_, event)| unhandled.contains(&event.name()));
    let mut dashed: Vec<_> = unhandled.map(|(index, _)| format!("e{index}")).collect();
    let unreached = catalog.handlers().iter().enumerate().filter(|(_, handler)| handler.events().is_empty());
    dashed.extend(unreached.map(|(index, _)| format!("h{index}")));
    if !dashed.is_empty() {
        let _ = writeln!(text, "  classDef lonely stroke-dasharray: 5 5");
        let _ = writeln!(text, "  class {} lonely", dashed.join(","));
    }
    text
}

/// Escapes the characters that Mermaid interprets in a label.
fn label(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
