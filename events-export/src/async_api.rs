//! The catalog as an AsyncAPI 3 document.

use std::collections::BTreeMap;

use events_core::{Catalog, EventEntry, HandlerEntry};
use serde_json::{Value, json};

use crate::json_schema::{Object, Side, Writer, object};

/// Returns the catalog as an AsyncAPI document. It has a channel and a `send` operation for each event, and a `receive`
/// operation for each handler and each event that reaches it.
///
/// The document declares AsyncAPI 3.0.0, which all tools for AsyncAPI 3 read. Use [`AsyncApi`] to declare 3.1.0.
pub fn async_api(catalog: &Catalog, title: &str, version: &str) -> Value {
    AsyncApi::new(title, version).document(catalog)
}

/// Settings for an AsyncAPI document of the catalog. The defaults are those of [`async_api`].
///
/// ```
/// use typed_events::catalog;
/// use typed_events::export::{AsyncApi, AsyncApiVersion};
///
/// let api = AsyncApi::new("Shop", "1.0.0").written_in(AsyncApiVersion::V3_1).document(&catalog());
/// assert_eq!(api["asyncapi"], "3.1.0");
/// ```
#[derive(Clone, Debug)]
pub struct AsyncApi {
    title: String,
    version: String,
    written_in: AsyncApiVersion,
}

/// The version of AsyncAPI that a document declares. The documents use no feature that needs 3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsyncApiVersion {
    /// 3.0.0, the default. Code generators build on modelina, whose version 5.10 knows no later version: it generates
    /// `any` for every type of a 3.1 document.
    #[default]
    V3_0,
    /// 3.1.0.
    V3_1,
}

impl AsyncApiVersion {
    fn text(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0.0",
            Self::V3_1 => "3.1.0",
        }
    }
}

impl AsyncApi {
    /// Creates the settings for a document with this title and this version of the program.
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        Self { title: title.into(), version: version.into(), written_in: AsyncApiVersion::default() }
    }

    /// Sets the version of AsyncAPI that the document declares. Default: 3.0.0.
    #[must_use]
    pub fn written_in(mut self, version: AsyncApiVersion) -> Self {
        self.written_in = version;
        self
    }

    /// Returns the document.
    pub fn document(&self, catalog: &Catalog) -> Value {
        let mut writer = Writer::new(Side::Written, "#/components/schemas/", catalog.events().iter());
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
            "asyncapi": self.written_in.text(),
            "info": {"title": self.title, "version": self.version},
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": operations,
            "components": {"messages": messages, "schemas": tuples_as_items(Value::Object(writer.definitions()))},
        })
    }
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
        let (file, line) = handler.location();
        operation.insert("title".to_owned(), json!(handler.item()));
        operation.insert("x-patterns".to_owned(), json!(handler.patterns()));
        operation.insert("x-location".to_owned(), json!(format!("{file}:{line}")));
    }
    Value::Object(operation)
}

/// Returns each pair of a handler and an event that reaches it, with a unique key.
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

/// Rewrites tuples for draft 7 of JSON Schema, which AsyncAPI's own schemas are based on: there `items` is a list.
fn tuples_as_items(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(object) => {
            // `prefixItems` may also be the name of a field. Then its value is an object.
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
