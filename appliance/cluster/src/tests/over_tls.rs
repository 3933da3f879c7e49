//! The whole of this crate: agreement over TLS connections, each judged by a gatekeeper.

use super::world::{Echo, Recorder, TIMING, pause, plain};
use crate::peers::tests::world::{Authority, CLUSTER, Gate, Identity, Wires, hello, host};
use crate::peers::{Caller, Gatekeeper, Hello, Net, Peers, Refused};
use crate::types::{Member, Role};
use crate::{Cluster, ClusterConfig, LogEnd};
use ledger::MemDisk;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Says how far the log reaches, and remembers how far others did.
struct Keeper {
    gate: Arc<Gate>,
    log_end: LogEnd,
    cluster: OnceLock<Cluster>,
}

impl Gatekeeper for Keeper {
    fn hello(&self) -> Hello {
        Hello {
            log_end: self.log_end.get(),
            ..self.gate.hello()
        }
    }

    fn admit(&self, theirs: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused> {
        let node = theirs.node;
        if let Some(had) = self.cluster.get().and_then(|c| c.remembered(node))
            && theirs.log_end < Some(had)
        {
            return Err(Refused::LogReversion {
                node,
                had,
                has: theirs.log_end.unwrap_or(0),
                what: "Raft log".into(),
            });
        }
        self.gate.admit(theirs, key)
    }
}

struct Place {
    cluster: Cluster,
    machine: Arc<Recorder>,
    peers: Peers,
    stop: watch::Sender<bool>,
}

struct Town {
    wires: Wires,
    authority: Authority,
    identities: BTreeMap<u64, Identity>,
    disks: BTreeMap<u64, MemDisk>,
    places: BTreeMap<u64, Place>,
}

fn member(node: u64) -> Member {
    Member {
        address: format!("{}:9001", host(node)),
        role: Role::Voter,
        epoch: node,
    }
}

impl Town {
    async fn of(size: u64) -> Self {
        crate::seed(3);
        let authority = Authority::new();
        let identities = (1..=size).map(|n| (n, authority.identity(&CLUSTER, n)));
        let mut town = Self {
            wires: Wires::default(),
            identities: identities.collect(),
            authority,
            disks: (1..=size).map(|n| (n, MemDisk::new())).collect(),
            places: BTreeMap::new(),
        };
        for node in 1..=size {
            town.start(node).await;
            if node > 1 {
                let leader = &town.places[&1].cluster;
                leader.add_learner(node, member(node)).await.unwrap();
                leader.promote(node).await.unwrap();
            }
        }
        town
    }

    async fn start(&mut self, node: u64) {
        let gate = Gate::new(hello(CLUSTER, node));
        let keys = self.identities.iter().map(|(n, i)| (*n, i.fingerprint));
        *gate.members.lock() = keys.collect();
        let log_end = LogEnd::default();
        let keeper = Arc::new(Keeper {
            gate,
            log_end: log_end.clone(),
            cluster: OnceLock::new(),
        });
        let net = self.wires.host(&host(node));
        let tls = self.authority.tls(&self.identities[&node]);
        let peers = Peers::new(net.clone(), tls, keeper.clone());
        let config = ClusterConfig {
            dir: PathBuf::from("/raft"),
            node,
            name: "test".into(),
            founding: (node == 1).then(|| member(1)),
            disk: Arc::new(self.disks[&node].clone()),
            timing: TIMING,
            log_end,
            inline_io: true,
        };
        let machine = Arc::new(Recorder::default());
        let cluster = Cluster::start(config, machine.clone(), Some(peers.clone()));
        let cluster = cluster.await.unwrap();
        drop(keeper.cluster.set(cluster.clone()));
        let listener = net.listen(&member(node).address).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let (serving, answerer) = (peers.clone(), cluster.answerer(Arc::new(Echo)));
        tokio::spawn(async move { serving.serve(listener, answerer, stopped).await });
        let place = Place {
            cluster,
            machine,
            peers,
            stop,
        };
        self.places.insert(node, place);
    }

    async fn stop(&mut self, node: u64) {
        let place = self.places.remove(&node).unwrap();
        place.stop.send_replace(true);
        place.cluster.shutdown().await;
        place.peers.drop_connections(None);
        pause(10).await;
    }

    async fn propose(&self, node: u64, bytes: &str) {
        for _ in 0..20 {
            if self.places[&node]
                .cluster
                .propose(plain(bytes))
                .await
                .is_ok()
            {
                return;
            }
        }
        panic!("{:#?}", self.places[&node].cluster.status());
    }
}

#[tokio::test(start_paused = true)]
async fn three_nodes_agree_over_tls_and_get_over_a_leader_cut_off() {
    let town = Town::of(3).await;
    for node in 1..=3 {
        town.propose(node, &format!("from {node}")).await;
        town.places[&node].cluster.read_barrier().await.unwrap();
        assert_eq!(town.places[&node].machine.commands().len() as u64, node);
    }
    for other in [2, 3] {
        town.wires.cut_both(&host(1), &host(other), true);
    }
    town.propose(2, "without one").await;
    for other in [2, 3] {
        town.wires.cut_both(&host(1), &host(other), false);
    }
    town.propose(1, "with one").await;
    town.places[&1].cluster.read_barrier().await.unwrap();
    let commands = town.places[&1].machine.commands();
    assert!(commands.contains(&b"without one".to_vec()), "{commands:?}");
    assert_eq!(commands.last().unwrap(), b"with one");
}

#[tokio::test(start_paused = true)]
async fn a_follower_rolled_back_is_told_so_and_stays_behind_the_fence() {
    let mut town = Town::of(3).await;
    town.propose(1, "early").await;
    let old = MemDisk::new();
    for (path, bytes) in town.disks[&3].files() {
        old.put(path, &bytes);
    }
    for n in 0..10 {
        town.propose(2, &format!("{n}")).await;
    }
    town.places[&3].cluster.read_barrier().await.unwrap();
    pause(1_000).await;
    town.stop(3).await;
    town.disks.insert(3, old);
    town.start(3).await;
    pause(10_000).await;
    let leader = town.places[&1].cluster.status();
    assert_eq!((leader.leader, leader.stopped), (Some(1), None));
    let health = town.places[&3].peers.health();
    let refusals: Vec<String> = health
        .iter()
        .filter_map(|h| h.last_refusal.clone())
        .collect();
    assert!(
        refusals.iter().any(|r| r.contains("Raft log")),
        "{health:#?}"
    );
    // Node 2 has no memory of it and talks to it: with itself that would be two of three, were
    // not the leader alive.
    assert!(town.places[&3].cluster.status().fenced);
    let fault = town.places[&3].cluster.propose(plain("no")).await;
    assert!(fault.is_err());
    town.propose(2, "late").await;
    assert_eq!(town.places[&1].machine.commands().len(), 12);
}
