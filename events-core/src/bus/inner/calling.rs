//! Records which handler each thread is calling, so that slow handlers can be reported.
//!
//! A thread stores the address of the route that it calls, which costs one store per handler. The code that
//! looks for slow handlers compares that address with the lists of handlers and with the handlers that wait.
//! It never dereferences the address.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::bus::inner::routes::{HandlerList, Route};
use crate::panics::catch_panic;

/// The handler that a thread is calling. Only that thread writes the fields, except `reported`.
#[repr(align(64))]
pub(crate) struct ThreadCall {
    /// The address of the route that is called, or the odd number of a waiting handler that is polled; 0 if
    /// none.
    callee: AtomicUsize,
    /// The value of [`TICKS_AND_REPLACED_LISTS`] when the call began.
    since: AtomicU64,
    /// The [mark](CallSnapshot::mark) of the last call that was reported as slow.
    reported: AtomicU64,
}

/// A copy of a [`ThreadCall`], as it was read at one time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallSnapshot {
    pub(crate) callee: usize,
    pub(crate) since: u64,
}

impl CallSnapshot {
    /// Returns a value that distinguishes this call from others of its thread. `since` alone is not enough: a
    /// handler that emits and the handler that this emit calls may have begun at the same value of
    /// [`TICKS_AND_REPLACED_LISTS`].
    fn mark(self) -> u64 {
        // The factor is odd, so two different times never have the same product.
        self.since.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.callee as u64
    }
}

impl ThreadCall {
    const fn new() -> Self {
        Self { callee: AtomicUsize::new(0), since: AtomicU64::new(0), reported: AtomicU64::new(u64::MAX) }
    }

    /// Returns the entry of the current thread.
    #[inline]
    fn of_current_thread() -> &'static Self {
        MINE.with(Cell::get).unwrap_or_else(assign_entry)
    }

    fn snapshot(&self) -> CallSnapshot {
        CallSnapshot {
            callee: self.callee.load(Ordering::Acquire),
            since: self.since.load(Ordering::Acquire),
        }
    }

    /// Returns true the first time that it is called for `call`. Both the clock thread, while the call runs,
    /// and the caller, after the call, can report it.
    pub(crate) fn should_report(&self, call: CallSnapshot) -> bool {
        self.reported.swap(call.mark(), Ordering::Relaxed) != call.mark()
    }
}

/// A counter that a running emit compares after each handler. The upper half is the number of ticks since the
/// first bus was built. The lower half is the number of handler lists that were replaced.
pub(crate) static TICKS_AND_REPLACED_LISTS: AtomicU64 = AtomicU64::new(0);

pub(crate) const ONE_TICK: u64 = 1 << 32;

/// Returns the number of ticks since the first bus was built. Wraps around.
pub(crate) fn ticks() -> u32 {
    (TICKS_AND_REPLACED_LISTS.load(Ordering::Relaxed) / ONE_TICK) as u32
}

/// Returns the number of ticks since an earlier value of [`TICKS_AND_REPLACED_LISTS`].
pub(crate) fn ticks_since(changes: u64) -> u32 {
    ticks().wrapping_sub((changes / ONE_TICK) as u32)
}

/// Increments [`TICKS_AND_REPLACED_LISTS`], so that running emits notice that a list was replaced.
pub(crate) fn note_replaced_list() {
    TICKS_AND_REPLACED_LISTS.fetch_add(1, Ordering::Release);
}

/// Guard of a thread that calls handlers. Dropping it restores the call around this one.
pub(crate) struct Calling {
    thread: &'static ThreadCall,
    outer: CallSnapshot,
    /// The value of [`TICKS_AND_REPLACED_LISTS`] at which the timing of the current handler began.
    began: u64,
}

impl Calling {
    #[inline]
    pub(crate) fn begin() -> Self {
        let began = TICKS_AND_REPLACED_LISTS.load(Ordering::Acquire);
        let thread = ThreadCall::of_current_thread();
        let outer = CallSnapshot {
            callee: thread.callee.load(Ordering::Relaxed),
            since: thread.since.load(Ordering::Relaxed),
        };
        thread.since.store(began, Ordering::Relaxed);
        Self { thread, outer, began }
    }

    /// Creates the guard for another poll of a waiting handler.
    pub(crate) fn polling(number: usize) -> Self {
        let calling = Self::begin();
        calling.thread.callee.store(number, Ordering::Relaxed);
        calling
    }

    /// Stores which handler is called.
    #[inline(always)]
    pub(crate) fn set_callee(&self, route: &Route) {
        self.thread.callee.store(address_of(route), Ordering::Relaxed);
    }

