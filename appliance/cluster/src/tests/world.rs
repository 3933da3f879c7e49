//! A world in one process: members over memory disks and a network that can be cut, on paused time
//! and one thread.

use crate::peers::{Answerer, BoxFuture, Caller, Lane};
use crate::types::{Command, EntryId, Member, Role};
use crate::wire::{Missed, Way};
use crate::{Cluster, ClusterConfig, LogEnd, Machine, MachineFault, Timing};
use ledger::MemDisk;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// The state: every command that counted, in order.
pub(super) type History = Vec<(u64, Command)>;

/// A machine that remembers everything. Its "disk" is what it held when last made durable, and
/// survives a restart beside the node's disk.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) history: Mutex<History>,
    durable: Mutex<History>,
    /// Where to fetch from.
    others: Mutex<Option<Weak<Ether>>>,
    fetched: Mutex<Option<History>>,
    /// Nothing is fetched while this is set.
    pub(super) fetch_fails: Mutex<bool>,
    /// Fetching takes no time while this is set.
    pub(super) fetch_is_quick: Mutex<bool>,
    /// Commands beginning with this byte are not accepted from other members.
    pub(super) forbidden: Mutex<Option<u8>>,
}

impl Recorder {
    pub(super) fn commands(&self) -> Vec<Vec<u8>> {
        let history = self.history.lock();
        history.iter().map(|(_, c)| c.bytes.clone()).collect()
    }

    fn restarted(&self) -> Arc<Self> {
        let durable = self.durable.lock().clone();
        Arc::new(Self {
            history: Mutex::new(durable.clone()),
            durable: Mutex::new(durable),
            others: Mutex::new(self.others.lock().clone()),
            ..Self::default()
        })
    }

    fn fault(e: impl ToString) -> MachineFault {
        MachineFault(e.to_string())
    }
}

impl Machine for Recorder {
    fn applied_entry(&self) -> Option<u64> {
        self.history.lock().last().map(|(entry, _)| *entry)
    }

    fn apply(&self, entry: EntryId, commands: &[Command]) -> Result<Vec<Vec<u8>>, MachineFault> {
        let mut history = self.history.lock();
        if history.last().is_none_or(|(last, _)| *last < entry.index) {
            history.extend(commands.iter().map(|c| (entry.index, c.clone())));
        }
        Ok(commands.iter().map(|c| c.bytes.clone()).collect())
    }

    fn describe(&self) -> Result<Vec<u8>, MachineFault> {
        crate::codec::to_vec(&self.history.lock().len()).map_err(Self::fault)
    }

    fn make_durable(&self) -> Result<(), MachineFault> {
        *self.durable.lock() = self.history.lock().clone();
        Ok(())
    }

    fn fetch(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            if !*self.fetch_is_quick.lock() {
                // Longer than several elections: consensus must go on meanwhile.
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            if *self.fetch_fails.lock() {
                return Err(Self::fault("the other side does not answer"));
            }
            let length: usize = crate::codec::from_slice(&description).map_err(Self::fault)?;
            let ether = self.others.lock().as_ref().and_then(Weak::upgrade);
            let Some(ether) = ether else {
                return Err(Self::fault("nobody to fetch from"));
            };
            for machine in ether.machines() {
                let history = machine.history.lock();
                if let Some(prefix) = history.get(..length) {
                    *self.fetched.lock() = Some(prefix.to_vec());
                    return Ok(());
                }
            }
            Err(Self::fault("nobody has it"))
        })
    }

    fn install(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            let length: usize = crate::codec::from_slice(&description).map_err(Self::fault)?;
            if self.history.lock().len() >= length {
                return Ok(());
            }
            let fetched = match length {
                0 => Some(History::new()),
                _ => self
                    .fetched
                    .lock()
                    .take()
                    .filter(|fetched| fetched.len() == length),
            };
            let fetched = fetched.ok_or_else(|| Self::fault("nothing was fetched"))?;
            *self.durable.lock() = fetched.clone();
            *self.history.lock() = fetched;
            Ok(())
        })
    }

    fn may_propose(&self, caller: u64, command: &Command) -> Result<(), String> {
        match command.bytes.first().copied() == *self.forbidden.lock() {
            true if !command.bytes.is_empty() => Err(format!("node {caller} may not say this")),
            _ => Ok(()),
        }
    }
}

