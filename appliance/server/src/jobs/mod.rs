//! Work that the node does by itself, each job with the rhythm that DESIGN gives it.

pub mod epoch;
pub mod export;

use crate::engine::{Engine, Refusal};
use crate::notary::Notary;
use domain::{Actor, Ask, Hash};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A checkpoint follows a change within this time…
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// …or this many records…
const CHECKPOINT_RECORDS: u64 = 1_000;

/// …and comes at least this often when nothing changes.
const CHECKPOINT_IDLE: Duration = Duration::from_secs(60);

/// Shortest time between two checkpoints: each costs two fsyncs.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// The head of the access log is anchored this often, or after [`ANCHOR_RECORDS`] records.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(10);

/// See [`ANCHOR_INTERVAL`].
const ANCHOR_RECORDS: u64 = 1_000;

/// How often the schedule of activations and deactivations is looked at.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(1);

/// How often log and store are made durable behind the Raft log: bounds the work of a restart.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is asked whether an epoch with destroyed objects is old enough to be retired.
const ROTATION_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Destroyed material is final within this time (DESIGN §3).
const ROTATION_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Starts the jobs; they end when `stop` turns true.
pub fn start(engine: &Arc<Engine>, notary: &Arc<Notary>, stop: &watch::Receiver<bool>) {
    let until = |stop: &watch::Receiver<bool>| {
        let mut stop = stop.clone();
        async move { drop(stop.wait_for(|stop| *stop).await) }
    };
    let (checkpoints, anchors) = (notary.clone(), notary.clone());
    let jobs = [
        tokio::spawn(checkpoint(engine.clone(), checkpoints)),
        tokio::spawn(anchor(engine.clone(), anchors)),
        tokio::spawn(schedule(engine.clone())),
        tokio::spawn(flush(engine.clone())),
        tokio::spawn(rotate(engine.clone())),
    ];
    for job in jobs {
        let stopped = until(stop);
        let abort = job.abort_handle();
        tokio::spawn(async move {
            stopped.await;
            abort.abort();
        });
    }
}

/// Signs the head of the cluster log.
async fn checkpoint(engine: Arc<Engine>, notary: Arc<Notary>) {
    let mut progress = engine.machine().progress();
    let (mut noted, mut noted_at) = (0, Instant::now());
    loop {
        let now = *progress.borrow_and_update();
        let due = now.urgent > noted
            || now.size >= noted + CHECKPOINT_RECORDS
            || (now.size > noted && noted_at.elapsed() >= CHECKPOINT_INTERVAL)
            || noted_at.elapsed() >= CHECKPOINT_IDLE;
        if due {
            let (machine, notary) = (engine.machine().clone(), notary.clone());
            let note = tokio::task::spawn_blocking(move || notary.note_cluster(&machine));
            match note.await {
                Ok(Ok((size, _))) => noted = size,
                Ok(Err(e)) => tracing::error!("checkpoint: {e}"),
                Err(_) => return,
            }
            noted_at = Instant::now();
            tokio::time::sleep(CHECKPOINT_PAUSE).await;
            continue;
        }
        let wait = CHECKPOINT_INTERVAL
            .saturating_sub(noted_at.elapsed())
            .max(CHECKPOINT_PAUSE);
        let idle = CHECKPOINT_IDLE.saturating_sub(noted_at.elapsed());
        let wait = if now.size > noted {
            wait
        } else {
            idle.max(CHECKPOINT_PAUSE)
        };
        // Either something was recorded or the time is up; both lead to the same question.
        drop(tokio::time::timeout(wait, progress.changed()).await);
    }
}

/// Puts the head of the access log into the cluster log.
async fn anchor(engine: Arc<Engine>, notary: Arc<Notary>) {
    let node = Actor::Node(engine.node());
    let mut anchored = engine
        .machine()
        .state()
        .access_anchor(engine.node())
        .map_or(0, |a| a.size);
    let mut anchored_at = Instant::now();
    let mut ticks = ticks(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let (size, _) = engine.access().head();
        let due = size >= anchored + ANCHOR_RECORDS || anchored_at.elapsed() >= ANCHOR_INTERVAL;
        if size == anchored || !due {
            continue;
        }
        let (access, signer) = (engine.access().clone(), notary.clone());
        let noted = tokio::task::spawn_blocking(move || signer.note_access(&access)).await;
        if let Ok(Err(e)) = noted {
            tracing::error!("checkpoint of the access log: {e}");
            continue;
        }
        let (size, root) = engine.access().head();
        let root = Hash::from_bytes(root.0);
        let ask = Ask::AnchorAccessLog {
            node: engine.node(),
            size,
            root,
        };
        match engine.change(&node, ask, None).await {
            Ok(_) => (anchored, anchored_at) = (size, Instant::now()),
            Err(e) => complain("anchor of the access log", &e),
        }
    }
}

/// Carries out the transitions whose date has come.
async fn schedule(engine: Arc<Engine>) {
    let node = Actor::Node(engine.node());
    let mut ticks = ticks(SCHEDULE_INTERVAL);
    loop {
        ticks.tick().await;
        while engine.is_due() {
            if let Err(e) = engine.change(&node, Ask::ApplySchedule, None).await {
                complain("schedule", &e);
                break;
            }
        }
    }
}

/// Makes log and store durable behind the Raft log.
async fn flush(engine: Arc<Engine>) {
    let mut ticks = ticks(FLUSH_INTERVAL);
    let mut flushed = engine.machine().store().durable_index();
    loop {
        ticks.tick().await;
        let store = engine.machine().store();
        if store.applied_index() == flushed {
            continue;
        }
        let machine = engine.machine().clone();
        let done = tokio::task::spawn_blocking(move || cluster::Machine::make_durable(&*machine));
        match done.await {
            Ok(Ok(_)) => flushed = engine.machine().store().durable_index(),
            Ok(Err(e)) => tracing::error!("flush: {e}"),
            Err(_) => return,
        }
    }
}

/// Finishes a rotation that a stop cut short, and begins one when destroyed material is due.
async fn rotate(engine: Arc<Engine>) {
    let node = Actor::Node(engine.node());
    let mut ticks = ticks(ROTATION_LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        if epoch::is_unfinished(&engine) || epoch::is_due(&engine, ROTATION_AFTER) {
            match epoch::rotate(&engine, &node, &mut |_| ()).await {
                Ok(rotated) => tracing::info!("epoch {} is current", rotated.epoch.0),
                Err(e) => tracing::error!("epoch rotation: {e}"),
            }
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn complain(what: &str, refusal: &Refusal) {
    tracing::error!("{what}: {refusal}");
}
