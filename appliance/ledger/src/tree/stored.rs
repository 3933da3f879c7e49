//! The file of hashes behind a tree: 32 bytes each, in the order in which subtrees are completed
//! (Go `golang.org/x/mod/sumdb/tlog`, `StoredHashIndex`).
//!
//! It is derived. It is never synced, and compared with the records at every opening. When it
//! cannot be written, the log itself goes on; only proofs are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Hash, TreeError};
use crate::disk::{Disk, DiskFile, Fault, read_exact_at, read_full_at, write_all_at};

/// Bytes of one hash.
const HASH_BYTES: usize = 32;
/// Hashes are written when this many bytes are waiting: one call for about 1,000 records.
const BUFFER_BYTES: usize = 64 << 10;

/// Position of the hash of leaves `n << level .. (n + 1) << level`.
///
/// A complete subtree is stored right after the leaf that completes it, and after its own lower
/// levels.
pub(super) fn stored_position(level: u32, n: u64) -> u64 {
    // The last leaf of the subtree; before it and its parents, every leaf m has stored itself and
    // one hash per trailing one bit of m: in sum m + m/2 + m/4 + ...
    let last_leaf = ((n + 1) << level) - 1;
    let mut before = 0;
    let mut leaves = last_leaf;
    while leaves > 0 {
        before += leaves;
        leaves >>= 1;
    }
    before + u64::from(level)
}

#[derive(Debug)]
pub(super) struct StoredHashes {
    path: PathBuf,
    file: Result<Arc<dyn DiskFile>, Fault>,
    /// Bytes of the file that count.
    written: u64,
    waiting: Vec<u8>,
    /// While rebuilding, what is in the file already is not written again.
    is_rebuilding: bool,
}

impl StoredHashes {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Self {
        let file = match disk.open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => disk.create(path),
            other => other,
        };
        let file = file.map_err(|e| Fault::disk("open", path, &e));
        let waiting = Vec::with_capacity(BUFFER_BYTES);
        Self {
            path: path.to_path_buf(),
            file,
            written: 0,
            waiting,
            is_rebuilding: true,
        }
    }

    pub(super) fn finish_rebuild(&mut self) {
        self.flush();
        self.is_rebuilding = false;
    }

    pub(super) fn push(&mut self, hash: Hash) {
        self.waiting.extend_from_slice(&hash.0);
        if self.waiting.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Ok(file) = &self.file
            && let Err(error) = self.write_if_needed(&**file)
        {
            self.file = Err(Fault::disk("write", &self.path, &error));
        }
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
    }

    fn write_if_needed(&self, file: &dyn DiskFile) -> std::io::Result<()> {
        if self.is_rebuilding {
            let mut there = vec![0_u8; self.waiting.len()];
            let read = read_full_at(file, &mut there, self.written)?;
            if read == there.len() && there == self.waiting {
                return Ok(());
            }
        }
        write_all_at(file, &self.waiting, self.written)
    }

    /// The hash of a complete subtree: leaves `n << level .. (n + 1) << level`.
    pub(super) fn get(&self, level: u32, n: u64) -> Result<Hash, TreeError> {
        let file = self.file.as_ref().map_err(Clone::clone)?;
        let at = stored_position(level, n) * HASH_BYTES as u64;
        let mut hash = [0_u8; HASH_BYTES];
        if let Some(waiting) = at.checked_sub(self.written) {
            let from = usize::try_from(waiting).unwrap_or(usize::MAX);
            let found = self
                .waiting
                .get(from..)
                .and_then(|rest| rest.first_chunk::<HASH_BYTES>());
            return found.map(|hash| Hash(*hash)).ok_or(TreeError::OutOfRange {
                asked: at / HASH_BYTES as u64,
                size: (self.written + self.waiting.len() as u64) / HASH_BYTES as u64,
            });
        }
        read_exact_at(&**file, &mut hash, at).map_err(|e| Fault::disk("read", &self.path, &e))?;
        Ok(Hash(hash))
    }
}
