//! The file operations under the keys folder: few, synchronous, and replaceable by a failing disk.
//!
//! Two ways to write, because they promise different things. `overwrite` puts the new bytes onto
//! the blocks of the old ones, so that an erased key does not live on in freed blocks; a crash may
//! tear it. `replace` is never torn, and then overwrites what it replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Only the program itself may read what holds keys.
const OWNER_ONLY: u32 = 0o600;

pub(crate) trait Disk: Send + Sync {
    /// Reads at most `limit` bytes; `None` when there is no such file.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// Writes in place, cuts the file to length, and returns when it is on disk.
    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Puts a whole file in the place of another, erases the other, and returns when it is on disk.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The disk of the node.
pub(crate) struct NodeDisk;

impl Disk for NodeDisk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(OWNER_ONLY)
            .open(path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        sync_folder(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(OWNER_ONLY)
            .open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Kept open across the rename: afterwards no name leads to the old blocks any more.
        let old = OpenOptions::new().write(true).open(path);
        fs::rename(&fresh, path)?;
        sync_folder(path)?;
        match old {
            Ok(old) => erase(old),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Overwrites every file of a keys folder with zeros, where it lies. The files stay.
///
/// # Errors
/// The disk fails; what comes behind it is not erased.
pub fn erase_files(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            erase(OpenOptions::new().write(true).open(entry.path())?)?;
        }
    }
    Ok(())
}

fn erase(mut file: File) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A second name for the old file shows what is left on the blocks that it had.
    #[test]
    fn what_is_replaced_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let (path, remnant) = (folder.path().join("file"), folder.path().join("remnant"));
        NodeDisk.replace(&path, b"the old bytes").unwrap();
        fs::hard_link(&path, &remnant).unwrap();
        NodeDisk.replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(&remnant).unwrap(), [0; 13]);
        assert!(!path.with_extension("new").exists());
    }

    /// Overwriting keeps the file, so the new bytes lie where the old ones were.
    #[test]
    fn what_is_overwritten_keeps_its_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let (path, same) = (folder.path().join("file"), folder.path().join("same"));
        NodeDisk.overwrite(&path, b"the old bytes").unwrap();
        fs::hard_link(&path, &same).unwrap();
        NodeDisk.overwrite(&path, b"new").unwrap();
        assert_eq!(fs::read(&same).unwrap(), b"new");
    }

    #[test]
    fn what_is_erased_is_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let (path, same) = (folder.path().join("file"), folder.path().join("same"));
        NodeDisk.replace(&path, b"the bytes of a key").unwrap();
        fs::hard_link(&path, &same).unwrap();
        erase_files(folder.path()).unwrap();
        assert_eq!(fs::read(&same).unwrap(), [0; 18]);
        assert!(erase_files(&folder.path().join("absent")).is_ok());
    }

    #[test]
    fn reading_stops_at_the_limit_and_absence_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(NodeDisk.read(&path, 4).unwrap(), None);
        NodeDisk.overwrite(&path, b"12345678").unwrap();
        assert_eq!(NodeDisk.read(&path, 4).unwrap().unwrap(), b"1234");
    }
}
