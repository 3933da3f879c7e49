//! Writing a damaged part of a log anew, from records that somebody else has kept.
//!
//! The log must not be open. New segments are written beside the old ones, under names that do not
//! count, and take their places only in [`Rewrite::finish`]; a crash before that leaves the log as
//! it was. What the caller wants to keep of the old files it copies away first. Whether the records
//! are the right ones is for the caller to know: a checkpoint, a proof, or both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recovery::{Corruption, segment_name};
use super::{SegmentsConfig, position};
use crate::disk::{Disk, DiskFile, Fault, write_all_at};
use crate::frame::{self, FRAME_HEADER_BYTES, Place, SEGMENT_HEADER_BYTES, SegmentHeader};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// A damaged part of a log on its way to be whole again.
#[derive(Debug)]
pub struct Rewrite {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: SegmentsConfig,
    next: u64,
    current: Current,
    /// First indexes of the segments written so far, the current one aside.
    written: Vec<u64>,
}

/// The segment being written.
#[derive(Debug)]
struct Current {
    file: Arc<dyn DiskFile>,
    first: u64,
    /// End of what is on its way, bytes.
    end: usize,
    /// Not written yet; begins at `end - buffer.len()`.
    buffer: Vec<u8>,
}

impl Corruption {
    /// First index of the damaged segment; `None` when the fault is not in one segment.
    #[must_use]
    pub fn segment_first(&self) -> Option<u64> {
        u64::from_str_radix(self.segment.strip_suffix(".seg")?, 16).ok()
    }
}

impl Rewrite {
    /// Begins with the segment whose first record is `first`.
    ///
    /// # Errors
    /// The disk.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: SegmentsConfig,
        first: u64,
    ) -> Result<Self, Fault> {
        let current = Current::create(&*disk, dir, first)?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            config,
            next: first,
            current,
            written: Vec::new(),
        })
    }

    /// Index of the next record.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// [`Fault::RecordLength`], or the disk.
    pub fn push(&mut self, record: &[u8]) -> Result<(), Fault> {
        let (bytes, max) = (record.len(), self.config.record_bytes_max);
        if bytes == 0 || bytes > max {
            return Err(Fault::RecordLength { bytes, max });
        }
        let full = self.current.end + FRAME_HEADER_BYTES + bytes > self.config.segment_bytes_max;
        if full && self.current.end > SEGMENT_HEADER_BYTES {
            self.current.complete(&self.dir)?;
            self.written.push(self.current.first);
            self.current = Current::create(&*self.disk, &self.dir, self.next)?;
        }
        let place = Place {
            segment: self.current.first,
            offset: position(self.current.end),
        };
        // Synced as a whole before it counts, so every frame stands behind durable ones.
        frame::encode(&mut self.current.buffer, place, 0, record);
        self.current.end += FRAME_HEADER_BYTES + bytes;
        self.next += 1;
        if self.current.buffer.len() >= WRITE_BYTES {
            self.current.write(&self.dir)?;
        }
        Ok(())
    }

    /// Puts the new segments in the places of the old ones; durable when it returns.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.current.complete(&self.dir)?;
        self.written.push(self.current.first);
        // From the last to the first: the damaged one goes last, so that after a crash in between
        // the log is found damaged again, never silently shorter.
        for first in self.written.iter().rev() {
            let path = self.dir.join(segment_name(*first));
            let rename = self.disk.rename(&unfinished(&self.dir, *first), &path);
            rename.map_err(|e| Fault::disk("rename to", &path, &e))?;
            let synced = self.disk.sync_dir(&self.dir);
            synced.map_err(|e| Fault::disk("sync folder", &self.dir, &e))?;
        }
        Ok(())
    }
}

fn unfinished(dir: &Path, first: u64) -> PathBuf {
    dir.join(segment_name(first)).with_extension("seg.new")
}

