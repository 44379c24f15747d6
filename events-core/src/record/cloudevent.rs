//! A record as CloudEvents 1.0 JSON, and back: what adapters store and send.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Envelope, Record};
use crate::bus::Chain;
use crate::error::{Error, ErrorKind};
use crate::id::{EventId, InstanceId};
use crate::metadata::Metadata;
use crate::pattern::check_name;
use crate::text::quoted;
use crate::time::Timestamp;

/// What `source` says where the metadata names none: the attribute is required.
const NO_SOURCE: &str = "urn:typed-events:unnamed";

/// The attributes of CloudEvents 1.0 (JSON format) that stand between the id and the time.
#[derive(Serialize)]
struct Head<'a> {
    source: &'a str,
    r#type: &'a str,
}

/// What stands between the time and the data: attributes, the distributed tracing extension, and extensions of our
/// own, which are names of lower-case letters with values of simple types.
#[derive(Serialize)]
struct Tail<'a> {
    datacontenttype: &'a str,
    eventversion: u32,
    origin: InstanceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    /// The further metadata, as the text of a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    /// All of the payload, encrypted; `data` then lacks its secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    /// Whether the secrets of the payload were left out.
    #[serde(skip_serializing_if = "is_false")]
    redacted: bool,
}

/// The same, as it is read.
#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    id: EventId,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    time: Timestamp,
    #[serde(default = "first_version")]
    eventversion: u32,
    origin: InstanceId,
    correlationid: Option<String>,
    causationid: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    metadata: Option<String>,
    sealed: Option<String>,
    #[serde(default)]
    redacted: bool,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A CloudEvent that lacks its id and time: what can be written before an engine has given the record its place.
#[derive(Clone, Debug)]
pub struct Draft {
    record: Record,
    /// An object with what stands between the id and the time.
    head: String,
    /// What stands behind the time, to the end.
    tail: String,
}

/// What an object has between its braces.
fn members(object: &str) -> &str {
    object.trim_start_matches('{').trim_end_matches('}')
}

impl Draft {
    /// What it is a draft of.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The CloudEvent. Takes the record's [time](Record::timestamp) and id, if nobody has asked for them before.
    pub fn complete(&self) -> String {
        let (id, time) = (self.record.id().to_string(), self.record.timestamp().to_string());
        let [begin, id, next, head, key] = self.before_time(&id);
        [begin, id, next, head, key, &time, BEHIND_TIME, &self.tail].concat()
    }

    /// What the CloudEvent has before its time and behind it: for an engine that itself decides on the time, which is
    /// written as [`Timestamp`] is displayed.
    pub fn around_time(&self, id: EventId) -> (String, String) {
        (self.before_time(&id.to_string()).concat(), [BEHIND_TIME, &self.tail].concat())
    }

    fn before_time<'a>(&'a self, id: &'a str) -> [&'a str; 5] {
        ["{\"specversion\":\"1.0\",\"id\":\"", id, "\",", members(&self.head), ",\"time\":\""]
    }
}

const BEHIND_TIME: &str = "\",";

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The first required attribute that an object lacks.
fn missing(text: &str) -> Option<&'static str> {
    const REQUIRED: [&str; 7] = ["specversion", "id", "source", "type", "time", "origin", "data"];
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    REQUIRED.into_iter().find(|attribute| !object.contains_key(*attribute))
}

fn first_version() -> u32 {
    1
}

/// What `data` has of the payload.
pub(crate) enum Data {
    All,
    /// All but the secrets.
    Redacted,
    /// The same, and all of it is in the attribute `sealed`.
    Sealed(String),
}

impl Record {
    /// The record as CloudEvents 1.0 JSON on one line, without its secrets: adapters get those, too, by
    /// [`Wire`](crate::Wire).
    ///
    /// The payload is in `data`, the rest in attributes; [`from_cloudevent`](Self::from_cloudevent)
    /// reads it back. See <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where the payload can't be written as JSON.
    pub fn to_cloudevent(&self) -> Result<String, Error> {
        let data = if self.has_secrets() { Data::Redacted } else { Data::All };
        Ok(self.draft(self.json()?, data)?.complete())
    }

