//! The behaviour of a bus is tested in `behaviour.rs`, what it shows of secrets in `secrets.rs`.
