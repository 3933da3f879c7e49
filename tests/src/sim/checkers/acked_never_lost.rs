//! **Acknowledged means durable** (law 4): what was committed stays at its place in the order
//! through every crash; what a client was told is done is there on every node in the end, and what
//! it was told will never happen never happens.

use super::Violation;
use crate::sim::truth::{Aim, Knows};
use crate::sim::world::World;

const PROMISE: &str = "acked never lost";

/// A leader has moved its commit index: what was committed before must be what it has.
pub(in crate::sim) fn committed(world: &mut World, leader: usize) -> Result<(), Violation> {
    let Some(life) = &world.nodes[leader].life else {
        return Ok(());
    };
    for index in world.truth.commit() + 1..=life.commit {
        let entry = life.raft.get(index).cloned();
        let entry = entry.ok_or_else(|| {
            Violation::new(PROMISE, format!("entry {index} is committed and not there"))
        })?;
        let asked = world.truth.requests.get(&entry.id);
        if entry.id > 0 && asked.is_some_and(|asked| asked.knows == Knows::NeverDone) {
            let what = format!("request {} was to happen never, and is committed", entry.id);
            return Err(Violation::new(PROMISE, what));
        }
        world.truth.committed.push(entry);
    }
    Ok(())
}

/// A leader begins: its log must hold every committed entry (Raft, Leader Completeness).
pub(in crate::sim) fn leader_holds_everything(
    world: &World,
    leader: usize,
) -> Result<(), Violation> {
    let node = &world.nodes[leader];
    let Some(life) = &node.life else {
        return Ok(());
    };
    let (id, last) = (node.id.0, life.raft.last().index);
    if last < world.truth.commit() {
        let commit = world.truth.commit();
        let what = format!("node {id} leads with {last} entries, {commit} are committed");
        return Err(Violation::new(PROMISE, what));
    }
    for index in life.raft.first()..=world.truth.commit() {
        if life.raft.get(index) != world.truth.entry(index) {
            let what = format!("node {id} leads with another entry {index} than was committed");
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}

/// In the end every node shows what was acknowledged.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        let Some(life) = &node.life else { continue };
        let state = life.machine.state();
        for (number, request) in &world.truth.requests {
            let (uid, holds) = match (request.knows, request.aim) {
                (Knows::Done, Aim::Make(uid)) => (uid, state.object(&uid).is_some()),
                (Knows::Done, Aim::Destroy(uid)) => {
                    let object = state.object(&uid);
                    (uid, object.is_some_and(|object| object.is_tombstone()))
                }
                (Knows::NeverDone | Knows::Refused, Aim::Make(uid)) => {
                    (uid, state.object(&uid).is_none())
                }
                _ => continue,
            };
            if !holds {
                let (id, knows) = (node.id.0, request.knows);
                let what = format!("node {id}: request {number} ({knows:?}) about {uid}");
                return Err(Violation::new(PROMISE, what));
            }
        }
    }
    Ok(())
}
