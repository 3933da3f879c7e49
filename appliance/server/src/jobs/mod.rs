//! Work that the node does by itself, each job with the rhythm that DESIGN gives it.

pub(crate) mod anchor;
mod authority;
pub mod cosign;
pub mod epoch;
pub mod export;
mod membership;
mod presence;
pub(crate) mod repairs;
pub(crate) mod rotation;
mod scrub;
mod secrets;
mod timekeeping;

use crate::engine::{Engine, Refusal};
use crate::layout::Layout;
use crate::member::colleagues::Colleagues;
use crate::notary::Notary;
use crate::transfer::courier::Courier;
use cluster::peers::PeerTls;
use cosign::Cosigner;
use domain::{Actor, Ask};
use repairs::Repairs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A checkpoint follows a change within this time…
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// …or this many records…
const CHECKPOINT_RECORDS: u64 = 1_000;

/// …and comes at least this often when nothing changes.
const CHECKPOINT_IDLE: Duration = Duration::from_secs(60);

/// Shortest time between two checkpoints: each costs two fsyncs.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// How often the schedule of activations and deactivations is looked at.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(1);

/// How often log and store are made durable behind the Raft log: bounds the work of a restart.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is asked whether an epoch with destroyed objects is old enough to be retired.
const ROTATION_LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Destroyed material is final within this time (DESIGN §3).
const ROTATION_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How often a node looks whether a rotation wants something of it.
const DUTY_INTERVAL: Duration = Duration::from_millis(250);

/// How long the daily rotation waits for members that are away, before it is looked at again.
const ROTATION_PATIENCE: Duration = Duration::from_secs(60);

/// What the jobs work with.
pub(crate) struct Tools<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) notary: &'a Arc<Notary>,
    pub(crate) cosigner: &'a Arc<Cosigner>,
    pub(crate) courier: &'a Arc<Courier>,
    pub(crate) colleagues: &'a Colleagues,
    pub(crate) layout: &'a Layout,
    /// Keys of the cluster's port.
    pub(crate) tls: &'a PeerTls,
    /// What was repaired and is still to be told.
    pub(crate) repairs: &'a Repairs,
    /// Where the other members reach this node.
    pub(crate) address: String,
}

/// Starts the jobs; they end when `stop` turns true. What is given back ends when the cluster log
/// says that this node serves.
pub(crate) fn start(tools: &Tools<'_>, stop: &watch::Receiver<bool>) -> oneshot::Receiver<()> {
    let (say, said) = oneshot::channel();
    let (engine, notary) = (|| tools.engine.clone(), || tools.notary.clone());
    let colleagues = || tools.colleagues.clone();
    let (notes, noted) = watch::channel(None);
    let (settled, time_is_settled) = watch::channel(false);
    let jobs = [
        tokio::spawn(checkpoint(engine(), notary(), notes)),
        tokio::spawn(tools.cosigner.clone().run(noted)),
        tokio::spawn(anchor::run(engine(), notary())),
        tokio::spawn(schedule(engine())),
        tokio::spawn(rotation::run(engine())),
        tokio::spawn(tools.courier.clone().run()),
        tokio::spawn(flush(engine())),
        tokio::spawn(rotate(engine(), colleagues())),
        tokio::spawn(duty(engine(), colleagues())),
        tokio::spawn(membership::run(engine(), colleagues())),
        tokio::spawn(timekeeping::run(
            engine(),
            colleagues(),
            tools.layout.clone(),
            settled,
        )),
        tokio::spawn(presence::announce(
            engine(),
            tools.address.clone(),
            time_is_settled,
            say,
        )),
        tokio::spawn(authority::run(engine(), colleagues(), tools.tls.clone())),
        tokio::spawn(secrets::run(engine(), colleagues())),
        tokio::spawn(scrub::begin(engine())),
        tokio::spawn(scrub::run(
            engine(),
            colleagues(),
            tools.repairs.clone(),
            tools.layout.clone(),
        )),
        tokio::spawn(repairs::tell(engine(), tools.repairs.clone())),
        tokio::spawn(presence::directory(
            engine(),
            colleagues(),
            tools.layout.place(),
        )),
    ];
    for job in jobs {
        let mut stop = stop.clone();
        let abort = job.abort_handle();
        tokio::spawn(async move {
            drop(stop.wait_for(|stop| *stop).await);
            abort.abort();
        });
    }
    said
}

/// Signs the head of the cluster log.
async fn checkpoint(
    engine: Arc<Engine>,
    notary: Arc<Notary>,
    notes: watch::Sender<Option<String>>,
) {
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
                Ok(Ok((size, note))) => {
                    noted = size;
                    notes.send_replace(Some(note));
                }
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

/// Begins a rotation when destroyed material is due; the leader does, so that one node does.
async fn rotate(engine: Arc<Engine>, colleagues: Colleagues) {
    let node = Actor::Node(engine.node());
    let mut ticks = ticks(ROTATION_LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let leads = engine.cluster().status().leader == Some(engine.node().0);
        if leads && epoch::is_due(&engine, ROTATION_AFTER) {
            let patience = ROTATION_PATIENCE;
            match epoch::rotate(&engine, &colleagues, &node, patience, &mut |_| ()).await {
                Ok(rotated) => tracing::info!("epoch {} is current", rotated.epoch.0),
                Err(e) => tracing::error!("epoch rotation: {e}"),
            }
        }
    }
}

/// Does what a rotation wants of this node.
async fn duty(engine: Arc<Engine>, colleagues: Colleagues) {
    let mut ticks = ticks(DUTY_INTERVAL);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        match epoch::duty(&engine, &colleagues, &mut |_| ()).await {
            Ok(_) => told.clear(),
            Err(e) if e.to_string() != told => {
                told = e.to_string();
                tracing::warn!("epoch rotation: {e}");
            }
            Err(_) => {}
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
