//! Handlers: functions with `#[on]` and closures, in the form that the bus calls.

pub(crate) mod argument;
pub(crate) mod closure;
pub(crate) mod set;
pub(crate) mod state;
pub(crate) mod subscription;

#[cfg(feature = "durable")]
use crate::adapter::options::DurableOptions;
use crate::bus::handlers::state::Binder;
use crate::bus::inner::call::Callback;
use crate::event::SourceLocation;
use crate::event::accepted::AcceptedEvents;

/// A type that represents a function marked `#[on]`. Implemented by `#[on]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "this is not a function marked `#[on]`",
    note = "put `#[on]` or `#[on(\"a.pattern\")]` above the function `{Self}`"
)]
pub trait Handler {
    #[doc(hidden)]
    fn decl() -> &'static HandlerDecl;
}

/// The declaration of a function marked `#[on]`, as a constant. Its address identifies the handler.
pub struct HandlerDecl {
    pub(crate) location: SourceLocation,
    /// The patterns in the attribute; if it has none, the name of the event.
    pub(crate) patterns: &'static [&'static str],
    /// The events that the function takes.
    pub(crate) accepts: AcceptedEvents,
    pub(crate) bind: fn(&mut Binder<'_>) -> Option<Callback>,
    /// The options of a durable handler; `None` for a live one.
    #[cfg(feature = "durable")]
    pub(crate) durable: Option<DurableOptions>,
}

impl HandlerDecl {
    #[doc(hidden)]
    pub const fn new(
        location: SourceLocation,
        patterns: &'static [&'static str],
        accepts: AcceptedEvents,
        bind: fn(&mut Binder<'_>) -> Option<Callback>,
    ) -> Self {
        Self {
            location,
            patterns,
            accepts,
            bind,
            #[cfg(feature = "durable")]
            durable: None,
        }
    }

    /// Creates the declaration of a durable handler.
    #[cfg(feature = "durable")]
    #[doc(hidden)]
    pub const fn durable(
        location: SourceLocation,
        patterns: &'static [&'static str],
        accepts: AcceptedEvents,
        bind: fn(&mut Binder<'_>) -> Option<Callback>,
        durable: DurableOptions,
    ) -> Self {
        Self { location, patterns, accepts, bind, durable: Some(durable) }
    }
}

/// The entry that `#[on]` registers by linking.
pub struct LinkedHandler(pub fn() -> &'static HandlerDecl);

inventory::collect!(LinkedHandler);
