//! The disk of a simulated node: [`MemDisk`] behind wires that can be cut.
//!
//! What a power cut leaves of unsynced writes (lost tails, torn writes, lost names) and single
//! failing calls are the work of [`MemDisk`]. Added here is what lasts or what lies: no power, no
//! room, a write that lands elsewhere, a sync that only says that it was done.

use ledger::disk::{DiskFile, Failure};
use ledger::{Disk, MemDisk};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Misdirected writes are off by multiples of this, as of a wrong block address, bytes.
const BLOCK_BYTES: u64 = 512;

/// File name of the sealed store.
pub const STORE_NAME: &str = "sealed.redb";

/// The state of the wires between one life of a node and its disk.
#[derive(Debug, Default)]
struct Wires {
    /// No call is answered any more.
    is_dead: bool,
    /// Calls until the power goes.
    cut_after: Option<u64>,
    /// A call that fails, after so many more.
    failing: Option<(u64, Failure)>,
    /// No room for any write.
    is_full: bool,
    /// The next write into a file whose path contains the text lands so many blocks away.
    misdirect: Option<(String, u64)>,
    /// An injected fault was met in this life.
    was_hurt: bool,
    /// A write was misdirected in this life.
    has_misdirected: bool,
}

/// The disk as one life of a node sees it; the next life gets another one over what is left.
#[derive(Debug, Clone)]
pub struct SimDisk {
    inner: MemDisk,
    wires: Arc<Mutex<Wires>>,
}

#[derive(Debug)]
struct SimFile {
    inner: Arc<dyn DiskFile>,
    memory: MemDisk,
    path: PathBuf,
    wires: Arc<Mutex<Wires>>,
}

fn locked(wires: &Mutex<Wires>) -> MutexGuard<'_, Wires> {
    wires
        .lock()
        .expect("the simulator has one thread, and a panic in it ends the run")
}

/// Lets a call pass, or not. A failure that is due is handed on to the memory behind.
fn pass(wires: &Mutex<Wires>, memory: &MemDisk, writes: bool) -> io::Result<()> {
    let mut wires = locked(wires);
    match wires.failing {
        Some((0, failure)) => {
            wires.failing = None;
            memory.fail_at(0, failure);
        }
        Some((left, failure)) => wires.failing = Some((left - 1, failure)),
        None => {}
    }
    match wires.cut_after {
        Some(0) => wires.is_dead = true,
        Some(left) => wires.cut_after = Some(left - 1),
        None => {}
    }
    if wires.is_dead {
        wires.was_hurt = true;
        return Err(io::Error::other("the power is off (simulated)"));
    }
    if wires.is_full && writes {
        wires.was_hurt = true;
        return Err(io::Error::from(io::ErrorKind::StorageFull));
    }
    Ok(())
}

/// Remembers that a call failed because it was told to.
fn seen<T>(wires: &Mutex<Wires>, result: io::Result<T>) -> io::Result<T> {
    if let Err(e) = &result
        && e.kind() != io::ErrorKind::NotFound
    {
        locked(wires).was_hurt = true;
    }
    result
}

impl SimDisk {
    /// Connects a disk.
    #[must_use]
    pub fn new(inner: MemDisk) -> Self {
        let wires = Arc::default();
        Self { inner, wires }
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        locked(&self.wires).is_dead = true;
    }

    /// Cuts the power at the call after so many more.
    pub fn cut_after(&self, calls: u64) {
        locked(&self.wires).cut_after = Some(calls);
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        locked(&self.wires).is_dead
    }

    /// Whether a fault that was injected has been met in this life.
    #[must_use]
    pub fn was_hurt(&self) -> bool {
        let wires = locked(&self.wires);
        wires.was_hurt || wires.has_misdirected
    }

    /// Whether a write was misdirected in this life.
    #[must_use]
    pub fn has_misdirected(&self) -> bool {
        locked(&self.wires).has_misdirected
    }

    /// Fills the disk, or makes room.
    pub fn set_full(&self, is_full: bool) {
        locked(&self.wires).is_full = is_full;
    }

