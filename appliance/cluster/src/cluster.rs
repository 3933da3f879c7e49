//! A member of the cluster from outside: start, propose, read, change the members, stop.

use crate::answer::Answers;
use crate::batcher::{self, WAITING_MAX};
use crate::log_store::{LogEnd, LogStore};
use crate::machine::{Machine, MachineAdapter};
use crate::membership::MembershipFault;
use crate::network::Network;
use crate::node::Node;
use crate::peers::{Answerer, Peers};
use crate::propose::ProposeFault;
use crate::rounds::{NotReady, Rounds};
use crate::standing::{Outcome, Reversion, Standing};
use crate::types::{Command, Member, Role, TypeConfig};
use crate::wire::Way;
use ledger::Disk;
use openraft::{Config, EntryPayload, Raft, RaftMetrics, SnapshotPolicy, StoredMembership};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

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
    /// What this node is as the first member; it founds a cluster of one with it if the log is
    /// empty. `None`: it waits until a leader contacts it.
    pub founding: Option<Member>,
    /// Where the folder lies.
    pub disk: Arc<dyn Disk>,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Where the end of the log is to be read, for the Hello of this node.
    pub log_end: LogEnd,
    /// For simulations: no threads, everything is done by the task that asks for it.
    pub inline_io: bool,
}

/// Heartbeats and elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader; also how long one message to a follower may take.
    pub heartbeat: Duration,
    /// Shortest time without a leader before a node campaigns (after the lease has run out).
    pub election_min: Duration,
    /// Longest such time; also the lease, within which nobody votes for another.
    pub election_max: Duration,
}

impl Default for Timing {
    /// For nodes less than 50 ms apart: a node campaigns after the lease and the election timeout
    /// together, so 1.5 to 2 s after the last heartbeat (FAILURES: at least one second and ten
    /// round trips; a new leader within three seconds).
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1_000),
        }
    }
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

impl StartFault {
    /// Whether this node has lost what it must not forget: part of its Raft log, its vote, or the
    /// one beside the other. It must not take part in elections with what is left; a member of a
    /// cluster comes back under a new number. Not so when the disk could not be read at all.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Storage { source, .. } => {
                let inner = source.get_ref();
                let opened = inner.and_then(|e| e.downcast_ref::<ledger::OpenError>());
                let read = inner.and_then(|e| e.downcast_ref::<ledger::Fault>());
                source.kind() == io::ErrorKind::InvalidData
                    || matches!(opened, Some(ledger::OpenError::Corrupt(_)))
                    || matches!(read, Some(ledger::Fault::Damaged(_)))
            }
            Self::LedgerBehind { .. } | Self::LogBehind { .. } => true,
            Self::Consensus(_) => false,
        }
    }

    fn consensus(why: impl std::fmt::Display) -> Self {
        Self::Consensus(why.to_string())
    }
}

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// Where it is reached.
    pub address: String,
    /// What it is.
    pub role: Role,
    /// Record number of its admission.
    pub epoch: u64,
    /// True when it votes now (also during a change that ends it).
    pub voter: bool,
    /// Last entry known to be on its disk; known to the leader only.
    pub matched: Option<u64>,
    /// Its log went backwards under this leader, which sends it nothing more.
    pub reversion: Option<Reversion>,
}

/// Where the member stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Number of this node.
    pub node: u64,
    /// What this node is.
    pub role: Role,
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
    /// Every member, by number.
    pub members: Vec<MemberStatus>,
    /// Time since a quorum was last with this node, or with the leader it asked.
    pub quorum_age: Option<Duration>,
    /// True as long as this node, just started, has not been accepted by the others and so takes no
    /// part in elections.
    pub fenced: bool,
}

