//! How fast a node that was away gets what the others wrote meanwhile.
//!
//! By log: few Raft entries with many events each, all of which the leader still has. By snapshot:
//! more entries than it keeps, so that the node is sent to fetch segments instead.

use super::super::drive;
use super::nodes::{Cluster, Node, Position};
use anyhow::{Context, Result, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::client::{Client, create_request};

/// Entries after which a leader surely has none of the first any more: it makes a snapshot every
/// 5,000 and keeps 1,000 behind it (`ENTRIES_PER_SNAPSHOT`, `ENTRIES_KEPT` of the cluster crate).
const ENTRIES_FOR_SNAPSHOT: u64 = 6_500;

/// Creates in one message, and connections, for events in few entries.
const BATCH_MAX: u64 = 200;
const FILLERS: usize = 16;

/// Connections for events in many entries: no more than entries can be under way at once, so that
/// each message becomes one.
const FILLERS_OF_ENTRIES: usize = 3;

/// Longest time to catch up.
const WITHIN: Duration = Duration::from_secs(600);

/// Between two looks at how far the filling is.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Which way a node catches up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Log,
    Snapshot,
}

/// One absence.
pub(super) struct CaughtUp {
    /// Events that were missed.
    pub(super) events: u64,
    /// Raft entries that they came in.
    pub(super) entries: u64,
    /// How many a second were made meanwhile, by the two that were there.
    pub(super) made_per_second: f64,
    /// From the start of its process until it said how far it was.
    pub(super) answered: Duration,
    /// Events that it had got by then.
    pub(super) had: u64,
    /// From the start of its process until it had everything.
    pub(super) took: Duration,
    /// CPU time of the node, and of the leader meanwhile.
    pub(super) own_cpu: Duration,
    pub(super) leader_cpu: Duration,
}

impl CaughtUp {
    /// Events a second, from the start of the process.
    pub(super) fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// Events a second, from the first answer on.
    pub(super) fn per_second_running(&self) -> f64 {
        let (events, took) = (self.events - self.had, self.took - self.answered);
        events as f64 / took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Stops a follower, has at least `events` events made, starts it and waits.
pub(super) fn once(cluster: &mut Cluster, way: Way, events: u64) -> Result<CaughtUp> {
    let (leader, followers) = cluster.roles()?;
    let away = *followers.last().context("no follower runs")?;
    cluster.await_agreement()?;
    let before = cluster.node(away)?.position()?;
    cluster.stop(away)?;
    let begun = std::time::Instant::now();
    fill(cluster.node(leader)?, before, way, events)?;
    let filling = begun.elapsed();
    let size = cluster.await_agreement()?;
    let after = cluster.node(leader)?.position()?;
    let by_snapshot = after.purged_entry > before.last_entry;
    ensure!(
        by_snapshot == (way == Way::Snapshot),
        "meant to be by {way:?}, but the leader has {after:?} and the node {before:?}"
    );
    let leader_pid = cluster.node(leader)?.pid();
    let leader_before = drive::cpu_time(leader_pid)?;
    cluster.begin(away)?;
    let awaited = cluster.node(away)?.await_size(size, WITHIN)?;
    let caught_up = CaughtUp {
        events: size - before.size,
        entries: after.last_entry - before.last_entry,
        made_per_second: (size - before.size) as f64 / filling.as_secs_f64(),
        answered: awaited.answered,
        had: awaited.first.size.min(size).saturating_sub(before.size),
        took: awaited.took,
        own_cpu: drive::cpu_time(cluster.node(away)?.pid())?,
        leader_cpu: drive::cpu_time(leader_pid)?.saturating_sub(leader_before),
    };
    cluster.node_mut(away)?.await_ready()?;
    cluster.await_agreement()?;
    Ok(caught_up)
}

/// Makes events until there are enough of them, and enough entries.
fn fill(leader: &Node, before: Position, way: Way, events: u64) -> Result<()> {
    let (fillers, entries, batch) = match way {
        Way::Log => (FILLERS, 0, BATCH_MAX),
        Way::Snapshot => {
            let batch = events.div_ceil(ENTRIES_FOR_SNAPSHOT).min(BATCH_MAX);
            (FILLERS_OF_ENTRIES, ENTRIES_FOR_SNAPSHOT, batch)
        }
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = || make(leader, batch, &stop);
        let workers: Vec<_> = (0..fillers).map(|_| scope.spawn(work)).collect();
        let watched = loop {
            thread::sleep(LOOK_AGAIN);
            let now = match leader.position() {
                Ok(now) => now,
                Err(error) => break Err(error),
            };
            let enough =
                now.size >= before.size + events && now.last_entry >= before.last_entry + entries;
            if enough || workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                break Ok(());
            }
        };
        stop.store(true, Ordering::Relaxed);
        let made = workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a filler panicked"));
        watched.and(made)
    })
}

/// Creates by batches until told to stop.
fn make(leader: &Node, batch: u64, stop: &AtomicBool) -> Result<()> {
    let mut client = Client::connect(leader.kmip, &leader.identity())?;
    while !stop.load(Ordering::Relaxed) {
        let creates = (0..batch).map(|_| create_request(None, 256)).collect();
        for answer in client.batch(creates)? {
            answer.map_err(|failure| anyhow::anyhow!("Create: {failure}"))?;
        }
    }
    Ok(())
}
