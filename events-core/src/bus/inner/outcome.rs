//! Return values and errors of handlers.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::adapter::AdapterError;
use crate::adapter::BoxFuture;
use crate::panics::drop_quietly;
use crate::text::of_error;

/// Return type of a handler: `()`, or `Result<(), E>` with an `E` that implements `Display`.
#[diagnostic::on_unimplemented(
    message = "a handler can't return `{Self}`",
    label = "expected `()` or `Result<(), E>`",
    note = "return `()`, or `Result<(), E>` where `E` implements `Display`: a failure is logged and listed in `Emitted::failures()`"
)]
pub trait HandlerReturn {
    #[doc(hidden)]
    fn report(self) -> HandlerResult;
}

impl HandlerReturn for () {
    #[inline]
    fn report(self) -> HandlerResult {
        Ok(())
    }
}

impl<E: ReturnError> HandlerReturn for Result<(), E> {
    #[inline]
    fn report(self) -> HandlerResult {
        self.map_err(ReturnError::into_handler_error)
    }
}

/// Allows a handler whose body only panics, such as `todo!()`.
#[diagnostic::do_not_recommend]
impl HandlerReturn for Never {
    fn report(self) -> HandlerResult {
        self
    }
}

/// The type `!`. Stable Rust can name it only as the return type of a function.
type Never = <fn() -> ! as Returns>::Output;

pub trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// Error type of a handler: any type that implements `Display`.
#[diagnostic::on_unimplemented(
    message = "a handler can't fail with `{Self}`: it can't be displayed",
    label = "`{Self}` does not implement `Display`",
    note = "implement `Display` for `{Self}`: the failure is logged and listed in `Emitted::failures()` as text"
)]
pub trait ReturnError {
    #[doc(hidden)]
    fn into_handler_error(self) -> HandlerError;
}

#[diagnostic::do_not_recommend]
impl<E: fmt::Display> ReturnError for E {
    fn into_handler_error(self) -> HandlerError {
        HandlerError::new(&self)
    }
}

/// The error or panic of a handler.
///
/// Boxed, so that the result of a handler is passed in registers.
#[derive(Debug)]
pub struct HandlerError(Box<Reason>);

#[derive(Debug)]
struct Reason {
    message: Box<str>,
    panicked: bool,
}

pub(crate) type HandlerResult = Result<(), HandlerError>;

impl HandlerError {
    pub(crate) fn new(error: &dyn fmt::Display) -> Self {
        Self::because(error, false)
    }

    fn because(error: &dyn fmt::Display, panicked: bool) -> Self {
        Self(Box::new(Reason { message: of_error(error).into(), panicked }))
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.0.panicked
    }

    /// Creates the error of a handler that panicked. Takes the payload by value, because dropping it may
    /// panic in turn.
    pub(crate) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let error = Self::because(&text.unwrap_or("(a panic without a message)"), true);
        drop_quietly(payload);
        error
    }
}

/// Result of calling a handler. `None` means that the handler has succeeded; this case fits in two registers.
/// Otherwise, a future of its result.
pub(crate) type CallResult = Option<BoxFuture<'static, HandlerResult>>;

/// Converts the result of a handler that does not wait.
#[inline]
pub(crate) fn finished(result: HandlerResult) -> CallResult {
    match result {
        Ok(()) => None,
        Err(error) => failed_call(error),
    }
}

#[cold]
fn failed_call(error: HandlerError) -> CallResult {
    Some(Box::pin(std::future::ready(Err(error))))
}

/// Return type of a closure: that of a handler, or a future of it. `Kind` distinguishes the two
/// implementations.
pub trait HandlerOutput<Kind>: Send + 'static {
    const IS_ASYNC: bool;
    fn into_call_result(self) -> CallResult;
}

/// Marks a closure that returns its result.
pub enum Sync {}

/// Marks a closure that returns a future of its result.
pub enum Async {}

impl<R: HandlerReturn + Send + 'static> HandlerOutput<Sync> for R {
    const IS_ASYNC: bool = false;

    #[inline]
    fn into_call_result(self) -> CallResult {
        finished(self.report())
    }
}

impl<F> HandlerOutput<Async> for F
where
    F: Future<Output: HandlerReturn> + Send + 'static,
{
    const IS_ASYNC: bool = true;

    #[inline]
    fn into_call_result(self) -> CallResult {
        // Not an async block: it would move the future once more at its first poll.
        Some(Box::pin(Reported { future: self }))
    }
}

pin_project_lite::pin_project! {
    /// Converts the output of a handler's future to the result of the handler.
    struct Reported<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future<Output: HandlerReturn>> Future for Reported<F> {
    type Output = HandlerResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerResult> {
        self.project().future.poll(cx).map(HandlerReturn::report)
    }
}

/// Converts a panic of an adapter to an error. An adapter panics, for example, on a runtime without the
/// driver it needs.
pub(crate) fn panicked<T>(panic: Box<dyn Any + Send>) -> Result<T, AdapterError> {
    let panic = HandlerError::panicked(panic);
    Err(AdapterError::refused(format_args!("it panicked: {}", panic.message())))
}
