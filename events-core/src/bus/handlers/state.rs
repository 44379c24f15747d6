//! Arguments of a handler after the first: state from the builder, and values of the bus.

use std::any::{Any, TypeId, type_name};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bus::handlers::argument::Argument;
use crate::bus::inner::Bus;
use crate::bus::inner::call::Callback;
use crate::bus::inner::call::HandlerFn;
use crate::bus::inner::call::RequiredParts;
use crate::bus::inner::call::{Call, Delivery};
use crate::bus::inner::outcome::{HandlerError, HandlerResult, finished};
use crate::event::Event;
use crate::event::accepted::AcceptedEvents;
use crate::record::Record;
use crate::record::metadata::Metadata;

/// State by type. Each value is an `Arc<T>` in a `Box<dyn Any>`, so that `T` may be a `dyn Trait`.
#[derive(Default)]
pub(crate) struct States {
    /// In the order in which it was given. Searched linearly: a program has few states.
    given: Vec<GivenState>,
    /// The types that were given more than once.
    pub(crate) repeated: Vec<&'static str>,
}

struct GivenState {
    type_id: TypeId,
    name: &'static str,
    state: Box<dyn Any + Send + Sync>,
    taken: AtomicBool,
}

impl States {
    pub(crate) fn insert<T: ?Sized + Send + Sync + 'static>(&mut self, state: Arc<T>) {
        let name = type_name::<T>();
        let type_id = TypeId::of::<T>();
        if self.given.iter().any(|given| given.type_id == type_id) {
            return self.repeated.push(name);
        }
        self.given.push(GivenState { type_id, name, state: Box::new(state), taken: AtomicBool::new(false) });
    }

    fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let given = self.given.iter().find(|given| given.type_id == TypeId::of::<T>())?;
        given.taken.store(true, Ordering::Relaxed);
        given.state.downcast_ref::<Arc<T>>().cloned()
    }

    /// Returns the types that no handler took.
    pub(crate) fn untaken(&self) -> Vec<&'static str> {
        let untaken = self.given.iter().filter(|given| !given.taken.load(Ordering::Relaxed));
        let mut names: Vec<_> = untaken.map(|given| given.name).collect();
        names.sort_unstable();
        names
    }

    /// Returns advice on how to give a state of type `wanted`, based on the states that were given.
    pub(crate) fn advice(&self, wanted: &str) -> String {
        let has = |name: &str| self.given.iter().any(|given| given.name == name);
        let inside = |pointer: &str| wanted.strip_prefix(pointer).and_then(|rest| rest.strip_suffix('>'));
        if has(&format!("{ARC}{wanted}>")) {
            return format!("there is a state of type `Arc<{wanted}>`: give it with `.shared(...)`");
        }
        if let Some(inner) = inside(ARC).filter(|inner| has(inner)) {
            return format!("there is a state of type `{inner}`: take `&{inner}`");
        }
        match wanted.starts_with("dyn ") {
            true => format!("give one with `.shared::<{wanted}>(Arc::new(...))`"),
            false => "give one with `.state(...)`, or an `Arc` of one with `.shared(...)`".to_owned(),
        }
    }
}

/// Prefix of the type name of an `Arc`.
const ARC: &str = "alloc::sync::Arc<";

/// Binds one handler to its state.
pub struct Binder<'a> {
    states: &'a States,
    requires: RequiredParts,
    takes_arc: bool,
    accepts: AcceptedEvents,
    /// The name and type of each argument for which no state was given.
    pub(crate) missing: Vec<(&'static str, &'static str)>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(states: &'a States) -> Self {
        Self {
            states,
            requires: RequiredParts::Event,
            takes_arc: false,
            accepts: AcceptedEvents::Any,
            missing: Vec::new(),
        }
    }

    /// Stores the properties of the first argument.
    pub fn first<'b, T: Argument<'b>>(&mut self) {
        self.require(T::REQUIRES);
        self.takes_arc = T::TAKES_ARC;
        self.accepts = T::ACCEPTS;
    }

    fn require(&mut self, parts: RequiredParts) {
        self.requires = self.requires.max(parts);
    }

    /// Creates the callback of a handler that returns its result.
    pub fn finish_sync<F>(&self, run: F) -> Callback
    where
        F: Fn(&Call<'_>) -> HandlerResult + Send + Sync + 'static,
    {
        let run: Arc<HandlerFn> = Arc::new(move |call| finished(run(call)));
        let run = if self.requires < RequiredParts::Delivery { run } else { with_delivery(run) };
        Callback {
            requires: self.requires,
            takes_arc: self.takes_arc,
            accepts: self.accepts,
            is_async: false,
            function: run,
        }
    }

    /// Creates the callback of a handler that returns a future.
    pub fn finish_async<F, R>(&self, run: F) -> Callback
    where
        F: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Future<Output = HandlerResult> + Send + 'static,
    {
        Callback {
            requires: RequiredParts::Record,
            takes_arc: self.takes_arc,
            accepts: self.accepts,
            is_async: true,
            function: Arc::new(move |call| match call.to_delivery() {
                Ok(delivery) => Some(Box::pin(run(delivery))),
                Err(error) => finished(Err(error)),
            }),
        }
    }
}

