//! What is plugged in above agreement, and its adapter to openraft.

use crate::danger::{self, Bug};
use crate::double_slot::DoubleSlot;
use crate::peers::BoxFuture;
use crate::standing::{Outcome, Standing};
use crate::types::{Command, EntryId, Member, TypeConfig};
use ledger::Disk;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, Entry, EntryPayload, LogId, RaftSnapshotBuilder, Snapshot};
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
    /// Called again with the same entry after a crash, it must come to the same result. Only
    /// commands that count come here; those that expired with a leader never do. On a witness
    /// every payload is missing.
    ///
    /// # Errors
    /// A fault stops the node: skipping an entry would make it differ from the others.
    fn apply(&self, entry: EntryId, commands: &[Command]) -> Result<Vec<Vec<u8>>, MachineFault>;

    /// Describes what is applied now, for a member that will catch up from it: small (under 48 KiB;
    /// what it describes is fetched by the other side), and quick, because nothing is applied
    /// meanwhile.
    ///
    /// # Errors
    /// A fault stops the node.
    fn describe(&self) -> Result<Vec<u8>, MachineFault>;

    /// Makes everything applied so far durable, so that the entries before can be forgotten.
    ///
    /// # Errors
    /// A fault stops the node.
    fn make_durable(&self) -> Result<(), MachineFault>;

    /// Fetches from other members what a described state needs and this machine does not have.
    /// Slow and resumable: called before [`Machine::install`], and again with a newer description
    /// after a fault or a restart. Consensus goes on meanwhile, so entries may still be applied;
    /// nothing fetched may count before `install`.
    ///
    /// # Errors
    /// The leader is told, and tries again; the node goes on.
    fn fetch(&self, _description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>> {
        Box::pin(async { Ok(()) })
    }

    /// Replaces the state by the described one, for which [`Machine::fetch`] has been successful:
    /// in this run, or before a restart that came between the two; it must be there already then.
    /// Consensus on this node waits for it: a machine that has much to fetch does so in `fetch`.
    /// May be called again with the same description.
    ///
    /// # Errors
    /// A fault stops the node.
    fn install(&self, description: Vec<u8>) -> BoxFuture<'_, Result<(), MachineFault>>;

    /// Asked at the leader about a command that another member handed over: does what the command
    /// says of its origin fit the node it came from?
    ///
    /// # Errors
    /// Why not; the proposer gets [`crate::ProposeFault::Refused`].
    fn may_propose(&self, caller: u64, command: &Command) -> Result<(), String>;
}

/// The machine could not do its work on this node.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MachineFault(pub String);

pub(crate) type Membership = StoredMembership<u64, Member>;

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
    pub(crate) meta: SnapshotMeta<u64, Member>,
    #[serde(with = "serde_bytes")]
    pub(crate) description: Vec<u8>,
}

/// A [`Machine`] as openraft sees it.
pub(crate) struct MachineAdapter<M> {
    machine: Arc<M>,
    position: Arc<Mutex<Position>>,
    /// Held while an entry is applied: a description and its position are of one moment.
    turn: Arc<Mutex<()>>,
    standing: Arc<Standing>,
    /// No threads: what would go to one is done at once.
    inline: bool,
}

impl<M> Clone for MachineAdapter<M> {
    fn clone(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            position: self.position.clone(),
            turn: self.turn.clone(),
            standing: self.standing.clone(),
            inline: self.inline,
        }
    }
}

