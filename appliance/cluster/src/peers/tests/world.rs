//! A network in memory, a certificate authority, and a gatekeeper, for tests of this crate.
//!
//! A link that is cut loses nothing and delivers nothing, as TCP behaves when packets are dropped:
//! what was sent waits and arrives when the link heals. Each direction is cut by itself.

use crate::peers::{
    Answerer, BoxFuture, Caller, Gatekeeper, Hello, Lane, Listener, Net, PROTOCOL, PeerTls, Peers,
    Refused, Stream, key_of, server_name,
};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, watch};

/// Bytes that a direction of a connection holds, like a socket buffer.
const BUFFER_BYTES: usize = 64 << 10;

/// Connections that wait for an accept.
const BACKLOG: usize = 128;

type Accepted = (Box<dyn Stream>, String);

/// The network that all hosts share.
#[derive(Clone, Default)]
pub(crate) struct Wires {
    inner: Arc<Mutex<WiresInner>>,
}

#[derive(Default)]
struct WiresInner {
    listening: BTreeMap<String, mpsc::Sender<Accepted>>,
    /// Whether the direction between two hosts is cut.
    cut: BTreeMap<(String, String), watch::Sender<bool>>,
    connections: u64,
    /// Bytes delivered in all.
    carried: u64,
}

impl Wires {
    /// The network as seen by the host of this name.
    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        Arc::new(Host {
            name: name.to_owned(),
            wires: self.clone(),
        })
    }

    /// Cuts or heals one direction.
    pub(crate) fn cut(&self, from: &str, to: &str, is_cut: bool) {
        self.direction(from, to);
        let inner = self.inner.lock();
        inner.cut[&(from.to_owned(), to.to_owned())].send_replace(is_cut);
    }

    /// Cuts or heals both directions.
    pub(crate) fn cut_both(&self, one: &str, other: &str, is_cut: bool) {
        self.cut(one, other, is_cut);
        self.cut(other, one, is_cut);
    }

    /// Connections that were opened so far.
    pub(crate) fn connections(&self) -> u64 {
        self.inner.lock().connections
    }

    /// Bytes delivered so far, in all directions.
    pub(crate) fn carried(&self) -> u64 {
        self.inner.lock().carried
    }

    fn direction(&self, from: &str, to: &str) -> watch::Receiver<bool> {
        let mut inner = self.inner.lock();
        let key = (from.to_owned(), to.to_owned());
        let sender = inner
            .cut
            .entry(key)
            .or_insert_with(|| watch::Sender::new(false));
        sender.subscribe()
    }

    async fn relay(
        self,
        mut from: ReadHalf<DuplexStream>,
        mut to: WriteHalf<DuplexStream>,
        mut cut: watch::Receiver<bool>,
    ) {
        let mut bytes = vec![0; BUFFER_BYTES];
        loop {
            let n = from.read(&mut bytes).await.unwrap_or(0);
            if cut.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            self.inner.lock().carried += n as u64;
            if n == 0 || to.write_all(&bytes[..n]).await.is_err() {
                drop(to.shutdown().await);
                return;
            }
        }
    }
}

/// One host of the network; its addresses are `name:port`.
pub(crate) struct Host {
    name: String,
    wires: Wires,
}

