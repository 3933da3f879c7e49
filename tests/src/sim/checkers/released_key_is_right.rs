//! **A destroyed key is never served, and a served key is the right one**: what leaves is exactly
//! the material that was made for that object; once a Destroy was answered with yes, no
//! linearizable Get gives it, and a node that has carried the Destroy out gives it to nobody. In
//! the end no node can open it, and after its epoch was retired no node holds the KEK.

use super::Violation;
use crate::sim::node::{Health, Node};
use crate::sim::world::{Note, World};
use domain::Uid;
use domain::state::EpochPhase;

const PROMISE: &str = "released key is right";

/// Key material leaves a node.
pub(in crate::sim) fn check(
    world: &World,
    node: usize,
    uid: &Uid,
    material: &[u8],
    stale: bool,
) -> Result<(), Violation> {
    let node = &world.nodes[node];
    let id = node.id.0;
    if material != world.keys.material(uid) {
        let what = format!("node {id} gave other bytes for {uid} than were made for it");
        return Err(Violation::new(PROMISE, what));
    }
    if !stale && world.truth.destroyed.contains(uid) {
        let what = format!("node {id} gave {uid} after its Destroy was acknowledged");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}

/// A node that may release cannot open what it holds.
pub(in crate::sim) fn not_released(world: &World, node: usize, uid: &Uid, what: &str) -> Note {
    let node = &world.nodes[node];
    if node.disk.was_hurt() || node.health != Health::Sound || is_without_kek(world, node) {
        return Ok(format!("Get {uid}: {what}"));
    }
    let what = format!("node {} may give {uid} and cannot: {what}", node.id.0);
    Err(Violation::new(PROMISE, what))
}

/// Whether a node still has to be given the KEK of the current epoch.
fn is_without_kek(_: &World, node: &Node) -> bool {
    let life = node.life.as_ref();
    life.is_some_and(|life| !node.ring.contains(&life.machine.state().epoch()))
}

/// In the end every node opens every living object and no other.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        check_node(world, node).map_err(|what| {
            let what = format!("node {}: {what}", node.id.0);
            Violation::new(PROMISE, what)
        })?;
    }
    Ok(())
}

fn check_node(world: &World, node: &Node) -> Result<(), String> {
    let Some(life) = &node.life else {
        return Ok(());
    };
    let (state, store) = (life.machine.state(), life.machine.store());
    let mut living = 0;
    for object in state.objects() {
        let uid = object.uid();
        let sealed = store.get(uid).map_err(|e| e.to_string())?;
        match (object.material(), sealed) {
            (Some(material), Some(sealed)) => {
                living += 1;
                let opened = world
                    .keys
                    .open(&node.ring, uid, &sealed, &material.commitment);
                if opened.map_err(|e| format!("{uid}: {e}"))? != world.keys.material(uid) {
                    return Err(format!("{uid} opens to other bytes"));
                }
            }
            (Some(_), None) => return Err(format!("{uid} lives and has no sealed bytes")),
            (None, Some(_)) => return Err(format!("{uid} is destroyed and has sealed bytes")),
            (None, None) => {
                if !store.is_destroyed(uid).map_err(|e| e.to_string())? {
                    return Err(format!("{uid} is destroyed and has no tombstone"));
                }
            }
        }
    }
    let held = store.len().map_err(|e| e.to_string())?;
    if held != living {
        return Err(format!("{held} sealed objects, {living} living ones"));
    }
    let over = |epoch| {
        let record = state.epoch_record(epoch);
        record.is_some_and(|record| record.phase == EpochPhase::Retired)
    };
    match node.ring.iter().find(|epoch| over(**epoch)) {
        Some(epoch) => Err(format!("the KEK of epoch {} is retired and held", epoch.0)),
        None => Ok(()),
    }
}
