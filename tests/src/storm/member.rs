//! One simulated node: what runs on a host from a start to the next crash.

use super::Broken;
use super::checkers::converged::Standing;
use super::checkers::on_a_quorum::Sets;
use super::checkers::one_life_per_reign;
use super::chronicle::{Chronicle, now};
use super::client;
use super::disk::{self, SimDisk};
use super::machine::{LEDGER_DIR, Sender, Watched};
use super::net::{PORT, SimNet, host};
use super::papers::{Keeper, papers};
use super::site;
use crate::dice::Dice;
use cluster::peers::{Listener, Net, Peers};
use cluster::{Cluster, ClusterConfig, LogEnd, Member, Role, Status, Timing};
use domain::codec;
use ledger::{Checkpoint, Disk, MemDisk};
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// Folder of the Raft log.
const RAFT_DIR: &str = "/data/raft";

/// Heartbeats and elections: those of the product.
pub const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(200),
    election_min: Duration::from_millis(500),
    election_max: Duration::from_millis(1_000),
};

/// Between two looks of a node at itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a configuration that was in effect may explain what is applied.
const CONFIGURATION_LASTS: Duration = Duration::from_millis(50);

/// Clients at each node.
const CLIENTS: u32 = 2;

/// What the world wants of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make everything durable and forget the entries before.
    Forget,
    /// Let a node in as a voter, if this one leads.
    Admit(u64),
    /// Remove a node, if this one leads.
    Remove(u64),
}

/// What is known of a node from outside.
#[derive(Debug, Default)]
pub struct Now {
    /// Which life it is in; 0 before the first.
    pub life: u64,
    /// It begins only at this time.
    pub begins: Duration,
    /// How much the clock of its commands is off, in milliseconds.
    pub skew: i64,
    /// A bit of a file is flipped before the next start: which file, and where.
    pub rot: Option<(String, u64)>,
    /// What stopped it for good: damage that it has found.
    pub damaged: Option<String>,
    /// As it last saw itself.
    pub status: Option<Status>,
    /// The head of its cluster log when that was last made durable: the checkpoint file.
    pub floor: Option<Checkpoint>,
    /// What its disk holds.
    memory: MemDisk,
    disk: SimDisk,
    cluster: Option<Cluster>,
    machine: Option<Arc<Watched>>,
    keeper: Option<Arc<Keeper>>,
    orders: VecDeque<Order>,
    configurations: VecDeque<(Duration, Sets)>,
}

/// A node, through all its lives.
#[derive(Debug)]
pub struct Place {
    /// Its number.
    pub node: u64,
    /// Seed of its choices.
    pub seed: u64,
    /// Whether it has to be let in by the world, not by the founder.
    pub is_spare: bool,
    /// Voters of the founding.
    pub founders: u64,
    /// The book of the run.
    pub chronicle: Arc<Chronicle>,
    now: Mutex<Now>,
}

/// A node as the members know it.
pub fn member(node: u64) -> Member {
    let address = format!("{}:{PORT}", host(node));
    Member {
        address,
        role: Role::Voter,
        epoch: node,
    }
}

impl Place {
    /// A node that was never started.
    pub fn new(node: u64, founders: u64, seed: u64, chronicle: Arc<Chronicle>) -> Arc<Self> {
        let is_spare = node > founders;
        Arc::new(Self {
            node,
            seed,
            is_spare,
            founders,
            chronicle,
            now: Mutex::default(),
        })
    }

