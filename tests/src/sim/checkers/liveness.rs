//! **It heals**: when all trouble is over, every node comes to the same entry by itself, and each
//! serves: a key that is made at one can be had at every other, and once it is destroyed at one,
//! none gives it.

use super::Violation;
use crate::sim::site;
use crate::sim::step::Change;
use crate::sim::truth::{Aim, Knows};
use crate::sim::world::{Note, World};
use domain::{Ask, Uid};

const PROMISE: &str = "liveness";

fn broken(what: String) -> Violation {
    Violation::new(PROMISE, what)
}

impl World {
    /// Whether all nodes run, are sound and have carried out everything, and no job is left.
    #[must_use]
    pub fn has_converged(&self) -> bool {
        let Some(leader) = self.order.leader else {
            return false;
        };
        let Some(end) = self.nodes[leader]
            .life
            .as_ref()
            .map(|life| life.raft.last().index)
        else {
            return false;
        };
        (0..self.nodes.len()).all(|n| {
            let node = &self.nodes[n];
            let Some(life) = &node.life else { return false };
            // A later KEK may be there: it was given out, and the log never came to name it.
            let current = life.machine.state().epoch();
            let settled = node.ring.first() == Some(&current);
            life.applied == end && self.is_sound(n) && settled
        })
    }
}

/// All nodes have come to the same entry.
pub(super) fn converged(world: &World) -> Result<(), Violation> {
    if world.has_converged() {
        return Ok(());
    }
    let shown = world.nodes.iter().map(|node| {
        let at = node
            .life
            .as_ref()
            .map(|l| (l.applied, l.commit, l.raft.last()));
        format!(
            "node {} {:?} {at:?} {:?}",
            node.id.0, node.health, node.ring
        )
    });
    let shown: Vec<_> = shown.collect();
    let (leader, term) = (world.order.leader, world.order.term);
    Err(broken(format!(
        "no trouble is left, and the nodes do not come together: \
         leader {leader:?}, term {term}, {}",
        shown.join("; ")
    )))
}

/// Each node makes a key that all others give out, and destroys it.
pub(super) fn serves(world: &mut World) -> Note {
    for node in 0..world.nodes.len() {
        let asked = world.change(node, 2, Change::Create, 1)?;
        world.spread()?;
        let made = world.truth.requests.last_key_value();
        let uid = match made.map(|(_, request)| (request.knows, request.aim)) {
            Some((Knows::Done, Aim::Make(uid))) => uid,
            other => return Err(broken(format!("node {node}: {asked}: {other:?}"))),
        };
        everywhere(world, &uid, true)?;
        world.ask(node, site::user(2), Ask::Destroy { uid })?;
        world.spread()?;
        everywhere(world, &uid, false)?;
    }
    Ok("every node serves".into())
}

/// Asks every node for the object.
fn everywhere(world: &mut World, uid: &Uid, is_there: bool) -> Result<(), Violation> {
    for node in 0..world.nodes.len() {
        let pick = world.nodes[node].life.as_ref().and_then(|life| {
            let state = life.machine.state();
            let place = state.objects().position(|object| object.uid() == uid);
            place.and_then(|place| u32::try_from(place).ok())
        });
        let pick = pick.ok_or_else(|| broken(format!("node {node} does not know {uid}")))?;
        let note = world.get(node, 2, pick, false)?;
        let given = note == format!("Get {uid}");
        if given != is_there {
            return Err(broken(format!("node {node} answers: {note}")));
        }
    }
    Ok(())
}
