//! How many clients there are, of each user and in all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) in_all: usize,
    pub(crate) of_a_user: usize,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    InAll,
    OfAUser,
}

pub(crate) struct Seats<U> {
    limits: Limits,
    taken: Mutex<Taken<U>>,
}

struct Taken<U> {
    in_all: usize,
    of: HashMap<U, usize>,
}

impl<U: Clone + Eq + Hash> Seats<U> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, taken: Mutex::new(Taken { in_all: 0, of: HashMap::new() }) }
    }

    fn taken(&self) -> MutexGuard<'_, Taken<U>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, which is free again when it is dropped.
    pub(crate) fn take(self: &Arc<Self>, user: &U) -> Result<Seat<U>, Full> {
        let mut taken = self.taken();
        if taken.in_all >= self.limits.in_all {
            return Err(Full::InAll);
        }
        let of_user = taken.of.get(user).copied().unwrap_or(0);
        if of_user >= self.limits.of_a_user {
            return Err(Full::OfAUser);
        }
        taken.in_all += 1;
        taken.of.insert(user.clone(), of_user + 1);
        Ok(Seat { seats: Arc::clone(self), user: user.clone() })
    }

    pub(crate) fn count(&self) -> usize {
        self.taken().in_all
    }
}

pub(crate) struct Seat<U: Clone + Eq + Hash> {
    seats: Arc<Seats<U>>,
    user: U,
}

impl<U: Clone + Eq + Hash> Drop for Seat<U> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.in_all -= 1;
        if let Some(of_user) = taken.of.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.of.remove(&self.user);
            }
        }
    }
}
