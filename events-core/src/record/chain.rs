//! The chain of nested emits that led to an event.

use std::sync::Arc;

use crate::id::InstanceId;
use crate::record::Name;
use crate::schema::memory::allocation;

/// The emits that enclose an emit: each one was made inside a handler of the event before it. A record keeps its
/// chain, so that the chain is also known when a handler gets the record later.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    /// Number of emits in the chain.
    pub(crate) depth: u32,
    stored: Option<Arc<StoredChain>>,
}

/// Maximum number of emits of a chain that are stored: the first one and the most recent ones. This bounds
/// the memory of a record for chains of any depth.
const MAX_EMITS: usize = 32;

/// Maximum number of buses that are stored for emits which are no longer stored themselves.
const MAX_BUSES: usize = 64;

/// The stored part of a chain. Each record of a chain has its own copy, because shared list nodes would keep
/// all earlier nodes in memory.
#[derive(Clone)]
struct StoredChain {
    first: StoredEmit,
    /// The most recent emits. Most chains have a single emit, so this is empty and does not allocate.
    later: Vec<StoredEmit>,
    /// Buses of emits that are not stored.
    buses: Vec<InstanceId>,
}

#[derive(Clone)]
struct StoredEmit {
    instance: InstanceId,
    name: Name,
}

impl StoredChain {
    fn emits(&self) -> impl Iterator<Item = &StoredEmit> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// Returns a copy with one more emit. If there are too many, the second emit is removed, but its bus is
    /// kept.
    fn with(&self, emit: StoredEmit) -> Self {
        let mut later = Vec::with_capacity(MAX_EMITS.min(self.later.len() + 1));
        later.extend(self.later.iter().cloned().chain([emit]));
        let mut longer = Self { first: self.first.clone(), later, buses: self.buses.clone() };
        if longer.later.len() >= MAX_EMITS {
            let forgotten = longer.later.remove(0).instance;
            longer.add_bus(forgotten);
        }
        longer
    }

    fn add_bus(&mut self, instance: InstanceId) {
        if self.contains_bus(instance) {
            return;
        }
        if self.buses.len() >= MAX_BUSES {
            self.buses.remove(0);
        }
        self.buses.push(instance);
    }

    fn contains_bus(&self, instance: InstanceId) -> bool {
        self.emits().any(|emit| emit.instance == instance) || self.buses.contains(&instance)
    }
}

impl Chain {
    pub(crate) fn with(&self, instance: InstanceId, name: Name) -> Self {
        let emit = StoredEmit { instance, name };
        let stored = match &self.stored {
            Some(stored) => stored.with(emit),
            None => StoredChain { first: emit, later: Vec::new(), buses: Vec::new() },
        };
        Self { depth: self.depth.saturating_add(1), stored: Some(Arc::new(stored)) }
    }

    /// Whether an emit of the chain was made by this bus.
    pub(crate) fn contains_bus(&self, instance: InstanceId) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.contains_bus(instance))
    }

    /// Approximate heap memory in bytes.
    pub(crate) fn weight(&self) -> usize {
        let Some(stored) = &self.stored else { return 0 };
        let emits = stored.later.capacity() * size_of::<StoredEmit>();
        let names = stored.emits().map(|emit| emit.name.weight()).sum::<usize>();
        let buses = stored.buses.capacity() * size_of::<InstanceId>();
        allocation(size_of::<StoredChain>() + 16) + allocation(emits) + allocation(buses) + names
    }

    /// Returns the names from the first emit to `last`, joined by arrows, with the number of omitted emits if
    /// there are any.
    pub(crate) fn describe(&self, last: &str) -> String {
        let emits = self.stored.iter().flat_map(|stored| stored.emits());
        let mut names: Vec<_> = emits.map(|emit| emit.name.as_str().to_owned()).collect();
        let left_out = (self.depth as usize).saturating_sub(names.len());
        if left_out > 0 {
            names.insert(1, format!("... {left_out} more ..."));
        }
        names.push(last.to_owned());
        names.join(" -> ")
    }
}
