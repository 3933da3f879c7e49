//! The Raft log on the segments of the ledger crate.
//!
//! One record of the segments is one Raft entry. All writing happens in one place, in order (see
//! `log_writer`): the vote, appends, truncation, purge. Entries not yet flushed, and the latest
//! ones, are also kept in memory, so applying what was just written reads no disk.
//!
//! The position of a record in the segments is the Raft index of its entry.

use crate::codec;
use crate::double_slot::DoubleSlot;
use crate::log_writer::{Folder, Job, LogWriter};
use crate::network::{APPEND_BYTES_MAX, entry_bytes};
use crate::standing::Standing;
use crate::types::TypeConfig;
use ledger::{Disk, Segments, SegmentsConfig, SegmentsReader};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    AnyError, Entry, EntryPayload, LogId, RaftLogId, RaftLogReader, StorageError, StorageIOError,
    Vote,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

/// Largest record of the Raft log: a full batch and one command over it, with CBOR around them.
const RAFT_RECORD_BYTES_MAX: usize = 4 << 20;

/// Segments of the Raft log: small, so that a purge frees space soon.
const RAFT_SEGMENT_BYTES_MAX: usize = 32 << 20;

/// Flushed entries kept in memory for the next apply and for followers that are nearly up to date.
const CACHED_ENTRIES_MAX: usize = 256;

/// Bytes of those entries: under a burst of large objects they must not fill the memory.
const CACHED_BYTES_MAX: usize = 16 << 20;

/// What Raft must not forget besides the entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HardState {
    pub(crate) vote: Option<Vote<u64>>,
    pub(crate) purged: Option<LogId<u64>>,
}

/// Index of the last Raft entry that is on this node's disk: what its Hello says. A handle, so that
/// it can be said from the first connection on; [`crate::Cluster::start`] fills it in before it
/// sends anything, and keeps it up.
#[derive(Clone, Debug, Default)]
pub struct LogEnd(Arc<AtomicU64>);

impl LogEnd {
    /// The index; `None` while the log is empty or not open yet.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        self.0.load(Ordering::Acquire).checked_sub(1)
    }

    fn set(&self, index: Option<u64>) {
        self.0.store(index.map_or(0, |i| i + 1), Ordering::Release);
    }
}

/// The entries and what is known of them without reading the disk.
pub(crate) struct Tail {
    /// The latest entries, consecutive, ending with the last one.
    cached: VecDeque<Entry<TypeConfig>>,
    cached_bytes: usize,
    last: Option<LogId<u64>>,
    /// Index of the first entry; no entry below it is here.
    first: u64,
    hard: HardState,
    flushed: Option<u64>,
    end: LogEnd,
}

/// The log as openraft sees it. Clones share everything.
#[derive(Clone)]
pub(crate) struct LogStore {
    tail: Arc<Mutex<Tail>>,
    reader: SegmentsReader,
    writer: LogWriter,
    standing: Arc<Standing>,
}

