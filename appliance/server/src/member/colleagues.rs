//! Asks other members: one of them, the leader first, or all of them.

use super::catch_up::{CatchUpFault, Source};
use super::messages::{Answer, Question};
use crate::machine::LedgerMachine;
use cluster::Cluster;
use cluster::peers::{BoxFuture, CallFault, Lane, Peers};
use domain::state::Node;
use domain::{MemberPhase, NodeId, codec};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Time for a small answer: it waits for one fsync at most.
const SMALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for a page of records or of sealed bytes, over a slow line.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The other members as this node knows them.
#[derive(Clone)]
pub(crate) struct Colleagues {
    me: NodeId,
    peers: Peers,
    machine: Arc<LedgerMachine>,
    /// Those that were known before the log was read.
    first: Arc<[u64]>,
    cluster: Arc<OnceLock<Cluster>>,
}

impl std::fmt::Debug for Colleagues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Colleagues")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Colleagues {
    /// Knows the way by `peers`; `first` are the members that are known without the log.
    pub(crate) fn new(
        me: NodeId,
        peers: Peers,
        machine: Arc<LedgerMachine>,
        first: impl IntoIterator<Item = u64>,
    ) -> Self {
        Self {
            me,
            peers,
            machine,
            first: first.into_iter().filter(|node| *node != me.0).collect(),
            cluster: Arc::new(OnceLock::new()),
        }
    }

    /// From now on the leader is asked first.
    pub(crate) fn set_cluster(&self, cluster: Cluster) {
        // Set once, by the start of the node.
        drop(self.cluster.set(cluster));
    }

    /// The ways to the others.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The members that hold keys, this node aside.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.others_that(|node| node.role.holds_keys())
    }

    /// All members but this node: also witnesses, which have the log.
    pub(crate) fn everybody(&self) -> Vec<NodeId> {
        self.others_that(|_| true)
    }

    /// The members that vote, this node aside: a majority of them can be had whenever the cluster
    /// works.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        self.others_that(|node| node.role.votes())
    }

    fn others_that(&self, are: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let known: Vec<NodeId> = {
            let state = self.machine.state();
            let standing = |phase| matches!(phase, MemberPhase::Member | MemberPhase::Joining);
            let others = state
                .members()
                .filter(|(_, node)| standing(node.phase) && are(node));
            others
                .map(|(id, _)| id)
                .filter(|id| *id != self.me)
                .collect()
        };
        if known.is_empty() {
            return self.first.iter().map(|node| NodeId(*node)).collect();
        }
        known
    }

    /// Asks one member.
    pub(crate) async fn ask_node(
        &self,
        node: NodeId,
        question: &Question,
    ) -> Result<Answer, CallFault> {
        let (lane, within) = match question {
            Question::Records { .. } | Question::StorePage { .. } => (Lane::Bulk, PAGE_TIMEOUT),
            _ => (Lane::Service, SMALL_TIMEOUT),
        };
        let body = codec::to_vec(question);
        let answer = self.peers.call(node.0, lane, body, within).await?;
        codec::from_slice(&answer).map_err(|e| {
            CallFault::Answered(format!("node {} gave an answer that is none: {e}", node.0))
        })
    }

    /// Those to ask, the leader first.
    fn in_order(&self) -> Vec<NodeId> {
        let leader = self.cluster.get().and_then(|c| c.status().leader);
        let mut others = self.others();
        others.sort_by_key(|node| (Some(node.0) != leader, node.0));
        others
    }
}

impl Source for Colleagues {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, CatchUpFault>> {
        Box::pin(async move {
            let mut faults = Vec::new();
            for node in self.in_order() {
                match self.ask_node(node, question).await {
                    Ok(Answer::Refused(why)) => faults.push(format!("node {}: {why}", node.0)),
                    Ok(answer) => return Ok(answer),
                    Err(e) => faults.push(format!("node {}: {e}", node.0)),
                }
            }
            if faults.is_empty() {
                faults.push("this node knows of no other that holds keys".to_owned());
            }
            Err(CatchUpFault::Unreachable(faults.join("; ")))
        })
    }
}
