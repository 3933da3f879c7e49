//! How fast a node that was away gets what the others wrote meanwhile.
//!
//! By log: few Raft entries with many events each, all of which the leader still has. By snapshot:
//! more entries than it keeps, so that the node is sent to fetch segments instead.

use super::super::drive;
use super::nodes::{Cluster, Node, Position};
use anyhow::{Context, Result, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::client::{Client, create_request};

/// A leader makes a snapshot after so many entries, and keeps so many behind it
/// (`ENTRIES_PER_SNAPSHOT`, `ENTRIES_KEPT` of the cluster crate).
const ENTRIES_PER_SNAPSHOT: u64 = 5_000;
const ENTRIES_KEPT: u64 = 1_000;

/// Entries after which it surely has none of the first any more.
const ENTRIES_FOR_SNAPSHOT: u64 = ENTRIES_PER_SNAPSHOT + ENTRIES_KEPT + 500;

/// Since the last snapshot, at most, when a node is stopped that is to catch up by log.
const ENTRIES_BEFORE_LOG: u64 = 1_000;

/// Connections for events in few entries, and Creates in one message. A message is carried out one
/// Create after the other, so that an entry holds about as many as there are connections.
const FILLERS: usize = 192;
const BATCH: u64 = 100;

/// Connections and Creates in a message for many entries: as many as may be under way at once.
const FILLERS_OF_ENTRIES: usize = 3;
const BATCH_OF_ENTRIES: u64 = 20;

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
    /// Which way it went; a leader may have made a snapshot when none was meant.
    pub(super) went: Way,
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
    if way == Way::Log {
        await_room_for_log(cluster.node(leader)?)?;
    }
    cluster.await_agreement()?;
    let before = cluster.node(away)?.position()?;
    cluster.stop(away)?;
    let begun = Instant::now();
    fill(cluster.node(leader)?, before, way, events)?;
    let filling = begun.elapsed();
    let size = cluster.await_agreement()?;
    let after = cluster.node(leader)?.position()?;
    let leader_pid = cluster.node(leader)?.pid();
    let leader_before = drive::cpu_time(leader_pid)?;
    cluster.begin(away)?;
    let awaited = cluster.node(away)?.await_size(size, WITHIN)?;
    let caught_up = CaughtUp {
        went: match after.purged_entry > before.last_entry {
            true => Way::Snapshot,
            false => Way::Log,
        },
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

/// Has entries made until a snapshot is fresh, so that the next one is far.
fn await_room_for_log(leader: &Node) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let now = leader.position()?;
        let snapshot = match now.purged_entry {
            0 => 0,
            purged => purged + ENTRIES_KEPT,
        };
        let since = now.last_entry.saturating_sub(snapshot);
        if since <= ENTRIES_BEFORE_LOG {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no snapshot came: {now:?}");
        let left = ENTRIES_PER_SNAPSHOT.saturating_sub(since).max(1);
        make_until(leader, FILLERS_OF_ENTRIES, 1, |is| {
            is.last_entry >= now.last_entry + left
        })?;
    }
}

/// Makes events until there are enough of them, and enough entries.
fn fill(leader: &Node, before: Position, way: Way, events: u64) -> Result<()> {
    let enough = |now: Position| now.size >= before.size + events;
    match way {
        Way::Log => make_until(leader, FILLERS, BATCH, enough),
        Way::Snapshot => {
            make_until(leader, FILLERS_OF_ENTRIES, BATCH_OF_ENTRIES, |now| {
                now.last_entry >= before.last_entry + ENTRIES_FOR_SNAPSHOT
            })?;
            make_until(leader, FILLERS, BATCH, enough)
        }
    }
}

/// Has so many connections make objects, `batch` a message, until it is enough.
fn make_until(
    leader: &Node,
    connections: usize,
    batch: u64,
    is_enough: impl Fn(Position) -> bool,
) -> Result<()> {
    let stop = AtomicBool::new(false);
    // One after the other: a node has only so many handshakes with one address under way.
    let connect = |_| Client::connect(leader.kmip, &leader.identity());
    let clients: Vec<Client> = (0..connections).map(connect).collect::<Result<_>>()?;
    thread::scope(|scope| {
        let work = |client| scope.spawn(|| make(client, batch, &stop));
        let workers: Vec<_> = clients.into_iter().map(work).collect();
        let watched = loop {
            let failed = workers.iter().any(thread::ScopedJoinHandle::is_finished);
            match leader.position() {
                Ok(now) if failed || is_enough(now) => break Ok(()),
                Ok(_) => thread::sleep(LOOK_AGAIN),
                Err(error) => break Err(error),
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
fn make(mut client: Client, batch: u64, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let creates = (0..batch).map(|_| create_request(None, 256)).collect();
        for answer in client.batch(creates)? {
            answer.map_err(|failure| anyhow::anyhow!("Create: {failure}"))?;
        }
    }
    Ok(())
}
