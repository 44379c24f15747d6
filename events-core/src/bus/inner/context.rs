//! Which event is being handled: what nested emits inherit from.
//!
//! The scope is set around every poll of a handler, in a thread-local of the polling thread, so it
//! follows an async handler from thread to thread. It does not follow what the handler spawns;
//! [`EventContext`] carries it there.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use crate::event::EventDecl;
use crate::id::{EventId, InstanceId};
use crate::record::chain::Chain;
use crate::record::metadata::Metadata;
use crate::record::{Name, Record};

thread_local! {
    static HERE: Here = const { Here::new() };
    static RECORD: Cell<Option<Record>> = const { Cell::new(None) };
}

/// Where the thread is; nothing in it has to be dropped, so that entering takes a few stores.
struct Here {
    inside: Cell<Inside>,
    instance: Cell<InstanceId>,
    /// Of an event without a record.
    decl: Cell<Option<&'static EventDecl>>,
    /// Likewise; made when something asks.
    id: Cell<Option<EventId>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// The handlers of an event without a record, as the other fields say.
    Bare,
    /// The handlers of the event of `RECORD`.
    Record,
}

impl Here {
    const fn new() -> Self {
        Self {
            inside: Cell::new(Inside::Nothing),
            instance: Cell::new(InstanceId::from_bytes([0; 16])),
            decl: Cell::new(None),
            id: Cell::new(None),
        }
    }

    fn scope(&self) -> Option<Scope> {
        let cause = match self.inside.get() {
            Inside::Nothing => return None,
            Inside::Bare => {
                let id = self.id.get().unwrap_or_else(EventId::new);
                self.id.set(Some(id));
                Cause::Bare(self.decl.get()?, id)
            }
            Inside::Record => {
                let record = RECORD.try_with(|current| {
                    let record = current.take();
                    current.set(record.clone());
                    record
                });
                Cause::Record(record.ok()??)
            }
        };
        Some(Scope { instance: self.instance.get(), cause })
    }

    /// Makes a scope the current one, and gives the one around it.
    #[inline]
    fn enter(&self, instance: InstanceId, inside: Inside) -> Entered {
        let outer = if self.inside.get() == Inside::Nothing { None } else { self.scope().map(Box::new) };
        self.instance.set(instance);
        self.inside.set(inside);
        Entered { outer }
    }
}

/// Until it is dropped, the thread handles an event.
pub(crate) struct Entered {
    outer: Option<Box<Scope>>,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| {
            if here.inside.replace(Inside::Nothing) == Inside::Record {
                // Gone only where the thread is ending, and then it held nothing.
                let _ = RECORD.try_with(|current| drop(current.take()));
            }
        });
        if let Some(outer) = self.outer.take() {
            outer.restore();
        }
    }
}

/// Until it is dropped, the thread handles an event without a record, outside of all handlers.
pub(crate) struct EnteredBare(());

/// Begins to handle an event without a record, outside of all handlers.
#[inline]
pub(crate) fn enter_bare(instance: InstanceId, decl: &'static EventDecl) -> EnteredBare {
    HERE.with(|here| {
        here.instance.set(instance);
        here.decl.set(Some(decl));
        here.id.set(None);
        here.inside.set(Inside::Bare);
        EnteredBare(())
    })
}

impl EnteredBare {
    /// Whether anybody asked for the event's id.
    #[inline]
    pub(crate) fn has_id(&self) -> bool {
        HERE.with(|here| here.id.get().is_some())
    }

    #[cold]
    pub(crate) fn id(&self) -> Option<EventId> {
        HERE.with(|here| here.id.get())
    }
}

impl Drop for EnteredBare {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.inside.set(Inside::Nothing));
    }
}

/// Begins to handle the event of a record.
#[inline]
pub(crate) fn enter_record(instance: InstanceId, record: &Record) -> Entered {
    HERE.with(|here| {
        let entered = here.enter(instance, Inside::Record);
        if RECORD.try_with(|current| current.set(Some(record.clone()))).is_err() {
            // The destructors of the thread's locals emit: there is nothing to remember the event in.
            here.inside.set(Inside::Nothing);
        }
        entered
    })
}

/// The event whose handlers are being polled.
#[derive(Clone)]
pub(crate) struct Scope {
    instance: InstanceId,
    cause: Cause,
}

#[derive(Clone)]
enum Cause {
    Record(Record),
    /// An emit without a record.
    Bare(&'static EventDecl, EventId),
}

/// What a nested emit takes over from the event being handled.
pub(crate) struct Inherited {
    pub(crate) chain: Chain,
    metadata: Metadata,
    id: EventId,
}

impl Scope {
    pub(crate) fn of_record(instance: InstanceId, record: &Record) -> Self {
        Self { instance, cause: Cause::Record(record.clone()) }
    }

