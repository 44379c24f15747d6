//! Metadata of an emit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::Schema;
use crate::schema::memory::allocation;

/// Data about an emit that is not part of the event: its source, correlation id, causation id, trace context,
/// and additional JSON values.
///
/// All fields are optional. An emit inside a handler fills the fields that its metadata leaves unset. The
/// correlation id becomes that of the event being handled, or the id of that event if it has none. The
/// causation id becomes the id of the event being handled. The trace context is copied from the event being
/// handled.
///
/// ```
/// use typed_events::Metadata;
///
/// let metadata = Metadata::new()
///     .with_source("billing")
///     .with_correlation_id("request-7")
///     .with("user", 42);
/// assert_eq!(metadata.source(), Some("billing"));
/// assert_eq!(metadata.get("user"), Some(&42.into()));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    // `None` for most events, which then take one pointer and no allocation.
    fields: Option<Arc<Fields>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Fields {
    source: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    extra: BTreeMap<String, Value>,
}

impl Metadata {
    /// Creates empty metadata.
    pub const fn new() -> Self {
        Self { fields: None }
    }

    /// Whether no field is set.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_none()
    }

    /// Sets the program, module or service that emits the event.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.fields_mut().source = Some(source.into());
        self
    }

    /// Sets the id of the request or process that all events of a chain belong to.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.fields_mut().correlation_id = Some(id.into());
        self
    }

    /// Sets the id of the event or command that caused this event.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<String>) -> Self {
        self.fields_mut().causation_id = Some(id.into());
        self
    }

    /// Sets the W3C trace context: the `traceparent` header and, optionally, the `tracestate` header.
    ///
    /// See <https://www.w3.org/TR/trace-context/>. The texts are not validated.
    #[must_use]
    pub fn with_trace_context(mut self, traceparent: impl Into<String>, tracestate: Option<String>) -> Self {
        let fields = self.fields_mut();
        fields.traceparent = Some(traceparent.into());
        fields.tracestate = tracestate;
        self
    }

    /// Adds a JSON value under a key. Replaces the previous value of that key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields_mut().extra.insert(key.into(), value.into());
        self
    }

    /// Program, module or service that emitted the event.
    pub fn source(&self) -> Option<&str> {
        self.fields.as_ref()?.source.as_deref()
    }

    /// Id of the request or process that all events of a chain belong to.
    pub fn correlation_id(&self) -> Option<&str> {
        self.fields.as_ref()?.correlation_id.as_deref()
    }

    /// Id of the event or command that caused this event.
    pub fn causation_id(&self) -> Option<&str> {
        self.fields.as_ref()?.causation_id.as_deref()
    }

    /// The W3C `traceparent` header.
    pub fn traceparent(&self) -> Option<&str> {
        self.fields.as_ref()?.traceparent.as_deref()
    }

    /// The W3C `tracestate` header.
    pub fn tracestate(&self) -> Option<&str> {
        self.fields.as_ref()?.tracestate.as_deref()
    }

    /// Returns the additional value of this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.fields.as_ref()?.extra.get(key)
    }

    /// Iterates over the additional values in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let extra = self.fields.iter().flat_map(|fields| &fields.extra);
        extra.map(|(key, value)| (key.as_str(), value))
    }

    /// Fills unset fields from the event being handled.
    pub(crate) fn inherit(&mut self, cause: &Metadata, cause_id: &str) {
        let fields = self.fields_mut();
        if fields.correlation_id.is_none() {
            fields.correlation_id = Some(cause.correlation_id().unwrap_or(cause_id).to_owned());
        }
        if fields.causation_id.is_none() {
            fields.causation_id = Some(cause_id.to_owned());
        }
        if fields.traceparent.is_none() {
            fields.traceparent = cause.traceparent().map(str::to_owned);
            fields.tracestate = cause.tracestate().map(str::to_owned);
        }
    }

    /// Approximate heap memory in bytes.
    pub(crate) fn weight(&self) -> usize {
        let Some(fields) = &self.fields else { return 0 };
        let texts = [
            &fields.source,
            &fields.correlation_id,
            &fields.causation_id,
            &fields.traceparent,
            &fields.tracestate,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::heap_size).sum();
        allocation(size_of::<Fields>() + 16) + texts + fields.extra.heap_size()
    }

    fn fields_mut(&mut self) -> &mut Fields {
        Arc::make_mut(self.fields.get_or_insert_default())
    }
}
