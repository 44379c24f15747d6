//! Which event is being handled: what nested emits inherit from.
//!
//! The scope is set around every poll of a handler, in a thread-local of the polling thread, so it
//! follows an async handler from thread to thread. It does not follow what the handler spawns;
//! [`Context`] carries it there.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use crate::id::{EventId, InstanceId};
use crate::metadata::Metadata;
use crate::record::{Name, Record};

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
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
    /// An emit without a record; its id is made when something asks.
    Bare(&'static str, OnceCell<EventId>),
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
    pub(crate) fn bare(instance: InstanceId, name: &'static str) -> Self {
        Self { instance, cause: Cause::Bare(name, OnceCell::new()) }
    }

    pub(crate) fn of_record(instance: InstanceId, record: &Record) -> Self {
        Self { instance, cause: Cause::Record(record.clone()) }
    }

    fn id(&self) -> EventId {
        match &self.cause {
            Cause::Record(record) => record.id(),
            Cause::Bare(_, id) => *id.get_or_init(EventId::new),
        }
    }
}

impl Inherited {
    /// What an emit that happens now inherits; `None` outside of handlers.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(|scope| {
            let scope = scope.as_ref()?;
            let (chain, metadata) = match &scope.cause {
                Cause::Record(record) => (
                    record.chain().with(scope.instance, record.shared_name().clone()),
                    record.metadata().clone(),
                ),
                Cause::Bare(name, _) => {
                    (Chain::default().with(scope.instance, Name::Declared(name)), Metadata::new())
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
    CURRENT.with_borrow(Option::is_some)
}

/// Whether the event being handled was itself emitted inside a handler.
pub(crate) fn is_nested() -> bool {
    CURRENT.with_borrow(|scope| match scope.as_ref().map(|scope| &scope.cause) {
        Some(Cause::Record(record)) => record.chain().depth > 0,
        _ => false,
    })
}

/// Whether a handler of this bus is being polled on this thread, or waits for what is.
pub(crate) fn is_inside_of(instance: InstanceId) -> bool {
    CURRENT.with_borrow(|scope| {
        scope.as_ref().is_some_and(|scope| match &scope.cause {
            _ if scope.instance == instance => true,
            Cause::Record(record) => record.chain().passes(instance),
            Cause::Bare(..) => false,
        })
    })
}

/// Runs `work` as part of handling the scope's event, and gives the scope back.
pub(crate) fn within<T>(scope: Scope, work: impl FnOnce() -> T) -> (T, Option<Scope>) {
    /// Restores what was current also when `work` panics.
    struct Restore(Option<Scope>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.replace(self.0.take());
        }
    }
    let mut restore = Restore(CURRENT.replace(Some(scope)));
    let out = work();
    let scope = CURRENT.replace(restore.0.take());
    std::mem::forget(restore);
    (out, scope)
}

/// The id of the event whose handlers are being polled, made now if nobody asked before.
pub(crate) fn current_id() -> Option<EventId> {
    CURRENT.with_borrow(|scope| scope.as_ref().map(Scope::id))
}

/// The id in a scope that was left, if anybody asked for it.
pub(crate) fn id_made(scope: Option<&Scope>) -> Option<EventId> {
    match &scope?.cause {
        Cause::Record(record) => Some(record.id()),
        Cause::Bare(_, id) => id.get().copied(),
    }
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
        Self(CURRENT.with_borrow(|scope| {
            let scope = scope.as_ref()?;
            // From here on there are two scopes of this emit: they must agree on the id.
            scope.id();
            Some(scope.clone())
        }))
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
