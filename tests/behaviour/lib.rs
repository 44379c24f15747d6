//! Empty: the tests are in `behaviour.rs`, and those of secrets in `secrets.rs`.
