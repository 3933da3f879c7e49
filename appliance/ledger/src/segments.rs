//! A log as a folder of bounded files: append, sync, recover; and, for the Raft log only, cut off
//! the end and purge the beginning.
//!
//! Each file is called `<first index, 16 hex digits>.seg`; its bytes are described in `frame.rs`.
//! There is one writer ([`Segments`]) and any number of readers ([`SegmentsReader`]).
//!
//! Order of writes, on which recovery hangs:
//! * A new segment is created under another name, synced, renamed and its folder synced before its
//!   first frame counts; before that, the segment it follows is synced. So only the last segment
//!   can have a torn tail, and a damaged header is always corruption.
//! * [`Segments::truncate_from`] removes files from the last to the first,
//!   [`Segments::purge_before`] from the first to the last, with the folder synced after each, so
//!   that a crash in between leaves a log without gaps.

mod reader;
mod recovery;
mod rewrite;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use reader::{Records, SegmentsReader};
pub use recovery::{Corruption, CorruptionKind, OpenError, Recovery, TornTail};
pub use rewrite::Rewrite;

use crate::disk::{Disk, DiskFile, Fault, make_durable_dir, write_all_at};
use crate::frame::{self, FRAME_HEADER_BYTES, Place, SEGMENT_HEADER_BYTES, SegmentHeader};
use reader::{Index, Shared};
use recovery::{Segment, Tail, segment_name};

/// How far ahead of the records a segment is filled with zeros, bytes. Then fdatasync need not
/// journal a new file size: 83 µs instead of 125 µs where this was measured.
const FILL_AHEAD_BYTES: usize = 1 << 20;

/// Segment size of the ledger, bytes: small enough to copy, check and fetch from a peer as one.
pub const LEDGER_SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Longest record of the ledger, bytes (DESIGN.md §2).
pub const LEDGER_RECORD_BYTES_MAX: usize = 60 << 10;

/// Limits of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsConfig {
    /// A segment that would grow over this gets a successor, bytes. A single longer record still
    /// gets a segment of its own. Must not be lowered while longer segments are there.
    pub segment_bytes_max: usize,
    /// Longer records are refused, bytes. Must not be lowered while longer ones are in the log.
    pub record_bytes_max: usize,
}

impl SegmentsConfig {
    /// The limits of the ledger.
    pub const LEDGER: Self = Self {
        segment_bytes_max: LEDGER_SEGMENT_BYTES_MAX,
        record_bytes_max: LEDGER_RECORD_BYTES_MAX,
    };

    fn check(self) -> Result<(), OpenError> {
        if self.record_bytes_max == 0 || self.segment_bytes_max == 0 {
            return Err(OpenError::Config("a limit is 0".to_owned()));
        }
        if self.file_bytes_max() > i32::MAX as usize {
            let message = "segment and record limits together exceed 2 GiB";
            return Err(OpenError::Config(message.to_owned()));
        }
        Ok(())
    }

    /// No segment file is longer than this, bytes.
    fn file_bytes_max(self) -> usize {
        let frame = self
            .record_bytes_max
            .saturating_add(FRAME_HEADER_BYTES + SEGMENT_HEADER_BYTES);
        self.segment_bytes_max.saturating_add(frame)
    }
}

/// The one writer of a log.
#[derive(Debug)]
pub struct Segments {
    shared: Arc<Shared>,
    config: SegmentsConfig,
    active: Active,
    /// One past the last record written; ahead of the index only inside of `append`.
    next: u64,
    durable: u64,
    poisoned: Option<Fault>,
    /// Frames on their way to the disk; kept to be used again.
    buffer: Vec<u8>,
}

/// The last segment, the only one that is written.
#[derive(Debug)]
struct Active {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    first: u64,
    /// End of the last frame, bytes.
    end: u32,
    /// Everything before this is synced, bytes.
    synced: u32,
    /// Length of the file, zeros ahead included, bytes.
    allocated: u64,
}

