//! Query indexes in sled: which objects carry this attribute, this type, this state.
//!
//! Nothing here is the truth. An index entry is a hint, checked against the state before it is
//! answered; the folder may be deleted at any time, and is deleted by us whenever it was not closed
//! cleanly, does not open, or knows more than the cluster log (docs/decisions/0002).
//!
//! Tree `index`: the list of the objects for each 8 bytes of SHA-256(scope, attribute, value). A
//! scope is an owner or a key sharing group, so a search costs what its user can see, not what the
//! appliance holds. Tree `objects`: one list of all objects, each with the hashes for which it
//! stands in the index. Lists are kept as `lists` says. Trees `history` and `earlier`: which
//! records tell of an object (`history`). Tree default: `reflected` = records of the cluster log
//! that are reflected. A file beside the folder marks a clean stop.

mod history;
mod lists;

use crate::machine::LedgerMachine;
use domain::{Attribute, AttributeName, Name, Object, Record, State, Time, Uid};
use domain::{Value, codec, tag};
use history::{History, Passage, Touched};
use lists::{Changes, Writes};
use parking_lot::{Condvar, Mutex, RwLock};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Changed objects reflected in one write.
const OBJECTS_PER_WRITE: usize = 4096;

/// Key of the default tree under which stands how many records are reflected. Another layout of the
/// folder takes another key: one that does not have it is made again.
const REFLECTED: &str = "reflected-with-history";

/// Memory sled may use for its page cache: it is an index, the state is in memory already.
const CACHE_BYTES: u64 = 128 << 20;

/// How often sled writes its pages out; what was not written it cannot drop from memory.
const FLUSH_INTERVAL_MS: u64 = 500;

/// How long changes gather before they are reflected, unless a query wants them. sled writes whole
/// pages: reflecting each Raft entry by itself took half of a node's CPU time under load.
const GATHER: Duration = Duration::from_millis(100);

/// How long a query waits for the indexes to catch up with the log, after a rebuild say.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// A query cannot be answered now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryFault {
    /// The indexes are being rebuilt and did not catch up in time.
    #[error("the search indexes are being rebuilt ({size} of {wanted} records done); try again")]
    CatchingUp {
        /// Records reflected.
        size: u64,
        /// Records in the log when the query came.
        wanted: u64,
    },
    /// sled failed.
    #[error("the search indexes failed ({0}); restart the node to rebuild them")]
    Index(String),
}

/// What is asked of [`Projections::candidates`]: the scopes of the asking user and one value.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Owner and groups whose objects are wanted.
    pub scopes: Vec<Scope>,
    /// The most selective condition; `None` asks for everything in the scopes.
    pub condition: Option<Attribute>,
}

/// Whose objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Objects of this owner.
    Owner(Name),
    /// Objects whose Object Group names this group.
    Group(Name),
}

/// The handle for queries. Clones share the indexes.
#[derive(Clone)]
pub struct Projections {
    db: sled::Db,
    index: sled::Tree,
    history: History,
    /// Held by a search while it walks along a list, and by who moves objects in one.
    walks: Arc<RwLock<()>>,
    reflected: watch::Receiver<u64>,
    wanted: Arc<Wanted>,
    machine: Arc<LedgerMachine>,
    closed: Arc<Mutex<bool>>,
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections")
            .field("reflected", &*self.reflected.borrow())
            .finish()
    }
}

/// Whether a query waits for what gathers. Not a timer of tokio's: the following thread outlives
/// the runtime when a node stops.
#[derive(Default)]
struct Wanted {
    now: Mutex<bool>,
    changed: Condvar,
}

impl Wanted {
    fn say(&self) {
        *self.now.lock() = true;
        self.changed.notify_one();
    }

    /// Returns after `GATHER`, or as soon as a query waits.
    fn gather(&self) {
        let mut now = self.now.lock();
        if !*now {
            self.changed.wait_for(&mut now, GATHER);
        }
        *now = false;
    }
}

