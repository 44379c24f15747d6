//! The task in which an emit continues. If its runtime shuts down, the task moves to the runtime of the bus.
//! Work that is lost because that runtime has shut down as well is logged, counted, and named by `stop`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

use crate::adapter::BoxFuture;
use crate::bus::inner::Inner;
use crate::bus::inner::in_flight::{Detached, InFlight, InFlightGuard};
use crate::bus::inner::report::Reporter;
use crate::error::{Error, ErrorKind};
use crate::panics::catch_panic;
use crate::record::Name;

/// A step of an emit: done, or with pending work.
pub(crate) enum Progress<T, P> {
    Done(T),
    Pending(P),
}

/// An emit after its first poll.
pub(crate) type FirstPoll<T> = Progress<Result<T, Error>, Task<T>>;

impl<T, P: Future<Output = T>> Progress<T, P> {
    pub(crate) async fn finish(self) -> T {
        match self {
            Self::Done(output) => output,
            Self::Pending(rest) => rest.await,
        }
    }
}

/// The pending work of an emit.
pub(crate) trait Work: Send + Unpin + 'static {
    type Output: Send + 'static;
    /// Returns the bus of the emit.
    fn bus(&self) -> &Arc<Inner>;
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Error>>;
}

/// Work with a type-erased future.
struct BoxedWork<T> {
    bus: Arc<Inner>,
    future: BoxFuture<'static, Result<T, Error>>,
}

impl<T: Send + 'static> Work for BoxedWork<T> {
    type Output = T;

    fn bus(&self) -> &Arc<Inner> {
        &self.bus
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        self.future.as_mut().poll(cx)
    }
}

/// Runs a future as the pending work of an emit: polls it once in the caller's task, and then in a new task.
pub(crate) async fn run<T: Send + 'static>(
    bus: &Arc<Inner>,
    flight: InFlight<'_>,
    event: Name,
    future: BoxFuture<'static, Result<T, Error>>,
) -> Result<T, Error> {
    let mut ready = Some((event, future));
    let progress = poll_fn(|cx| match ready.take() {
        Some((event, future)) => Poll::Ready(poll_or_spawn(bus, event, None, future, cx)),
        None => Poll::Pending,
    });
    let progress = progress.await;
    drop(flight);
    progress.finish().await
}

/// Polls a future once, and spawns it if it is pending. The caller must be in flight.
pub(super) fn poll_or_spawn<T: Send + 'static>(
    bus: &Arc<Inner>,
    event: Name,
    detached: Option<Detached>,
    mut future: BoxFuture<'static, Result<T, Error>>,
    cx: &mut Context<'_>,
) -> FirstPoll<T> {
    let _entered = bus.enter_runtime();
    match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Progress::Done(outcome),
        Poll::Pending => {
            Progress::Pending(spawn(event, detached, BoxedWork { bus: Arc::clone(bus), future }))
        }
    }
}

/// Spawns work on the current runtime, or on that of the bus if there is none. The caller must be in flight.
pub(super) fn spawn<W: Work>(event: Name, detached: Option<Detached>, work: W) -> Task<W::Output> {
    let moved = Arc::new(MovedTask { event, task: Mutex::default() });
    let moved_to = Some(Arc::clone(&moved));
    let counts = EmitCounts { _flight: InFlightGuard::new(&work.bus().lifecycle), _detached: detached };
    let runtime = work.bus().runtime();
    Task {
        running: runtime.spawn(MovableTask { work: Some((work, counts)), moved_to, must_stay: false }),
        moved,
    }
}

/// Keeps an emit counted as in flight, and as detached if it is, until its task ends or is dropped.
struct EmitCounts {
    _flight: InFlightGuard,
    _detached: Option<Detached>,
}

/// A handle to the task of an emit. It stays valid if the task moves to another runtime. Dropping the handle does not stop the
/// task.
pub(crate) struct Task<T> {
    running: JoinHandle<TaskResult<T>>,
    moved: Arc<MovedTask<T>>,
}

struct MovedTask<T> {
    event: Name,
    /// The task to which the work has moved, until the emit takes it.
    task: Mutex<Option<JoinHandle<TaskResult<T>>>>,
}

impl<T> Future for Task<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::task::ready!(Pin::new(&mut self.running).poll(cx)) {
                Ok(mut answer) => {
                    let result = answer.result.take();
                    return Poll::Ready(
                        result.unwrap_or_else(|| Err(lost_error(&self.moved.event, "its result was taken"))),
                    );
                }
                Err(error) => {
                    // A runtime drops the work, which then moves, before it reports that the task has ended.
                    let moved = self.moved.task.lock().unwrap_or_else(PoisonError::into_inner).take();
                    match moved {
                        Some(task) => self.running = task,
                        None => return Poll::Ready(Err(not_finished(&self.moved.event, error))),
                    }
                }
            }
        }
    }
}

fn not_finished(event: &Name, error: JoinError) -> Error {
    let why = match error.is_panic() {
        true => "a destructor panicked",
        false => "the runtimes of the emit and of the bus shut down",
    };
    lost_error(event, why).with_source(error)
}

fn lost_error(event: &Name, why: &str) -> Error {
    let event = event.as_str();
    let message = format!("{event}: {why} before all handlers had finished; the unfinished ones are lost");
    Error::new(ErrorKind::Runtime, message)
}

/// The result of an emit whose task has ended. If it is an error and is dropped because the emit was detached
/// or dropped, it is logged.
struct TaskResult<T> {
    /// `None` once the emit has taken it.
    result: Option<Result<T, Error>>,
    reporter: Reporter,
}

impl<T> Drop for TaskResult<T> {
    fn drop(&mut self) {
        if let Some(Err(error)) = &self.result {
            let reporter = self.reporter;
            catch_panic(|| {
                reporter.warning(format_args!("an emit that was detached or dropped failed: {error}"));
            });
        }
    }
}

/// Work that moves to the runtime of the bus if it is dropped unfinished.
struct MovableTask<W: Work> {
    /// `None` once the work is done.
    work: Option<(W, EmitCounts)>,
    /// Shared with the emit, which finds the moved task here.
    moved_to: Option<Arc<MovedTask<W::Output>>>,
    /// True if the work does not move: it has moved before, or a poll panicked.
    must_stay: bool,
}

impl<W: Work> Future for MovableTask<W> {
    type Output = TaskResult<W::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((work, _)) = &mut this.work else { return Poll::Pending };
        let must_stay = std::mem::replace(&mut this.must_stay, true);
        let reporter = work.bus().settings.reporter;
        let polled = work.poll_result(cx).map(|result| TaskResult { result: Some(result), reporter });
        match polled.is_ready() {
            true => this.work = None,
            false => this.must_stay = must_stay,
        }
        polled
    }
}

impl<W: Work> Drop for MovableTask<W> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let moved_to = self.moved_to.take();
        catch_panic(|| match moved_to {
            Some(to) if !self.must_stay => {
                let runtime = work.0.bus().runtime.clone();
                // If that runtime has shut down as well, this drops the work at once.
                let task = runtime.spawn(MovableTask { work: Some(work), moved_to: None, must_stay: true });
                *to.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
            }
            _ => drop(work),
        });
    }
}
