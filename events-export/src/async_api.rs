//! AsyncAPI 3.1.

use std::collections::BTreeMap;

use events_core::{Catalog, EventEntry, HandlerEntry};
use serde_json::{Value, json};

use crate::json_schema::{Object, Side, Writer, object};

/// The catalog as an AsyncAPI 3.1 document: a channel for each event, with what is written to it; an
/// operation for each event that is sent, and for each handler and event that it receives.
pub fn async_api(catalog: &Catalog, title: &str, version: &str) -> Value {
    let mut writer = Writer::new(Side::Written, "#/components/schemas/");
    let (mut channels, mut messages, mut operations) = (Object::new(), Object::new(), Object::new());
    for event in catalog.events() {
        let name = event.name();
        let channel = json!({
            "address": name,
            "messages": {name: {"$ref": format!("#/components/messages/{name}")}},
        });
        channels.insert(name.to_owned(), channel);
        let payload = writer.shape(event.schema());
        messages.insert(name.to_owned(), message(event, payload));
        operations.insert(format!("send.{name}"), operation("send", name, None));
    }
    for (key, handler, event) in received(catalog) {
        operations.insert(key, operation("receive", event, Some(handler)));
    }
    json!({
        "asyncapi": "3.1.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": tuples_as_items(Value::Object(writer.definitions()))},
    })
}

fn message(event: &EventEntry, payload: Value) -> Value {
    let mut message = object([
        ("name", json!(event.name())),
        ("title", json!(event.item())),
        ("payload", tuples_as_items(payload)),
        ("x-version", json!(event.version())),
    ]);
    let doc = match (event.doc(), event.is_deprecated()) {
        ("", true) => "Deprecated.".to_owned(),
        (doc, true) => format!("Deprecated. {doc}"),
        (doc, false) => doc.to_owned(),
    };
    if !doc.is_empty() {
        message.insert("summary".to_owned(), json!(doc));
    }
    Value::Object(message)
}

fn operation(action: &str, event: &str, handler: Option<&HandlerEntry>) -> Value {
    let mut operation = object([
        ("action", json!(action)),
        ("channel", json!({"$ref": format!("#/channels/{event}")})),
        ("messages", json!([{"$ref": format!("#/channels/{event}/messages/{event}")}])),
    ]);
    if let Some(handler) = handler {
        let (file, line) = handler.place();
        operation.insert("title".to_owned(), json!(handler.item()));
        operation.insert("x-patterns".to_owned(), json!(handler.patterns()));
        operation.insert("x-place".to_owned(), json!(format!("{file}:{line}")));
    }
    Value::Object(operation)
}

/// Each handler with each event that reaches it, and a key of their own.
fn received(catalog: &Catalog) -> Vec<(String, &HandlerEntry, &'static str)> {
    let mut keys = BTreeMap::new();
    let mut received = Vec::new();
    for handler in catalog.handlers() {
        let item = handler.item().replace("::", ".");
        for event in handler.events() {
            let key = format!("receive.{event}.{item}");
            let count = keys.entry(key.clone()).or_insert(0);
            *count += 1;
            let key = if *count == 1 { key } else { format!("{key}.{count}") };
            received.push((key, handler, *event));
        }
    }
    received
}

/// AsyncAPI's own schemas are of draft 7, where the items of a tuple are a list.
fn tuples_as_items(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(object) => {
            // A field may have this name, too; then its schema is an object.
            let is_tuple = object.get("prefixItems").is_some_and(Value::is_array);
            if let Some(items) = is_tuple.then(|| object.remove("prefixItems")).flatten() {
                object.insert("items".to_owned(), items);
                object.insert("additionalItems".to_owned(), json!(false));
            }
            for value in object.values_mut() {
                *value = tuples_as_items(value.take());
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = tuples_as_items(value.take());
            }
        }
        _ => {}
    }
    schema
}