impl LogStore {
    /// Opens or makes the log in a folder and starts its writer: a thread, or none if `inline`.
    ///
    /// # Errors
    /// Damage of the segments or of the vote file, by name; and those of the disk.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        standing: Arc<Standing>,
        end: &LogEnd,
        inline: bool,
    ) -> io::Result<Self> {
        ledger::make_durable_dir(&**disk, dir).map_err(io::Error::other)?;
        let (hard_file, hard) = DoubleSlot::<HardState>::open(&**disk, &dir.join("vote"))?;
        let hard = hard.unwrap_or_default();
        let config = segments_config();
        // Entries are re-read and checked by Raft itself; no floor is known from elsewhere.
        let (mut segments, recovery) =
            Segments::open(disk.clone(), &dir.join("log"), config, 0).map_err(io::Error::other)?;
        if let Some(torn) = &recovery.torn_tail {
            tracing::warn!("Raft log: an unfinished write at the end was dropped: {torn:?}");
        }
        if let Some(purged) = hard.purged {
            // The mark is written before entries go. A crash between the two would leave a log
            // that ends before the mark, to which nothing could ever be appended.
            let finished = segments.purge_before(purged.index + 1);
            finished.map_err(io::Error::other)?;
        }
        let mut tail = Tail {
            cached: VecDeque::new(),
            cached_bytes: 0,
            last: hard.purged,
            first: 0,
            hard,
            flushed: None,
            end: end.clone(),
        };
        let reader = segments.reader();
        read_end(&segments, &mut tail)?;
        tail.publish();
        let tail = Arc::new(Mutex::new(tail));
        let folder = Folder::new(segments, hard_file, tail.clone());
        let writer = LogWriter::start(folder, inline)?;
        Ok(Self {
            tail,
            reader,
            writer,
            standing,
        })
    }

    /// Forgets that this node led, but not for whom it voted.
    ///
    /// Openraft lets a node that restarts go on leading where it stopped. When its disk was rolled
    /// back meanwhile, it would write other entries under the ids of entries that its followers
    /// have. With peers, a node therefore has to be elected again.
    pub(crate) fn renounce_leadership(&self) {
        if let Some(vote) = &mut self.tail.lock().hard.vote
            && vote.leader_id.node_id == self.standing.node
        {
            vote.committed = false;
        }
    }

    /// The last entry, or the last that was purged.
    pub(crate) fn last(&self) -> Option<LogId<u64>> {
        self.tail.lock().last
    }

    /// The last entry that was purged.
    pub(crate) fn purged(&self) -> Option<LogId<u64>> {
        self.tail.lock().hard.purged
    }

    /// Entries of a range, from memory where they are there.
    pub(crate) fn entries(
        &self,
        range: impl RangeBounds<u64>,
    ) -> io::Result<Vec<Entry<TypeConfig>>> {
        let (start, end, cached_from, mut cached) = {
            let tail = self.tail.lock();
            let (start, end) = tail.clamp(&range);
            let cached_from = tail.cached.front().map_or(end, |e| e.log_id.index).min(end);
            let from = start.max(cached_from);
            let skip = usize::try_from(from - cached_from).unwrap_or(usize::MAX);
            let take = usize::try_from(end.saturating_sub(from)).unwrap_or(0);
            let cached: Vec<_> = tail.cached.iter().skip(skip).take(take).cloned().collect();
            (start, end, cached_from, cached)
        };
        let mut entries = Vec::new();
        for index in start..end.min(cached_from) {
            let record = self.reader.read(index).map_err(io::Error::other)?;
            let entry = decode_entry(&record)?;
            if entry.log_id.index != index {
                let found = entry.log_id.index;
                let message = format!("Raft log: entry {found} stands where {index} should");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            entries.push(entry);
        }
        entries.append(&mut cached);
        Ok(entries)
    }

    /// Begins a new segment, so that every entry so far can be purged as a whole file.
    pub(crate) async fn roll(&self) -> io::Result<()> {
        self.carry_out(|done| Job::Roll { done }).await
    }

    async fn carry_out(
        &self,
        job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.writer.submit(job(done)).await?;
        answer.await.map_err(|_| crate::log_writer::gone())?
    }
}

impl Tail {
    /// Cuts a range to the entries that are there: `[start, end)`.
    fn clamp(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let first = self
            .hard
            .purged
            .map_or(0, |id| id.index + 1)
            .max(self.first);
        let start = match range.start_bound() {
            Bound::Included(i) => *i,
            Bound::Excluded(i) => i + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(i) => i + 1,
            Bound::Excluded(i) => *i,
            Bound::Unbounded => u64::MAX,
        };
        let beyond = self.last.map_or(0, |id| id.index + 1);
        let (start, end) = (start.max(first), end.min(beyond));
        (start.min(end), end)
    }

    /// Notes that the log is on the disk up to an index.
    pub(crate) fn flushed_to(&mut self, index: Option<u64>) {
        self.flushed = index;
        self.publish();
        self.trim();
    }

    /// Says how far the disk reaches. What a durable snapshot covers is there, too.
    fn publish(&self) {
        let purged = self.hard.purged.map(|id| id.index);
        self.end.set(self.flushed.max(purged));
    }

    /// Drops flushed entries that are no longer among the latest.
    fn trim(&mut self) {
        let flushed = self.flushed;
        while self.cached.len() > CACHED_ENTRIES_MAX || self.cached_bytes > CACHED_BYTES_MAX {
            let flushed = |e: &Entry<TypeConfig>| Some(e.log_id.index) <= flushed;
            let Some(first) = self.cached.front().filter(|first| flushed(first)) else {
                return;
            };
            self.cached_bytes = self.cached_bytes.saturating_sub(entry_bytes(first));
            self.cached.pop_front();
        }
    }

    /// Keeps cached entries of which a condition on the index holds.
    fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        let before = self.cached.len();
        self.cached.retain(|e| keep(e.log_id.index));
        if self.cached.len() < before {
            self.cached_bytes = self.cached.iter().map(entry_bytes).sum();
        }
    }
}

/// Reads the bytes of an entry.
fn decode_entry(bytes: &[u8]) -> io::Result<Entry<TypeConfig>> {
    codec::from_slice(bytes)
}

/// Limits of the segments of the Raft log.
pub(crate) const fn segments_config() -> SegmentsConfig {
    SegmentsConfig {
        segment_bytes_max: RAFT_SEGMENT_BYTES_MAX,
        record_bytes_max: RAFT_RECORD_BYTES_MAX,
    }
}