/// A running member. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    node: Arc<Node>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.node.node)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Opens the log and joins in. Returns when the log is open and the machine has what the log
    /// knows to be committed; a cluster of one returns when it leads itself and has applied
    /// everything that was committed before.
    ///
    /// # Errors
    /// What is wrong with the folder, with the machine beside it, or with the configuration.
    pub async fn start<M: Machine>(
        config: ClusterConfig,
        machine: Arc<M>,
        peers: Option<Peers>,
    ) -> Result<Self, StartFault> {
        let way = peers.map(|peers| Arc::new(peers) as Arc<dyn Way>);
        Self::start_over(config, machine, way).await
    }

    /// [`Cluster::start`] over any way to the others.
    pub(crate) async fn start_over<M: Machine>(
        config: ClusterConfig,
        machine: Arc<M>,
        way: Option<Arc<dyn Way>>,
    ) -> Result<Self, StartFault> {
        let standing = Standing::new(config.node);
        let found = machine.applied_entry();
        let (log, adapter, alone) = open(&config, machine.clone(), &standing)?;
        let completed = adapter.complete(found).await;
        completed.map_err(StartFault::consensus)?;
        if !alone {
            log.renounce_leadership();
        }
        let network = Network {
            way: way.clone(),
            standing: standing.clone(),
            heartbeat: config.timing.heartbeat,
        };
        let raft_config = raft_config(&config, way.is_none()).map_err(StartFault::consensus)?;
        let raft_config = Arc::new(raft_config);
        let raft = Raft::new(config.node, raft_config, network, log.clone(), adapter).await;
        let raft = raft.map_err(StartFault::consensus)?;
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let node = Arc::new(Node {
            node: config.node,
            raft,
            waiting,
            log,
            standing,
            machine,
            fenced: AtomicBool::new(way.is_some()),
            way,
            lease: config.timing.election_min * 3 / 2,
            vote_lease: config.timing.election_max,
            leader_heard: Mutex::default(),
            rounds: Rounds::default(),
            contact: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            installing: Mutex::default(),
            stop: watch::Sender::new(false),
        });
        tokio::spawn(batcher::run(node.clone(), queue));
        let cluster = Self { node };
        cluster.begin(config.founding).await?;
        Ok(cluster)
    }

    /// Founds or takes up the cluster, and sets the tasks of this node going.
    async fn begin(&self, founding: Option<Member>) -> Result<(), StartFault> {
        let raft = &self.node.raft;
        let initialized = raft.is_initialized().await.map_err(StartFault::consensus)?;
        if let Some(member) = founding
            && !initialized
        {
            let members = BTreeMap::from([(self.node.node, member)]);
            raft.initialize(members)
                .await
                .map_err(StartFault::consensus)?;
        }
        let sets = raft
            .with_raft_state(|state| {
                let members = state.membership_state.effective().membership();
                members.get_joint_config().clone()
            })
            .await
            .map_err(StartFault::consensus)?;
        let alone =
            matches!(sets.as_slice(), [only] if only.len() == 1 && only.contains(&self.node.node));
        if alone {
            self.node.lift_fence("it is the only voter");
            self.await_leadership().await?;
        }
        if self.node.way.is_some() {
            tokio::spawn(self.node.clone().follow_membership());
            tokio::spawn(self.node.clone().run_fence());
            tokio::spawn(self.node.clone().run_ticker());
        }
        Ok(())
    }

    /// Waits until everything committed before is applied, so that no stale answer is given.
    async fn await_leadership(&self) -> Result<(), StartFault> {
        let raft = &self.node.raft;
        raft.trigger()
            .elect()
            .await
            .map_err(StartFault::consensus)?;
        let leading = raft.wait(Some(START_TIMEOUT));
        let leading = leading.current_leader(self.node.node, "leading a cluster of one");
        leading.await.map_err(StartFault::consensus)?;
        let confirmed = raft.ensure_linearizable().await;
        confirmed.map_err(StartFault::consensus)?;
        self.node.standing.confirmed();
        Ok(())
    }

    /// What this member answers to others: give it to [`Peers::serve`]. Messages of agreement are
    /// taken here; every other body on the lanes Service and Bulk goes to `service`.
    pub fn answerer(&self, service: Arc<dyn Answerer>) -> Arc<dyn Answerer> {
        let node = self.node.clone();
        Arc::new(Answers { node, service })
    }

    /// Has a command carried out by the whole cluster, from any node; answers with the machine's
    /// reply. It has exactly one effect, or none and a fault.
    ///
    /// # Errors
    /// See [`ProposeFault`]; only after `Unknown` and `Stopped` may the command have an effect.
    pub async fn propose(&self, command: Command) -> Result<Vec<u8>, ProposeFault> {
        self.node.propose(command).await
    }

    /// Waits until everything that any node had answered before this call is applied here, so that
    /// a read after it is linearizable. Answers with the last applied entry. All who wait at the
    /// same time share one round between nodes; a cluster of one needs none.
    ///
    /// # Errors
    /// No quorum could be reached, or this node is too far behind, for two seconds.
    pub async fn read_barrier(&self) -> Result<u64, NotReady> {
        self.node.read_barrier().await
    }

    /// Start of the last round that a quorum confirmed: this node's own as leader, otherwise of a
    /// question that the leader answered after a round of its own. It is made at least about every
    /// second.
    pub fn quorum_contact(&self) -> Option<Instant> {
        self.node.quorum_contact()
    }

    /// Admits a node, which then gets everything and does not vote yet; or changes the address of
    /// one that is a member already. On the leader.
    ///
    /// # Errors
    /// See [`MembershipFault`].
    pub async fn add_learner(&self, node: u64, member: Member) -> Result<(), MembershipFault> {
        self.node.add_learner(node, member).await
    }

    /// Makes a learner a voter as soon as it has every entry that this leader has now. On the
    /// leader; waits up to a minute.
    ///
    /// # Errors
    /// See [`MembershipFault`].
    pub async fn promote(&self, node: u64) -> Result<(), MembershipFault> {
        self.node.promote(node).await
    }

    /// Removes a member. On the leader, which may remove itself.
    ///
    /// # Errors
    /// See [`MembershipFault`].
    pub async fn remove(&self, node: u64) -> Result<(), MembershipFault> {
        self.node.remove(node).await
    }

    /// Highest committed entry that a node had on its disk, as this node learned when it led. A
    /// node that now says its log ends before it has lost entries. Kept in memory only.
    pub fn remembered(&self, node: u64) -> Option<u64> {
        self.node.standing.remembered(node)
    }

    /// Makes the machine durable now and forgets every entry of this node's log before this moment,
    /// with the sealed payloads in them.
    ///
    /// # Errors
    /// [`ProposeFault::Stopped`].
    pub async fn forget_entries(&self) -> Result<(), ProposeFault> {
        let (raft, log) = (&self.node.raft, &self.node.log);
        log.roll().await.map_err(ProposeFault::stopped)?;
        let applied = raft.metrics().borrow().last_applied.map(|id| id.index);
        let Some(applied) = applied else {
            return Ok(());
        };
        let triggered = raft.trigger().snapshot().await;
        triggered.map_err(ProposeFault::stopped)?;
        let covered = |m: &Metrics| m.snapshot.is_some_and(|id| id.index >= applied);
        wait_for(raft, covered, "snapshot").await?;
        let triggered = raft.trigger().purge_log(applied).await;
        triggered.map_err(ProposeFault::stopped)?;
        let purged = |m: &Metrics| m.purged.is_some_and(|id| id.index >= applied);
        wait_for(raft, purged, "purge").await?;
        while log.purged().is_none_or(|id| id.index < applied) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Where this member stands.
    pub fn status(&self) -> Status {
        let role = self.node.role();
        let quorum_age = self.quorum_contact().map(|contact| contact.elapsed());
        let members = self.member_statuses();
        let metrics = self.node.raft.metrics();
        let metrics = metrics.borrow();
        Status {
            node: self.node.node,
            role,
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
            members,
            quorum_age,
            fenced: self.node.is_fenced(),
        }
    }

    fn member_statuses(&self) -> Vec<MemberStatus> {
        let (sets, members) = (self.node.voter_sets(), self.node.members());
        let led = self.node.reign().filter(|r| r.node_id == self.node.node);
        let mut matches = led.map_or_else(BTreeMap::new, |r| self.node.standing.matches(r));
        if led.is_some() {
            let last = self.node.log.last().map(|id| id.index);
            matches.extend(last.map(|last| (self.node.node, last)));
        }
        let mut reversions = self.node.standing.reversions();
        let status = |(node, member): (u64, Member)| MemberStatus {
            node,
            address: member.address,
            role: member.role,
            epoch: member.epoch,
            voter: sets.iter().any(|set| set.contains(&node)),
            matched: matches.get(&node).copied(),
            reversion: reversions.remove(&node),
        };
        members.into_iter().map(status).collect()
    }

    /// The voters as this member knows them: one set, or the old and the new one during a change.
    /// An entry is committed when a majority of each set has it.
    pub fn voter_sets(&self) -> Vec<BTreeSet<u64>> {
        self.node.voter_sets()
    }

    /// How many sets of voters there are: two during a change.
    #[cfg(test)]
    pub(crate) fn node_voter_sets(&self) -> usize {
        self.node.voter_sets().len()
    }

    /// Ends consensus on this node; entries not yet committed are settled at the next start.
    pub async fn shutdown(&self) {
        self.node.stop.send_replace(true);
        if let Err(e) = self.node.raft.shutdown().await {
            tracing::warn!("consensus ended badly: {e}");
        }
        let stopped = Outcome::Stopped("the node is stopping".into());
        self.node.standing.settle_all(&stopped);
    }
}

