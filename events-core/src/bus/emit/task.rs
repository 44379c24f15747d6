//! The task in which an emit goes on. It moves to the runtime of the bus when its own shuts down; what is lost
//! with that one, too, is logged, counted, and named by `stop`.
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use crate::adapter::BoxFuture;
use crate::bus::emit::emitted::Failure;
use crate::bus::inner::Inner;
use crate::bus::inner::outcome::HandlerError;
use crate::bus::inner::routes::Route;
use crate::contain::contained;
use crate::id::EventId;

/// What goes on of an emit.
pub(crate) trait Work: Future<Output: Send> + Send + Unpin + 'static {
    /// The bus of the emit.
    fn bus(&self) -> &Arc<Inner>;
}

/// Spawns work on the runtime of the caller, or else of the bus.
pub(crate) fn spawn<W: Work>(work: W) -> Task<W::Output> {
    let runtime = work.bus().runtime();
    let moved = Arc::default();
    let to = Some(Arc::clone(&moved));
    Task { running: runtime.spawn(Moving { work: Some(work), to, stays: false }), moved }
}

/// The task in which work goes on: also after it has moved. Dropping it stops nothing.
pub(crate) struct Task<T> {
    running: JoinHandle<T>,
    moved: Arc<Moved<T>>,
}

/// The task to which work has moved, until who waits for it takes that.
type Moved<T> = Mutex<Option<JoinHandle<T>>>;

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::task::ready!(Pin::new(&mut self.running).poll(cx)) {
                Ok(output) => return Poll::Ready(Ok(output)),
                Err(error) => {
                    // A runtime drops the work, which then moves, before it tells that the task has ended.
                    let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner).take();
                    match moved {
                        Some(task) => self.running = task,
                        None => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }
}

/// Spawns what nobody waits for. One type of task for all, since each costs every build of this crate.
pub(crate) fn spawn_boxed(runtime: &Handle, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(task)
}

/// Work that moves when it is dropped unfinished.
struct Moving<W: Work> {
    /// Until it is done.
    work: Option<W>,
    /// Where who waits for it finds it after it has moved.
    to: Option<Arc<Moved<W::Output>>>,
    /// Whether it does not move: it has, or a poll of it panicked.
    stays: bool,
}

impl<W: Work> Future for Moving<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Pending };
        let stays = std::mem::replace(&mut this.stays, true);
        let polled = Pin::new(work).poll(cx);
        match polled.is_ready() {
            true => this.work = None,
            false => this.stays = stays,
        }
        polled
    }
}

impl<W: Work> Drop for Moving<W> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let to = self.to.take();
        contained(|| match to {
            Some(to) if !self.stays => {
                let runtime = work.bus().runtime.clone();
                // Where that runtime is gone, too, this drops the work at once.
                let task = runtime.spawn(Moving { work: Some(work), to: None, stays: true });
                *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
            }
            _ => drop(work),
        });
    }
}

/// Work whose type is not known.
pub(crate) struct Boxed<T> {
    pub(crate) bus: Arc<Inner>,
    pub(crate) future: BoxFuture<'static, T>,
}

impl<T> Future for Boxed<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.future.as_mut().poll(cx)
    }
}

impl<T: Send + 'static> Work for Boxed<T> {
    fn bus(&self) -> &Arc<Inner> {
        &self.bus
    }
}

/// So many of what was abandoned are named.
const MOST_NAMED: usize = 16;

/// What was dropped unfinished, because its runtime shut down.
#[derive(Default)]
pub(crate) struct Abandoned {
    count: AtomicU64,
    names: Mutex<Vec<String>>,
}

impl Abandoned {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn note(&self, count: u64, name: String) {
        self.count.fetch_add(count, Ordering::Relaxed);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST_NAMED && !names.contains(&name) {
            names.push(name);
        }
    }

    /// What `stop` says of it; `None` where nothing was.
    pub(crate) fn describe(&self) -> Option<String> {
        let count = self.count();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if names.len() == MOST_NAMED { "; and perhaps others" } else { "" };
        (count > 0).then(|| format!("{count} lost with a runtime that shut down: {}{more}", names.join("; ")))
    }
}

impl Inner {
    /// Logs and counts a call of a handler that was dropped unfinished with its runtime.
    pub(crate) fn abandon(&self, event: &str, id: Option<EventId>, handler: &Route) {
        let why = "it had not finished when its runtime shut down, and is lost";
        self.settings.fallback.failure(event, id, &Failure::new(handler, HandlerError::new(&why)));
        self.abandoned.note(1, format!("handler {} on {event}", handler.name()));
    }

    /// The same of events that were to reach a handler of `on_replay`.
    pub(crate) fn abandon_backlog(&self, events: u64, handler: &Route) {
        let why = format_args!("it had yet to handle {events} events when its runtime shut down");
        let failure = Failure::new(handler, HandlerError::new(&why));
        self.settings.fallback.failure(handler.pattern(), None, &failure);
        self.abandoned.note(events, format!("handler {} on {}", handler.name(), handler.pattern()));
    }

    /// The same of an emit that waited for the adapter.
    pub(crate) fn abandon_emit(&self, event: &str, events: u64) {
        self.settings.fallback.warning(format_args!(
            "{event}: the runtime shut down while the emit waited for {}: it may or may not be stored; no live handler ran",
            self.adapter_name()
        ));
        self.abandoned.note(events, format!("the emit of {event}"));
    }
}
