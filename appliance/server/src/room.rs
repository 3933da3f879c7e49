//! Room on the data partition (ABUSE A21): new objects are refused before the disk is full, so that
//! Destroy, administration and audit can still be written.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// New objects are refused when less than this part of the partition is free, in percent…
const FREE_PERCENT_MIN: u64 = 10;

/// …or less than this; and never refused when more than this many bytes times eight are free.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// How long one reading of the free space is believed.
const READING_VALID_MS: i64 = 500;

/// The disk has too little room for new objects.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the data partition has {free_bytes} bytes left, and {wanted_bytes} are kept for Destroy, \
     administration and audit: free space or add disk, then try again"
)]
pub struct NoRoom {
    /// What is left.
    pub free_bytes: u64,
    /// What is kept.
    pub wanted_bytes: u64,
}

/// Watches one folder's file system.
#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    read_at: AtomicI64,
    free_bytes: AtomicU64,
    wanted_bytes: AtomicU64,
}

impl Room {
    /// Watches the file system of a folder.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            read_at: AtomicI64::new(i64::MIN),
            free_bytes: AtomicU64::new(u64::MAX),
            wanted_bytes: AtomicU64::new(0),
        }
    }

    /// Free bytes, and how many are kept back, by a reading at most half a second old.
    pub fn reading(&self) -> (u64, u64) {
        let now = crate::clock::now().0;
        let read_at = self.read_at.load(Ordering::Relaxed);
        if !(0..READING_VALID_MS).contains(&now.saturating_sub(read_at))
            && let Ok(stat) = nix::sys::statvfs::statvfs(&self.dir)
        {
            let free = stat.blocks_available() * stat.fragment_size();
            let whole = stat.blocks() * stat.fragment_size();
            let wanted = (whole / 100 * FREE_PERCENT_MIN).clamp(FREE_BYTES_MIN, FREE_BYTES_MIN * 8);
            self.free_bytes.store(free, Ordering::Relaxed);
            self.wanted_bytes.store(wanted, Ordering::Relaxed);
            self.read_at.store(now, Ordering::Relaxed);
        }
        (
            self.free_bytes.load(Ordering::Relaxed),
            self.wanted_bytes.load(Ordering::Relaxed),
        )
    }

    /// Refuses when new objects would eat into what is kept back.
    pub fn for_new_objects(&self) -> Result<(), NoRoom> {
        let (free_bytes, wanted_bytes) = self.reading();
        if free_bytes < wanted_bytes {
            return Err(NoRoom {
                free_bytes,
                wanted_bytes,
            });
        }
        Ok(())
    }
}
