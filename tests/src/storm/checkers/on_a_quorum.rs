//! **Committed means on the disks of a quorum**: when a leader is the first to apply an entry, a
//! majority of each set of voters has it on disk.
//!
//! The sets are those that were in effect at this leader within the last moments: what was
//! committed just before a change began may be applied just after.

use crate::storm::Broken;
use cluster::LogEnd;
use std::collections::{BTreeMap, BTreeSet};

/// The voters: one set, or two during a change.
pub type Sets = Vec<BTreeSet<u64>>;

/// A leader applies an entry as the first.
pub fn applied<'a>(
    ends: &BTreeMap<u64, LogEnd>,
    leader: u64,
    entry: u64,
    configurations: impl IntoIterator<Item = &'a Sets>,
) -> Result<(), Broken> {
    let has = |node: &&u64| ends.get(*node).and_then(LogEnd::get) >= Some(entry);
    let is_majority = |set: &BTreeSet<u64>| set.iter().filter(has).count() > set.len() / 2;
    let mut sets: Vec<&Sets> = configurations.into_iter().collect();
    sets.dedup();
    if sets.is_empty() || sets.iter().any(|sets| sets.iter().all(is_majority)) {
        return Ok(());
    }
    let ends: Vec<_> = ends.iter().map(|(node, end)| (*node, end.get())).collect();
    let what = format!("node {leader} commits entry {entry}; {ends:?} of the voters {sets:?}");
    Err(Broken::new("committed means on a quorum", what))
}
