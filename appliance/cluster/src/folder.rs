//! Looks at the Raft folder of a node that is not running: is it whole, and does it go with the
//! ledger beside it?

use crate::cluster::{StartFault, check_together};
use crate::double_slot::DoubleSlot;
use crate::log_store::{self, HardState};
use crate::machine::StoredSnapshot;
use ledger::{Disk, Segments};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What stands in a Raft folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftFolder {
    /// Last entry, or the last that was purged.
    pub last_entry: Option<u64>,
    /// Entry up to which everything is durable outside of the log.
    pub snapshot_entry: Option<u64>,
    /// How the machine described itself then ([`crate::Machine::describe`]).
    pub snapshot: Option<Vec<u8>>,
    /// Entry up to which the log was purged.
    pub purged_entry: Option<u64>,
}

impl RaftFolder {
    /// Reads a whole folder and checks every checksum. An empty one is made where there is none.
    ///
    /// # Errors
    /// It cannot be read, or it is damaged ([`StartFault::is_damage`]).
    pub fn read(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, StartFault> {
        read(disk, dir).map_err(|source| StartFault::Storage {
            dir: dir.to_owned(),
            source,
        })
    }

    /// Whether a machine that ends at `applied` goes with it.
    ///
    /// # Errors
    /// One of the two was rolled back or replaced.
    pub fn check(&self, applied: Option<u64>) -> Result<(), StartFault> {
        check_together(
            applied,
            self.snapshot_entry,
            self.purged_entry,
            self.last_entry,
        )
    }
}

fn read(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<RaftFolder> {
    ledger::make_durable_dir(&**disk, dir).map_err(io::Error::other)?;
    let (_, hard) = DoubleSlot::<HardState>::open(&**disk, &dir.join("vote"))?;
    let purged = hard.unwrap_or_default().purged;
    let (_, snapshot) = DoubleSlot::<StoredSnapshot>::open(&**disk, &dir.join("snapshot"))?;
    let config = log_store::segments_config();
    let opened = Segments::open(disk.clone(), &dir.join("log"), config, 0);
    let (segments, _) = opened.map_err(io::Error::other)?;
    let last = log_store::last_entry(&segments)?.max(purged);
    Ok(RaftFolder {
        last_entry: last.map(|id| id.index),
        snapshot_entry: snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.meta.last_log_id)
            .map(|id| id.index),
        snapshot: snapshot.map(|snapshot| snapshot.description),
        purged_entry: purged.map(|id| id.index),
    })
}
