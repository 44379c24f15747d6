//! A future that several tasks poll: it makes progress as long as one of them is polled.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::adapter::BoxFuture;
use crate::panics::catch_panic;

/// The future and its output. Every task that waits for the output polls the future, and all are woken when
/// it wakes.
pub(crate) struct SharedFuture<T> {
    /// `None` while a task polls the future, and once there is an output.
    future: Mutex<Option<BoxFuture<'static, T>>>,
    output: OnceLock<T>,
    woken: Arc<Woken>,
}

/// Wakes all tasks that poll a future.
struct Woken(watch::Sender<()>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.send_replace(());
    }
}

impl<T: Clone> SharedFuture<T> {
    /// Wraps a future. The future must catch its own panics.
    pub(crate) fn new(future: BoxFuture<'static, T>) -> Self {
        let woken = Arc::new(Woken(watch::Sender::new(())));
        Self { future: Mutex::new(Some(future)), output: OnceLock::new(), woken }
    }

    /// Waits for the output. At the earliest deadline of all callers, the future is dropped and the output is
    /// that caller's `otherwise`, for all callers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: other callers continue to poll the future.
    pub(crate) async fn output_by(&self, deadline: Instant, otherwise: impl FnOnce() -> T) -> T {
        let in_time = timeout_at(deadline, self.output()).await;
        in_time.unwrap_or_else(|_| self.end(otherwise()))
    }

    async fn output(&self) -> T {
        let mut woken = self.woken.0.subscribe();
        loop {
            // Before the future is polled, so that a wake during the poll is seen as a change.
            woken.borrow_and_update();
            if let Some(output) = self.output.get() {
                return output.clone();
            }
            match self.poll() {
                Poll::Ready(output) => return self.end(output),
                Poll::Pending => {}
            }
            // Never fails: `self` owns the sender.
            let _ = woken.changed().await;
        }
    }

    /// Polls the future, unless another task is polling it.
    fn poll(&self) -> Poll<T> {
        let Some(mut future) = self.lock().take() else { return Poll::Pending };
        let woken = self.woken.0.subscribe();
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            catch_panic(|| drop(future));
            return polled;
        }
        let mut slot = self.lock();
        if self.output.get().is_none() {
            *slot = Some(future);
            drop(slot);
            // While this task polled, other tasks may have been woken without being able to poll, and this
            // task may never be polled again.
            if woken.has_changed().unwrap_or(false) {
                self.woken.wake_by_ref();
            }
        } else {
            drop(slot);
            catch_panic(|| drop(future));
        }
        Poll::Pending
    }

    /// Sets the output if there is none yet; returns the output that was set first.
    fn end(&self, output: T) -> T {
        let output = self.output.get_or_init(|| output).clone();
        let future = self.lock().take();
        catch_panic(|| drop(future));
        self.woken.wake_by_ref();
        output
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<BoxFuture<'static, T>>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn it_goes_on_when_those_who_drove_it_are_gone() {
        for _ in 0..500 {
            let (steps, mut step) = mpsc::channel(1);
            let counts = async move {
                let mut count = 0;
                while step.recv().await.is_some() {
                    count += 1;
                }
                count
            };
            let shared = Arc::new(SharedFuture::new(Box::pin(counts)));
            let drivers: Vec<_> = (0..4)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { shared.output_by(far(), || 0).await })
                })
                .collect();
            let feeds =
                tokio::task::spawn_blocking(move || (0..100).for_each(|_| steps.blocking_send(()).unwrap()));
            for (number, driver) in drivers.into_iter().enumerate() {
                match number {
                    0..=2 => driver.abort(),
                    _ => assert_eq!(driver.await.unwrap(), 100),
                }
            }
            feeds.await.unwrap();
        }
    }

    #[tokio::test]
    async fn at_the_first_deadline_it_ends_for_all() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let shared = SharedFuture::new(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(holds);
            0
        }));
        let soon = Instant::now() + Duration::from_millis(1);
        let outputs = tokio::join!(shared.output_by(far(), || 1), shared.output_by(soon, || 2));
        assert_eq!(outputs, (2, 2));
        assert_eq!(shared.output_by(far(), || 3).await, 2);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
