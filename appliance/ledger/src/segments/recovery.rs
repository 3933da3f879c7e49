//! Reading a log back: what is whole, what is a torn tail, what is corruption.
//!
//! The rule (DESIGN.md §2): a bad frame at the very end, at or beyond what is known to be durable,
//! is the rest of a write that a crash interrupted, and is cut and reported. Anything else is
//! corruption, named by segment, offset and record, and never repaired here: repair is fetching
//! the range from a peer.

use std::path::Path;

use super::SegmentsConfig;
use crate::disk::{Disk, Fault, read_full_at};
use crate::frame::{self, BadFrame, Place, SEGMENT_HEADER_BYTES, SegmentHeader};

/// Bytes that may be checksummed while looking for frames behind a bad one. Content full of
/// plausible lengths could otherwise keep a start busy for hours; 4 GiB are about a second.
const SEARCH_BYTES_MAX: u64 = 4 << 30;

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// One past the index of the last record.
    pub size: u64,
    /// The interrupted write that was cut off the end, if there was one.
    pub torn_tail: Option<TornTail>,
}

/// The rest of a write that was never acknowledged; it has been cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Index that the first record of the tail would have had.
    pub index: u64,
    /// Where it began in the last segment, bytes.
    pub offset: u64,
    /// How many bytes from there were not zero-filled space.
    pub bytes: u64,
}

/// Damage to what had been durable. Nothing was changed on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log segment {segment} is damaged at byte {offset}, record {record}: {kind}; \
     nothing was changed; fetch the range from a peer or restore it from a backup"
)]
pub struct Corruption {
    /// File name of the segment.
    pub segment: String,
    /// Where in the file, bytes.
    pub offset: u64,
    /// Index of the first record concerned.
    pub record: u64,
    /// What is wrong.
    pub kind: CorruptionKind,
}

/// The ways in which a log can be damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptionKind {
    /// A checksum is wrong, and a later segment or frame proves that the record was durable.
    #[error("the checksum is wrong and durable records follow")]
    BadCrc,
    /// A length is over the limit or beyond the end of the file, and durable records follow.
    #[error("the length {0} cannot be right and durable records follow")]
    LengthOutOfRange(u32),
    /// A length of 0 means "end", but durable records follow.
    #[error("the records end here but durable ones follow")]
    NonZeroTail,
    /// The bytes behind a bad frame look so much like frames that the search was given up.
    #[error("it cannot be decided whether durable records follow")]
    Undecidable,
    /// The log ends, whole or torn, before what is known to be durable.
    #[error("the log ends here, but {floor} records are known to be durable")]
    BelowFloor {
        /// The number of records known to be durable.
        floor: u64,
    },
    /// The next segment begins later than this one ends.
    #[error("the records up to {next} are missing")]
    MissingSegment {
        /// First index of the next segment there is.
        next: u64,
    },
    /// The next segment begins before this one ends.
    #[error("the next segment begins earlier, at record {next}")]
    SegmentOverlap {
        /// First index of the next segment.
        next: u64,
    },
    /// The header is not one, or belongs to a file of another name.
    #[error("the segment header is damaged or belongs to another segment")]
    HeaderDamaged,
    /// A file is called `.seg` but its name is no segment name.
    #[error("the name is not that of a segment")]
    ForeignFile,
    /// A file is longer than any segment can be.
    #[error("the file has {0} bytes, more than a segment can have")]
    SegmentTooLong(u64),
    /// The tree over the records has not the root of the checkpoint.
    #[error("the records up to here do not have the root of the checkpoint")]
    CheckpointDiffers,
}

/// Why a log cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The limits make no sense together.
    #[error("the configuration of the log is wrong: {0}")]
    Config(String),
    /// What was durable is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The disk failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The records of one segment, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Index of the first record.
    pub(super) first: u64,
    /// Offset of each frame, bytes.
    pub(super) offsets: Vec<u32>,
    /// End of the last frame, bytes.
    pub(super) end: u32,
}

