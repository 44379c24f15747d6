//! What rust-analyzer says of a crate is tested in `editor.rs`.
