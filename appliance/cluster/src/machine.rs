//! What is plugged in above agreement, and its adapter to openraft.

use crate::codec;
use crate::double_slot::DoubleSlot;
use crate::types::{Replies, TypeConfig};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, BasicNode, Entry, EntryPayload, LogId, RaftSnapshotBuilder, Snapshot};
use openraft::{SnapshotMeta, StorageError, StorageIOError, StoredMembership};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

/// The state that follows the ordered commands.
pub trait Machine: Send + Sync + 'static {
    /// Index of the last entry that is complete in what the machine found on its disk; entries
    /// after it are handed to [`Machine::apply`] again. `None` when it found nothing.
    fn applied_entry(&self) -> Option<u64>;

    /// Carries out the commands of one committed entry, in order, and gives one reply for each.
    /// Called again with the same entry after a crash, it must come to the same result.
    ///
    /// # Errors
    /// A fault stops the node: skipping an entry would make it differ from the others.
    fn apply(&self, entry: u64, commands: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, MachineFault>;

    /// Makes everything applied so far durable, so that the entries before can be forgotten, and
    /// describes it for a member that will catch up from it.
    fn make_durable(&self) -> Result<Vec<u8>, MachineFault>;

    /// Replaces the state by one that another member described.
    fn install(&self, description: &[u8]) -> Result<(), MachineFault>;
}

/// The machine could not do its work on this node; the node stops.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MachineFault(pub String);

type Membership = StoredMembership<u64, BasicNode>;

/// Where the machine stands in the order, and the last snapshot.
#[derive(Debug)]
struct Position {
    applied: Option<LogId<u64>>,
    membership: Membership,
    snapshot: Option<StoredSnapshot>,
    file: DoubleSlot<StoredSnapshot>,
}

/// The durable snapshot pointer: what the machine had applied when it was last made durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredSnapshot {
    pub(crate) meta: SnapshotMeta<u64, BasicNode>,
    #[serde(with = "serde_bytes")]
    pub(crate) description: Vec<u8>,
}

/// A [`Machine`] as openraft sees it.
pub(crate) struct MachineAdapter<M> {
    machine: Arc<M>,
    position: Arc<Mutex<Position>>,
}

impl<M> Clone for MachineAdapter<M> {
    fn clone(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            position: self.position.clone(),
        }
    }
}

impl<M: Machine> MachineAdapter<M> {
    /// Opens the snapshot pointer beside the log.
    pub(crate) fn open(path: &Path, machine: Arc<M>) -> std::io::Result<Self> {
        let (file, snapshot) = DoubleSlot::<StoredSnapshot>::open(path)?;
        let (applied, membership) = snapshot.as_ref().map_or_else(Default::default, |s| {
            (s.meta.last_log_id, s.meta.last_membership.clone())
        });
        let position = Position {
            applied,
            membership,
            snapshot,
            file,
        };
        Ok(Self {
            machine,
            position: Arc::new(Mutex::new(position)),
        })
    }

    /// Index that the snapshot covers.
    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        self.position
            .lock()
            .snapshot
            .as_ref()?
            .meta
            .last_log_id
            .map(|id| id.index)
    }

    /// Moves the position forward to what the machine itself found on its disk.
    pub(crate) fn advance(&self, applied: LogId<u64>, membership: Option<Membership>) {
        let mut position = self.position.lock();
        position.applied = Some(applied);
        if let Some(membership) = membership {
            position.membership = membership;
        }
    }

    fn apply_entry(&self, entry: Entry<TypeConfig>) -> Result<Replies, StorageError<u64>> {
        let mut replies = Replies::default();
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.position.lock().membership =
                    StoredMembership::new(Some(entry.log_id), membership);
            }
            EntryPayload::Normal(batch) => {
                let answered = self.machine.apply(entry.log_id.index, &batch.0);
                let answered = answered
                    .map_err(|e| StorageIOError::apply(entry.log_id, AnyError::error(e)))?;
                replies.0 = answered
                    .into_iter()
                    .map(serde_bytes::ByteBuf::from)
                    .collect();
            }
        }
        Ok(replies)
    }

    fn store(position: &mut Position, stored: StoredSnapshot) -> Result<(), StorageError<u64>> {
        let written = position.file.write(&stored);
        written.map_err(|e| StorageIOError::write_snapshot(None, AnyError::new(&e)))?;
        position.snapshot = Some(stored);
        Ok(())
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig> for MachineAdapter<M> {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, Membership), StorageError<u64>> {
        let position = self.position.lock();
        Ok((position.applied, position.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Replies>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let mut replies = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            replies.push(self.apply_entry(entry)?);
            self.position.lock().applied = Some(log_id);
        }
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        let description = snapshot.into_inner();
        let mut position = self.position.lock();
        let installed = self.machine.install(&description);
        installed.map_err(|e| {
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::error(e))
        })?;
        position.applied = meta.last_log_id;
        position.membership = meta.last_membership.clone();
        Self::store(
            &mut position,
            StoredSnapshot {
                meta: meta.clone(),
                description,
            },
        )
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<Snapshot<TypeConfig>>, StorageError<u64>> {
        let position = self.position.lock();
        Ok(position.snapshot.clone().map(|stored| Snapshot {
            meta: stored.meta,
            snapshot: Box::new(Cursor::new(stored.description)),
        }))
    }
}

impl<M: Machine> RaftSnapshotBuilder<TypeConfig> for MachineAdapter<M> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<u64>> {
        // The position is read first: the machine may run ahead of it while it becomes durable,
        // and then more is durable than the pointer says, which is harmless.
        let (applied, membership) = {
            let position = self.position.lock();
            (position.applied, position.membership.clone())
        };
        let machine = self.machine.clone();
        let durable = tokio::task::spawn_blocking(move || machine.make_durable()).await;
        let description = durable
            .map_err(|e| StorageIOError::write_snapshot(None, AnyError::new(&e)))?
            .map_err(|e| StorageIOError::write_snapshot(None, AnyError::error(e)))?;
        let index = applied.map_or(0, |id| id.index);
        let meta = SnapshotMeta {
            last_log_id: applied,
            last_membership: membership,
            snapshot_id: format!("{index}-{:08x}", crc32c::crc32c(&description)),
        };
        let mut position = self.position.lock();
        let newer = position
            .snapshot
            .as_ref()
            .is_none_or(|s| s.meta.last_log_id <= applied);
        if newer {
            let stored = StoredSnapshot {
                meta: meta.clone(),
                description: description.clone(),
            };
            Self::store(&mut position, stored)?;
        }
        Ok(Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(description)),
        })
    }
}

/// Reads the bytes of an entry, for the scan of memberships at start.
pub(crate) fn decode_entry(bytes: &[u8]) -> std::io::Result<Entry<TypeConfig>> {
    codec::from_slice(bytes)
}
