//! **Indices only grow**: within one life of a node its committed and applied entries and its
//! record counts never fall; a restart loses none that was made durable; terms and the commit
//! index of the cluster never fall; a tombstone stays.

use super::Violation;
use crate::sim::node::{Health, Node};
use crate::sim::world::World;
use std::collections::BTreeMap;

const PROMISE: &str = "monotonic";

/// What a node had come to.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Where the same life is still going on: applied and known to be committed.
    entries: Option<(u64, u64)>,
    /// Records of the cluster log and entries that survive everything.
    durable: (u64, u64),
}

/// What was seen after the step before.
#[derive(Debug, Default)]
pub struct Positions {
    nodes: BTreeMap<u64, Position>,
    term: u64,
    commit: u64,
}

/// Compares with the step before.
pub(super) fn check(world: &mut World) -> Result<(), Violation> {
    let seen = &mut world.memory.positions;
    let (term, commit) = (world.order.term, world.truth.commit());
    if term < seen.term || commit < seen.commit {
        let what = format!("term {} and commit {} fell to {term}, {commit}", seen.term, seen.commit);
        return Err(Violation::new(PROMISE, what));
    }
    (seen.term, seen.commit) = (term, commit);
    for node in &world.nodes {
        let before = seen.nodes.entry(node.id.0).or_default();
        if node.health == Health::Empty || node.health == Health::Hurt {
            *before = Position::default();
            continue;
        }
        let Some(life) = &node.life else {
            before.entries = None;
            continue;
        };
        let now = position(node, life);
        let fell = before.entries.zip(now.entries).is_some_and(|(b, n)| n.0 < b.0 || n.1 < b.1);
        let lost = now.durable.0 < before.durable.0 || now.durable.1 < before.durable.1;
        // A node that was just sent everything begins a new life within one step.
        if (fell && now.entries.is_some_and(|(applied, _)| applied > 0)) || lost {
            let what = format!("node {}: {before:?} fell to {now:?}", node.id.0);
            return Err(Violation::new(PROMISE, what));
        }
        *before = now;
    }
    Ok(())
}

fn position(_: &Node, life: &crate::sim::node::Life) -> Position {
    Position {
        entries: Some((life.applied, life.commit)),
        durable: (
            life.machine.ledger().durable(),
            life.machine.store().durable_index(),
        ),
    }
}
