//! Judges who may talk to this node, by what the cluster log says (ABUSE A9, A25, A42).
//!
//! A certificate of the cluster CA is the first filter only: what counts is that the log names its
//! key as that of a current member. A node with a number that no record here has given yet may have
//! been admitted by records that have not reached us; for it the CA must do.

use super::place::Place;
use crate::access_log::AccessLog;
use crate::machine::LedgerMachine;
use cluster::peers::{Caller, Gatekeeper, Hello, PROTOCOL, Refused};
use cluster::{Cluster, LogEnd};
use domain::state::Node;
use domain::{ClusterId, MemberPhase, NodeId, State};
use std::sync::{Arc, OnceLock};

/// The gatekeeper of one node.
pub(crate) struct Gate {
    cluster_id: ClusterId,
    place: Place,
    machine: Arc<LedgerMachine>,
    log_end: LogEnd,
    access: OnceLock<AccessLog>,
    cluster: OnceLock<Cluster>,
}

impl Gate {
    /// A gate before access log and consensus are there.
    pub(crate) fn new(cluster_id: ClusterId, place: Place, machine: Arc<LedgerMachine>) -> Self {
        Self {
            cluster_id,
            place,
            machine,
            log_end: LogEnd::default(),
            access: OnceLock::new(),
            cluster: OnceLock::new(),
        }
    }

    /// Where consensus keeps the end of its log, so that it is shown from the first greeting on.
    pub(crate) fn log_end(&self) -> LogEnd {
        self.log_end.clone()
    }

    /// From now on the head of the access log is shown.
    pub(crate) fn set_access(&self, access: AccessLog) {
        // Set once, by the start of the node.
        drop(self.access.set(access));
    }

    /// From now on the ends of the others' Raft logs are remembered.
    pub(crate) fn set_cluster(&self, cluster: Cluster) {
        // Set once, by the start of the node.
        drop(self.cluster.set(cluster));
    }

    fn lineage(&self, state: &State) -> u32 {
        state.lineage().max(self.place.lineage)
    }

    /// Who the log says this is.
    fn identify(
        state: &State,
        hello: &Hello,
        key: Option<[u8; 32]>,
    ) -> Result<Option<Node>, Refused> {
        let node = hello.node;
        let Some(member) = state.node(NodeId(node)) else {
            // Numbers are given in order: a greater one is newer than what we have read.
            if NodeId(node) > state.newest_node() {
                return Ok(None);
            }
            return Err(Refused::UnknownMember { node });
        };
        if member.phase == MemberPhase::Removed {
            return Err(Refused::RemovedMember { node });
        }
        // A founder states its key after its first start; before that it is alone.
        let known = member.key.map(|key| *key.as_bytes());
        if known.is_some() && known != key {
            return Err(Refused::WrongKey { node });
        }
        if known.is_some() && member.epoch != hello.member_epoch {
            return Err(Refused::WrongEpoch {
                node,
                ours: member.epoch,
                theirs: hello.member_epoch,
            });
        }
        Ok(Some(member.clone()))
    }

    /// A disk that went back in time has less than what was seen of it before.
    fn check_not_reverted(&self, state: &State, hello: &Hello) -> Result<(), Refused> {
        let node = hello.node;
        let reverted = |what: &str, had, has| Refused::LogReversion {
            node,
            had,
            has,
            what: what.to_owned(),
        };
        let remembered = self.cluster.get().and_then(|c| c.remembered(node));
        if let Some(had) = remembered
            && hello.log_end < Some(had)
        {
            let has = hello.log_end.unwrap_or(0);
            return Err(reverted("Raft log", had, has));
        }
        let anchor = state.access_anchor(NodeId(node));
        if let (Some(anchor), Some((size, root))) = (anchor, hello.access_log) {
            if size < anchor.size {
                return Err(reverted("access log", anchor.size, size));
            }
            if size == anchor.size && root != *anchor.root.as_bytes() {
                return Err(Refused::DoesNotFit { node, size });
            }
        }
        Ok(())
    }

    /// What it signed must be in our log, as far as that reaches.
    fn check_fits(&self, hello: &Hello) -> Result<(), Refused> {
        let Some((size, root)) = hello.cluster_log else {
            return Ok(());
        };
        let ledger = self.machine.ledger();
        if size == 0 || size > ledger.size() {
            return Ok(());
        }
        match ledger.root_at(size) {
            Ok(ours) if ours.0 != root => Err(Refused::DoesNotFit {
                node: hello.node,
                size,
            }),
            // Without its stored hashes this node cannot tell; cosigning finds what differs.
            _ => Ok(()),
        }
    }
}

impl Gatekeeper for Gate {
    fn hello(&self) -> Hello {
        let (lineage, epoch) = {
            let state = self.machine.state();
            let epoch = state.node(self.place.id()).map(|node| node.epoch);
            (self.lineage(&state), epoch.unwrap_or(self.place.epoch))
        };
        let head = {
            let ledger = self.machine.ledger();
            (ledger.size(), ledger.root().0)
        };
        let access = self.access.get().map(|access| {
            let (size, root) = access.head();
            (size, root.0)
        });
        Hello {
            protocol: PROTOCOL,
            cluster: *self.cluster_id.as_bytes(),
            lineage,
            node: self.place.node,
            member_epoch: epoch,
            format: domain::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log_end: self.log_end.get(),
            cluster_log: Some(head),
            access_log: access,
        }
    }

    fn admit(&self, hello: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused> {
        if hello.cluster != *self.cluster_id.as_bytes() {
            return Err(Refused::ForeignCluster);
        }
        if hello.node == 0 || key.is_none() {
            return Ok(Caller::Newcomer { key });
        }
        let state = self.machine.state();
        let (ours, theirs) = (self.lineage(&state), hello.lineage);
        if ours != theirs {
            return Err(Refused::OtherLineage { ours, theirs });
        }
        if hello.format < state.format() {
            let (needed, theirs) = (state.format(), hello.format);
            return Err(Refused::FormatTooOld { needed, theirs });
        }
        Self::identify(&state, hello, key)?;
        self.check_not_reverted(&state, hello)?;
        drop(state);
        self.check_fits(hello)?;
        Ok(Caller::Member { node: hello.node })
    }
}