impl Segment {
    /// A segment without records.
    pub(super) fn empty(first: u64) -> Self {
        let end = u32::try_from(SEGMENT_HEADER_BYTES).expect("the header is 28 bytes");
        Self {
            first,
            offsets: Vec::new(),
            end,
        }
    }

    /// One past the index of the last record.
    pub(super) fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

/// File name of the segment whose first record has this index.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:016x}.seg")
}

fn segment_index(name: &str) -> Option<u64> {
    let first = u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (segment_name(first) == name).then_some(first)
}

/// The last segment as it was found, for the writer to go on.
#[derive(Debug)]
pub(super) struct Tail {
    /// Where synced data ended when the last frame was written, bytes; from here to the end must
    /// be written again before it counts as durable.
    pub(super) synced: u32,
    /// The bytes of the file from `synced` to the end of the last frame.
    pub(super) unsynced_bytes: Vec<u8>,
    /// Whether something beyond the end has to be cut off.
    pub(super) is_torn: bool,
    /// Length of the file, bytes.
    pub(super) file_bytes: u64,
}

/// A whole log as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// In order, without gaps; empty for a new log.
    pub(super) segments: Vec<Segment>,
    /// `None` for a new log.
    pub(super) tail: Option<Tail>,
    /// Segments that a purge had made obsolete, in order; still to be removed.
    pub(super) obsolete: Vec<u64>,
    /// Unfinished new segments, still to be removed.
    pub(super) leftovers: Vec<String>,
    pub(super) recovery: Recovery,
}

/// Reads all segments of a folder without changing anything; `visit` sees every record in order.
pub(super) fn read_log(
    disk: &dyn Disk,
    dir: &Path,
    config: SegmentsConfig,
    floor: u64,
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Result<Found, OpenError> {
    let (firsts, leftovers) = list_segments(disk, dir)?;
    let (obsolete, firsts) = split_obsolete(disk, dir, firsts)?;
    let mut reading = Reading {
        disk,
        dir,
        config,
        bytes: Vec::new(),
    };
    let mut segments: Vec<Segment> = Vec::new();
    let mut torn_tail = None;
    let mut tail = None;
    for (position, first) in firsts.iter().enumerate() {
        let next_first = firsts.get(position + 1).copied();
        reading.load(*first)?;
        let scan = scan_segment(&reading.bytes, *first, config, visit);
        let (segment, outcome) = (scan.segment, scan.outcome);
        if let Some(next) = next_first {
            refuse_bad_end(&segment, outcome, next)?;
        } else {
            let at = (segment.next(), u64::from(segment.end));
            torn_tail =
                judge_tail(&reading.bytes, &segment, outcome, config)?.map(|bytes| TornTail {
                    index: at.0,
                    offset: at.1,
                    bytes,
                });
            tail = Some(Tail {
                synced: scan.synced,
                unsynced_bytes: span(&reading.bytes, scan.synced, segment.end).to_vec(),
                is_torn: torn_tail.is_some(),
                file_bytes: reading.bytes.len() as u64,
            });
        }
        segments.push(segment);
    }
    let size = segments.last().map_or(0, Segment::next);
    if size < floor {
        let (first, offset) = segments
            .last()
            .map_or((0, 0), |s| (s.first, u64::from(s.end)));
        let kind = CorruptionKind::BelowFloor { floor };
        return Err(corruption(first, offset, size, kind).into());
    }
    let recovery = Recovery { size, torn_tail };
    Ok(Found {
        segments,
        tail,
        obsolete,
        leftovers,
        recovery,
    })
}

/// First indexes of all segments in order, and the names of unfinished ones.
fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<(Vec<u64>, Vec<String>), OpenError> {
    let names = disk.list(dir).map_err(|e| Fault::disk("list", dir, &e))?;
    let (mut firsts, mut leftovers) = (Vec::new(), Vec::new());
    for name in names {
        if name.ends_with(".seg.new") {
            leftovers.push(name);
        } else if let Some(first) = segment_index(&name) {
            firsts.push(first);
        } else if name.ends_with(".seg") {
            let kind = CorruptionKind::ForeignFile;
            return Err(Corruption {
                segment: name,
                offset: 0,
                record: 0,
                kind,
            }
            .into());
        }
    }
    // Sixteen hex digits sort like the numbers; the sort makes it independent of the disk.
    firsts.sort_unstable();
    Ok((firsts, leftovers))
}

/// Splits off the segments before the last one that starts afresh: an interrupted purge.
fn split_obsolete(
    disk: &dyn Disk,
    dir: &Path,
    mut firsts: Vec<u64>,
) -> Result<(Vec<u64>, Vec<u64>), OpenError> {
    for position in (1..firsts.len()).rev() {
        let Some(first) = firsts.get(position).copied() else {
            continue;
        };
        let path = dir.join(segment_name(first));
        let file = disk
            .open(&path)
            .map_err(|e| Fault::disk("open", &path, &e))?;
        let mut header = [0_u8; SEGMENT_HEADER_BYTES];
        read_full_at(&*file, &mut header, 0).map_err(|e| Fault::disk("read", &path, &e))?;
        let header = SegmentHeader::decode(&header);
        if header.is_some_and(|header| header.first == first && header.fresh_start) {
            let current = firsts.split_off(position);
            return Ok((firsts, current));
        }
    }
    Ok((Vec::new(), firsts))
}

/// The file being read; the buffer is used again for each segment.
struct Reading<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    config: SegmentsConfig,
    bytes: Vec<u8>,
}

