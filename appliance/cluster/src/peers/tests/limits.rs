//! Too much, too large, too slow, and from whom.

use super::world::{
    Answering, Authority, CLUSTER, Gate, Identity, Node, Wires, echo, hello, nodes,
};
use crate::peers::call::CallFault;
use crate::peers::frame::Message;
use crate::peers::greet::{Secured, answering, dialling};
use crate::peers::limits::{
    ANSWERING_BYTES_MAX, CALLS_MAX, CONNECTIONS_PER_LANE_MAX, HANDSHAKES_PER_ADDRESS_MAX,
    NEWCOMER_BYTES_MAX, NEWCOMER_REQUESTS_MAX, NEWCOMERS_PER_ADDRESS_MAX,
};
use crate::peers::wire::{read_greeting, write_now};
use crate::peers::{Caller, Lane, Net, Refused, call_once, server_name};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(3);

/// A connection with its handshake behind it, for doing with it what no node would.
async fn met(
    wires: &Wires,
    authority: &Authority,
    identity: Option<(&Identity, u64)>,
    lane: Lane,
) -> Result<Secured, CallFault> {
    let stream = wires.host("x").connect("n2:9001").await.unwrap();
    let said = hello(CLUSTER, identity.map_or(0, |(_, node)| node));
    let client = authority.client(identity.map(|(identity, _)| identity));
    let name = server_name(&CLUSTER, 2);
    dialling(stream, client, &name, lane, said, |_, _| Ok(())).await
}

async fn member(wires: &Wires, authority: &Authority, node: &Node, lane: Lane) -> Secured {
    met(wires, authority, Some((&node.identity, node.node)), lane)
        .await
        .unwrap()
}

/// Whether the other side has ended the connection by `within`; what it sends is thrown away.
async fn is_ended(stream: &mut Secured, within: Duration) -> bool {
    let to_end = async {
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
    };
    tokio::time::timeout(within, to_end).await.is_ok()
}

fn header(length: u32, kind: u8, number: u64) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

const REQUEST: u8 = 4;
const ANSWER: u8 = 5;

#[tokio::test(start_paused = true)]
async fn a_frame_above_the_limit_ends_the_connection_before_it_is_read() {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 2, |_| echo()).await;
    for (n, lane) in (1..).zip(Lane::ALL) {
        let limit = u32::try_from(lane.body_bytes_max()).unwrap();
        let mut stream = member(&wires, &authority, &nodes[0], lane).await;
        stream
            .write_all(&header(limit + 1, REQUEST, 1))
            .await
            .unwrap();
        assert!(is_ended(&mut stream, Duration::from_millis(100)).await);
        assert_eq!(nodes[1].peers.counters().malformed, n);
        // The largest is taken; nothing more than its header has been sent.
        let mut stream = member(&wires, &authority, &nodes[0], lane).await;
        stream.write_all(&header(limit, REQUEST, 1)).await.unwrap();
        assert!(!is_ended(&mut stream, Duration::from_millis(100)).await);
    }
    // Kinds that have no place there, and one that does not exist.
    for (n, kind) in (4..).zip([1, 2, ANSWER, 0, 8]) {
        let mut stream = member(&wires, &authority, &nodes[0], Lane::Raft).await;
        stream.write_all(&header(0, kind, 1)).await.unwrap();
        assert!(is_ended(&mut stream, Duration::from_millis(100)).await);
        assert_eq!(nodes[1].peers.counters().malformed, n);
    }
}

