//! CloudEvents 1.0 JSON of a record: the format in which adapters store and send records.

use std::borrow::Cow;
use std::fmt;

use serde_core::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::event::pattern::check_name;
use crate::id::{EventId, InstanceId};
use crate::json;
use crate::record::chain::Chain;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};
use crate::text::quoted;
use crate::time::Timestamp;

/// Value of the required attribute `source` if the metadata has no source.
const NO_SOURCE: &str = "urn:typed-events:unnamed";

/// Members of a JSON object, without the braces.
#[derive(Default)]
struct Members(Vec<u8>);

impl Members {
    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), serde_json::Error> {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        serde_json::to_writer(&mut self.0, value)
    }

    fn add_some(&mut self, name: &str, value: Option<&str>) -> Result<(), serde_json::Error> {
        value.map_or(Ok(()), |value| self.add(name, value))
    }

    fn into_text(self) -> Result<String, serde_json::Error> {
        String::from_utf8(self.0).map_err(serde_core::ser::Error::custom)
    }
}

/// The additional metadata as a JSON object.
struct Extra<'a>(&'a Metadata);

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// Attributes of a stored CloudEvent. `Deserialize` is written by hand, so that the build of this crate does
/// not have to wait for serde's derive.
#[derive(Default)]
struct CloudEvent<'a> {
    specversion: Option<String>,
    id: Option<EventId>,
    source: Option<String>,
    r#type: Option<String>,
    time: Option<Timestamp>,
    eventversion: Option<u32>,
    origin: Option<InstanceId>,
    correlationid: Option<Option<String>>,
    causationid: Option<Option<String>>,
    traceparent: Option<Option<String>>,
    tracestate: Option<Option<String>>,
    /// The additional metadata, as the text of a JSON object.
    metadata: Option<Option<String>>,
    /// The whole payload, encrypted. `data` then omits its secrets.
    sealed: Option<Option<String>>,
    /// Whether the secrets of the payload are omitted.
    redacted: Option<bool>,
    data: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for CloudEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadAttributes)
    }
}

struct ReadAttributes;

impl<'de> Visitor<'de> for ReadAttributes {
    type Value = CloudEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = CloudEvent::default();
        while let Some(name) = map.next_key_seed(AttributeName)? {
            match name {
                "specversion" => read(&mut event.specversion, name, &mut map)?,
                "id" => read(&mut event.id, name, &mut map)?,
                "source" => read(&mut event.source, name, &mut map)?,
                "type" => read(&mut event.r#type, name, &mut map)?,
                "time" => read(&mut event.time, name, &mut map)?,
                "eventversion" => read(&mut event.eventversion, name, &mut map)?,
                "origin" => read(&mut event.origin, name, &mut map)?,
                "correlationid" => read(&mut event.correlationid, name, &mut map)?,
                "causationid" => read(&mut event.causationid, name, &mut map)?,
                "traceparent" => read(&mut event.traceparent, name, &mut map)?,
                "tracestate" => read(&mut event.tracestate, name, &mut map)?,
                "metadata" => read(&mut event.metadata, name, &mut map)?,
                "sealed" => read(&mut event.sealed, name, &mut map)?,
                "redacted" => read(&mut event.redacted, name, &mut map)?,
                "data" => read(&mut event.data, name, &mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(event)
    }
}

/// Reads the value of an attribute. Returns an error if the object repeats the attribute.
fn read<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *field = Some(map.next_value()?);
    Ok(())
}

/// Reads the name of an attribute. Returns an empty string for an unknown attribute.
struct AttributeName;

impl<'de> DeserializeSeed<'de> for AttributeName {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for AttributeName {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    fn visit_str<E: serde_core::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        const NAMES: [&str; 15] = [
            "specversion",
            "id",
            "source",
            "type",
            "time",
            "eventversion",
            "origin",
            "correlationid",
            "causationid",
            "traceparent",
            "tracestate",
            "metadata",
            "sealed",
            "redacted",
            "data",
        ];
        Ok(NAMES.into_iter().find(|known| *known == name).unwrap_or_default())
    }
}

/// A CloudEvent without its id and time. It can be encoded before the engine assigns a position to the
/// record.
#[derive(Clone, Debug)]
pub struct Draft {
    record: Record,
    /// Members between the id and the time.
    head: String,
    /// Text after the time.
    tail: String,
}

impl Draft {
    /// The record that is encoded.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the complete CloudEvent. Sets the record's [timestamp](Record::timestamp) and id if they are
    /// not set.
    pub fn complete(&self) -> String {
        let (id, time) = (self.record.id().to_string(), self.record.timestamp().to_string());
        let [begin, id, next, head, key] = self.before_time(&id);
        [begin, id, next, head, key, &time, BEHIND_TIME, &self.tail].concat()
    }

    /// Returns the text of the CloudEvent before and after its time, for an engine that assigns the time. The
    /// engine inserts the time in the `Display` format of [`Timestamp`].
    pub fn around_time(&self, id: EventId) -> (String, String) {
        (self.before_time(&id.to_string()).concat(), [BEHIND_TIME, &self.tail].concat())
    }

    fn before_time<'a>(&'a self, id: &'a str) -> [&'a str; 5] {
        ["{\"specversion\":\"1.0\",\"id\":\"", id, "\",", &self.head, ",\"time\":\""]
    }
}

const BEHIND_TIME: &str = "\",";

/// Returns the first required attribute that is missing from an object.
fn missing(text: &str) -> Result<Option<&'static str>, serde_json::Error> {
    const REQUIRED: [&str; 7] = ["specversion", "id", "source", "type", "time", "origin", "data"];
    let object: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    Ok(REQUIRED.into_iter().find(|attribute| !object.contains_key(*attribute)))
}

