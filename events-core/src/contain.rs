//! Runs code of users in places where a panic of it must not end what the bus is doing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a waker, a destructor or a callback; a panic ends only that. The panic hook has shown it.
#[inline]
pub(crate) fn contained(work: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        discard(payload);
    }
}

/// Drops what a panic carried, which may panic in turn.
#[cold]
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
