//! Closures as handlers.

use std::sync::Arc;

use crate::bus::handlers::argument::Argument;
use crate::bus::inner::call::{Call, Callback, RequiredParts};
use crate::bus::inner::outcome::{CallResult, HandlerError, HandlerOutput, finished};
use crate::event::accepted::AcceptedEvents;
use crate::event::{Event, EventDecl};
use crate::record::Record;

/// A closure that can be registered as a handler at run time: `Fn(&E)`, `Fn(Arc<E>)` or `Fn(E)` of an event,
/// or `Fn(&Record)`. It returns `()`, `Result<(), E>` where `E` implements `Display`, or a future of either.
///
/// The future must own what it uses: take `Arc<E>`, or copy out of `&E` before the `async move` block. `Kind`
/// distinguishes these forms and is inferred.
#[diagnostic::on_unimplemented(
    message = "this can't be a handler",
    label = "expected `|record: &Record| ...` that returns `()`, a `Result` or a future",
    note = "it takes one argument: `&Record`, or `&E`, `Arc<E>` or `E` where `E` has `#[event(\"...\")]`",
    note = "it returns `()`, `Result<(), E>` where `E` implements `Display`, or a future of either that owns what it uses: `|event: Arc<E>| async move {{ ... }}`",
    note = "it must be `Fn + Send + Sync + 'static`: clone the values that it owns and an `async move` block uses"
)]
pub trait IntoHandler<Kind>: Send + Sync + 'static {
    #[doc(hidden)]
    const EVENT: Option<fn() -> &'static EventDecl>;

    #[doc(hidden)]
    fn into_callback(self) -> Callback;
}

/// A closure that takes one type of event, so that the type of its argument gives the event. Required by
/// [`Bus::on`](crate::Bus::on).
#[diagnostic::on_unimplemented(
    message = "this can't be a handler of an event",
    label = "expected `|event: &E| ...` that returns `()`, a `Result` or a future",
    note = "pass only the closure, without an event name: the type of its argument gives the event, as in `bus.on(|event: &UserCreated| ...)`; for `&Record`, call `bus.pattern(\"*\").on(|record: &Record| ...)`",
    note = "it takes one argument: `&E`, `Arc<E>` or `E` of an event; a view or an event set is taken by a function with `#[on]`",
    note = "it returns `()`, `Result<(), E>` where `E` implements `Display`, or a future of either that owns what it uses: `|event: Arc<E>| async move {{ ... }}`",
    note = "it must be `Fn + Send + Sync + 'static`: clone the values that it owns and an `async move` block uses"
)]
pub trait EventHandler<Kind>: IntoHandler<Kind> {}

/// Marks `Fn(&E) -> R` with an output `R` of kind `M`.
pub enum Borrowed<E, M> {
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<(E, M)>),
}

/// Marks `Fn(Arc<E>) -> R` with an output `R` of kind `M`.
pub enum Shared<E, M> {
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<(E, M)>),
}

/// Marks `Fn(E) -> R` with an output `R` of kind `M`.
pub enum Owned<E, M> {
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<(E, M)>),
}

/// Marks `Fn(&Record) -> R` with an output `R` of kind `M`.
pub enum Untyped<M> {
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<M>),
}

macro_rules! closures {
    ($($kind:ident: |$argument:ty| $requires:expr, $takes_arc:expr, $receive:expr;)+) => {
        $(
            impl<F, E, M, R> IntoHandler<$kind<E, M>> for F
            where
                F: Fn($argument) -> R + Send + Sync + 'static,
                E: Event,
                R: HandlerOutput<M>,
            {
                const EVENT: Option<fn() -> &'static EventDecl> = Some(E::decl);

                fn into_callback(self) -> Callback {
                    let receive: fn(&Call<'_>) -> Result<_, HandlerError> = $receive;
                    let callback = callback::<R, M>($requires, move |call| start(receive(call).map(&self)));
                    Callback { takes_arc: $takes_arc, ..callback }
                }
            }

            impl<F, E, M> EventHandler<$kind<E, M>> for F where F: IntoHandler<$kind<E, M>> {}
        )+
    };
}

closures! {
    Shared: |Arc<E>| RequiredParts::Record, true, |call| Arc::<E>::receive(call);
    Owned: |E| RequiredParts::Event, false, |call| call.event::<E>().cloned();
}

impl<F, E, M, R> IntoHandler<Borrowed<E, M>> for F
where
    F: Fn(&E) -> R + Send + Sync + 'static,
    E: Event,
    R: HandlerOutput<M>,
{
    const EVENT: Option<fn() -> &'static EventDecl> = Some(E::decl);

    fn into_callback(self) -> Callback {
        callback::<R, M>(RequiredParts::Event, move |call| match call.event.get() {
            Some(event) => self(event).into_call_result(),
            None => call_stored(&self, call),
        })
    }
}

/// Not inlined, so that the path of most calls is short.
#[cold]
#[inline(never)]
fn call_stored<E: Event, R: HandlerOutput<M>, M>(handler: &impl Fn(&E) -> R, call: &Call<'_>) -> CallResult {
    start(call.event().map(handler))
}

impl<F, E, M> EventHandler<Borrowed<E, M>> for F where F: IntoHandler<Borrowed<E, M>> {}

impl<F, M, R> IntoHandler<Untyped<M>> for F
where
    F: Fn(&Record) -> R + Send + Sync + 'static,
    M: 'static,
    R: HandlerOutput<M>,
{
    const EVENT: Option<fn() -> &'static EventDecl> = None;

    fn into_callback(self) -> Callback {
        callback::<R, M>(RequiredParts::Record, move |call| start(call.record().map(&self)))
    }
}

fn callback<R: HandlerOutput<M>, M>(
    requires: RequiredParts,
    run: impl Fn(&Call<'_>) -> CallResult + Send + Sync + 'static,
) -> Callback {
    Callback {
        // A pending handler can outlive the first poll of its emit, and is then identified by its record.
        requires: if R::IS_ASYNC { RequiredParts::Record } else { requires },
        takes_arc: false,
        accepts: AcceptedEvents::Any,
        is_async: R::IS_ASYNC,
        function: Arc::new(run),
    }
}

fn start<R: HandlerOutput<M>, M>(outcome: Result<R, HandlerError>) -> CallResult {
    match outcome {
        Ok(outcome) => outcome.into_call_result(),
        Err(error) => finished(Err(error)),
    }
}
