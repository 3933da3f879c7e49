//! A copy of the system's disk that somebody changes with the case open: bits of partitions, files
//! of the EFI system partition.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The unit of the partition table.
const SECTOR_BYTES: u64 = 512;
/// Blocks of the root and of its hash tree.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Entries of a partition table that are looked at: as many as tables have by default.
const ENTRIES_MAX: u64 = 128;

/// A sparse copy of `disk.raw`, deleted when it is dropped.
pub(crate) struct Copy {
    folder: TempDir,
    file: PathBuf,
}

impl Copy {
    /// Copies the disk of the image.
    pub(crate) fn of(image: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("disk.raw");
        qemu::copy_sparse(&image.join("disk.raw"), &file)?;
        Ok(Self { folder, file })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// A folder for the files of this case.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A place in it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Byte at which the partition of that name begins (UEFI specification, 5.3: the header is in
    /// sector 1, names are UTF-16).
    pub(crate) fn partition(&self, name: &str) -> Result<u64> {
        let disk = File::open(&self.file)?;
        let header = read(&disk, SECTOR_BYTES, 92)?;
        ensure!(header.starts_with(b"EFI PART"), "the disk has no GPT");
        let (table, size) = (number(&header, 72, 8)?, number(&header, 84, 4)?);
        for at in 0..ENTRIES_MAX.min(number(&header, 80, 4)?) {
            let entry = read(&disk, table * SECTOR_BYTES + at * size, 128)?;
            let units: Vec<u16> = entry[56..]
                .chunks_exact(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .take_while(|unit| *unit != 0)
                .collect();
            if String::from_utf16_lossy(&units) == name {
                return Ok(number(&entry, 32, 8)? * SECTOR_BYTES);
            }
        }
        anyhow::bail!("the disk has no partition {name}")
    }

    /// Flips the lowest bit of one byte of a partition.
    pub(crate) fn flip(&self, partition: &str, byte: u64) -> Result<()> {
        let at = self.partition(partition)? + byte;
        let disk = File::options().read(true).write(true).open(&self.file)?;
        let mut value = [0];
        disk.read_exact_at(&mut value, at)?;
        disk.write_all_at(&[value[0] ^ 1], at)?;
        Ok(())
    }

    /// The EFI system partition as mtools take it.
    fn esp(&self) -> Result<String> {
        let begin = self.partition("esp")?;
        Ok(format!("{}@@{begin}", self.file.display()))
    }

    fn mtools(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.arg("-i").arg(self.esp()?).args(arguments);
        run(&mut command).context("mtools (Debian: apt-get install mtools)")?;
        Ok(())
    }

    /// Writes a file to the EFI system partition, over an old one of that name, with its folders.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let copy = self.beside("put");
        fs::write(&copy, bytes)?;
        for (end, _) in path.match_indices('/') {
            // A folder that is there already is refused, which is as good.
            let _ = self.mtools("mmd", &["-D", "s", &format!("::/{}", &path[..end])]);
        }
        let copy = copy.to_str().context("a path in UTF-8")?;
        self.mtools("mcopy", &["-o", copy, &format!("::/{path}")])
    }

    /// Reads a file of the EFI system partition.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        let copy = self.beside("get");
        let to = copy.to_str().context("a path in UTF-8")?;
        self.mtools("mcopy", &["-n", "-o", &format!("::/{path}"), to])?;
        Ok(fs::read(&copy)?)
    }

    /// Deletes a file of the EFI system partition.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.mtools("mdel", &[&format!("::/{path}")])
    }
}

fn read(disk: &File, at: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Little-endian number of `length` bytes.
pub(crate) fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64> {
    let digits = bytes.get(at..at + length).context("a torn header")?;
    Ok(digits
        .iter()
        .rev()
        .fold(0, |value, digit| value << 8 | u64::from(*digit)))
}

/// Block of the root that holds the beginning of a file in it.
pub(crate) fn block_of(image: &Path, path: &str) -> Result<u64> {
    let mut dump = Command::new("dump.erofs");
    dump.arg(format!("--path={path}"))
        .arg("-e")
        .arg(image.join("root.erofs"));
    let said = run(&mut dump).context("dump.erofs (Debian: apt-get install erofs-utils)")?;
    // `   0:        0..   13217 |   13217 :   13705216..  13709312 |    4096`
    let extent = said.lines().find(|line| line.trim().starts_with("0:"));
    let physical = extent
        .and_then(|line| line.split(':').nth(2))
        .and_then(|range| range.split("..").next());
    let byte: u64 = physical
        .with_context(|| format!("no extent of {path} in: {said}"))?
        .trim()
        .parse()?;
    Ok(byte / BLOCK_BYTES)
}

/// Runs a program to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
