//! What the tests write.
