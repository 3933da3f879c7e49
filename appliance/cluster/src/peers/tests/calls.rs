//! Calls and answers while nothing is wrong.

use super::world::{Answering, Wires, echo, hello, nodes};
use crate::peers::{
    CallFault, Caller, Lane, Net, PeerTls, Peers, TokioNet, call_once, server_name,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn both_directions_and_every_lane() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 3, |_| echo()).await;
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.node != from.node) {
            for lane in Lane::ALL {
                let answer = from
                    .peers
                    .call(to.node, lane, b"abc".into(), SOON)
                    .await
                    .unwrap();
                let expected = format!("Member {{ node: {} }} {lane} cba", from.node);
                assert_eq!(answer, expected.as_bytes());
            }
        }
    }
    // One connection for each ordered pair and lane, used again by every later call.
    assert_eq!(wires.connections(), 3 * 2 * 3);
    for _ in 0..10 {
        nodes[0]
            .peers
            .call(2, Lane::Raft, vec![1], SOON)
            .await
            .unwrap();
    }
    assert_eq!(wires.connections(), 3 * 2 * 3);
    let health = nodes[0].peers.health();
    assert_eq!(health.iter().map(|h| h.node).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(health[1].dialled, Lane::ALL);
    assert_eq!(health[1].calling, Lane::ALL);
    assert!(health[1].connected && health[1].last_heard.is_some());
    assert!(!health[0].connected, "nobody talks to itself");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_once_each_get_their_own_answer() {
    let wires = Wires::default();
    let busiest = Arc::new(AtomicUsize::new(0));
    let (_, nodes) = nodes(&wires, 2, |_| {
        let (busy, busiest) = (Arc::new(AtomicUsize::new(0)), busiest.clone());
        Arc::new(Answering(move |_: Caller, _: Lane, body: Vec<u8>| {
            let (busy, busiest) = (busy.clone(), busiest.clone());
            async move {
                busiest.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Later requests are often answered earlier.
                let wait = 1_000 - u64::from(u16::from_be_bytes([body[0], body[1]]));
                tokio::time::sleep(Duration::from_millis(wait)).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                Ok(body.repeat(40))
            }
        }))
    })
    .await;
    let calls = (0..1_000u16).map(|n| {
        let peers = nodes[0].peers.clone();
        tokio::spawn(async move {
            let body = n.to_be_bytes().to_vec();
            let answer = peers
                .call(2, Lane::Service, body.clone(), Duration::from_secs(30))
                .await;
            assert_eq!(answer.unwrap(), body.repeat(40));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    // All that the lane allows, and not one more.
    assert_eq!(
        busiest.load(Ordering::SeqCst),
        Lane::Service.answering_max()
    );
    assert_eq!(wires.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_go_both_ways_whole() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| {
        Arc::new(Answering(async |_: Caller, _: Lane, mut body: Vec<u8>| {
            body.reverse();
            Ok(body)
        }))
    })
    .await;
    for lane in Lane::ALL {
        let body: Vec<u8> = (0..lane.body_bytes_max())
            .map(|n| (n / 37).to_le_bytes()[0])
            .collect();
        let answer = nodes[0]
            .peers
            .call(2, lane, body.clone(), SOON)
            .await
            .unwrap();
        assert!(answer.iter().eq(body.iter().rev()));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_answering_side_reach_the_caller() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| {
        Arc::new(Answering(
            async |_: Caller, _: Lane, body: Vec<u8>| match &body[..] {
                b"huge" => Ok(vec![0; Lane::Service.body_bytes_max() + 1]),
                b"long" => Err("é".repeat(9_000)),
                _ => Err("no such\x1b[2J page".to_owned()),
            },
        ))
    })
    .await;
    let ask = |what: &str| {
        nodes[0]
            .peers
            .call(2, Lane::Service, what.as_bytes().to_vec(), SOON)
    };
    let Err(CallFault::Answered(text)) = ask("page").await else {
        panic!("an error is no answer");
    };
    assert_eq!(
        text, "no such [2J page",
        "nothing that a terminal would obey"
    );
    assert!(matches!(ask("long").await, Err(CallFault::Answered(text)) if text.len() <= 1024));
    let Err(CallFault::Answered(text)) = ask("huge").await else {
        panic!("larger than the lane");
    };
    assert!(text.contains("4194305 bytes"), "{text}");
    assert_eq!(wires.connections(), 1, "none of it costs the connection");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_said_at_once() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    let peers = &nodes[0].peers;
    assert_eq!(
        peers.call(9, Lane::Raft, vec![], SOON).await,
        Err(CallFault::NoWay(9))
    );
    for lane in Lane::ALL {
        let limit = lane.body_bytes_max();
        let bytes = limit + 1;
        let fault = peers.call(2, lane, vec![0; bytes], SOON).await;
        assert_eq!(fault, Err(CallFault::TooLarge { bytes, limit }));
    }
    assert_eq!(wires.connections(), 0);
    peers.forget(2);
    assert_eq!(
        peers.call(2, Lane::Raft, vec![], SOON).await,
        Err(CallFault::NoWay(2))
    );
}

/// The whole way over real sockets, with a newcomer too.
#[tokio::test]
async fn over_loopback() {
    let cluster = super::world::CLUSTER;
    let authority = super::world::Authority::new();
    let identities = [1, 2].map(|n| authority.identity(&cluster, n));
    let mut running = Vec::new();
    for (node, identity) in (1..).zip(&identities) {
        let gate = super::world::Gate::new(hello(cluster, node));
        *gate.members.lock() = (1..)
            .zip(identities.iter().map(|i| i.fingerprint))
            .collect();
        let tls: PeerTls = authority.tls(identity);
        let peers = Peers::new(Arc::new(TokioNet), tls, gate);
        let listener = TokioNet.listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_address();
        let (stop, stopped) = watch::channel(false);
        let serving = peers.clone();
        let served = async move { serving.serve(listener, echo(), stopped).await };
        running.push((peers, address, stop, tokio::spawn(served)));
    }
    running[0].0.set_address(2, running[1].1.clone());
    running[1].0.set_address(1, running[0].1.clone());
    for n in 0..200u32 {
        let body = n.to_be_bytes().repeat(100);
        let answer = running[0].0.call(2, Lane::Bulk, body, SOON).await.unwrap();
        assert!(answer.starts_with(b"Member { node: 1 } bulk"));
    }
    let body = b"?".to_vec();
    let answer = running[1]
        .0
        .call(1, Lane::Raft, body.clone(), SOON)
        .await
        .unwrap();
    assert_eq!(answer, b"Member { node: 2 } raft ?");
    let client = authority.client(None);
    let (address, name) = (&running[0].1, server_name(&cluster, 1));
    let stranger = hello(cluster, 0);
    let answer = call_once(&TokioNet, address, client, &name, stranger, body, SOON).await;
    assert_eq!(answer.unwrap(), b"Newcomer { key: None } service ?");
    let (_, address, stop, served) = running.pop().unwrap();
    stop.send_replace(true);
    served.await.unwrap();
    let fault = running[0]
        .0
        .call(2, Lane::Bulk, vec![], SOON)
        .await
        .unwrap_err();
    assert!(
        matches!(&fault, CallFault::Unreachable(text) if text.contains(&address)),
        "{fault}"
    );
}