    fn current() -> Option<Self> {
        HERE.with(Here::scope)
    }

    /// Makes this the current scope until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        match &self.cause {
            Cause::Record(record) => enter_record(self.instance, record),
            Cause::Bare(decl, id) => HERE.with(|here| {
                let entered = here.enter(self.instance, Inside::Bare);
                here.decl.set(Some(decl));
                here.id.set(Some(*id));
                entered
            }),
        }
    }

    /// Makes this the current scope again.
    #[cold]
    fn restore(&self) {
        std::mem::forget(self.enter());
    }

    fn id(&self) -> EventId {
        match &self.cause {
            Cause::Record(record) => record.id(),
            Cause::Bare(_, id) => *id,
        }
    }
}

impl Inherited {
    /// What an emit that happens now inherits; `None` outside of handlers.
    pub(crate) fn current() -> Option<Self> {
        let scope = Scope::current()?;
        let id = scope.id();
        let (chain, metadata) = match scope.cause {
            Cause::Record(record) => {
                (record.chain().with(scope.instance, record.shared_name()), record.metadata().clone())
            }
            Cause::Bare(decl, _) => {
                (Chain::default().with(scope.instance, Name::Declared(decl.name)), Metadata::new())
            }
        };
        Some(Self { chain, metadata, id })
    }

    pub(crate) fn fill(&self, metadata: &mut Metadata) {
        metadata.inherit(&self.metadata, &self.id.to_string());
    }
}

/// Whether a handler is being polled on this thread.
#[inline]
pub(crate) fn is_inside() -> bool {
    HERE.with(|here| here.inside.get() != Inside::Nothing)
}

/// Whether the event being handled was itself emitted inside a handler.
pub(crate) fn is_nested() -> bool {
    match Scope::current().map(|scope| scope.cause) {
        Some(Cause::Record(record)) => record.chain().depth > 0,
        _ => false,
    }
}

/// Whether a handler of this bus is being polled on this thread, or waits for what is.
pub(crate) fn is_inside_of(instance: InstanceId) -> bool {
    Scope::current().is_some_and(|scope| match scope.cause {
        _ if scope.instance == instance => true,
        Cause::Record(record) => record.chain().passes(instance),
        Cause::Bare(..) => false,
    })
}

/// The id of the event whose handlers are being polled, made now if nobody asked before.
pub(crate) fn current_id() -> Option<EventId> {
    Scope::current().map(|scope| scope.id())
}

/// The event being handled, to carry into work that a handler spawns.
///
/// An emit inside a handler inherits correlation, causation and trace context from the event being
/// handled, and counts towards the depth of the chain. A task that the handler spawns is outside of
/// it: wrap its future. (A task-local of the emitting task is visible to a handler only until its
/// first `.await` that waits: then the handler moves to a task of its own.)
///
/// ```
/// use typed_events::{Bus, EventContext, event, on};
///
/// #[event("upload.finished")]
/// pub struct UploadFinished { pub file: String }
///
/// #[event("upload.scanned")]
/// pub struct UploadScanned { pub file: String }
///
/// #[on]
/// fn scan(upload: &UploadFinished, bus: &Bus) {
///     let (bus, file) = (bus.clone(), upload.file.clone());
///     tokio::spawn(EventContext::current().carry(async move {
///         // Has the causation id of the upload.finished event.
///         bus.emit(UploadScanned { file }).await
///     }));
/// }
/// ```
#[derive(Clone)]
pub struct EventContext(Option<Scope>);

impl EventContext {
    pub(crate) fn of(scope: Scope) -> Self {
        Self(Some(scope))
    }

    /// The event being handled on this thread; an empty context outside of handlers.
    pub fn current() -> Self {
        Self(Scope::current())
    }

    /// The id of the event being handled.
    pub fn event_id(&self) -> Option<EventId> {
        self.0.as_ref().map(Scope::id)
    }

    /// Runs a future as if it were part of the handler.
    ///
    /// The emit does not wait for it, and [`Bus::stop`](crate::Bus::stop) neither.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub async fn carry<F: Future>(self, future: F) -> F::Output {
        let Some(scope) = self.0 else { return future.await };
        let mut future = pin!(future);
        std::future::poll_fn(move |cx| {
            let _entered = scope.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Runs a closure as if it were part of the handler, such as on a thread of its own.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Scope::enter);
        work()
    }
}
