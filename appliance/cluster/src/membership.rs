//! Who belongs to the cluster: adding, promoting, removing, one change at a time.

use crate::node::Node;
use crate::types::{Member, Reign, Role, TypeConfig};
use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a promotion waits for the new voter to have every entry.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

/// How long the commit of a change is waited for.
const CHANGE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at how far a node is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A change of the membership was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MembershipFault {
    /// Another node leads, or none.
    #[error("this node does not lead; node {leader:?} does: ask there")]
    NotLeader {
        /// Who does, when known.
        leader: Option<u64>,
    },
    /// Another change has not ended.
    #[error("another change of the membership is under way; try again when it has ended")]
    UnderWay,
    /// No such member.
    #[error("node {node} is no member")]
    UnknownMember {
        /// Which node.
        node: u64,
    },
    /// The member stands otherwise than the change needs it.
    #[error("node {node} {what}")]
    Unfit {
        /// Which node.
        node: u64,
        /// Why not.
        what: String,
    },
    /// The node has not caught up in time.
    #[error(
        "node {node} has entries up to {matched:?} of {wanted}; try again when it has caught up"
    )]
    Behind {
        /// Which node.
        node: u64,
        /// How far it is.
        matched: Option<u64>,
        /// How far it has to be.
        wanted: u64,
    },
    /// The change was begun and nobody knows yet whether it holds.
    #[error("it is unknown whether the membership changed: {reason}; look at the members")]
    Unknown {
        /// Why.
        reason: String,
    },
}

type Written =
    Result<ClientWriteResponse<TypeConfig>, RaftError<u64, ClientWriteError<u64, Member>>>;

impl Node {
    /// Admits a node as a learner, or changes what is known of a learner that is one already.
    pub(crate) async fn add_learner(&self, node: u64, member: Member) -> Changed {
        let _one = self.begin_change()?;
        let change = ChangeMembers::SetNodes(BTreeMap::from([(node, member)]));
        self.change(change, true).await
    }

    /// Makes a learner a voter, once it has everything that this leader has now.
    pub(crate) async fn promote(&self, node: u64) -> Changed {
        let _one = self.begin_change()?;
        let reign = self.leading()?;
        let member = self.member(node)?;
        let unfit = |what: &str| MembershipFault::Unfit {
            node,
            what: what.into(),
        };
        if member.role == Role::Learner {
            return Err(unfit("was admitted as a learner and never votes"));
        }
        if self.voter_sets().iter().any(|set| set.contains(&node)) {
            return Err(unfit("is a voter already"));
        }
        self.await_caught_up(node, reign).await?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
        self.change(change, false).await
    }

    /// Removes a member, voter or learner.
    pub(crate) async fn remove(&self, node: u64) -> Changed {
        let _one = self.begin_change()?;
        self.member(node)?;
        let gone = BTreeSet::from([node]);
        let sets = self.voter_sets();
        if sets.contains(&gone) {
            let what = "is the only voter: promote another first".to_string();
            return Err(MembershipFault::Unfit { node, what });
        }
        let change = match sets.iter().any(|set| set.contains(&node)) {
            true => ChangeMembers::RemoveVoters(gone),
            false => ChangeMembers::RemoveNodes(gone),
        };
        self.change(change, false).await
    }

    fn begin_change(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, MembershipFault> {
        let one = self.changing.try_lock();
        let one = one.map_err(|_| MembershipFault::UnderWay)?;
        self.leading()?;
        let sets = self.voter_sets();
        if sets.len() > 1 {
            return Err(MembershipFault::UnderWay);
        }
        if !sets.iter().all(|set| set.contains(&self.node)) {
            // It leads until its own removal is committed, and openraft asserts that nobody asks
            // it for another change in that time.
            return Err(MembershipFault::NotLeader { leader: None });
        }
        Ok(one)
    }

    fn leading(&self) -> Result<Reign, MembershipFault> {
        match self.reign() {
            Some(reign) if reign.node_id == self.node => Ok(reign),
            other => Err(MembershipFault::NotLeader {
                leader: other.map(|reign| reign.node_id),
            }),
        }
    }

    fn member(&self, node: u64) -> Result<Member, MembershipFault> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let member = members.get_node(&node).cloned();
        member.ok_or(MembershipFault::UnknownMember { node })
    }

