//! The emits inside which an event was emitted.

use std::sync::Arc;

use crate::id::InstanceId;
use crate::record::Name;
use crate::schema::memory::allocation;

/// The emits inside which another one happens. A record keeps it, so that it also counts where a
/// handler sees the record later.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    /// How many there are.
    pub(crate) depth: u32,
    trail: Option<Arc<Trail>>,
}

/// So many emits of a chain are kept at most: the first one, and the last ones. A record holds no more,
/// however deep chains may be.
const MAX_HOPS: usize = 32;

/// So many buses are kept at most, of which no emit of the chain is kept any more.
const MAX_BUSES: usize = 64;

/// What is known of a chain. Each depth has its own: a list of links that others share would keep all of them.
#[derive(Clone)]
struct Trail {
    first: Hop,
    /// The last ones; of most chains none, which takes no allocation.
    later: Vec<Hop>,
    /// The buses of emits that are not kept.
    buses: Vec<InstanceId>,
}

#[derive(Clone)]
struct Hop {
    instance: InstanceId,
    name: Name,
}

impl Trail {
    fn hops(&self) -> impl Iterator<Item = &Hop> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// One hop longer; the second one is forgotten where there are too many, but not which bus it was of.
    fn with(&self, hop: Hop) -> Self {
        let mut later = Vec::with_capacity(MAX_HOPS.min(self.later.len() + 1));
        later.extend(self.later.iter().cloned().chain([hop]));
        let mut longer = Self { first: self.first.clone(), later, buses: self.buses.clone() };
        if longer.later.len() >= MAX_HOPS {
            let forgotten = longer.later.remove(0).instance;
            longer.keep_bus(forgotten);
        }
        longer
    }

    fn keep_bus(&mut self, instance: InstanceId) {
        if self.passes(instance) {
            return;
        }
        if self.buses.len() >= MAX_BUSES {
            self.buses.remove(0);
        }
        self.buses.push(instance);
    }

    fn passes(&self, instance: InstanceId) -> bool {
        self.hops().any(|hop| hop.instance == instance) || self.buses.contains(&instance)
    }
}

impl Chain {
    pub(crate) fn with(&self, instance: InstanceId, name: Name) -> Self {
        let hop = Hop { instance, name };
        let trail = match &self.trail {
            Some(trail) => trail.with(hop),
            None => Trail { first: hop, later: Vec::new(), buses: Vec::new() },
        };
        Self { depth: self.depth.saturating_add(1), trail: Some(Arc::new(trail)) }
    }

    /// Whether one of them is an emit of this bus.
    pub(crate) fn passes(&self, instance: InstanceId) -> bool {
        self.trail.as_ref().is_some_and(|trail| trail.passes(instance))
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let Some(trail) = &self.trail else { return 0 };
        let hops = trail.later.capacity() * size_of::<Hop>();
        let names = trail.hops().map(|hop| hop.name.weight()).sum::<usize>();
        let buses = trail.buses.capacity() * size_of::<InstanceId>();
        allocation(size_of::<Trail>() + 16) + allocation(hops) + allocation(buses) + names
    }

    /// The names from the first emit to `last`, joined by arrows; how many are left out, where some are.
    pub(crate) fn describe(&self, last: &str) -> String {
        let hops = self.trail.iter().flat_map(|trail| trail.hops());
        let mut names: Vec<_> = hops.map(|hop| hop.name.as_str().to_owned()).collect();
        let left_out = (self.depth as usize).saturating_sub(names.len());
        if left_out > 0 {
            names.insert(1, format!("... {left_out} more ..."));
        }
        names.push(last.to_owned());
        names.join(" -> ")
    }
}