/// Who stands where, and which ways are cut.
#[derive(Default)]
pub(super) struct Ether {
    homes: Mutex<BTreeMap<u64, Home>>,
    /// Messages from the first to the second are lost.
    cuts: Mutex<BTreeSet<(u64, u64)>>,
    known: Mutex<BTreeSet<(u64, u64)>>,
    /// A way that is cut breaks the connection, instead of leaving who waits in the dark.
    pub(super) resets: Mutex<bool>,
    /// Nobody talks to these nodes of their own accord about anything but Raft.
    pub(super) shunned: Mutex<BTreeSet<u64>>,
    /// What each lane between two nodes carries; 0 is no limit.
    pub(super) bytes_per_second: Mutex<u64>,
    /// One way of a message.
    pub(super) latency: Mutex<Duration>,
}

struct Home {
    answerer: Arc<dyn Answerer>,
    machine: Arc<Recorder>,
}

impl Ether {
    fn machines(&self) -> Vec<Arc<Recorder>> {
        let homes = self.homes.lock();
        homes.values().map(|home| home.machine.clone()).collect()
    }

    /// Waits as long as somebody has to who gets no answer because of a cut.
    async fn check(&self, from: u64, to: u64, deadline: Instant) -> Result<(), Missed> {
        if !self.cuts.lock().contains(&(from, to)) {
            return Ok(());
        }
        if !*self.resets.lock() {
            tokio::time::sleep_until(deadline).await;
        }
        Err(Missed::Lost(format!("cut from node {from} to node {to}")))
    }
}

/// The way of one node through the ether.
struct EtherWay {
    ether: Arc<Ether>,
    from: u64,
}

impl Way for EtherWay {
    fn call(
        &self,
        node: u64,
        lane: Lane,
        body: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, Missed>> {
        let (ether, from) = (self.ether.clone(), self.from);
        Box::pin(async move {
            if !ether.known.lock().contains(&(from, node)) {
                return Err(Missed::NotSent(format!("no way to node {node}")));
            }
            let deadline = Instant::now() + within;
            let latency = *ether.latency.lock();
            let crossing = match *ether.bytes_per_second.lock() {
                0 => Duration::ZERO,
                speed => Duration::from_millis(body.len() as u64 * 1_000 / speed),
            };
            tokio::time::sleep(latency + crossing).await;
            let answerer = {
                let homes = ether.homes.lock();
                homes.get(&node).map(|home| home.answerer.clone())
            };
            let Some(answerer) = answerer else {
                return Err(Missed::NotSent(format!("nobody listens at node {node}")));
            };
            if lane == Lane::Service && ether.shunned.lock().contains(&from) {
                return Err(Missed::NotSent(format!("node {node} refuses node {from}")));
            }
            ether.check(from, node, deadline).await?;
            // What arrived is answered, also when nobody waits for the answer any more.
            let answer = tokio::spawn(async move {
                let caller = Caller::Member { node: from };
                answerer.answer(caller, lane, body).await
            });
            let answer = tokio::time::timeout_at(deadline, answer).await;
            tokio::time::sleep(latency).await;
            ether.check(node, from, deadline).await?;
            match answer {
                Ok(Ok(Ok(answer))) => Ok(answer),
                Ok(Ok(Err(why))) => Err(Missed::Lost(why)),
                Ok(Err(_)) | Err(_) => Err(Missed::Lost("too late".into())),
            }
        })
    }

    fn set_address(&self, node: u64, address: String) {
        assert_eq!(address, address_of(node));
        self.ether.known.lock().insert((self.from, node));
    }

    fn forget(&self, node: u64) {
        self.ether.known.lock().remove(&(self.from, node));
    }
}

fn address_of(node: u64) -> String {
    format!("node-{node}:9001")
}

/// What is not for agreement.
pub(super) struct Echo;

impl Answerer for Echo {
    fn answer(&self, _: Caller, _: Lane, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move { Ok(body) })
    }
}

/// Members, running or not.
pub(super) struct World {
    pub(super) ether: Arc<Ether>,
    pub(super) running: BTreeMap<u64, Cluster>,
    pub(super) machines: BTreeMap<u64, Arc<Recorder>>,
    pub(super) disks: BTreeMap<u64, MemDisk>,
}

pub(super) const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(400),
    election_max: Duration::from_millis(800),
};

pub(super) fn member(node: u64, role: Role) -> Member {
    Member {
        address: address_of(node),
        role,
        epoch: node * 10,
    }
}

pub(super) fn plain(bytes: impl Into<Vec<u8>>) -> Command {
    Command {
        bytes: bytes.into(),
        payload: None,
    }
}

