//! **Reply only after commit** (law 4): when a client is told an outcome, its entry is committed,
//! and a quorum of disks holds it.

use super::Violation;
use crate::sim::node::Health;
use crate::sim::truth::Knows;
use crate::sim::world::World;

const PROMISE: &str = "reply after commit";

/// A client has learned something about its request.
pub(in crate::sim) fn check(world: &World, request: u64) -> Result<(), Violation> {
    let knows = world.truth.requests.get(&request).map(|asked| asked.knows);
    let place = world.truth.committed.iter().position(|e| e.id == request);
    match (knows, place) {
        (Some(Knows::Done | Knows::Refused), None) => {
            let what = format!("request {request} was answered and is not committed");
            Err(Violation::new(PROMISE, what))
        }
        (Some(Knows::NeverDone), Some(place)) => {
            let what = format!("request {request} was given up and is entry {}", place + 1);
            Err(Violation::new(PROMISE, what))
        }
        (Some(Knows::Done), Some(place)) => held(world, request, place as u64 + 1),
        _ => Ok(()),
    }
}

/// A quorum holds the entry, or has carried it out and forgotten it; what a node that is down or
/// damaged holds is not known and counts as held.
fn held(world: &World, request: u64, index: u64) -> Result<(), Violation> {
    let lacks = world.nodes.iter().filter(|node| match &node.life {
        Some(life) => node.health == Health::Sound && life.raft.last().index < index,
        None => false,
    });
    if lacks.count() + world.order.quorum() > world.nodes.len() {
        let what = format!("request {request} was answered, and too few nodes hold entry {index}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}

/// In the end all answers are still those of committed entries.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for request in world.truth.requests.keys() {
        check(world, *request)?;
    }
    Ok(())
}
