//! All connections of this node, and the calls over them: [`Peers`].

use crate::peers::call::{Answerer, CallFault};
use crate::peers::door;
use crate::peers::greet::dialling;
use crate::peers::health::{PeerCounters, PeerHealth, Record};
use crate::peers::hello::{Gatekeeper, Hello, Lane};
use crate::peers::limits::{
    CONNECT_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX, NEWCOMER_BYTES_MAX, NEWCOMERS_MAX,
    NEWCOMERS_PER_ADDRESS_MAX,
};
use crate::peers::link::{Link, NotTaken};
use crate::peers::lobby::Lobby;
use crate::peers::net::{Listener, Net};
use crate::peers::registry::Registry;
use crate::peers::tls::PeerTls;
use crate::peers::way::Way;
use crate::peers::wire::End;
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// The other nodes of the cluster, as far as one can talk to them. A clone is the same.
#[derive(Clone)]
pub struct Peers {
    board: Arc<Switchboard>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// What all connections share.
pub(super) struct Switchboard {
    pub(super) net: Arc<dyn Net>,
    pub(super) tls: PeerTls,
    pub(super) gate: Arc<dyn Gatekeeper>,
    pub(super) counters: Mutex<PeerCounters>,
    pub(super) handshakes: Lobby,
    pub(super) newcomers: Lobby,
    pub(super) registry: Registry,
    book: Mutex<BTreeMap<u64, Entry>>,
    records: Mutex<BTreeMap<u64, Record>>,
    generation: AtomicU64,
}

/// Where a node is, and the ways there.
struct Entry {
    address: String,
    ways: BTreeMap<Lane, Arc<Way>>,
}

impl Peers {
    /// Knows no node yet, and dials nobody before a call.
    pub fn new(net: Arc<dyn Net>, tls: PeerTls, gate: Arc<dyn Gatekeeper>) -> Self {
        let board = Switchboard {
            net,
            tls,
            gate,
            counters: Mutex::default(),
            handshakes: Lobby::new(HANDSHAKES_PER_ADDRESS_MAX, HANDSHAKES_MAX),
            newcomers: Lobby::new(NEWCOMERS_PER_ADDRESS_MAX, NEWCOMERS_MAX),
            registry: Registry::default(),
            book: Mutex::default(),
            records: Mutex::default(),
            generation: AtomicU64::new(0),
        };
        let board = Arc::new(board);
        Self { board }
    }

    /// Where a node is dialled from now on, as `host:port`. A new address ends the connections to
    /// the old one.
    pub fn set_address(&self, node: u64, address: String) {
        let record = self.board.record(node);
        let mut book = self.board.book.lock();
        if book
            .get(&node)
            .is_some_and(|entry| entry.address == address)
        {
            return;
        }
        let way = |lane| (lane, Way::new(node, lane, address.clone(), record.clone()));
        let ways = Lane::ALL.into_iter().map(way).collect();
        let entry = Entry { address, ways };
        let before = book.insert(node, entry);
        drop(book);
        close_all(before);
    }

    /// Forgets where a node is and ends the connections to it. Those that it has to us stay:
    /// see [`Peers::drop_connections`].
    pub fn forget(&self, node: u64) {
        let before = self.board.book.lock().remove(&node);
        self.board.records.lock().remove(&node);
        close_all(before);
    }

