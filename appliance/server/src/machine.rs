//! What follows the ordered commands: the state, the cluster log and the sealed store.
//!
//! `decide` runs here, at apply, on every node alike. The cluster log and the store are written
//! without waiting for the disk: the Raft log holds the entry durably, and after a crash the
//! entries since the last durable point are applied again. Their records must then come out byte
//! for byte as they stand in the log; anything else stops the node.

mod held;

use crate::member::catch_up::{self, Described, Source};
use cluster::peers::BoxFuture;
use cluster::{EntryId, Machine, MachineFault};
use domain::state::EpochPhase;
use domain::{Command, Denial, Event, NodeId, Record, State, Time, Uid, codec};
pub use held::Held;
use ledger::{Checkpoint, Disk, Fault, Ledger, SegmentsConfig, SegmentsReader, StdDisk};
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use vault::store::{SealedStore, StoreOp, StoreView};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The object that came to be.
    pub created: Option<Uid>,
    /// The rule that said no.
    pub refused: Option<Denial>,
}

/// How far the cluster log has come, for those who follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records in the log.
    pub size: u64,
    /// Size up to which a checkpoint was asked for at once (Destroy, export, epochs).
    pub urgent: u64,
}

/// The node could not be brought to its last state.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The log is damaged or unreadable.
    #[error("cluster log: {0}")]
    Log(#[from] ledger::OpenError),
    /// A record is not of a known format.
    #[error("record {n} of the cluster log: {reason}")]
    Record {
        /// Its number.
        n: u64,
        /// What is wrong.
        reason: codec::Undecodable,
    },
}

/// State, cluster log and sealed store of one node.
pub struct LedgerMachine {
    state: RwLock<State>,
    /// [`State::latest_time`], for those who hold the state already.
    latest: AtomicI64,
    ledger: Mutex<Ledger>,
    store: Arc<SealedStore>,
    /// Records found in the log beyond the last durable point; they must come out again.
    expected: Mutex<VecDeque<Vec<u8>>>,
    found: Option<u64>,
    progress: watch::Sender<Progress>,
    /// Whether approved-algorithms mode is in force.
    approved: watch::Sender<bool>,
    /// Held while an entry is applied, so that log, store and state are seen at one entry.
    turn: Mutex<Turn>,
    /// Where what is missing can be had; set when the way to the other members is known.
    source: OnceLock<Arc<dyn Source>>,
    /// The scrub that was begun last, until somebody takes it.
    scrub: Mutex<Option<Begun>>,
}

/// A scrub that has begun: the state as of the record that began it, and the sealed store as of the
/// end of that entry, both the same on every node.
pub(crate) struct Begun {
    /// Its number.
    pub(crate) number: u64,
    /// Digest of the state.
    pub(crate) state: domain::Hash,
    /// The store; `None` while a rotation lets the stores of the nodes differ.
    pub(crate) store: Option<StoreView>,
}

/// Which entry was carried out last.
#[derive(Debug)]
struct Turn {
    entry: u64,
}

impl std::fmt::Debug for LedgerMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerMachine")
            .field("progress", &*self.progress.borrow())
            .finish()
    }
}

/// Reads the log once, at start.
struct Replay {
    state: State,
    /// The store is made durable only after the log, so all records of this entry are in the log.
    durable_entry: u64,
    expected: VecDeque<Vec<u8>>,
    fault: Option<OpenFault>,
}

impl Replay {
    fn see(&mut self, n: u64, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        match codec::from_slice::<Record>(bytes) {
            Ok(record) if record.entry <= self.durable_entry => self.state.evolve(&record),
            Ok(_) => self.expected.push_back(bytes.to_vec()),
            Err(reason) => self.fault = Some(OpenFault::Record { n, reason }),
        }
    }
}

impl LedgerMachine {
    /// Opens the log and brings the state to the last point that is complete on this disk.
    pub fn open(
        log_dir: &std::path::Path,
        floor: Option<&Checkpoint>,
        store: Arc<SealedStore>,
    ) -> Result<Self, OpenFault> {
        let config = SegmentsConfig::LEDGER;
        Self::open_on(Arc::new(StdDisk), log_dir, config, floor, store)
    }

    /// Has entries carried out again from the one after `after`, as if the sealed store had come no
    /// further; to be set before the machine is opened.
    pub(crate) fn open_again_after(
        log_dir: &std::path::Path,
        floor: Option<&Checkpoint>,
        store: Arc<SealedStore>,
        after: Option<u64>,
    ) -> Result<Self, OpenFault> {
        let config = SegmentsConfig::LEDGER;
        let durable = store.durable_index().min(after.unwrap_or(u64::MAX));
        Self::open_at(Arc::new(StdDisk), log_dir, config, floor, store, durable)
    }

