//! How long nobody can write when the leader dies.
//!
//! Clients work at the two other nodes, lightly: each makes an object, waits for the answer, rests.
//! Then the leader's process gets SIGKILL. What counts is the first acknowledgement of a Create
//! that was asked for after the kill; one that was on its way may have been safe already.

use super::nodes::Cluster;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};
use tests::client::{Client, Identity, Trouble};

/// How often the leader is killed.
pub(super) const TIMES: usize = 5;

/// Clients at each of the other nodes.
const CLIENTS_EACH: usize = 4;

/// Between an answer and the next request of a client: many are at rest when the leader dies, and
/// ask soon after.
const REST: Duration = Duration::from_millis(10);

/// After a refusal or a lost connection.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Time that the clients work before the kill, and go on after the first acknowledgement.
const BEFORE: Duration = Duration::from_millis(1_500);
const AFTER: Duration = Duration::from_millis(500);

/// Longer than this is a failure, not a fail-over.
const WITHIN: Duration = Duration::from_secs(60);

/// Acknowledgements on their way to the one who measures.
const ACKNOWLEDGEMENTS_MAX: usize = 100_000;

/// An acknowledged Create.
struct Acknowledged {
    asked: Instant,
    answered: Instant,
}

/// One death of a leader.
pub(super) struct FailOver {
    /// From the kill to the first acknowledgement of a Create asked for after it.
    pub(super) first_write: Duration,
    /// The longest that a client waited for an acknowledgement around it.
    pub(super) longest_wait: Duration,
    /// From the start of the killed node until its log was that of the others.
    pub(super) back: Duration,
}

/// Kills the leader once, and brings its node back.
pub(super) fn once(cluster: &mut Cluster) -> Result<FailOver> {
    let (leader, others) = cluster.roles()?;
    let mut places = Vec::new();
    for number in others {
        let node = cluster.node(number)?;
        places.push((node.kmip, node.identity()));
    }
    let (first_write, longest_wait) = under_load(&places, || cluster.kill(leader))?;
    let size = cluster.await_agreement()?;
    let begun = Instant::now();
    cluster.bring_back(leader, size, WITHIN)?;
    let back = begun.elapsed();
    cluster.await_agreement()?;
    Ok(FailOver {
        first_write,
        longest_wait,
        back,
    })
}

fn under_load(
    places: &[(SocketAddr, Identity)],
    kill: impl FnOnce() -> Result<Instant>,
) -> Result<(Duration, Duration)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (tell, told) = mpsc::sync_channel(ACKNOWLEDGEMENTS_MAX);
        for (to, identity) in places {
            for _ in 0..CLIENTS_EACH {
                let (tell, stop) = (tell.clone(), &stop);
                scope.spawn(move || work(*to, identity, stop, &tell));
            }
        }
        drop(tell);
        thread::sleep(BEFORE);
        let outcome = kill().and_then(|killed| first_after(killed, &told));
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Waits for the first write asked for after the kill, and looks on for a while.
fn first_after(killed: Instant, told: &Receiver<Acknowledged>) -> Result<(Duration, Duration)> {
    let mut first: Option<Duration> = None;
    let mut longest = Duration::ZERO;
    let mut until = killed + WITHIN;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let Ok(acknowledged) = told.recv_timeout(left) else {
            break;
        };
        let Acknowledged { asked, answered } = acknowledged;
        if answered > killed {
            longest = longest.max(answered - asked);
        }
        if asked >= killed {
            let after = answered - killed;
            until = first.map_or(answered + AFTER, |_| until);
            first = Some(first.map_or(after, |first| first.min(after)));
        }
    }
    let first = first.with_context(|| format!("no write within {WITHIN:?} of the kill"))?;
    Ok((first, longest))
}

/// One client: Creates until told to stop. A refusal counts as nothing; it asks again.
fn work(to: SocketAddr, identity: &Identity, stop: &AtomicBool, tell: &SyncSender<Acknowledged>) {
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &mut client else {
            client = Client::connect(to, identity).ok();
            thread::sleep(TRY_AGAIN);
            continue;
        };
        let asked = Instant::now();
        match connected.create(None, 256) {
            Ok(_) => {
                let answered = Instant::now();
                if tell.send(Acknowledged { asked, answered }).is_err() {
                    return;
                }
                thread::sleep(REST);
            }
            Err(Trouble::Denied(_)) => thread::sleep(TRY_AGAIN),
            Err(Trouble::Unknown(_)) => client = None,
        }
    }
}
