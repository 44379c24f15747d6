//! The JSON of payloads and metadata: one writer and one reader.
//!
//! serde_json changes with the features that other crates turn on (`arbitrary_precision`, `float_roundtrip`), writes
//! NaN as `null`, and writes deeper nesting than it reads. What is written here reads back bit for bit, whatever these
//! features are; what would not is refused with its path. serde_json still writes and reads numbers as text, strings,
//! map keys, and its own types.

mod path;
mod read;
mod write;

pub use path::{Path, Step};
pub use read::{ReadError, ReadProblem, field, from_str, nearest_value};
pub use write::{JsonWriter, WriteError, to_string};

/// The deepest nesting of arrays and objects that is written and read.
pub const MAX_DEPTH: u8 = 127;

/// serde_json passes its own types (`RawValue`, and `Number` under `arbitrary_precision`) through serde's traits under
/// names that begin so.
const PRIVATE: &str = "$serde_json::";

#[cfg(test)]
mod tests;