    /// As [`LedgerMachine::open`], on a disk and with limits of the caller's choice: how a
    /// simulator runs it.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        log_dir: &std::path::Path,
        config: SegmentsConfig,
        floor: Option<&Checkpoint>,
        store: Arc<SealedStore>,
    ) -> Result<Self, OpenFault> {
        let durable = store.durable_index();
        Self::open_at(disk, log_dir, config, floor, store, durable)
    }

    fn open_at(
        disk: Arc<dyn Disk>,
        log_dir: &std::path::Path,
        config: SegmentsConfig,
        floor: Option<&Checkpoint>,
        store: Arc<SealedStore>,
        durable_entry: u64,
    ) -> Result<Self, OpenFault> {
        let mut replay = Replay {
            state: State::default(),
            durable_entry,
            expected: VecDeque::new(),
            fault: None,
        };
        let (ledger, recovery) =
            Ledger::open_visiting(disk, log_dir, config, floor, &mut |n, bytes| {
                replay.see(n, bytes);
            })?;
        if let Some(torn) = recovery.torn_tail {
            tracing::warn!("cluster log: an unfinished write at the end was dropped: {torn:?}");
        }
        if let Some(fault) = replay.fault {
            return Err(fault);
        }
        let size = ledger.size();
        Ok(Self {
            latest: AtomicI64::new(replay.state.latest_time().0),
            approved: watch::Sender::new(replay.state.is_approved_mode()),
            state: RwLock::new(replay.state),
            ledger: Mutex::new(ledger),
            store,
            expected: Mutex::new(replay.expected),
            found: (replay.durable_entry > 0).then_some(replay.durable_entry),
            progress: watch::Sender::new(Progress { size, urgent: 0 }),
            turn: Mutex::new(Turn {
                entry: replay.durable_entry,
            }),
            source: OnceLock::new(),
            scrub: Mutex::new(None),
        })
    }

    /// Lets the entries be counted from the beginning of a Raft log that is new here, as that of a
    /// node is which comes back under a new number: what is in the state already is passed over.
    pub(crate) fn start_over(&mut self) {
        self.found = None;
    }

    /// The scrub that has begun since the last call.
    pub(crate) fn take_scrub(&self) -> Option<Begun> {
        self.scrub.lock().take()
    }

    /// Keeps what the members will compare. The digest of the state is taken by the caller while it
    /// carries out the entry, for a moment later the state has gone on: about 0.25 s per million
    /// objects, once an hour. The store gives a view, which costs nothing until it is read.
    fn keep_scrub(&self, number: u64, state: domain::Hash) -> Result<(), MachineFault> {
        let is_comparable = {
            let state = self.state.read();
            let leaving = |phase| phase == EpochPhase::Leaving;
            !state.epochs().any(|(_, record)| leaving(record.phase))
        };
        let view = is_comparable.then(|| self.store.view()).transpose();
        let store = view.map_err(|e| MachineFault(e.to_string()))?;
        *self.scrub.lock() = Some(Begun {
            number,
            state,
            store,
        });
        Ok(())
    }

    /// Names where missing records and objects can be had from; once, at start.
    pub(crate) fn set_source(&self, source: Arc<dyn Source>) {
        // A second call would be a second start of the same machine, which `node` does not do.
        drop(self.source.set(source));
    }

    /// The state, for reading. Held only while a decision is made.
    pub fn state(&self) -> Held<'_> {
        Held::read(&self.state)
    }

    /// The latest time of a record. Takes no lock: the time is asked for with the state held.
    pub(crate) fn latest_time(&self) -> Time {
        Time(self.latest.load(Ordering::Relaxed))
    }

    /// The cluster log, for proofs and signing. Appending is done here and nowhere else.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// Reads records while others are written.
    pub fn reader(&self) -> SegmentsReader {
        self.ledger.lock().reader()
    }

    /// The sealed store.
    pub fn store(&self) -> &Arc<SealedStore> {
        &self.store
    }

    /// Follows the growth of the log.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Follows approved-algorithms mode: what was agreed on before a switch ends with it.
    pub(crate) fn approved_mode(&self) -> watch::Receiver<bool> {
        self.approved.subscribe()
    }

    fn tell_mode(&self, state: &State) {
        let now = state.is_approved_mode();
        self.approved
            .send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    fn carry_out(
        &self,
        entry: u64,
        commands: &[cluster::Command],
    ) -> Result<Applied, MachineFault> {
        let mut applied = Applied::default();
        let mut state = self.state.write();
        for proposed in commands {
            // A command that cannot be read would be skipped by this version and perhaps not by
            // the next: that is a fault of the node, never an empty answer.
            let command: Command = codec::from_slice(&proposed.bytes)
                .map_err(|e| MachineFault(format!("entry {entry}: {e}")))?;
            let mut outcome = Outcome {
                created: repeated(&state, &command),
                refused: None,
            };
            for event in domain::decide(&state, &command) {
                applied.urgent |= is_urgent(&event);
                note(&event, &mut outcome);
                applied.store_op(&event, proposed.payload.as_deref());
                let record = Record::new(entry, &command, event);
                applied.records.push(codec::to_vec(&record));
                state.evolve(&record);
                if let Event::ScrubBegun { scrub } = record.event {
                    applied.scrub = Some((scrub, state.digest()));
                }
            }
            applied.replies.push(codec::to_vec(&outcome));
        }
        self.latest.store(state.latest_time().0, Ordering::Relaxed);
        self.tell_mode(&state);
        Ok(applied)
    }

    /// Appends what was not in the log before a crash; what was there must be the same.
    fn append(&self, entry: u64, records: Vec<Vec<u8>>) -> Result<u64, MachineFault> {
        let mut expected = self.expected.lock();
        let mut fresh = Vec::with_capacity(records.len());
        for record in records {
            match expected.pop_front() {
                None => fresh.push(record),
                Some(stands) if stands == record && fresh.is_empty() => {}
                Some(_) => {
                    return Err(MachineFault(format!(
                        "entry {entry} gives other records than those in the cluster log: the log \
                         and the Raft folder do not belong together, or a version that decides \
                         differently wrote them"
                    )));
                }
            }
        }
        let mut ledger = self.ledger.lock();
        if !fresh.is_empty() {
            ledger
                .append(&fresh)
                .map_err(|e| MachineFault(e.to_string()))?;
        }
        Ok(ledger.size())
    }
}

