//! What travels with an event besides its payload.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::Schema;
use crate::schema::memory::allocation;

/// Facts about an emit that are not part of the event: who, in answer to what, as part of which
/// trace, and any further JSON values.
///
/// All fields are optional. Inside a handler, an emit inherits the correlation id (the id of the
/// first event of the chain unless said) and the trace context, and gets the id of the event being
/// handled as its causation id; what the metadata says itself stays.
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
    // Most events have none: that costs one pointer and no allocation.
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
    /// No metadata.
    pub const fn new() -> Self {
        Self { fields: None }
    }

    /// Whether nothing is set.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_none()
    }

    /// Names the program, module or service that emits.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.fields_mut().source = Some(source.into());
        self
    }

    /// Names the request or process all events of a chain belong to.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.fields_mut().correlation_id = Some(id.into());
        self
    }

    /// Names the event or command that led to this event.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<String>) -> Self {
        self.fields_mut().causation_id = Some(id.into());
        self
    }

    /// Sets the W3C trace context: the `traceparent` and, if there is one, `tracestate` header.
    ///
    /// See <https://www.w3.org/TR/trace-context/>. The texts are carried, not checked.
    #[must_use]
    pub fn with_trace_context(mut self, traceparent: impl Into<String>, tracestate: Option<String>) -> Self {
        let fields = self.fields_mut();
        fields.traceparent = Some(traceparent.into());
        fields.tracestate = tracestate;
        self
    }

    /// Adds any further JSON value under a key; a second one under the same key replaces it.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields_mut().extra.insert(key.into(), value.into());
        self
    }

    /// The program, module or service that emitted.
    pub fn source(&self) -> Option<&str> {
        self.fields.as_ref()?.source.as_deref()
    }

    /// The request or process all events of a chain belong to.
    pub fn correlation_id(&self) -> Option<&str> {
        self.fields.as_ref()?.correlation_id.as_deref()
    }

    /// The event or command that led to this event.
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

    /// The further value under this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.fields.as_ref()?.extra.get(key)
    }

    /// The further values in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let extra = self.fields.iter().flat_map(|fields| &fields.extra);
        extra.map(|(key, value)| (key.as_str(), value))
    }

    /// Fills what is not set from the event being handled.
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

    /// About how many bytes the metadata holds.
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
