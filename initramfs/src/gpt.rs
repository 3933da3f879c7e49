//! The partition table (GPT, UEFI specification 2.10 clause 5.3): read, changed, written so that
//! a power cut at any moment leaves the old table or the new one.
//!
//! Own code because PID 1 needs little of it and must not be surprised: the kernel (6.1) does not
//! tell partition GUIDs or attributes, and the marker "this file system is whole" is an attribute
//! bit of ours that is written last (see `data.rs`).
//!
//! Layout in sectors: 0 protective MBR, 1 primary header, 2.. primary entries … backup entries,
//! last sector backup header. Both headers carry a CRC-32 of themselves and of the entries.

use crate::fault::{Fault, Naming, Outcome};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a header that the CRC covers.
const HEADER_BYTES: u32 = 92;
/// Bytes of one entry; the specification allows more, nobody writes more.
const ENTRY_BYTES: usize = 128;
/// The same as the header has it.
const ENTRY_BYTES_U32: u32 = 128;
/// Entries at most. 128 is what every tool writes.
const ENTRIES_MAX: u32 = 128;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
/// Type "Linux filesystem data" (0FC63DAF-8483-4772-8E79-3D69D8477DE4) as on disk.
const LINUX_DATA: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
/// Attribute bit 48, the first of those left to the type: PID 1 has finished making the file
/// system of this partition. Without it there is nothing in the partition to lose.
const MADE: u64 = 1 << 48;
/// Partitions begin at multiples of this, so that they suit any flash block.
const ALIGNMENT_BYTES: u64 = 1024 * 1024;

