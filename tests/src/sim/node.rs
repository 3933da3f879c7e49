//! One simulated node: a disk, what lives over it until the next crash, and what it does.
//!
//! Real are the cluster log, the access log, the segments of the ordered log, the sealed store and
//! the machine that applies (`server::machine::LedgerMachine`). Held by the simulation, and taken
//! to be as durable as the product makes them, are the ring of KEKs (the keys folder), the
//! snapshot pointer (a double slot) and the last signed head (the checkpoint file).

use super::clock::SimClock;
use super::disk::{RedbFile, SimDisk};
use super::keys::Ring;
use super::plant::{self, Plant};
use super::projection::Projection;
use super::raft_log::{Entry, Place, RaftLog};
use cluster::{EntryId, Machine};
use domain::{AccessRecord, Ask, Command, NodeId, Time, Uid, codec};
use ledger::{Checkpoint, Disk, Ledger, MemDisk, OpenError, SegmentsConfig};
use server::machine::{LedgerMachine, OpenFault, Outcome};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use vault::store::{SealedStore, StoreEntry};

/// The logs of a node, small enough to go through several segments in one run.
pub const LOG_CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 8 << 10,
    record_bytes_max: ledger::segments::LEDGER_RECORD_BYTES_MAX,
};

const RAFT_DIR: &str = "/data/raft";
const LEDGER_DIR: &str = "/data/ledger";
const ACCESS_DIR: &str = "/data/access";
const STORE_FILE: &str = "/data/sealed.redb";
/// A head signed while the cluster has no origin yet.
const UNFOUNDED: &str = "strongroom/simulated";

/// How far the disk of a node can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything that was synced is there.
    Sound,
    /// Something rotted or landed elsewhere, and nobody has noticed yet.
    Hurt,
    /// Wiped after damage was seen: holds nothing until another member has sent everything, and
    /// does not vote until then.
    Empty,
}

/// What runs between a start and the next crash.
#[derive(Debug)]
pub struct Life {
    /// State, cluster log and sealed store.
    pub machine: LedgerMachine,
    /// The ordered log.
    pub raft: RaftLog,
    /// The access log.
    pub access: Ledger,
    /// A search index.
    pub projection: Projection,
    /// The last entry carried out.
    pub applied: u64,
    /// The last entry known to be committed.
    pub commit: u64,
    /// Proposals of this node whose outcome somebody waits for: number to term.
    pub waiting: BTreeMap<u64, u64>,
}

/// A node could not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFault {
    /// The disk does not work.
    Disk(String),
    /// What is on the disk is damaged, or less than it was.
    Damaged(String),
}

/// An entry that was carried out.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// What became of its command; `None` for a blank entry.
    pub outcome: Option<Outcome>,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// What its disk holds.
    pub memory: MemDisk,
    /// The disk as this life, or the last one, sees it.
    pub disk: SimDisk,
    /// Its clock.
    pub clock: SimClock,
    /// The KEKs it holds.
    pub ring: Ring,
    /// The snapshot pointer.
    pub base: Place,
    /// The last signed head of its cluster log.
    pub floor: Option<Checkpoint>,
    /// Whether the disk can be trusted.
    pub health: Health,
    /// Whether its disk is full; stays so over a restart.
    pub is_full: bool,
    /// What runs; `None` while it is down.
    pub life: Option<Life>,
    /// How often it has begun to run.
    pub lives: u64,
    /// How often it was sent everything.
    pub installed: u64,
    /// How often its disk was wiped.
    pub wiped: u64,
    /// Highest entry it has ever carried out.
    pub applied_ever: u64,
    /// Records of the access log that stood there when key material left.
    pub pins: Vec<(u64, Vec<u8>)>,
    /// Graves that the planted bug has left open: object and sealed bytes.
    pub graves: Vec<(Uid, Vec<u8>)>,
}

fn open_fault(disk: &SimDisk, error: &OpenError) -> BootFault {
    match error {
        OpenError::Corrupt(_) if !disk.is_dead() => BootFault::Damaged(error.to_string()),
        _ => BootFault::Disk(error.to_string()),
    }
}

