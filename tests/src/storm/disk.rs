//! The disk of a simulated node: turmoil's file system behind wires that can be cut.
//!
//! What a power cut leaves is decided by turmoil: of what was not synced, names vanish and writes
//! are torn at a block. Added here is what turmoil cannot do to one host at one time: a call that
//! fails (its error rate holds for all hosts and for the whole run, so no phase could be calm), the
//! end of a process without a last write, and bytes that rot while the node is down. Folders are
//! durable as soon as they are made, as on [`ledger::MemDisk`], which has none.

use ledger::Disk;
use ledger::disk::DiskFile;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use turmoil::fs::shim::std::fs as shim;

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
    wires: Arc<Mutex<Wires>>,
}

impl SimDisk {
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
}

/// An open file.
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: shim::File,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SimDisk {
    fn opened(&self, path: &Path, options: &shim::OpenOptions) -> io::Result<Arc<dyn DiskFile>> {
        self.pass()?;
        let file = options.open(path)?;
        let (disk, path) = (self.clone(), path.to_path_buf());
        Ok(Arc::new(SimFile { disk, path, file }))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.opened(path, shim::OpenOptions::new().read(true).write(true))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = shim::OpenOptions::new();
        self.opened(path, options.read(true).write(true).create(true).truncate(true))
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass()?;
        shim::create_dir_all(dir)?;
        let mut above: Vec<&Path> = dir.ancestors().filter(|a| *a != Path::new("/")).collect();
        above.reverse();
        above.into_iter().try_for_each(shim::sync_dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.pass()?;
        let mut names = Vec::new();
        for entry in shim::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass()?;
        shim::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?;
        shim::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass()?;
        shim::sync_dir(dir)
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
        Ok(self.file.metadata()?.len())
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
