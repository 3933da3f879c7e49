//! Links that break, nodes that stop, and what a caller is told about it.

use super::world::{Answering, Node, Wires, echo, host, nodes};
use crate::peers::{Answerer, CallFault, Caller, Lane, Net};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(30);

async fn ask(from: &Node, to: u64, lane: Lane) -> Result<Vec<u8>, CallFault> {
    from.peers.call(to, lane, b"x".to_vec(), LONG).await
}

/// Answers only when told to, and remembers what it was asked.
#[derive(Default)]
struct Slow {
    asked: Mutex<Vec<u8>>,
    go: Notify,
}

fn slow(slow: &Arc<Slow>) -> Arc<dyn Answerer> {
    let slow = slow.clone();
    Arc::new(Answering(move |_: Caller, _: Lane, body: Vec<u8>| {
        let slow = slow.clone();
        async move {
            slow.asked.lock().push(body[0]);
            slow.go.notified().await;
            slow.go.notify_one();
            Ok(vec![])
        }
    }))
}

fn milliseconds(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_dead_link_is_noticed_in_two_seconds_whichever_direction_is_cut() {
    for (out, back) in [(true, true), (true, false), (false, true)] {
        let wires = Wires::default();
        let behind = Arc::new(Slow::default());
        let (_, nodes) = nodes(&wires, 2, |_| slow(&behind)).await;
        let peers = nodes[0].peers.clone();
        let call = tokio::spawn(async move { peers.call(2, Lane::Raft, vec![7], LONG).await });
        sleep(Duration::from_millis(700)).await;
        assert_eq!(*behind.asked.lock(), [7]);
        wires.cut("n1", "n2", out);
        wires.cut("n2", "n1", back);
        let since = Instant::now();
        let fault = call.await.unwrap().unwrap_err();
        assert!(matches!(fault, CallFault::Lost(_)), "{fault}");
        let ms = milliseconds(since);
        assert!(
            (1_000..=2_600).contains(&ms),
            "noticed after {ms} ms ({out}, {back})"
        );
        assert!(!nodes[0].peers.health()[1].connected);
        sleep(Duration::from_millis(600)).await;
        assert!(
            !nodes[1].peers.health()[0].connected,
            "the other side has noticed it too"
        );
        assert!(nodes[0].peers.counters().silent + nodes[1].peers.counters().silent >= 1);
        wires.cut_both("n1", "n2", false);
        behind.go.notify_one();
        ask(&nodes[0], 2, Lane::Raft).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_lives_and_its_death_is_noticed_without_a_call() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    for lane in Lane::ALL {
        ask(&nodes[0], 2, lane).await.unwrap();
    }
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(nodes[0].peers.health()[1].dialled, Lane::ALL);
    assert_eq!(wires.connections(), 3);
    wires.cut_both("n1", "n2", true);
    sleep(Duration::from_millis(2_600)).await;
    assert_eq!(
        nodes[0].peers.health()[1].dialled,
        [Lane::Bulk, Lane::Service]
    );
    sleep(Duration::from_secs(4)).await;
    assert!(!nodes[0].peers.health()[1].connected);
    assert_eq!(nodes[0].peers.counters().silent, 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_was_sent_where_no_connection_was() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    for (out, back) in [(true, false), (false, true)] {
        wires.cut("n1", "n2", out);
        wires.cut("n2", "n1", back);
        for within in [1, 300, 2_500].map(Duration::from_millis) {
            let since = Instant::now();
            let fault = nodes[0]
                .peers
                .call(2, Lane::Raft, vec![1], within)
                .await
                .unwrap_err();
            assert!(matches!(fault, CallFault::Unreachable(_)), "{fault}");
            assert!(
                since.elapsed() <= within + Duration::from_millis(1),
                "{within:?}"
            );
        }
    }
    assert!(nodes[0].peers.health()[1].last_fault.is_some());
    wires.cut_both("n1", "n2", false);
    nodes[0]
        .peers
        .call(2, Lane::Raft, vec![1], LONG)
        .await
        .unwrap();
    assert_eq!(nodes[0].peers.health()[1].last_fault, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_counts_as_not_sent_never_arrives() {
    let wires = Wires::default();
    let behind = Arc::new(Slow::default());
    let (_, nodes) = nodes(&wires, 2, |_| slow(&behind)).await;
    let calls = (0..40u8).map(|n| {
        let peers = nodes[0].peers.clone();
        tokio::spawn(async move {
            let body = vec![n; Lane::Bulk.body_bytes_max()];
            peers
                .call(2, Lane::Bulk, body, Duration::from_secs(20))
                .await
                .unwrap_err()
        })
    });
    let (mut lost, mut unsent) = (vec![], vec![]);
    for (n, call) in (0..).zip(calls.collect::<Vec<_>>()) {
        match call.await.unwrap() {
            CallFault::Lost(_) => lost.push(n),
            CallFault::Unreachable(_) => unsent.push(n),
            other => panic!("{other}"),
        }
    }
    // Four of the largest fill what may be answered at once; the fifth is on its way.
    assert_eq!(*behind.asked.lock(), [0, 1, 2, 3]);
    assert_eq!(lost, [0, 1, 2, 3, 4]);
    assert_eq!(unsent, (5..40).collect::<Vec<u8>>());
    // All of it on one connection that is still good; what was given up is not sent later.
    behind.go.notify_one();
    nodes[0]
        .peers
        .call(2, Lane::Bulk, vec![99], SOON)
        .await
        .unwrap();
    assert_eq!(*behind.asked.lock(), [0, 1, 2, 3, 4, 99]);
    assert_eq!(wires.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_lost_and_harms_nobody() {
    let wires = Wires::default();
    let behind = Arc::new(Slow::default());
    let (_, nodes) = nodes(&wires, 2, |_| slow(&behind)).await;
    let fault = nodes[0]
        .peers
        .call(2, Lane::Raft, vec![1], SOON)
        .await
        .unwrap_err();
    assert_eq!(
        fault,
        CallFault::Lost("no answer within the time given".into())
    );
    // A caller that goes away by itself.
    let call = nodes[0].peers.call(2, Lane::Raft, vec![2], LONG);
    assert!(tokio::time::timeout(SOON, call).await.is_err());
    behind.go.notify_one();
    nodes[0]
        .peers
        .call(2, Lane::Raft, vec![3], SOON)
        .await
        .unwrap();
    assert_eq!(*behind.asked.lock(), [1, 2, 3]);
    assert_eq!(wires.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_down_costs_little_and_is_used_when_it_is_back() {
    let wires = Wires::default();
    let (_, mut nodes) = nodes(&wires, 2, |_| echo()).await;
    let two = nodes.pop().unwrap();
    ask(&nodes[0], 2, Lane::Raft).await.unwrap();
    two.stop.send_replace(true);
    sleep(Duration::from_millis(10)).await;
    assert!(
        !nodes[0].peers.health()[1].connected,
        "stopping ends connections"
    );
    // Many callers, for ten seconds: no storm of connections, and each learns it in time.
    let before = wires.connections();
    for _ in 0..1_000 {
        let since = Instant::now();
        let fault = nodes[0]
            .peers
            .call(2, Lane::Raft, vec![], LONG)
            .await
            .unwrap_err();
        assert!(matches!(fault, CallFault::Unreachable(_)), "{fault}");
        assert!(since.elapsed() <= Duration::from_millis(1_010));
        if wires.connections() - before > 12 {
            break;
        }
    }
    let tried = wires.connections() - before;
    assert_eq!(tried, 13, "one attempt for each call");
    let since = Instant::now();
    let calls = (0..100).map(|_| {
        let peers = nodes[0].peers.clone();
        tokio::spawn(async move { peers.call(2, Lane::Raft, vec![], LONG).await.unwrap_err() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(
        wires.connections() - before,
        14,
        "one attempt for all who wait"
    );
    assert!(since.elapsed() <= Duration::from_millis(1_010));
    let listener = wires.host(&host(2)).listen("n2:9001").await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let peers = two.peers.clone();
    tokio::spawn(async move { peers.serve(listener, echo(), stopped).await });
    // That node calls us, which tells that it is there: no pause any more.
    ask(&two, 1, Lane::Service).await.unwrap();
    let since = Instant::now();
    ask(&nodes[0], 2, Lane::Raft).await.unwrap();
    assert!(since.elapsed() < Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn a_slow_transfer_does_not_hold_up_the_raft_lane() {
    let wires = Wires::default();
    let behind = Arc::new(Slow::default());
    let (_, nodes) = nodes(&wires, 2, |_| {
        let slow = slow(&behind);
        let echo = echo();
        Arc::new(Answering(
            move |caller: Caller, lane: Lane, body: Vec<u8>| {
                let answerer = if lane == Lane::Bulk {
                    slow.clone()
                } else {
                    echo.clone()
                };
                async move { answerer.answer(caller, lane, body).await }
            },
        ))
    })
    .await;
    for n in 0..40u8 {
        let peers = nodes[0].peers.clone();
        let body = vec![n; Lane::Bulk.body_bytes_max()];
        tokio::spawn(async move { peers.call(2, Lane::Bulk, body, LONG).await });
    }
    sleep(Duration::from_millis(100)).await;
    for _ in 0..100 {
        let since = Instant::now();
        ask(&nodes[0], 2, Lane::Raft).await.unwrap();
        assert!(since.elapsed() < Duration::from_millis(5));
    }
}

#[tokio::test(start_paused = true)]
async fn connections_end_with_their_owner() {
    let wires = Wires::default();
    let (_, mut nodes) = nodes(&wires, 2, |_| echo()).await;
    for lane in Lane::ALL {
        ask(&nodes[0], 2, lane).await.unwrap();
    }
    let one = nodes.remove(0);
    // Its port keeps a clone until it is closed.
    one.stop.send_replace(true);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(nodes[0].peers.health()[0].calling, Lane::ALL);
    drop(one);
    sleep(Duration::from_millis(10)).await;
    assert!(nodes[0].peers.health()[0].calling.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_used_from_now_on() {
    let wires = Wires::default();
    let (_, nodes) = nodes(&wires, 2, |_| echo()).await;
    let one = &nodes[0].peers;
    one.set_address(2, "n2:9002".into());
    let fault = ask(&nodes[0], 2, Lane::Raft).await.unwrap_err();
    assert!(matches!(fault, CallFault::Unreachable(_)), "{fault}");
    one.set_address(2, "n2:9001".into());
    ask(&nodes[0], 2, Lane::Raft).await.unwrap();
    let connections = wires.connections();
    one.set_address(2, "n2:9001".into());
    ask(&nodes[0], 2, Lane::Raft).await.unwrap();
    assert_eq!(
        wires.connections(),
        connections,
        "the same address changes nothing"
    );
}
