//! **No audit, no key** (law 5): when key material leaves, the record of it is durable in the
//! access log of that node, and it stands there after every crash.

use super::Violation;
use crate::sim::node::Node;
use crate::sim::world::World;

const PROMISE: &str = "audit before key";

/// Key material is about to leave a node.
pub(in crate::sim) fn check(world: &World, node: usize) -> Result<(), Violation> {
    let node = &world.nodes[node];
    let durable = node.life.as_ref().map_or(0, |life| life.access.durable());
    match node.pins.last() {
        Some((number, _)) if *number < durable => Ok(()),
        last => {
            let last = last.map(|(number, _)| *number);
            let what = format!("node {}: record {last:?}, {durable} are durable", node.id.0);
            Err(Violation::new(PROMISE, what))
        }
    }
}

/// Every record that stood there when something left still stands there.
pub(in crate::sim) fn pins_stand(node: &Node) -> Result<(), String> {
    let Some(life) = &node.life else {
        return Ok(());
    };
    for (number, bytes) in &node.pins {
        if life.access.record(*number).ok().as_ref() != Some(bytes) {
            return Err(format!("record {number} of the access log is gone"));
        }
    }
    Ok(())
}

/// In the end as well.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        pins_stand(node)
            .map_err(|what| Violation::new(PROMISE, format!("node {}: {what}", node.id.0)))?;
    }
    Ok(())
}
