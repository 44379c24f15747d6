//! The compiler messages are tested in `ui.rs`.
