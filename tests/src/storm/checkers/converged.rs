//! **It heals**: once nothing more goes wrong, every member that is not damaged comes to the same
//! entry with the same cluster log, state and sealed store, takes part, and serves a write and a
//! read, within [`HEAL_WITHIN`]. Nobody does anything for it.

use crate::storm::Broken;
use std::collections::BTreeSet;
use std::time::Duration;

/// Simulated time between the end of the weather and the end of the run. Connections are given up
/// after ten seconds of silence and dialled again, and an election takes three; there is no
/// operator who hurries.
pub const HEAL_WITHIN: Duration = Duration::from_secs(40);

/// Where a node stands at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Last entry applied.
    pub applied: Option<u64>,
    /// Last entry in the log.
    pub last: Option<u64>,
    /// Records in the cluster log, and their root.
    pub head: (u64, [u8; 32]),
    /// Digest of the state.
    pub digest: [u8; 32],
    /// Digest of the sealed store.
    pub store: [u8; 32],
}

/// Whether all of these nodes stand at the same place and have served.
pub fn is_healed(standings: &[(u64, Option<Standing>)], served: &BTreeSet<u64>) -> bool {
    let distinct: BTreeSet<_> = standings.iter().map(|(_, standing)| standing).collect();
    let same = distinct.len() == 1 && distinct.iter().all(|standing| standing.is_some());
    let caught_up = |s: &Standing| s.applied.is_some() && s.applied == s.last;
    same && standings
        .iter()
        .all(|(_, s)| s.as_ref().is_some_and(caught_up))
        && standings.iter().all(|(node, _)| served.contains(node))
}

/// Time is up.
pub fn demand(standings: &[(u64, Option<Standing>)], served: &BTreeSet<u64>) -> Result<(), Broken> {
    if is_healed(standings, served) {
        return Ok(());
    }
    let seen = |s: &Option<Standing>| s.as_ref().map(|s| (s.applied, s.last, s.head.0));
    let where_: Vec<_> = standings.iter().map(|(node, s)| (*node, seen(s))).collect();
    let what = format!(
        "{} s after the last fault the nodes stand at {where_:?} (applied, last entry, records), \
         and {served:?} have served",
        HEAL_WITHIN.as_secs()
    );
    Err(Broken::new("it heals", what))
}
