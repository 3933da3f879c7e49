//! The disk of a simulated node: [`MemDisk`] behind wires that can be cut.
//!
//! Not turmoil's file system, because that knows an open file by its name: a segment of our logs is
//! opened, renamed and then written, which it answers with "no such file". Its error rate also
//! holds for all hosts and the whole run, so no part of one could be calm. [`MemDisk`] loses at a
//! power cut what was not synced, names too, and tears writes at sectors; added here are a call
//! that fails, the end of a process without a last write, and bytes that rot while a node is down.

use ledger::disk::DiskFile;
use ledger::{Disk, MemDisk};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The state of the wires between one life of a node and its disk.
#[derive(Debug, Default)]
struct Wires {
    is_dead: bool,
    /// Calls until one fails.
    fail_after: Option<u64>,
}

/// The disk as one life of a node sees it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    memory: MemDisk,
    wires: Arc<Mutex<Wires>>,
}

/// An open file.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: Arc<dyn DiskFile>,
}

impl SimDisk {
    /// Connects what a disk holds.
    pub fn new(memory: MemDisk) -> Self {
        Self {
            memory,
            wires: Arc::default(),
        }
    }

    /// Ends it: nothing reaches the disk any more, not even what a destructor would write.
    pub fn cut(&self) {
        self.wires.lock().unwrap().is_dead = true;
    }

    /// Lets one call fail with EIO, after so many others.
    pub fn fail_after(&self, calls: u64) {
        self.wires.lock().unwrap().fail_after = Some(calls);
    }

    fn pass(&self) -> io::Result<()> {
        let mut wires = self.wires.lock().unwrap();
        if wires.is_dead {
            return Err(io::Error::other("the process has ended (simulated)"));
        }
        match wires.fail_after {
            Some(0) => {
                wires.fail_after = None;
                Err(io::Error::other("input/output error (simulated)"))
            }
            Some(left) => {
                wires.fail_after = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn opened(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            file,
        })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.pass()?;
        Ok(self.opened(self.memory.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.pass()?;
        Ok(self.opened(self.memory.create(path)?))
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass()?;
        self.memory.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.pass()?;
        self.memory.list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass()?;
        self.memory.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?;
        self.memory.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass()?;
        self.memory.sync_dir(dir)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.pass()?;
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.pass()?;
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.pass()?;
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.pass()?;
        self.file.set_len(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.pass()?;
        self.file.size()
    }
}

/// Flips one bit of a file, durably, where no later start can take it for an unfinished write: in
/// its first half. Gives the place, or nothing when the file is too short to have one.
pub fn rot(disk: &SimDisk, path: &Path, chance: u64) -> io::Result<Option<u64>> {
    const SHORT: u64 = 1024;
    let file = disk.open(path)?;
    let size = file.size()?;
    if size < SHORT {
        return Ok(None);
    }
    let place = 64 + chance % (size / 2 - 64);
    let mut byte = [0];
    file.read_at(&mut byte, place)?;
    byte[0] ^= 1 << (chance % 8);
    file.write_at(&byte, place)?;
    file.sync_data()?;
    Ok(Some(place))
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
