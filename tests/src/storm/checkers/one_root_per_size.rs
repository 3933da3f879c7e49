//! **One root per size**: a node that has reported a size of the cluster log with its root never
//! reports another root for that size, in this life or a later one, nor does any other node.

use crate::storm::Broken;
use std::collections::BTreeMap;

/// A node reports the head of its cluster log.
pub fn reported(
    roots: &mut BTreeMap<u64, [u8; 32]>,
    node: u64,
    size: u64,
    root: [u8; 32],
) -> Result<(), Broken> {
    let first = *roots.entry(size).or_insert(root);
    match first == root {
        true => Ok(()),
        false => {
            let what = format!("node {node} reports a second root for {size} records");
            Err(Broken::new("one root per size", what))
        }
    }
}
