//! Ids of events and of bus instances.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;

use crate::schema::{Schema, TypeSchema};
use crate::time::Timestamp;

/// Length of a UUID as text: 32 digits and 4 hyphens.
const TEXT_LEN: usize = 36;

/// Returns whether the text of a UUID has a hyphen before this byte.
const fn after_hyphen(byte: usize) -> bool {
    matches!(byte, 4 | 6 | 8 | 10)
}

/// Writes a UUID as lower-case text with hyphens, the form of RFC 9562.
fn to_text<'a>(bytes: &[u8; 16], text: &'a mut [u8; TEXT_LEN]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if after_hyphen(index) {
            text[at] = b'-';
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0xf)];
        at += 2;
    }
    str::from_utf8(text).unwrap_or_default()
}

/// Reads a UUID from text with hyphens, its digits in either case.
fn from_text(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut rest = text.as_bytes();
    for (index, byte) in bytes.iter_mut().enumerate() {
        if after_hyphen(index) {
            rest = rest.strip_prefix(b"-")?;
        }
        let (pair, after) = rest.split_first_chunk::<2>()?;
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        rest = after;
    }
    rest.is_empty().then_some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    u8::try_from(char::from(character).to_digit(16)?).ok()
}

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Returns the id as the 16 bytes of a UUID, most significant first.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// Creates an id from the 16 bytes of a UUID, most significant first.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(to_text(&self.0, &mut [0; TEXT_LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        #[cfg(feature = "uuid")]
        #[cfg_attr(docsrs, doc(cfg(feature = "uuid")))]
        impl From<uuid::Uuid> for $name {
            fn from(uuid: uuid::Uuid) -> Self {
                Self(uuid.into_bytes())
            }
        }

        #[cfg(feature = "uuid")]
        #[cfg_attr(docsrs, doc(cfg(feature = "uuid")))]
        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> Self {
                Self::from_bytes(id.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_text(text).map(Self).ok_or(ParseIdError(()))
            }
        }

        crate::time::serde_as_text!($name, "a UUID");
    };
}

uuid_newtype! {
    /// The id of one emitted event: a UUIDv7.
    ///
    /// Ids sort by their time in milliseconds. Ids of the same millisecond are in random order.
    ///
    /// ```
    /// use typed_events::EventId;
    ///
    /// let id: EventId = "0193b3e2-7f5c-7cc2-98b4-5a3c8f0e1d2a".parse()?;
    /// assert_eq!(id.to_string(), "0193b3e2-7f5c-7cc2-98b4-5a3c8f0e1d2a");
    /// # Ok::<(), typed_events::record::ParseIdError>(())
    /// ```
    EventId
}

uuid_newtype! {
    /// The id of one running bus, new for every `build()`. A record has the id of the bus that emitted it.
    InstanceId
}

impl EventId {
    /// Creates an id with the current time.
    #[allow(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        Self::at(crate::time::now())
    }

    pub(crate) fn at(time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_micros() / 1000).unwrap_or(0);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x70; // version 7
        bytes[8] = bytes[8] & 0x3f | 0x80; // the variant of RFC 9562
        Self(bytes)
    }
}

/// Returns a random number, without a system call.
#[cfg(feature = "durable")]
pub(crate) fn random_number() -> u64 {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = random_bytes();
    u64::from_be_bytes([first, second, third, fourth, fifth, sixth, seventh, eighth])
}

/// Returns the random part of an id, without a system call.
///
/// The bytes are a SipHash of a counter. Its key has 128 bits; each thread takes its own key from the operating system
/// once.
fn random_bytes() -> [u8; 10] {
    thread_local! {
        static KEY: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let next = |(key, counter): &(RandomState, Cell<u64>)| {
        counter.set(counter.get() + 1);
        [key.hash_one((counter.get(), false)), key.hash_one((counter.get(), true))]
    };
    // The key of a thread that ends may be dropped already. Then each call creates a new key.
    let [one, two] = KEY.try_with(next).unwrap_or_else(|_| next(&(RandomState::new(), Cell::new(0))));
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&one.to_le_bytes());
    bytes[8..].copy_from_slice(&two.to_le_bytes()[..2]);
    bytes
}

impl InstanceId {
    /// The id that belongs to no bus (the nil UUID): the origin of an event from a program that does not send its
    /// instance id.
    pub const NIL: Self = Self([0; 16]);

    pub(crate) fn new() -> Self {
        Self(EventId::new().0)
    }
}

/// The error of parsing an [`EventId`] or an [`InstanceId`]: the text is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError(());

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not a UUID")
    }
}

impl std::error::Error for ParseIdError {}

#[diagnostic::do_not_recommend]
impl Schema for EventId {
    const TYPE: &'static TypeSchema = &TypeSchema::Format("uuid");
}

#[diagnostic::do_not_recommend]
impl Schema for InstanceId {
    const TYPE: &'static TypeSchema = &TypeSchema::Format("uuid");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written_as_uuids() {
        for _ in 0..1000 {
            let id = EventId::new();
            let theirs = uuid::Uuid::from_bytes(id.to_bytes());
            assert_eq!(id.to_string(), theirs.to_string());
            assert_eq!((theirs.get_version_num(), theirs.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }
    }

    #[test]
    fn other_text_is_no_id() {
        let id = EventId::new().to_string();
        for end in 0..id.len() {
            assert!(id[..end].parse::<EventId>().is_err());
        }
        for at in 0..id.len() {
            let with = |character: &str| format!("{}{character}{}", &id[..at], &id[at + 1..]);
            let hyphen = matches!(at, 8 | 13 | 18 | 23);
            for bad in ["g", "+", " ", if hyphen { "0" } else { "-" }] {
                assert!(with(bad).parse::<EventId>().is_err(), "{}", with(bad));
            }
        }
        for bad in [
            format!("{id}0"),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            id.replace('-', ""),
            "é".repeat(18),
        ] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }
}
