//! The fence of a node that has just started.
//!
//! A disk may have been rolled back while the node was down: then the node no longer knows for whom
//! it voted and what it confirmed, and one vote of it could bring back a past that the cluster has
//! left. So a member with peers neither campaigns nor votes until its Hello, which says how far its
//! logs reach, was accepted by the leader of the day, or, if there is none, by a majority of the
//! voters with this node among them. (Without this node it would be safer, and two nodes of three
//! that start together could never begin.) As long as a leader lives, its word is needed, because
//! only leaders know how far the logs of others reached.

use crate::node::Node;
use crate::peers::Lane;
use crate::types::Role;
use crate::wire::{self, Reply, Request};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// For one question.
const ASK_WITHIN: Duration = Duration::from_secs(1);

impl Node {
    /// True as long as this node neither campaigns nor votes.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// Lets this node take part in elections.
    pub(crate) fn lift_fence(&self, why: &str) {
        if self.fenced.load(Ordering::Relaxed) && self.fenced.swap(false, Ordering::AcqRel) {
            tracing::info!("node {} takes part in elections: {why}", self.node);
            self.set_campaigning();
        }
    }

    /// Openraft campaigns only behind the fence's end, and never on a witness.
    pub(crate) fn set_campaigning(&self) {
        let campaigns = !self.is_fenced() && self.role() != Role::Witness;
        self.raft.runtime_config().elect(campaigns);
    }

    /// Asks the voters until enough of them accept this node.
    pub(crate) async fn run_fence(self: Arc<Self>) {
        let mut stop = self.stopping();
        while self.is_fenced() && !*stop.borrow() {
            let sets = self.voter_sets();
            if sets.iter().any(|set| set.contains(&self.node)) {
                let (accepting, leaders) = self.who_accepts(&sets).await;
                if sets.iter().all(|set| is_majority(set, &accepting))
                    && leaders.is_subset(&accepting)
                {
                    self.lift_fence("a majority of the voters accepts it");
                }
            }
            tokio::select! {
            biased;
                            () = tokio::time::sleep(ASK_EVERY) => {}
                            _ = stop.wait_for(|stop| *stop) => {}
                        }
        }
    }

    /// Those who talk to this node, and the leaders they know to be alive.
    async fn who_accepts(&self, sets: &[BTreeSet<u64>]) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let mut accepting = BTreeSet::from([self.node]);
        let mut leaders = BTreeSet::new();
        let Some(way) = &self.way else {
            return (accepting, leaders);
        };
        let mut asked = JoinSet::new();
        let voters: BTreeSet<u64> = sets.iter().flatten().copied().collect();
        for voter in voters.into_iter().filter(|voter| *voter != self.node) {
            let way = way.clone();
            asked.spawn(async move {
                let ping = Request::Ping;
                let answer = wire::ask(&*way, voter, Lane::Service, &ping, ASK_WITHIN).await;
                (voter, answer)
            });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok((voter, Ok(Reply::Pong(leader)))) = answer {
                accepting.insert(voter);
                leaders.extend(leader);
            }
        }
        (accepting, leaders)
    }
}

fn is_majority(set: &BTreeSet<u64>, members: &BTreeSet<u64>) -> bool {
    set.intersection(members).count() > set.len() / 2
}