/// What one entry does, gathered before anything is written.
#[derive(Default)]
struct Applied {
    records: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
    store: Vec<StoreOp>,
    urgent: bool,
    /// Number of a scrub, and the digest of the state there.
    scrub: Option<(u64, domain::Hash)>,
}

impl Applied {
    fn store_op(&mut self, event: &Event, sealed: Option<&[u8]>) {
        match (event, sealed) {
            (
                Event::ObjectCreated { uid, .. } | Event::ObjectSalvaged { uid, .. },
                Some(sealed),
            ) => {
                self.store.push(StoreOp::Put {
                    uid: *uid,
                    sealed: sealed.to_vec(),
                });
            }
            (Event::ObjectDestroyed { uid, .. }, _) => {
                self.store.push(StoreOp::Delete { uid: *uid });
            }
            _ => {}
        }
    }
}

/// What a command that was carried out already has created then.
fn repeated(state: &State, command: &Command) -> Option<Uid> {
    let once = command.facts.once?;
    state.repeated(&command.actor, &once).flatten()
}

fn note(event: &Event, outcome: &mut Outcome) {
    match event {
        Event::ObjectCreated { uid, .. } | Event::ObjectSalvaged { uid, .. } => {
            outcome.created = Some(*uid);
        }
        Event::Refused { denial, .. } => outcome.refused = Some(denial.clone()),
        _ => {}
    }
}

/// Events whose checkpoint does not wait for the next second (DESIGN §2).
fn is_urgent(event: &Event) -> bool {
    matches!(
        event,
        Event::ClusterFounded { .. }
            | Event::ObjectDestroyed { .. }
            | Event::EpochOpened { .. }
            | Event::EpochRetired { .. }
            | Event::DestroyFinal { .. }
            | Event::SlotAdded { .. }
            | Event::SlotRemoved { .. }
            | Event::LogExported { .. }
            | Event::NodeStopped { .. }
            | Event::AdministratorPut { .. }
            | Event::PasswordChanged { .. }
            | Event::SshKeysSet { .. }
            | Event::PermissionsSet { .. }
            | Event::AdministratorRemoved { .. }
            | Event::IdentityRenewed { .. }
            // Of the whole cluster: approved algorithms or not, the name of the CA.
            | Event::SettingChanged { node: None, .. }
    )
}

impl Machine for LedgerMachine {
    fn applied_entry(&self) -> Option<u64> {
        self.found
    }

    fn apply(
        &self,
        entry: EntryId,
        commands: &[cluster::Command],
    ) -> Result<Vec<Vec<u8>>, MachineFault> {
        let entry = entry.index;
        let mut turn = self.turn.lock();
        if entry <= turn.entry {
            // It came with what another member sent: nobody here waits for its replies.
            return Ok(vec![Vec::new(); commands.len()]);
        }
        let applied = self.carry_out(entry, commands)?;
        let size = self.append(entry, applied.records)?;
        self.store
            .apply(entry, &applied.store)
            .map_err(|e| MachineFault(e.to_string()))?;
        turn.entry = entry;
        if let Some((number, state)) = applied.scrub {
            self.keep_scrub(number, state)?;
        }
        drop(turn);
        self.progress.send_modify(|progress| {
            progress.size = size;
            if applied.urgent {
                progress.urgent = size;
            }
        });
        Ok(applied.replies)
    }

