//! All interleavings of a small scenario, breadth first, without repeating a state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::everything;
use crate::breaks::Break;
use crate::calls::Position;
use crate::laws::Broken;
use crate::program::{Config, Step, World};

/// Programs, the steps before the search, and what may happen in any order.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub programs: usize,
    pub configs: Vec<Config>,
    pub setup: Vec<Step>,
    pub moves: Vec<Move>,
    /// The only events that may be dead letters at the end.
    pub may_die: Option<Vec<Position>>,
}

/// Steps that happen together, at most so many times.
#[derive(Clone, Debug)]
pub struct Move {
    pub steps: Vec<Step>,
    pub times: u8,
}

/// What a search has seen.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    pub states: usize,
    pub steps: usize,
    /// The number of moves up to which all interleavings were searched.
    pub depth: usize,
    pub complete: bool,
    /// The first laws that were broken, and the steps to it.
    pub broken: Option<(Vec<Step>, Vec<Broken>)>,
}

struct Node {
    world: World,
    used: Vec<u8>,
    path: Vec<u8>,
}

impl Scenario {
    /// Searches at most so many states. Each ends quietly, too.
    pub fn search(&self, which: Option<Break>, states: usize) -> Searched {
        let everything = everything(&self.configs);
        let mut world = World::new(self.programs, self.configs.clone(), which);
        self.setup.iter().for_each(|step| world.step(step));
        let mut seen = HashSet::new();
        let mut searched = Searched::default();
        let mut level = vec![Node { world, used: vec![0; self.moves.len()], path: Vec::new() }];
        while !level.is_empty() {
            let mut next = Vec::new();
            for node in level {
                searched.states += 1;
                let broken = match node.world.observer.broken.is_empty() {
                    true => node.world.clone().end_quietly(&everything, self.may_die.as_deref()),
                    false => node.world.observer.broken.clone(),
                };
                if !broken.is_empty() {
                    searched.broken = Some((self.steps(&node.path), broken));
                    return searched;
                }
                if searched.states >= states {
                    return searched;
                }
                self.expand(node, &mut seen, &mut next, &mut searched);
            }
            searched.depth += 1;
            level = next;
        }
        searched.complete = true;
        searched
    }

    fn expand(&self, node: Node, seen: &mut HashSet<u64>, next: &mut Vec<Node>, searched: &mut Searched) {
        for (index, one) in self.moves.iter().enumerate() {
            if node.used[index] == one.times {
                continue;
            }
            let mut world = node.world.clone();
            one.steps.iter().for_each(|step| world.step(step));
            searched.steps += one.steps.len();
            if world == node.world {
                continue;
            }
            let mut used = node.used.clone();
            used[index] += 1;
            let mut hash = DefaultHasher::new();
            (&world, &used).hash(&mut hash);
            if seen.insert(hash.finish()) {
                let mut path = node.path.clone();
                path.push(index as u8);
                next.push(Node { world, used, path });
            }
        }
    }

    /// The steps of a path, with the setup.
    fn steps(&self, path: &[u8]) -> Vec<Step> {
        let moves = path.iter().flat_map(|index| self.moves[usize::from(*index)].steps.clone());
        self.setup.iter().cloned().chain(moves).collect()
    }
}
