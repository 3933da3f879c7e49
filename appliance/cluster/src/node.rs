//! A member of the cluster: log, machine, openraft and batcher together.

use crate::batcher::{self, WAITING_MAX, Waiting};
use crate::log_store::LogStore;
use crate::machine::{Machine, MachineAdapter};
use crate::network::Peers;
use crate::types::{COMMAND_BYTES_MAX, TypeConfig};
use openraft::{BasicNode, Config, EntryPayload, Raft, SnapshotPolicy, StoredMembership};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Entries between two snapshots. A snapshot costs two fsyncs here, not a copy of the state, so it
/// may come often; the Raft log (which holds sealed payloads) stays short for it.
const ENTRIES_PER_SNAPSHOT: u64 = 5_000;

/// Entries kept behind a snapshot, for followers that are a little late.
const ENTRIES_KEPT: u64 = 1_000;

/// Time until the first leader is there and has applied what was committed before.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How a member begins.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Folder of the Raft log, the vote and the snapshot pointer.
    pub dir: PathBuf,
    /// Number of this node.
    pub node: u64,
    /// Name of the cluster, for diagnostics.
    pub name: String,
}

/// The member could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The folder could not be read or written, or what stands in it is damaged.
    #[error("Raft folder {dir}: {source}")]
    Storage {
        /// Which folder.
        dir: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The machine ends before the entries that the log has already forgotten.
    #[error(
        "the ledger ends at entry {applied:?}, but the Raft log begins after entry {purged}: \
         the ledger was rolled back or replaced; restore it together with the Raft folder"
    )]
    LedgerBehind {
        /// Where the machine stands.
        applied: Option<u64>,
        /// Up to where the log was purged.
        purged: u64,
    },
    /// The machine has applied entries that the log does not have.
    #[error(
        "the ledger holds entry {applied}, but the Raft log ends at {last:?}: the Raft folder was \
         rolled back or replaced; restore it together with the ledger"
    )]
    LogBehind {
        /// Where the machine stands.
        applied: u64,
        /// Where the log ends.
        last: Option<u64>,
    },
    /// Consensus did not come up.
    #[error("consensus did not start: {0}")]
    Consensus(String),
}

/// A command was not carried out, or nobody knows whether it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeFault {
    /// Another node leads.
    #[error("this node does not lead; node {leader:?} does")]
    NotLeader {
        /// Who does, when known.
        leader: Option<u64>,
    },
    /// The command is larger than an entry may be.
    #[error("the command has {bytes} bytes; {COMMAND_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Consensus has stopped on this node. The outcome is unknown: the command may be carried out
    /// after a restart.
    #[error("this node cannot write: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl ProposeFault {
    pub(crate) fn stopped(reason: impl ToString) -> Self {
        Self::Stopped {
            reason: reason.to_string(),
        }
    }
}

/// Where the member stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who leads.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Last entry in the log.
    pub last_entry: Option<u64>,
    /// Last entry applied.
    pub applied_entry: Option<u64>,
    /// Entry up to which the log was forgotten.
    pub purged_entry: Option<u64>,
    /// Why consensus stopped on this node, if it did.
    pub stopped: Option<String>,
}

