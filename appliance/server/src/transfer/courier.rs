//! Brings closed logs to their destinations: what waits for whom stands in the cluster log, so this
//! job has nothing to remember. One connection at a time to each destination; after a failure the
//! next try waits, and longer each time.

use super::age;
use super::alarm;
use super::credential;
use super::deliver::Line;
use super::fault::{Fault, local};
use super::shelf::{Shelf, file_name, sender};
use super::source::Sent;
use crate::engine::Engine;
use crate::notary::Notary;
use domain::TransferOutcome;
use domain::state::{ClosedLog, Standing};
use domain::{Actor, Ask, DOORS_FORMAT, Destination, Name, State, Stream, Time, TransferFailure};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is looked whether something waits.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after the first failure; each one in a row doubles it…
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// …up to this.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Closed logs that go over one connection, so that a change of the destination is noticed.
const ROUND_MAX: usize = 64;

/// Pause after a closed log could not be made.
const MAKING_PAUSE: Duration = Duration::from_secs(30);

/// How it goes with one destination.
#[derive(Clone, Debug, Default)]
struct Attempt {
    is_running: bool,
    /// Failures in a row.
    failures: u32,
    /// When it is tried again.
    next: Option<Instant>,
    /// When the last try of this node ended, and how, since it started.
    last: Option<(Time, String)>,
}

/// The job.
pub(crate) struct Courier {
    engine: Arc<Engine>,
    notary: Arc<Notary>,
    shelf: Shelf,
    attempts: Mutex<BTreeMap<Name, Attempt>>,
    making_again: Mutex<Option<Instant>>,
    wake: Notify,
}

/// A closed log that waits, and its stream.
type Waiting = (Stream, ClosedLog);

impl Courier {
    pub(crate) fn new(engine: Arc<Engine>, notary: Arc<Notary>, shelf: Shelf) -> Arc<Self> {
        Arc::new(Self {
            engine,
            notary,
            shelf,
            attempts: Mutex::default(),
            making_again: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Runs until the node stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
            }
            while rounds.try_join_next().is_some() {}
            if self.engine.machine().state().format() < DOORS_FORMAT {
                continue;
            }
            self.tend_shelf().await;
            for (name, destination, waiting) in self.due() {
                rounds.spawn(self.clone().round(name, destination, waiting));
            }
        }
    }