/// Wraps a handler so that it is called with a [`Delivery`], from which it can borrow.
fn with_delivery(run: Arc<HandlerFn>) -> Arc<HandlerFn> {
    Arc::new(move |call| match call.to_delivery() {
        Ok(delivery) => run(&delivery.call()),
        Err(error) => finished(Err(error)),
    })
}

/// Type of handler state: any type that threads can share.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the state of a handler",
    label = "handlers run on many threads, and `{Self}` can't be shared between them",
    note = "state must be `Send + Sync + 'static`: use `Arc` instead of `Rc`, `Mutex` or an atomic instead of `RefCell` or `Cell`",
    note = "for a `dyn Trait`, declare `trait Trait: Send + Sync`"
)]
pub trait SharedState: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> SharedState for T {}

/// Detects at compile time whether an argument `&T` is state or a value of the bus: the inherent functions below take
/// precedence over [`BindState`].
///
/// Each function has a type parameter for the argument's type, so that an unsatisfied bound is an error at the argument.
pub struct Probe<T: ?Sized>(PhantomData<fn(&T)>);

/// Binds an argument to state from the builder.
pub trait BindState {
    /// Returns the state. If there is none, adds the argument to the binder's list of missing ones and
    /// returns `None`.
    fn __typed_events_bind<T: ?Sized + SharedState>(
        binder: &mut Binder<'_>,
        argument: &'static str,
    ) -> Option<State<T>>;
}

impl<S: ?Sized> BindState for Probe<S> {
    fn __typed_events_bind<T: ?Sized + SharedState>(
        binder: &mut Binder<'_>,
        argument: &'static str,
    ) -> Option<State<T>> {
        let state = binder.states.get::<T>();
        if state.is_none() {
            binder.missing.push((argument, type_name::<T>()));
        }
        state.map(State)
    }
}

/// State that is bound to an argument.
pub struct State<T: ?Sized>(Arc<T>);

impl<T: ?Sized> State<T> {
    /// Returns the state, borrowed for one call.
    ///
    /// # Errors
    ///
    /// Never; the `Result` matches the getters of values of the bus.
    pub fn get<'a>(&'a self, _: &Call<'a>) -> Result<&'a T, HandlerError> {
        Ok(&self.0)
    }
}

/// Implemented by no type. Its compiler message appears if a handler takes an event as a second argument:
/// state that is an event must be wrapped in another type.
#[diagnostic::on_unimplemented(
    message = "a handler takes one event, its first argument; `{Self}` is a second one",
    label = "a second event",
    note = "for several events, write a handler for each, or take an enum with `#[derive(EventSet)]`",
    note = "if it is state, wrap it in a struct"
)]
pub trait OnlyEvent {}

impl<E: Event> Probe<E> {
    /// Refuses an event after the first argument.
    pub fn __typed_events_bind<T: OnlyEvent>(_: &mut Binder<'_>, _: &'static str) -> Option<State<T>> {
        None
    }
}

macro_rules! given_by_the_bus {
    ($($given:ident: $ty:ty, $requires:expr, |$call:ident| $get:expr;)+) => {
        $(
            #[doc = concat!("Stands for an argument `&", stringify!($ty), "`.")]
            pub struct $given(());

            impl Probe<$ty> {
                /// Binds the argument to the value of the bus.
                pub fn __typed_events_bind<T>(binder: &mut Binder<'_>, _: &'static str) -> Option<$given> {
                    binder.require($requires);
                    Some($given(()))
                }
            }

            impl $given {
                /// Returns the value, borrowed for one call.
                ///
                /// # Errors
                ///
                /// An error if the call was made without the value.
                pub fn get<'a>(&'a self, $call: &Call<'a>) -> Result<&'a $ty, HandlerError> {
                    $get
                }
            }
        )+
    };
}

given_by_the_bus! {
    GivenBus: Bus, RequiredParts::Event, |call| Ok(call.bus);
    GivenRecord: Record, RequiredParts::Record, |call| call.record();
    GivenMetadata: Metadata, RequiredParts::Record, |call| call.record().map(Record::metadata);
    GivenDelivery: Delivery, RequiredParts::Delivery, |call| {
        call.delivery.ok_or_else(|| HandlerError::new(&"the handler was called without a delivery"))
    };
}
