//! Where this member stands: what it has applied, whom it still owes an answer, and what it knows,
//! as leader, of its followers. Shared by all parts of the crate; holds no openraft handle.

mod followers;
mod proposals;

pub use followers::Reversion;
pub(crate) use followers::quorum_contact;
pub(crate) use proposals::{Outcome, Pending};

use crate::gauge::Gauge;
use crate::types::{Batch, Member, ProposalId, Reign};
use followers::Followers;
use openraft::{LogId, Membership};
use parking_lot::Mutex;
use proposals::Proposals;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// The last applied entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Its index; `None` before the first.
    pub(crate) index: Option<u64>,
    /// In whose reign it was appended.
    pub(crate) reign: Reign,
}

/// How far the durable pointer to the snapshot reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pointer {
    index: Option<u64>,
    /// The machine failed, and the pointer moves no more.
    broken: bool,
}

/// Facts about this member, each behind a lock of its own.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) node: u64,
    applied: Arc<Gauge<Applied>>,
    proposals: Proposals,
    followers: Mutex<Followers>,
    voters: Mutex<Voters>,
    /// This node is the only voter and has applied an entry of its own reign: nobody else can have
    /// committed anything, so a read needs no round.
    undisputed: AtomicBool,
    pointer: Gauge<Pointer>,
}

/// Membership entries, as far as they tell whether this node decides alone.
#[derive(Debug, Default)]
struct Voters {
    appended: Option<LogId<u64>>,
    alone: bool,
}

impl Standing {
    pub(crate) fn new(node: u64) -> Arc<Self> {
        Arc::new(Self {
            node,
            applied: Arc::default(),
            proposals: Proposals::default(),
            followers: Mutex::default(),
            voters: Mutex::default(),
            undisputed: AtomicBool::new(false),
            pointer: Gauge::default(),
        })
    }

    /// The durable pointer names a snapshot of everything up to an index.
    pub(crate) fn snapshot_stored(&self, index: Option<u64>) {
        let before = self.pointer.get();
        let index = index.max(before.index);
        self.pointer.replace(Pointer { index, ..before });
    }

    /// The machine failed: no snapshot will be stored any more.
    pub(crate) fn machine_broke(&self) {
        let before = self.pointer.get();
        let broken = true;
        self.pointer.replace(Pointer { broken, ..before });
    }

    /// Waits until the durable pointer covers an entry; false when it never will.
    pub(crate) async fn snapshot_covers(&self, index: u64) -> bool {
        let covers = |pointer: &Pointer| pointer.index >= Some(index);
        let reached = |pointer: &Pointer| covers(pointer) || pointer.broken;
        covers(&self.pointer.wait_for(reached).await)
    }

    /// The last applied entry, now and as it goes on.
    pub(crate) fn applied_entry(&self) -> Arc<Gauge<Applied>> {
        self.applied.clone()
    }

    /// Notes that an entry was applied, and settles every proposal of an earlier reign that was
    /// not answered: entries of one reign are consecutive, so none can follow.
    pub(crate) fn applied(&self, entry: LogId<u64>) {
        let applied = Applied {
            index: Some(entry.index),
            reign: entry.leader_id,
        };
        let before = self.applied.replace(applied);
        if before.reign != applied.reign {
            self.proposals.expire_before(applied.reign);
        }
        if entry.leader_id.node_id == self.node
            && !self.undisputed.load(Ordering::Relaxed)
            && self.voters.lock().alone
        {
            self.undisputed.store(true, Ordering::Release);
        }
    }

    /// Hands the replies of a batch to those who wait on this node.
    pub(crate) fn answer(&self, batch: &Batch, index: u64, replies: Vec<Vec<u8>>) {
        self.proposals.answer(batch, index, replies);
    }

    /// Settles every proposal that waits here with one outcome.
    pub(crate) fn settle_all(&self, outcome: &Outcome) {
        self.proposals.settle_all(outcome);
    }

