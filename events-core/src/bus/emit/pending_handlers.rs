//! The pending handlers of one event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::adapter::BoxFuture;
use crate::bus::emit::dispatch::note_failed_call;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::future_set::FutureSet;
use crate::bus::emit::task::{self, Progress, Task, Work};
use crate::bus::inner::Inner;
use crate::bus::inner::calling::Calling;
use crate::bus::inner::context::Scope;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::in_flight::Detached;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::slow::WaitingGuard;
use crate::error::Error;
use crate::panics::catch_panic;

/// The handlers of one event after their first poll.
pub(crate) type HandlersProgress = Progress<Emitted, PendingHandlers>;

/// The pending handlers of one event, polled together by one task.
pub(crate) struct PendingHandlers {
    pub(super) inner: Arc<Inner>,
    pub(super) scope: Scope,
    /// The report of the emit; `None` once all handlers are done.
    pub(super) emitted: Option<Emitted>,
    pub(super) failures: Vec<Failure>,
    pub(super) running: HandlerFutures,
    pub(super) waiting: WaitingGuard,
}

impl PendingHandlers {
    /// Spawns a task that polls the handlers. The caller must be in flight.
    pub(super) fn spawn(self, detached: Option<Detached>) -> Task<Emitted> {
        task::spawn(self.waiting.record().shared_name(), detached, self)
    }

    /// Polls the handlers that were woken. Must run in the scope.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((index, result)) = std::task::ready!(self.running.poll_next(cx)) {
            let route = self.waiting.finish(index);
            if let Err(error) = result {
                self.failures.push(note_failed_call(&self.inner, self.waiting.event(), route, error));
            }
        }
        Poll::Ready(())
    }
}

impl Future for PendingHandlers {
    type Output = Emitted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Emitted> {
        let this = &mut *self;
        this.waiting.begin();
        let entered = this.scope.enter();
        let polled = this.drive(cx);
        drop(entered);
        std::task::ready!(polled);
        let failures = std::mem::take(&mut this.failures);
        match this.emitted.take() {
            Some(emitted) if failures.is_empty() => Poll::Ready(emitted),
            Some(emitted) => Poll::Ready(emitted.with_failures(failures)),
            None => Poll::Pending,
        }
    }
}

impl Work for PendingHandlers {
    type Output = Emitted;

    fn bus(&self) -> &Arc<Inner> {
        &self.inner
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<Emitted, Error>> {
        Pin::new(self).poll(cx).map(Ok)
    }
}

/// Reports each handler that is lost because this is dropped unfinished.
impl Drop for PendingHandlers {
    fn drop(&mut self) {
        if self.emitted.is_some() {
            let record = self.waiting.record();
            self.waiting.unfinished().for_each(|handler| {
                catch_panic(|| self.inner.report_lost_call(record.name(), Some(record.id()), handler));
            });
        }
    }
}

/// The futures of pending handlers. Most emits have at most one, which needs no set.
#[derive(Default)]
pub(super) enum HandlerFutures {
    #[default]
    Done,
    One(HandlerFuture),
    Many(FutureSet<HandlerFuture>),
}

impl HandlerFutures {
    pub(super) fn push(&mut self, future: HandlerFuture) {
        *self = match std::mem::replace(self, Self::Done) {
            Self::Done => Self::One(future),
            Self::One(first) => {
                let mut futures = FutureSet::new();
                futures.push(first);
                futures.push(future);
                Self::Many(futures)
            }
            Self::Many(mut futures) => {
                futures.push(future);
                Self::Many(futures)
            }
        };
    }

    /// Returns the next result of a handler; `None` once all are done.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, HandlerResult)>> {
        match self {
            Self::Done => Poll::Ready(None),
            Self::One(future) => {
                let result = std::task::ready!(Pin::new(future).poll(cx));
                *self = Self::Done;
                Poll::Ready(Some(result))
            }
            Self::Many(futures) => futures.poll_next(cx),
        }
    }
}

/// The future of a handler. Its output is an error if the handler panics, or the destructor of its future
/// does.
pub(super) struct HandlerFuture {
    pub(super) index: usize,
    /// The number that the thread stores while it polls this handler, so that a slow one can be named.
    pub(super) number: usize,
    /// `None` once the handler is done.
    pub(super) future: Option<BoxFuture<'static, HandlerResult>>,
}

impl Future for HandlerFuture {
    type Output = (usize, HandlerResult);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _calling = Calling::polling(self.number);
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(HandlerError::panicked(panic)),
        };
        // Dropping the future may panic as well. That is a failure of this handler, unless it has failed
        // already.
        let done = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(done))).map_err(HandlerError::panicked);
        Poll::Ready((self.index, result.and(dropped)))
    }
}
