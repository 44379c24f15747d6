//! A map from patterns to values that finds the values of a name without comparing every pattern.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::event::pattern::{Pattern, is_of_library};

/// A map from patterns to values. Names are found by hash, patterns with wildcards in a tree of segments.
///
/// The tree excludes only patterns that can't match: the caller of
/// [`for_each_candidate`](Self::for_each_candidate) must check each result with [`Pattern::matches`].
pub(crate) struct PatternMap<V> {
    names: HashMap<Arc<str>, V, RandomState>,
    wildcards: Node<V>,
}

struct Node<V> {
    value: Option<V>,
    children: Children<V>,
    /// The node after the segment `+`.
    plus: Option<Box<Self>>,
    /// The node after the segment `*`. It also stands for each further segment that the `*` takes.
    star: Option<Box<Self>>,
}

/// A node that was reached, and whether it was reached through `*` and so takes further segments.
type ReachedNode<'a, V> = (&'a Node<V>, bool);

/// Child nodes by literal segment. Boxed, because most nodes are leaves.
type Children<V> = Option<Box<HashMap<Box<str>, Node<V>, RandomState>>>;

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { value: None, children: None, plus: None, star: None }
    }
}

impl<V> Default for PatternMap<V> {
    fn default() -> Self {
        Self { names: HashMap::default(), wildcards: Node::default() }
    }
}

impl<V> PatternMap<V> {
    /// Returns the value of exactly this pattern.
    pub(crate) fn get(&self, pattern: &str) -> Option<&V> {
        match is_name(pattern) {
            true => self.names.get(pattern),
            false => pattern
                .split('.')
                .try_fold(&self.wildcards, |node, segment| node.child(segment))?
                .value
                .as_ref(),
        }
    }

    /// Changes the value of a pattern. The value is removed if `change` returns `None`.
    pub(crate) fn change(&mut self, pattern: &Arc<str>, change: impl FnOnce(Option<V>) -> Option<V>) {
        if !is_name(pattern) {
            return self.wildcards.change(pattern.split('.'), change);
        }
        if let Some(value) = change(self.names.remove(pattern)) {
            self.names.insert(Arc::clone(pattern), value);
        }
    }

    /// Returns all values.
    pub(crate) fn values(&self) -> Vec<&V> {
        let mut values: Vec<_> = self.names.values().collect();
        self.wildcards.collect(&mut values);
        values
    }

    /// Calls `show` with the value of the name itself, and with those of the patterns with wildcards that may
    /// match it.
    ///
    /// # Complexity
    ///
    /// Proportional to the number of segments in the name, and to the number of patterns that share a prefix
    /// with it.
    pub(crate) fn for_each_candidate<'a>(&'a self, name: &str, mut show: impl FnMut(&'a V)) {
        self.names.get(name).into_iter().for_each(&mut show);
        // Nodes before `first` belong to earlier segments.
        let mut nodes: Vec<ReachedNode<'_, V>> = Vec::with_capacity(8);
        nodes.push((&self.wildcards, false));
        let mut first = 0;
        let of_library = is_of_library(name);
        for segment in name.split('.') {
            let end = nodes.len();
            for index in first..end {
                let (node, is_many) = nodes[index];
                // A wildcard in the first segment does not match the library's own events.
                let wildcards = first > 0 || !of_library;
                if is_many {
                    nodes.push((node, true));
                }
                if let Some(literal) = node.children.as_ref().and_then(|next| next.get(segment)) {
                    nodes.push((literal, false));
                }
                if let Some(plus) = node.plus.as_deref()
                    && wildcards
                {
                    nodes.push((plus, false));
                }
                // If the node was reached before, it takes this segment itself.
                if let Some(star) = node.star.as_deref()
                    && wildcards
                    && !nodes[first..end].iter().any(|(node, _)| std::ptr::eq(*node, star))
                {
                    nodes.push((star, true));
                }
            }
            first = end;
        }
        nodes[first..].iter().filter_map(|(node, _)| node.value.as_ref()).for_each(show);
    }
}

