//! The connected clients: counting them per user, and waking them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The limits on connected clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_user: usize,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    User,
}

pub(crate) struct Clients<U> {
    limits: Limits,
    connected: Mutex<Connected<U>>,
}

struct Connected<U> {
    total: usize,
    of: HashMap<U, Vec<Arc<Notify>>>,
}

impl<U: Clone + Eq + Hash> Clients<U> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, connected: Mutex::new(Connected { total: 0, of: HashMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Connected<U>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a client as connected until the returned permit is dropped.
    pub(crate) fn connect(self: &Arc<Self>, user: &U) -> Result<ConnectionPermit<U>, Full> {
        let mut connected = self.lock();
        if connected.total >= self.limits.total {
            return Err(Full::Total);
        }
        let of_user = connected.of.get(user).map_or(0, Vec::len);
        if of_user >= self.limits.per_user {
            return Err(Full::User);
        }
        connected.total += 1;
        let woken = Arc::new(Notify::new());
        connected.of.entry(user.clone()).or_default().push(Arc::clone(&woken));
        Ok(ConnectionPermit { clients: Arc::clone(self), user: user.clone(), woken })
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().total
    }

    /// Wakes all clients of one user.
    pub(crate) fn wake(&self, user: &U) {
        self.lock().of.get(user).into_iter().flatten().for_each(|client| client.notify_one());
    }

    pub(crate) fn wake_all(&self) {
        self.lock().of.values().flatten().for_each(|client| client.notify_one());
    }
}

/// Counts a client as connected until it is dropped.
pub(crate) struct ConnectionPermit<U: Clone + Eq + Hash> {
    clients: Arc<Clients<U>>,
    pub(crate) user: U,
    /// Notified when there may be events for the client.
    pub(crate) woken: Arc<Notify>,
}

impl<U: Clone + Eq + Hash> Drop for ConnectionPermit<U> {
    fn drop(&mut self) {
        let mut connected = self.clients.lock();
        connected.total -= 1;
        let Some(of_user) = connected.of.get_mut(&self.user) else { return };
        of_user.retain(|client| !Arc::ptr_eq(client, &self.woken));
        let gone = if of_user.is_empty() { connected.of.remove_entry(&self.user) } else { None };
        // The destructor of `U` may call into `Clients`, so it runs after the unlock.
        drop(connected);
        drop(gone);
    }
}
