//! The sealed store: which sealed bytes exist, which objects are gone for ever.
//!
//! One redb file with four tables: `sealed` (uid → sealed bytes), `tombstones` (uid → index of the
//! log entry that destroyed it), `epochs` (epoch → number of entries sealed in it) and `progress`
//! (applied index, cursor of the re-sealing). The store follows the Raft log: a batch of operations
//! and the index of its entry are one transaction.
//!
//! **Durability.** [`SealedStore::apply`] commits without waiting for the disk; the log is what
//! makes an acknowledged write durable. [`SealedStore::flush`] commits durably. After a power cut
//! the store is as it was at some flush, says so by [`SealedStore::durable_index`], and the log
//! entries behind that index are applied again. The log must not be purged beyond it.
//!
//! A tombstone is monotone: no operation, not even the installation of a snapshot, brings a
//! destroyed object back.

use crate::provider;
use crate::seal::sealed_epoch;
use domain::{Epoch, Uid};
use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, TableDefinition, WriteTransaction,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

type UidBytes = [u8; 16];
const SEALED: TableDefinition<'_, &UidBytes, &[u8]> = TableDefinition::new("sealed");
const TOMBSTONES: TableDefinition<'_, &UidBytes, u64> = TableDefinition::new("tombstones");
const EPOCHS: TableDefinition<'_, u32, u64> = TableDefinition::new("epochs");
const PROGRESS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("progress");
const APPLIED: &str = "applied";
const CURSOR: &str = "reseal-cursor";

/// Memory for pages of the database, in bytes: the hot part of 10 million objects; the rest is in
/// the page cache of the kernel.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// The database or the disk below it.
    #[error("the sealed store failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// Other bytes are there already.
    #[error("object {0} is in the sealed store already, with other bytes")]
    Occupied(Uid),
    /// Not sealed bytes.
    #[error("object {0} has sealed bytes that carry no epoch")]
    Malformed(Uid),
    /// The store's own progress entry has the wrong length.
    #[error("the sealed store's progress entry is damaged; restore the node from its cluster")]
    Progress,
    /// What was to be installed ended too soon; nothing was changed.
    #[error("the transfer of the sealed store was cut short; it is tried again")]
    CutShort,
    /// A snapshot older than the store.
    #[error("the snapshot ends at {snapshot}, before the store's {applied}")]
    SnapshotBehind {
        /// Index of the snapshot.
        snapshot: u64,
        /// Index of the store.
        applied: u64,
    },
}

fn failed(fault: impl Into<redb::Error>) -> StoreFault {
    StoreFault::Database(Box::new(fault.into()))
}

/// Why a batch was not re-sealed.
#[derive(Debug, thiserror::Error)]
pub enum ResealFault<E: std::error::Error + 'static> {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The vault, at this object.
    #[error("object {uid} cannot be re-sealed: {source}")]
    Object {
        /// The object.
        uid: Uid,
        /// Why.
        source: E,
    },
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Keeps the sealed bytes of a new object. When entries are applied again over a store that
    /// came from another member, the object may be destroyed or sealed anew already: then what is
    /// there stays.
    Put {
        /// The object.
        uid: Uid,
        /// What the vault gave.
        sealed: Vec<u8>,
    },
    /// Forgets the sealed bytes and remembers for ever that the object is gone.
    Delete {
        /// The object.
        uid: Uid,
    },
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The batch is in the store.
    Now,
    /// The store was past this index already; nothing changed.
    Before,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResealProgress {
    /// Objects moved to the target epoch by this batch.
    pub resealed: u64,
    /// Objects still in an older epoch.
    pub remaining: u64,
}

/// One entry of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEntry {
    /// A live object.
    Live {
        /// The object.
        uid: Uid,
        /// Its sealed bytes.
        sealed: Vec<u8>,
    },
    /// A destroyed object.
    Tombstone {
        /// The object.
        uid: Uid,
        /// Index of the log entry that destroyed it.
        index: u64,
    },
}

/// A consistent view of the store at one index; it stays as it is while the store goes on.
pub struct StoreView {
    index: u64,
    sealed: ReadOnlyTable<&'static UidBytes, &'static [u8]>,
    tombstones: ReadOnlyTable<&'static UidBytes, u64>,
}

impl std::fmt::Debug for StoreView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreView")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The sealed store of a node.
pub struct SealedStore {
    database: Database,
    /// Readers share one view of the newest commit, so that a `get` begins no transaction.
    view: RwLock<StoreView>,
    /// One writer at a time; redb would queue them too, but the indexes must change together.
    writer: Mutex<()>,
    applied: AtomicU64,
    durable: AtomicU64,
}

