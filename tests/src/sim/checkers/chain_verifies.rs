//! **The chain verifies on every node after every step** (laws 6 and 7): each record, read back
//! from the disk of its node, is the one that stands at that number everywhere, and the tree over
//! the log has the root that follows from them.

use super::Violation;
use crate::sim::world::World;
use ledger::{Frontier, leaf_hash};
use std::collections::BTreeMap;

const PROMISE: &str = "chain verifies";

/// How far the log of each node has been read back in its present life.
pub type Chains = BTreeMap<u64, Frontier>;

/// Reads back what is new.
pub(super) fn check(world: &mut World) -> Result<(), Violation> {
    for node in 0..world.nodes.len() {
        check_node(world, node)?;
    }
    Ok(())
}

/// Reads back everything.
pub(super) fn from_the_beginning(world: &mut World) -> Result<(), Violation> {
    world.memory.chains.clear();
    check(world)
}

fn check_node(world: &mut World, node: usize) -> Result<(), Violation> {
    let node = &world.nodes[node];
    let id = node.id.0;
    let Some(life) = &node.life else {
        // What it holds after a start is read from the beginning.
        world.memory.chains.remove(&id);
        return Ok(());
    };
    let log = life.machine.ledger();
    let chain = world.memory.chains.entry(id).or_default();
    if chain.size() > log.size() {
        *chain = Frontier::new();
    }
    while chain.size() < log.size() {
        let number = chain.size();
        let bytes = match log.record(number) {
            Ok(bytes) => bytes,
            Err(_) if node.disk.was_hurt() => return Ok(()),
            Err(e) => {
                let what = format!("node {id}: record {number} cannot be read back: {e}");
                return Err(Violation::new(PROMISE, what));
            }
        };
        if !world.truth.takes_record(number, &bytes) {
            let what = format!("node {id} has another record {number} than the node before it");
            return Err(Violation::new(PROMISE, what));
        }
        chain.push(leaf_hash(&bytes), &mut |_| ());
    }
    let roots = [
        Some(log.root()),
        Some(chain.root()),
        world.truth.root(log.size()),
    ];
    if roots[0] != roots[1] || roots[1] != roots[2] {
        let what = format!("node {id}: roots differ at size {}: {roots:?}", log.size());
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
