//! The disk: a GUID partition table and what is in the partitions, in one sparse file.

use crate::profile::{Content, Partition, Profile};
use crate::tool::Tool;
use crate::{Fault, fault, hash};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Partitions begin at multiples of this: what disks of all kinds like.
const MEBIBYTE: u64 = 1 << 20;
/// The unit of the partition table.
const SECTOR_BYTES: u64 = 512;
/// Bytes looked at at once when holes are sought: the block size of the file system beneath.
const HOLE_BYTES: usize = 4096;

/// Type of a partition in the GPT, as the UEFI and Discoverable Partitions specifications give it.
const fn kind(holds: Content) -> &'static str {
    match holds {
        Content::Esp => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        Content::Root | Content::Empty => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    }
}

/// Writes the disk of `profile` to `disk`, with the files that fill its partitions.
///
/// # Errors
/// When a file is too large for its partition, or cannot be written.
pub fn write(profile: &Profile, disk: &Path, esp: &Path, root: &Path) -> Result<(), Fault> {
    blank(disk, profile.disk_mebibytes)?;
    divide(disk, "strongroom disk", &profile.partitions)?;
    for (partition, begin) in places(&profile.partitions) {
        match partition.holds {
            Content::Esp => fill(disk, partition, begin, esp)?,
            Content::Root => fill(disk, partition, begin, root)?,
            Content::Empty => {}
        }
    }
    Ok(())
}

/// Writes a disk with nothing but the EFI system partition `name` of `mebibytes`, with `esp` in it:
/// what firmware starts from a stick.
///
/// # Errors
/// As [`write`].
pub fn write_stick(disk: &Path, name: &str, mebibytes: u64, esp: &Path) -> Result<(), Fault> {
    let partition = Partition {
        name: name.to_owned(),
        mebibytes,
        holds: Content::Esp,
    };
    // One MiB on either side is for the two copies of the partition table.
    blank(disk, mebibytes + 2)?;
    divide(disk, name, std::slice::from_ref(&partition))?;
    fill(disk, &partition, MEBIBYTE, esp)
}

/// Makes an empty disk.
fn blank(disk: &Path, mebibytes: u64) -> Result<(), Fault> {
    let file = File::create(disk).map_err(fault::file("make", disk))?;
    let bytes = mebibytes * MEBIBYTE;
    file.set_len(bytes).map_err(fault::file("enlarge", disk))
}

/// Writes the partition table of a disk known as `name`.
fn divide(disk: &Path, name: &str, partitions: &[Partition]) -> Result<(), Fault> {
    let script = script(name, partitions);
    let partition =
        Tool::new("sfdisk", "fdisk").args(["--quiet", "--no-reread", "--no-tell-kernel"]);
    partition.arg(disk).output_for(script.as_bytes()).map(drop)
}

/// Partitions with the byte each begins at: one after the other, the first after one MiB.
fn places(partitions: &[Partition]) -> impl Iterator<Item = (&Partition, u64)> {
    partitions.iter().scan(MEBIBYTE, |next, partition| {
        let begin = *next;
        *next += partition.mebibytes * MEBIBYTE;
        Some((partition, begin))
    })
}

/// The table as sfdisk(8) reads it. Identities are made of names: the same in every build.
fn script(disk: &str, partitions: &[Partition]) -> String {
    let disk = hash::uuid(disk);
    let mut script = format!("label: gpt\nlabel-id: {disk}\nunit: sectors\n");
    for (partition, begin) in places(partitions) {
        let Partition {
            name,
            mebibytes,
            holds,
        } = partition;
        let start = begin / SECTOR_BYTES;
        let size = mebibytes * MEBIBYTE / SECTOR_BYTES;
        let (kind, uuid) = (
            kind(*holds),
            hash::uuid(&format!("strongroom partition {name}")),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            script,
            "start={start}, size={size}, type={kind}, uuid={uuid}, name=\"{name}\""
        );
    }
    script
}

/// Copies `content` into `partition`.
fn fill(disk: &Path, partition: &Partition, begin: u64, content: &Path) -> Result<(), Fault> {
    let bytes = fs::metadata(content)
        .map_err(fault::file("examine", content))?
        .len();
    let limit = partition.mebibytes * MEBIBYTE;
    if bytes > limit {
        let what = format!("the content of partition {}", partition.name);
        return Err(Fault::TooLarge { what, bytes, limit });
    }
    copy_into(content, disk, begin)
}

/// Copies `from` into the file `to` at byte `begin`, leaving out blocks of zeros.
fn copy_into(from: &Path, to: &Path, begin: u64) -> Result<(), Fault> {
    let mut source = File::open(from).map_err(fault::file("open", from))?;
    let target = fs::OpenOptions::new().write(true).open(to);
    let mut target = target.map_err(fault::file("open", to))?;
    let mut at = begin;
    let mut block = Vec::with_capacity(HOLE_BYTES);
    loop {
        block.clear();
        let part = std::io::Read::by_ref(&mut source)
            .take(HOLE_BYTES as u64)
            .read_to_end(&mut block);
        let length = part.map_err(fault::file("read", from))?;
        if length == 0 {
            return Ok(());
        }
        if block.iter().any(|&byte| byte != 0) {
            target
                .seek(SeekFrom::Start(at))
                .map_err(fault::file("seek in", to))?;
            target.write_all(&block).map_err(fault::file("write", to))?;
        }
        at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    //! The table that sfdisk makes of ours, and what is in the partitions.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    fn profile() -> Profile {
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        Profile::read(&profiles, "virt").unwrap()
    }

    fn written(folder: &Path, name: &str) -> PathBuf {
        let (esp, root, disk) = (folder.join("esp"), folder.join("root"), folder.join(name));
        fs::write(&esp, b"EFI").unwrap();
        fs::write(&root, vec![9; 5000]).unwrap();
        write(&profile(), &disk, &esp, &root).unwrap();
        disk
    }

    #[test]
    fn partitions_stand_where_the_profile_says() {
        let folder = tempfile::tempdir().unwrap();
        let disk = written(folder.path(), "disk");
        let dump = Tool::new("sfdisk", "fdisk")
            .arg("--dump")
            .arg(&disk)
            .output()
            .unwrap();
        for name in ["esp", "root-a", "root-b", "keys"] {
            assert!(dump.contains(&format!("name=\"{name}\"")), "{dump}");
        }
        let mut file = File::open(&disk).unwrap();
        let mut read = [0; 3];
        file.read_exact(&mut read).unwrap();
        file.seek(SeekFrom::Start(MEBIBYTE)).unwrap();
        file.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"EFI");
        file.seek(SeekFrom::Start(65 * MEBIBYTE + 4999)).unwrap();
        file.read_exact(&mut read).unwrap();
        assert_eq!(read, [9, 0, 0]);
        let used = file.metadata().unwrap().blocks() * 512;
        assert!(used < 4 * MEBIBYTE, "the disk is not sparse: {used} bytes");
    }

    #[test]
    fn two_disks_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let one = hash::of_file(&written(folder.path(), "one")).unwrap();
        assert_eq!(one, hash::of_file(&written(folder.path(), "two")).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (esp, root) = (folder.path().join("esp"), folder.path().join("root"));
        fs::write(&root, b"").unwrap();
        File::create(&esp).unwrap().set_len(65 * MEBIBYTE).unwrap();
        let refused = write(&profile(), &folder.path().join("disk"), &esp, &root);
        assert!(
            matches!(refused, Err(Fault::TooLarge { .. })),
            "{refused:?}"
        );
    }
}
