//! The file-system seam: exactly the calls on which durability of the ledger hangs, and no other.
//!
//! Everything above writes through [`Disk`], so that a test can make the n-th call fail, write
//! short or lose what was not synced ([`MemDisk`]), for every n. The real one is [`StdDisk`].

mod memory;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use memory::{Failure, MemDisk};

/// One open file. Positions are bytes from the start of the file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file (pread).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `bytes.len()` bytes at `offset`; may be short (pwrite).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes all earlier writes durable (fdatasync). After an error nothing may be assumed about
    /// them, not even when a later call succeeds.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends the file with zeros (ftruncate).
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Length of the file in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// A file system. Names become durable by [`Disk::sync_dir`], contents by
/// [`DiskFile::sync_data`].
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates an empty file, or empties the one there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a folder with its parents; no error when it exists.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Removes one file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames a file, replacing one of the new name (atomic).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, removals and renames in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The world failed: a call to the disk did not do its work, or was asked for what cannot be.
///
/// After a `Disk` fault of a write or sync, the log that met it is poisoned: it answers every later
/// append and sync with the same fault, because the kernel may have dropped the dirty pages and a
/// second fsync would report success for data that is gone. Open it again to recover.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A call to the disk failed.
    #[error(
        "cannot {action} {}: {message}; check the disk, then open the log again", path.display()
    )]
    Disk {
        /// What was tried, as a verb: "write", "sync".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Kind of the error; `StorageFull` means no space left.
        kind: io::ErrorKind,
        /// The words of the operating system.
        message: String,
    },
    /// A record is empty (its length would mean "end of log") or over the limit. Nothing was
    /// written; the log is not poisoned.
    #[error("a record has {bytes} bytes, allowed are 1 to {max}; nothing was written")]
    RecordLength {
        /// Length of the refused record, bytes.
        bytes: usize,
        /// The limit of this log, bytes.
        max: usize,
    },
    /// An index outside of what the log holds was asked for. Nothing was changed.
    #[error("index {index} is outside of the log, which holds {first} to {size} (exclusive)")]
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// First index held.
        first: u64,
        /// One past the last index held.
        size: u64,
    },
    /// Bytes that were right when written are not right when read again.
    #[error("{0}")]
    Damaged(crate::segments::Corruption),
}

impl Fault {
    pub(crate) fn disk(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let (path, kind, message) = (path.to_path_buf(), error.kind(), error.to_string());
        Self::Disk {
            action,
            path,
            kind,
            message,
        }
    }

    /// Whether the disk (or the quota) is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(
            self,
            Self::Disk {
                kind: StorageFull | QuotaExceeded,
                ..
            }
        )
    }
}

/// Writes all bytes, going on after a short write.
pub(crate) fn write_all_at(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let (mut rest, mut at) = (bytes, offset);
    while !rest.is_empty() {
        let written = file.write_at(rest, at)?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        rest = rest.get(written..).unwrap_or_default();
        at += written as u64;
    }
    Ok(())
}

/// Fills the buffer; an early end of the file is an error.
pub(crate) fn read_exact_at(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<()> {
    if read_full_at(file, buf, offset)? < buf.len() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; returns the number of bytes read.
pub(crate) fn read_full_at(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Replaces a small file durably: at every moment a crash leaves the old text or the new one.
///
/// # Errors
/// [`Fault::Disk`] naming the step that failed; the old text is then still the one that counts,
/// unless only the last step (syncing the folder) failed, when it may be either.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut name = path.as_os_str().to_os_string();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let file = disk
        .create(&temporary)
        .map_err(|e| Fault::disk("create", &temporary, &e))?;
    write_all_at(&*file, bytes, 0).map_err(|e| Fault::disk("write", &temporary, &e))?;
    file.sync_data()
        .map_err(|e| Fault::disk("sync", &temporary, &e))?;
    disk.rename(&temporary, path)
        .map_err(|e| Fault::disk("rename to", path, &e))?;
    let dir = parent(path);
    disk.sync_dir(dir)
        .map_err(|e| Fault::disk("sync folder", dir, &e))
}

/// Makes a folder, if there is none, and its name durable: without that, a power cut takes the
/// folder with everything in it that was synced.
///
/// # Errors
/// The disk's.
pub fn make_durable_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Fault> {
    disk.make_dir(dir)
        .map_err(|e| Fault::disk("create", dir, &e))?;
    let above = parent(dir);
    disk.sync_dir(above)
        .map_err(|e| Fault::disk("sync folder", above, &e))
}

/// The folder a path is in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The file system of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdDisk;

impl Disk for StdDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(path)?))
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours; lossy keeps it listed and unmatched.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
