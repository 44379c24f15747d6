//! Which event is being handled: what nested emits inherit from.
//!
//! The scope is set around every poll of a handler, in a thread-local of the polling thread, so it
//! follows an async handler from thread to thread. It does not follow what the handler spawns;
//! [`Context`] carries it there.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use crate::event::EventDecl;
use crate::id::{EventId, InstanceId};
use crate::metadata::Metadata;
use crate::record::{Name, Record};

thread_local! {
    static CURRENT: Cell<Option<Scope>> = const { Cell::new(None) };
    static BARE: Bare = const { Bare::new() };
}

/// Where the thread is. Of an event without a record it is all there is to know, so that the shortest
/// emits need no more than a few stores: nothing in it has to be dropped.
struct Bare {
    inside: Cell<Inside>,
    decl: Cell<Option<&'static EventDecl>>,
    instance: Cell<InstanceId>,
    /// Made when something asks.
    id: Cell<Option<EventId>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// The handlers of an event without a record, as the other fields say.
    Bare,
    /// What `CURRENT` says.
    Scope,
}

impl Bare {
    const fn new() -> Self {
        Self {
            inside: Cell::new(Inside::Nothing),
            decl: Cell::new(None),
            instance: Cell::new(InstanceId::from_bytes([0; 16])),
            id: Cell::new(None),
        }
    }

    fn id(&self) -> EventId {
        let id = self.id.get().unwrap_or_else(EventId::new);
        self.id.set(Some(id));
        id
    }
}

