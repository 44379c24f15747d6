//! Runs a user's code where a panic must not stop the bus.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

/// Runs a waker, a destructor or a callback, and catches its panic. The panic hook has already reported it.
#[inline]
pub fn catch_panic(work: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        drop_quietly(payload);
    }
}

/// Polls a future to its end. If it panics, returns the payload of the panic.
pub async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => std::task::Poll::Ready(Err(payload)),
    })
    .await
}

/// Drops the payload of a panic. If that panics, too, the second payload is leaked.
#[cold]
pub fn drop_quietly(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
