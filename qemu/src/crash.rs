//! The states in which a power cut may leave a disk, from a log of its writes.
//!
//! A disk may keep what was written after the last flush, or forget it, write by write, and it may
//! keep only the beginning of the write that the cut fell into. The log is what QEMU's
//! `blklogwrites` leaves, in the format of Linux' dm-log-writes (include/linux and
//! drivers/md/dm-log-writes.c): a superblock sector, then for each entry a header sector and the
//! data; all numbers are little-endian.

use crate::fault::Fault;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// First eight bytes of a log.
const MAGIC: u64 = 0x6a_7366_7773_6872;

/// The one version of the format that there is.
const VERSION: u64 = 1;

/// Bytes of the superblock and of an entry's header that mean something.
const HEADER_BYTES: usize = 32;

/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// Largest sector of a log, in bytes: what disks have.
const SECTOR_BYTES_MAX: u64 = 4096;

/// Largest write of a log, in bytes: QEMU splits larger ones.
const WRITE_BYTES_MAX: u64 = 1 << 30;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What the guest told its disk to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// Data at a byte of the log file, to a byte of the disk. `durable` once it is done.
    Write {
        from: u64,
        to: u64,
        length: u64,
        durable: bool,
    },
    /// Bytes that the disk may forget or keep.
    Discard,
    /// Everything before is durable.
    Flush,
}

/// The writes and flushes of one disk, in the order in which they were begun.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    name: String,
    sector_bytes: u64,
    entries: Vec<Entry>,
}

/// One state in which a power cut may leave a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashState {
    /// The cut fell before this entry of the log.
    pub cut: usize,
    /// Entries whose data the disk has, in order.
    pub kept: Vec<usize>,
    /// The last kept entry is cut off after this many bytes.
    pub torn_after: Option<u64>,
}

impl WriteLog {
    /// Reads which writes there are; their data stays in the file.
    ///
    /// # Errors
    /// The file cannot be read or is no log.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let file = File::open(path).map_err(Fault::io("open", path))?;
        let (count, sector_bytes) = superblock(&file, path)?;
        let mut log = Self {
            file,
            name: path.display().to_string(),
            sector_bytes,
            entries: Vec::new(),
        };
        let mut at = sector_bytes;
        for _ in 0..count {
            at = log.read_entry(at, path)?;
        }
        Ok(log)
    }

    /// How many entries a log has so far, while QEMU writes it: what a test notes when the guest
    /// acknowledges something, to know later which states must have it.
    ///
    /// # Errors
    /// The file cannot be read or is no log.
    pub fn entries_so_far(path: &Path) -> Result<usize, Fault> {
        let file = File::open(path).map_err(Fault::io("open", path))?;
        let (count, _) = superblock(&file, path)?;
        usize::try_from(count).map_err(|_| malformed(path, "more entries than memory"))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was written or flushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of the entries are flushes.
    #[must_use]
    pub fn flushes(&self) -> usize {
        let flushes = self.entries.iter().filter(|e| **e == Entry::Flush);
        flushes.count()
    }

    /// The same writes on a disk that lies: a flush makes nothing durable. The control of a test,
    /// which has to find that something acknowledged is lost.
    #[must_use]
    pub fn without_flushes(mut self) -> Self {
        for entry in &mut self.entries {
            match entry {
                Entry::Flush => *entry = Entry::Discard,
                Entry::Write { durable, .. } => *durable = false,
                Entry::Discard => {}
            }
        }
        self
    }

    /// A state that a cut at some place in `cuts` may leave. The same seed gives the same state.
    /// Every second one ends with a torn write, if there is one to tear.
    #[must_use]
    pub fn crash_state(&self, cuts: RangeInclusive<usize>, seed: u64) -> CrashState {
        let mut chance = Chance(seed);
        let first = (*cuts.start()).min(self.entries.len());
        let last = (*cuts.end()).min(self.entries.len());
        let cut = first + chance.below(last.saturating_sub(first) + 1);
        let before = self.entries.iter().take(cut).enumerate();
        let flushed = before.clone().rfind(|(_, entry)| **entry == Entry::Flush);
        let flushed = flushed.map_or(0, |(number, _)| number);
        let mut kept = Vec::new();
        for (number, entry) in before {
            let Entry::Write { durable, .. } = entry else {
                continue;
            };
            // The write that the cut fell into was not done, so it is not durable yet.
            let is_safe = number < flushed || *durable && number + 1 < cut;
            if is_safe || chance.below(2) == 0 {
                kept.push(number);
            }
        }
        let torn_after = self.tear(&kept, flushed, &mut chance);
        CrashState {
            cut,
            kept,
            torn_after,
        }
    }

    /// After how many bytes the last kept write ends, if it can be torn and is to be.
    fn tear(&self, kept: &[usize], flushed: usize, chance: &mut Chance) -> Option<u64> {
        let last = kept.last().filter(|&&number| number > flushed)?;
        let Some(Entry::Write {
            length,
            durable: false,
            ..
        }) = self.entries.get(*last)
        else {
            return None;
        };
        // Disks write whole sectors.
        let sectors = usize::try_from(length / self.sector_bytes).ok()?;
        let torn = sectors > 1 && chance.below(2) == 0;
        torn.then(|| (1 + chance.below(sectors - 1)) as u64 * self.sector_bytes)
    }

    /// Writes what a state has kept onto a disk, which is to be as it was when the log began.
    ///
    /// # Errors
    /// The log cannot be read or the disk cannot be written.
    pub fn lay(&self, state: &CrashState, disk: &Path) -> Result<(), Fault> {
        let output = File::options().write(true).open(disk);
        let output = output.map_err(Fault::io("open", disk))?;
        for (place, &number) in state.kept.iter().enumerate() {
            let Some(Entry::Write {
                from, to, length, ..
            }) = self.entries.get(number)
            else {
                let detail = format!("entry {number} is no write");
                return Err(Fault::malformed(&self.name, detail));
            };
            let is_last = place + 1 == state.kept.len();
            let length = match state.torn_after {
                Some(torn) if is_last => torn.min(*length),
                _ => *length,
            };
            let copied = copy(&self.file, *from, &output, *to, length);
            copied.map_err(Fault::io("write the kept entries to", disk))?;
        }
        Ok(())
    }

    /// Reads the header at `at`. Gives where the next one is.
    fn read_entry(&mut self, at: u64, path: &Path) -> Result<u64, Fault> {
        let [sector, sectors, flags, _] = numbers(&self.file, at, path)?;
        let bytes = |sectors: u64| sectors.checked_mul(self.sector_bytes);
        let (Some(to), Some(length)) = (bytes(sector), bytes(sectors)) else {
            return Err(malformed(path, "a place beyond 2^64 bytes"));
        };
        if length > WRITE_BYTES_MAX {
            return Err(malformed(path, &format!("a write of {length} bytes")));
        }
        let from = at + self.sector_bytes;
        if flags & DISCARD != 0 {
            self.entries.push(Entry::Discard);
            return Ok(from);
        }
        if flags & FLUSH != 0 {
            self.entries.push(Entry::Flush);
        }
        if length > 0 {
            let durable = flags & FUA != 0;
            self.entries.push(Entry::Write {
                from,
                to,
                length,
                durable,
            });
        }
        Ok(from + length)
    }
}