/// The part that follows the log, on a thread of its own.
struct Follower {
    db: sled::Db,
    index: sled::Tree,
    objects: sled::Tree,
    history: History,
    walks: Arc<RwLock<()>>,
    machine: Arc<LedgerMachine>,
    reflected: watch::Sender<u64>,
    wanted: Arc<Wanted>,
    /// Held for every write; true ends the following.
    closed: Arc<Mutex<bool>>,
}

impl Projections {
    /// Opens or rebuilds the indexes and follows the log from a thread of its own.
    pub fn start(dir: &Path, machine: Arc<LedgerMachine>) -> Result<Self, QueryFault> {
        let size = machine.progress().borrow().size;
        let (db, at) = open_or_rebuild(dir, size)?;
        let tree = |name: &str| db.open_tree(name).map_err(fault);
        let (index, objects) = (tree("index")?, tree("objects")?);
        let history = History::open(&db)?;
        let (sender, reflected) = watch::channel(at);
        let wanted = Arc::new(Wanted::default());
        let closed = Arc::new(Mutex::new(false));
        let walks = Arc::new(RwLock::new(()));
        let follower = Follower {
            db: db.clone(),
            index: index.clone(),
            objects,
            history: history.clone(),
            walks: walks.clone(),
            machine: machine.clone(),
            reflected: sender,
            wanted: wanted.clone(),
            closed: closed.clone(),
        };
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("projections".into())
            .spawn(move || follower.follow(&runtime))
            .map_err(|e| QueryFault::Index(e.to_string()))?;
        Ok(Self {
            db,
            index,
            history,
            walks,
            reflected,
            wanted,
            machine,
            closed,
        })
    }

    /// Waits until everything that was in the log when this was called is reflected.
    pub async fn catch_up(&self) -> Result<(), QueryFault> {
        let wanted = self.machine.progress().borrow().size;
        let mut reflected = self.reflected.clone();
        if *reflected.borrow() < wanted {
            self.wanted.say();
        }
        let caught_up = reflected.wait_for(|size| *size >= wanted);
        match tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(QueryFault::Index("its thread has ended".into())),
            Err(_) => Err(QueryFault::CatchingUp {
                size: *self.reflected.borrow(),
                wanted,
            }),
        }
    }

    /// Objects that may match, newest first of each scope, each once. The caller checks each
    /// against the state.
    pub fn candidates(&self, lookup: &Lookup) -> impl Iterator<Item = Result<Uid, QueryFault>> {
        let mut seen = BTreeSet::new();
        let several = lookup.scopes.len() > 1;
        let prefixes: Vec<_> = lookup
            .scopes
            .iter()
            .map(|s| hash(s, lookup.condition.as_ref()))
            .collect();
        let walk = self.walks.read();
        let blocks = prefixes
            .into_iter()
            .flat_map(|prefix| self.index.scan_prefix(prefix).rev());
        let uids = blocks.flat_map(move |block| {
            // As long as the walk lasts.
            let _walk = &walk;
            let block = block
                .map_err(fault)
                .and_then(|(_, value)| lists::decode(&value));
            let (uids, failed) = match block {
                Ok(block) => (block.into_keys().rev().collect(), None),
                Err(e) => (Vec::new(), Some(Err(e))),
            };
            uids.into_iter().map(Ok).chain(failed)
        });
        uids.filter(move |uid| match uid {
            Ok(uid) => !several || seen.insert(*uid),
            Err(_) => true,
        })
    }

    /// The newest records of the cluster log that tell of an object, before one.
    ///
    /// # Errors
    /// sled failed.
    pub fn history(
        &self,
        uid: &Uid,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Passage, QueryFault> {
        let _walk = self.walks.read();
        self.history.read(uid, before, limit)
    }

    /// Records of the cluster log that are reflected.
    pub fn reflected(&self) -> u64 {
        *self.reflected.borrow()
    }

    /// Marks a clean stop. Without the mark the next start rebuilds. sled's own flush does not
    /// reach the disk for certain, so every file of the folder is synced here as well.
    /// What is not reflected yet is reflected at the next start.
    pub fn close(&self, dir: &Path) -> Result<(), QueryFault> {
        let mut closed = self.closed.lock();
        *closed = true;
        self.db.flush().map_err(fault)?;
        for entry in std::fs::read_dir(dir).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.is_file() {
                std::fs::File::open(path)
                    .and_then(|f| f.sync_all())
                    .map_err(fault)?;
            }
        }
        crate::layout::write_file(&clean_mark(dir), b"", 0o600).map_err(fault)
    }
}