    /// A CloudEvent with this payload.
    pub(crate) fn draft(&self, json: &str, has: Data) -> Result<Draft, Error> {
        let unwritable = |error: serde_json::Error| {
            let message = format!("{}: the record can't be written as JSON", self.name());
            Error::new(ErrorKind::Serialize, message).with_source(error)
        };
        let metadata = self.metadata();
        let extra: BTreeMap<&str, &Value> = metadata.iter().collect();
        let extra = match extra.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&extra).map_err(unwritable)?),
        };
        let redacted = matches!(has, Data::Redacted);
        let sealed = match has {
            Data::Sealed(sealed) => Some(sealed),
            Data::All | Data::Redacted => None,
        };
        let head = Head { source: metadata.source().unwrap_or(NO_SOURCE), r#type: self.name() };
        let tail = Tail {
            datacontenttype: "application/json",
            eventversion: self.version(),
            origin: self.origin(),
            correlationid: metadata.correlation_id(),
            causationid: metadata.causation_id(),
            traceparent: metadata.traceparent(),
            tracestate: metadata.tracestate(),
            metadata: extra,
            sealed,
            redacted,
        };
        let (head, tail) = (serde_json::to_string(&head), serde_json::to_string(&tail));
        let (head, tail) = (head.map_err(unwritable)?, tail.map_err(unwritable)?);
        // Line breaks between tokens are the only ones JSON can have; a stored line has none.
        let json = match json.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
            true => Cow::Owned(json.replace(['\n', '\r'], " ")),
            false => Cow::Borrowed(json),
        };
        Ok(Draft { record: self.clone(), head, tail: [members(&tail), ",\"data\":", &json, "}"].concat() })
    }

    /// Reads what [`to_cloudevent`](Self::to_cloudevent) wrote; attributes it does not know are
    /// ignored. The payload stays JSON, verbatim, until somebody asks for the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] says where the text is not such a CloudEvent, without repeating it; also of
    /// an event with secrets, which the text does not have.
    pub fn from_cloudevent(text: &str) -> Result<Self, Error> {
        Self::decode_cloudevent(text, |_| Err("an adapter opens them".to_owned()))
    }

    /// Reads a CloudEvent; `open` decrypts a sealed payload.
    pub(crate) fn decode_cloudevent(
        text: &str,
        open: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Error> {
        let refuse = |why: String| Error::new(ErrorKind::Payload, format!("not a stored record: {why}"));
        let event: CloudEvent<'_> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match error.classify() {
                serde_json::error::Category::Data => refuse(match missing(text) {
                    Some(attribute) => format!("the attribute `{attribute}` is missing"),
                    None => format!("an attribute is of another type (line {line}, column {column})"),
                }),
                _ => refuse(format!("not JSON (line {line}, column {column})")),
            }
        })?;
        if event.specversion != "1.0" {
            return Err(refuse(format!("CloudEvents version {}", quoted(&event.specversion))));
        }
        check_name(&event.r#type)
            .map_err(|error| refuse(format!("`{}` is not an event name: {error}", quoted(&event.r#type))))?;
        if event.redacted {
            let name = &event.r#type;
            return Err(refuse(format!(
                "the secrets of `{name}` were left out of this text: only what an adapter keeps has them"
            )));
        }
        let mut metadata = Metadata::new();
        if event.source != NO_SOURCE {
            metadata = metadata.with_source(event.source.into_owned());
        }
        if let Some(id) = event.correlationid {
            metadata = metadata.with_correlation_id(id);
        }
        if let Some(id) = event.causationid {
            metadata = metadata.with_causation_id(id);
        }
        if let Some(parent) = event.traceparent {
            metadata = metadata.with_trace_context(parent, event.tracestate);
        }
        if let Some(extra) = event.metadata {
            let extra: BTreeMap<String, Value> = serde_json::from_str(&extra)
                .map_err(|_| refuse("the metadata is not the text of a JSON object".into()))?;
            for (key, value) in extra {
                metadata = metadata.with(key, value);
            }
        }
        let envelope = Envelope {
            origin: event.origin,
            metadata,
            id: Some(event.id),
            timestamp: Some(event.time),
            chain: Chain::default(),
        };
        let (json, shown) = match &event.sealed {
            Some(sealed) => {
                let name = &event.r#type;
                let opened = open(sealed).and_then(|json| {
                    RawValue::from_string(json).map_err(|_| "what comes of it is not JSON".to_owned())
                });
                let opened =
                    opened.map_err(|why| refuse(format!("the secrets of `{name}` can't be read: {why}")))?;
                (opened.get().into(), Some(event.data.get().into()))
            }
            None => (event.data.get().into(), None),
        };
        Ok(Self::of_sealed((*event.r#type).into(), event.eventversion, json, shown, envelope))
    }
}
