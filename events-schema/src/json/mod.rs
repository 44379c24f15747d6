//! The JSON writer and reader for payloads and metadata.
//!
//! serde_json behaves differently depending on features that other crates enable (`arbitrary_precision`,
//! `float_roundtrip`). It also writes NaN as `null`, and writes deeper nesting than it reads. Whatever this writer
//! writes, this reader reads back bit for bit, with any of these features; other values are refused with their path.
//! serde_json is still used to convert numbers and strings, for the keys of maps, and for its own types.

mod path;
mod read;
mod write;

pub use path::{Path, Step};
pub use read::{ReadError, ReadProblem, field, from_str, nearest_value};
pub use write::{JsonWriter, WriteError, to_string};

/// Maximum nesting of arrays and objects that is written and read.
pub const MAX_DEPTH: u8 = 127;

/// Prefix of the names under which serde_json passes its own types (`RawValue`, and `Number` with the feature
/// `arbitrary_precision`) through serde's traits.
const PRIVATE: &str = "$serde_json::";

#[cfg(test)]
mod tests;