/// Node 2 as a liar: takes one request of node 1 and sends `lie` for an answer.
async fn lied_to(lie: Vec<u8>) -> (CallFault, u64) {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 1, |_| echo()).await;
    let identity = authority.identity(&CLUSTER, 2);
    let gate = Gate::new(hello(CLUSTER, 2));
    gate.members.lock().insert(1, nodes[0].identity.fingerprint);
    nodes[0].gate.members.lock().insert(2, identity.fingerprint);
    nodes[0].peers.set_address(2, "n2:9001".into());
    let mut listener = wires.host("n2").listen("n2:9001").await.unwrap();
    let server = authority.server(&identity);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let met = answering(stream, server, gate.as_ref()).await;
        let (mut stream, ..) = met.ok().unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&lie).await.unwrap();
        stream.flush().await.unwrap();
        sleep(Duration::from_secs(60)).await;
    });
    let fault = nodes[0]
        .peers
        .call(2, Lane::Service, b"abc".into(), SOON)
        .await
        .unwrap_err();
    (fault, nodes[0].peers.counters().malformed)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_the_rules_ends_the_connection_of_the_caller() {
    let limit = u32::try_from(Lane::Service.body_bytes_max()).unwrap();
    let (fault, malformed) = lied_to(header(limit + 1, ANSWER, 1)).await;
    assert!(
        matches!(&fault, CallFault::Lost(text) if text.contains("4194305")),
        "{fault}"
    );
    assert_eq!(malformed, 1);
    let (fault, malformed) = lied_to(header(0, ANSWER, 2)).await;
    assert!(
        matches!(fault, CallFault::Lost(_)),
        "an answer to what was never asked: {fault}"
    );
    assert_eq!(malformed, 1);
    let (fault, malformed) = lied_to(header(0, REQUEST, 1)).await;
    assert!(
        matches!(fault, CallFault::Lost(_)),
        "a request on the wrong side: {fault}"
    );
    assert_eq!(malformed, 1);
    let (fault, malformed) = lied_to(b"HTTP/1.1 400 Bad Request\r\n".to_vec()).await;
    assert!(matches!(fault, CallFault::Lost(_)), "{fault}");
    assert_eq!(malformed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_uses_the_service_lane_only_and_little_of_it() {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 2, |_| echo()).await;
    for lane in [Lane::Raft, Lane::Bulk] {
        let fault = met(&wires, &authority, None, lane).await.err().unwrap();
        let lane = lane.to_string();
        assert_eq!(fault, CallFault::Refused(Refused::MembersOnly { lane }));
    }
    assert_eq!(nodes[1].peers.counters().refused_here["members_only"], 2);
    // Size of a request.
    let (net, name) = (wires.host("x"), server_name(&CLUSTER, 2));
    let call = |bytes: usize| {
        let client = authority.client(None);
        call_once(
            &*net,
            "n2:9001",
            client,
            &name,
            hello(CLUSTER, 0),
            vec![1; bytes],
            SOON,
        )
    };
    let answer = call(NEWCOMER_BYTES_MAX).await.unwrap();
    assert!(answer.starts_with(b"Newcomer { key: None } service \x01\x01"));
    let fault = call(NEWCOMER_BYTES_MAX + 1).await.unwrap_err();
    assert!(matches!(fault, CallFault::TooLarge { .. }), "{fault}");
    let mut stream = met(&wires, &authority, None, Lane::Service).await.unwrap();
    let too_long = u32::try_from(NEWCOMER_BYTES_MAX + 1).unwrap();
    stream
        .write_all(&header(too_long, REQUEST, 1))
        .await
        .unwrap();
    assert!(is_ended(&mut stream, Duration::from_millis(100)).await);
    // Number of requests on one connection.
    let mut stream = met(&wires, &authority, None, Lane::Service).await.unwrap();
    for number in 1..=u64::from(NEWCOMER_REQUESTS_MAX) {
        stream.write_all(&header(0, REQUEST, number)).await.unwrap();
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[4..13], header(0, ANSWER, number)[4..13]);
        let length = usize::try_from(u32::from_be_bytes(*answer.first_chunk().unwrap())).unwrap();
        stream.read_exact(&mut vec![0; length]).await.unwrap();
    }
    stream.write_all(&header(0, REQUEST, 99)).await.unwrap();
    assert!(is_ended(&mut stream, Duration::from_millis(100)).await);
    let malformed = nodes[1].peers.counters().malformed;
    assert_eq!(malformed, 1, "only the one that was too long");
}

/// Sends heartbeats until the other side ends the connection, and tells how long that took.
async fn kept_alive(stream: &mut Secured) -> Duration {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(600) {
        let sent = write_now(stream, &Message::Heartbeat).await;
        if sent.is_err() || is_ended(stream, Duration::from_millis(500)).await {
            break;
        }
    }
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_stay() {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 2, |_| echo()).await;
    let mut stream = met(&wires, &authority, None, Lane::Service).await.unwrap();
    let stayed = kept_alive(&mut stream).await;
    assert!((59..=62).contains(&stayed.as_secs()), "{stayed:?}");
    // A silent one even shorter; a member with heartbeats as long as it likes.
    let mut stream = met(&wires, &authority, None, Lane::Service).await.unwrap();
    assert!(is_ended(&mut stream, Duration::from_secs(7)).await);
    let mut stream = member(&wires, &authority, &nodes[0], Lane::Service).await;
    assert_eq!(kept_alive(&mut stream).await.as_secs(), 600);
    // One host has few places, and the newest of its newcomers get them.
    let mut crowd = Vec::new();
    for _ in 0..=NEWCOMERS_PER_ADDRESS_MAX {
        crowd.push(met(&wires, &authority, None, Lane::Service).await.unwrap());
    }
    assert!(is_ended(&mut crowd[0], Duration::from_millis(10)).await);
    assert!(!is_ended(&mut crowd[1], Duration::from_millis(10)).await);
}

