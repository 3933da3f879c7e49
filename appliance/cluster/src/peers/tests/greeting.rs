//! Who is turned away, by which side, with which reason on both sides.

use super::world::{Authority, CLUSTER, Gate, Node, Wires, echo, hello, host, nodes};
use crate::peers::frame::{Message, decode};
use crate::peers::{
    CallFault, Caller, Gatekeeper, Hello, Lane, Net, PROTOCOL, Peers, Refused, Stream, call_once,
    server_name,
};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(3);

async fn two(wires: &Wires) -> (Authority, Node, Node) {
    let (authority, nodes) = nodes(wires, 2, |_| echo()).await;
    let [one, two] = <[Node; 2]>::try_from(nodes).ok().unwrap();
    (authority, one, two)
}

async fn ask(from: &Node, to: u64) -> Result<Vec<u8>, CallFault> {
    from.peers.call(to, Lane::Raft, b"x".to_vec(), SOON).await
}

/// Node 1 dials node 2, which refuses it for a reason that `spoil` brings about.
async fn refused_there(spoil: impl FnOnce(&Node, &Node)) -> Refused {
    let wires = Wires::default();
    let (_authority, one, two) = two(&wires).await;
    spoil(&one, &two);
    let Err(CallFault::Refused(refused)) = ask(&one, 2).await else {
        panic!("node 2 talks to node 1");
    };
    let there = format!("the other node refuses this one: {refused}");
    assert_eq!(one.peers.health()[1].last_refusal.as_ref(), Some(&there));
    assert_eq!(one.peers.counters().refused_there[refused.code()], 1);
    assert_eq!(two.peers.counters().refused_here[refused.code()], 1);
    let here = format!("this node refuses the other one: {refused}");
    assert_eq!(two.peers.health()[0].last_refusal.as_ref(), Some(&here));
    refused
}

#[tokio::test(start_paused = true)]
async fn the_side_that_is_dialled_says_why_it_refuses() {
    let refused = refused_there(|_, two| two.gate.ours.lock().lineage = 2).await;
    assert_eq!(refused, Refused::OtherLineage { ours: 2, theirs: 1 });
    let refused = refused_there(|_, two| two.gate.removed.lock().push(1)).await;
    assert_eq!(refused, Refused::RemovedMember { node: 1 });
    let refused = refused_there(|_, two| two.gate.members.lock().retain(|n, _| *n != 1)).await;
    assert_eq!(refused, Refused::UnknownMember { node: 1 });
    let refused = refused_there(|_, two| {
        two.gate.members.lock().insert(1, [0; 32]);
    });
    assert_eq!(refused.await, Refused::WrongKey { node: 1 });
    let refused = refused_there(|_, two| {
        two.gate.remembered.lock().insert(1, 8);
    });
    let reversion = Refused::LogReversion {
        node: 1,
        had: 8,
        has: 7,
        what: "Raft log".into(),
    };
    assert_eq!(refused.await, reversion);
    let refused = refused_there(|one, _| one.gate.ours.lock().protocol = 2).await;
    let (ours, theirs) = (PROTOCOL, 2);
    assert_eq!(refused, Refused::OtherProtocol { ours, theirs });
}