impl std::fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedStore")
            .field("applied", &self.applied_index())
            .field("durable", &self.durable_index())
            .finish_non_exhaustive()
    }
}

impl SealedStore {
    /// Opens the store, or makes an empty one. What a crash left unfinished is undone by redb.
    pub fn open(path: &Path) -> Result<Self, StoreFault> {
        Self::of(builder().create(path).map_err(failed)?)
    }

    /// As [`SealedStore::open`], on other storage than a file: how a simulator runs it.
    pub fn open_on(storage: impl redb::StorageBackend) -> Result<Self, StoreFault> {
        Self::of(builder().create_with_backend(storage).map_err(failed)?)
    }

    fn of(database: Database) -> Result<Self, StoreFault> {
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(SEALED).map_err(failed)?;
        transaction.open_table(TOMBSTONES).map_err(failed)?;
        transaction.open_table(EPOCHS).map_err(failed)?;
        let applied = read_applied(&transaction)?;
        transaction.commit().map_err(failed)?;
        let view = RwLock::new(StoreView::of(&database, applied)?);
        let (applied, durable) = (AtomicU64::new(applied), AtomicU64::new(applied));
        Ok(Self {
            database,
            view,
            writer: Mutex::new(()),
            applied,
            durable,
        })
    }

    /// Index of the newest batch in the store.
    pub fn applied_index(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Index of the newest batch that a power cut cannot take back.
    pub fn durable_index(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Entries behind an identifier, at most `limit` and about `bytes_max` of sealed bytes, at
    /// least one: live objects and tombstones in one order, for a member that copies the store.
    pub fn page(
        &self,
        after: Option<&Uid>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoreEntry>, StoreFault> {
        let view = self.view.read();
        let from = after.map_or(Bound::Unbounded, |uid| Bound::Excluded(uid.as_bytes()));
        let range = (from, Bound::Unbounded);
        let (mut entries, mut bytes, mut last) = (BTreeMap::new(), 0, None);
        let live = view.sealed.range::<&UidBytes>(range).map_err(failed)?;
        for entry in live.take(limit) {
            let (uid, sealed) = entry.map_err(failed)?;
            let (uid, sealed) = (Uid::from_bytes(*uid.value()), sealed.value().to_vec());
            bytes += sealed.len();
            entries.insert(uid, StoreEntry::Live { uid, sealed });
            if bytes >= bytes_max {
                last = Some(uid);
                break;
            }
        }
        let gone = view.tombstones.range::<&UidBytes>(range).map_err(failed)?;
        for entry in gone.take(limit) {
            let (uid, index) = entry.map_err(failed)?;
            let (uid, index) = (Uid::from_bytes(*uid.value()), index.value());
            // What lies behind the last live entry belongs to the next page.
            if last.is_some_and(|last| uid > last) {
                break;
            }
            entries.insert(uid, StoreEntry::Tombstone { uid, index });
        }
        Ok(entries.into_values().take(limit).collect())
    }

    /// Applies the batch of the log entry `index`, all of it or nothing; does not wait for the
    /// disk.
    pub fn apply(&self, index: u64, ops: &[StoreOp]) -> Result<Applied, StoreFault> {
        let _writer = self.writer.lock();
        if index <= self.applied_index() {
            return Ok(Applied::Before);
        }
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction
            .set_durability(Durability::None)
            .map_err(failed)?;
        {
            let mut tables = Tables::open(&transaction)?;
            for op in ops {
                match op {
                    StoreOp::Put { uid, sealed } => tables.put(uid, sealed)?,
                    StoreOp::Delete { uid } => tables.delete(uid, index)?,
                }
            }
        }
        write_progress(&transaction, APPLIED, &index.to_be_bytes())?;
        self.commit(transaction, index)?;
        Ok(Applied::Now)
    }

    /// Makes everything applied so far durable; gives the index that now is.
    pub fn flush(&self) -> Result<u64, StoreFault> {
        let _writer = self.writer.lock();
        let index = self.applied_index();
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(failed)?;
        // Saves the allocator state, so that opening after a crash does not walk every page.
        transaction.set_quick_repair(true);
        write_progress(&transaction, APPLIED, &index.to_be_bytes())?;
        self.commit(transaction, index)?;
        self.durable.store(index, Ordering::Release);
        Ok(index)
    }

    /// The sealed bytes of an object; `None` when it has none here or was destroyed.
    pub fn get(&self, uid: &Uid) -> Result<Option<Vec<u8>>, StoreFault> {
        let view = self.view.read();
        let found = view.sealed.get(uid.as_bytes()).map_err(failed)?;
        Ok(found.map(|sealed| sealed.value().to_vec()))
    }

    /// Whether an object was destroyed.
    pub fn is_destroyed(&self, uid: &Uid) -> Result<bool, StoreFault> {
        let view = self.view.read();
        Ok(view
            .tombstones
            .get(uid.as_bytes())
            .map_err(failed)?
            .is_some())
    }

    /// Number of objects with sealed bytes.
    pub fn len(&self) -> Result<u64, StoreFault> {
        self.view.read().sealed.len().map_err(failed)
    }

    /// Whether no object has sealed bytes.
    pub fn is_empty(&self) -> Result<bool, StoreFault> {
        Ok(self.len()? == 0)
    }

    /// How many objects are sealed in each epoch; an epoch is retired only when it is not listed.
    pub fn epoch_counts(&self) -> Result<BTreeMap<Epoch, u64>, StoreFault> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(EPOCHS).map_err(failed)?;
        let mut counts = BTreeMap::new();
        for entry in table.iter().map_err(failed)? {
            let (epoch, count) = entry.map_err(failed)?;
            counts.insert(Epoch(epoch.value()), count.value());
        }
        Ok(counts)
    }

    /// SHA-256 over all entries in key order: equal on nodes with equal stores.
    ///
    /// Each live entry counts as `0x01 ‖ uid ‖ length (u32) ‖ sealed`, then each tombstone as `0x00
    /// ‖ uid`. Between the nodes of a cluster it is comparable while no rotation is under way.
    pub fn digest(&self) -> Result<[u8; 32], StoreFault> {
        self.view()?.digest()
    }

    /// A view of the newest commit, for snapshots.
    pub fn view(&self) -> Result<StoreView, StoreFault> {
        let _writer = self.writer.lock();
        StoreView::of(&self.database, self.applied_index())
    }

    /// Looks at the next `batch` objects and moves those of an epoch before `target` with `reseal`.
    /// Call again until nothing remains; the place reached is kept with the objects, so a restart
    /// goes on from there. Not durable before the next [`SealedStore::flush`].
    pub fn reseal_batch<E: std::error::Error + 'static>(
        &self,
        target: Epoch,
        batch: usize,
        mut reseal: impl FnMut(&Uid, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<ResealProgress, ResealFault<E>> {
        let _writer = self.writer.lock();
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction
            .set_durability(Durability::None)
            .map_err(failed)?;
        // At least one, so that repeating the call always ends.
        let batch = batch.max(1);
        let cursor = read_cursor(&transaction, target)?;
        let mut resealed = 0;
        let remaining;
        let next;
        {
            let mut tables = Tables::open(&transaction)?;
            let seen = tables.page(cursor, batch)?;
            next = seen
                .last()
                .map(|(uid, _)| *uid)
                .filter(|_| seen.len() == batch);
            for (uid, sealed) in seen {
                if sealed_epoch(&sealed).is_some_and(|epoch| epoch < target) {
                    let fresh = reseal(&uid, &sealed)
                        .map_err(|source| ResealFault::Object { uid, source })?;
                    tables.exchange(&uid, &sealed, &fresh)?;
                    resealed += 1;
                }
            }
            remaining = tables.older_than(target)?;
        }
        let cursor = next.map(|uid| [&target.0.to_be_bytes()[..], uid.as_bytes()].concat());
        write_progress(&transaction, CURSOR, &cursor.unwrap_or_default())?;
        self.commit(transaction, self.applied_index())?;
        Ok(ResealProgress {
            resealed,
            remaining,
        })
    }

    /// Puts entries of another member's store over those here: its bytes count, and what was
    /// destroyed on either side stays destroyed. The index stays. Not durable before the next
    /// [`SealedStore::flush`].
    pub fn merge(&self, entries: &[StoreEntry]) -> Result<(), StoreFault> {
        let _writer = self.writer.lock();
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction
            .set_durability(Durability::None)
            .map_err(failed)?;
        {
            let mut tables = Tables::open(&transaction)?;
            for entry in entries {
                match entry {
                    StoreEntry::Live { uid, sealed } => tables.replace(uid, sealed)?,
                    StoreEntry::Tombstone { uid, index } => tables.delete(uid, *index)?,
                }
            }
        }
        self.commit(transaction, self.applied_index())
    }

    /// Says, durably, that everything up to the log entry `index` is in the store.
    pub fn advance(&self, index: u64) -> Result<(), StoreFault> {
        let _writer = self.writer.lock();
        if index <= self.applied_index() {
            return Ok(());
        }
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_quick_repair(true);
        write_progress(&transaction, APPLIED, &index.to_be_bytes())?;
        self.commit(transaction, index)?;
        self.durable.store(index, Ordering::Release);
        Ok(())
    }

    /// Replaces the content by a snapshot that ends at `index`, durably. Tombstones of both sides
    /// stay: what was destroyed here is not brought back by a snapshot that still holds it.
    pub fn install<I>(&self, index: u64, entries: I) -> Result<(), StoreFault>
    where
        I: IntoIterator<Item = Result<StoreEntry, StoreFault>>,
    {
        let _writer = self.writer.lock();
        let applied = self.applied_index();
        if index < applied {
            return Err(StoreFault::SnapshotBehind {
                snapshot: index,
                applied,
            });
        }
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_quick_repair(true);
        transaction.delete_table(SEALED).map_err(failed)?;
        transaction.delete_table(EPOCHS).map_err(failed)?;
        {
            let mut tables = Tables::open(&transaction)?;
            for entry in entries {
                match entry? {
                    StoreEntry::Live { uid, sealed } if !tables.is_destroyed(&uid)? => {
                        tables.put(&uid, &sealed)?;
                    }
                    StoreEntry::Live { .. } => {}
                    StoreEntry::Tombstone { uid, index } => tables.delete(&uid, index)?,
                }
            }
        }
        write_progress(&transaction, CURSOR, &[])?;
        write_progress(&transaction, APPLIED, &index.to_be_bytes())?;
        self.commit(transaction, index)?;
        self.durable.store(index, Ordering::Release);
        Ok(())
    }

    /// Reads the whole file and checks what redb keeps of checksums; true when nothing had to be
    /// put right. For a store that nobody has open, after an end that was not orderly: a damaged
    /// page is found here instead of by the read that trips over it.
    ///
    /// Some damage ends redb by a panic. It is an error here where panics unwind; where they abort,
    /// the caller must count how often a look at a file has ended the program.
    ///
    /// # Errors
    /// The file is damaged, and what was durable in it is not all there.
    pub fn verify(path: &Path) -> Result<bool, StoreFault> {
        if !path.exists() {
            return Ok(true);
        }
        let looked = std::panic::catch_unwind(|| {
            let mut database = Database::builder().open(path).map_err(failed)?;
            database.check_integrity().map_err(failed)
        });
        looked.unwrap_or_else(|_| {
            let text = "reading it ended in a panic".to_owned();
            Err(failed(redb::Error::Corrupted(text)))
        })
    }

    /// Whether a fault says that the file itself is damaged, so that only a copy of another member
    /// helps; not so when the disk fails.
    pub fn is_damaged(fault: &StoreFault) -> bool {
        match fault {
            StoreFault::Database(fault) => match &**fault {
                redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TypeDefinitionChanged { .. } => true,
                // A head that is none, or a file that ends too soon.
                redb::Error::Io(e) => matches!(
                    e.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ),
                _ => false,
            },
            StoreFault::Progress => true,
            _ => false,
        }
    }

    /// Puts right what a scrub found damaged: sealed bytes that another member gave and that were
    /// opened against their commitment, or `None` for what a destroyed object has left here. An
    /// object that was destroyed meanwhile stays so. Gives how many entries changed; durable with
    /// the next [`SealedStore::flush`].
    pub fn repair(&self, entries: &[(Uid, Option<Vec<u8>>)]) -> Result<u64, StoreFault> {
        let _writer = self.writer.lock();
        let index = self.applied_index();
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction
            .set_durability(Durability::None)
            .map_err(failed)?;
        let mut changed = 0;
        {
            let mut tables = Tables::open(&transaction)?;
            for (uid, sealed) in entries {
                match sealed {
                    Some(sealed) if !tables.is_destroyed(uid)? => {
                        sealed_epoch(sealed).ok_or(StoreFault::Malformed(*uid))?;
                        tables
                            .sealed
                            .insert(uid.as_bytes(), sealed.as_slice())
                            .map_err(failed)?;
                        changed += 1;
                    }
                    Some(_) => {}
                    None => {
                        tables.delete(uid, index)?;
                        changed += 1;
                    }
                }
            }
            // What stood there may have counted for an epoch that the damaged bytes do not name.
            tables.count_again()?;
        }
        self.commit(transaction, index)?;
        Ok(changed)
    }

    /// Commits and lets readers see it.
    fn commit(&self, transaction: WriteTransaction, index: u64) -> Result<(), StoreFault> {
        transaction.commit().map_err(failed)?;
        self.applied.store(index, Ordering::Release);
        *self.view.write() = StoreView::of(&self.database, index)?;
        Ok(())
    }
}

impl StoreView {
    fn of(database: &Database, index: u64) -> Result<Self, StoreFault> {
        let transaction = database.begin_read().map_err(failed)?;
        let sealed = transaction.open_table(SEALED).map_err(failed)?;
        let tombstones = transaction.open_table(TOMBSTONES).map_err(failed)?;
        Ok(Self {
            index,
            sealed,
            tombstones,
        })
    }

    /// Index of the newest batch in this view.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Every entry: live objects in the order of their identifiers, then tombstones.
    pub fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<StoreEntry, StoreFault>> + use<>, StoreFault> {
        let live = self
            .sealed
            .range::<&UidBytes>(..)
            .map_err(failed)?
            .map(|entry| {
                let (uid, sealed) = entry.map_err(failed)?;
                let uid = Uid::from_bytes(*uid.value());
                Ok(StoreEntry::Live {
                    uid,
                    sealed: sealed.value().to_vec(),
                })
            });
        let tombstones = self
            .tombstones
            .range::<&UidBytes>(..)
            .map_err(failed)?
            .map(|entry| {
                let (uid, index) = entry.map_err(failed)?;
                Ok(StoreEntry::Tombstone {
                    uid: Uid::from_bytes(*uid.value()),
                    index: index.value(),
                })
            });
        Ok(live.chain(tombstones))
    }

    /// See [`SealedStore::digest`].
    pub fn digest(&self) -> Result<[u8; 32], StoreFault> {
        let mut hash = provider::Sha256::new();
        for entry in self.entries()? {
            match entry? {
                StoreEntry::Live { uid, sealed } => {
                    let len = u32::try_from(sealed.len())
                        .unwrap_or(u32::MAX)
                        .to_be_bytes();
                    hash.update(&[&[1], uid.as_bytes(), &len, &sealed]);
                }
                StoreEntry::Tombstone { uid, .. } => hash.update(&[&[0], uid.as_bytes()]),
            }
        }
        Ok(hash.finish())
    }
}

/// The tables of a write transaction and the rules that tie them together.
struct Tables<'t> {
    sealed: Table<'t, &'static UidBytes, &'static [u8]>,
    tombstones: Table<'t, &'static UidBytes, u64>,
    epochs: Table<'t, u32, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreFault> {
        Ok(Self {
            sealed: transaction.open_table(SEALED).map_err(failed)?,
            tombstones: transaction.open_table(TOMBSTONES).map_err(failed)?,
            epochs: transaction.open_table(EPOCHS).map_err(failed)?,
        })
    }

    fn is_destroyed(&self, uid: &Uid) -> Result<bool, StoreFault> {
        Ok(self
            .tombstones
            .get(uid.as_bytes())
            .map_err(failed)?
            .is_some())
    }

    fn put(&mut self, uid: &Uid, sealed: &[u8]) -> Result<(), StoreFault> {
        let epoch = sealed_epoch(sealed).ok_or(StoreFault::Malformed(*uid))?;
        if self.is_destroyed(uid)? {
            return Ok(());
        }
        let stands = self.sealed.get(uid.as_bytes()).map_err(failed)?;
        let stands = stands.map(|old| (old.value() == sealed, sealed_epoch(old.value())));
        match stands {
            Some((true, _)) => Ok(()),
            Some((false, newer)) if newer > Some(epoch) => Ok(()),
            Some(_) => Err(StoreFault::Occupied(*uid)),
            None => {
                self.sealed.insert(uid.as_bytes(), sealed).map_err(failed)?;
                self.count(epoch, 1)
            }
        }
    }

    fn delete(&mut self, uid: &Uid, index: u64) -> Result<(), StoreFault> {
        let old = self.sealed.remove(uid.as_bytes()).map_err(failed)?;
        let epoch = old.as_ref().and_then(|old| sealed_epoch(old.value()));
        drop(old);
        if let Some(epoch) = epoch {
            self.count(epoch, -1)?;
        }
        if !self.is_destroyed(uid)? {
            self.tombstones
                .insert(uid.as_bytes(), index)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Puts the bytes of another member in the place of those here, if there are any.
    fn replace(&mut self, uid: &Uid, sealed: &[u8]) -> Result<(), StoreFault> {
        let old = self.sealed.get(uid.as_bytes()).map_err(failed)?;
        let old = old.map(|old| old.value().to_vec());
        match old {
            Some(old) if old != sealed => self.exchange(uid, &old, sealed),
            Some(_) => Ok(()),
            None => self.put(uid, sealed),
        }
    }

    /// Puts re-sealed bytes in the place of the old ones.
    fn exchange(&mut self, uid: &Uid, old: &[u8], fresh: &[u8]) -> Result<(), StoreFault> {
        let malformed = || StoreFault::Malformed(*uid);
        let from = sealed_epoch(old).ok_or_else(malformed)?;
        let to = sealed_epoch(fresh).ok_or_else(malformed)?;
        self.sealed.insert(uid.as_bytes(), fresh).map_err(failed)?;
        self.count(from, -1)?;
        self.count(to, 1)
    }

    fn count(&mut self, epoch: Epoch, change: i64) -> Result<(), StoreFault> {
        let old = self
            .epochs
            .get(epoch.0)
            .map_err(failed)?
            .map_or(0, |count| count.value());
        match old.saturating_add_signed(change) {
            0 => drop(self.epochs.remove(epoch.0).map_err(failed)?),
            count => drop(self.epochs.insert(epoch.0, count).map_err(failed)?),
        }
        Ok(())
    }

    /// Counts the entries of each epoch from the entries themselves.
    fn count_again(&mut self) -> Result<(), StoreFault> {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for entry in self.sealed.iter().map_err(failed)? {
            let (_, sealed) = entry.map_err(failed)?;
            if let Some(epoch) = sealed_epoch(sealed.value()) {
                *counts.entry(epoch.0).or_default() += 1;
            }
        }
        self.epochs.retain(|_, _| false).map_err(failed)?;
        for (epoch, count) in counts {
            self.epochs.insert(epoch, count).map_err(failed)?;
        }
        Ok(())
    }

    fn older_than(&self, target: Epoch) -> Result<u64, StoreFault> {
        let mut older = 0;
        for entry in self.epochs.range(..target.0).map_err(failed)? {
            older += entry.map_err(failed)?.1.value();
        }
        Ok(older)
    }

    /// At most `limit` entries behind `cursor`.
    fn page(&self, cursor: Option<Uid>, limit: usize) -> Result<Vec<(Uid, Vec<u8>)>, StoreFault> {
        let from = cursor
            .as_ref()
            .map_or(Bound::Unbounded, |uid| Bound::Excluded(uid.as_bytes()));
        let range = self
            .sealed
            .range::<&UidBytes>((from, Bound::Unbounded))
            .map_err(failed)?;
        range
            .take(limit)
            .map(|entry| {
                let (uid, sealed) = entry.map_err(failed)?;
                Ok((Uid::from_bytes(*uid.value()), sealed.value().to_vec()))
            })
            .collect()
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn read_applied(transaction: &WriteTransaction) -> Result<u64, StoreFault> {
    let table = transaction.open_table(PROGRESS).map_err(failed)?;
    let Some(entry) = table.get(APPLIED).map_err(failed)? else {
        return Ok(0);
    };
    let bytes = entry.value().try_into().map_err(|_| StoreFault::Progress)?;
    Ok(u64::from_be_bytes(bytes))
}

/// Where the re-sealing to `target` goes on; a cursor of another target starts from the beginning.
fn read_cursor(transaction: &WriteTransaction, target: Epoch) -> Result<Option<Uid>, StoreFault> {
    let table = transaction.open_table(PROGRESS).map_err(failed)?;
    let entry = table.get(CURSOR).map_err(failed)?;
    let cursor = entry.and_then(|entry| {
        let (epoch, uid) = entry.value().split_first_chunk::<4>()?;
        (*epoch == target.0.to_be_bytes()).then_some(())?;
        Some(Uid::from_bytes(uid.try_into().ok()?))
    });
    Ok(cursor)
}

fn write_progress(
    transaction: &WriteTransaction,
    key: &'static str,
    value: &[u8],
) -> Result<(), StoreFault> {
    let mut table = transaction.open_table(PROGRESS).map_err(failed)?;
    table.insert(key, value).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
