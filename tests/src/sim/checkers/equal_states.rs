//! **Same prefix, same node** (laws 2 and 6): after the same entry all nodes have the same log and
//! the same state; a replay of the log from its beginning gives that state; and a search index,
//! once it has caught up, says what the state says.

use super::Violation;
use crate::sim::node::Carried;
use crate::sim::truth::After;
use crate::sim::world::World;
use domain::{Record, State, codec};
use std::collections::btree_map::Entry;

const PROMISE: &str = "equal states";

/// A node has carried out an entry.
pub(in crate::sim) fn check(
    world: &mut World,
    node: usize,
    carried: &Carried,
) -> Result<(), Violation> {
    let (id, planted) = (world.nodes[node].id, world.setting.planted);
    if world.truth.entry(carried.index) != Some(&carried.entry) {
        let what = format!(
            "node {} carried out entry {} uncommitted",
            id.0, carried.index
        );
        return Err(Violation::new(PROMISE, what));
    }
    let Some(life) = &mut world.nodes[node].life else {
        return Ok(());
    };
    let after = {
        let (log, state) = (life.machine.ledger(), life.machine.state());
        After {
            size: state.records(),
            root: log.root(),
            state: state.digest(),
        }
    };
    // While entries are applied again, the log is ahead of the state.
    let ahead = life.machine.ledger().size() > after.size;
    match world.truth.after.entry(carried.index) {
        Entry::Vacant(place) if !ahead => {
            place.insert((id, after));
        }
        Entry::Vacant(_) => {}
        Entry::Occupied(first) => {
            let (first, said) = first.get();
            let same = said.state == after.state && (ahead || said.root == after.root);
            if !same {
                let (a, b, entry) = (first.0, id.0, carried.index);
                let what =
                    format!("nodes {a} and {b} differ after entry {entry}: {said:?}, {after:?}");
                return Err(Violation::new(PROMISE, what));
            }
        }
    }
    let (reader, state) = (life.machine.reader(), life.machine.state());
    // A bad disk is met by the node itself soon enough.
    let followed = life.projection.follow(&reader, &state, 4, planted);
    if followed.is_ok() && !life.projection.agrees(&state) {
        let what = format!("node {}: the search index says other than the state", id.0);
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}

/// In the end a replay of each log gives the state, and so does a search index made anew.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        let Some(life) = &node.life else { continue };
        let reader = life.machine.reader();
        let mut replayed = State::default();
        for record in reader.iter_from(0) {
            let bytes = record.map_err(|e| Violation::new(PROMISE, e.to_string()))?;
            let record: Record =
                codec::from_slice(&bytes).map_err(|e| Violation::new(PROMISE, e.to_string()))?;
            replayed.evolve(&record);
        }
        let state = life.machine.state();
        if replayed.digest() != state.digest() {
            let what = format!("node {}: a replay gives another state", node.id.0);
            return Err(Violation::new(PROMISE, what));
        }
        let mut index = crate::sim::projection::Projection::default();
        let followed = index.follow(&reader, &state, u64::MAX, None);
        if followed.is_err() || !index.agrees(&state) {
            let what = format!(
                "node {}: a new search index says other than the state",
                node.id.0
            );
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