/// Number of entries and bytes of a sector.
fn superblock(file: &File, path: &Path) -> Result<(u64, u64), Fault> {
    let [magic, version, count, sector_bytes] = numbers(file, 0, path)?;
    // The last number has 32 bits; what follows it is nothing yet.
    let sector_bytes = sector_bytes & u64::from(u32::MAX);
    if magic != MAGIC || version != VERSION {
        return Err(malformed(path, "not a log of writes, version 1"));
    }
    if !(512..=SECTOR_BYTES_MAX).contains(&sector_bytes) || !sector_bytes.is_power_of_two() {
        return Err(malformed(path, &format!("sectors of {sector_bytes} bytes")));
    }
    Ok((count, sector_bytes))
}

/// The four numbers that superblock and headers begin with.
fn numbers(file: &File, at: u64, path: &Path) -> Result<[u64; 4], Fault> {
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_exact_at(&mut bytes, at);
    read.map_err(Fault::io(&format!("read byte {at} of"), path))?;
    let mut numbers = [0; 4];
    for (number, chunk) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*chunk);
    }
    Ok(numbers)
}

fn malformed(path: &Path, detail: &str) -> Fault {
    Fault::malformed(&path.display().to_string(), detail)
}

fn copy(input: &File, mut from: u64, output: &File, mut to: u64, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let (part, _) = buffer.split_at_mut(count);
        input.read_exact_at(part, from)?;
        output.write_all_at(part, to)?;
        let count = count as u64;
        (from, to, left) = (from + count, to + count, left - count);
    }
    Ok(())
}

/// Copies a disk file without its holes: 30 MiB of a 300 MiB image are read and written.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), Fault> {
    let input = File::open(from).map_err(Fault::io("open", from))?;
    let output = File::create(to).map_err(Fault::io("create", to))?;
    let length = input.metadata().map_err(Fault::io("look at", from))?.len();
    output.set_len(length).map_err(Fault::io("size", to))?;
    let copied = copy_data(&input, &output, length);
    copied.map_err(Fault::io(&format!("copy {} to", from.display()), to))
}