type Metrics = RaftMetrics<u64, Member>;

async fn wait_for(
    raft: &Raft<TypeConfig>,
    reached: impl Fn(&Metrics) -> bool + Send,
    what: &str,
) -> Result<(), ProposeFault> {
    let waited = raft.wait(Some(START_TIMEOUT)).metrics(reached, what).await;
    waited.map(drop).map_err(ProposeFault::stopped)
}

fn raft_config(config: &ClusterConfig, alone: bool) -> Result<Config, openraft::ConfigError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: config.name.clone(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        // With peers, the fence has to be lifted first.
        enable_elect: alone,
        ..Config::default()
    }
    .validate()
}

type Opened<M> = (LogStore, MachineAdapter<M>, bool);

/// Opens log and snapshot pointer, and places the machine between them. Also tells whether this
/// node is the only voter.
fn open<M: Machine>(
    config: &ClusterConfig,
    machine: Arc<M>,
    standing: &Arc<Standing>,
) -> Result<Opened<M>, StartFault> {
    let storage = |source| StartFault::Storage {
        dir: config.dir.clone(),
        source,
    };
    let (disk, inline) = (&config.disk, config.inline_io);
    let (dir, end) = (&config.dir, &config.log_end);
    let log = LogStore::open(disk, dir, standing.clone(), end, inline).map_err(storage)?;
    let found = machine.applied_entry();
    let path = config.dir.join("snapshot");
    let adapter = MachineAdapter::open(&**disk, &path, machine, standing.clone(), inline);
    let adapter = adapter.map_err(storage)?;
    place(&log, &adapter, found, storage)?;
    adapter.announce();
    let latest = latest_membership(&log, &adapter).map_err(storage)?;
    if let Some(id) = latest.log_id() {
        standing.membership_appended(*id, latest.membership());
        standing.membership_applied(*id, latest.membership());
    }
    let alone = crate::standing::is_alone(latest.membership(), config.node);
    Ok((log, adapter, alone))
}

