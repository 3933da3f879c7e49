//! The network itself: who hears whom under each fault, asked with datagrams, which nobody sends
//! twice. Without root there is no network, and nothing to test.

use super::*;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use Place::{Client, Node};

const PORT: u16 = 7000;
/// A datagram that has not come by then does not come.
const HEARD_WITHIN: Duration = Duration::from_millis(200);

fn network(nodes: u8) -> Option<Network> {
    match Network::possible() {
        Ok(()) => Some(Network::new(nodes).unwrap()),
        Err(why) => {
            println!("SKIPPED: {why:#}");
            None
        }
    }
}

/// Who hears whom, asked of all pairs at once: each place sends one datagram to each other.
fn hearing(network: &Network) -> BTreeSet<(Place, Place)> {
    let ears: Vec<_> = network
        .places()
        .iter()
        .map(|place| {
            let address = SocketAddr::from((network.address(*place), PORT));
            let ear = network
                .inside(*place, || UdpSocket::bind(address).unwrap())
                .unwrap();
            (*place, ear)
        })
        .collect();
    for (from, ear) in &ears {
        for to in network.places().iter().filter(|to| *to != from) {
            // A place that knows it is unplugged may refuse to send.
            drop(ear.send_to(&[from.octet()], (network.address(*to), PORT)));
        }
    }
    thread::sleep(HEARD_WITHIN);
    let mut heard = BTreeSet::new();
    for (to, ear) in &ears {
        ear.set_nonblocking(true).unwrap();
        let mut byte = [0; 1];
        while ear.recv(&mut byte).is_ok() {
            let from = network.places().iter().find(|from| from.octet() == byte[0]);
            heard.insert((*from.unwrap(), *to));
        }
    }
    heard
}

fn everybody(network: &Network) -> BTreeSet<(Place, Place)> {
    let places = network.places();
    let pairs = places
        .iter()
        .flat_map(|a| places.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).collect()
}

fn without(network: &Network, lost: impl Fn(Place, Place) -> bool) -> BTreeSet<(Place, Place)> {
    let all = everybody(network).into_iter();
    all.filter(|(from, to)| !lost(*from, *to)).collect()
}

#[test]
fn every_shape_of_partition_is_exactly_that() {
    let Some(net) = network(5) else { return };
    assert_eq!(hearing(&net), everybody(&net), "whole");

    net.cut(Node(1), Node(2)).unwrap();
    let lost = |a, b| (a, b) == (Node(1), Node(2)) || (a, b) == (Node(2), Node(1));
    assert_eq!(hearing(&net), without(&net, lost), "cut");
    net.heal().unwrap();

    net.cut_one_way(Node(3), Client).unwrap();
    let lost = |a, b| (a, b) == (Node(3), Client);
    assert_eq!(hearing(&net), without(&net, lost), "one way");
    net.heal().unwrap();

    net.isolate(Node(4)).unwrap();
    let lost = |a, b| a == Node(4) || b == Node(4);
    assert_eq!(hearing(&net), without(&net, lost), "isolated");
    net.heal().unwrap();

    net.split(&[&[Node(1), Node(2), Client], &[Node(3), Node(4), Node(5)]])
        .unwrap();
    let left = |place| matches!(place, Node(1 | 2) | Client);
    let lost = |a, b| left(a) != left(b);
    assert_eq!(hearing(&net), without(&net, lost), "split");
    net.heal().unwrap();

    net.unplug(Node(2)).unwrap();
    let lost = |a, b| a == Node(2) || b == Node(2);
    assert_eq!(hearing(&net), without(&net, lost), "unplugged");
    net.heal().unwrap();
    assert_eq!(hearing(&net), everybody(&net), "healed");
}

