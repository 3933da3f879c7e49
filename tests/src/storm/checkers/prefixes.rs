//! **Logs are prefixes of each other**: an entry that was applied anywhere is applied everywhere
//! with the same commands, leaves the same size and root of the cluster log behind and the same
//! digest of the state. Also after a crash, when it is applied again.

use crate::storm::Broken;
use std::collections::BTreeMap;

/// What an entry was and left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its operations; founding commands are not counted.
    pub operations: Vec<u64>,
    /// Records in the cluster log.
    pub size: u64,
    /// Merkle root over them.
    pub root: [u8; 32],
    /// Digest of the state.
    pub digest: [u8; 32],
}

/// Entries by index.
pub type Entries = BTreeMap<u64, Entry>;

/// A node has applied an entry. True when it is the first to do so.
pub fn applied(entries: &mut Entries, node: u64, at: u64, entry: Entry) -> Result<bool, Broken> {
    let Some(first) = entries.get(&at) else {
        entries.insert(at, entry);
        return Ok(true);
    };
    if *first == entry {
        return Ok(false);
    }
    let what = if first.operations != entry.operations {
        format!(
            "carries {:?} elsewhere and {:?} here",
            first.operations, entry.operations
        )
    } else if (first.size, first.root) != (entry.size, entry.root) {
        format!(
            "ends at {} records elsewhere and {} here, or with another root",
            first.size, entry.size
        )
    } else {
        "leaves another state behind".into()
    };
    Err(Broken::new(
        "logs are prefixes",
        format!("entry {at} at node {node} {what}"),
    ))
}