    /// What is known of it.
    pub fn now(&self) -> MutexGuard<'_, Now> {
        self.now
            .lock()
            .expect("one thread, and a panic in it ends the run")
    }

    /// Whether this life still counts: what an earlier one does after its end never happened.
    pub fn is_current(&self, life: u64) -> bool {
        self.now().life == life
    }

    /// Whether it says that it leads.
    pub fn leads(&self) -> bool {
        let cluster = self.now().cluster.clone();
        cluster.is_some_and(|cluster| cluster.status().leader == Some(self.node))
    }

    /// The sets of voters that were in effect here within the last moments.
    pub fn configurations(&self) -> Vec<Sets> {
        let mut here = self.now();
        let Some(cluster) = here.cluster.clone() else {
            return Vec::new();
        };
        let (sets, time) = (cluster.voter_sets(), now());
        here.configurations.push_back((time, sets));
        let old = |(seen, _): &(Duration, Sets)| *seen + CONFIGURATION_LASTS < time;
        while here.configurations.len() > 1 && here.configurations.get(1).is_some_and(old) {
            here.configurations.pop_front();
        }
        here.configurations
            .iter()
            .map(|(_, sets)| sets.clone())
            .collect()
    }

    /// Ends a life at once: what it still tries to write reaches no disk, and nothing is kept of
    /// it.
    pub fn end_life(&self) {
        let (keeper, ended);
        {
            let mut here = self.now();
            here.disk.cut();
            here.life += 1;
            here.status = None;
            here.orders.clear();
            here.configurations.clear();
            keeper = here.keeper.take();
            ended = (here.cluster.take(), here.machine.take());
        }
        if let Some(keeper) = keeper {
            keeper.knows(None);
        }
        drop(ended);
    }

    /// Cuts the power: of what was not synced, chance decides what survives.
    pub fn cut_power(&self, chance: &mut Dice) {
        // Sometimes nothing does, which is what a bug of durability needs to be seen.
        if chance.below(3) == 0 {
            return self.lose_power();
        }
        let choose = |n| usize::try_from(chance.below(n as u64)).expect("a number below a usize");
        self.crash(choose);
    }

    /// Cuts the power: nothing survives that was not synced.
    pub fn lose_power(&self) {
        self.crash(|_| 0);
    }

    fn crash(&self, mut choose: impl FnMut(usize) -> usize) {
        self.end_life();
        let mut here = self.now();
        here.memory = here.memory.crash(&mut choose);
    }

    /// Lets a call to the disk fail, after so many others.
    pub fn fail_disk_after(&self, calls: u64) {
        self.now().disk.fail_after(calls);
    }

    /// Wants something of the node.
    pub fn order(&self, order: Order) {
        self.now().orders.push_back(order);
    }

    /// Where it stands; `None` while it is down.
    pub fn standing(&self) -> Option<Standing> {
        let (status, machine) = {
            let here = self.now();
            (here.status.clone()?, here.machine.clone()?)
        };
        machine.standing(status.applied_entry, status.last_entry)
    }

    /// One life, from the start to the crash: it never ends by itself but for a fault that stops
    /// the node.
    pub async fn live(self: Arc<Self>) {
        let begins = self.now().begins;
        tokio::time::sleep(begins.saturating_sub(now())).await;
        if self.now().damaged.is_some() {
            std::future::pending::<()>().await;
        }
        let life = {
            let mut here = self.now();
            here.life += 1;
            here.disk = SimDisk::new(here.memory.clone());
            here.life
        };
        self.chronicle.book().figures.lives += 1;
        self.chronicle
            .note(format_args!("n{} begins life {life}", self.node));
        if let Err(why) = self.clone().run(life).await {
            let line = format!("n{} stops: {why}", self.node);
            let mut book = self.chronicle.book();
            book.figures.stopped += 1;
            book.note(now(), line);
        }
        self.end_life();
    }

    async fn run(self: Arc<Self>, life: u64) -> Result<(), String> {
        let (disk, rot) = {
            let mut here = self.now();
            (here.disk.clone(), here.rot.take())
        };
        let has_rotted = rot.is_some_and(|(file, chance)| self.rot(&disk, &file, chance));
        let started = self.clone().start(life, disk).await;
        let (cluster, machine, _serving) = match started {
            Ok(started) => started,
            Err(why) if has_rotted => {
                self.now().damaged = Some(why.clone());
                return Err(why);
            }
            Err(why) => return Err(why),
        };
        if self.node == 1 && life == 1 {
            self.found(&cluster).await?;
        }
        for number in 0..CLIENTS {
            let client = client::Client::new(self.clone(), life, number, &cluster, &machine);
            tokio::spawn(client.run());
        }
        self.look_after(life, &cluster).await
    }

    fn rot(&self, disk: &SimDisk, file: &str, chance: u64) -> bool {
        let dir = Path::new(file);
        let names = disk.list(dir).unwrap_or_default();
        let Some(name) = names.first() else {
            return false;
        };
        match disk::rot(disk, &dir.join(name), chance) {
            Ok(Some(place)) => {
                self.chronicle
                    .note(format_args!("n{} {file}/{name} rots at {place}", self.node));
                true
            }
            _ => false,
        }
    }

    async fn start(
        self: Arc<Self>,
        life: u64,
        disk: SimDisk,
    ) -> Result<(Cluster, Arc<Watched>, watch::Sender<bool>), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let log_end = LogEnd::default();
        self.chronicle
            .book()
            .ends
            .insert(self.node, log_end.clone());
        let machine = Watched::open(self.clone(), life, disk.clone())?;
        let keeper = Keeper::new(self.node, log_end.clone());
        let peers = Peers::new(Arc::new(SimNet), papers().tls(self.node), keeper.clone());
        machine.set_peers(peers.clone());
        let config = ClusterConfig {
            dir: PathBuf::from(RAFT_DIR),
            node: self.node,
            name: "storm".into(),
            founding: (self.node == 1).then(|| member(1)),
            disk: Arc::new(disk),
            timing: TIMING,
            log_end,
            inline_io: true,
        };
        let cluster = Cluster::start(config, machine.clone(), Some(peers.clone()));
        let cluster = cluster.await.map_err(|e| text(&e))?;
        keeper.knows(Some(cluster.clone()));
        let listener = SimNet.listen("").await.map_err(|e| text(&e))?;
        let stop = self.serve(&cluster, &machine, &peers, listener);
        let mut here = self.now();
        here.cluster = Some(cluster.clone());
        here.machine = Some(machine.clone());
        here.keeper = Some(keeper);
        drop(here);
        Ok((cluster, machine, stop))
    }

    fn serve(
        &self,
        cluster: &Cluster,
        machine: &Arc<Watched>,
        peers: &Peers,
        listener: Box<dyn Listener>,
    ) -> watch::Sender<bool> {
        let (stop, stopped) = watch::channel(false);
        let answerer = cluster.answerer(Arc::new(Sender(machine.clone())));
        let peers = peers.clone();
        tokio::spawn(async move { peers.serve(listener, answerer, stopped).await });
        stop
    }

    /// What the founder does once: the site, and the other voters.
    async fn found(&self, cluster: &Cluster) -> Result<(), String> {
        for command in site::founding() {
            let command = cluster::Command {
                bytes: codec::to_vec(&command),
                payload: None,
            };
            cluster.propose(command).await.map_err(|e| e.to_string())?;
        }
        for node in 2..=self.founders {
            self.admit(cluster, node).await.map_err(|e| e.to_string())?;
        }
        self.chronicle.note("founded");
        self.chronicle.book().founded = true;
        Ok(())
    }

    async fn admit(&self, cluster: &Cluster, node: u64) -> Result<(), cluster::MembershipFault> {
        cluster.add_learner(node, member(node)).await?;
        cluster.promote(node).await
    }

    /// Looks at itself and does what the world wants, until consensus ends.
    async fn look_after(&self, life: u64, cluster: &Cluster) -> Result<(), String> {
        loop {
            let status = cluster.status();
            if let Some(why) = status.stopped {
                return Err(why);
            }
            self.configurations();
            if status.leader == Some(self.node) {
                self.judge_reign(status.term, life);
            }
            let order = {
                let mut here = self.now();
                here.status = Some(status);
                here.orders.pop_front()
            };
            if let Some(order) = order {
                self.obey(cluster, order);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn judge_reign(&self, term: u64, life: u64) {
        let judged: Result<(), Broken> = {
            let mut book = self.chronicle.book();
            let led = one_life_per_reign::leads(&mut book.reigns, term, self.node, life);
            led.map(|is_new| {
                if is_new {
                    book.figures.reigns += 1;
                    book.note(now(), format_args!("n{} leads term {term}", self.node));
                }
            })
        };
        self.chronicle.judge(judged);
    }

    fn obey(&self, cluster: &Cluster, order: Order) {
        let (cluster, chronicle, node) = (cluster.clone(), self.chronicle.clone(), self.node);
        tokio::spawn(async move {
            let done = match &order {
                Order::Forget => cluster.forget_entries().await.map_err(|e| e.to_string()),
                Order::Admit(new) => {
                    let added = cluster.add_learner(*new, member(*new)).await;
                    match added {
                        Ok(()) => cluster.promote(*new).await.map_err(|e| e.to_string()),
                        Err(e) => Err(e.to_string()),
                    }
                }
                Order::Remove(old) => cluster.remove(*old).await.map_err(|e| e.to_string()),
            };
            chronicle.note(format_args!("n{node} {order:?}: {done:?}"));
        });
    }

    /// The voters as this node knows them.
    pub fn voters(&self) -> Option<BTreeSet<u64>> {
        let here = self.now();
        let members = &here.status.as_ref()?.members;
        Some(members.iter().filter(|m| m.voter).map(|m| m.node).collect())
    }
}

/// Folders whose files may rot.
pub const ROTTING: [&str; 2] = ["/data/raft/log", LEDGER_DIR];