impl Segments {
    /// Opens a log, or makes a new one in a folder without segments.
    ///
    /// `floor` is a number of records known from elsewhere to have been durable, such as the size
    /// of the last checkpoint; 0 when nothing is known.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] when something durable is damaged or missing; nothing is changed
    /// then. [`OpenError::Fault`] when the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: SegmentsConfig,
        floor: u64,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_visiting(disk, dir, config, floor, &mut |_, _| ())
    }

    /// As [`Segments::open`]; `visit` sees index and bytes of every record in order, even when
    /// opening fails later.
    ///
    /// # Errors
    /// As [`Segments::open`].
    pub fn open_visiting(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: SegmentsConfig,
        floor: u64,
        visit: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, Recovery), OpenError> {
        config.check()?;
        make_durable_dir(&*disk, dir)?;
        let mut found = recovery::read_log(&*disk, dir, config, floor, visit)?;
        for first in &found.obsolete {
            remove_segment(&*disk, dir, &segment_name(*first))?;
        }
        for name in &found.leftovers {
            remove_segment(&*disk, dir, name)?;
        }
        let active = match (found.segments.last(), found.tail) {
            (Some(last), Some(tail)) => Active::resume(&*disk, dir, last, &tail)?,
            _ => {
                found.segments.push(Segment::empty(0));
                let header = SegmentHeader {
                    first: 0,
                    fresh_start: false,
                };
                Active::create(&*disk, dir, header, config)?
            }
        };
        let (size, first) = (
            found.recovery.size,
            found.segments.first().map_or(0, |s| s.first),
        );
        let index = Index {
            first,
            size,
            segments: found.segments,
        };
        let shared = Shared::new(disk, dir.to_path_buf(), config.record_bytes_max, index);
        let log = Self {
            shared: Arc::new(shared),
            config,
            active,
            next: size,
            durable: size,
            poisoned: None,
            buffer: Vec::new(),
        };
        Ok((log, found.recovery))
    }

    /// First index held: 0, or where the last purge ended.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.shared.index.read().first
    }

    /// One past the last index appended.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.index.read().size
    }

    /// One past the last index that is on the disk for certain.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// A reader for another thread.
    #[must_use]
    pub fn reader(&self) -> SegmentsReader {
        SegmentsReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The record with this index.
    ///
    /// # Errors
    /// As [`SegmentsReader::read`].
    pub fn read(&self, index: u64) -> Result<Vec<u8>, Fault> {
        self.shared.read(index)
    }

    /// The records from `index` to the end.
    #[must_use]
    pub fn iter_from(&self, index: u64) -> Records {
        self.reader().iter_from(index)
    }

    /// The failure after which this log takes no more writes, if there was one.
    #[must_use]
    pub fn poisoned(&self) -> Option<&Fault> {
        self.poisoned.as_ref()
    }

    /// Appends records with one write per segment touched; returns the size after. They are
    /// durable only after [`Segments::sync`].
    ///
    /// # Errors
    /// [`Fault::RecordLength`] before anything is written, or [`Fault::Disk`], after which the log
    /// is poisoned. In both cases no record of this call is readable.
    pub fn append(&mut self, records: &[impl AsRef<[u8]>]) -> Result<u64, Fault> {
        self.refuse_poisoned()?;
        let max = self.config.record_bytes_max;
        for record in records {
            let bytes = record.as_ref().len();
            if bytes == 0 || bytes > max {
                return Err(Fault::RecordLength { bytes, max });
            }
        }
        let outcome = self.write_records(records);
        self.poison_on_fault(outcome)?;
        self.shared.index.write().size = self.next;
        Ok(self.next)
    }

    /// Makes everything appended durable; returns the durable size.
    ///
    /// # Errors
    /// [`Fault::Disk`], after which the log is poisoned: a sync is never tried twice.
    pub fn sync(&mut self) -> Result<u64, Fault> {
        self.refuse_poisoned()?;
        let outcome = self.active.sync();
        self.poison_on_fault(outcome)?;
        self.durable = self.next;
        Ok(self.durable)
    }

    /// Removes all records from `index` on; durable when it returns. For the Raft log.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] below the first index; [`Fault::Disk`], after which the log is
    /// poisoned.
    pub fn truncate_from(&mut self, index: u64) -> Result<(), Fault> {
        self.refuse_poisoned()?;
        let (first, size) = (self.first(), self.size());
        if index < first {
            return Err(Fault::OutOfRange { index, first, size });
        }
        if index >= size {
            return Ok(());
        }
        let outcome = self.cut(index);
        self.poison_on_fault(outcome)
    }

    /// Removes the segments all of whose records are below `index`; durable when it returns. An
    /// `index` beyond the size empties the log and makes `index` its first index and size, as after
    /// installing a snapshot. For the Raft log.
    ///
    /// # Errors
    /// [`Fault::Disk`], after which the log is poisoned.
    pub fn purge_before(&mut self, index: u64) -> Result<(), Fault> {
        self.refuse_poisoned()?;
        if index <= self.first() {
            return Ok(());
        }
        let outcome = self.purge(index);
        self.poison_on_fault(outcome)
    }

    /// Begins a new segment unless the last one is empty, so that a later
    /// [`Segments::purge_before`] can remove everything appended so far. For the Raft log.
    ///
    /// # Errors
    /// [`Fault::Disk`], after which the log is poisoned.
    pub fn begin_segment(&mut self) -> Result<(), Fault> {
        self.refuse_poisoned()?;
        if self.active.first == self.next {
            return Ok(());
        }
        let outcome = self.roll();
        self.poison_on_fault(outcome)?;
        self.durable = self.next;
        Ok(())
    }

    fn refuse_poisoned(&self) -> Result<(), Fault> {
        self.poisoned.clone().map_or(Ok(()), Err)
    }

    fn poison_on_fault<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &outcome {
            self.poisoned = Some(fault.clone());
        }
        outcome
    }

    fn write_records(&mut self, records: &[impl AsRef<[u8]>]) -> Result<(), Fault> {
        self.buffer.clear();
        let mut offsets = Vec::with_capacity(records.len());
        for record in records.iter().map(AsRef::as_ref) {
            let mut at = self.active.end as usize + self.buffer.len();
            let end = at + FRAME_HEADER_BYTES + record.len();
            if end > self.config.segment_bytes_max && at > SEGMENT_HEADER_BYTES {
                self.write_frames(&mut offsets)?;
                self.roll()?;
                at = self.active.end as usize;
            }
            let offset = position(at);
            let place = Place {
                segment: self.active.first,
                offset,
            };
            frame::encode(&mut self.buffer, place, offset - self.active.synced, record);
            offsets.push(offset);
        }
        self.write_frames(&mut offsets)
    }

    /// Writes the buffered frames in one call, with zeros ahead when the file must grow.
    fn write_frames(&mut self, offsets: &mut Vec<u32>) -> Result<(), Fault> {
        let active = &mut self.active;
        let end = active.end as usize + self.buffer.len();
        if end as u64 > active.allocated {
            let ahead = end.next_multiple_of(FILL_AHEAD_BYTES);
            let filled = ahead.min(self.config.segment_bytes_max).max(end);
            self.buffer.resize(self.buffer.len() + filled - end, 0);
            active.allocated = filled as u64;
        }
        write_all_at(&*active.file, &self.buffer, u64::from(active.end))
            .map_err(|e| Fault::disk("write", &active.path, &e))?;
        active.end = position(end);
        self.buffer.clear();
        self.next += offsets.len() as u64;
        let mut index = self.shared.index.write();
        let last = index
            .segments
            .last_mut()
            .expect("a log has at least one segment");
        last.offsets.append(offsets);
        last.end = active.end;
        Ok(())
    }

    /// Begins the next segment.
    fn roll(&mut self) -> Result<(), Fault> {
        self.active.sync()?;
        let header = SegmentHeader {
            first: self.next,
            fresh_start: false,
        };
        let active = Active::create(&*self.shared.disk, &self.shared.dir, header, self.config)?;
        self.active = active;
        self.shared
            .index
            .write()
            .segments
            .push(Segment::empty(self.next));
        Ok(())
    }

    fn cut(&mut self, from: u64) -> Result<(), Fault> {
        let mut removed = Vec::new();
        let last = {
            let mut index = self.shared.index.write();
            while let [.., _, last] = index.segments.as_slice()
                && last.first >= from
            {
                removed.extend(index.segments.pop());
            }
            let last = index
                .segments
                .last_mut()
                .expect("a log has at least one segment");
            let keep = usize::try_from(from - last.first).unwrap_or(usize::MAX);
            if let Some(cut) = last.offsets.get(keep).copied() {
                last.offsets.truncate(keep);
                last.end = cut;
            }
            let last = last.clone();
            index.size = from;
            last
        };
        let Shared { disk, dir, .. } = &*self.shared;
        for segment in &removed {
            self.shared.forget(segment.first);
            remove_segment(&**disk, dir, &segment_name(segment.first))?;
        }
        // Not `set_len` on another handle: on this one the sync covers earlier frames as well.
        if last.first != self.active.first {
            self.active = Active::reopen(&**disk, dir, &last)?;
        }
        self.active.end = last.end;
        self.active.cut_and_sync()?;
        self.next = from;
        self.durable = from;
        Ok(())
    }

    fn purge(&mut self, before: u64) -> Result<(), Fault> {
        let Shared { disk, dir, .. } = &*self.shared;
        let everything = before >= self.next;
        if everything {
            let header = SegmentHeader {
                first: before,
                fresh_start: true,
            };
            self.shared.forget(before);
            self.active = Active::create(&**disk, dir, header, self.config)?;
            self.next = before;
            self.durable = before;
        }
        let removed: Vec<Segment> = {
            let mut index = self.shared.index.write();
            let segments = &mut index.segments;
            let count = if everything {
                segments.len()
            } else {
                segments
                    .partition_point(|segment| segment.first <= before)
                    .saturating_sub(1)
            };
            let removed = segments.drain(..count).collect();
            if everything {
                segments.push(Segment::empty(before));
                index.size = before;
            }
            index.first = index
                .segments
                .first()
                .map_or(before, |segment| segment.first);
            removed
        };
        for segment in removed
            .iter()
            .filter(|segment| segment.first != self.active.first)
        {
            self.shared.forget(segment.first);
            remove_segment(&**disk, dir, &segment_name(segment.first))?;
        }
        Ok(())
    }
}