#[tokio::test(start_paused = true)]
async fn silent_connections_are_ended_and_keep_nobody_out() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_PER_ADDRESS_MAX + 36 {
        silent.push(wires.host("flood").connect("n2:9001").await.unwrap());
        tokio::task::yield_now().await;
    }
    nodes[0]
        .peers
        .call(2, Lane::Raft, vec![], SOON)
        .await
        .unwrap();
    assert_eq!(nodes[1].peers.counters().handshakes_evicted, 36);
    sleep(Duration::from_millis(5_100)).await;
    let failed = u64::try_from(HANDSHAKES_PER_ADDRESS_MAX).unwrap();
    assert_eq!(nodes[1].peers.counters().handshakes_failed, failed);
    for mut stream in silent {
        assert!(!matches!(stream.read(&mut [0; 1]).await, Ok(1)));
    }
    // One byte at a time is no way to stay either.
    let mut drip = wires.host("drip").connect("n2:9001").await.unwrap();
    let since = Instant::now();
    while drip.write_all(&[22]).await.is_ok() && since.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_answerer_stops_the_callers_and_costs_no_memory() {
    let wires = Wires::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let (_, nodes) = nodes(&wires, 2, |_| {
        let asked = asked.clone();
        Arc::new(Answering(move |_: Caller, _: Lane, _: Vec<u8>| {
            asked.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(Duration::from_secs(50)).await;
                Ok(vec![])
            }
        }))
    })
    .await;
    let body_bytes = 256 << 10;
    for _ in 0..1_000 {
        let peers = nodes[0].peers.clone();
        let within = Duration::from_secs(45);
        tokio::spawn(async move {
            peers
                .call(2, Lane::Service, vec![0; body_bytes], within)
                .await
        });
    }
    sleep(Duration::from_secs(40)).await;
    // 250 MiB are offered; what is not being answered has not even been sent.
    let room = ANSWERING_BYTES_MAX as usize;
    assert_eq!(asked.load(Ordering::SeqCst), room / body_bytes);
    let carried = usize::try_from(wires.carried()).unwrap();
    assert!(
        (room..room + (1 << 20)).contains(&carried),
        "{carried} bytes were taken"
    );
    // And the connection is as good as ever.
    assert_eq!(nodes[0].peers.health()[1].dialled, [Lane::Service]);
    assert_eq!(wires.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_answers_is_given_up() {
    let wires = Wires::default();
    let answered = Arc::new(AtomicUsize::new(0));
    let (authority, nodes) = nodes(&wires, 2, |_| {
        let answered = answered.clone();
        Arc::new(Answering(move |_: Caller, _: Lane, _: Vec<u8>| {
            answered.fetch_add(1, Ordering::SeqCst);
            async { Ok(vec![0; 1 << 20]) }
        }))
    })
    .await;
    let mut stream = member(&wires, &authority, &nodes[0], Lane::Service).await;
    for number in 1..=2_000 {
        stream.write_all(&header(0, REQUEST, number)).await.unwrap();
    }
    for _ in 0..18 {
        assert!(!nodes[1].peers.health()[0].calling.is_empty());
        write_now(&mut stream, &Message::Heartbeat).await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
    sleep(Duration::from_millis(1_500)).await;
    assert!(nodes[1].peers.health()[0].calling.is_empty());
    assert_eq!(nodes[1].peers.counters().silent, 1);
    let answered = answered.load(Ordering::SeqCst);
    assert!(
        answered <= Lane::Service.answering_max() + 32,
        "{answered} answers in memory"
    );
}

#[tokio::test(start_paused = true)]
async fn callers_are_limited() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    wires.cut("n1", "n2", true);
    let call = |within| {
        let peers = nodes[0].peers.clone();
        tokio::spawn(async move { peers.call(2, Lane::Raft, vec![], within).await })
    };
    let waiting: Vec<_> = (0..CALLS_MAX)
        .map(|_| call(Duration::from_secs(1)))
        .collect();
    tokio::task::yield_now().await;
    let fault = call(SOON).await.unwrap();
    assert_eq!(fault, Err(CallFault::Overloaded(CALLS_MAX)));
    for call in waiting {
        assert!(matches!(
            call.await.unwrap(),
            Err(CallFault::Unreachable(_))
        ));
    }
    wires.cut("n1", "n2", false);
    call(SOON).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_one_members_connections_the_newest_stay() {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 2, |_| echo()).await;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS_PER_LANE_MAX + 2 {
        streams.push(member(&wires, &authority, &nodes[0], Lane::Bulk).await);
        sleep(Duration::from_millis(1)).await;
    }
    let other = member(&wires, &authority, &nodes[0], Lane::Raft).await;
    let mut ended = Vec::new();
    for stream in &mut streams {
        ended.push(is_ended(stream, Duration::from_millis(10)).await);
    }
    assert_eq!(ended, [true, true, false, false, false, false]);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_is_limited_before_anything_is_proven() {
    let wires = Wires::default();
    let (authority, nodes) = nodes(&wires, 2, |_| echo()).await;
    let stream = wires.host("x").connect("n2:9001").await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(server_name(&CLUSTER, 2)).unwrap();
    let connector = tokio_rustls::TlsConnector::from(authority.client(None));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(&header(4_097, 1, 0)).await.unwrap();
    let Ok(Message::Refusal(refused)) = read_greeting(&mut stream).await else {
        panic!("a hello of 4097 bytes is taken");
    };
    assert!(matches!(*refused, Refused::Malformed { .. }), "{refused}");
    assert_eq!(nodes[1].peers.counters().refused_here["malformed"], 1);
}
