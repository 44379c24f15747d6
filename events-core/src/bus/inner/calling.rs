//! Which handler each thread calls now, for the watch to read.
//!
//! A thread notes the address of what it calls, which costs a store for each handler. The watch finds the address
//! among the lists of handlers and the handlers that wait; nothing is read through it.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::bus::inner::routes::{List, Route};
use crate::panics::catch_panic;

/// What a thread calls. Only that thread writes to it, but for `named`.
#[repr(align(64))]
pub(crate) struct ThreadCall {
    /// The address of the route that is called, or the odd number of a handler that is polled again; 0 for none.
    callee: AtomicUsize,
    /// The news that the caller had seen when it called.
    since: AtomicU64,
    /// The [mark](Seen::mark) of the last call that was named as slow.
    named: AtomicU64,
}

/// What a thread called when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) callee: usize,
    pub(crate) since: u64,
}

impl Seen {
    /// Tells this call from others of its thread: a handler that emits and the one that this calls may have begun
    /// at the same news.
    fn mark(self) -> u64 {
        // Odd, so that no two times have the same product.
        self.since.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.callee as u64
    }
}

impl ThreadCall {
    const fn new() -> Self {
        Self { callee: AtomicUsize::new(0), since: AtomicU64::new(0), named: AtomicU64::new(u64::MAX) }
    }

    /// That of this thread.
    #[inline]
    fn mine() -> &'static Self {
        MINE.with(Cell::get).unwrap_or_else(lease)
    }

    fn seen(&self) -> Seen {
        Seen { callee: self.callee.load(Ordering::Acquire), since: self.since.load(Ordering::Acquire) }
    }

    /// Whether this call is to be named: once, by the watch while it runs or by the caller behind it.
    pub(crate) fn name(&self, call: Seen) -> bool {
        self.named.swap(call.mark(), Ordering::Relaxed) != call.mark()
    }
}

/// Changes that a running emit notices behind each handler: the ticks since the first bus was built, in the upper half,
/// and how often a list of handlers was replaced, in the lower.
pub(crate) static CHANGES: AtomicU64 = AtomicU64::new(0);

pub(crate) const ONE_TICK: u64 = 1 << 32;

/// Ticks since the first bus was built; wraps around.
pub(crate) fn ticks() -> u32 {
    (CHANGES.load(Ordering::Relaxed) / ONE_TICK) as u32
}

/// Ticks since some news.
pub(crate) fn ticks_since(news: u64) -> u32 {
    ticks().wrapping_sub((news / ONE_TICK) as u32)
}

/// Tells running emits that a list was replaced.
pub(crate) fn tell_replaced() {
    CHANGES.fetch_add(1, Ordering::Release);
}

/// Until it is dropped, this thread calls handlers; then again what it called before.
pub(crate) struct Calling {
    thread: &'static ThreadCall,
    outer: Seen,
    /// The [`CHANGES`] of the last lap.
    seen: u64,
}

impl Calling {
    #[inline]
    pub(crate) fn begin() -> Self {
        let seen = CHANGES.load(Ordering::Acquire);
        let thread = ThreadCall::mine();
        let outer = Seen {
            callee: thread.callee.load(Ordering::Relaxed),
            since: thread.since.load(Ordering::Relaxed),
        };
        thread.since.store(seen, Ordering::Relaxed);
        Self { thread, outer, seen }
    }

    /// This thread polls a handler that waits, again.
    pub(crate) fn polling(number: usize) -> Self {
        let calling = Self::begin();
        calling.thread.callee.store(number, Ordering::Relaxed);
        calling
    }

    /// Notes which handler is called.
    #[inline(always)]
    pub(crate) fn route(&self, route: &Route) {
        self.thread.callee.store(address_of(route), Ordering::Relaxed);
    }

    /// Whether the clock has ticked, or any list was replaced, since the last lap.
    #[inline]
    pub(crate) fn is_news(&self) -> bool {
        CHANGES.load(Ordering::Acquire) != self.seen
    }

    /// Begins to time the next handler; the news since which the last one was timed, and its ticks.
    pub(crate) fn lap(&mut self) -> (u64, u32) {
        let now = CHANGES.load(Ordering::Acquire);
        let before = std::mem::replace(&mut self.seen, now);
        self.thread.since.store(now, Ordering::Relaxed);
        (before, ticks_since(before))
    }