/// A fault of something that does not tell damage from a disk that does not work.
fn other_fault(disk: &SimDisk, error: &dyn std::fmt::Display) -> BootFault {
    if disk.was_hurt() {
        BootFault::Disk(error.to_string())
    } else {
        BootFault::Damaged(error.to_string())
    }
}

impl Node {
    /// A node with an empty disk, not yet started.
    #[must_use]
    pub fn new(id: NodeId, skew: i64) -> Self {
        let memory = MemDisk::new();
        Self {
            id,
            disk: SimDisk::new(memory.clone()),
            memory,
            clock: SimClock::new(skew),
            ring: Ring::new(),
            base: Place::default(),
            floor: None,
            health: Health::Sound,
            is_full: false,
            life: None,
            lives: 0,
            installed: 0,
            wiped: 0,
            applied_ever: 0,
            pins: Vec::new(),
            graves: Vec::new(),
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Starts: opens everything and checks that it belongs together.
    ///
    /// # Errors
    /// The node stays down.
    pub fn boot(&mut self, planted: Option<Plant>) -> Result<(), BootFault> {
        self.life = None;
        self.lives += 1;
        self.disk = SimDisk::new(self.memory.clone());
        self.disk.set_full(self.is_full);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut raft = RaftLog::open(Arc::clone(&disk), Path::new(RAFT_DIR), self.base)
            .map_err(|e| open_fault(&self.disk, &e))?;
        // A crash may have come between taking everything from another and forgetting the log.
        raft.begin_after(self.base)
            .map_err(|e| BootFault::Disk(e.to_string()))?;
        if planted == Some(Plant::AckBeforeSync) {
            raft.lie();
        }
        let mut floor = self.floor.as_ref();
        if planted == Some(Plant::CutTooFar) && self.applied_ever > 0 {
            plant::cut_last_record(&disk, Path::new(LEDGER_DIR), LOG_CONFIG);
            floor = None;
        }
        let store = self.open_store()?;
        let dir = Path::new(LEDGER_DIR);
        let machine = LedgerMachine::open_on(Arc::clone(&disk), dir, LOG_CONFIG, floor, store)
            .map_err(|e| match &e {
                OpenFault::Log(e) => open_fault(&self.disk, e),
                OpenFault::Record { .. } => BootFault::Damaged(e.to_string()),
            })?;
        let (access, _) = Ledger::open(disk, Path::new(ACCESS_DIR), LOG_CONFIG, None)
            .map_err(|e| open_fault(&self.disk, &e))?;
        // Blank entries leave nothing in the machine; the pointer knows of them.
        let applied = machine.applied_entry().unwrap_or(0).max(self.base.index);
        if applied + 1 < raft.first() {
            let first = raft.first();
            let what = format!("the machine ends at {applied}, the log begins at {first}");
            return Err(BootFault::Damaged(what));
        }
        self.life = Some(Life {
            machine,
            raft,
            access,
            projection: Projection::default(),
            applied,
            commit: applied,
            waiting: BTreeMap::new(),
        });
        Ok(())
    }

    fn open_store(&self) -> Result<Arc<SealedStore>, BootFault> {
        let file = RedbFile::open(&self.disk, Path::new(STORE_FILE))
            .map_err(|e| BootFault::Disk(e.to_string()))?;
        let store = SealedStore::open_on(file).map_err(|e| other_fault(&self.disk, &e))?;
        Ok(Arc::new(store))
    }

    /// Ends the life. With `choose`, the power is cut: of what was not synced, it decides what
    /// survives. Without, only the process ends.
    pub fn die(&mut self, planted: Option<Plant>, choose: Option<&mut dyn FnMut(usize) -> usize>) {
        if planted == Some(Plant::CloseBeforeSync) {
            self.life = None;
        }
        self.disk.cut();
        self.life = None;
        if let Some(choose) = choose {
            self.memory = self.memory.crash(choose);
        }
    }

    /// Forgets everything, after damage was seen: the disk is made anew.
    pub fn wipe(&mut self) {
        self.disk.cut();
        self.life = None;
        self.memory = MemDisk::new();
        self.ring.clear();
        self.base = Place::default();
        self.floor = None;
        self.health = Health::Empty;
        self.wiped += 1;
        self.pins.clear();
        self.graves.clear();
    }

    /// Carries out the next committed entry, if there is one.
    ///
    /// # Errors
    /// What the machine said; the node must then stop.
    pub fn apply_next(
        &mut self,
        world: Time,
        planted: Option<Plant>,
    ) -> Result<Option<Carried>, String> {
        let shown = self.clock.shown(world);
        let Some(life) = &mut self.life else {
            return Ok(None);
        };
        let index = life.applied + 1;
        if index > life.commit {
            return Ok(None);
        }
        let entry = life.raft.get(index).cloned();
        let entry = entry.ok_or_else(|| format!("entry {index} is committed and not here"))?;
        let mut outcome = None;
        if entry.id > 0 {
            let mut handed = entry.clone();
            bend(planted, self.id, index, shown, &mut handed);
            if planted == Some(Plant::LostTombstone) && index <= self.applied_ever {
                self.graves.extend(grave(life, &handed));
            }
            outcome = Some(carry_out(&life.machine, index, &handed)?);
        }
        life.applied = index;
        self.applied_ever = self.applied_ever.max(index);
        Ok(Some(Carried {
            index,
            entry,
            outcome,
        }))
    }

    /// Makes everything applied durable and forgets the entries that `keep` does not hold back.
    ///
    /// # Errors
    /// What failed; the node must then stop.
    pub fn snapshot(&mut self, keep: u64, everything: bool) -> Result<(), String> {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        life.machine.make_durable().map_err(|e| e.to_string())?;
        let origin = life
            .machine
            .state()
            .origin()
            .unwrap_or(UNFOUNDED)
            .to_owned();
        self.floor = Some(life.machine.ledger().checkpoint(&origin));
        let through = life.applied.saturating_sub(keep);
        if let Some(entry) = life.raft.get(through) {
            let place = Place {
                term: entry.term,
                index: through,
            };
            // The pointer is durable before anything is forgotten.
            self.base = self.base.max(place);
            life.raft
                .purge(place, everything)
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Writes a record into the access log; gives its number. `sync` is left out by a planted bug
    /// only.
    ///
    /// # Errors
    /// What failed: nothing may be released then.
    pub fn record(&mut self, record: &AccessRecord, sync: bool) -> Result<u64, String> {
        let life = self.life.as_mut().ok_or("the node is down")?;
        let number = life.access.size();
        let bytes = codec::to_vec(record);
        let written = life.access.append(&[&bytes]);
        written.map_err(|e| e.to_string())?;
        if sync {
            life.access.sync().map_err(|e| e.to_string())?;
        }
        self.pins.push((number, bytes));
        Ok(number)
    }

    /// Replaces what this node holds by what another member sent: records behind those that are
    /// here, and the whole store. Everything is durable when it returns; a crash in between leaves
    /// a node that is sent everything again.
    ///
    /// # Errors
    /// What failed; the node must then stop.
    pub fn install(&mut self, sent: &Sent) -> Result<(), BootFault> {
        if let Some(life) = &self.life {
            // Closing redb makes durable what it holds, and the log must not be behind. A node
            // whose log cannot be synced ends like a killed one instead: the life stays, for
            // [`Node::die`] to end it without a close.
            let durable = life.machine.make_durable();
            durable.map_err(|e| BootFault::Disk(e.to_string()))?;
        }
        self.life = None;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let dir = Path::new(LEDGER_DIR);
        let (mut log, _) = Ledger::open(Arc::clone(&disk), dir, LOG_CONFIG, None)
            .map_err(|e| open_fault(&self.disk, &e))?;
        let here = usize::try_from(log.size()).expect("a log of one run");
        let missing = sent.records.get(here..).unwrap_or_default();
        let failed = |e: &dyn std::fmt::Display| other_fault(&self.disk, e);
        log.append(missing).map_err(|e| failed(&e))?;
        log.sync().map_err(|e| failed(&e))?;
        // The log may be longer than what was sent: its entries are applied again later.
        if log.root_at(sent.head.size).ok() != Some(sent.head.root) {
            let what = format!("{} records with another root", sent.head.size);
            return Err(BootFault::Damaged(what));
        }
        let store = self.open_store()?;
        let entries = sent.entries.iter().cloned().map(Ok);
        store
            .install(sent.place.index, entries)
            .map_err(|e| failed(&e))?;
        self.floor = Some(sent.head.clone());
        self.base = self.base.max(sent.place);
        let dir = Path::new(RAFT_DIR);
        let mut raft =
            RaftLog::open(disk, dir, self.base).map_err(|e| open_fault(&self.disk, &e))?;
        raft.begin_after(sent.place).map_err(|e| failed(&e))?;
        self.ring.extend(&sent.ring);
        self.applied_ever = self.applied_ever.max(sent.place.index);
        self.installed += 1;
        Ok(())
    }

    /// What this node sends to a member that needs everything.
    ///
    /// # Errors
    /// What failed.
    pub fn send(&self) -> Result<Sent, String> {
        let life = self.life.as_ref().ok_or("the node is down")?;
        let (head, records) = {
            let log = life.machine.ledger();
            let records = (0..log.size()).map(|n| log.record(n));
            let records: Result<Vec<_>, _> = records.collect();
            (
                log.checkpoint(UNFOUNDED),
                records.map_err(|e| e.to_string())?,
            )
        };
        let view = life.machine.store().view().map_err(|e| e.to_string())?;
        let entries = view.entries().map_err(|e| e.to_string())?;
        let entries: Result<Vec<_>, _> = entries.collect();
        let term = life
            .raft
            .get(life.applied)
            .map_or(self.base.term, |e| e.term);
        Ok(Sent {
            place: Place {
                term,
                index: life.applied,
            },
            head,
            records,
            entries: entries.map_err(|e| e.to_string())?,
            ring: self.ring.clone(),
        })
    }

    /// Opens the graves that the planted bug has left, over a store that is closed.
    pub fn open_graves(&mut self) -> Result<(), String> {
        let graves = std::mem::take(&mut self.graves);
        plant::dig_up(&self.disk, Path::new(STORE_FILE), &graves)
    }
}

/// Everything that one member needs from another.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The entry it ends with.
    pub place: Place,
    /// Size and root of the cluster log.
    pub head: Checkpoint,
    /// All its records.
    pub records: Vec<Vec<u8>>,
    /// All of the sealed store.
    pub entries: Vec<StoreEntry>,
    /// The KEKs.
    pub ring: Ring,
}

/// Hands one entry to the machine.
fn carry_out(machine: &LedgerMachine, index: u64, entry: &Entry) -> Result<Outcome, String> {
    let id = EntryId {
        index,
        term: entry.term,
    };
    let command = cluster::Command {
        bytes: entry.command.clone(),
        payload: entry.payload.clone().map(serde_bytes::ByteBuf::into_vec),
    };
    let replies = machine.apply(id, &[command]).map_err(|e| e.to_string())?;
    let reply = replies.first().ok_or("no reply to a command")?;
    codec::from_slice(reply).map_err(|e| e.to_string())
}

/// What planted bugs make of an entry before the machine gets it.
fn bend(planted: Option<Plant>, node: NodeId, index: u64, shown: Time, entry: &mut Entry) {
    match planted {
        Some(Plant::LocalClock) => {
            if let Ok(mut command) = codec::from_slice::<Command>(&entry.command) {
                command.time = shown;
                entry.command = codec::to_vec(&command);
            }
        }
        Some(Plant::SkippedStoreEntry) if index % 4 == node.0 % 4 => entry.payload = None,
        _ => {}
    }
}

/// The sealed bytes of what this entry is about to destroy.
fn grave(life: &Life, entry: &Entry) -> Option<(Uid, Vec<u8>)> {
    let command: Command = codec::from_slice(&entry.command).ok()?;
    let Ask::Destroy { uid } = command.ask else {
        return None;
    };
    let sealed = life.machine.store().get(&uid).ok()??;
    Some((uid, sealed))
}