fn fault(error: impl std::fmt::Display) -> QueryFault {
    QueryFault::Index(error.to_string())
}

/// Opens the folder if it was closed cleanly and knows no more than the log; otherwise moves it out
/// of the way and begins an empty one. sled may panic on a damaged folder, so it opens under
/// `catch_unwind` (release builds abort on panic; there the mark of a clean stop decides first).
fn open_or_rebuild(dir: &Path, size: u64) -> Result<(sled::Db, u64), QueryFault> {
    let mark = clean_mark(dir);
    if dir.exists() && mark.exists() {
        std::fs::remove_file(&mark).map_err(fault)?;
        let opened = std::panic::catch_unwind(|| open(dir));
        if let Ok(Ok(db)) = opened {
            let at = db.get(REFLECTED).map_err(fault)?;
            let at = at.and_then(|b| codec::from_slice::<u64>(&b).ok());
            if let Some(at) = at.filter(|at| *at <= size) {
                return Ok((db, at));
            }
        }
    }
    if dir.exists() {
        tracing::info!("search indexes: not closed cleanly or not of this log; rebuilding");
        std::fs::remove_dir_all(dir).map_err(fault)?;
    }
    Ok((open(dir).map_err(fault)?, 0))
}

fn open(dir: &Path) -> sled::Result<sled::Db> {
    sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_INTERVAL_MS))
        .open()
}

fn clean_mark(dir: &Path) -> PathBuf {
    dir.with_extension("clean")
}

impl Follower {
    fn follow(self, runtime: &tokio::runtime::Handle) {
        let mut progress = self.machine.progress();
        let reader = self.machine.reader();
        let mut at = *self.reflected.borrow();
        loop {
            let size = progress.borrow_and_update().size;
            while at < size {
                match self.reflect(&reader, at, size) {
                    Ok(next) => at = next,
                    Err(_) if *self.closed.lock() => return,
                    Err(e) => {
                        tracing::error!("{e}");
                        return;
                    }
                }
                self.reflected.send_replace(at);
            }
            if runtime.block_on(progress.changed()).is_err() {
                return;
            }
            self.wanted.gather();
        }
    }

    /// Brings the indexes of the objects that the next records touch in line with the state.
    fn reflect(
        &self,
        reader: &ledger::SegmentsReader,
        at: u64,
        size: u64,
    ) -> Result<u64, QueryFault> {
        let closed = self.closed.lock();
        if *closed {
            return Err(QueryFault::Index("closed".into()));
        }
        let mut touched = Touched::new();
        let mut next = at;
        while next < size && touched.len() < OBJECTS_PER_WRITE {
            let record = reader.read(next).map_err(fault)?;
            let record: Record = codec::from_slice(&record).map_err(fault)?;
            if let Some(uid) = record.event.uid() {
                touched.entry(*uid).or_default().push(next);
            }
            next += 1;
        }
        let told = self.history.plan(&touched)?;
        {
            let _nobody_walks = told.latest.moves.then(|| self.walks.write());
            self.history.write(told)?;
        }
        self.apply(touched.into_keys().collect())?;
        // Last: after a crash the folder is rebuilt anyway; this order only keeps a clean folder
        // from claiming more than it reflects.
        self.db
            .insert(REFLECTED, codec::to_vec(&next))
            .map_err(fault)?;
        Ok(next)
    }