impl Reading<'_> {
    /// Loads one segment whole: its length is bounded by the configuration.
    fn load(&mut self, first: u64) -> Result<(), OpenError> {
        let path = self.dir.join(segment_name(first));
        let file = self
            .disk
            .open(&path)
            .map_err(|e| Fault::disk("open", &path, &e))?;
        let size = file.size().map_err(|e| Fault::disk("measure", &path, &e))?;
        let too_long = || corruption(first, 0, first, CorruptionKind::SegmentTooLong(size));
        let length = usize::try_from(size).map_err(|_| too_long())?;
        if length > self.config.file_bytes_max() {
            return Err(too_long().into());
        }
        self.bytes.resize(length, 0);
        let read = read_full_at(&*file, &mut self.bytes, 0);
        let read = read.map_err(|e| Fault::disk("read", &path, &e))?;
        self.bytes.truncate(read);
        let header = SegmentHeader::decode(&self.bytes);
        if header.is_none_or(|header| header.first != first) {
            return Err(corruption(first, 0, first, CorruptionKind::HeaderDamaged).into());
        }
        Ok(())
    }
}

/// One segment read from the start to where its frames end.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) segment: Segment,
    /// What comes at the end of the segment.
    pub(super) outcome: Outcome,
    /// Where synced data ended when the last frame was written, bytes.
    pub(super) synced: u32,
}

/// What follows the last good frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing but zeros.
    Clean,
    /// Bytes that are no frame.
    Bad(BadFrame),
}