/// Moves bytes from node 1 to node 2 over TCP; gives how long that took.
fn transfer(network: &Network, bytes: usize) -> Duration {
    let to = SocketAddr::from((network.address(Node(2)), PORT));
    let listener = network
        .inside(Node(2), || TcpListener::bind(to).unwrap())
        .unwrap();
    let mut sender = network
        .inside(Node(1), || TcpStream::connect(to).unwrap())
        .unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    let began = Instant::now();
    let sending = thread::spawn(move || sender.write_all(&vec![7; bytes]).unwrap());
    let mut all = Vec::new();
    receiver.read_to_end(&mut all).unwrap();
    sending.join().unwrap();
    assert_eq!(all.len(), bytes);
    began.elapsed()
}

/// An established connection is silent during a cut and goes on after it: nothing is told to
/// either end.
#[test]
fn connections_outlive_a_cut() {
    let Some(net) = network(2) else { return };
    let to = SocketAddr::from((net.address(Node(2)), PORT));
    let listener = net
        .inside(Node(2), || TcpListener::bind(to).unwrap())
        .unwrap();
    let mut sender = net
        .inside(Node(1), || TcpStream::connect(to).unwrap())
        .unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(HEARD_WITHIN)).unwrap();
    let mut byte = [0; 1];
    net.cut_one_way(Node(1), Node(2)).unwrap();
    sender.write_all(&[1]).unwrap();
    assert!(
        receiver.read_exact(&mut byte).is_err(),
        "heard through a cut"
    );
    net.heal().unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    receiver.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn lines_are_slow_or_lossy_as_far_as_the_machine_can() {
    let Some(net) = network(2) else { return };
    println!("{:?}", net.support());
    assert!(
        transfer(&net, 1 << 20) < Duration::from_secs(2),
        "a whole line is slow"
    );
    if net.support().token_bucket {
        net.throttle(Node(1), 2_000).unwrap();
        let took = transfer(&net, 256 << 10);
        assert!(
            took > Duration::from_millis(700),
            "256 KiB at 2 Mbit/s in {took:?}"
        );
        net.heal().unwrap();
    }
    if net.support().netem || net.support().periodic_loss {
        net.lose(Node(1), 2).unwrap();
        let dropped = lost_of(&net, 200);
        assert!(
            (10..=120).contains(&dropped),
            "{dropped} of 200 lost, one of four expected"
        );
        net.heal().unwrap();
        assert_eq!(lost_of(&net, 200), 0, "lost on a whole line");
    }
    let delayed = net.delay(Node(1), Duration::from_millis(20), Duration::from_millis(5));
    assert_eq!(delayed.is_ok(), net.support().netem, "{delayed:?}");
}

/// Of `count` datagrams from node 1 to node 2, how many were lost. They are read at the end, so
/// `count` must fit into the buffer of a socket.
fn lost_of(network: &Network, count: u32) -> u32 {
    let to = SocketAddr::from((network.address(Node(2)), PORT));
    let ear = network
        .inside(Node(2), || UdpSocket::bind(to).unwrap())
        .unwrap();
    ear.set_read_timeout(Some(HEARD_WITHIN)).unwrap();
    let mouth = network.inside(Node(1), || {
        let mouth = UdpSocket::bind("0.0.0.0:0").unwrap();
        // Connected, so that the kernel counts its packets.
        mouth.connect(to).unwrap();
        mouth
    });
    let mouth = mouth.unwrap();
    let mut heard = 0;
    for _ in 0..count {
        drop(mouth.send(&[1]));
        thread::sleep(Duration::from_micros(100));
    }
    while ear.recv(&mut [0; 1]).is_ok() {
        heard += 1;
    }
    count - heard
}

#[test]
fn what_a_dead_test_left_behind_is_cleared_away() {
    if Network::possible().is_err() {
        return;
    }
    // A process that has ended and was waited for has no entry in /proc.
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let name = format!("{PREFIX}{pid}-1-hub");
    ip(&["netns", "add", &name]).unwrap();
    let net = Network::new(1).unwrap();
    let hub = net.hub();
    let list = || ip(&["netns", "list"]).unwrap();
    assert!(!list().contains(&name) && list().contains(&hub));
    drop(net);
    assert!(!list().contains(&hub));
}