    /// Whether the call of a route since some news is to be named.
    pub(crate) fn name(&self, route: &Route, since: u64) -> bool {
        self.thread.name(Seen { callee: address_of(route), since })
    }
}

impl Drop for Calling {
    #[inline]
    fn drop(&mut self) {
        self.thread.callee.store(self.outer.callee, Ordering::Relaxed);
        self.thread.since.store(self.outer.since, Ordering::Relaxed);
    }
}

fn address_of(route: &Route) -> usize {
    std::ptr::from_ref(route).addr()
}

/// A number that no route has for its address, for a handler that waits.
pub(crate) fn next_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(1);
    LAST.fetch_add(2, Ordering::Relaxed)
}

thread_local! {
    /// Nothing in it has to be dropped, so that reading it takes one load.
    static MINE: Cell<Option<&'static ThreadCall>> = const { Cell::new(None) };
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

/// Gives the thread's place to another one when the thread ends.
struct Lease(Cell<Option<&'static ThreadCall>>);

impl Drop for Lease {
    fn drop(&mut self) {
        MINE.with(|mine| mine.set(None));
        if let Some(thread) = self.0.take() {
            threads().free.push(thread);
        }
    }
}

/// As many as there were threads at a time that emitted.
struct Threads {
    all: Vec<&'static ThreadCall>,
    free: Vec<&'static ThreadCall>,
}

fn threads() -> MutexGuard<'static, Threads> {
    static THREADS: Mutex<Threads> = Mutex::new(Threads { all: Vec::new(), free: Vec::new() });
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place for this thread.
#[cold]
fn lease() -> &'static ThreadCall {
    /// Of threads that end, and emit in the destructors of their locals. Nobody watches it.
    static NOBODY: ThreadCall = ThreadCall::new();
    LEASE
        .try_with(|lease| {
            let mut threads = threads();
            let thread = threads.free.pop().unwrap_or_else(|| {
                let new: &'static ThreadCall = Box::leak(Box::new(ThreadCall::new()));
                threads.all.push(new);
                new
            });
            drop(threads);
            lease.0.set(Some(thread));
            MINE.with(|mine| mine.set(Some(thread)));
            thread
        })
        .unwrap_or(&NOBODY)
}

/// What all threads call now: those that call nothing are left out.
pub(crate) fn calls() -> Vec<(&'static ThreadCall, Seen)> {
    let threads = threads().all.clone().into_iter();
    threads.map(|thread| (thread, thread.seen())).filter(|(_, seen)| seen.callee != 0).collect()
}

/// The lists of a bus that an emit may be calling, with the names of their events.
#[derive(Default)]
pub(crate) struct Lists(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    lists: Vec<(Weak<List>, Cow<'static, str>)>,
    /// How many there may be before those that are gone are looked for.
    bound: usize,
}

/// The fewest lists among which those that are gone are looked for.
const MIN_BOUND: usize = 64;

impl Lists {
    pub(crate) fn add(&self, event: impl Into<Cow<'static, str>>, list: &Arc<List>) {
        if list.entries.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lists.len() >= kept.bound {
            kept.lists.retain(|(list, _)| list.strong_count() > 0);
            kept.bound = MIN_BOUND.max(kept.lists.len() * 2);
        }
        kept.lists.push((Arc::downgrade(list), event.into()));
    }

    /// The entry whose route has an address: its list, its place in that, and the name of the event.
    pub(crate) fn find(&self, callee: usize) -> Option<(Arc<List>, usize, Cow<'static, str>)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = kept.lists.iter().filter_map(|(list, event)| Some((list.upgrade()?, event.clone())));
        let lists: Vec<_> = lists.collect();
        // Without the lock: a list may be the last owner of a closure.
        drop(kept);
        let found = lists.iter().find_map(|(list, event)| {
            let index = list.entries.iter().position(|entry| address_of(&entry.route) == callee)?;
            Some((Arc::clone(list), index, event.clone()))
        });
        catch_panic(|| drop(lists));
        found
    }
}