impl Net for Host {
    fn connect(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let there = address.split(':').next().unwrap().to_owned();
            let mut out = self.wires.direction(&self.name, &there);
            let mut back = self.wires.direction(&there, &self.name);
            // The SYN, and its acknowledgement.
            drop(out.wait_for(|cut| !cut).await);
            let (door, number) = {
                let mut inner = self.wires.inner.lock();
                inner.connections += 1;
                (inner.listening.get(&address).cloned(), inner.connections)
            };
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let door = door.ok_or_else(refused)?;
            let (ours, our_end) = duplex(BUFFER_BYTES);
            let (theirs, their_end) = duplex(BUFFER_BYTES);
            let (our_reader, our_writer) = split(our_end);
            let (their_reader, their_writer) = split(their_end);
            tokio::spawn(self.wires.clone().relay(our_reader, their_writer, out));
            tokio::spawn(
                self.wires
                    .clone()
                    .relay(their_reader, our_writer, back.clone()),
            );
            let from = format!("{}:{}", self.name, 50_000 + number);
            let theirs = Box::new(theirs) as Box<dyn Stream>;
            door.send((theirs, from)).await.map_err(|_| refused())?;
            drop(back.wait_for(|cut| !cut).await);
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn listen(&self, address: &str) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let address = address.to_owned();
        Box::pin(async move {
            let (sender, accepted) = mpsc::channel(BACKLOG);
            let mut inner = self.wires.inner.lock();
            let taken = inner.listening.get(&address);
            if taken.is_some_and(|sender| !sender.is_closed()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            inner.listening.insert(address.clone(), sender);
            Ok(Box::new(MemoryDoor { address, accepted }) as Box<dyn Listener>)
        })
    }
}

struct MemoryDoor {
    address: String,
    accepted: mpsc::Receiver<Accepted>,
}

impl Listener for MemoryDoor {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let accepted = self.accepted.recv().await;
            accepted.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        })
    }

    fn local_address(&self) -> String {
        self.address.clone()
    }
}

/// A CA that certifies the keys of nodes.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A key with its certificate.
#[derive(Clone)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    /// SHA-256 of its SPKI.
    pub(crate) fingerprint: [u8; 32],
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "cluster CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Certifies a new key for a node of a cluster.
    pub(crate) fn identity(&self, cluster: &[u8; 16], node: u64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([server_name(cluster, node)]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("node-{node}"));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let fingerprint = key_of(&leaf).unwrap();
        Identity {
            chain: vec![leaf, self.issuer.der().clone()],
            key: key.serialize_der(),
            fingerprint,
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// The side that dials; without an identity, a newcomer.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = builder.with_root_certificates(self.roots());
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(i) => builder
                .with_client_auth_cert(i.chain.clone(), i.private_key())
                .unwrap(),
        })
    }

    /// The side that is dialled, which lets in who has no certificate.
    pub(crate) fn server(&self, identity: &Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone());
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = builder.with_client_cert_verifier(verifier);
        Arc::new(
            builder
                .with_single_cert(identity.chain.clone(), identity.private_key())
                .unwrap(),
        )
    }

    /// Both.
    pub(crate) fn tls(&self, identity: &Identity) -> PeerTls {
        PeerTls::new(self.client(Some(identity)), self.server(identity))
    }
}

impl Identity {
    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).unwrap()
    }
}

/// A Hello with nothing special about it.
pub(crate) fn hello(cluster: [u8; 16], node: u64) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster,
        lineage: 1,
        node,
        member_epoch: node,
        format: 1,
        version: "0.1.0".into(),
        log_end: Some(7),
        cluster_log: Some((7, [7; 32])),
        access_log: None,
    }
}

/// A gatekeeper with a list of members, and a memory of how long their logs were.
pub(crate) struct Gate {
    pub(crate) ours: Mutex<Hello>,
    pub(crate) members: Mutex<BTreeMap<u64, [u8; 32]>>,
    pub(crate) removed: Mutex<Vec<u64>>,
    pub(crate) remembered: Mutex<BTreeMap<u64, u64>>,
}

impl Gate {
    pub(crate) fn new(ours: Hello) -> Arc<Self> {
        Arc::new(Self {
            ours: Mutex::new(ours),
            members: Mutex::default(),
            removed: Mutex::default(),
            remembered: Mutex::default(),
        })
    }
}

impl Gatekeeper for Gate {
    fn hello(&self) -> Hello {
        self.ours.lock().clone()
    }