/// Id of the last entry that stands in the segments.
pub(crate) fn last_entry(segments: &Segments) -> io::Result<Option<LogId<u64>>> {
    let index = segments.size().checked_sub(1);
    let Some(index) = index.filter(|i| *i >= segments.first()) else {
        return Ok(None);
    };
    let last = decode_entry(&segments.read(index).map_err(io::Error::other)?)?.log_id;
    if last.index != index {
        let message = format!("Raft log: entry {} stands where {index} should", last.index);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(last))
}

/// Learns from the last record where the log ends.
fn read_end(segments: &Segments, tail: &mut Tail) -> io::Result<()> {
    let Some(last) = last_entry(segments)? else {
        return Ok(());
    };
    let index = last.index;
    if tail.last.is_none_or(|purged| purged.index < index) {
        tail.last = Some(last);
    }
    tail.first = segments.first();
    tail.flushed = Some(index);
    Ok(())
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        Ok(self
            .entries(range)
            .map_err(|e| StorageIOError::read_logs(AnyError::new(&e)))?)
    }

    /// No more than one message to a follower takes: it may be far behind, and entries are large.
    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in start..end {
            let next = self.entries(index..=index);
            let next = next.map_err(|e| StorageIOError::read_logs(AnyError::new(&e)))?;
            bytes += next.iter().map(entry_bytes).sum::<usize>();
            entries.extend(next);
            if bytes > APPEND_BYTES_MAX {
                break;
            }
        }
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<u64>> {
        let tail = self.tail.lock();
        Ok(LogState {
            last_purged_log_id: tail.hard.purged,
            last_log_id: tail.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        let hard = {
            let mut tail = self.tail.lock();
            tail.hard.vote = Some(*vote);
            tail.hard.clone()
        };
        let saved = self.carry_out(|done| Job::Vote { hard, done }).await;
        Ok(saved.map_err(|e| StorageIOError::write_vote(AnyError::new(&e)))?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.tail.lock().hard.vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let fault = |e: io::Error| StorageIOError::write_logs(AnyError::new(&e));
        let entries: Vec<_> = entries.into_iter().collect();
        let records: io::Result<Vec<_>> = entries.iter().map(codec::to_vec).collect();
        let records = records.map_err(fault)?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let (first, last) = (first.log_id.index, last.log_id);
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        for entry in &entries {
            if let EntryPayload::Membership(members) = &entry.payload {
                self.standing.membership_appended(entry.log_id, members);
            }
        }
        {
            let mut tail = self.tail.lock();
            if tail.last == tail.hard.purged {
                tail.first = first;
            }
            tail.retain(|index| index < first);
            tail.cached_bytes += bytes;
            tail.cached.extend(entries);
            tail.last = Some(last);
        }
        let sent = self.writer.submit(Job::Append {
            first,
            records,
            done: callback,
        });
        Ok(sent.await.map_err(fault)?)
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        let fault = |e: io::Error| StorageIOError::write_logs(AnyError::new(&e));
        let before = log_id.index.checked_sub(1);
        let before = match before {
            Some(index) => self
                .entries(index..=index)
                .map_err(fault)?
                .pop()
                .map(|e| *e.get_log_id()),
            None => None,
        };
        {
            let mut tail = self.tail.lock();
            tail.retain(|index| index < log_id.index);
            tail.last = before.or(tail.hard.purged);
            tail.flushed = tail.flushed.min(before.map(|id| id.index));
            tail.publish();
        }
        let done = self
            .carry_out(|done| Job::Truncate {
                index: log_id.index,
                done,
            })
            .await;
        Ok(done.map_err(fault)?)
    }

    /// Openraft asks for this beside the installation of a snapshot, not behind it. A crash between
    /// the two would leave a log whose beginning is gone and a machine that needs it, so entries
    /// go only when the durable pointer to the snapshot covers them.
    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        if !self.standing.snapshot_covers(log_id.index).await {
            let message = format!("entries up to {log_id} are needed: no snapshot holds them");
            return Err(StorageIOError::write_logs(AnyError::error(message)).into());
        }
        let hard = {
            let mut tail = self.tail.lock();
            if tail.hard.purged.is_some_and(|purged| purged >= log_id) {
                return Ok(());
            }
            tail.hard.purged = Some(log_id);
            tail.retain(|index| index > log_id.index);
            tail.last = tail.last.max(Some(log_id));
            tail.publish();
            tail.hard.clone()
        };
        let before = log_id.index + 1;
        let done = self
            .carry_out(|done| Job::Purge { hard, before, done })
            .await;
        Ok(done.map_err(|e| StorageIOError::write_logs(AnyError::new(&e)))?)
    }
}