    /// Asks another node, and waits for its answer for at most `within`. `body` may have
    /// [`Lane::body_bytes_max`] bytes.
    ///
    /// # Errors
    /// See [`CallFault`], which tells whether the request may have been carried out.
    pub async fn call(
        &self,
        node: u64,
        lane: Lane,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, CallFault> {
        let limit = lane.body_bytes_max();
        if body.len() > limit {
            let bytes = body.len();
            return Err(CallFault::TooLarge { bytes, limit });
        }
        let deadline = Instant::now() + within;
        let way = {
            let book = self.board.book.lock();
            let entry = book.get(&node).and_then(|entry| entry.ways.get(&lane));
            entry.cloned().ok_or(CallFault::NoWay(node))?
        };
        way.call(&self.board, body, deadline).await
    }

    /// Takes connections of other nodes and lets `answerer` answer their requests, until `stop`
    /// turns true (or its sender is gone); then all incoming connections are closed.
    pub async fn serve(
        &self,
        listener: Box<dyn Listener>,
        answerer: Arc<dyn Answerer>,
        stop: watch::Receiver<bool>,
    ) {
        door::serve(self.board.clone(), listener, answerer, stop).await;
    }

    /// How each known node is seen from here, in order of their numbers.
    pub fn health(&self) -> Vec<PeerHealth> {
        self.board.health()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> PeerCounters {
        self.board.counters.lock().clone()
    }

    /// Ends all connections with a node, those dialled here and those dialled there; with `None`
    /// those with everybody. Later ones are judged anew by the [`Gatekeeper`], also those whose
    /// handshake is under way.
    pub fn drop_connections(&self, node: Option<u64>) {
        let board = &self.board;
        board.generation.fetch_add(1, Ordering::SeqCst);
        board.registry.close(node);
        let ways: Vec<_> = {
            let book = board.book.lock();
            let meant = book
                .iter()
                .filter(|(n, _)| node.is_none_or(|node| node == **n));
            meant
                .flat_map(|(_, entry)| entry.ways.values().cloned())
                .collect()
        };
        for way in ways {
            way.close();
        }
    }
}

fn close_all(entry: Option<Entry>) {
    for way in entry.iter().flat_map(|entry| entry.ways.values()) {
        way.close();
    }
}

impl Switchboard {
    /// Changes whenever connections are dropped on purpose.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What is remembered of a node.
    pub(super) fn record(&self, node: u64) -> Record {
        self.records.lock().entry(node).or_default().clone()
    }

    /// What is remembered of a node that is in the book; nothing is begun for what somebody
    /// merely claims.
    pub(super) fn known_record(&self, node: u64) -> Option<Record> {
        self.records.lock().get(&node).cloned()
    }

    /// A node has connected to us, so it can probably be reached.
    pub(super) fn hint_alive(&self, node: u64) {
        let ways: Vec<_> = {
            let book = self.book.lock();
            let entry = book.get(&node);
            entry
                .map(|e| e.ways.values().cloned().collect())
                .unwrap_or_default()
        };
        for way in ways {
            way.hint_alive();
        }
    }

    /// Counts why a connection ended.
    pub(super) fn count_end(&self, end: &End) {
        let mut counters = self.counters.lock();
        let counter = match end {
            End::Malformed(_) => &mut counters.malformed,
            End::Silent(_) | End::Stalled(_) => &mut counters.silent,
            End::Closed | End::Broken(_) | End::Told(_) | End::Here(_) => return,
        };
        *counter = counter.saturating_add(1);
    }

    fn health(&self) -> Vec<PeerHealth> {
        let records: BTreeMap<u64, Record> = self.records.lock().clone();
        let calling = self.registry.lanes();
        let book = self.book.lock();
        let nodes: BTreeSet<u64> = records.keys().chain(calling.keys()).copied().collect();
        let health = nodes.into_iter().map(|node| {
            let entry = book.get(&node);
            let remembered = records.get(&node).map(Record::read).unwrap_or_default();
            let ways = entry.iter().flat_map(|entry| entry.ways.iter());
            let dialled: Vec<Lane> = ways
                .filter(|(_, way)| way.is_up())
                .map(|(lane, _)| *lane)
                .collect();
            let calling = calling.get(&node).cloned().unwrap_or_default();
            PeerHealth {
                node,
                address: entry.map(|entry| entry.address.clone()),
                connected: !dialled.is_empty() || !calling.is_empty(),
                dialled,
                calling,
                last_heard: remembered.heard,
                last_refusal: remembered.refusal,
                last_fault: remembered.fault,
            }
        });
        health.collect()
    }
}

/// One call of a node that is no member yet, over a connection of its own, on [`Lane::Service`].
/// Whom it talks to is settled by `client` alone, which pins the CA of its ticket; `server_name`
/// is what TLS asks for. `body` may have [`NEWCOMER_BYTES_MAX`] bytes.
///
/// # Errors
/// See [`CallFault`].
pub async fn call_once(
    net: &dyn Net,
    address: &str,
    client: Arc<ClientConfig>,
    server_name: &str,
    hello: Hello,
    body: Vec<u8>,
    within: Duration,
) -> Result<Vec<u8>, CallFault> {
    let limit = NEWCOMER_BYTES_MAX;
    if body.len() > limit {
        let bytes = body.len();
        return Err(CallFault::TooLarge { bytes, limit });
    }
    let deadline = Instant::now() + within;
    let late = || CallFault::Unreachable(format!("no connection to {address} in the time given"));
    let connected = timeout_at(deadline, async {
        let stream = timeout(CONNECT_TIMEOUT, net.connect(address))
            .await
            .map_err(|_| late())?;
        let stream = stream.map_err(|e| CallFault::Unreachable(format!("{address}: {e}")))?;
        let judge = |_: &Hello, _| Ok(());
        dialling(stream, client, server_name, Lane::Service, hello, judge).await
    });
    let stream = connected.await.map_err(|_| late())??;
    let link = Link::start(stream, Lane::Service, Record::default(), |_| {});
    let answer = link.call(body, deadline).await;
    link.close();
    answer.map_err(|not_taken| match not_taken {
        NotTaken::Fault(fault) => fault,
        NotTaken::Ended(_) => CallFault::Unreachable(format!("{address} closed the connection")),
    })
}