    /// Puts these objects where the state has them now.
    fn apply(&self, touched: BTreeSet<Uid>) -> Result<(), QueryFault> {
        let mut objects = Changes::new();
        let mut index: BTreeMap<[u8; 8], Changes> = BTreeMap::new();
        let mut place = None;
        for uid in touched {
            let hashes = {
                let state = self.machine.state();
                let object = state.object(&uid);
                object
                    .map(|object| hashes(&state, object))
                    .unwrap_or_default()
            };
            let before = lists::marks_of(&self.objects, b"", &uid, &mut place)?;
            let before: BTreeSet<[u8; 8]> = before.into_iter().flatten().collect();
            for gone in before.difference(&hashes) {
                index.entry(*gone).or_default().insert(uid, None);
            }
            for new in hashes.difference(&before) {
                let marks = Some(Vec::new());
                index.entry(*new).or_default().insert(uid, marks);
            }
            if before != hashes {
                let marks = (!hashes.is_empty()).then(|| hashes.into_iter().collect());
                objects.insert(uid, marks);
            }
        }
        let (mut of_objects, mut of_index) = (Writes::default(), Writes::default());
        lists::change(&self.objects, b"", objects, &mut of_objects)?;
        for (hash, changes) in index {
            lists::change(&self.index, &hash, changes, &mut of_index)?;
        }
        self.objects.apply_batch(of_objects.batch).map_err(fault)?;
        let _nobody_walks = of_index.moves.then(|| self.walks.write());
        self.index.apply_batch(of_index.batch).map_err(fault)
    }
}

/// Everything the index says of one object.
fn hashes(state: &State, object: &Object) -> BTreeSet<[u8; 8]> {
    let attributes: Vec<Attribute> = object
        .attributes(Time(0))
        .into_iter()
        .filter(|a| is_indexed(&a.name))
        .collect();
    let owner = object.owner(state).cloned();
    let mut scopes: Vec<_> = owner.into_iter().map(Scope::Owner).collect();
    scopes.extend(attributes.iter().filter_map(group_of).map(Scope::Group));
    let mut hashes = BTreeSet::new();
    for scope in &scopes {
        hashes.insert(hash(scope, None));
        for attribute in &attributes {
            hashes.insert(hash(scope, Some(attribute)));
        }
    }
    hashes
}

/// Attributes worth an index entry; a search by anything else filters what these leave. Names are
/// not here: the state keeps them unique and answers for them itself.
pub fn is_indexed(name: &AttributeName) -> bool {
    match name {
        AttributeName::Vendor { .. } => true,
        AttributeName::Standard(tag) => [
            tag::OBJECT_TYPE,
            tag::STATE,
            tag::OBJECT_GROUP,
            tag::APPLICATION_SPECIFIC_INFORMATION,
        ]
        .contains(tag),
    }
}

/// A key sharing group that the attribute names.
fn group_of(attribute: &Attribute) -> Option<Name> {
    match (&attribute.name, &attribute.value) {
        (AttributeName::Standard(tag::OBJECT_GROUP), Value::Text(group)) => Name::parse(group).ok(),
        _ => None,
    }
}

/// First 8 bytes of SHA-256 over scope and attribute. Two that meet give a candidate too many, and
/// candidates are checked.
fn hash(scope: &Scope, attribute: Option<&Attribute>) -> [u8; 8] {
    let (kind, name) = match scope {
        Scope::Owner(name) => ("owner", name),
        Scope::Group(name) => ("group", name),
    };
    let digest = Sha256::digest(codec::to_vec(&(kind, name, attribute)));
    let mut first = [0; 8];
    first.copy_from_slice(digest.get(..8).unwrap_or(&[0; 8]));
    first
}