/// Reads the frames of a segment whose header has been checked.
pub(super) fn scan_segment(
    bytes: &[u8],
    first: u64,
    config: SegmentsConfig,
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Scan {
    let mut segment = Segment::empty(first);
    let mut synced = segment.end;
    loop {
        let rest = span_from(bytes, segment.end);
        let place = Place {
            segment: first,
            offset: segment.end,
        };
        match frame::decode(rest, place, config.record_bytes_max) {
            Ok(frame) => {
                let end = u64::from(segment.end) + frame.bytes() as u64;
                let Ok(end) = u32::try_from(end) else {
                    let outcome = Outcome::Bad(BadFrame::Length(0));
                    return Scan {
                        segment,
                        outcome,
                        synced,
                    };
                };
                visit(segment.next(), frame.record);
                synced = segment.end.saturating_sub(frame.unsynced).max(synced);
                segment.offsets.push(segment.end);
                segment.end = end;
            }
            Err(BadFrame::End) if rest.iter().all(|byte| *byte == 0) => {
                return Scan {
                    segment,
                    outcome: Outcome::Clean,
                    synced,
                };
            }
            Err(bad) => {
                return Scan {
                    segment,
                    outcome: Outcome::Bad(bad),
                    synced,
                };
            }
        }
    }
}

/// A segment that is not the last must end cleanly where the next one begins.
fn refuse_bad_end(segment: &Segment, outcome: Outcome, next: u64) -> Result<(), Corruption> {
    let kind = match outcome {
        Outcome::Bad(bad) => bad_frame_kind(bad),
        Outcome::Clean if segment.next() < next => CorruptionKind::MissingSegment { next },
        Outcome::Clean if segment.next() > next => CorruptionKind::SegmentOverlap { next },
        Outcome::Clean => return Ok(()),
    };
    Err(corruption(
        segment.first,
        u64::from(segment.end),
        segment.next(),
        kind,
    ))
}

/// Decides about the end of the last segment: `None` = clean, `Some(bytes)` = torn.
fn judge_tail(
    bytes: &[u8],
    segment: &Segment,
    outcome: Outcome,
    config: SegmentsConfig,
) -> Result<Option<u64>, Corruption> {
    let Outcome::Bad(bad) = outcome else {
        return Ok(None);
    };
    let kind = match search_durable(bytes, segment, config) {
        Search::Found => bad_frame_kind(bad),
        Search::GivenUp => CorruptionKind::Undecidable,
        Search::None => {
            let tail = span_from(bytes, segment.end);
            let used = tail
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            return Ok(Some(used as u64));
        }
    };
    Err(corruption(
        segment.first,
        u64::from(segment.end),
        segment.next(),
        kind,
    ))
}

enum Search {
    /// A frame proves that the bad one was durable before it.
    Found,
    None,
    GivenUp,
}

/// Looks behind a bad frame, at every offset, for a frame that was written after the bad one had
/// been synced. Good frames of the same interrupted write prove nothing and are passed over.
fn search_durable(bytes: &[u8], segment: &Segment, config: SegmentsConfig) -> Search {
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let Ok(used) = u32::try_from(used) else {
        return Search::GivenUp;
    };
    let (mut at, mut budget) = (segment.end.saturating_add(1), SEARCH_BYTES_MAX);
    while at < used {
        let place = Place {
            segment: segment.first,
            offset: at,
        };
        match frame::decode(span_from(bytes, at), place, config.record_bytes_max) {
            Ok(frame) if at.saturating_sub(frame.unsynced) > segment.end => return Search::Found,
            Ok(frame) => {
                at = at.saturating_add(u32::try_from(frame.bytes()).unwrap_or(u32::MAX));
            }
            Err(bad) => {
                // Only a wrong CRC has cost reading the record; its length was plausible.
                let cost = if bad == BadFrame::Crc {
                    record_length(bytes, at)
                } else {
                    0
                };
                let Some(left) = budget.checked_sub(cost) else {
                    return Search::GivenUp;
                };
                budget = left;
                at += 1;
            }
        }
    }
    Search::None
}

fn record_length(bytes: &[u8], at: u32) -> u64 {
    let length = span_from(bytes, at).first_chunk::<4>().copied();
    u64::from(length.map_or(0, u32::from_le_bytes))
}

fn bad_frame_kind(bad: BadFrame) -> CorruptionKind {
    match bad {
        BadFrame::End => CorruptionKind::NonZeroTail,
        BadFrame::Length(length) => CorruptionKind::LengthOutOfRange(length),
        BadFrame::Crc => CorruptionKind::BadCrc,
    }
}

pub(super) fn corruption(first: u64, offset: u64, record: u64, kind: CorruptionKind) -> Corruption {
    Corruption {
        segment: segment_name(first),
        offset,
        record,
        kind,
    }
}

fn span_from(bytes: &[u8], from: u32) -> &[u8] {
    usize::try_from(from)
        .ok()
        .and_then(|from| bytes.get(from..))
        .unwrap_or_default()
}

fn span(bytes: &[u8], from: u32, to: u32) -> &[u8] {
    let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    span_from(bytes, from).get(..length).unwrap_or_default()
}