impl World {
    /// A founder alone.
    pub(super) async fn founded() -> Self {
        crate::seed(7);
        let mut world = Self {
            ether: Arc::default(),
            running: BTreeMap::new(),
            machines: BTreeMap::new(),
            disks: BTreeMap::new(),
        };
        *world.ether.latency.lock() = Duration::from_millis(1);
        world.start_as(1, Some(member(1, Role::Voter))).await;
        world
    }

    /// That many voters, led by node 1.
    pub(super) async fn of(voters: u64) -> Self {
        let mut world = Self::founded().await;
        for node in 2..=voters {
            world.start(node).await;
            world.admit(node, Role::Voter).await;
            world.running[&1].promote(node).await.unwrap();
        }
        world.settle().await;
        world
    }

    /// Adds a running node as a learner.
    pub(super) async fn admit(&self, node: u64, role: Role) {
        let leader = self.leader().await;
        let added = self.running[&leader].add_learner(node, member(node, role));
        added.await.unwrap();
    }

    /// Starts a node that founds nothing.
    pub(super) async fn start(&mut self, node: u64) {
        self.start_as(node, None).await;
    }

    async fn start_as(&mut self, node: u64, founding: Option<Member>) {
        let disk = self.disks.entry(node).or_default().clone();
        let before = self.machines.get(&node);
        let machine = before.map_or_else(Arc::default, |machine| machine.restarted());
        *machine.others.lock() = Some(Arc::downgrade(&self.ether));
        let config = ClusterConfig {
            dir: PathBuf::from("/raft"),
            node,
            name: "test".into(),
            founding,
            disk: Arc::new(disk),
            timing: TIMING,
            log_end: LogEnd::default(),
            inline_io: true,
        };
        let ether = self.ether.clone();
        let way: Arc<dyn Way> = Arc::new(EtherWay { ether, from: node });
        let started = Cluster::start_over(config, machine.clone(), Some(way));
        let cluster = started.await.unwrap();
        let home = Home {
            answerer: cluster.answerer(Arc::new(Echo)),
            machine: machine.clone(),
        };
        self.ether.homes.lock().insert(node, home);
        self.machines.insert(node, machine);
        self.running.insert(node, cluster);
    }

    /// Ends a node; what it had not synced is lost.
    pub(super) async fn stop(&mut self, node: u64) {
        self.ether.homes.lock().remove(&node);
        self.running.remove(&node).unwrap().shutdown().await;
        let disk = self.disks.get_mut(&node).unwrap();
        *disk = disk.crash(&mut |_| 0);
    }

    /// Cuts a node off from all others, or joins it again.
    pub(super) fn isolate(&self, node: u64, cut: bool) {
        for other in (1..=9).filter(|other| *other != node) {
            self.cut(node, other, cut);
            self.cut(other, node, cut);
        }
    }

    /// Cuts one direction.
    pub(super) fn cut(&self, from: u64, to: u64, cut: bool) {
        let mut cuts = self.ether.cuts.lock();
        match cut {
            true => cuts.insert((from, to)),
            false => cuts.remove(&(from, to)),
        };
    }

    /// Joins everything again.
    pub(super) fn heal(&self) {
        self.ether.cuts.lock().clear();
    }

    /// The node that leads and takes commands.
    pub(super) async fn leader(&self) -> u64 {
        for _ in 0..600 {
            for (node, cluster) in &self.running {
                let status = cluster.status();
                let fresh = status
                    .quorum_age
                    .is_some_and(|age| age < TIMING.election_min);
                if status.leader == Some(*node) && fresh && status.stopped.is_none() {
                    return *node;
                }
            }
            pause(50).await;
        }
        panic!("no leader: {:#?}", self.statuses());
    }

    fn statuses(&self) -> Vec<crate::Status> {
        self.running.values().map(Cluster::status).collect()
    }

    /// Waits until all running nodes have applied the same.
    pub(super) async fn settle(&self) {
        for _ in 0..2000 {
            let applied: BTreeSet<_> = self.statuses().iter().map(|s| s.applied_entry).collect();
            let ends: BTreeSet<_> = self.statuses().iter().map(|s| s.last_entry).collect();
            if applied.len() == 1 && ends == applied {
                let histories = self
                    .running
                    .keys()
                    .map(|node| self.machines[node].commands());
                let histories: BTreeSet<_> = histories.collect();
                assert_eq!(histories.len(), 1, "same prefix, same node");
                return;
            }
            pause(50).await;
        }
        panic!("the nodes do not agree: {:#?}", self.statuses());
    }

    pub(super) async fn propose(&self, node: u64, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        let reply = self.running[&node].propose(plain(bytes.clone())).await;
        assert_eq!(reply.unwrap(), bytes);
    }
}

pub(super) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
