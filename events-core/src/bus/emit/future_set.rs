//! A set of futures that one task polls, each only after it was woken.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A set of futures. Yields their outputs in the order in which they become ready.
pub(crate) struct FutureSet<F> {
    /// `None` for a future that is done.
    members: Vec<Option<Member<F>>>,
    pending: usize,
    /// Index of the first member that was never polled.
    first_unpolled: usize,
    queue: Arc<WakeQueue>,
}

struct Member<F> {
    future: F,
    flag: Arc<WakeFlag>,
    waker: Waker,
}

/// The state shared by the wakers of all members.
#[derive(Default)]
struct WakeQueue(Mutex<Woken>);

#[derive(Default)]
struct Woken {
    /// The members that were woken and not polled since, in the order of the wakes.
    members: VecDeque<usize>,
    /// Number of members that the current round still polls. A round consists of the members woken before it
    /// began.
    left_in_round: usize,
    /// The task that polls the set.
    task: Option<Waker>,
}

impl WakeQueue {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Woken {
    /// Takes the next member of the round.
    fn next(&mut self) -> Option<usize> {
        self.left_in_round = self.left_in_round.checked_sub(1)?;
        self.members.pop_front()
    }
}

/// The waker of one member. Wakes the task of the set.
struct WakeFlag {
    queue: Arc<WakeQueue>,
    member: usize,
    is_woken: AtomicBool,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = {
            let mut woken = self.queue.lock();
            woken.members.push_back(self.member);
            woken.task.clone()
        };
        // Without the lock: a waker is foreign code.
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F: Future + Unpin> FutureSet<F> {
    pub(crate) fn new() -> Self {
        Self {
            members: Vec::with_capacity(8),
            pending: 0,
            first_unpolled: 0,
            queue: Arc::new(WakeQueue::default()),
        }
    }

    /// Adds a future. The next [`poll_next`](Self::poll_next) polls it.
    pub(crate) fn push(&mut self, future: F) {
        let member = self.members.len();
        let queue = Arc::clone(&self.queue);
        let flag = Arc::new(WakeFlag { queue, member, is_woken: AtomicBool::new(true) });
        let waker = Waker::from(Arc::clone(&flag));
        self.members.push(Some(Member { future, flag, waker }));
        self.pending += 1;
    }

    /// Returns the output of the next member that is ready; `None` once all are done.
    ///
    /// One call polls each member at most once, so that a member that wakes itself at every poll does not
    /// block the task.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.pending == 0 {
            return Poll::Ready(None);
        }
        self.begin_round_if_ended(cx);
        while let Some(member) = self.next_member() {
            if let Poll::Ready(result) = self.poll_member(member) {
                return Poll::Ready(Some(result));
            }
        }
        if !self.queue.lock().members.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn next_member(&mut self) -> Option<usize> {
        if self.first_unpolled < self.members.len() {
            self.first_unpolled += 1;
            return Some(self.first_unpolled - 1);
        }
        self.queue.lock().next()
    }

    /// Stores the waker of the task. If the last round has ended, begins a new one with the members woken
    /// since.
    fn begin_round_if_ended(&mut self, cx: &Context<'_>) {
        let mut woken = self.queue.lock();
        if woken.left_in_round == 0 {
            woken.left_in_round = woken.members.len();
        }
        let before = match &woken.task {
            Some(task) if task.will_wake(cx.waker()) => None,
            _ => woken.task.replace(cx.waker().clone()),
        };
        drop(woken);
        drop(before);
    }

    fn poll_member(&mut self, member: usize) -> Poll<F::Output> {
        let Some(slot) = self.members.get_mut(member) else { return Poll::Pending };
        // A waker may wake a member that is done.
        let Some(Member { future, flag, waker }) = slot else { return Poll::Pending };
        // Clear the flag before the poll, so that a wake during the poll is not missed.
        flag.is_woken.store(false, Ordering::Release);
        let result = std::task::ready!(Pin::new(future).poll(&mut Context::from_waker(waker)));
        *slot = None;
        self.pending -= 1;
        Poll::Ready(result)
    }
}

/// Polls futures until all are done. Returns the outputs in the order of the futures.
pub(crate) async fn join_all<F: Future + Unpin>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut set = FutureSet::new();
    let mut results = Vec::new();
    for (index, future) in futures.into_iter().enumerate() {
        set.push(Indexed { index, future });
        results.push(None);
    }
    while let Some((index, result)) = std::future::poll_fn(|cx| set.poll_next(cx)).await {
        results[index] = Some(result);
    }
    results.into_iter().flatten().collect()
}

/// A future that returns its index with its output.
struct Indexed<F> {
    index: usize,
    future: F,
}

impl<F: Future + Unpin> Future for Indexed<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        Pin::new(&mut self.future).poll(cx).map(|result| (index, result))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn results_keep_the_order_of_the_futures() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..100).map(|_| oneshot::channel::<usize>()).unzip();
        let joined = tokio::spawn(join_all(receivers));
        for (index, sender) in senders.into_iter().enumerate().rev() {
            sender.send(index).unwrap();
            if index % 7 == 0 {
                yield_now().await;
            }
        }
        let results: Vec<_> = joined.await.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        assert_eq!(join_all(Vec::<std::future::Ready<()>>::new()).await, []);
    }

    #[tokio::test]
    async fn only_a_woken_member_is_polled() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..50).map(|_| oneshot::channel::<()>()).unzip();
        let counted = receivers.into_iter().map(|mut receiver| {
            let polls = Arc::clone(&polls);
            Box::pin(std::future::poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                Pin::new(&mut receiver).poll(cx)
            }))
        });
        let joined = tokio::spawn(join_all(counted.collect::<Vec<_>>()));
        yield_now().await;
        for sender in senders {
            sender.send(()).unwrap();
            yield_now().await;
        }
        joined.await.unwrap();
        assert_eq!(polls.load(Ordering::Relaxed), 100);
    }

    #[tokio::test]
    async fn a_member_that_wakes_itself_does_not_hold_the_task() {
        let forever = Box::pin(std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let joined = tokio::time::timeout(Duration::from_millis(20), join_all([forever]));
        assert!(joined.await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn wakes_from_other_threads_are_seen() {
        for _ in 0..200 {
            let tasks = (0..8).map(|index| {
                tokio::spawn(async move {
                    yield_now().await;
                    index
                })
            });
            let results = join_all(tasks.collect::<Vec<_>>()).await;
            assert!(results.into_iter().map(Result::unwrap).eq(0..8));
        }
    }
}