/// The part of the payload that `data` contains.
pub(crate) enum Data {
    All,
    /// The payload without its secrets.
    Redacted,
    /// The payload without its secrets. The attribute `sealed` contains the whole payload, encrypted.
    Sealed(String),
}

impl Record {
    /// Encodes the record as CloudEvents 1.0 JSON on one line, without its secrets.
    /// [`RecordCodec`](crate::RecordCodec), which adapters use, includes the secrets.
    ///
    /// The payload is in `data`, everything else in attributes. [`from_cloudevent`](Self::from_cloudevent)
    /// decodes the text. See
    /// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] if the payload can't be written as JSON.
    pub fn to_cloudevent(&self) -> Result<String, Error> {
        let data = if self.has_secrets() { Data::Redacted } else { Data::All };
        Ok(self.draft(self.json()?, data)?.complete())
    }

    /// Creates a draft with `json` as its data.
    pub(crate) fn draft(&self, json: &str, has: Data) -> Result<Draft, Error> {
        let unwritable = |error: serde_json::Error| {
            let message = format!("{}: the record can't be written as JSON", self.name());
            Error::new(ErrorKind::Serialize, message).with_source(error)
        };
        let extra = self.metadata_json()?;
        let (head, tail) = self.attributes(extra.as_deref(), &has).map_err(unwritable)?;
        // Valid JSON contains line breaks only between tokens, so they can be replaced by spaces. A stored
        // record is one line.
        let json = match json.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
            true => Cow::Owned(json.replace(['\n', '\r'], " ")),
            false => Cow::Borrowed(json),
        };
        Ok(Draft { record: self.clone(), head, tail: [&tail, ",\"data\":", &json, "}"].concat() })
    }

    /// Returns the attributes between the id and the time, and those between the time and the data. They
    /// include the distributed tracing extension and extension attributes of this library. As CloudEvents 1.0
    /// requires, the names of extensions are lower-case letters, and their values have simple types.
    fn attributes(&self, extra: Option<&str>, has: &Data) -> Result<(String, String), serde_json::Error> {
        let metadata = self.metadata();
        let mut head = Members::default();
        head.add("source", metadata.source().unwrap_or(NO_SOURCE))?;
        head.add("type", self.name())?;
        let mut tail = Members::default();
        tail.add("datacontenttype", "application/json")?;
        tail.add("eventversion", &self.version())?;
        tail.add("origin", &self.origin())?;
        tail.add_some("correlationid", metadata.correlation_id())?;
        tail.add_some("causationid", metadata.causation_id())?;
        tail.add_some("traceparent", metadata.traceparent())?;
        tail.add_some("tracestate", metadata.tracestate())?;
        tail.add_some("metadata", extra)?;
        match has {
            Data::All => {}
            Data::Redacted => tail.add("redacted", &true)?,
            Data::Sealed(sealed) => tail.add("sealed", sealed)?,
        }
        Ok((head.into_text()?, tail.into_text()?))
    }

    /// Returns the additional metadata as the text of a JSON object, or `None` if there is none.
    pub(crate) fn metadata_json(&self) -> Result<Option<String>, Error> {
        if self.metadata().iter().next().is_none() {
            return Ok(None);
        }
        json::to_string(&Extra(self.metadata())).map(Some).map_err(|error| {
            let message = format!("{}: the metadata can't be written as JSON: {error}", self.name());
            Error::new(ErrorKind::Serialize, message)
        })
    }

    /// Decodes a text written by [`to_cloudevent`](Self::to_cloudevent). Ignores unknown attributes. The
    /// payload is kept as JSON and decoded when the event is first requested.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] if the text is not such a CloudEvent, or if the event has secrets, which the
    /// text omits. The message names the location, but does not repeat the text.
    pub fn from_cloudevent(text: &str) -> Result<Self, Error> {
        Self::decode_cloudevent(text, &|_| Err("only an adapter can decrypt them".to_owned()))
    }

    /// Decodes a CloudEvent. `open` decrypts a sealed payload.
    pub(crate) fn decode_cloudevent(
        text: &str,
        open: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Error> {
        let refuse = |why: String| Error::new(ErrorKind::Unreadable, format!("not a stored record: {why}"));
        let event: CloudEvent<'_> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match error.classify() {
                serde_json::error::Category::Data => refuse(match missing(text) {
                    Err(_) => "it is not a JSON object".to_owned(),
                    Ok(Some(attribute)) => format!("the attribute `{attribute}` is missing"),
                    Ok(None) => format!("an attribute has the wrong type (line {line}, column {column})"),
                }),
                _ => refuse(format!("not JSON (line {line}, column {column})")),
            }
        })?;
        let absent = |name: &str| refuse(format!("the attribute `{name}` is missing"));
        let specversion = event.specversion.ok_or_else(|| absent("specversion"))?;
        let id = event.id.ok_or_else(|| absent("id"))?;
        let source = event.source.ok_or_else(|| absent("source"))?;
        let name = event.r#type.ok_or_else(|| absent("type"))?;
        let time = event.time.ok_or_else(|| absent("time"))?;
        let origin = event.origin.ok_or_else(|| absent("origin"))?;
        let data = event.data.ok_or_else(|| absent("data"))?;
        if specversion != "1.0" {
            return Err(refuse(format!("CloudEvents version {} is not supported", quoted(&specversion))));
        }
        check_name(&name)
            .map_err(|error| refuse(format!("`{}` is not an event name: {error}", quoted(&name))))?;
        if event.redacted == Some(true) {
            return Err(refuse(format!(
                "the secrets of `{name}` are omitted from this text: only records stored by an adapter contain them"
            )));
        }
        let mut metadata = Metadata::new();
        if source != NO_SOURCE {
            metadata = metadata.with_source(source);
        }
        if let Some(id) = event.correlationid.flatten() {
            metadata = metadata.with_correlation_id(id);
        }
        if let Some(id) = event.causationid.flatten() {
            metadata = metadata.with_causation_id(id);
        }
        if let Some(parent) = event.traceparent.flatten() {
            metadata = metadata.with_trace_context(parent, event.tracestate.flatten());
        }
        if let Some(extra) = event.metadata.flatten() {
            let extra: serde_json::Map<String, Value> = json::from_str(&extra)
                .map_err(|_| refuse("the metadata is not the text of a JSON object".into()))?;
            for (key, value) in extra {
                metadata = metadata.with(key, value);
            }
        }
        let (id, timestamp) = (Some(id), Some(time));
        let envelope = Envelope { origin, metadata, id, timestamp, chain: Chain::default() };
        let version = event.eventversion.unwrap_or(1);
        let Some(sealed) = event.sealed.flatten() else {
            return Ok(Self::from_json(name.into(), version, data.get().into(), envelope));
        };
        let opened = open(&sealed).and_then(|json| {
            RawValue::from_string(json).map_err(|_| "the decrypted text is not JSON".to_owned())
        });
        let opened = opened.map_err(|why| refuse(format!("the secrets of `{name}` can't be read: {why}")))?;
        Ok(Self::from_sealed(name.into(), version, opened.get().into(), Some(data.get().into()), envelope))
    }
}