impl Current {
    fn create(disk: &dyn Disk, dir: &Path, first: u64) -> Result<Self, Fault> {
        let path = unfinished(dir, first);
        let file = disk
            .create(&path)
            .map_err(|e| Fault::disk("create", &path, &e))?;
        let header = SegmentHeader {
            first,
            fresh_start: false,
        };
        Ok(Self {
            file,
            first,
            end: SEGMENT_HEADER_BYTES,
            buffer: header.encode(),
        })
    }

    fn write(&mut self, dir: &Path) -> Result<(), Fault> {
        let from = (self.end - self.buffer.len()) as u64;
        let written = write_all_at(&*self.file, &self.buffer, from);
        written.map_err(|e| Fault::disk("write", &unfinished(dir, self.first), &e))?;
        self.buffer.clear();
        Ok(())
    }

    fn complete(&mut self, dir: &Path) -> Result<(), Fault> {
        self.write(dir)?;
        let synced = self.file.sync_data();
        synced.map_err(|e| Fault::disk("sync", &unfinished(dir, self.first), &e))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::disk::StdDisk;
    use crate::segments::{OpenError, Segments};

    const CONFIG: SegmentsConfig = SegmentsConfig {
        segment_bytes_max: 200,
        record_bytes_max: 64,
    };

    fn record(n: u64) -> Vec<u8> {
        format!("record {n} of the log").into_bytes()
    }

    fn open(dir: &Path) -> Result<Segments, OpenError> {
        Segments::open(Arc::new(StdDisk), dir, CONFIG, 0).map(|(log, _)| log)
    }

    #[test]
    fn every_segment_damaged_at_any_byte_is_whole_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path()).unwrap();
        for n in 0..20 {
            log.append(&[record(n)]).unwrap();
        }
        log.sync().unwrap();
        drop(log);
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() > 3, "the test wants several segments");
        for file in &files[..files.len() - 1] {
            for at in [0, 20, 30, 50, 120] {
                let whole = std::fs::read(file).unwrap();
                let mut damaged = whole.clone();
                damaged[at] ^= 0x10;
                std::fs::write(file, &damaged).unwrap();
                let Err(OpenError::Corrupt(found)) = open(folder.path()) else {
                    panic!("byte {at} of {} went unseen", file.display());
                };
                let first = found.segment_first().unwrap();
                let end = files
                    .iter()
                    .filter_map(|f| f.file_stem()?.to_str())
                    .map(|name| u64::from_str_radix(name, 16).unwrap())
                    .filter(|next| *next > first)
                    .min()
                    .unwrap();
                let disk = Arc::new(StdDisk);
                let mut rewrite = Rewrite::begin(disk, folder.path(), CONFIG, first).unwrap();
                for n in first..end {
                    rewrite.push(&record(n)).unwrap();
                }
                assert!(open(folder.path()).is_err(), "nothing counts before finish");
                // Opening has no leftovers to remove in a log that it refuses.
                rewrite.finish().unwrap();
                let log = open(folder.path()).unwrap();
                assert_eq!(log.size(), 20);
                for n in 0..20 {
                    assert_eq!(log.read(n).unwrap(), record(n));
                }
            }
        }
    }

    #[test]
    fn a_long_part_is_split_into_segments() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(StdDisk);
        let mut rewrite = Rewrite::begin(disk, folder.path(), CONFIG, 0).unwrap();
        for n in 0..50 {
            rewrite.push(&record(n)).unwrap();
        }
        assert_eq!(rewrite.next(), 50);
        rewrite.finish().unwrap();
        let mut log = open(folder.path()).unwrap();
        assert_eq!(log.size(), 50);
        assert!(std::fs::read_dir(folder.path()).unwrap().count() > 5);
        log.append(&[record(50)]).unwrap();
        log.sync().unwrap();
        drop(log);
        assert_eq!(open(folder.path()).unwrap().read(50).unwrap(), record(50));
    }
}