impl<V> Node<V> {
    fn child(&self, segment: &str) -> Option<&Self> {
        match segment {
            "+" => self.plus.as_deref(),
            "*" => self.star.as_deref(),
            literal => self.children.as_ref()?.get(literal),
        }
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && self.children.is_none() && self.plus.is_none() && self.star.is_none()
    }

    /// Changes the value at the end of the path, and removes the nodes that this leaves empty.
    fn change<'a>(
        &mut self,
        mut segments: impl Iterator<Item = &'a str>,
        change: impl FnOnce(Option<V>) -> Option<V>,
    ) {
        let wildcard = match segments.next() {
            None => {
                self.value = change(self.value.take());
                return;
            }
            Some("+") => &mut self.plus,
            Some("*") => &mut self.star,
            Some(literal) => {
                let next = self.children.get_or_insert_default();
                let child = match next.get_mut(literal) {
                    Some(child) => child,
                    None => next.entry(literal.into()).or_default(),
                };
                child.change(segments, change);
                if child.is_empty() {
                    next.remove(literal);
                }
                if next.is_empty() {
                    self.children = None;
                }
                return;
            }
        };
        let child = wildcard.get_or_insert_default();
        child.change(segments, change);
        if child.is_empty() {
            *wildcard = None;
        }
    }

    fn collect<'a>(&'a self, values: &mut Vec<&'a V>) {
        values.extend(&self.value);
        let next = self.children.iter().flat_map(|next| next.values());
        let children = next.chain(self.plus.as_deref()).chain(self.star.as_deref());
        children.for_each(|child| child.collect(values));
    }
}

pub(crate) fn is_name(pattern: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.is_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 17] = [
        "*",
        "+",
        "a",
        "a.b",
        "a.*",
        "*.b",
        "a.+",
        "+.b",
        "a.*.c",
        "*.*",
        "*.+.*",
        "a.*.b.*",
        "*.b.*.c",
        "x.y.*",
        "typed-events.*",
        "typed-events.+",
        "typed-events.b",
    ];
    const NAMES: [&str; 13] = [
        "typed-events",
        "typed-events.b",
        "typed-events.b.b.c",
        "a",
        "b",
        "a.b",
        "a.c",
        "b.b",
        "a.b.c",
        "a.x.c",
        "a.b.b.c",
        "x.b.y.b.c",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.b.c",
    ];

    fn map_of(patterns: &[&'static str]) -> PatternMap<&'static str> {
        let mut map = PatternMap::default();
        patterns.iter().for_each(|pattern| map.change(&Arc::from(*pattern), |_| Some(*pattern)));
        map
    }

    #[test]
    fn gives_each_pattern_that_matches_once() {
        let map = map_of(&PATTERNS);
        for name in NAMES {
            let mut found = Vec::new();
            map.for_each_candidate(name, |pattern| found.push(*pattern));
            let mut expected = PATTERNS.to_vec();
            expected.retain(|pattern| Pattern::new(pattern).unwrap().matches(name));
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn keeps_nothing_of_what_is_taken_out() {
        let mut map = map_of(&PATTERNS);
        for (index, pattern) in PATTERNS.iter().enumerate() {
            assert_eq!(map.get(pattern), Some(pattern));
            map.change(&Arc::from(*pattern), |_| None);
            assert_eq!(map.get(pattern), None);
            assert_eq!(map.values().len(), PATTERNS.len() - index - 1);
        }
        assert!(map.names.is_empty() && map.wildcards.is_empty());
    }

    /// Many wildcards in a row match one name in many ways.
    #[test]
    fn does_not_try_every_way_to_read_a_name() {
        let stars = ["*"; 16].join(".");
        let mut map = PatternMap::default();
        map.change(&Arc::from(stars.as_str()), |_| Some(()));
        for (segments, expected) in [(16, 1), (15, 0)] {
            let mut found = 0;
            map.for_each_candidate(&vec!["a"; segments].join("."), |()| found += 1);
            assert_eq!(found, expected);
        }
    }
}
