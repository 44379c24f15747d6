//! Handlers: what `#[on]` and the bus make of a function or closure.

pub(crate) mod argument;
pub(crate) mod closure;
pub(crate) mod set;
pub(crate) mod state;
pub(crate) mod subscription;

use crate::adapter::options::DurableOptions;
use crate::bus::handlers::state::Binder;
use crate::bus::inner::call::Callback;
use crate::event::SourceLocation;
use crate::event::takes::Takes;

/// A type that stands for a function marked `#[on]`. Written by `#[on]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "this is not a function marked `#[on]`",
    note = "put `#[on]` or `#[on(\"a.pattern\")]` above the function `{Self}`"
)]
pub trait Handler {
    #[doc(hidden)]
    fn decl() -> &'static HandlerDecl;
}

/// One function marked `#[on]`, as a constant; its address tells it from all others.
pub struct HandlerDecl {
    pub(crate) location: SourceLocation,
    /// As written; the event's own name where nothing was.
    pub(crate) patterns: &'static [&'static str],
    /// What the function takes.
    pub(crate) takes: Takes,
    pub(crate) bind: fn(&mut Binder<'_>) -> Option<Callback>,
    /// Set where it is durable.
    pub(crate) durable: Option<DurableOptions>,
}

impl HandlerDecl {
    #[doc(hidden)]
    pub const fn new(
        location: SourceLocation,
        patterns: &'static [&'static str],
        takes: Takes,
        bind: fn(&mut Binder<'_>) -> Option<Callback>,
    ) -> Self {
        Self { location, patterns, takes, bind, durable: None }
    }

    /// The same as a durable handler.
    #[doc(hidden)]
    pub const fn durable(
        location: SourceLocation,
        patterns: &'static [&'static str],
        takes: Takes,
        bind: fn(&mut Binder<'_>) -> Option<Callback>,
        durable: DurableOptions,
    ) -> Self {
        Self { location, patterns, takes, bind, durable: Some(durable) }
    }
}

/// What `#[on]` submits to the linker.
pub struct LinkedHandler(pub fn() -> &'static HandlerDecl);

inventory::collect!(LinkedHandler);
