//! **Indices only grow**: within one life of a node its committed and applied entries and its
//! record counts never fall; a restart loses none that was made durable; terms and the commit
//! index of the cluster never fall; a tombstone stays.

use super::Violation;
use crate::sim::node::Health;
use crate::sim::world::World;
use std::collections::BTreeMap;

const PROMISE: &str = "monotonic";

/// What a node had come to.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Which of its lives.
    life: u64,
    /// Entries applied and known to be committed.
    entries: (u64, u64),
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
        let what = format!(
            "term {} and commit {} fell to {term}, {commit}",
            seen.term, seen.commit
        );
        return Err(Violation::new(PROMISE, what));
    }
    (seen.term, seen.commit) = (term, commit);
    for node in &world.nodes {
        let before = seen.nodes.entry(node.id.0).or_default();
        if node.health == Health::Empty || node.health == Health::Hurt {
            *before = Position::default();
            continue;
        }
        let Some(life) = &node.life else { continue };
        let now = Position {
            life: node.lives,
            entries: (life.applied, life.commit),
            durable: (
                life.machine.ledger().durable(),
                life.machine.store().durable_index(),
            ),
        };
        let same = now.life == before.life;
        let (was, is) = (before.entries, now.entries);
        let fell = same && (is.0 < was.0 || is.1 < was.1);
        let lost = now.durable.0 < before.durable.0 || now.durable.1 < before.durable.1;
        if fell || lost {
            let what = format!("node {}: {before:?} fell to {now:?}", node.id.0);
            return Err(Violation::new(PROMISE, what));
        }
        *before = now;
    }
    Ok(())
}