impl Active {
    /// Makes a new last segment; durable, name included, when it returns.
    fn create(
        disk: &dyn Disk,
        dir: &Path,
        header: SegmentHeader,
        config: SegmentsConfig,
    ) -> Result<Self, Fault> {
        let path = dir.join(segment_name(header.first));
        let unfinished = path.with_extension("seg.new");
        let fault = |action, path: &Path, error: &std::io::Error| Fault::disk(action, path, error);
        let file = disk
            .create(&unfinished)
            .map_err(|e| fault("create", &unfinished, &e))?;
        let mut bytes = header.encode();
        let filled = FILL_AHEAD_BYTES
            .min(config.segment_bytes_max)
            .max(bytes.len());
        bytes.resize(filled, 0);
        write_all_at(&*file, &bytes, 0).map_err(|e| fault("write", &unfinished, &e))?;
        file.sync_data()
            .map_err(|e| fault("sync", &unfinished, &e))?;
        disk.rename(&unfinished, &path)
            .map_err(|e| fault("rename to", &path, &e))?;
        disk.sync_dir(dir)
            .map_err(|e| fault("sync folder", dir, &e))?;
        let end = position(SEGMENT_HEADER_BYTES);
        let (first, allocated) = (header.first, filled as u64);
        Ok(Self {
            file,
            path,
            first,
            end,
            synced: end,
            allocated,
        })
    }

