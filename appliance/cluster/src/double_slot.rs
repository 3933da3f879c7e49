//! A small value that survives a torn write: two slots in one file, written in turn.
//!
//! Slot = sequence u64 LE, length u32 LE, CRC32C u32 LE over sequence, length and body, body. The
//! readable slot with the higher sequence counts. A write touches only the other slot and is
//! fsynced before it is believed, so the last value is never lost to a write that fails.

use crate::codec;
use ledger::{Disk, DiskFile};
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// Room of one slot: a vote needs 60 bytes, a snapshot pointer with the membership of five nodes
/// under 4 KiB.
const SLOT_BYTES: u64 = 64 * 1024;
const HEADER_BYTES: usize = 16;

/// The file and the sequence number of what it holds.
#[derive(Debug)]
pub(crate) struct DoubleSlot<T> {
    file: Arc<dyn DiskFile>,
    sequence: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> DoubleSlot<T> {
    /// Opens or makes the file and reads the value that counts.
    ///
    /// # Errors
    /// `InvalidData` when the file has content and neither slot is readable: a value was there and
    /// is lost, which must not look like a value that never was.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<(Self, Option<T>)> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => create(disk, path)?,
            Err(e) => return Err(e),
        };
        let length = file.size()?;
        let newest = [0, 1]
            .into_iter()
            .filter_map(|slot| read_slot(&*file, slot).ok().flatten())
            .max_by_key(|(sequence, _)| *sequence);
        if newest.is_none() && length > 0 && !is_blank(&*file, length)? {
            let message = format!("{}: both slots are damaged", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let (sequence, value) = match newest {
            Some((sequence, body)) => (sequence, Some(codec::from_slice(&body)?)),
            None => (0, None),
        };
        Ok((
            Self {
                file,
                sequence,
                kind: PhantomData,
            },
            value,
        ))
    }

    /// Replaces the value; durable when this returns.
    pub(crate) fn write(&mut self, value: &T) -> io::Result<()> {
        self.write_as(value, true)
    }

    /// [`DoubleSlot::write`], which only a planted bug asks not to wait for the disk.
    pub(crate) fn write_as(&mut self, value: &T, durable: bool) -> io::Result<()> {
        let body = codec::to_vec(value)?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if u64::from(length) + HEADER_BYTES as u64 > SLOT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "value larger than its slot",
            ));
        }
        let sequence = self.sequence + 1;
        let mut slot = Vec::with_capacity(HEADER_BYTES + body.len());
        slot.extend_from_slice(&sequence.to_le_bytes());
        slot.extend_from_slice(&length.to_le_bytes());
        slot.extend_from_slice(&checksum(sequence, length, &body).to_le_bytes());
        slot.extend_from_slice(&body);
        write_all_at(&*self.file, &slot, (sequence % 2) * SLOT_BYTES)?;
        if durable {
            self.file.sync_data()?;
        }
        self.sequence = sequence;
        Ok(())
    }
}

/// Makes the file, and its name durable.
fn create(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(path)?;
    file.sync_data()?;
    if let Some(parent) = path.parent() {
        disk.sync_dir(parent)?;
    }
    Ok(file)
}

fn write_all_at(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + written as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => written += more,
        }
    }
    Ok(())
}

fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => done += more,
        }
    }
    Ok(())
}

fn checksum(sequence: u64, length: u32, body: &[u8]) -> u32 {
    let head = crc32c::crc32c(&sequence.to_le_bytes());
    let head = crc32c::crc32c_append(head, &length.to_le_bytes());
    crc32c::crc32c_append(head, body)
}

fn read_slot(file: &dyn DiskFile, slot: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let (mut sequence, mut length, mut crc) = ([0u8; 8], [0u8; 4], [0u8; 4]);
    let start = slot * SLOT_BYTES;
    read_exact_at(file, &mut sequence, start)?;
    read_exact_at(file, &mut length, start + 8)?;
    read_exact_at(file, &mut crc, start + 12)?;
    let (sequence, length) = (u64::from_le_bytes(sequence), u32::from_le_bytes(length));
    if sequence == 0 || u64::from(length) + HEADER_BYTES as u64 > SLOT_BYTES {
        return Ok(None);
    }
    let mut body = vec![0u8; length as usize];
    read_exact_at(file, &mut body, start + HEADER_BYTES as u64)?;
    let whole = u32::from_le_bytes(crc) == checksum(sequence, length, &body);
    Ok(whole.then_some((sequence, body)))
}

/// True when no write ever finished *or began* here: every byte is zero.
fn is_blank(file: &dyn DiskFile, length: u64) -> io::Result<bool> {
    let mut bytes = vec![0u8; usize::try_from(length.min(2 * SLOT_BYTES)).unwrap_or(0)];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes.iter().all(|b| *b == 0))
}