/// A running member. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    raft: Raft<TypeConfig>,
    waiting: mpsc::Sender<Waiting>,
    log: LogStore,
    node: u64,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Opens the log, brings the machine up to what was committed, and returns when this cluster
    /// of one leads itself.
    pub async fn start<M: Machine>(
        config: ClusterConfig,
        machine: Arc<M>,
    ) -> Result<Self, StartFault> {
        let storage = |source| StartFault::Storage {
            dir: config.dir.clone(),
            source,
        };
        let log = LogStore::open(&config.dir).map_err(storage)?;
        let snapshot = config.dir.join("snapshot");
        let applied = machine.applied_entry();
        let adapter = MachineAdapter::open(&snapshot, machine).map_err(storage)?;
        place(&log, &adapter, applied, storage)?;
        let consensus = |e: &dyn std::fmt::Display| StartFault::Consensus(e.to_string());
        let raft_config = raft_config(&config.name).map_err(|e| consensus(&e))?;
        let raft = Raft::new(
            config.node,
            Arc::new(raft_config),
            Peers,
            log.clone(),
            adapter,
        )
        .await
        .map_err(|e| consensus(&e))?;
        if !raft.is_initialized().await.map_err(|e| consensus(&e))? {
            let members = BTreeMap::from([(config.node, BasicNode::default())]);
            raft.initialize(members).await.map_err(|e| consensus(&e))?;
        }
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(batcher::run(raft.clone(), queue));
        let cluster = Self {
            raft,
            waiting,
            log,
            node: config.node,
        };
        cluster.await_leadership().await?;
        Ok(cluster)
    }

    /// Waits until everything committed before is applied, so that no stale answer is given.
    async fn await_leadership(&self) -> Result<(), StartFault> {
        let consensus = |e: &dyn std::fmt::Display| StartFault::Consensus(e.to_string());
        self.raft
            .trigger()
            .elect()
            .await
            .map_err(|e| consensus(&e))?;
        self.raft
            .wait(Some(START_TIMEOUT))
            .current_leader(self.node, "leading a cluster of one")
            .await
            .map_err(|e| consensus(&e))?;
        self.raft
            .ensure_linearizable()
            .await
            .map_err(|e| consensus(&e))?;
        Ok(())
    }

    /// Has a command carried out by the whole cluster; answers with the machine's reply.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Vec<u8>, ProposeFault> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeFault::TooLarge {
                bytes: command.len(),
            });
        }
        let (reply, answer) = oneshot::channel();
        let gone = |_| ProposeFault::stopped("the node is stopping");
        let sent = self.waiting.send(Waiting { command, reply }).await;
        sent.map_err(|_| ProposeFault::stopped("the node is stopping"))?;
        answer.await.map_err(gone)?
    }

    /// Makes the machine durable now and forgets every entry before this moment, with the sealed
    /// payloads in them.
    pub async fn forget_entries(&self) -> Result<(), ProposeFault> {
        self.log.roll().await.map_err(ProposeFault::stopped)?;
        let applied = self.raft.metrics().borrow().last_applied.map(|id| id.index);
        let Some(applied) = applied else {
            return Ok(());
        };
        let stopped = |e: &dyn std::fmt::Display| ProposeFault::stopped(e);
        self.raft
            .trigger()
            .snapshot()
            .await
            .map_err(|e| stopped(&e))?;
        let covered = |m: &openraft::RaftMetrics<u64, BasicNode>| {
            m.snapshot.is_some_and(|id| id.index >= applied)
        };
        let wait = self.raft.wait(Some(START_TIMEOUT));
        wait.metrics(covered, "snapshot")
            .await
            .map_err(|e| stopped(&e))?;
        self.raft
            .trigger()
            .purge_log(applied)
            .await
            .map_err(|e| stopped(&e))?;
        let purged = |m: &openraft::RaftMetrics<u64, BasicNode>| {
            m.purged.is_some_and(|id| id.index >= applied)
        };
        wait_for(&self.raft, purged).await?;
        while self.log.purged().is_none_or(|id| id.index < applied) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Where this member stands.
    pub fn status(&self) -> Status {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        Status {
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_entry: metrics.last_log_index,
            applied_entry: metrics.last_applied.map(|id| id.index),
            purged_entry: metrics.purged.map(|id| id.index),
            stopped: metrics
                .running_state
                .as_ref()
                .err()
                .map(ToString::to_string),
        }
    }

    /// Ends consensus on this node; entries not yet committed are settled at the next start.
    pub async fn shutdown(&self) {
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!("consensus ended badly: {e}");
        }
    }
}

async fn wait_for(
    raft: &Raft<TypeConfig>,
    reached: impl Fn(&openraft::RaftMetrics<u64, BasicNode>) -> bool + Send,
) -> Result<(), ProposeFault> {
    let waited = raft
        .wait(Some(START_TIMEOUT))
        .metrics(reached, "purge")
        .await;
    waited.map(drop).map_err(ProposeFault::stopped)
}

fn raft_config(name: &str) -> Result<Config, openraft::ConfigError> {
    Config {
        cluster_name: name.to_owned(),
        heartbeat_interval: 250,
        election_timeout_min: 1_000,
        election_timeout_max: 2_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        ..Config::default()
    }
    .validate()
}

/// Tells the adapter which entries the machine already holds, after checking that log and machine
/// belong together.
fn place<M: Machine>(
    log: &LogStore,
    adapter: &MachineAdapter<M>,
    found: Option<u64>,
    storage: impl Fn(io::Error) -> StartFault,
) -> Result<(), StartFault> {
    let snapshot = adapter.snapshot_index();
    let applied = found.max(snapshot);
    let purged = log.purged().map(|id| id.index);
    if let Some(purged) = purged
        && applied < Some(purged)
    {
        return Err(StartFault::LedgerBehind { applied, purged });
    }
    let Some(applied) = applied.filter(|a| Some(*a) > snapshot) else {
        return Ok(());
    };
    let last = log.last().map(|id| id.index);
    if last < Some(applied) {
        return Err(StartFault::LogBehind { applied, last });
    }
    let mut membership = None;
    let mut position = None;
    for entry in log
        .entries(snapshot.map_or(0, |s| s + 1)..=applied)
        .map_err(storage)?
    {
        if let EntryPayload::Membership(members) = entry.payload {
            membership = Some(StoredMembership::new(Some(entry.log_id), members));
        }
        position = Some(entry.log_id);
    }
    if let Some(position) = position.filter(|id| id.index == applied) {
        adapter.advance(position, membership);
    }
    Ok(())
}
