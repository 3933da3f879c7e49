//! Going on alone after the majority was lost for good.
//!
//! The Raft log of the one member that goes on gets a membership of itself at its end, and a vote
//! of its own in a newer term. At the next start it is the only voter, leads, and with that commits
//! everything on its disk: also entries of which it never learned that the lost majority had
//! committed and answered them. Nothing on this disk is lost, and the entries go on in one count.
//!
//! Only for a member that is stopped, and only at the word of an operator: members that live still
//! would never learn of it, and there would be two clusters.

use crate::cluster::StartFault;
use crate::codec;
use crate::double_slot::DoubleSlot;
use crate::log_store::{self, HardState};
use crate::types::{Member, TypeConfig};
use ledger::{Disk, Segments};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId, Membership, Vote};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Makes the stopped member in a Raft folder the only one of its cluster; gives the entry that says
/// so. Called again, it does it again.
///
/// # Errors
/// The folder cannot be read or written, or what stands in it is damaged.
pub fn go_on_alone(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    node: u64,
    member: &Member,
) -> Result<u64, StartFault> {
    append_membership(disk, dir, node, member).map_err(|source| StartFault::Storage {
        dir: dir.to_owned(),
        source,
    })
}

fn append_membership(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    node: u64,
    member: &Member,
) -> io::Result<u64> {
    let (mut hard_file, hard) = DoubleSlot::<HardState>::open(&**disk, &dir.join("vote"))?;
    let mut hard = hard.unwrap_or_default();
    let config = log_store::segments_config();
    let (mut segments, _) =
        Segments::open(disk.clone(), &dir.join("log"), config, 0).map_err(io::Error::other)?;
    let last = log_store::last_entry(&segments)?.max(hard.purged);
    let vote = hard.vote.map_or(0, |vote| vote.leader_id.term);
    let term = last.map_or(0, |id| id.leader_id.term).max(vote) + 1;
    let index = last.map_or(0, |id| id.index + 1);
    // The vote first: an entry of a term that was never voted for would be no log of Raft.
    hard.vote = Some(Vote::new(term, node));
    hard_file.write(&hard)?;
    let voters = vec![BTreeSet::from([node])];
    let members = BTreeMap::from([(node, member.clone())]);
    let entry = Entry::<TypeConfig> {
        log_id: LogId::new(CommittedLeaderId::new(term, node), index),
        payload: EntryPayload::Membership(Membership::new(voters, members)),
    };
    if segments.size() < index {
        // All entries were purged; the next one keeps its place in the count.
        segments.purge_before(index).map_err(io::Error::other)?;
    }
    segments
        .append(&[codec::to_vec(&entry)?])
        .map_err(io::Error::other)?;
    segments.sync().map_err(io::Error::other)?;
    Ok(index)
}