#[tokio::test(start_paused = true)]
async fn the_side_that_dials_refuses_too_and_tells_the_other() {
    let wires = Wires::default();
    let (_authority, one, two) = two(&wires).await;
    one.gate.remembered.lock().insert(2, 100);
    let reversion = Refused::LogReversion {
        node: 2,
        had: 100,
        has: 7,
        what: "Raft log".into(),
    };
    assert_eq!(
        ask(&one, 2).await,
        Err(CallFault::RefusedHere(reversion.clone()))
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(two.peers.counters().refused_there["log_reversion"], 1);
    let text = two.peers.health()[0].last_refusal.clone().unwrap();
    assert!(
        text.starts_with("the other node refuses this one"),
        "{text}"
    );
    assert!(text.contains("its disk went back in time"), "{text}");
    // Node 2 may still ask node 1 for nothing: node 1 refuses that as well.
    assert_eq!(ask(&two, 1).await, Err(CallFault::Refused(reversion)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_at_once_and_tried_anew_after_two_seconds() {
    let wires = Wires::default();
    let (_authority, one, two) = two(&wires).await;
    two.gate.removed.lock().push(1);
    for _ in 0..500 {
        assert!(ask(&one, 2).await.unwrap_err().is_refusal());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let attempts = wires.connections();
    assert!(
        (4..=6).contains(&attempts),
        "{attempts} connections in ten seconds"
    );
    two.gate.removed.lock().clear();
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&one, 2).await.unwrap();
    assert_eq!(one.peers.health()[1].last_refusal, None, "it is over");
    assert_eq!(two.peers.health()[0].last_refusal, None, "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_cluster_is_refused_by_ca_and_by_name() {
    let wires = Wires::default();
    let (authority, one, _two) = two(&wires).await;
    // The same CA, another cluster: only a CA that serves two clusters gets that far.
    let foreign = [9; 16];
    let identity = authority.identity(&foreign, 1);
    let gate = Gate::new(hello(foreign, 1));
    let peers = Peers::new(wires.host("n3"), authority.tls(&identity), gate);
    peers.set_address(2, "n2:9001".into());
    let fault = peers.call(2, Lane::Raft, vec![], SOON).await.unwrap_err();
    // The name in the certificate of node 2 has our cluster in it, so TLS ends it.
    assert!(
        matches!(&fault, CallFault::Unreachable(text) if text.contains("TLS")),
        "{fault}"
    );
    // With that check out of the way, the Hello says it.
    let name = server_name(&CLUSTER, 2);
    let client = authority.client(Some(&identity));
    let net = wires.host("n3");
    let said = hello(foreign, 1);
    let fault = call_once(&*net, "n2:9001", client, &name, said, vec![], SOON).await;
    assert_eq!(fault, Err(CallFault::Refused(Refused::ForeignCluster)));
    // Another CA.
    let stranger = Authority::new();
    let identity = stranger.identity(&CLUSTER, 1);
    let gate = Gate::new(hello(CLUSTER, 1));
    let peers = Peers::new(wires.host("n3"), stranger.tls(&identity), gate);
    peers.set_address(2, "n2:9001".into());
    let fault = peers.call(2, Lane::Raft, vec![], SOON).await.unwrap_err();
    assert!(
        matches!(&fault, CallFault::Unreachable(text) if text.contains("TLS")),
        "{fault}"
    );
    ask(&one, 2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_certificate_speaks_for_its_own_node_only() {
    let wires = Wires::default();
    let (authority, one, two) = two(&wires).await;
    // Node 1, once removed, would like to be a node 77 that nobody has heard of.
    two.gate.members.lock().insert(77, one.identity.fingerprint);
    let client = authority.client(Some(&one.identity));
    let (net, name) = (wires.host("n1"), server_name(&CLUSTER, 2));
    let said = hello(CLUSTER, 77);
    let fault = call_once(&*net, "n2:9001", client, &name, said, vec![], SOON).await;
    assert_eq!(
        fault,
        Err(CallFault::Refused(Refused::WrongKey { node: 77 }))
    );
    // And whoever answers at the address of node 2 must be node 2.
    one.peers.set_address(3, "n2:9001".into());
    one.gate.members.lock().insert(3, two.identity.fingerprint);
    let fault = ask(&one, 3).await.unwrap_err();
    assert!(
        matches!(&fault, CallFault::Unreachable(text) if text.contains("TLS")),
        "{fault}"
    );
    two.gate.ours.lock().node = 5;
    one.peers.drop_connections(None);
    let wrong = Refused::WrongNode {
        asked: 2,
        answered: 5,
    };
    assert_eq!(ask(&one, 2).await, Err(CallFault::RefusedHere(wrong)));
}

/// A TLS connection without a certificate, for saying what no node would say.
async fn raw(wires: &Wires, authority: &Authority, to: u64) -> impl Stream + use<> {
    let net = wires.host("stranger");
    let stream = net.connect(&format!("{}:9001", host(to))).await.unwrap();
    let name = ServerName::try_from(server_name(&CLUSTER, to)).unwrap();
    TlsConnector::from(authority.client(None))
        .connect(name, stream)
        .await
        .unwrap()
}

async fn answer_to(stream: &mut (impl Stream + ?Sized), bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // An abrupt end counts as an end.
    drop(stream.read_to_end(&mut answer).await);
    answer
}

#[tokio::test(start_paused = true)]
async fn garbage_after_tls_is_answered_by_a_reason_and_the_end() {
    let wires = Wires::default();
    let (authority, one, two) = two(&wires).await;
    let mut hello_with_garbage = vec![0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    hello_with_garbage.extend_from_slice(&[0xff; 4]);
    let mut request = Vec::new();
    Message::Heartbeat.encode(&mut request).unwrap();
    let cases: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: strongroom\r\n\r\n",
        &[0xff; 64],
        &hello_with_garbage,
        &request,
    ];
    for (n, garbage) in (1..).zip(cases) {
        let mut stream = raw(&wires, &authority, 2).await;
        let answer = answer_to(&mut stream, garbage).await;
        let Ok(Message::Refusal(refused)) = decode(&answer) else {
            panic!("{answer:?} is no refusal");
        };
        assert!(matches!(*refused, Refused::Malformed { .. }), "{refused}");
        assert_eq!(two.peers.counters().refused_here["malformed"], n);
    }
    ask(&one, 2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_learns_where_it_is_and_not_how_far() {
    let wires = Wires::default();
    let (authority, _one, _two) = two(&wires).await;
    let mut stream = raw(&wires, &authority, 2).await;
    let mut said = Vec::new();
    let stranger = Box::new(hello(CLUSTER, 0));
    Message::Hello(Lane::Service, stranger)
        .encode(&mut said)
        .unwrap();
    stream.write_all(&said).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = stream.read(&mut answer).await.unwrap();
    let Ok(Message::Hello(Lane::Service, theirs)) = decode(&answer[..n]) else {
        panic!("no hello");
    };
    let expected = Hello {
        log_end: None,
        cluster_log: None,
        access_log: None,
        ..hello(CLUSTER, 2)
    };
    assert_eq!(*theirs, expected);
}

#[tokio::test(start_paused = true)]
async fn dropped_connections_are_judged_anew_in_both_directions() {
    let wires = Wires::default();
    let (_authority, one, two) = two(&wires).await;
    ask(&one, 2).await.unwrap();
    ask(&two, 1).await.unwrap();
    assert_eq!(wires.connections(), 2);
    two.gate.removed.lock().push(1);
    two.peers.drop_connections(Some(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!two.peers.health()[0].connected && !one.peers.health()[1].connected);
    let removed = Refused::RemovedMember { node: 1 };
    assert_eq!(ask(&one, 2).await, Err(CallFault::Refused(removed.clone())));
    assert_eq!(ask(&two, 1).await, Err(CallFault::RefusedHere(removed)));
    // Others are not touched by it.
    one.peers.drop_connections(Some(9));
    two.gate.removed.lock().clear();
    tokio::time::sleep(Duration::from_secs(3)).await;
    ask(&one, 2).await.unwrap();
    one.peers.drop_connections(Some(9));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(one.peers.health()[1].connected);
}

/// A gatekeeper in whose judgement connections are dropped on purpose, once: as when a member is
/// removed in the very moment in which it connects.
struct Dropping {
    gate: Arc<Gate>,
    peers: Mutex<Option<Peers>>,
    asked: AtomicUsize,
}

impl Gatekeeper for Dropping {
    fn hello(&self) -> Hello {
        self.gate.hello()
    }

    fn admit(&self, theirs: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let judged = self.gate.admit(theirs, key);
        if let Some(peers) = self.peers.lock().take() {
            peers.drop_connections(Some(theirs.node));
        }
        judged
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_judged_before_the_drop_is_judged_again() {
    for dials in [true, false] {
        let wires = Wires::default();
        let (authority, one, two) = two(&wires).await;
        let identity = authority.identity(&CLUSTER, 3);
        let gate = Gate::new(hello(CLUSTER, 3));
        for gate in [&one.gate, &two.gate, &gate] {
            gate.members.lock().insert(1, one.identity.fingerprint);
            gate.members.lock().insert(3, identity.fingerprint);
        }
        let dropping = Arc::new(Dropping {
            gate,
            peers: Mutex::new(None),
            asked: AtomicUsize::new(0),
        });
        let net = wires.host("n3");
        let three = Peers::new(net.clone(), authority.tls(&identity), dropping.clone());
        three.set_address(1, "n1:9001".into());
        one.peers.set_address(3, "n3:9001".into());
        *dropping.peers.lock() = Some(three.clone());
        let listener = net.listen("n3:9001").await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        let serving = three.clone();
        tokio::spawn(async move { serving.serve(listener, echo(), stopped).await });
        let (from, to) = if dials { (&three, 1) } else { (&one.peers, 3) };
        let answer = from.call(to, Lane::Raft, vec![], SOON).await;
        if dials {
            // The attempt is made again by itself.
            answer.unwrap();
        } else {
            // The side that dialled sees its connection end before it could send.
            assert!(answer.is_ok() || !answer.unwrap_err().is_refusal());
            from.call(to, Lane::Raft, vec![], SOON).await.unwrap();
        }
        assert_eq!(dropping.asked.load(Ordering::SeqCst), 2, "dials: {dials}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_takes_over_while_the_nodes_run() {
    let wires = Wires::default();
    let (_old, one, two) = two(&wires).await;
    ask(&one, 2).await.unwrap();
    let authority = Authority::new();
    let tls = Arc::new(authority);
    for node in [&one, &two] {
        let identity = tls.identity(&CLUSTER, node.node);
        for gate in [&one.gate, &two.gate] {
            gate.members.lock().insert(node.node, identity.fingerprint);
        }
        node.tls
            .replace(tls.client(Some(&identity)), tls.server(&identity));
    }
    // What is open stays, until it is dropped; then only the new CA counts.
    ask(&one, 2).await.unwrap();
    assert_eq!(wires.connections(), 1);
    one.peers.drop_connections(None);
    ask(&one, 2).await.unwrap();
    ask(&two, 1).await.unwrap();
    assert_eq!(wires.connections(), 3);
}
