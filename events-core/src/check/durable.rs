//! Checks of the options of durable handlers.

use crate::adapter::options::name_problem;
use crate::event::accepted::AcceptedEvents;
use crate::event::order::order_problem;
use crate::text::Text;

/// Checks the name of a durable handler.
#[track_caller]
pub const fn durable_name(name: &str) {
    if let Some(problem) = name_problem(name) {
        let text = Text::EMPTY.push("`").quote(name).push("` can't name a durable handler: ").push(problem);
        panic!("{}", text.as_str());
    }
}

/// Checks that every event that a durable handler takes has the field that `ordered_by` names.
#[track_caller]
pub const fn ordered_by(handler: &str, argument: &str, accepts: AcceptedEvents, field: &str) {
    all_ordered_by(handler, argument, accepts, field, "");
}

/// Checks one part of `takes`. `advice` is added to the message if an event lacks the field.
#[track_caller]
const fn all_ordered_by(handler: &str, argument: &str, accepts: AcceptedEvents, field: &str, advice: &str) {
    let ordered = Text::EMPTY.push("handler `").push(handler).push("` is ordered by `").quote(field);
    match accepts {
        AcceptedEvents::Any => {
            let text = ordered
                .push("`, but `")
                .quote(argument)
                .push("` may be any event, so its fields are not known: ");
            panic!("{}", text.push("take `&E` of an event, or an enum with `#[derive(EventSet)]`").as_str());
        }
        AcceptedEvents::Event(name, schema, _) | AcceptedEvents::Undeclared(name, schema, _) => {
            if let Some(problem) = order_problem(schema, field) {
                let text = problem.describe(ordered, schema, name);
                panic!("{}", if problem.is_absent() { text.push(advice) } else { text }.as_str());
            }
        }
        AcceptedEvents::Set(parts) => {
            let advice = "; choose a field that all of them have, or write one handler for each event";
            let mut i = 0;
            while i < parts.len() {
                all_ordered_by(handler, argument, parts[i], field, advice);
                i += 1;
            }
        }
    }
}