/// Passes on the scope that is current.
fn with_current<T>(work: impl FnOnce(Option<&Scope>) -> T) -> T {
    BARE.with(|bare| match bare.inside.get() {
        Inside::Bare => {
            let cause = Cause::Bare(Box::new((bare.decl.get().map_or("", |decl| decl.name), bare.id())));
            work(Some(&Scope { instance: bare.instance.get(), cause }))
        }
        Inside::Scope => {
            let scope = CURRENT.take();
            let out = work(scope.as_ref());
            CURRENT.set(scope);
            out
        }
        Inside::Nothing => work(None),
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
    Bare(Box<(&'static str, EventId)>),
}

/// The emits inside which another one happens. A record keeps it, so that it also counts where a
/// handler sees the record later.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    /// How many there are.
    pub(crate) depth: u32,
    last: Option<Arc<Link>>,
}

struct Link {
    instance: InstanceId,
    name: Name,
    before: Option<Arc<Link>>,
}

impl Chain {
    fn with(&self, instance: InstanceId, name: Name) -> Self {
        let link = Link { instance, name, before: self.last.clone() };
        Self { depth: self.depth + 1, last: Some(Arc::new(link)) }
    }

    /// Whether one of them is an emit of this bus.
    pub(crate) fn passes(&self, instance: InstanceId) -> bool {
        self.links().any(|link| link.instance == instance)
    }

    fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        std::iter::successors(self.last.as_ref(), |link| link.before.as_ref())
    }

    /// The names from the first emit to `last`, joined by arrows.
    pub(crate) fn describe(&self, last: &str) -> String {
        let names = self.links().map(|link| link.name.as_str());
        let mut names: Vec<_> = std::iter::once(last).chain(names).collect();
        names.reverse();
        names.join(" -> ")
    }
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

    fn id(&self) -> EventId {
        match &self.cause {
            Cause::Record(record) => record.id(),
            Cause::Bare(bare) => bare.1,
        }
    }
}

impl Inherited {
    /// What an emit that happens now inherits; `None` outside of handlers.
    pub(crate) fn current() -> Option<Self> {
        with_current(|scope| {
            let scope = scope?;
            let (chain, metadata) = match &scope.cause {
                Cause::Record(record) => {
                    (record.chain().with(scope.instance, record.shared_name()), record.metadata().clone())
                }
                Cause::Bare(bare) => {
                    (Chain::default().with(scope.instance, Name::Declared(bare.0)), Metadata::new())
                }
            };
            Some(Self { chain, metadata, id: scope.id() })
        })
    }

    pub(crate) fn fill(&self, metadata: &mut Metadata) {
        metadata.inherit(&self.metadata, &self.id.to_string());
    }
}

/// Whether a handler is being polled on this thread.
pub(crate) fn is_inside() -> bool {
    BARE.with(|bare| bare.inside.get() != Inside::Nothing)
}

/// Whether the event being handled was itself emitted inside a handler.
pub(crate) fn is_nested() -> bool {
    with_current(|scope| match scope.map(|scope| &scope.cause) {
        Some(Cause::Record(record)) => record.chain().depth > 0,
        _ => false,
    })
}

/// Whether a handler of this bus is being polled on this thread, or waits for what is.
pub(crate) fn is_inside_of(instance: InstanceId) -> bool {
    with_current(|scope| {
        scope.is_some_and(|scope| match &scope.cause {
            _ if scope.instance == instance => true,
            Cause::Record(record) => record.chain().passes(instance),
            Cause::Bare(_) => false,
        })
    })
}

/// Runs `work` as part of handling the scope's event, and gives the scope back.
pub(crate) fn within<T>(scope: Scope, work: impl FnOnce() -> T) -> (T, Option<Scope>) {
    /// Restores what was current also when `work` panics.
    struct Restore(Option<Scope>, Inside);
    impl Restore {
        fn now(&mut self) -> Option<Scope> {
            BARE.with(|bare| bare.inside.set(self.1));
            CURRENT.replace(self.0.take())
        }
    }
    impl Drop for Restore {
        fn drop(&mut self) {
            self.now();
        }
    }
    let was = BARE.with(|bare| bare.inside.replace(Inside::Scope));
    let mut restore = Restore(CURRENT.replace(Some(scope)), was);
    let out = work();
    let scope = restore.now();
    std::mem::forget(restore);
    (out, scope)
}

/// Until it is dropped, the thread handles an event without a record.
pub(crate) struct InBare(());

/// Begins to handle an event without a record; `None` inside of handlers.
#[inline]
pub(crate) fn enter_bare(instance: InstanceId, decl: &'static EventDecl) -> Option<InBare> {
    BARE.with(|bare| {
        if bare.inside.get() != Inside::Nothing {
            return None;
        }
        bare.decl.set(Some(decl));
        bare.instance.set(instance);
        bare.id.set(None);
        bare.inside.set(Inside::Bare);
        Some(InBare(()))
    })
}

impl InBare {
    /// The event's id, if anybody asked for it.
    #[inline]
    pub(crate) fn leave(self) -> Option<EventId> {
        BARE.with(|bare| bare.id.get())
    }
}

impl Drop for InBare {
    #[inline]
    fn drop(&mut self) {
        BARE.with(|bare| bare.inside.set(Inside::Nothing));
    }
}

/// The id of the event whose handlers are being polled, made now if nobody asked before.
pub(crate) fn current_id() -> Option<EventId> {
    with_current(|scope| scope.map(Scope::id))
}

/// The event being handled, to carry into work that a handler spawns.
///
/// An emit inside a handler inherits correlation, causation and trace context from the event being
/// handled, and counts towards the depth of the chain. A task that the handler spawns is outside of
/// it: wrap its future. (A task-local of the emitting task is visible to a handler only until its
/// first `.await` that waits: then the handler moves to a task of its own.)
///
/// ```
/// use typed_events::{Bus, Context, event, on};
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
///     tokio::spawn(Context::current().carry(async move {
///         // Has the causation id of the upload.finished event.
///         bus.emit(UploadScanned { file }).await
///     }));
/// }
/// ```
#[derive(Clone)]
pub struct Context(Option<Scope>);

impl Context {
    pub(crate) fn of(scope: Scope) -> Self {
        Self(Some(scope))
    }

    /// The event being handled on this thread; an empty context outside of handlers.
    pub fn current() -> Self {
        Self(with_current(|scope| scope.cloned()))
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
        std::future::poll_fn(move |cx| within(scope.clone(), || future.as_mut().poll(cx)).0).await
    }

    /// Runs a closure as if it were part of the handler, such as on a thread of its own.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        match self.0 {
            Some(scope) => within(scope, work).0,
            None => work(),
        }
    }
}
