//! Checks of names, patterns, handlers and schemas at compile time.
//!
//! The macros call these functions in constants. A panic in one is a compiler error at the caller's location, and its
//! text is the compiler's message.

#![allow(clippy::panic, reason = "a panic in a constant is a compiler error")]

#[cfg(feature = "durable")]
pub(crate) mod durable;

use crate::event::accepted::AcceptedEvents;
use crate::event::naming::push_event;
use crate::event::pattern::{Pattern, check_name, is_of_library};
use crate::schema::{SchemaMismatch, TypeSchema, as_read, check_declared, check_part, same};
use crate::text::Text;

/// Checks the name of an event.
#[track_caller]
pub const fn event_name(name: &str) {
    if let Err(error) = check_name(name) {
        let text = Text::EMPTY.push("`").quote(name).push("` is not an event name: ");
        panic!("{}", error.describe(text).as_str());
    }
    if is_of_library(name) {
        let text = Text::EMPTY.push("`").quote(name).push("` can't be declared: names that begin with ");
        panic!(
            "{}",
            text.push("`typed-events` belong to the library; choose another first segment").as_str()
        );
    }
}

/// Checks a pattern of a handler.
#[track_caller]
pub const fn pattern(pattern: &str) {
    if let Err(error) = Pattern::new(pattern) {
        let text = Text::EMPTY.push("`").quote(pattern).push("` is not a pattern: ");
        panic!("{}", error.describe(text).as_str());
    }
}

/// Checks that a handler's patterns fit its first argument.
///
/// `argument` is the type as the user wrote it. `event` is the name of the event that it takes, if it takes only one.
#[track_caller]
pub const fn handler(handler: &str, argument: &str, event: Option<&str>, patterns: &[&str]) {
    let Some(event) = event else {
        if patterns.is_empty() {
            let text = Text::EMPTY.push("handler `").push(handler).push("` takes `").quote(argument);
            let text =
                text.push("`, so it must say which events: `#[on(\"user.*\")]`, or `#[on(\"*\")]` for all");
            panic!("{}", text.as_str());
        }
        return;
    };
    let mut i = 0;
    while i < patterns.len() {
        // A text that is not a pattern has its own message.
        if let Ok(pattern) = Pattern::new(patterns[i]) {
            if !pattern.is_name() {
                wildcard(handler, argument, event, &pattern);
            }
            if !pattern.matches(event) {
                other_event(handler, argument, event, &pattern);
            }
        }
        i += 1;
    }
}

/// Checks that the type given as `previous` is the version before this one.
#[track_caller]
pub const fn previous(name: &str, version: u32, of: (&str, &str, u32)) {
    let (ty, old_name, old_version) = of;
    if same(name, old_name) && old_version + 1 == version {
        return;
    }
    let text = Text::EMPTY.push("`previous` must be version ").number(version as usize - 1);
    let text = text.push(" of `").push(name).push("`, but `").push(ty).push("` is version ");
    let text = text.number(old_version as usize).push(" of `").push(old_name).push("`");
    panic!("{}", text.as_str());
}

/// Checks that a view, or one of its fields, can be read from every payload of its event.
#[track_caller]
pub const fn view(
    view: &str,
    event: &str,
    name: &str,
    reader: &'static TypeSchema,
    writer: &'static TypeSchema,
    field: Option<&'static str>,
) {
    if let Err(mismatch) = reader.can_view(field, writer) {
        let text = Text::EMPTY.push("`").push(event).push("` (`").push(name);
        let text = mismatch.describe(text.push("`) can't fill the view `").push(view).push("`: "));
        panic!("{}", mismatch.fix(text).as_str());
    }
}

/// Checks that a view with `deny_unknown_fields` has all fields that its event writes.
#[track_caller]
pub const fn view_rest(
    view: &str,
    event: &str,
    name: &str,
    reader: &'static TypeSchema,
    writer: &'static TypeSchema,
) {
    if let Err(mismatch) = reader.can_ignore_rest(writer) {
        let text = Text::EMPTY.push("`").push(event).push("` (`").push(name);
        let text = mismatch.describe(text.push("`) can't fill the view `").push(view).push("`: "));
        panic!("{}", mismatch.fix(text).as_str());
    }
}

/// Checks that a variant of an event set can be reached: that the variants before it do not take all of its events.
#[track_caller]
pub const fn set_reached(set: &str, variants: &[&str], accepts: AcceptedEvents, index: usize) {
    let AcceptedEvents::Set(parts) = accepts else { return };
    let (before, rest) = parts.split_at(index);
    let accepts = &rest[0];
    let Some(earlier) = accepts.accepted_before(before) else { return };
    let text = Text::EMPTY.push("the variant `").push(variants[index]).push("` of `").push(set);
    let text = text.push("` is never reached: ");
    let (earlier, name) = (&before[earlier], variants[earlier]);
    if let (AcceptedEvents::Set(_), false) = (accepts, matches!(earlier, AcceptedEvents::Any)) {
        let text = text.push("the variants before it take all of its events; remove it or one of them");
        panic!("{}", text.as_str());
    }
    let text = text.push("`").push(name).push("` before it takes ");
    let text = match (earlier, accepts) {
        (AcceptedEvents::Any, AcceptedEvents::Any) => text.push("every event, too; remove one of them"),
        (AcceptedEvents::Any, _) => text.push("every event; put `").push(name).push("` last"),
        (_, AcceptedEvents::Event(name, ..) | AcceptedEvents::Undeclared(name, ..)) => {
            text.push("`").push(name).push("`, too; remove one of them")
        }
        _ => text.push("the same events; remove one of them"),
    };
    panic!("{}", text.as_str());
}