fn copy_data(input: &File, output: &File, length: u64) -> io::Result<()> {
    let seek = |at: u64, whence| -> io::Result<Option<u64>> {
        let at = i64::try_from(at).map_err(io::Error::other)?;
        match lseek(input, at, whence) {
            Ok(found) => Ok(u64::try_from(found).ok()),
            // Only a hole is left.
            Err(Errno::ENXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let mut at = 0;
    while at < length {
        let Some(begin) = seek(at, Whence::SeekData)? else {
            return Ok(());
        };
        let end = seek(begin, Whence::SeekHole)?.unwrap_or(length);
        copy(input, begin, output, begin, end - begin)?;
        at = end;
    }
    Ok(())
}

/// Numbers that depend only on the seed (SplitMix64).
struct Chance(u64);

impl Chance {
    /// A number from 0 to `bound`, without it; 0 if the bound is 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = (z ^ (z >> 31)).checked_rem(bound as u64).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test without its files has to fail"
)]
mod tests {
    use super::*;
    use std::process::Command;

    fn bytes(path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }

    /// A disk of 1 MiB and the log that QEMU's own tool makes: A at 0, flush, B at 8 KiB, C over
    /// A's first sector.
    fn recorded(folder: &Path) -> (std::path::PathBuf, WriteLog) {
        let (disk, log) = (folder.join("disk"), folder.join("log"));
        let empty = File::create(&disk).unwrap();
        empty.set_len(1 << 20).unwrap();
        File::create(&log).unwrap();
        let image = format!(
            "driver=blklogwrites,log-super-update-interval=1,file.driver=raw,\
             file.file.driver=file,file.file.filename={},log.driver=file,log.filename={}",
            disk.display(),
            log.display()
        );
        let mut tool = Command::new("qemu-io");
        for command in [
            "write -P 0xaa 0 4096",
            "flush",
            "write -P 0xbb 8192 2048",
            "discard 16384 4096",
            "write -P 0xcc 0 512",
        ] {
            tool.args(["-c", command]);
        }
        let output = tool.args(["--image-opts", &image]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (disk, WriteLog::open(&log).unwrap())
    }

    #[test]
    fn log_of_the_real_tool_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, log) = recorded(folder.path());
        let count = WriteLog::entries_so_far(&folder.path().join("log")).unwrap();
        assert_eq!(log.len(), count);
        let writes: Vec<(u64, u64)> = log
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Write { to, length, .. } => Some((*to, *length)),
                _ => None,
            })
            .collect();
        assert_eq!(writes, [(0, 4096), (8192, 2048), (0, 512)]);
        // Everything kept gives the disk as it is.
        let all = log.crash_state(log.len()..=log.len(), 0);
        assert_eq!(all.kept.len(), 3, "the tool flushes when it ends");
        let other = folder.path().join("other");
        File::create(&other).unwrap().set_len(1 << 20).unwrap();
        log.lay(&all, &other).unwrap();
        assert!(bytes(&disk) == bytes(&other));
    }

    #[test]
    fn states_keep_what_was_flushed_and_differ_in_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (_, log) = recorded(folder.path());
        let second_flush = log.entries.iter().skip(2).position(|e| *e == Entry::Flush);
        let end = 2 + second_flush.unwrap();
        let states: Vec<CrashState> = (0..64).map(|seed| log.crash_state(2..=end, seed)).collect();
        assert!(states.iter().all(|state| state.kept.contains(&0)));
        let has = |wanted: &[usize]| states.iter().any(|state| state.kept == wanted);
        assert!(has(&[0]) && has(&[0, 2]) && has(&[0, 2, 4]) && has(&[0, 4]));
        let torn: Vec<u64> = states.iter().filter_map(|state| state.torn_after).collect();
        assert!(torn.contains(&512) && torn.contains(&1024) && torn.contains(&1536));
        assert_eq!(log.crash_state(2..=end, 7), log.crash_state(2..=end, 7));
        let lying = log.without_flushes();
        let mut states = (0..64).map(|seed| lying.crash_state(2..=end, seed));
        assert!(states.any(|state| !state.kept.contains(&0)));
    }

    #[test]
    fn torn_write_ends_at_a_sector() {
        let folder = tempfile::tempdir().unwrap();
        let (_, log) = recorded(folder.path());
        let state = CrashState {
            cut: 3,
            kept: vec![0, 2],
            torn_after: Some(512),
        };
        let disk = folder.path().join("torn");
        File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        log.lay(&state, &disk).unwrap();
        let bytes = bytes(&disk);
        assert!(bytes[8192..8704].iter().all(|&byte| byte == 0xbb));
        assert!(bytes[8704..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, [0; 512]).unwrap();
        assert!(matches!(
            WriteLog::open(&path),
            Err(Fault::Malformed { .. })
        ));
        std::fs::write(&path, [0; 5]).unwrap();
        assert!(matches!(WriteLog::open(&path), Err(Fault::Io { .. })));
    }

    #[test]
    fn copy_has_the_bytes_and_the_holes() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(16 << 20).unwrap();
        file.write_all_at(b"here", 5 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert!(bytes(&from) == bytes(&to));
        let blocks = std::fs::metadata(&to).unwrap().blocks();
        assert!(blocks < 1024, "{blocks} blocks of 512 bytes for four bytes");
    }
}
