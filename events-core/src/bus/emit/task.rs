//! The task in which an emit goes on. It moves to the runtime of the bus when its own shuts down; what is lost
//! with that one, too, is logged, counted, and named by `stop`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

use crate::adapter::BoxFuture;
use crate::bus::inner::Inner;
use crate::contain::contained;

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
