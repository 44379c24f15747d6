//! A package of benches alone.