    /// Tries a destination, or all of them, now.
    pub(crate) fn now(&self, name: Option<&Name>) {
        let mut attempts = self.attempts.lock();
        for (known, attempt) in attempts.iter_mut() {
            if name.is_none_or(|name| name == known) {
                (attempt.failures, attempt.next) = (0, None);
            }
        }
        drop(attempts);
        self.wake.notify_one();
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn notary(&self) -> &Arc<Notary> {
        &self.notary
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Whether this node makes and sends that closed log.
    fn is_mine(
        &self,
        state: &State,
        leader: Option<u64>,
        stream: Stream,
        closed: &ClosedLog,
    ) -> bool {
        sender(state, leader, stream, closed.size) == Some(self.engine.node())
    }

    fn waiting(&self, state: &State, standing: &Standing) -> Vec<Waiting> {
        let leader = self.engine.cluster().status().leader;
        let streams = state.streams();
        let all = streams.flat_map(|stream| {
            let waiting = state.waiting_for(standing, stream);
            let mine = waiting.take_while(move |c| self.is_mine(state, leader, stream, c));
            mine.map(move |closed| (stream, *closed))
        });
        all.take(ROUND_MAX).collect()
    }

    /// What can be sent where now.
    fn due(&self) -> Vec<(Name, Destination, Vec<Waiting>)> {
        let state = self.engine.machine().state();
        let mut attempts = self.attempts.lock();
        attempts.retain(|name, attempt| attempt.is_running || state.destination(name).is_some());
        let mut due = Vec::new();
        for (name, standing) in state.destinations() {
            let attempt = attempts.entry(name.clone()).or_default();
            let is_time = attempt.next.is_none_or(|next| next <= Instant::now());
            if attempt.is_running || !is_time || !standing.destination.enabled {
                continue;
            }
            let waiting = self.waiting(&state, standing);
            if !waiting.is_empty() {
                attempt.is_running = true;
                due.push((name.clone(), standing.destination.clone(), waiting));
            }
        }
        due
    }

    /// One connection, and all that goes over it.
    async fn round(self: Arc<Self>, name: Name, destination: Destination, waiting: Vec<Waiting>) {
        let done = self.go(&name, &destination, &waiting).await;
        let (failed, ended) = match done {
            Ok(()) => (false, format!("{} delivered and read back", waiting.len())),
            Err((stream, number, fault)) => {
                tracing::warn!("transfer of {stream} {number} to {name}: {fault}");
                let ended = format!("{stream} {number} was not delivered: {fault}");
                let Fault { why, detail } = fault;
                let outcome = TransferOutcome::Failed { why, detail };
                if let Err(e) = self.record(&name, stream, number, outcome).await {
                    tracing::warn!("recording that: {e}");
                }
                (true, ended)
            }
        };
        let now = self.engine.now();
        let mut attempts = self.attempts.lock();
        if let Some(attempt) = attempts.get_mut(&name) {
            attempt.is_running = false;
            attempt.last = Some((now, ended));
            attempt.failures = match failed {
                true => attempt.failures.saturating_add(1),
                false => 0,
            };
            attempt.next = failed.then(|| Instant::now() + pause(attempt.failures));
        }
        drop(attempts);
        if !failed {
            self.wake.notify_one();
        }
    }

    async fn go(
        &self,
        name: &Name,
        to: &Destination,
        waiting: &[Waiting],
    ) -> Result<(), (Stream, u64, Fault)> {
        let Some((first, closed)) = waiting.first() else {
            return Ok(());
        };
        let at_first = |fault| (*first, closed.number, fault);
        let credential = credential::of(self.engine.vault(), name, &to.way_in).map_err(at_first)?;
        let mut line = Line::open(to, &credential).await.map_err(at_first)?;
        for (stream, closed) in waiting {
            if !self.is_as_known(name, to) {
                // The next round takes it as it is now.
                break;
            }
            let sent = self.send(&mut line, (name, to), *stream, closed).await;
            let sent = sent.map_err(|fault| (*stream, closed.number, fault))?;
            let outcome = TransferOutcome::Delivered {
                digest: sent.digest,
                bytes: sent.bytes,
            };
            let recorded = self.record(name, *stream, closed.number, outcome).await;
            // It stands there; the next round finds it and says so.
            recorded.map_err(|e| (*stream, closed.number, local(e)))?;
            // Not before: made again it would be another file than the one that stands there.
            let tidied = self.shelf.forget_encrypted(name);
            tidied.map_err(|e| (*stream, closed.number, local(e)))?;
        }
        line.close().await;
        Ok(())
    }

    /// Whether a destination is what it was when its round began.
    fn is_as_known(&self, name: &Name, to: &Destination) -> bool {
        let state = self.engine.machine().state();
        let known = state.destination(name);
        known.is_some_and(|known| known.destination == *to)
    }

    async fn send(
        &self,
        line: &mut Line<'_>,
        (destination, to): (&Name, &Destination),
        stream: Stream,
        closed: &ClosedLog,
    ) -> Result<Sent, Fault> {
        let path = self.make(stream, *closed).await?;
        let name = file_name(&self.engine.machine().state(), stream, closed.number);
        if !to.encrypts() {
            let sent = Sent::of(&path, &name).await?;
            line.deliver(&sent).await?;
            return Ok(sent);
        }
        if self.engine.machine().state().bars_encryption(to) {
            let why = "age is not among the approved algorithms; take away the recipients";
            return Err(Fault::new(TransferFailure::NotApproved, why));
        }
        let folder = self.shelf.encrypted(destination);
        let recipients = to.recipients.clone();
        let work = move || age::encrypted(&path, &folder, &recipients);
        let path = tokio::task::spawn_blocking(work).await.map_err(local)??;
        let sent = Sent::of(&path, &format!("{name}{}", age::ENDING)).await?;
        line.deliver(&sent).await?;
        Ok(sent)
    }

    async fn record(
        &self,
        destination: &Name,
        stream: Stream,
        number: u64,
        outcome: TransferOutcome,
    ) -> Result<(), String> {
        let node = self.engine.node();
        let ask = Ask::RecordTransfer {
            node,
            destination: destination.clone(),
            log: stream.log,
            number,
            outcome,
        };
        let done = self.engine.change(&Actor::Node(node), ask, None).await;
        done.map(drop).map_err(|e| e.to_string())
    }

    /// The file of a closed log; it is made when it is not there.
    async fn make(&self, stream: Stream, closed: ClosedLog) -> Result<PathBuf, Fault> {
        let (engine, notary) = (self.engine.clone(), self.notary.clone());
        let shelf = self.shelf.clone();
        let work = move || {
            engine.room().for_new_objects().map_err(local)?;
            shelf.put(&engine, &notary, stream, &closed).map_err(local)
        };
        let made = tokio::task::spawn_blocking(work).await;
        made.map_err(local)?
    }

    /// Makes the files of what was closed last and of what waits first, and takes away old ones.
    async fn tend_shelf(&self) {
        let is_paused = self
            .making_again
            .lock()
            .is_some_and(|at| at > Instant::now());
        if is_paused {
            return;
        }
        let (wanted, keep) = self.wanted();
        for (stream, closed) in wanted {
            if let Err(fault) = self.make(stream, closed).await {
                tracing::warn!("closed log {stream} {}: {fault}", closed.number);
                *self.making_again.lock() = Some(Instant::now() + MAKING_PAUSE);
                return;
            }
        }
        let (engine, shelf) = (self.engine.clone(), self.shelf.clone());
        let pruned = tokio::task::spawn_blocking(move || {
            let state = engine.machine().state();
            let mut streams = state.streams();
            streams.try_for_each(|stream| shelf.prune(&state, stream, keep))?;
            shelf.prune_encrypted(&state)
        });
        if let Ok(Err(e)) = pruned.await {
            tracing::warn!("removing old closed logs: {e}");
        }
    }

    /// The closed logs of this node whose files are to be there, and how many are kept.
    fn wanted(&self) -> (Vec<Waiting>, usize) {
        let leader = self.engine.cluster().status().leader;
        let state = self.engine.machine().state();
        let keep = state.cluster_setting("log.keep");
        let keep = keep.and_then(|n| n.parse().ok()).unwrap_or(1);
        let mut wanted = Vec::new();
        for stream in state.streams() {
            let waiting = state.closed_of(stream).take(keep);
            let those = waiting.chain(state.last_closed(stream));
            let those = those.filter(|closed| self.is_mine(&state, leader, stream, closed));
            let missing = those.filter(|closed| {
                let name = file_name(&state, stream, closed.number);
                !self.shelf.path(&name).exists()
            });
            wanted.extend(missing.map(|closed| (stream, *closed)));
        }
        (wanted, keep)
    }

    /// How each destination stands, for people.
    pub(crate) fn standing(&self) -> Value {
        let state = self.engine.machine().state();
        let attempts = self.attempts.lock();
        let row = |(name, standing): (&Name, &Standing)| {
            let to = &standing.destination;
            let attempt = attempts.get(name).cloned().unwrap_or_default();
            let wait = attempt.next.map(|next| {
                let wait = next.saturating_duration_since(Instant::now());
                wait.as_secs()
            });
            let (waiting, oldest) = alarm::backlog(&state, standing);
            let failing = standing.failing(self.engine.node());
            json!({
                "name": name,
                "to": format!("{}@{}", to.user, to.address),
                "directory": to.directory,
                "logs": to.logs.iter().map(|log| log.name()).collect::<Vec<_>>(),
                "host_key": to.host_key,
                "way_in": match to.way_in {
                    domain::WayIn::Key => "key",
                    domain::WayIn::Password(_) => "password",
                },
                "recipients": to.recipients,
                "on": to.enabled,
                "waiting": waiting,
                "oldest_since": oldest.map(crate::render::moment),
                "sending": attempt.is_running,
                "next_try_seconds": wait,
                "last_try": attempt.last.as_ref().map(|(time, _)| crate::render::moment(*time)),
                "last_outcome": attempt.last.as_ref().map(|(_, ended)| ended),
                "alarms": alarm::of(&state, self.engine.node(), name, standing),
                "problem": failing.map(|(why, detail)| format!("{}: {detail}", why.name())),
            })
        };
        state.destinations().map(row).collect()
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_end() {
        let seconds: Vec<u64> = (1..12).map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