    /// Openraft calls a learner "caught up" when it lags 5,000 entries; a voter must have all.
    async fn await_caught_up(&self, node: u64, reign: Reign) -> Changed {
        let wanted = self.raft.metrics().borrow().last_log_index.unwrap_or(0);
        let deadline = Instant::now() + CATCH_UP_WITHIN;
        loop {
            let matched = self.standing.matches(reign).get(&node).copied();
            if matched >= Some(wanted) {
                return Ok(());
            }
            if self.leading()? != reign {
                return Err(MembershipFault::NotLeader { leader: None });
            }
            if Instant::now() >= deadline {
                return Err(MembershipFault::Behind {
                    node,
                    matched,
                    wanted,
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn change(&self, change: ChangeMembers<u64, Member>, retain: bool) -> Changed {
        let written = self.raft.change_membership(change, retain);
        match tokio::time::timeout(CHANGE_WITHIN, written).await {
            Ok(written) => judge(written),
            Err(_) => Err(MembershipFault::Unknown {
                reason: "no quorum has confirmed it yet".into(),
            }),
        }
    }

    /// Ends a change that a former leader left half done.
    pub(crate) async fn finish_change(&self) {
        let Ok(_one) = self.changing.try_lock() else {
            return;
        };
        if self.leading().is_err() || self.voter_sets().len() < 2 {
            return;
        }
        let rest = ChangeMembers::AddVoterIds(BTreeSet::new());
        match self.change(rest, false).await {
            Ok(()) => tracing::info!("a change of the membership left half done was ended"),
            Err(fault) => tracing::warn!("ending a change of the membership: {fault}"),
        }
    }

    /// Keeps the way to the members, and whether this node campaigns, as the membership says.
    pub(crate) async fn follow_membership(self: Arc<Self>) {
        let mut stop = self.stopping();
        let mut metrics = self.raft.server_metrics();
        let mut known = BTreeMap::new();
        loop {
            let members: BTreeMap<u64, Member> = {
                let metrics = metrics.borrow_and_update();
                let members = metrics.membership_config.membership();
                members.nodes().map(|(id, m)| (*id, m.clone())).collect()
            };
            if members != known {
                self.take_note(&known, &members);
                known = members;
            }
            tokio::select! {
            biased;
                            changed = metrics.changed() => if changed.is_err() { return },
                            _ = stop.wait_for(|stop| *stop) => return,
                        }
        }
    }

    fn take_note(self: &Arc<Self>, known: &BTreeMap<u64, Member>, members: &BTreeMap<u64, Member>) {
        if let Some(way) = &self.way {
            for (node, member) in members.iter().filter(|(node, _)| **node != self.node) {
                way.set_address(*node, member.address.clone());
            }
            for gone in known.keys().filter(|node| !members.contains_key(node)) {
                way.forget(*gone);
                self.standing.forget(*gone);
            }
        }
        self.set_campaigning();
        self.look_for_successor();
    }
}

type Changed = Result<(), MembershipFault>;

fn judge(written: Written) -> Changed {
    let Err(error) = written else { return Ok(()) };
    Err(match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            // The entry may have been written before leadership was lost.
            let leader = forward.leader_id;
            let reason = format!("this node no longer leads; node {leader:?} does");
            MembershipFault::Unknown { reason }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(change)) => match change {
            openraft::error::ChangeMembershipError::InProgress(_) => MembershipFault::UnderWay,
            openraft::error::ChangeMembershipError::LearnerNotFound(missing) => {
                let node = missing.node_id;
                MembershipFault::UnknownMember { node }
            }
            openraft::error::ChangeMembershipError::EmptyMembership(_) => {
                let reason = "no voter would be left".into();
                MembershipFault::Unknown { reason }
            }
        },
        RaftError::Fatal(fatal) => MembershipFault::Unknown {
            reason: fatal.to_string(),
        },
    })
}