    /// Settles one proposal, if it still waits here.
    pub(crate) fn settle(&self, id: &ProposalId, outcome: Outcome) {
        self.proposals.settle(id, outcome);
    }

    /// Begins to wait for a proposal made in a reign.
    pub(crate) fn await_proposal(self: &Arc<Self>, id: ProposalId, reign: Reign) -> Pending {
        let answer = self.proposals.register(id, reign, &self.applied);
        Pending::new(self.clone(), id, answer)
    }

    /// A membership entry is about to be written to the log.
    pub(crate) fn membership_appended(&self, id: LogId<u64>, members: &Membership<u64, Member>) {
        let mut voters = self.voters.lock();
        voters.appended = Some(id);
        if !is_alone(members, self.node) {
            voters.alone = false;
            self.undisputed.store(false, Ordering::Release);
        }
    }

    /// A membership entry was applied, or found as applied.
    pub(crate) fn membership_applied(&self, id: LogId<u64>, members: &Membership<u64, Member>) {
        let mut voters = self.voters.lock();
        let latest = voters.appended.is_none_or(|appended| appended <= id);
        voters.alone = latest && is_alone(members, self.node);
        if !voters.alone {
            self.undisputed.store(false, Ordering::Release);
        }
    }

    /// After a round that confirmed this node as leader and applied everything committed.
    pub(crate) fn confirmed(&self) {
        let alone = self.voters.lock().alone;
        self.undisputed.store(alone, Ordering::Release);
    }

    /// True when this node alone decides what is committed, and has applied all of it that it has
    /// answered for.
    pub(crate) fn is_undisputed(&self) -> bool {
        self.undisputed.load(Ordering::Acquire)
    }

    /// A follower answered, in a reign of this node, to something sent at an instant.
    pub(crate) fn heard(&self, follower: u64, reign: Reign, sent: Instant) {
        self.followers.lock().heard(follower, reign, sent);
    }

    /// A follower has everything up to an entry on its disk.
    pub(crate) fn matched(&self, follower: u64, reign: Reign, entry: Option<LogId<u64>>) {
        self.followers.lock().matched(follower, reign, entry);
    }

    /// Checks an answer that an entry is not there against what the follower had answered before.
    ///
    /// # Errors
    /// The follower has lost entries that it had reported as durable in this reign.
    pub(crate) fn conflict(
        &self,
        follower: u64,
        reign: Reign,
        missing: Option<LogId<u64>>,
    ) -> Result<(), Reversion> {
        self.followers.lock().conflict(follower, reign, missing)
    }

    /// Entries up to an index are committed: what followers hold of them can never vanish.
    pub(crate) fn committed(&self, index: Option<u64>) {
        self.followers.lock().committed(index);
    }

    /// Highest committed entry that a follower had on its disk.
    pub(crate) fn remembered(&self, follower: u64) -> Option<u64> {
        self.followers.lock().remembered(follower)
    }

    /// Followers whose log went backwards under this leader.
    pub(crate) fn reversions(&self) -> BTreeMap<u64, Reversion> {
        self.followers.lock().reversions()
    }

    /// When each follower was last heard in a reign (start of the call it answered).
    pub(crate) fn contacts(&self, reign: Reign) -> BTreeMap<u64, Instant> {
        self.followers.lock().contacts(reign)
    }

    /// How far each follower's log reaches in a reign.
    pub(crate) fn matches(&self, reign: Reign) -> BTreeMap<u64, u64> {
        self.followers.lock().matches(reign)
    }

    /// Forgets a node that was removed.
    pub(crate) fn forget(&self, follower: u64) {
        self.followers.lock().forget(follower);
    }
}

/// True when one node is the only voter, in the old and the new set of a change.
pub(crate) fn is_alone(members: &Membership<u64, Member>, node: u64) -> bool {
    let sets = members.get_joint_config();
    !sets.is_empty() && sets.iter().all(|set| set.len() == 1 && set.contains(&node))
}