    /// Lets one call fail, so many from now.
    pub fn fail_at(&self, calls: u64, failure: Failure) {
        locked(&self.wires).failing = Some((calls, failure));
    }

    /// Lets the next write into a file whose path contains `into` land `blocks` away.
    pub fn misdirect(&self, into: &str, blocks: u64) {
        locked(&self.wires).misdirect = Some((into.to_owned(), blocks));
    }

    fn memory(&self) -> &MemDisk {
        &self.inner
    }

    fn file(&self, path: &Path, inner: io::Result<Arc<dyn DiskFile>>) -> Opened {
        let inner = seen(&self.wires, inner)?;
        let (path, wires) = (path.to_path_buf(), Arc::clone(&self.wires));
        Ok(Arc::new(SimFile {
            inner,
            memory: self.inner.clone(),
            path,
            wires,
        }))
    }
}

type Opened = io::Result<Arc<dyn DiskFile>>;

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> Opened {
        pass(&self.wires, self.memory(), false)?;
        self.file(path, self.inner.open(path))
    }

    fn create(&self, path: &Path) -> Opened {
        pass(&self.wires, self.memory(), true)?;
        self.file(path, self.inner.create(path))
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.make_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.list(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.sync_dir(dir))
    }
}

impl SimFile {
    fn memory(&self) -> &MemDisk {
        &self.memory
    }

    /// Whether this call is a sync of the sealed store that is to fail. After a failed sync Linux
    /// still shows what it will never write; redb believes it when it is opened again in the same
    /// uptime, and a later power cut then corrupts its tree (found by this simulator). Only another
    /// member can mend that, so here what failed stays to be written, as on other systems.
    fn is_failing_store_sync(&self) -> bool {
        let mut wires = locked(&self.wires);
        let due = matches!(wires.failing, Some((0, failure)) if failure != Failure::Short);
        let hit = due && self.path.ends_with(STORE_NAME);
        if hit {
            wires.failing = None;
            wires.was_hurt = true;
        }
        hit
    }

    /// Where a write really goes: elsewhere in the same file, once, if that was asked for.
    fn landing(&self, bytes: u64, offset: u64) -> io::Result<u64> {
        let wanted = {
            let mut wires = locked(&self.wires);
            let hits = |(into, _): &(String, u64)| self.path.to_string_lossy().contains(into);
            wires.misdirect.take_if(|armed| hits(armed))
        };
        let Some((_, blocks)) = wanted else {
            return Ok(offset);
        };
        let room = self.inner.size()?.saturating_sub(bytes);
        let elsewhere = (offset + blocks * BLOCK_BYTES) % room.max(1);
        if elsewhere != offset {
            locked(&self.wires).has_misdirected = true;
        }
        Ok(elsewhere)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        pass(&self.wires, self.memory(), true)?;
        let offset = self.landing(bytes.len() as u64, offset)?;
        seen(&self.wires, self.inner.write_at(bytes, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_failing_store_sync() {
            return Err(io::Error::other("input/output error (simulated)"));
        }
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.sync_data())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        pass(&self.wires, self.memory(), true)?;
        seen(&self.wires, self.inner.set_len(bytes))
    }

    fn size(&self) -> io::Result<u64> {
        pass(&self.wires, self.memory(), false)?;
        seen(&self.wires, self.inner.size())
    }
}

/// A file of the simulated disk as redb wants its storage.
#[derive(Debug)]
pub struct RedbFile(Arc<dyn DiskFile>);

impl RedbFile {
    /// Opens the file of a store, or makes it and makes its name durable.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        match disk.open(path) {
            Ok(file) => Ok(Self(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(path)?;
                disk.sync_dir(path.parent().unwrap_or(Path::new("/")))?;
                Ok(Self(file))
            }
            Err(e) => Err(e),
        }
    }
}

impl redb::StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                read => done += read,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            match self.0.write_at(&data[done..], offset + done as u64)? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                written => done += written,
            }
        }
        Ok(())
    }
}