    /// Returns true if the clock has ticked or a list was replaced since the last call of
    /// [`restart_timing`](Self::restart_timing).
    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        TICKS_AND_REPLACED_LISTS.load(Ordering::Acquire) != self.began
    }

    /// Ends the timing of one handler and begins that of the next. Returns, for the first one, the value of
    /// [`TICKS_AND_REPLACED_LISTS`] when its call began, and its duration in ticks.
    pub(crate) fn restart_timing(&mut self) -> (u64, u32) {
        let now = TICKS_AND_REPLACED_LISTS.load(Ordering::Acquire);
        let before = std::mem::replace(&mut self.began, now);
        self.thread.since.store(now, Ordering::Relaxed);
        (before, ticks_since(before))
    }

    /// Returns true the first time that it is called for the call of `route` that began at `since`.
    pub(crate) fn should_report(&self, route: &Route, since: u64) -> bool {
        self.thread.should_report(CallSnapshot { callee: address_of(route), since })
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

/// Returns a number for a waiting handler. It is odd, so it is never the address of a route.
pub(crate) fn next_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(1);
    LAST.fetch_add(2, Ordering::Relaxed)
}

thread_local! {
    /// Needs no destructor, so that reading it takes one load.
    static MINE: Cell<Option<&'static ThreadCall>> = const { Cell::new(None) };
    static ENTRY: EntryGuard = const { EntryGuard(Cell::new(None)) };
}

/// Returns the entry of a thread to the free list when the thread ends.
struct EntryGuard(Cell<Option<&'static ThreadCall>>);

impl Drop for EntryGuard {
    fn drop(&mut self) {
        MINE.with(|mine| mine.set(None));
        if let Some(thread) = self.0.take() {
            threads().free.push(thread);
        }
    }
}

/// The entries of all threads. There are as many as threads that have emitted at the same time.
struct Threads {
    all: Vec<&'static ThreadCall>,
    free: Vec<&'static ThreadCall>,
}

fn threads() -> MutexGuard<'static, Threads> {
    static THREADS: Mutex<Threads> = Mutex::new(Threads { all: Vec::new(), free: Vec::new() });
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Assigns an entry to this thread: a free one, or a new one that is never freed.
#[cold]
fn assign_entry() -> &'static ThreadCall {
    /// The entry of threads that emit in the destructors of their thread-locals. Nothing reads it.
    static UNLISTED: ThreadCall = ThreadCall::new();
    ENTRY
        .try_with(|guard| {
            let mut threads = threads();
            let thread = threads.free.pop().unwrap_or_else(|| {
                let new: &'static ThreadCall = Box::leak(Box::new(ThreadCall::new()));
                threads.all.push(new);
                new
            });
            drop(threads);
            guard.0.set(Some(thread));
            MINE.with(|mine| mine.set(Some(thread)));
            thread
        })
        .unwrap_or(&UNLISTED)
}

/// Returns the current call of every thread that is calling a handler.
pub(crate) fn calls() -> Vec<(&'static ThreadCall, CallSnapshot)> {
    let threads = threads().all.clone().into_iter();
    threads.map(|thread| (thread, thread.snapshot())).filter(|(_, call)| call.callee != 0).collect()
}

/// The handler lists of a bus that an emit may be using, with the names of their events.
#[derive(Default)]
pub(crate) struct HandlerLists(Mutex<WeakLists>);

#[derive(Default)]
struct WeakLists {
    entries: Vec<(Weak<HandlerList>, Cow<'static, str>)>,
    /// Number of entries at which those of dropped lists are removed.
    prune_at: usize,
}

/// Minimum of [`WeakLists::prune_at`].
const MIN_PRUNE_AT: usize = 64;

impl HandlerLists {
    pub(crate) fn add(&self, event: impl Into<Cow<'static, str>>, list: &Arc<HandlerList>) {
        if list.entries.is_empty() {
            return;
        }
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.entries.len() >= table.prune_at {
            table.entries.retain(|(list, _)| list.strong_count() > 0);
            table.prune_at = MIN_PRUNE_AT.max(table.entries.len() * 2);
        }
        table.entries.push((Arc::downgrade(list), event.into()));
    }

    /// Finds the entry whose route has the address `callee`. Returns its list, its index in that list, and
    /// the event name.
    pub(crate) fn find(&self, callee: usize) -> Option<(Arc<HandlerList>, usize, Cow<'static, str>)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = table.entries.iter().filter_map(|(list, event)| Some((list.upgrade()?, event.clone())));
        let lists: Vec<_> = lists.collect();
        // Drop the lists without the lock: one may be the last owner of a closure, whose destructor is user
        // code.
        drop(table);
        let found = lists.iter().find_map(|(list, event)| {
            let index = list.entries.iter().position(|entry| address_of(&entry.route) == callee)?;
            Some((Arc::clone(list), index, event.clone()))
        });
        catch_panic(|| drop(lists));
        found
    }
}
