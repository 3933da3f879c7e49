//! Bugs that can be planted, each one that somebody could write: the simulator must find them.
//!
//! None is in the product. Each makes a node of the simulation do what it would do with the bug.

use super::disk::RedbFile;
use domain::Uid;
use ledger::{Disk, Segments, SegmentsConfig};
use redb::{Database, TableDefinition};
use std::path::Path;
use std::sync::Arc;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A node says that it holds an entry before the entry is synced.
    AckBeforeSync,
    /// Recovery takes the last whole record of the cluster log for a torn one.
    CutTooFar,
    /// A node decides by its own clock and not by the time in the command.
    LocalClock,
    /// An entry applied again after a crash leaves no tombstone.
    LostTombstone,
    /// The sealed bytes of some entries do not get into the store of one node.
    SkippedStoreEntry,
    /// Key material leaves before the record of it is synced.
    ReleaseBeforeRecord,
    /// A node says that nothing is left under an epoch before that is durable, and after a crash
    /// believes what it said.
    ConfirmBeforeFlush,
    /// A Get is answered from the state as it is, without asking whether a quorum is ahead.
    ReadWithoutBarrier,
    /// A node that asked for a change is told "done" when its leader has taken it.
    ReplyBeforeCommit,
    /// A search index follows the log where the state has not come to yet.
    IndexAhead,
    /// A node that ends closes its store, which makes it durable, and leaves the log unsynced.
    CloseBeforeSync,
    /// Key material is kept unsealed in the store.
    StoredPlain,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AckBeforeSync,
        Self::CutTooFar,
        Self::LocalClock,
        Self::LostTombstone,
        Self::SkippedStoreEntry,
        Self::ReleaseBeforeRecord,
        Self::ConfirmBeforeFlush,
        Self::ReadWithoutBarrier,
        Self::ReplyBeforeCommit,
        Self::IndexAhead,
        Self::CloseBeforeSync,
        Self::StoredPlain,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::CutTooFar => "cut-too-far",
            Self::LocalClock => "local-clock",
            Self::LostTombstone => "lost-tombstone",
            Self::SkippedStoreEntry => "skipped-store-entry",
            Self::ReleaseBeforeRecord => "release-before-record",
            Self::ConfirmBeforeFlush => "confirm-before-flush",
            Self::ReadWithoutBarrier => "read-without-barrier",
            Self::ReplyBeforeCommit => "reply-before-commit",
            Self::IndexAhead => "index-ahead",
            Self::CloseBeforeSync => "close-before-sync",
            Self::StoredPlain => "stored-plain",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == text)
    }
}

/// Cuts the last record off a log, as a recovery would that takes it for a torn one.
pub(super) fn cut_last_record(disk: &Arc<dyn Disk>, dir: &Path, config: SegmentsConfig) {
    let opened = Segments::open(Arc::clone(disk), dir, config, 0);
    let Ok((mut log, _)) = opened else { return };
    if log.size() > 0 {
        // A disk that fails meanwhile fails the start that follows as well.
        drop(log.truncate_from(log.size() - 1));
    }
}

const SEALED: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sealed");
const TOMBSTONES: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("tombstones");

/// Puts destroyed objects back into a closed store, as if no tombstone had been written.
pub(super) fn dig_up(
    disk: &dyn Disk,
    store: &Path,
    graves: &[(Uid, Vec<u8>)],
) -> Result<(), String> {
    let file = RedbFile::open(disk, store).map_err(|e| e.to_string())?;
    let database = Database::builder().create_with_backend(file);
    let database = database.map_err(|e| e.to_string())?;
    let transaction = database.begin_write().map_err(|e| e.to_string())?;
    {
        let mut sealed = transaction.open_table(SEALED).map_err(|e| e.to_string())?;
        let tombstones = transaction.open_table(TOMBSTONES);
        let mut tombstones = tombstones.map_err(|e| e.to_string())?;
        for (uid, bytes) in graves {
            let gone = tombstones.remove(uid.as_bytes());
            drop(gone.map_err(|e| e.to_string())?);
            let put = sealed.insert(uid.as_bytes(), bytes.as_slice());
            drop(put.map_err(|e| e.to_string())?);
        }
    }
    transaction.commit().map_err(|e| e.to_string())
}