    fn admit(&self, theirs: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused> {
        let (ours, node) = (self.hello(), theirs.node);
        let Some(key) = key else {
            return Ok(Caller::Newcomer { key: None });
        };
        if theirs.cluster != ours.cluster {
            return Err(Refused::ForeignCluster);
        }
        if theirs.lineage != ours.lineage {
            let (ours, theirs) = (ours.lineage, theirs.lineage);
            return Err(Refused::OtherLineage { ours, theirs });
        }
        if self.removed.lock().contains(&node) {
            return Err(Refused::RemovedMember { node });
        }
        match self.members.lock().get(&node) {
            None => return Err(Refused::UnknownMember { node }),
            Some(known) if *known != key => return Err(Refused::WrongKey { node }),
            Some(_) => {}
        }
        let had = self.remembered.lock().get(&node).copied().unwrap_or(0);
        match theirs.log_end.unwrap_or(0) {
            has if has < had => Err(Refused::LogReversion {
                node,
                had,
                has,
                what: "Raft log".into(),
            }),
            _ => Ok(Caller::Member { node }),
        }
    }
}

/// The cluster of most tests.
pub(crate) const CLUSTER: [u8; 16] = [0xc1; 16];

/// A node: its name on the network is `n<number>`, its port 9001.
pub(crate) struct Node {
    pub(crate) node: u64,
    pub(crate) peers: Peers,
    pub(crate) gate: Arc<Gate>,
    pub(crate) identity: Identity,
    pub(crate) tls: PeerTls,
    pub(crate) stop: watch::Sender<bool>,
}

/// Host name of a node.
pub(crate) fn host(node: u64) -> String {
    format!("n{node}")
}

/// Nodes 1 to `count` of one cluster that know each other; all answer with `answerer`.
pub(crate) async fn nodes(
    wires: &Wires,
    count: u64,
    answerer: impl Fn(u64) -> Arc<dyn Answerer>,
) -> (Authority, Vec<Node>) {
    let authority = Authority::new();
    let identities: BTreeMap<u64, Identity> = (1..=count)
        .map(|n| (n, authority.identity(&CLUSTER, n)))
        .collect();
    let keys: BTreeMap<u64, [u8; 32]> = identities
        .iter()
        .map(|(n, i)| (*n, i.fingerprint))
        .collect();
    let mut nodes = Vec::new();
    for (node, identity) in identities {
        let gate = Gate::new(hello(CLUSTER, node));
        *gate.members.lock() = keys.clone();
        let net = wires.host(&host(node));
        let tls = authority.tls(&identity);
        let peers = Peers::new(net.clone(), tls.clone(), gate.clone());
        for other in 1..=count {
            peers.set_address(other, format!("{}:9001", host(other)));
        }
        let (stop, stopped) = watch::channel(false);
        let listener = net.listen(&format!("{}:9001", host(node))).await.unwrap();
        let (serving, answerer) = (peers.clone(), answerer(node));
        tokio::spawn(async move { serving.serve(listener, answerer, stopped).await });
        nodes.push(Node {
            node,
            peers,
            gate,
            identity,
            tls,
            stop,
        });
    }
    (authority, nodes)
}

/// Answers with what a function of the request gives.
pub(crate) struct Answering<F>(pub(crate) F);

impl<F, A> Answerer for Answering<F>
where
    F: Fn(Caller, Lane, Vec<u8>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Vec<u8>, String>> + Send + 'static,
{
    fn answer(
        &self,
        caller: Caller,
        lane: Lane,
        body: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin((self.0)(caller, lane, body))
    }
}

/// Answers each request with itself, reversed, after the name of who asked.
pub(crate) fn echo() -> Arc<dyn Answerer> {
    Arc::new(Answering(
        |caller: Caller, lane: Lane, mut body: Vec<u8>| async move {
            body.reverse();
            let mut answer = format!("{caller:?} {lane} ").into_bytes();
            answer.append(&mut body);
            Ok(answer)
        },
    ))
}