/// Where a table lives: a disk, or a vector in tests.
pub(crate) trait Store {
    /// Fills `buffer` from `offset` (bytes).
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset` (bytes).
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when everything written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
}

impl Store for File {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Size of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of a logical sector: 512 or 4,096.
    pub(crate) sector_bytes: u64,
    /// Sectors of the whole disk.
    pub(crate) sectors: u64,
}

impl Geometry {
    /// Sectors that the array of entries takes.
    fn entries_sectors(self, count: u32) -> u64 {
        (u64::from(count) * ENTRY_BYTES as u64).div_ceil(self.sector_bytes)
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Number as in `/dev/vda5`.
    pub(crate) number: u32,
    /// First sector.
    pub(crate) first: u64,
    /// Last sector, inclusive.
    pub(crate) last: u64,
    /// Name, at most 36 UTF-16 units.
    pub(crate) name: String,
    /// Its own identity, as on disk.
    pub(crate) guid: [u8; 16],
    /// Whether PID 1 finished making its file system.
    pub(crate) is_made: bool,
}

impl Partition {
    /// Sectors it has.
    pub(crate) fn sectors(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// A whole table. Entries are kept as bytes, so that what we do not know is written back as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    geometry: Geometry,
    disk_guid: [u8; 16],
    first_usable: u64,
    last_usable: u64,
    count: u32,
    entries: Vec<u8>,
}

/// Which copy was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    /// The one behind the MBR.
    Primary,
    /// The one at the disk's end: the primary one was torn by a power cut and has to be rewritten.
    Backup,
}

impl Table {
    /// Reads the primary table, or the one at the disk's end when the primary one is torn.
    ///
    /// # Errors
    /// Neither copy is whole; the sentence says why for both.
    pub(crate) fn read(store: &impl Store, geometry: Geometry) -> Outcome<(Self, Copy)> {
        if !(512..=4096).contains(&geometry.sector_bytes) || geometry.sectors < 128 {
            return Err(Fault::new(
                "partition table: the disk is too small to have one",
            ));
        }
        let primary = match Self::read_copy(store, geometry, 1) {
            Ok(table) => return Ok((table, Copy::Primary)),
            Err(fault) => fault,
        };
        match Self::read_copy(store, geometry, geometry.sectors - 1) {
            Ok(table) => Ok((table, Copy::Backup)),
            Err(backup) => {
                let both = format!("first copy: {primary}; copy at the end: {backup}");
                Err(Fault::new(format!("partition table: {both}")))
            }
        }
    }

    fn read_copy(store: &impl Store, geometry: Geometry, at: u64) -> Outcome<Self> {
        let mut header = vec![0; HEADER_BYTES as usize];
        store
            .read(&mut header, at * geometry.sector_bytes)
            .naming(|| "header".into())?;
        let (mut table, entries_at, entries_crc) = Self::parse_header(&header, geometry, at)?;
        let mut entries = vec![0; table.count as usize * ENTRY_BYTES];
        let offset = entries_at * geometry.sector_bytes;
        store
            .read(&mut entries, offset)
            .naming(|| "entries".into())?;
        if crc32(&entries) != entries_crc {
            return Err(Fault::new("the checksum of the entries does not match"));
        }
        table.entries = entries;
        let partitions = table.partitions();
        if partitions
            .iter()
            .any(|p| p.first > p.last || p.last >= geometry.sectors)
        {
            return Err(Fault::new("a partition reaches beyond the disk"));
        }
        Ok(table)
    }

    /// The table without entries, where the entries are and their checksum.
    fn parse_header(header: &[u8], geometry: Geometry, at: u64) -> Outcome<(Self, u64, u32)> {
        let refuse = |why: &str| Err(Fault::new(why));
        if bytes::<8>(header, 0)? != *SIGNATURE {
            return refuse("no GPT signature");
        }
        let mut zeroed = header.to_vec();
        zeroed
            .get_mut(16..20)
            .ok_or_else(|| Fault::new("short header"))?
            .fill(0);
        if u32_at(header, 12)? != HEADER_BYTES || crc32(&zeroed) != u32_at(header, 16)? {
            return refuse("the checksum of the header does not match");
        }
        let (count, entries_at) = (u32_at(header, 80)?, u64_at(header, 72)?);
        if u64_at(header, 24)? != at {
            return refuse("the header says that it belongs elsewhere");
        }
        if count == 0 || count > ENTRIES_MAX || u32_at(header, 84)? != ENTRY_BYTES_U32 {
            return refuse("the array of entries has an unusual shape");
        }
        if entries_at >= geometry.sectors {
            return refuse("the entries would be beyond the disk");
        }
        let table = Self {
            geometry,
            disk_guid: bytes(header, 56)?,
            first_usable: u64_at(header, 40)?,
            last_usable: u64_at(header, 48)?,
            count,
            entries: Vec::new(),
        };
        Ok((table, entries_at, u32_at(header, 88)?))
    }

    /// All partitions in use, by number.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let numbered = (1u32..).zip(self.entries.chunks_exact(ENTRY_BYTES));
        numbered
            .filter_map(|(number, entry)| parse_entry(number, entry))
            .collect()
    }

    /// The partition of this name. Two of the same name are none: nobody may choose between them.
    pub(crate) fn named(&self, name: &str) -> Option<Partition> {
        let mut found = self.partitions().into_iter().filter(|p| p.name == name);
        let first = found.next();
        if found.next().is_some() { None } else { first }
    }

    /// The last sector that a partition may have on a disk of this size.
    fn end_of_disk(&self) -> u64 {
        self.geometry.sectors - 2 - self.geometry.entries_sectors(self.count)
    }

    /// The table with one more partition, from behind the last one to the disk's end.
    ///
    /// # Errors
    /// The name is taken, no entry is free or less than `bytes_min` would be left for it.
    pub(crate) fn with_partition(
        &self,
        name: &str,
        guid: [u8; 16],
        bytes_min: u64,
    ) -> Outcome<Self> {
        let partitions = self.partitions();
        if partitions.iter().any(|p| p.name == name) {
            return Err(Fault::new(format!(
                "partition table: there is a '{name}' already"
            )));
        }
        let behind = partitions
            .iter()
            .map(|p| p.last + 1)
            .max()
            .unwrap_or(self.first_usable);
        let alignment = ALIGNMENT_BYTES / self.geometry.sector_bytes;
        let first = behind.max(self.first_usable).next_multiple_of(alignment);
        let last = self.end_of_disk();
        let sectors_min = bytes_min / self.geometry.sector_bytes;
        if first + sectors_min > last + 1 {
            let mebibytes = bytes_min >> 20;
            return Err(Fault::new(format!(
                "partition table: less than {mebibytes} MiB are left on the disk for '{name}'; \
                 give the machine a larger disk"
            )));
        }
        let mut table = self.at_disk_end();
        let free = table
            .entries
            .chunks_exact_mut(ENTRY_BYTES)
            .find(|e| e.iter().all(|b| *b == 0));
        let entry = free.ok_or_else(|| Fault::new("partition table: every entry is in use"))?;
        entry.copy_from_slice(&new_entry(name, guid, first, last)?);
        Ok(table)
    }

    /// The table in which partition `number` ends at the disk's end, or nothing to do.
    pub(crate) fn with_grown(&self, number: u32) -> Option<Self> {
        let last = self.end_of_disk();
        let current = self.partitions().into_iter().find(|p| p.number == number)?;
        let is_last = self.partitions().iter().all(|p| p.last <= current.last);
        let aligned = ALIGNMENT_BYTES / self.geometry.sector_bytes;
        if !is_last || last < current.last + aligned {
            return None;
        }
        let mut table = self.at_disk_end();
        table
            .entry_mut(number)?
            .get_mut(40..48)?
            .copy_from_slice(&last.to_le_bytes());
        Some(table)
    }

    /// The table in which partition `number` is marked as made.
    pub(crate) fn with_made(&self, number: u32) -> Outcome<Self> {
        let mut table = self.at_disk_end();
        let missing = || Fault::new(format!("partition table: no partition {number}"));
        let entry = table.entry_mut(number).ok_or_else(missing)?;
        let attributes = u64_at(entry, 48)? | MADE;
        let field = entry.get_mut(48..56).ok_or_else(missing)?;
        field.copy_from_slice(&attributes.to_le_bytes());
        Ok(table)
    }

    fn at_disk_end(&self) -> Self {
        Self {
            last_usable: self.end_of_disk(),
            ..self.clone()
        }
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut [u8]> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.entries.chunks_exact_mut(ENTRY_BYTES).nth(index)
    }

    /// Writes the copy at the disk's end, waits, writes the primary copy, waits: at every moment
    /// one of the two is whole, and [`Table::read`] finds it.
    ///
    /// # Errors
    /// The disk does.
    pub(crate) fn write(&self, store: &mut impl Store) -> Outcome {
        let sectors = self.geometry.entries_sectors(self.count);
        let end = self.geometry.sectors - 1;
        self.write_copy(store, end, 1, end - sectors)?;
        self.write_copy(store, 1, end, 2)
    }

    fn write_copy(&self, store: &mut impl Store, at: u64, other: u64, entries: u64) -> Outcome {
        let write = |store: &mut dyn FnMut(&[u8], u64) -> io::Result<()>, bytes: &[u8], at: u64| {
            store(bytes, at * self.geometry.sector_bytes)
                .naming(|| "partition table: writing".into())
        };
        // Whole sectors: a block device does not take less without reading first.
        let sector = usize::try_from(self.geometry.sector_bytes)
            .map_err(|_| Fault::new("partition table: unusual sector size"))?;
        let padded = |mut bytes: Vec<u8>| {
            bytes.resize(bytes.len().next_multiple_of(sector), 0);
            bytes
        };
        let array = padded(self.entries.clone());
        let header = padded(self.header(at, other, entries));
        write(&mut |b, o| store.write(b, o), &array, entries)?;
        write(&mut |b, o| store.write(b, o), &header, at)?;
        store.sync().naming(|| "partition table: flushing".into())
    }

    fn header(&self, at: u64, other: u64, entries: u64) -> Vec<u8> {
        let build = |crc: u32| {
            let mut header = Vec::with_capacity(HEADER_BYTES as usize);
            header.extend_from_slice(SIGNATURE);
            header.extend_from_slice(&REVISION.to_le_bytes());
            header.extend_from_slice(&HEADER_BYTES.to_le_bytes());
            header.extend_from_slice(&crc.to_le_bytes());
            header.extend_from_slice(&[0; 4]);
            for sector in [at, other, self.first_usable, self.last_usable] {
                header.extend_from_slice(&sector.to_le_bytes());
            }
            header.extend_from_slice(&self.disk_guid);
            header.extend_from_slice(&entries.to_le_bytes());
            header.extend_from_slice(&self.count.to_le_bytes());
            header.extend_from_slice(&ENTRY_BYTES_U32.to_le_bytes());
            header.extend_from_slice(&crc32(&self.entries).to_le_bytes());
            header
        };
        build(crc32(&build(0)))
    }
}

fn parse_entry(number: u32, entry: &[u8]) -> Option<Partition> {
    let kind = bytes::<16>(entry, 0).ok()?;
    if kind == [0; 16] {
        return None;
    }
    let units = entry.get(56..128)?.chunks_exact(2).map(|u| u.iter().rev());
    let units = units.map(|u| u.fold(0u16, |unit, byte| unit << 8 | u16::from(*byte)));
    let units: Vec<u16> = units.take_while(|u| *u != 0).collect();
    Some(Partition {
        number,
        first: u64_at(entry, 32).ok()?,
        last: u64_at(entry, 40).ok()?,
        name: String::from_utf16_lossy(&units),
        guid: bytes(entry, 16).ok()?,
        is_made: u64_at(entry, 48).ok()? & MADE != 0,
    })
}

fn new_entry(name: &str, guid: [u8; 16], first: u64, last: u64) -> Outcome<Vec<u8>> {
    let mut entry = Vec::with_capacity(ENTRY_BYTES);
    entry.extend_from_slice(&LINUX_DATA);
    entry.extend_from_slice(&guid);
    entry.extend_from_slice(&first.to_le_bytes());
    entry.extend_from_slice(&last.to_le_bytes());
    entry.extend_from_slice(&[0; 8]);
    entry.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    if entry.len() > ENTRY_BYTES {
        return Err(Fault::new(format!(
            "partition table: '{name}' is longer than 36 units"
        )));
    }
    entry.resize(ENTRY_BYTES, 0);
    Ok(entry)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Outcome<[u8; N]> {
    let part = from.get(at..at + N).and_then(|part| part.try_into().ok());
    part.ok_or_else(|| Fault::new("the structure is cut short"))
}

fn u32_at(from: &[u8], at: usize) -> Outcome<u32> {
    Ok(u32::from_le_bytes(bytes(from, at)?))
}

fn u64_at(from: &[u8], at: usize) -> Outcome<u64> {
    Ok(u64::from_le_bytes(bytes(from, at)?))
}

/// CRC-32 of IEEE 802.3, bit by bit: 16 KiB once a boot do not ask for tables.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    });
    !crc
}

#[cfg(test)]
mod tests;
