//! The answers of the scripts.

use std::collections::HashMap;

use events_core::durable::{
    Beaten, Claims, ConsumerId, Delivered, DurableError, Exchange, Exchanged, Incarnation, Knows, Operated,
    Position, ReadMark, Refusal, Registered, SessionId, Settings, Terms, Token,
};
use events_core::{AdapterError, Timestamp};
use redis::{FromRedisValue, ParsingError, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The answer of a script: JSON, and after it positions and texts of records by turns.
pub(super) struct Reply {
    json: Vec<u8>,
    copies: Vec<(Position, Vec<u8>)>,
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let Value::Array(list) = value else {
            return Ok(Self { json: Vec::from_redis_value(value)?, copies: Vec::new() });
        };
        let mut values = list.into_iter();
        let json = Vec::from_redis_value(values.next().unwrap_or(Value::Nil))?;
        let mut copies = Vec::new();
        while let (Some(position), Some(text)) = (values.next(), values.next()) {
            copies.push((u64::from_redis_value(position)?, Vec::from_redis_value(text)?));
        }
        Ok(Self { json, copies })
    }
}

/// Why a script has changed nothing.
pub(super) enum Refused {
    /// It needs a judgement of the kinds of events.
    Judge,
    /// `exchange.lua` has to be called.
    Full,
    Other(Refusal),
}

impl Reply {
    /// The refusal, if it is one.
    pub(super) fn refused(&self) -> Result<Option<Refused>, AdapterError> {
        #[derive(Deserialize)]
        struct Fields {
            refused: String,
            #[serde(default)]
            number: u64,
            #[serde(default)]
            by: String,
        }
        let Some(json) = self.json.strip_prefix(b"!") else { return Ok(None) };
        let Fields { refused, number, by } = parse(json)?;
        let incarnation = incarnation(number, &by)?;
        let refusal = match refused.as_str() {
            "judge" => return Ok(Some(Refused::Judge)),
            "full" => return Ok(Some(Refused::Full)),
            "OtherIncarnation" => Refusal::OtherIncarnation(incarnation),
            "Behind" => Refusal::Behind(incarnation),
            "SessionEnded" => Refusal::SessionEnded,
            "UnknownSession" => Refusal::UnknownSession,
            "UnknownConsumer" => Refusal::UnknownConsumer,
            "Removed" => Refusal::Removed,
            "OldNumber" => Refusal::OldNumber,
            "Moving" => Refusal::Moving,
            "PatternInUse" => Refusal::PatternInUse,
            "NoSession" => Refusal::NoSession,
            other => {
                return Err(AdapterError::refused(format_args!("a script refused a call as {other}")));
            }
        };
        Ok(Some(Refused::Other(refusal)))
    }

