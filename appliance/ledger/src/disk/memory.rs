//! A disk in memory that fails where it is told to and forgets what was not synced: the test
//! double of this crate, of its fuzz targets and of simulators.
//!
//! It is as unkind as POSIX allows. A crash keeps any subset of the 512-byte sectors that were
//! written since the last sync of the file, and any prefix of the name changes since the last sync
//! of the folder. A sync that fails forgets, as Linux does, which bytes were to be written: they
//! are still read, a later sync succeeds, and a crash loses them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile, parent};

/// What a disk writes as one; a sector is on the disk wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Input/output error (EIO); nothing is done.
    Io,
    /// No space left on device (ENOSPC); nothing is done.
    Full,
    /// Half of a write is done and reported as such; calls that are no write do their work.
    Short,
    /// Half of a write is done, then EIO; calls that are no write fail with EIO.
    Torn,
}

/// An in-memory file system. Clones share the same contents.
#[derive(Debug, Clone, Default)]
pub struct MemDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Name changes since the folder was synced, oldest first.
    unsynced_names: Vec<NameChange>,
    calls: u64,
    failing: Option<(u64, Failure)>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug)]
struct MemFile {
    world: Arc<Mutex<World>>,
    inode: usize,
}

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the `nth` call from now on (0 = the next one) fail, once.
    pub fn fail_at(&self, nth: u64, failure: Failure) {
        let mut world = self.world.lock();
        world.failing = Some((world.calls + nth, failure));
    }

    /// Number of calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.world.lock().calls
    }

    /// Whether the failure asked for has happened (or none was asked for).
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.world.lock().failing.is_none()
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut world = self.world.lock();
        let (now, durable) = (bytes.to_vec(), bytes.to_vec());
        world.inodes.push(Inode {
            now,
            durable,
            ..Inode::default()
        });
        let inode = world.inodes.len() - 1;
        world.names.insert(path.as_ref().to_path_buf(), inode);
        world
            .durable_names
            .insert(path.as_ref().to_path_buf(), inode);
    }

    /// Takes a file away, durably.
    pub fn take(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut world = self.world.lock();
        world.durable_names.remove(path.as_ref());
        let inode = world.names.remove(path.as_ref())?;
        world.inodes.get(inode).map(|inode| inode.now.clone())
    }

    /// All files as they read now.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world.lock();
        let content = |inode: &usize| world.inodes.get(*inode).map(|inode| inode.now.clone());
        world
            .names
            .iter()
            .filter_map(|(p, i)| Some((p.clone(), content(i)?)))
            .collect()
    }

    /// The disk after a power cut. `choose(n)` picks a number below `n` and so decides which
    /// unsynced sectors and names survive: always 0 keeps nothing unsynced.
    #[must_use]
    pub fn crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> Self {
        let world = self.world.lock();
        let mut names = world.durable_names.clone();
        let kept = choose(world.unsynced_names.len() + 1);
        for change in world.unsynced_names.iter().take(kept) {
            change.apply(&mut names);
        }
        let after = Self::new();
        for (path, inode) in names {
            if let Some(inode) = world.inodes.get(inode) {
                after.put(path, &inode.after_crash(choose));
            }
        }
        after
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path) => parent(path) == dir,
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => overwrite(content, *offset, bytes),
            Self::Len(len) => content.resize(*len, 0),
        }
    }
}

impl Inode {
    fn after_crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Change::Len(len) if choose(2) == 1 => content.resize(*len, 0),
                Change::Len(_) => {}
                Change::Write { offset, bytes } => {
                    for (at, part) in sectors(*offset, bytes) {
                        if choose(2) == 1 {
                            overwrite(&mut content, at, part);
                        }
                    }
                }
            }
        }
        content
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        overwrite(&mut self.now, offset, bytes);
        self.unsynced.push(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }
}

/// Cuts a write at sector boundaries.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut parts, mut at, mut rest) = (Vec::new(), offset, bytes);
    while !rest.is_empty() {
        let part = rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES);
        let (head, tail) = rest.split_at(part);
        parts.push((at, head));
        (at, rest) = (at + part, tail);
    }
    parts
}

fn overwrite(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

impl World {
    /// Counts a call; tells whether it is the one that fails.
    fn count(&mut self) -> Option<Failure> {
        let call = self.calls;
        self.calls += 1;
        match self.failing {
            Some((at, failure)) if at == call => {
                self.failing = None;
                Some(failure)
            }
            _ => None,
        }
    }

    /// Counts a call that is no write.
    fn step(&mut self) -> io::Result<()> {
        match self.count() {
            Some(Failure::Full) => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(Failure::Io | Failure::Torn) => Err(io::Error::other("input/output error (test)")),
            Some(Failure::Short) | None => Ok(()),
        }
    }

    fn inode(&mut self, inode: usize) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(inode)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn require(&self, path: &Path) -> io::Result<usize> {
        let found = self.names.get(path).copied();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world.lock();
        world.step()?;
        let inode = world.require(path)?;
        Ok(Arc::new(MemFile {
            world: Arc::clone(&self.world),
            inode,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world.lock();
        world.step()?;
        world.inodes.push(Inode::default());
        let inode = world.inodes.len() - 1;
        world.change_name(NameChange::Link(path.to_path_buf(), inode));
        Ok(Arc::new(MemFile {
            world: Arc::clone(&self.world),
            inode,
        }))
    }

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        self.world.lock().step()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world.lock();
        world.step()?;
        let here = world.names.keys().filter(|path| parent(path) == dir);
        let names = here.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        world.require(path)?;
        world.change_name(NameChange::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        world.require(from)?;
        world.change_name(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        let changes = std::mem::take(&mut world.unsynced_names);
        for change in changes {
            if change.is_in(dir) {
                change.apply(&mut world.durable_names);
            } else {
                world.unsynced_names.push(change);
            }
        }
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world.lock();
        world.step()?;
        let content = &world.inode(self.inode)?.now;
        let rest = position(offset)
            .and_then(|at| content.get(at..))
            .unwrap_or_default();
        let read = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let at = position(offset).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
        let mut world = self.world.lock();
        let failure = world.count();
        let inode = world.inode(self.inode)?;
        match failure {
            None => {
                inode.write(at, bytes);
                Ok(bytes.len())
            }
            Some(Failure::Short) => {
                inode.write(at, half);
                Ok(half.len())
            }
            Some(Failure::Torn) => {
                inode.write(at, half);
                Err(io::Error::other("input/output error (test)"))
            }
            Some(Failure::Io) => Err(io::Error::other("input/output error (test)")),
            Some(Failure::Full) => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        let outcome = world.step();
        let Inode {
            durable, unsynced, ..
        } = world.inode(self.inode)?;
        if outcome.is_err() {
            // The pages are marked clean; the length is journalled and still waits.
            unsynced.retain(|change| matches!(change, Change::Len(_)));
            return outcome;
        }
        for change in unsynced.drain(..) {
            change.apply(durable);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        world.step()?;
        let len = position(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let inode = world.inode(self.inode)?;
        inode.now.resize(len, 0);
        inode.unsynced.push(Change::Len(len));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.world.lock();
        world.step()?;
        Ok(world.inode(self.inode)?.now.len() as u64)
    }
}

/// An offset as a position in a vector; `None` beyond the address space.
fn position(offset: u64) -> Option<usize> {
    usize::try_from(offset).ok()
}
