//! Ids of events and of bus instances.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// The id as the 16 bytes of a UUID, most significant first.
            pub const fn to_bytes(self) -> [u8; 16] {
                *self.0.as_bytes()
            }

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self).map_err(|_| ParseIdError(()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

uuid_newtype! {
    /// The id of one emitted event, a UUIDv7.
    ///
    /// Ids sort by the millisecond of their timestamp.
    ///
    /// ```
    /// use typed_events::EventId;
    ///
    /// let id: EventId = "0193b3e2-7f5c-7cc2-98b4-5a3c8f0e1d2a".parse()?;
    /// assert_eq!(id.to_string(), "0193b3e2-7f5c-7cc2-98b4-5a3c8f0e1d2a");
    /// # Ok::<(), typed_events::ParseIdError>(())
    /// ```
    EventId
}

uuid_newtype! {
    /// The id of one running bus, new for every `build()`: where a record comes from.
    InstanceId
}

impl EventId {
    /// A new id for an event that happens now.
    #[allow(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        Self::at(crate::time::now())
    }

    pub(crate) fn at(time: Timestamp) -> Self {
        let (seconds, nanos) = time.unix();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Self(Uuid::new_v7(time))
    }
}

impl InstanceId {
    /// Of no bus: where events come from whose program says nothing of itself.
    pub const NIL: Self = Self(Uuid::nil());

    pub(crate) fn new() -> Self {
        Self(EventId::new().0)
    }
}

/// The text is not the id of an event or an instance: not a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError(());

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not a UUID")
    }
}

impl std::error::Error for ParseIdError {}