    /// Opens a segment that is whole up to its end.
    fn reopen(disk: &dyn Disk, dir: &Path, segment: &Segment) -> Result<Self, Fault> {
        let path = dir.join(segment_name(segment.first));
        let file = disk
            .open(&path)
            .map_err(|e| Fault::disk("open", &path, &e))?;
        let allocated = file.size().map_err(|e| Fault::disk("measure", &path, &e))?;
        let (first, end) = (segment.first, segment.end);
        Ok(Self {
            file,
            path,
            first,
            end,
            synced: end,
            allocated,
        })
    }

    /// Goes on with the last segment after a start.
    ///
    /// What was read may be only in the page cache: a sync that failed in the life before has
    /// marked the pages clean. So everything since the last known sync is written once more, and
    /// only then does a successful sync mean anything.
    fn resume(disk: &dyn Disk, dir: &Path, last: &Segment, tail: &Tail) -> Result<Self, Fault> {
        let mut active = Self::reopen(disk, dir, last)?;
        write_all_at(&*active.file, &tail.unsynced_bytes, u64::from(tail.synced))
            .map_err(|e| Fault::disk("write", &active.path, &e))?;
        active.allocated = tail.file_bytes;
        if tail.is_torn {
            active.cut_and_sync()?;
        } else {
            active
                .file
                .sync_data()
                .map_err(|e| Fault::disk("sync", &active.path, &e))?;
        }
        disk.sync_dir(dir)
            .map_err(|e| Fault::disk("sync folder", dir, &e))?;
        Ok(active)
    }

    fn sync(&mut self) -> Result<(), Fault> {
        if self.synced != self.end {
            self.file
                .sync_data()
                .map_err(|e| Fault::disk("sync", &self.path, &e))?;
            self.synced = self.end;
        }
        Ok(())
    }

    /// Cuts the file at its end, durably; the zeros ahead come back with the next append.
    fn cut_and_sync(&mut self) -> Result<(), Fault> {
        let bytes = u64::from(self.end);
        self.file
            .set_len(bytes)
            .map_err(|e| Fault::disk("cut", &self.path, &e))?;
        self.file
            .sync_data()
            .map_err(|e| Fault::disk("sync", &self.path, &e))?;
        self.allocated = bytes;
        self.synced = self.end;
        Ok(())
    }
}

/// Removes a file of the log; durable when it returns.
fn remove_segment(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), Fault> {
    let path = dir.join(name);
    disk.remove(&path)
        .map_err(|e| Fault::disk("remove", &path, &e))?;
    disk.sync_dir(dir)
        .map_err(|e| Fault::disk("sync folder", dir, &e))
}

/// An offset in a segment; the configuration was checked to keep all of them under 2 GiB.
fn position(offset: usize) -> u32 {
    u32::try_from(offset).expect("SegmentsConfig::check bounds segment files to 2 GiB")
}
