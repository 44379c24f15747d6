//! Ids of events and of bus instances.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;

use uuid::Uuid;

use crate::time::Timestamp;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

        crate::text::serde_as_text!($name, "a UUID");
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
        let millis = u64::try_from(time.as_micros() / 1000).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes()).into_uuid())
    }
}

/// The random part of an id, without a system call for each.
///
/// It is SipHash of a counter under a key of 128 bits, which the operating system gives each thread once.
fn random_bytes() -> [u8; 10] {
    thread_local! {
        static KEY: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let next = |(key, counter): &(RandomState, Cell<u64>)| {
        counter.set(counter.get() + 1);
        [key.hash_one((counter.get(), false)), key.hash_one((counter.get(), true))]
    };
    // A thread that ends has no key any more: each call has one of its own then.
    let [one, two] = KEY.try_with(next).unwrap_or_else(|_| next(&(RandomState::new(), Cell::new(0))));
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&one.to_le_bytes());
    bytes[8..].copy_from_slice(&two.to_le_bytes()[..2]);
    bytes
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
