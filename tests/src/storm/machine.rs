//! The machine of a simulated member: the one of the product, watched.
//!
//! `server::machine::LedgerMachine` runs on the simulated disk and does what it does; after each
//! entry, what it has come to goes into the chronicle. The state of another member is not fetched
//! by the product's own way (which needs a whole node around it) but by one message, and is put on
//! the disk by the ledger and the sealed store themselves.

use super::checkers::converged::Standing;
use super::checkers::{on_a_quorum, one_effect, one_root_per_size, prefixes};
use super::chronicle::now;
use super::disk::{RedbFile, SimDisk};
use super::member::Place;
use super::{Broken, site};
use cluster::peers::{Answerer, BoxFuture, Caller, Lane, Peers};
use cluster::{EntryId, Machine, MachineFault};
use domain::{Command, Uid, codec};
use ledger::{Checkpoint, Disk, Ledger, SegmentsConfig};
use serde::{Deserialize, Serialize};
use server::machine::LedgerMachine;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use vault::store::{SealedStore, StoreEntry};

/// The cluster log, small enough to go through several segments in one run.
const LOG_CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 32 << 10,
    record_bytes_max: ledger::segments::LEDGER_RECORD_BYTES_MAX,
};

/// Folder of the cluster log.
pub const LEDGER_DIR: &str = "/data/ledger";
const STORE_FILE: &str = "/data/sealed.redb";
/// What another member sent, until it is in its place: also after a restart in between.
const FETCHED_FILE: &str = "/data/fetched";

/// For one other member to send its state.
const FETCH_WITHIN: Duration = Duration::from_secs(3);

/// What a snapshot is called, and what it was when it was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Described {
    entry: u64,
    size: u64,
    root: [u8; 32],
}

/// Everything that one member needs from another.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    records: Vec<serde_bytes::ByteBuf>,
    /// Object, sealed bytes or none, entry of its end.
    store: Vec<([u8; 16], Option<Vec<u8>>, u64)>,
}

/// The machine of one life of a node.
pub struct Watched {
    place: Arc<Place>,
    life: u64,
    disk: SimDisk,
    /// `None` only while it is replaced.
    inner: Mutex<Option<Arc<LedgerMachine>>>,
    found: Option<u64>,
    peers: OnceLock<Peers>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched")
            .field("node", &self.place.node)
            .finish_non_exhaustive()
    }
}

fn fault(why: impl ToString) -> MachineFault {
    MachineFault(why.to_string())
}

fn open(disk: &SimDisk, floor: Option<&Checkpoint>) -> Result<LedgerMachine, String> {
    let file = RedbFile::open(disk, Path::new(STORE_FILE)).map_err(|e| e.to_string())?;
    let store = Arc::new(SealedStore::open_on(file).map_err(|e| e.to_string())?);
    let (disk, dir): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), Path::new(LEDGER_DIR));
    LedgerMachine::open_on(disk, dir, LOG_CONFIG, floor, store).map_err(|e| e.to_string())
}

impl Watched {
    /// Opens what is on the disk.
    ///
    /// # Errors
    /// What is damaged or does not work; the node stays down.
    pub fn open(place: Arc<Place>, life: u64, disk: SimDisk) -> Result<Arc<Self>, String> {
        disk.make_dir(Path::new(LEDGER_DIR))
            .map_err(|e| e.to_string())?;
        let floor = place.now().floor.clone();
        let inner = open(&disk, floor.as_ref())?;
        let watched = Self {
            found: inner.applied_entry(),
            place,
            life,
            disk,
            inner: Mutex::new(Some(Arc::new(inner))),
            peers: OnceLock::new(),
        };
        let inner = watched.inner().map_err(|e| e.to_string())?;
        let (size, root) = head(&inner);
        watched.judge_head(size, root);
        Ok(Arc::new(watched))
    }

    /// Names the way to the others; once, at start.
    pub fn set_peers(&self, peers: Peers) {
        drop(self.peers.set(peers));
    }

    /// The machine of the product.
    ///
    /// # Errors
    /// It could not be opened again over the state of another member.
    pub fn inner(&self) -> Result<Arc<LedgerMachine>, MachineFault> {
        let inner = self.inner.lock().unwrap().clone();
        inner.ok_or_else(|| fault("the machine could not be opened again"))
    }

    fn judge_head(&self, size: u64, root: [u8; 32]) {
        let chronicle = &self.place.chronicle;
        let judged = {
            let mut book = chronicle.book();
            one_root_per_size::reported(&mut book.roots, self.place.node, size, root)
        };
        chronicle.judge(judged);
    }

