//! The event that is being handled, from which nested emits inherit.
//!
//! The scope is set around every poll of a handler, in a thread-local of the polling thread, so it follows an
//! async handler from thread to thread. It does not follow tasks that the handler spawns; [`EventContext`]
//! carries it there.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use crate::event::EventDecl;
use crate::id::{EventId, InstanceId};
use crate::record::chain::Chain;
use crate::record::metadata::Metadata;
use crate::record::{Name, Record};

thread_local! {
    static SCOPE: ThreadScope = const { ThreadScope::new() };
    static RECORD: Cell<Option<Record>> = const { Cell::new(None) };
}

/// The scope of a thread. No field needs a destructor, so that entering a scope takes a few stores.
struct ThreadScope {
    handling: Cell<Handling>,
    instance: Cell<InstanceId>,
    /// The declaration of an event without a record.
    decl: Cell<Option<&'static EventDecl>>,
    /// The id of an event without a record; created when it is first read.
    id: Cell<Option<EventId>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Handling {
    Nothing,
    /// The thread runs handlers of an event without a record; `decl` and `id` describe it.
    EventWithoutRecord,
    /// The thread runs handlers of the event in `RECORD`.
    Record,
}

impl ThreadScope {
    const fn new() -> Self {
        Self {
            handling: Cell::new(Handling::Nothing),
            instance: Cell::new(InstanceId::from_bytes([0; 16])),
            decl: Cell::new(None),
            id: Cell::new(None),
        }
    }

