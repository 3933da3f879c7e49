//! What is on disk, byte by byte: the header of a segment file and the frame around a record.
//!
//! ```text
//! segment  = header frame* zeros          all integers little-endian
//! header   = magic[8] version:u32 flags:u32 first_index:u64 crc:u32        (28 bytes)
//! frame    = length:u32 unsynced:u32 crc:u32 record[length]                (12 bytes + record)
//! crc      = CRC32C; of a frame: over first_index ‖ frame offset:u32 ‖ length ‖ unsynced ‖ record
//! ```
//!
//! * A length of 0 means "end": segments are filled with zeros ahead of the writer.
//! * `unsynced` is the distance in bytes from this frame back to the end of what had been synced
//!   when the frame was written. A disk may keep a later sector of an unsynced write and lose an
//!   earlier one; then a frame is bad although a good one follows. Whether the bad one had been
//!   promised to anybody is what `unsynced` of the good one proves. Without it, an ordinary
//!   power cut under load could not be told from damage.
//! * The CRC covers the place of the frame, so a frame that a disk wrote to the wrong place, or a
//!   record whose bytes look like a frame, does not count as one.

/// First bytes of each segment file.
const MAGIC: [u8; 8] = *b"SRLEDGER";
/// Version of this format.
const VERSION: u32 = 1;
/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 28;
/// Bytes before the record in a frame.
pub(crate) const FRAME_HEADER_BYTES: usize = 12;
/// Flag: everything before this segment was purged when it was made, so older files are leftovers
/// of a purge that a crash interrupted.
const FLAG_FRESH_START: u32 = 1;

/// What a segment header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Index of the first record in the segment.
    pub(crate) first: u64,
    /// Whether older segments no longer count.
    pub(crate) fresh_start: bool,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags = if self.fresh_start {
            FLAG_FRESH_START
        } else {
            0
        };
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are not exactly a header of this format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let first = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
        let flags = u32_at(bytes, 12)?;
        let header = Self {
            first,
            fresh_start: flags == FLAG_FRESH_START,
        };
        // Encoding is the one definition: compare instead of checking field by field.
        (bytes.get(..SEGMENT_HEADER_BYTES)? == header.encode()).then_some(header)
    }
}

/// Where a frame is; its CRC depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// First index of the segment.
    pub(crate) segment: u64,
    /// Offset of the frame in the file, bytes.
    pub(crate) offset: u32,
}

/// A frame whose CRC is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) record: &'a [u8],
    /// Distance back to what was durable when it was written, bytes.
    pub(crate) unsynced: u32,
}

impl Frame<'_> {
    /// Length of the whole frame, bytes.
    pub(crate) fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.record.len()
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// The length is 0, or fewer bytes are left than a length takes.
    End,
    /// The length is over the limit or runs past the end of the file.
    Length(u32),
    /// The checksum does not fit.
    Crc,
}

/// Appends one frame to `buffer`. `record` is at least 1 byte and at most `u32::MAX`.
pub(crate) fn encode(buffer: &mut Vec<u8>, place: Place, unsynced: u32, record: &[u8]) {
    let length = u32::try_from(record.len()).expect("the caller has checked the record length");
    let crc = frame_crc(place, length, unsynced, record);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&unsynced.to_le_bytes());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(record);
}

/// Reads the frame at the start of `bytes`, which run to the end of the file.
pub(crate) fn decode(
    bytes: &[u8],
    place: Place,
    record_bytes_max: usize,
) -> Result<Frame<'_>, BadFrame> {
    let Some(length) = u32_at(bytes, 0).filter(|length| *length != 0) else {
        return Err(BadFrame::End);
    };
    let bad_length = BadFrame::Length(length);
    let record_bytes = usize::try_from(length).map_err(|_| bad_length)?;
    if record_bytes > record_bytes_max {
        return Err(bad_length);
    }
    let unsynced = u32_at(bytes, 4).ok_or(bad_length)?;
    let crc = u32_at(bytes, 8).ok_or(bad_length)?;
    let end = FRAME_HEADER_BYTES + record_bytes;
    let record = bytes.get(FRAME_HEADER_BYTES..end).ok_or(bad_length)?;
    if frame_crc(place, length, unsynced, record) != crc {
        return Err(BadFrame::Crc);
    }
    Ok(Frame { record, unsynced })
}

fn frame_crc(place: Place, length: u32, unsynced: u32, record: &[u8]) -> u32 {
    let mut prefix = [0_u8; 20];
    let fields = [
        &place.segment.to_le_bytes()[..],
        &place.offset.to_le_bytes(),
        &length.to_le_bytes(),
        &unsynced.to_le_bytes(),
    ];
    for (to, from) in prefix.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    crc32c::crc32c_append(crc32c::crc32c(&prefix), record)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const PLACE: Place = Place {
        segment: 7,
        offset: 28,
    };

    #[test]
    fn a_frame_reads_back_and_every_bit_counts() {
        let mut bytes = Vec::new();
        encode(&mut bytes, PLACE, 3, b"record");
        let frame = decode(&bytes, PLACE, 6).unwrap();
        assert_eq!(
            (frame.record, frame.unsynced, frame.bytes()),
            (&b"record"[..], 3, 18)
        );
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, PLACE, 64).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_counts_only_in_its_place() {
        let mut bytes = Vec::new();
        encode(&mut bytes, PLACE, 0, b"record");
        for place in [
            Place {
                segment: 8,
                ..PLACE
            },
            Place {
                offset: 29,
                ..PLACE
            },
        ] {
            assert_eq!(decode(&bytes, place, 64).unwrap_err(), BadFrame::Crc);
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        let mut bytes = Vec::new();
        encode(&mut bytes, PLACE, 0, b"record");
        assert_eq!(decode(&bytes, PLACE, 5).unwrap_err(), BadFrame::Length(6));
        assert_eq!(
            decode(&bytes[..17], PLACE, 64).unwrap_err(),
            BadFrame::Length(6)
        );
        assert_eq!(decode(&[0; 64], PLACE, 64).unwrap_err(), BadFrame::End);
        assert_eq!(
            decode(&[0xff; 64], PLACE, 64).unwrap_err(),
            BadFrame::Length(u32::MAX)
        );
    }

    #[test]
    fn a_segment_header_reads_back_and_every_bit_counts() {
        for fresh_start in [false, true] {
            let header = SegmentHeader {
                first: 0x0102_0304,
                fresh_start,
            };
            let bytes = header.encode();
            assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
            assert_eq!(SegmentHeader::decode(&bytes), Some(header));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
            }
        }
    }
}