/// Checks that serde can flatten the value of a field.
#[track_caller]
pub const fn flattened(ty: &str, shape: &'static TypeSchema) {
    let why = match as_read(shape) {
        _ if shape.is_hidden() => "it is secret, so it is written as one text; remove `flatten`",
        TypeSchema::Option(inner) => return flattened(ty, inner),
        TypeSchema::Struct(_)
        | TypeSchema::Map(..)
        | TypeSchema::Enum(_)
        | TypeSchema::Null
        | TypeSchema::Any
        | TypeSchema::Opaque(_) => return,
        _ => "it is not a struct, a map or an enum",
    };
    let text = Text::EMPTY.push("`").quote(ty).push("` can't be flattened: ").push(why);
    panic!("{}", text.as_str());
}

/// Checks that a type reads back what one of its parts writes. The part is a variant, a field of a struct, or a field
/// of a variant; `variant` and `field` are indices into the schema.
#[track_caller]
pub const fn part(ty: &str, shape: &'static TypeSchema, variant: Option<usize>, field: Option<usize>) {
    if let Err(mismatch) = check_part(shape, variant, field) {
        not_itself(ty, &mismatch);
    }
}

/// Checks that a type reads back what it writes. Each bit of `done` stands for a part that is checked separately by
/// [`part`]. `of_variants` has such bits for the fields of variants, with the index of the variant.
#[track_caller]
pub const fn declared(ty: &str, shape: &'static TypeSchema, done: u128, of_variants: &[(usize, u128)]) {
    if let Err(mismatch) = check_declared(shape, done, of_variants) {
        not_itself(ty, &mismatch);
    }
}

#[track_caller]
const fn not_itself(ty: &str, mismatch: &SchemaMismatch) {
    let text = Text::EMPTY.push("`").push(ty).push("` can't read back what it writes: ");
    panic!("{}", mismatch.fix_of_itself(mismatch.describe(text)).as_str());
}

/// Checks that the fields of a variant can be written into the same object as the tag of their enum.
#[track_caller]
pub const fn beside_tag(ty: &str, shape: &'static TypeSchema) {
    if shape.is_hidden() {
        let text =
            Text::EMPTY.push("`").quote(ty).push("` can't be in one object with a tag: it is secret, so it ");
        let text = text.push("is written as one text; add `#[serde(content = \"...\")]` to the enum");
        panic!("{}", text.as_str());
    }
}

/// Checks that a variant of an event set can be delivered to a handler.
#[track_caller]
pub const fn set_variant(
    set: &str,
    variant: &str,
    accepts: AcceptedEvents,
    handler: &str,
    patterns: &[&str],
) {
    if accepts.is_reached(patterns) || patterns.is_empty() {
        return;
    }
    let text = Text::EMPTY.push("handler `").push(handler).push("` is on `").quote(patterns[0]);
    let text = match patterns.len() {
        1 => text.push("`"),
        _ => text.push("` and other patterns"),
    };
    let text = text.push(", which never takes ");
    let text = match accepts {
        AcceptedEvents::Event(name, shape, _) | AcceptedEvents::Undeclared(name, shape, _) => {
            push_event(text, shape, name)
        }
        AcceptedEvents::Any | AcceptedEvents::Set(_) => text.push("these events"),
    };
    let text = text.push(": remove the variant `").push(variant).push("` from `").push(set);
    let text = text.push("`, or add a pattern to the handler");
    panic!("{}", text.as_str());
}

#[track_caller]
const fn wildcard(handler: &str, argument: &str, event: &str, pattern: &Pattern<'_>) {
    let text = Text::EMPTY.push("handler `").push(handler).push("` is on `").push(pattern.as_str());
    let text = text.push("`, which takes many events, but `").quote(argument).push("` is only `").push(event);
    let text = text
        .push("`: write `#[on(\"")
        .push(event)
        .push("\")]`, or take `&Record` for any event, or an enum with `#[derive(EventSet)]`");
    panic!("{}", text.as_str());
}

#[track_caller]
const fn other_event(handler: &str, argument: &str, event: &str, pattern: &Pattern<'_>) {
    let text = Text::EMPTY.push("handler `").push(handler).push("` is on `").push(pattern.as_str());
    let text = text.push("`, but `").quote(argument).push("` is the event `").push(event);
    let text =
        text.push("`: write `#[on(\"").push(event).push("\")]`, or take the event `").push(pattern.as_str());
    panic!("{}", text.push("`").as_str());
}