    /// Where it stands; `None` when it cannot be said.
    pub fn standing(&self, applied: Option<u64>, last: Option<u64>) -> Option<Standing> {
        let inner = self.inner().ok()?;
        let digest = *inner.state().digest().as_bytes();
        let store = inner.store().digest().ok()?;
        Some(Standing {
            applied,
            last,
            head: head(&inner),
            digest,
            store,
        })
    }

    /// Compares what an entry has left behind with what it left behind elsewhere.
    fn watch(&self, index: u64, commands: &[cluster::Command]) -> Result<(), Broken> {
        let Ok(inner) = self.inner() else {
            return Ok(());
        };
        let decoded = commands
            .iter()
            .filter_map(|c| codec::from_slice::<Command>(&c.bytes).ok());
        let operations: Vec<u64> = decoded.filter_map(|c| site::operation_of(&c)).collect();
        // Entries that are applied again find their records, and those after them, in the log.
        let (size, digest) = {
            let state = inner.state();
            (state.records(), *state.digest().as_bytes())
        };
        let Ok(root) = inner.ledger().root_at(size).map(|root| root.0) else {
            // The disk failed in this very moment: there is no report to be judged.
            return Ok(());
        };
        let node = self.place.node;
        let configurations = self.place.configurations();
        let leads = self.place.leads();
        let mut book = self.place.chronicle.book();
        book.figures.applied += 1;
        let entry = prefixes::Entry {
            operations: operations.clone(),
            size,
            root,
            digest,
        };
        let is_first = prefixes::applied(&mut book.entries, node, index, entry)?;
        if is_first {
            let line = format!(
                "n{node} applies {index} {operations:?} {size} {:02x?}",
                &root[..4]
            );
            book.note(now(), line);
        }
        one_effect::applied(&mut book.effects, index, &operations)?;
        one_root_per_size::reported(&mut book.roots, node, size, root)?;
        if is_first && leads {
            on_a_quorum::applied(&book.ends, node, index, &configurations)?;
        }
        Ok(())
    }

    /// What another member asks for: the records of the snapshot, and the sealed store as it is
    /// now. What is newer in it than the snapshot, the entries after that bring once more.
    fn send(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let described: Described = codec::from_slice(body).map_err(|e| e.to_string())?;
        let inner = self.inner().map_err(|e| e.to_string())?;
        let ledger = inner.ledger();
        let root = ledger.root_at(described.size).map_err(|e| e.to_string())?;
        if root.0 != described.root {
            return Err("another history".into());
        }
        let records = (0..described.size).map(|n| ledger.record(n).map(serde_bytes::ByteBuf::from));
        let records = records
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())?;
        let view = inner.store().view().map_err(|e| e.to_string())?;
        let mut store = Vec::new();
        for entry in view.entries().map_err(|e| e.to_string())? {
            store.push(match entry.map_err(|e| e.to_string())? {
                StoreEntry::Live { uid, sealed } => (*uid.as_bytes(), Some(sealed), 0),
                StoreEntry::Tombstone { uid, index } => (*uid.as_bytes(), None, index),
            });
        }
        Ok(codec::to_vec(&Sent { records, store }))
    }

    async fn fetch_from_others(&self, description: &[u8]) -> Result<Vec<u8>, MachineFault> {
        let peers = self
            .peers
            .get()
            .ok_or_else(|| fault("no way to the others is known yet"))?;
        let mut why = String::from("there is nobody to ask");
        for node in (1..=super::papers::NODES_MAX).filter(|node| *node != self.place.node) {
            let call = peers.call(node, Lane::Bulk, description.to_vec(), FETCH_WITHIN);
            match call.await {
                Ok(sent) => return Ok(sent),
                Err(missed) => why = missed.to_string(),
            }
        }
        Err(fault(why))
    }

    /// Keeps what was sent, durably.
    fn keep(&self, sent: &[u8]) -> std::io::Result<()> {
        let file = self.disk.create(Path::new(FETCHED_FILE))?;
        file.write_at(sent, 0)?;
        file.sync_data()?;
        self.disk.sync_dir(Path::new("/data"))
    }

    fn kept(&self) -> std::io::Result<Vec<u8>> {
        let file = self.disk.open(Path::new(FETCHED_FILE))?;
        let size = usize::try_from(file.size()?).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Whether what a snapshot describes is here already.
    fn has(&self, described: &Described) -> bool {
        let Ok(inner) = self.inner() else {
            return false;
        };
        let root = inner.ledger().root_at(described.size);
        inner.store().applied_index() >= described.entry
            && root.is_ok_and(|root| root.0 == described.root)
    }

    fn put_in_place(&self, described: &Described) -> Result<(), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let kept = self.kept().map_err(|e| text(&e))?;
        let sent: Sent = codec::from_slice(&kept).map_err(|e| text(&e))?;
        // The files are closed before they are written anew.
        drop(self.inner.lock().unwrap().take());
        let (disk, dir): (Arc<dyn Disk>, _) = (Arc::new(self.disk.clone()), Path::new(LEDGER_DIR));
        let (mut log, _) = Ledger::open(disk, dir, LOG_CONFIG, None).map_err(|e| text(&e))?;
        let here = usize::try_from(log.size()).map_err(|e| text(&e))?;
        let missing = sent.records.get(here..).unwrap_or_default();
        log.append(missing).map_err(|e| text(&e))?;
        log.sync().map_err(|e| text(&e))?;
        if log.root_at(described.size).map_err(|e| text(&e))?.0 != described.root {
            return Err("the records that were sent have another root than the snapshot".into());
        }
        drop(log);
        let file = RedbFile::open(&self.disk, Path::new(STORE_FILE)).map_err(|e| text(&e))?;
        let store = SealedStore::open_on(file).map_err(|e| text(&e))?;
        let entries = sent.store.into_iter().map(|(uid, sealed, index)| {
            let uid = Uid::from_bytes(uid);
            Ok(match sealed {
                Some(sealed) => StoreEntry::Live { uid, sealed },
                None => StoreEntry::Tombstone { uid, index },
            })
        });
        if store.applied_index() <= described.entry {
            store
                .install(described.entry, entries)
                .map_err(|e| text(&e))?;
        }
        drop(store);
        *self.inner.lock().unwrap() = Some(Arc::new(open(&self.disk, None)?));
        Ok(())
    }
}