    fn scope(&self) -> Option<Scope> {
        let cause = match self.handling.get() {
            Handling::Nothing => return None,
            Handling::EventWithoutRecord => {
                let id = self.id.get().unwrap_or_else(EventId::new);
                self.id.set(Some(id));
                Cause::WithoutRecord(self.decl.get()?, id)
            }
            Handling::Record => {
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

    /// Returns the current scope, for a nested one. Boxed in a function of its own, which keeps `enter` small.
    #[cold]
    fn outer(&self) -> Option<Box<Scope>> {
        self.scope().map(Box::new)
    }

    /// Replaces the current scope. The guard restores the outer one.
    #[inline]
    fn enter(&self, instance: InstanceId, handling: Handling) -> ScopeGuard {
        let outer = if self.handling.get() == Handling::Nothing { None } else { self.outer() };
        self.instance.set(instance);
        self.handling.set(handling);
        ScopeGuard { outer }
    }
}

/// Guard of a scope. Dropping it restores the outer scope.
pub(crate) struct ScopeGuard {
    outer: Option<Box<Scope>>,
}

impl Drop for ScopeGuard {
    #[inline]
    fn drop(&mut self) {
        SCOPE.with(|scope| {
            if scope.handling.replace(Handling::Nothing) == Handling::Record {
                // Fails only while the thread's locals are destroyed; the record is then gone already.
                let _ = RECORD.try_with(|current| drop(current.take()));
            }
        });
        if let Some(outer) = self.outer.take() {
            outer.restore();
        }
    }
}

/// Guard of the scope of an event without a record. There is no outer scope.
pub(crate) struct ScopeWithoutRecord(());

/// Enters the scope of an event without a record. The thread must be outside of all handlers.
#[inline]
pub(crate) fn enter_without_record(instance: InstanceId, decl: &'static EventDecl) -> ScopeWithoutRecord {
    SCOPE.with(|scope| {
        scope.instance.set(instance);
        scope.decl.set(Some(decl));
        scope.id.set(None);
        scope.handling.set(Handling::EventWithoutRecord);
        ScopeWithoutRecord(())
    })
}

impl ScopeWithoutRecord {
    /// Returns true if the id of the event was read, and so exists.
    #[inline]
    pub(crate) fn has_id(&self) -> bool {
        SCOPE.with(|scope| scope.id.get().is_some())
    }

    #[cold]
    pub(crate) fn id(&self) -> Option<EventId> {
        SCOPE.with(|scope| scope.id.get())
    }
}

impl Drop for ScopeWithoutRecord {
    #[inline]
    fn drop(&mut self) {
        SCOPE.with(|scope| scope.handling.set(Handling::Nothing));
    }
}

/// Enters the scope of a record.
#[inline]
pub(crate) fn enter_record(instance: InstanceId, record: &Record) -> ScopeGuard {
    let entered = SCOPE.with(|scope| scope.enter(instance, Handling::Record));
    if RECORD.try_with(|current| current.set(Some(record.clone()))).is_err() {
        // The thread-local is destroyed, because another destructor of the thread emits. Handle the event
        // without a scope.
        SCOPE.with(|scope| scope.handling.set(Handling::Nothing));
    }
    entered
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
    /// An event without a record.
    WithoutRecord(&'static EventDecl, EventId),
}

/// The values that a nested emit takes over from the event being handled.
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
        SCOPE.with(ThreadScope::scope)
    }

    /// Enters this scope until the guard is dropped.
    pub(crate) fn enter(&self) -> ScopeGuard {
        match &self.cause {
            Cause::Record(record) => enter_record(self.instance, record),
            Cause::WithoutRecord(decl, id) => SCOPE.with(|scope| {
                let entered = scope.enter(self.instance, Handling::EventWithoutRecord);
                scope.decl.set(Some(decl));
                scope.id.set(Some(*id));
                entered
            }),
        }
    }

    /// Makes this the current scope again, without a guard.
    #[cold]
    fn restore(&self) {
        std::mem::forget(self.enter());
    }

    fn id(&self) -> EventId {
        match &self.cause {
            Cause::Record(record) => record.id(),
            Cause::WithoutRecord(_, id) => *id,
        }
    }
}

impl Inherited {
    /// Returns what an emit on this thread inherits now; `None` outside of handlers.
    pub(crate) fn current() -> Option<Self> {
        let scope = Scope::current()?;
        let id = scope.id();
        let (chain, metadata) = match scope.cause {
            Cause::Record(record) => {
                (record.chain().with(scope.instance, record.shared_name()), record.metadata().clone())
            }
            Cause::WithoutRecord(decl, _) => {
                (Chain::default().with(scope.instance, Name::Declared(decl.name)), Metadata::new())
            }
        };
        Some(Self { chain, metadata, id })
    }

    pub(crate) fn fill_metadata(&self, metadata: &mut Metadata) {
        metadata.inherit(&self.metadata, &self.id.to_string());
    }
}

/// Returns true if this thread is polling a handler.
#[inline]
pub(crate) fn is_in_handler() -> bool {
    SCOPE.with(|scope| scope.handling.get() != Handling::Nothing)
}

/// Returns true if the event being handled was itself emitted inside a handler.
pub(crate) fn is_nested() -> bool {
    match Scope::current().map(|scope| scope.cause) {
        Some(Cause::Record(record)) => record.chain().depth > 0,
        _ => false,
    }
}

/// Returns true if this thread is polling a handler of this bus, or a handler whose event was emitted,
/// directly or not, inside a handler of this bus.
pub(crate) fn is_in_handler_of(instance: InstanceId) -> bool {
    Scope::current().is_some_and(|scope| match scope.cause {
        _ if scope.instance == instance => true,
        Cause::Record(record) => record.chain().contains_bus(instance),
        Cause::WithoutRecord(..) => false,
    })
}

/// Returns the id of the event whose handlers are being polled. Creates the id if it was not read before.
pub(crate) fn current_id() -> Option<EventId> {
    Scope::current().map(|scope| scope.id())
}

/// The scope of the event being handled, to carry into work that a handler spawns.
///
/// An emit inside a handler inherits correlation, causation and trace context from the event being handled,
/// and counts towards the depth of the chain. A task that the handler spawns is outside of the scope: wrap
/// its future with [`carry`](Self::carry). (A handler sees the task-locals of the emitting task only until
/// its first `.await` that waits, because it then moves to another task.)
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

    /// Returns the scope of the event being handled on this thread; an empty one outside of handlers.
    pub fn current() -> Self {
        Self(Scope::current())
    }

    /// Returns the id of the event being handled, or `None` outside of handlers.
    pub fn event_id(&self) -> Option<EventId> {
        self.0.as_ref().map(Scope::id)
    }

    /// Runs a future in this scope.
    ///
    /// Neither the emit nor [`Bus::stop`](crate::Bus::stop) waits for the future.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future.
    pub async fn carry<F: Future>(self, future: F) -> F::Output {
        let Some(scope) = self.0 else { return future.await };
        let mut future = pin!(future);
        std::future::poll_fn(move |cx| {
            let _entered = scope.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Runs a closure in this scope, for example on another thread.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Scope::enter);
        work()
    }
}