    fn describe(&self) -> Result<Vec<u8>, MachineFault> {
        let turn = self.turn.lock();
        // Records that wait for their entry to be applied again are not described.
        let size = self.state.read().records();
        let root = self.ledger.lock().root_at(size);
        let root = root.map_err(|e| MachineFault(e.to_string()))?;
        Ok(codec::to_vec(&Described {
            entry: turn.entry,
            size,
            root: domain::Hash::from_bytes(root.0),
        }))
    }

    fn make_durable(&self) -> Result<(), MachineFault> {
        let fault = |e: &dyn std::fmt::Display| MachineFault(e.to_string());
        // Most of the log goes to the disk while entries are carried out.
        self.ledger.lock().sync().map_err(|e| fault(&e))?;
        // Then the rest, while none is: the store must never know of an entry that the log has
        // lost, because such an entry is not carried out again.
        let _turn = self.turn.lock();
        self.ledger.lock().sync().map_err(|e| fault(&e))?;
        self.store.flush().map_err(|e| fault(&e))?;
        Ok(())
    }

    fn fetch(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            let described: Described =
                codec::from_slice(&description).map_err(|e| MachineFault(e.to_string()))?;
            let source = self.source.get().cloned();
            let source = source
                .ok_or_else(|| MachineFault("no way to the other members is known yet".into()))?;
            catch_up::fetch(self, &*source, &described)
                .await
                .map_err(|e| MachineFault(e.to_string()))
        })
    }

    fn install(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            let described: Described =
                codec::from_slice(&description).map_err(|e| MachineFault(e.to_string()))?;
            self.take_up(&described)
        })
    }

    fn may_propose(&self, caller: u64, command: &cluster::Command) -> Result<(), String> {
        let said: Command = codec::from_slice(&command.bytes).map_err(|e| e.to_string())?;
        if said.facts.node == Some(NodeId(caller)) {
            return Ok(());
        }
        Err(format!(
            "node {caller} sent a command that names node {:?} as its origin",
            said.facts.node.map(|node| node.0)
        ))
    }
}

impl LedgerMachine {
    /// Takes records that another member sent and that were checked against its described root.
    /// They are in the log from then on, and in the state when their entries are applied or
    /// [`Machine::install`] is called. `from` is the number of the first: false when the log has
    /// grown meanwhile and they are not the next ones any more.
    pub(crate) fn take_records(&self, from: u64, records: &[Vec<u8>]) -> Result<bool, Fault> {
        let mut expected = self.expected.lock();
        let mut ledger = self.ledger.lock();
        if ledger.size() != from {
            return Ok(false);
        }
        ledger.append(records)?;
        expected.extend(records.iter().cloned());
        Ok(true)
    }

    /// Takes up what is described; log and store have it already.
    fn take_up(&self, described: &Described) -> Result<(), MachineFault> {
        let size = described.size;
        let root = self.ledger.lock().root_at(size);
        let root = root.map_err(|e| MachineFault(e.to_string()))?;
        if root.0 != *described.root.as_bytes() {
            return Err(MachineFault(format!(
                "the cluster log here has another root at {size} records than the others'"
            )));
        }
        self.adopt(described.entry)
    }

    /// Brings the state to the end of `entry`, from the log; the sealed store is there already.
    pub(crate) fn adopt(&self, entry: u64) -> Result<(), MachineFault> {
        let fault = |e: &dyn std::fmt::Display| MachineFault(e.to_string());
        let mut turn = self.turn.lock();
        if turn.entry >= entry {
            return Ok(());
        }
        let reader = {
            let mut ledger = self.ledger.lock();
            ledger.sync().map_err(|e| fault(&e))?;
            ledger.reader()
        };
        let mut expected = self.expected.lock();
        expected.clear();
        let mut state = self.state.write();
        for n in state.records()..reader.size() {
            let bytes = reader.read(n).map_err(|e| fault(&e))?;
            let record: Record = codec::from_slice(&bytes).map_err(|e| fault(&e))?;
            if record.entry <= entry {
                state.evolve(&record);
            } else {
                expected.push_back(bytes);
            }
        }
        self.store.advance(entry).map_err(|e| fault(&e))?;
        turn.entry = entry;
        let size = state.records();
        self.latest.store(state.latest_time().0, Ordering::Relaxed);
        self.tell_mode(&state);
        drop(state);
        self.progress
            .send_modify(|progress| (progress.size, progress.urgent) = (size, size));
        Ok(())
    }

    /// The last entry carried out.
    pub(crate) fn entry(&self) -> u64 {
        self.turn.lock().entry
    }
}

#[cfg(test)]
mod tests;
