//! Events, names and handlers in the exported documents.

use typed_events::export::{async_api, markdown, mermaid, typescript};
use typed_events::{Record, catalog, event, on, payload};

/// Has a name that the TypeScript module takes for itself.
#[payload]
struct Events {
    count: u32,
}

mod other {
    /// Has the name that a free one could have been.
    #[typed_events::payload]
    pub struct Events_ {
        pub count: u32,
    }

    #[typed_events::payload]
    pub struct Events {
        pub count: String,
    }
}

/// Was counted.
#[event("text.counted")]
struct Counted {
    #[allow(dead_code)] // only its shape is looked at
    all: (Events, other::Events_, other::Events),
}

#[event("text.forgotten")]
struct Forgotten;

#[on]
fn count(_: &Counted) {}

#[on("text.counted")]
fn log(_: &Record) {}

#[on("nowhere.*")]
fn lost(_: &Record) {}

#[test]
fn each_typescript_type_has_a_name_of_its_own() {
    let text = typescript(&catalog());
    for name in ["Counted", "Events2", "Events_", "Events3"] {
        assert_eq!(text.matches(&format!("export type {name} = ")).count(), 1, "{name}: {text}");
    }
    assert!(text.contains("\"text.counted\": Counted;"), "{text}");
}

#[test]
fn what_nobody_handles_and_nothing_reaches_is_said() {
    let text = markdown(&catalog());
    assert!(text.contains("## text.counted\n\nWas counted.\n"), "{text}");
    assert!(text.contains("Handled by `text::count`, `text::log`.\n"), "{text}");
    assert!(text.contains("No handler takes it.\n"), "{text}");
    assert!(text.contains("\nEvents that no handler takes: `text.forgotten`\n"), "{text}");
    assert!(text.contains("\nHandlers that no event reaches: `text::lost`\n"), "{text}");
    let text = mermaid(&catalog());
    assert!(text.contains("  class e1,h2 lonely"), "{text}");
}

#[test]
fn async_api_has_its_title_and_an_operation_for_each_handler() {
    let api = async_api(&catalog(), "Counting", "2.1.0");
    assert_eq!(api["info"]["title"], "Counting");
    let operations = api["operations"].as_object().unwrap();
    assert_eq!(
        operations.keys().collect::<Vec<_>>(),
        [
            "receive.text.counted.text.count",
            "receive.text.counted.text.log",
            "send.text.counted",
            "send.text.forgotten"
        ]
    );
}
