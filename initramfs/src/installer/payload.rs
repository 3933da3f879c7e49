//! The system that the installer brings along, written to a disk and read back.
//!
//! Order matters for a power cut: first the old partition tables at both ends go, then everything
//! behind the new table is written, the new table comes last. So a disk that holds a table of ours
//! holds the whole system, and one that was cut off holds none and starts nothing.

use super::terminal::Terminal;
use crate::command_line::to_hexadecimal;
use crate::disks::Disk;
use crate::fault::{Fault, Naming, Outcome};
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the build puts the payload in the initramfs, below its root.
const FOLDER: &str = "/payload";

/// Bytes written at once. The partition table is in the first of these pieces.
const PIECE_BYTES: usize = 1 << 20;

/// Between two waits for the disk, so that what is said to be written is.
const SYNC_EVERY_BYTES: u64 = 64 << 20;

/// `payload/disk.json`, as the build writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) profile: String,
    /// Size of the unpacked disk.
    pub(super) bytes: u64,
    /// SHA-256 of the unpacked disk in lower-case hex.
    sha256: String,
}

/// The packed disk and what is known about it.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) about: About,
    file: PathBuf,
}

impl Payload {
    /// Reads the description of the payload.
    ///
    /// # Errors
    /// It is not there: this initramfs is not that of an installer.
    pub(super) fn open() -> Outcome<Self> {
        Self::of(Path::new(FOLDER))
    }

    fn of(folder: &Path) -> Outcome<Self> {
        let path = folder.join("disk.json");
        let text = fs::read_to_string(&path).naming(|| path.display().to_string())?;
        Ok(Self {
            about: serde_json::from_str(&text).naming(|| path.display().to_string())?,
            file: folder.join("disk.raw.zst"),
        })
    }

    /// Writes the system to the disk and checks what the disk gives back.
    ///
    /// # Errors
    /// The disk cannot be written or read, or gives back something else. It has no partition table
    /// then.
    pub(super) fn install(&self, disk: &Disk, terminal: &Terminal) -> Outcome {
        let file = disk.open(true)?;
        let bytes = disk
            .geometry
            .sectors
            .saturating_mul(disk.geometry.sector_bytes);
        let show = |line: &str| terminal.print(line);
        let outcome = self
            .write(&file, bytes, &show)
            .and_then(|()| self.check(&file, &show));
        outcome.map_err(|fault| {
            // What is wrong must not start; a disk that takes no zeros takes no system either.
            let _ = zero(&file, 0, PIECE_BYTES as u64).and_then(|()| file.sync_all());
            Fault::new(format!("{}: {fault}", disk.name))
        })
    }

    /// Writes the unpacked disk to `target`, which has `bytes`, the partition table last.
    fn write(&self, target: &File, bytes: u64, show: &dyn Fn(&str)) -> Outcome {
        let piece = PIECE_BYTES as u64;
        for end in [0, bytes.saturating_sub(piece)] {
            zero(target, end, piece).naming(|| "removing the old partition table".into())?;
        }
        target
            .sync_all()
            .naming(|| "removing the old partition table".into())?;
        let mut source = self.unpacked()?;
        let head = piece_of(&mut source)?;
        let zeros = vec![0; PIECE_BYTES];
        let mut progress = Progress::new("writing", self.about.bytes, show);
        let mut at = head.len() as u64;
        loop {
            let piece = piece_of(&mut source)?;
            let length = piece.len() as u64;
            if length == 0 {
                break;
            }
            let written = if zeros.starts_with(&piece) {
                zero(target, at, length)
            } else {
                target.write_all_at(&piece, at)
            };
            written.naming(|| refused("writing", at))?;
            at += length;
            if at.is_multiple_of(SYNC_EVERY_BYTES) {
                target.sync_data().naming(|| refused("writing", at))?;
            }
            progress.reached(at);
        }
        if at != self.about.bytes {
            return Err(Fault::new(format!(
                "the packed disk has {at} bytes, not {}; make the installer's medium anew",
                self.about.bytes
            )));
        }
        target.sync_all().naming(|| refused("writing", at))?;
        target
            .write_all_at(&head, 0)
            .naming(|| refused("writing", 0))?;
        target.sync_all().naming(|| refused("writing", 0))
    }