fn head(machine: &LedgerMachine) -> (u64, [u8; 32]) {
    let ledger = machine.ledger();
    (ledger.size(), ledger.root().0)
}

impl Machine for Watched {
    fn applied_entry(&self) -> Option<u64> {
        self.found
    }

    fn apply(
        &self,
        entry: EntryId,
        commands: &[cluster::Command],
    ) -> Result<Vec<Vec<u8>>, MachineFault> {
        let replies = self.inner()?.apply(entry, commands)?;
        if self.place.is_current(self.life) {
            let judged = self.watch(entry.index, commands);
            self.place.chronicle.judge(judged);
        }
        Ok(replies)
    }

    fn describe(&self) -> Result<Vec<u8>, MachineFault> {
        let inner = self.inner()?;
        let size = inner.state().records();
        let root = inner.ledger().root_at(size).map_err(fault)?.0;
        let entry = inner.store().applied_index();
        Ok(codec::to_vec(&Described { entry, size, root }))
    }

    fn make_durable(&self) -> Result<(), MachineFault> {
        let inner = self.inner()?;
        inner.make_durable()?;
        // The head that the product would sign and keep beside the log.
        self.place.now().floor = Some(inner.ledger().checkpoint("strongroom/simulated/lineage-1"));
        Ok(())
    }

    fn fetch(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            let sent = self.fetch_from_others(&description).await?;
            self.keep(&sent).map_err(fault)
        })
    }

    fn install(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async move {
            let described: Described = codec::from_slice(&description).map_err(fault)?;
            if self.has(&described) {
                return Ok(());
            }
            self.put_in_place(&described).map_err(fault)?;
            let (size, root) = head(&*self.inner()?);
            self.judge_head(size, root);
            let node = self.place.node;
            let mut book = self.place.chronicle.book();
            book.figures.installed += 1;
            book.note(now(), format_args!("n{node} installs {size} records"));
            Ok(())
        })
    }

    fn may_propose(&self, caller: u64, command: &cluster::Command) -> Result<(), String> {
        self.inner()
            .map_err(|e| e.to_string())?
            .may_propose(caller, command)
    }
}

/// Answers who wants the state of this member.
#[derive(Debug)]
pub struct Sender(pub Arc<Watched>);

impl Answerer for Sender {
    fn answer(
        &self,
        _caller: Caller,
        _lane: Lane,
        body: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move { self.0.send(&body) })
    }
}
