//! Shared by the tests of engines.

mod listen;
mod proxy;
mod shared;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use listen::listen;
pub use proxy::Proxy;
pub use shared::Shared;

/// Returns the size of a test: the value of an environment variable, or `otherwise` if it is not set.
///
/// # Panics
///
/// Panics if the variable is not a number.
pub fn size(variable: &str, otherwise: usize) -> usize {
    match std::env::var(variable) {
        Ok(size) => size.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {size}")),
        Err(_) => otherwise,
    }
}

/// A random number generator that repeats its choices for the same seed.
pub struct Random(u64);

impl Random {
    /// Creates a generator with the seed `CRASH_SEED`, or a new seed. Prints the seed, so that a failure can be
    /// repeated.
    pub fn printed(test: &str) -> Self {
        let seed = match size("CRASH_SEED", 0) {
            0 => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), test) >> 32,
            seed => seed as u64,
        };
        println!("{test}: CRASH_SEED={seed}");
        Self(seed)
    }

    /// Creates a generator with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number of SplitMix64.
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// Shuffles a list.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

/// A list of the numbers or ids of events that were acknowledged or handled.
#[derive(Debug)]
pub struct Noted<T>(Mutex<Vec<T>>);

impl<T> Default for Noted<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + std::hash::Hash + Eq> Noted<T> {
    /// Adds an entry.
    pub fn note(&self, what: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Returns all entries, in the order in which they were added.
    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all distinct entries.
    pub fn set(&self) -> HashSet<T> {
        self.all().into_iter().collect()
    }
}

/// Prints why a test is skipped, and returns `None`.
///
/// # Panics
///
/// Panics if `CI` is set: in CI, no test may be skipped.
pub fn skipped<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    None
}

/// Waits until a condition is true, for at most a minute.
///
/// # Panics
///
/// Panics if the condition is not true after a minute.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition is true within a minute");
}
