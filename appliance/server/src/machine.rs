//! What follows the ordered commands: the state, the cluster log and the sealed store.
//!
//! `decide` runs here, at apply, on every node alike. The cluster log and the store are written
//! without waiting for the disk: the Raft log holds the entry durably, and after a crash the
//! entries since the last durable point are applied again. Their records must then come out byte
//! for byte as they stand in the log; anything else stops the node.

use cluster::{Machine, MachineFault};
use domain::{Command, Denial, Event, Record, State, Uid, codec};
use ledger::{Checkpoint, Ledger, SegmentsConfig, SegmentsReader, StdDisk};
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use vault::store::{SealedStore, StoreOp};

/// A command on its way through the Raft log, with the sealed bytes that the ledger never sees.
#[derive(Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// What is asked.
    pub command: Command,
    /// Sealed material of a new object.
    pub sealed: Option<serde_bytes::ByteBuf>,
}

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
    ledger: Mutex<Ledger>,
    store: Arc<SealedStore>,
    /// Records found in the log beyond the last durable point; they must come out again.
    expected: Mutex<VecDeque<Vec<u8>>>,
    found: Option<u64>,
    progress: watch::Sender<Progress>,
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
        let mut replay = Replay {
            state: State::default(),
            durable_entry: store.durable_index(),
            expected: VecDeque::new(),
            fault: None,
        };
        let (ledger, recovery) = Ledger::open_visiting(
            Arc::new(StdDisk),
            log_dir,
            SegmentsConfig::LEDGER,
            floor,
            &mut |n, bytes| replay.see(n, bytes),
        )?;
        if let Some(torn) = recovery.torn_tail {
            tracing::warn!("cluster log: an unfinished write at the end was dropped: {torn:?}");
        }
        if let Some(fault) = replay.fault {
            return Err(fault);
        }
        let size = ledger.size();
        Ok(Self {
            state: RwLock::new(replay.state),
            ledger: Mutex::new(ledger),
            store,
            expected: Mutex::new(replay.expected),
            found: (replay.durable_entry > 0).then_some(replay.durable_entry),
            progress: watch::Sender::new(Progress { size, urgent: 0 }),
        })
    }

    /// The state, for reading. Held only while a decision is made.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
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

    fn carry_out(&self, entry: u64, commands: &[Vec<u8>]) -> Result<Applied, MachineFault> {
        let mut applied = Applied::default();
        let mut state = self.state.write();
        for bytes in commands {
            // A command that cannot be read would be skipped by this version and perhaps not by
            // the next: that is a fault of the node, never an empty answer.
            let proposal: Proposal = codec::from_slice(bytes)
                .map_err(|e| MachineFault(format!("entry {entry}: {e}")))?;
            let Proposal { command, sealed } = proposal;
            let mut outcome = Outcome {
                created: None,
                refused: None,
            };
            for event in domain::decide(&state, &command) {
                applied.urgent |= is_urgent(&event);
                note(&event, &mut outcome);
                applied.store_op(&event, sealed.as_ref().map(|s| s.as_slice()));
                let record = Record::new(entry, &command, event);
                applied.records.push(codec::to_vec(&record));
                state.evolve(&record);
            }
            applied.replies.push(codec::to_vec(&outcome));
        }
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
}

impl Applied {
    fn store_op(&mut self, event: &Event, sealed: Option<&[u8]>) {
        match (event, sealed) {
            (Event::ObjectCreated { uid, .. }, Some(sealed)) => {
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

fn note(event: &Event, outcome: &mut Outcome) {
    match event {
        Event::ObjectCreated { uid, .. } => outcome.created = Some(*uid),
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
    )
}

impl Machine for LedgerMachine {
    fn applied_entry(&self) -> Option<u64> {
        self.found
    }

    fn apply(&self, entry: u64, commands: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, MachineFault> {
        let applied = self.carry_out(entry, commands)?;
        let size = self.append(entry, applied.records)?;
        self.store
            .apply(entry, &applied.store)
            .map_err(|e| MachineFault(e.to_string()))?;
        self.progress.send_modify(|progress| {
            progress.size = size;
            if applied.urgent {
                progress.urgent = size;
            }
        });
        Ok(applied.replies)
    }

    fn make_durable(&self) -> Result<Vec<u8>, MachineFault> {
        let fault = |e: &dyn std::fmt::Display| MachineFault(e.to_string());
        // The log first: the store must never know of an entry that the log has lost.
        let (size, root) = {
            let mut ledger = self.ledger.lock();
            ledger.sync().map_err(|e| fault(&e))?;
            (ledger.size(), ledger.root())
        };
        self.store.flush().map_err(|e| fault(&e))?;
        Ok(codec::to_vec(&(size, domain::Hash::from_bytes(root.0))))
    }

    fn install(&self, description: &[u8]) -> Result<(), MachineFault> {
        let described: Result<(u64, domain::Hash), _> = codec::from_slice(description);
        let (size, root) = described.map_err(|e| MachineFault(e.to_string()))?;
        let ledger = self.ledger.lock();
        if ledger.size() >= size
            && ledger.root_at(size).ok() == Some(ledger::Hash(*root.as_bytes()))
        {
            return Ok(());
        }
        Err(MachineFault(format!(
            "a snapshot of {size} records with root {root} was offered, and this node holds other \
             records; a member of a cluster of one cannot fetch them from anywhere"
        )))
    }
}