    /// Reads everything back from the medium and compares its SHA-256 with the signed one.
    fn check(&self, target: &File, show: &dyn Fn(&str)) -> Outcome {
        // Forgets what is in memory: it is the disk that is asked. 0 bytes means all.
        posix_fadvise(target, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .naming(|| "forgetting what was written".into())?;
        let mut progress = Progress::new("checking", self.about.bytes, show);
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.about.bytes {
            let rest = usize::try_from(self.about.bytes - at).unwrap_or(PIECE_BYTES);
            let part = piece.get_mut(..rest.min(PIECE_BYTES)).unwrap_or_default();
            target
                .read_exact_at(part, at)
                .naming(|| refused("reading", at))?;
            hash.update(&*part);
            at += part.len() as u64;
            progress.reached(at);
        }
        let found = to_hexadecimal(&hash.finalize());
        if found == self.about.sha256 {
            show(&format!("SHA-256 {found}: as it shall be\n"));
            return Ok(());
        }
        Err(Fault::new(format!(
            "what the disk gives back has SHA-256 {found}, not {}; the disk is broken, use \
             another one",
            self.about.sha256
        )))
    }

    fn unpacked(&self) -> Outcome<impl Read> {
        let name = || self.file.display().to_string();
        let file = File::open(&self.file).naming(name)?;
        StreamingDecoder::new(BufReader::with_capacity(PIECE_BYTES, file)).naming(name)
    }
}

/// What went wrong at which place of the disk.
fn refused(doing: &str, at: u64) -> String {
    format!("{doing} at {} MiB", at >> 20)
}

/// The next piece, shorter only at the end.
fn piece_of(source: &mut impl Read) -> Outcome<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let part = source.take(PIECE_BYTES as u64).read_to_end(&mut piece);
    part.naming(|| "unpacking the system".into())?;
    Ok(piece)
}

/// Makes a range of the disk read as zeros, by the disk's own command where it has one.
fn zero(target: &File, at: u64, length: u64) -> std::io::Result<()> {
    let number = |value: u64| i64::try_from(value).map_err(std::io::Error::other);
    let (begin, bytes) = (number(at)?, number(length)?);
    if fallocate(target, FallocateFlags::FALLOC_FL_ZERO_RANGE, begin, bytes).is_ok() {
        return Ok(());
    }
    let bytes = usize::try_from(length).map_err(std::io::Error::other)?;
    target.write_all_at(&vec![0; bytes], at)
}

/// A line that says how far something is, rewritten with every percent.
struct Progress<'a> {
    doing: &'static str,
    all: u64,
    percent: u64,
    begun: Instant,
    show: &'a dyn Fn(&str),
}

impl<'a> Progress<'a> {
    fn new(doing: &'static str, all: u64, show: &'a dyn Fn(&str)) -> Self {
        Self {
            doing,
            all,
            percent: 0,
            begun: Instant::now(),
            show,
        }
    }

    fn reached(&mut self, bytes: u64) {
        let percent = bytes.saturating_mul(100) / self.all.max(1);
        if percent == self.percent {
            return;
        }
        self.percent = percent;
        let milliseconds = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.show)(&line(self.doing, percent, bytes, milliseconds));
    }
}