    /// The JSON, unless the call was refused.
    pub(super) fn accepted(&self) -> Result<&[u8], DurableError> {
        match self.refused()? {
            None => Ok(&self.json),
            Some(Refused::Other(refusal)) => Err(refusal.into()),
            Some(Refused::Judge | Refused::Full) => Err(super::too_busy().into()),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, DurableError> {
        Ok(parse(self.accepted()?)?)
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, AdapterError> {
    let unreadable =
        |error| AdapterError::unknown(format_args!("a script answered what can't be read: {error}"));
    serde_json::from_slice(json).map_err(unreadable)
}

fn incarnation(number: u64, by: &str) -> Result<Incarnation, AdapterError> {
    let by = if by.is_empty() { SessionId::default() } else { session(by)? };
    Ok(Incarnation { number, by })
}

fn session(text: &str) -> Result<SessionId, AdapterError> {
    text.parse().map_err(|_| AdapterError::refused(format_args!("`{text}` is stored as a session")))
}

/// Reads a list that a script has written. cjson writes an empty one as `{}`.
pub(super) fn texts(json: &str) -> Result<Vec<String>, AdapterError> {
    if matches!(json, "" | "{}") { Ok(Vec::new()) } else { parse(json.as_bytes()) }
}

#[derive(Default, Deserialize)]
struct TermsFields {
    position: Position,
    patterns_number: u64,
    #[serde(default)]
    union: Vec<String>,
    settings_number: u64,
    #[serde(default)]
    settings: Settings,
    moves: u64,
}

impl From<TermsFields> for Terms {
    fn from(fields: TermsFields) -> Self {
        let TermsFields { position, patterns_number, union, settings_number, settings, moves } = fields;
        Self { position, patterns_number, union, settings_number, settings, moves }
    }
}

/// Reads the answer of `register.lua`. `Err` is the id of the consumer to call it with.
pub(super) fn registered(reply: &Reply) -> Result<Result<Registered, ConsumerId>, DurableError> {
    #[derive(Deserialize)]
    struct Fields {
        other: Option<u64>,
        #[serde(default)]
        id: u64,
        #[serde(default)]
        created: bool,
        #[serde(default)]
        heard: String,
        #[serde(default)]
        newest: Position,
        terms: Option<TermsFields>,
        incarnation: Option<IncarnationFields>,
        #[serde(default)]
        differs: bool,
    }
    let fields: Fields = reply.parse()?;
    if let Some(id) = fields.other {
        return Ok(Err(ConsumerId(id)));
    }
    let incarnation = fields.incarnation.unwrap_or_default().incarnation()?;
    let terms = fields.terms.unwrap_or_default().into();
    Ok(Ok(Registered {
        consumer: ConsumerId(fields.id),
        created: fields.created,
        knows: Knows { incarnation, heard: number(&fields.heard)?, newest: fields.newest },
        terms,
        differs: fields.differs,
    }))
}

#[derive(Default, Deserialize)]
struct IncarnationFields {
    number: u64,
    by: String,
}

impl IncarnationFields {
    fn incarnation(self) -> Result<Incarnation, AdapterError> {
        incarnation(self.number, &self.by)
    }
}

/// Reads a number with more than 14 digits.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, AdapterError> {
    text.parse().map_err(|_| AdapterError::refused(format_args!("`{text}` is stored as a number")))
}

pub(super) fn raised(reply: &Reply) -> Result<Incarnation, DurableError> {
    Ok(reply.parse::<IncarnationFields>()?.incarnation()?)
}

pub(super) fn beaten(reply: &Reply) -> Result<Beaten, DurableError> {
    #[derive(Deserialize)]
    struct Fields {
        heard: String,
        newest: Position,
        id: Option<String>,
        #[serde(default)]
        ended: Vec<String>,
        jumped: bool,
        time: String,
    }
    let fields: Fields = reply.parse()?;
    let id = fields.id.and_then(|id| id.parse().ok());
    Ok(Beaten {
        heard: number(&fields.heard)?,
        newest: fields.newest,
        newest_mark: id.map(|id| ReadMark { position: fields.newest, id }),
        ended: fields.ended.iter().map(|text| session(text)).collect::<Result<_, _>>()?,
        jumped: fields.jumped,
        time: Timestamp::from_micros(number(&fields.time)?),
    })
}

/// A delivery: its position in a first attempt, else all of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum DeliveredFields {
    First(Position),
    Other {
        position: Position,
        attempt: u32,
        #[serde(default)]
        solo: bool,
        #[serde(default)]
        lost_lease: bool,
        error: Option<String>,
        #[serde(default)]
        copy: bool,
    },
}

#[derive(Deserialize)]
struct ExchangedFields {
    #[serde(default)]
    late: Vec<(Position, String, u64)>,
    #[serde(default)]
    dead: Vec<Position>,
    #[serde(default)]
    announced: Vec<Position>,
    #[serde(default)]
    deliveries: Vec<DeliveredFields>,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    recount: bool,
    #[serde(default)]
    void: Vec<(Position, u64)>,
    claims: Claims,
    #[serde(default)]
    wants_solo: bool,
    #[serde(default)]
    moving: bool,
    #[serde(default)]
    more: bool,
    due_in: Option<f64>,
    /// Whether the consumer has waiting rows.
    #[serde(default)]
    rows: bool,
    terms: TermsFields,
}

/// Reads the answer of an exchange, and whether the consumer has waiting rows.
pub(super) fn exchanged(reply: &Reply, exchange: &Exchange) -> Result<(Exchanged, bool), DurableError> {
    let fields: ExchangedFields = reply.parse()?;
    let mut copies: HashMap<_, _> = reply.copies.iter().cloned().collect();
    let late = fields
        .late
        .into_iter()
        .map(|(position, by, number)| Ok((position, Token { session: session(&by)?, number })));
    let deliveries = fields.deliveries.into_iter().map(|delivered| match delivered {
        DeliveredFields::First(position) => Delivered {
            position,
            number: exchange.number,
            attempt: 1,
            solo: false,
            lost_lease: false,
            error: None,
            copy: None,
        },
        DeliveredFields::Other { position, attempt, solo, lost_lease, error, copy } => Delivered {
            position,
            number: exchange.number,
            attempt,
            solo,
            lost_lease,
            error,
            copy: if copy { copies.remove(&position) } else { None },
        },
    });
    let exchanged = Exchanged {
        late: late.collect::<Result<_, AdapterError>>()?,
        dead: fields.dead,
        announced: fields.announced,
        deliveries: deliveries.collect(),
        lost: fields.lost,
        recount: fields.recount,
        void: fields.void,
        claims: fields.claims,
        wants_solo: fields.wants_solo,
        moving: fields.moving,
        more: fields.more,
        due_in: fields.due_in.map(|micros| micros as u64),
        terms: fields.terms.into(),
    };
    Ok((exchanged, fields.rows))
}

/// The next page of a seek ahead that has to be counted.
#[derive(Deserialize)]
pub(super) struct ToCount {
    pub(super) counted: Position,
    pub(super) to: Position,
    pub(super) union: String,
}

/// Reads the answer of `operate.lua`, and what `RunMove` has to count.
pub(super) fn operated(reply: &Reply) -> Result<(Operated, Option<ToCount>), DurableError> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        affected: u64,
        #[serde(default)]
        dropped: u64,
        #[serde(default)]
        left: u64,
        more: Option<Position>,
        #[serde(default)]
        keys: Vec<Position>,
        keys_by: Option<(u64, String)>,
        count: Option<ToCount>,
    }
    let fields: Fields = reply.parse()?;
    let mut copies: HashMap<_, _> = reply.copies.iter().cloned().collect();
    let keys_by = match fields.keys_by {
        Some((number, settings)) => Some((number, parse(settings.as_bytes())?)),
        None => None,
    };
    let operated = Operated {
        affected: fields.affected,
        dropped: fields.dropped,
        left: fields.left,
        more: fields.more,
        keys: fields.keys.into_iter().map(|position| (position, copies.remove(&position))).collect(),
        keys_by,
    };
    Ok((operated, fields.count))
}