impl<M: Machine> MachineAdapter<M> {
    /// Opens the snapshot pointer beside the log.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        machine: Arc<M>,
        standing: Arc<Standing>,
        inline: bool,
    ) -> std::io::Result<Self> {
        let (file, snapshot) = DoubleSlot::<StoredSnapshot>::open(disk, path)?;
        let (applied, membership) = snapshot.as_ref().map_or_else(Default::default, |s| {
            (s.meta.last_log_id, s.meta.last_membership.clone())
        });
        standing.snapshot_stored(applied.map(|id| id.index));
        let position = Position {
            applied,
            membership,
            snapshot,
            file,
        };
        Ok(Self {
            machine,
            position: Arc::new(Mutex::new(position)),
            turn: Arc::default(),
            standing,
            inline,
        })
    }

    /// Completes an installation that a crash cut short: the machine found less on its disk than
    /// the snapshot covers.
    pub(crate) async fn complete(&self, found: Option<u64>) -> Result<(), MachineFault> {
        let description = {
            let position = self.position.lock();
            let stored = position.snapshot.as_ref();
            let ahead = stored.filter(|s| s.meta.last_log_id.map(|id| id.index) > found);
            ahead.map(|stored| stored.description.clone())
        };
        match description {
            Some(description) => self.machine.install(description).await,
            None => Ok(()),
        }
    }

    /// Index that the snapshot covers.
    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        let position = self.position.lock();
        let snapshot = position.snapshot.as_ref()?;
        snapshot.meta.last_log_id.map(|id| id.index)
    }

    /// Moves the position forward to what the machine itself found on its disk.
    pub(crate) fn advance(&self, applied: LogId<u64>, membership: Option<Membership>) {
        let mut position = self.position.lock();
        position.applied = Some(applied);
        if let Some(membership) = membership {
            position.membership = membership;
        }
    }

    /// Where the machine stands, and the last membership applied there.
    pub(crate) fn position(&self) -> (Option<LogId<u64>>, Membership) {
        let position = self.position.lock();
        (position.applied, position.membership.clone())
    }

    /// Tells the node where the machine stands before consensus begins.
    pub(crate) fn announce(&self) {
        if let Some(applied) = self.position.lock().applied {
            self.standing.applied(applied);
        }
    }

    fn apply_entry(&self, entry: Entry<TypeConfig>) -> Result<(), StorageError<u64>> {
        let log_id = entry.log_id;
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.standing.membership_applied(log_id, &membership);
                self.position.lock().membership = StoredMembership::new(Some(log_id), membership);
            }
            // A batch of another reign is answered by `Standing::applied` below: it expired.
            EntryPayload::Normal(batch)
                if batch.reign != log_id.leader_id && !danger::has(Bug::NoTermFence) => {}
            EntryPayload::Normal(batch) => {
                let id = EntryId {
                    index: log_id.index,
                    term: log_id.leader_id.term,
                };
                let replies = self.machine.apply(id, &batch.commands);
                let replies =
                    replies.map_err(|e| StorageIOError::apply(log_id, AnyError::error(e)))?;
                self.standing.answer(&batch, log_id.index, replies);
            }
        }
        Ok(())
    }

    fn store(
        &self,
        position: &mut Position,
        stored: StoredSnapshot,
    ) -> Result<(), StorageError<u64>> {
        if let Err(e) = position.file.write(&stored) {
            self.standing.machine_broke();
            return Err(StorageIOError::write_snapshot(None, AnyError::new(&e)).into());
        }
        let covered = stored.meta.last_log_id.map(|id| id.index);
        position.snapshot = Some(stored);
        self.standing.snapshot_stored(covered);
        Ok(())
    }

    async fn make_durable(&self) -> Result<(), StorageError<u64>> {
        let machine = self.machine.clone();
        let durable = if self.inline {
            machine.make_durable()
        } else {
            let done = tokio::task::spawn_blocking(move || machine.make_durable()).await;
            done.map_err(|e| StorageIOError::write_snapshot(None, AnyError::new(&e)))?
        };
        Ok(durable.map_err(|e| StorageIOError::write_snapshot(None, AnyError::error(e)))?)
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig> for MachineAdapter<M> {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, Membership), StorageError<u64>> {
        Ok(self.position())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let mut done = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            {
                let _turn = self.turn.lock();
                self.apply_entry(entry)
                    .inspect_err(|_| self.standing.machine_broke())?;
                self.position.lock().applied = Some(log_id);
            }
            self.standing.applied(log_id);
            done.push(());
        }
        Ok(done)
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
        meta: &SnapshotMeta<u64, Member>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        let fault = |e| StorageIOError::write_snapshot(Some(meta.signature()), e);
        let description = snapshot.into_inner();
        {
            // The pointer first: what it points to was fetched and is durable. A crash between the
            // two leaves an installation to be done at the next start.
            let mut position = self.position.lock();
            position.applied = meta.last_log_id;
            position.membership = meta.last_membership.clone();
            let (meta, description) = (meta.clone(), description.clone());
            self.store(&mut position, StoredSnapshot { meta, description })?;
        }
        let installed = self.machine.install(description).await;
        installed.map_err(|e| fault(AnyError::error(e)))?;
        // What was applied inside the snapshot was applied unseen.
        self.standing.settle_all(&Outcome::Unseen);
        let membership = &meta.last_membership;
        if let Some(id) = membership.log_id() {
            self.standing
                .membership_applied(*id, membership.membership());
        }
        if let Some(last) = meta.last_log_id {
            self.standing.applied(last);
        }
        Ok(())
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
        let ((applied, membership), description) = {
            let _turn = self.turn.lock();
            (self.position(), self.machine.describe())
        };
        let fault = |e| StorageIOError::write_snapshot(None, AnyError::error(e));
        let description = description.map_err(fault)?;
        // The machine may run ahead while it becomes durable; then more is durable than the
        // description says, which is harmless.
        self.make_durable().await?;
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
            self.store(&mut position, stored)?;
        }
        Ok(Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(description)),
        })
    }
}
