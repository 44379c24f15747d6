//! See `tests/pairs.rs`; the pairs of types are written by `build.rs`.