/// `writing  42 %  123 MB/s`, at the beginning of the line; the last one ends it.
fn line(doing: &str, percent: u64, bytes: u64, milliseconds: u64) -> String {
    // Bytes in a millisecond are kilobytes in a second.
    let megabytes = bytes / milliseconds.max(1) / 1000;
    let end = if percent >= 100 { "\n" } else { "" };
    format!("\r{doing} {percent:>3} % {megabytes:>5} MB/s{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A frame of zstd with one uncompressed block for each of `blocks` (RFC 8878, 3.1.1).
    fn packed(blocks: &[Vec<u8>]) -> Vec<u8> {
        // No checksum, no size; a window of 2 MiB.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
        for (number, block) in blocks.iter().enumerate() {
            let last = u32::from(number + 1 == blocks.len());
            let header = last | u32::try_from(block.len()).unwrap() << 3;
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.extend_from_slice(block);
        }
        frame
    }

    struct Bench {
        payload: Payload,
        disk: File,
        content: Vec<u8>,
        _folder: tempfile::TempDir,
    }

    const DISK_BYTES: u64 = 5 << 20;

    /// A payload of 3 MiB and a bit: data, zeros, data. The disk is full of sevens.
    fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut content = vec![1; PIECE_BYTES];
        content.extend(vec![0; PIECE_BYTES]);
        content.extend((0..PIECE_BYTES + 4096).map(|i| (i % 251) as u8));
        let blocks: Vec<_> = content.chunks(100_000).map(<[u8]>::to_vec).collect();
        fs::write(folder.path().join("disk.raw.zst"), packed(&blocks)).unwrap();
        let about = serde_json::json!({
            "version": "1", "profile": "virt", "bytes": content.len(),
            "sha256": to_hexadecimal(&Sha256::digest(&content)),
        });
        fs::write(folder.path().join("disk.json"), about.to_string()).unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, vec![7; DISK_BYTES as usize]).unwrap();
        Bench {
            payload: Payload::of(folder.path()).unwrap(),
            disk: File::options().read(true).write(true).open(path).unwrap(),
            content,
            _folder: folder,
        }
    }

    impl Bench {
        fn at(&self, offset: u64, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.disk.read_exact_at(&mut bytes, offset).unwrap();
            bytes
        }
    }

    #[test]
    fn what_is_written_is_the_payload_and_old_tables_are_gone() {
        let bench = bench();
        let shown = RefCell::new(String::new());
        let show = |line: &str| shown.borrow_mut().push_str(line);
        bench.payload.write(&bench.disk, DISK_BYTES, &show).unwrap();
        bench.payload.check(&bench.disk, &show).unwrap();
        assert!(bench.at(0, bench.content.len()) == bench.content);
        let last = DISK_BYTES - PIECE_BYTES as u64;
        assert!(bench.at(last, PIECE_BYTES).iter().all(|byte| *byte == 0));
        let shown = shown.into_inner();
        for said in [
            "\rwriting ",
            "writing 100 %",
            "checking 100 %",
            "as it shall be",
        ] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
    }

    #[test]
    fn one_changed_byte_on_the_disk_is_noticed() {
        let bench = bench();
        bench
            .payload
            .write(&bench.disk, DISK_BYTES, &|_| ())
            .unwrap();
        bench
            .disk
            .write_all_at(&[1], PIECE_BYTES as u64 + 5)
            .unwrap();
        let fault = bench.payload.check(&bench.disk, &|_| ()).unwrap_err();
        assert!(fault.to_string().contains("the disk is broken"), "{fault}");
    }

    #[test]
    fn the_table_is_written_last() {
        let mut bench = bench();
        bench.payload.about.bytes += 1;
        // The payload ends before its time, as everything does at a power cut.
        let fault = bench
            .payload
            .write(&bench.disk, DISK_BYTES, &|_| ())
            .unwrap_err();
        assert!(fault.to_string().contains("make the installer"), "{fault}");
        assert!(bench.at(0, PIECE_BYTES).iter().all(|byte| *byte == 0));
        let behind = PIECE_BYTES * 2;
        assert_eq!(
            bench.at(behind as u64, 100),
            bench.content[behind..behind + 100]
        );
    }

    #[test]
    fn progress_is_said_in_megabytes_a_second() {
        assert_eq!(
            line("writing", 7, 70_000_000, 1_000),
            "\rwriting   7 %    70 MB/s"
        );
        assert_eq!(line("writing", 100, 1, 0), "\rwriting 100 %     0 MB/s\n");
    }
}