/// Checks that log, snapshot and machine belong together; `found` is where the machine stands.
pub(crate) fn check_together(
    found: Option<u64>,
    snapshot: Option<u64>,
    purged: Option<u64>,
    last: Option<u64>,
) -> Result<(), StartFault> {
    let applied = found.max(snapshot);
    if let Some(purged) = purged
        && applied < Some(purged)
    {
        return Err(StartFault::LedgerBehind { applied, purged });
    }
    match applied.filter(|a| Some(*a) > snapshot) {
        Some(applied) if last < Some(applied) => Err(StartFault::LogBehind { applied, last }),
        _ => Ok(()),
    }
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
    let (purged, last) = (
        log.purged().map(|id| id.index),
        log.last().map(|id| id.index),
    );
    check_together(found, snapshot, purged, last)?;
    let applied = found.max(snapshot);
    let Some(applied) = applied.filter(|a| Some(*a) > snapshot) else {
        return Ok(());
    };
    let mut membership = None;
    let mut position = None;
    let entries = log.entries(snapshot.map_or(0, |s| s + 1)..=applied);
    for entry in entries.map_err(storage)? {
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

/// The membership of the last entry that names one, committed or not.
fn latest_membership<M: Machine>(
    log: &LogStore,
    adapter: &MachineAdapter<M>,
) -> io::Result<StoredMembership<u64, Member>> {
    let (applied, mut latest) = adapter.position();
    for entry in log.entries(applied.map_or(0, |id| id.index + 1)..)? {
        if let EntryPayload::Membership(members) = entry.payload {
            latest = StoredMembership::new(Some(entry.log_id), members);
        }
    }
    Ok(latest)
}
