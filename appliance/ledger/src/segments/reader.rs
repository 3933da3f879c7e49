//! Reading records by index, from any thread, while the one writer goes on.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::recovery::{CorruptionKind, Segment, corruption, segment_name};
use crate::disk::{Disk, DiskFile, Fault, read_exact_at};
use crate::frame::{self, Place};

/// Segment files kept open for readers. 64 of 64 MiB cover 4 GiB of recent log, and leave the
/// process its descriptors for connections.
const OPEN_SEGMENTS_MAX: usize = 64;
/// Bytes that an iterator reads at once, so that a scan costs few calls.
const READ_AHEAD_BYTES: u32 = 1 << 20;

/// What the writer and the readers of one log share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) record_bytes_max: usize,
    pub(super) index: RwLock<Index>,
    handles: Mutex<VecDeque<(u64, Arc<dyn DiskFile>)>>,
}

/// Where each record is.
#[derive(Debug)]
pub(super) struct Index {
    /// First index held.
    pub(super) first: u64,
    /// One past the last record of a completed append.
    pub(super) size: u64,
    /// In order, never empty.
    pub(super) segments: Vec<Segment>,
}

/// The bytes of some frames of one segment.
struct Span {
    segment: u64,
    /// Offset of each frame and, last, of the end; bytes.
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        record_bytes_max: usize,
        index: Index,
    ) -> Self {
        let handles = Mutex::new(VecDeque::new());
        Self {
            disk,
            dir,
            record_bytes_max,
            index: RwLock::new(index),
            handles,
        }
    }

    /// Forgets an open file, because a file of that name is about to be removed.
    pub(super) fn forget(&self, first: u64) {
        self.handles.lock().retain(|(held, _)| *held != first);
    }

    fn handle(&self, first: u64) -> Result<Arc<dyn DiskFile>, Fault> {
        let mut handles = self.handles.lock();
        if let Some((_, file)) = handles.iter().find(|(held, _)| *held == first) {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join(segment_name(first));
        let file = self
            .disk
            .open(&path)
            .map_err(|e| Fault::disk("open", &path, &e))?;
        if handles.len() >= OPEN_SEGMENTS_MAX {
            handles.pop_front();
        }
        handles.push_back((first, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads the frames from `index` on: one at least, more while they are in the same segment,
    /// below `end` and within `bytes_max`.
    fn read_span(&self, index: u64, end: u64, bytes_max: u32) -> Result<Span, Fault> {
        let (segment, offsets, file) = {
            let map = self.index.read();
            let out_of_range = Fault::OutOfRange {
                index,
                first: map.first,
                size: map.size,
            };
            if index < map.first || index >= map.size {
                return Err(out_of_range);
            }
            let holding = map
                .segments
                .partition_point(|segment| segment.first <= index);
            let segment = holding.checked_sub(1).and_then(|at| map.segments.get(at));
            let segment = segment.ok_or_else(|| out_of_range.clone())?;
            let from = usize::try_from(index - segment.first).map_err(|_| out_of_range.clone())?;
            let limit = usize::try_from(end.min(map.size) - segment.first).unwrap_or(usize::MAX);
            let frames = segment.offsets.get(from..limit.min(segment.offsets.len()));
            let frames = frames.unwrap_or_default();
            let start = frames.first().copied().ok_or(out_of_range)?;
            let near = frames
                .partition_point(|offset| *offset - start < bytes_max)
                .max(1);
            let mut offsets = frames.get(..near).unwrap_or_default().to_vec();
            offsets.push(
                segment
                    .offsets
                    .get(from + near)
                    .copied()
                    .unwrap_or(segment.end),
            );
            // Opened under the lock: a file that the map knows has not been removed yet.
            (segment.first, offsets, self.handle(segment.first)?)
        };
        let (start, end) = (
            *offsets.first().unwrap_or(&0),
            *offsets.last().unwrap_or(&0),
        );
        let mut bytes = vec![0_u8; usize::try_from(end - start).unwrap_or(0)];
        read_exact_at(&*file, &mut bytes, u64::from(start)).map_err(|e| {
            let path = self.dir.join(segment_name(segment));
            Fault::disk("read", &path, &e)
        })?;
        Ok(Span {
            segment,
            offsets,
            bytes,
        })
    }

    pub(super) fn read(&self, index: u64) -> Result<Vec<u8>, Fault> {
        let span = self.read_span(index, index + 1, 0)?;
        span.record(0, index, self.record_bytes_max)
    }
}

impl Span {
    /// The record of the frame at `position`, its checksum checked again.
    fn record(&self, position: usize, index: u64, record_max: usize) -> Result<Vec<u8>, Fault> {
        let start = self.offsets.first().copied().unwrap_or(0);
        let offset = self.offsets.get(position).copied().unwrap_or(start);
        let at = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let place = Place {
            segment: self.segment,
            offset,
        };
        match frame::decode(self.bytes.get(at..).unwrap_or_default(), place, record_max) {
            Ok(frame) => Ok(frame.record.to_vec()),
            Err(_) => {
                let kind = CorruptionKind::BadCrc;
                Err(Fault::Damaged(corruption(
                    self.segment,
                    u64::from(offset),
                    index,
                    kind,
                )))
            }
        }
    }
}

/// Reads records that were appended; can be cloned and sent to other threads.
#[derive(Debug, Clone)]
pub struct SegmentsReader {
    pub(super) shared: Arc<Shared>,
}

impl SegmentsReader {
    /// First index held.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.shared.index.read().first
    }

    /// One past the last index appended; not necessarily durable yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.index.read().size
    }

    /// The record with this index.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`], [`Fault::Disk`], or [`Fault::Damaged`] when its checksum is wrong.
    pub fn read(&self, index: u64) -> Result<Vec<u8>, Fault> {
        self.shared.read(index)
    }

    /// The records from `index` to the size at this moment.
    #[must_use]
    pub fn iter_from(&self, index: u64) -> Records {
        self.range(index, self.size())
    }

    /// The records from `index` up to `end` (exclusive). An index that is not held is an error of
    /// the first step.
    #[must_use]
    pub fn range(&self, index: u64, end: u64) -> Records {
        Records {
            shared: Arc::clone(&self.shared),
            next: index,
            end,
            span: None,
            position: 0,
        }
    }
}

/// Iterator over records in order; ends after the first error.
pub struct Records {
    shared: Arc<Shared>,
    next: u64,
    end: u64,
    span: Option<Span>,
    position: usize,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({}..{})", self.next, self.end)
    }
}

impl Records {
    fn step(&mut self) -> Result<Vec<u8>, Fault> {
        let span = match self.span.take() {
            Some(span) if self.position + 1 < span.offsets.len() => span,
            _ => {
                self.position = 0;
                self.shared
                    .read_span(self.next, self.end, READ_AHEAD_BYTES)?
            }
        };
        let record = span.record(self.position, self.next, self.shared.record_bytes_max)?;
        self.span = Some(span);
        self.position += 1;
        self.next += 1;
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Vec<u8>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.end = self.next;
        }
        Some(step)
    }
}
