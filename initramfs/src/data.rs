//! The data and keys partitions: made at the first boot, checked and mounted at every boot, grown
//! when the disk grew.
//!
//! A power cut at any moment of the first boot starts over cleanly. The marker "this file system
//! is whole" is bit 48 of the partition's attributes in the partition table, written after the
//! file system is made and flushed; the table itself is replaced so that the old or the new one
//! survives (see `gpt.rs`). Without the marker there is nothing to lose and the file system is
//! made anew; with it PID 1 never makes one, whatever it finds: it refuses to go on.
//!
//! No byte of an ext4 is read by the kernel before `e2fsck -p` (of the verified root) has.

use crate::disks::Disk;
use crate::fault::{Fault, Naming, Outcome};
use crate::gpt::Partition;
use crate::raw;
use crate::report;
use crate::services::CORE_USER;
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the data partition is mounted.
pub(crate) const DATA: &str = "/data";
/// Where the keys partition is mounted.
pub(crate) const KEYS: &str = "/data/keys";

/// Less than this is no appliance: the ledger alone refuses writes below some free space.
const DATA_BYTES_MIN: u64 = 64 << 20;

/// Block size given to mke2fs, so that small partitions have the same as large ones.
const BLOCK_BYTES: u64 = 4096;

/// What was done, for the status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// File systems that this boot made.
    pub(crate) made: Vec<String>,
    /// Whether the data partition became larger in this boot.
    pub(crate) grown: bool,
    /// Bytes of the data partition.
    pub(crate) bytes: u64,
}

/// Adds the data partition at the first boot, and lets it end where the disk ends.
///
/// # Errors
/// The disk is too small or cannot be written.
pub(crate) fn partition(disk: &Disk, done: &mut Done) -> Outcome {
    let table = disk.table()?;
    match table.named("data") {
        None => disk.write(&table.with_partition("data", random_guid()?, DATA_BYTES_MIN)?)?,
        Some(data) => {
            // The kernel does not read the copy at the disk's end; we do.
            disk.show_all(&table)?;
            if let Some(grown) = table.with_grown(data.number) {
                disk.write(&grown)?;
                done.grown = true;
            }
        }
    }
    done.bytes = named(disk, "data")?.sectors() * disk.geometry.sector_bytes;
    Ok(())
}

/// Makes the file systems that are not yet whole, and checks the others.
///
/// # Errors
/// A file system cannot be made, or is damaged beyond what a journal repairs.
pub(crate) fn file_systems(disk: &Disk, done: &mut Done) -> Outcome {
    for name in ["keys", "data"] {
        let partition = named(disk, name)?;
        let node = disk.node(partition.number)?;
        if partition.is_made {
            check(&node, name)?;
            continue;
        }
        report::say(&format!("making the file system of partition '{name}'"));
        make(&node, name)?;
        disk.write(&disk.table()?.with_made(partition.number)?)?;
        done.made.push(name.to_owned());
    }
    Ok(())
}

/// Mounts both, for the daemon's user alone.
///
/// # Errors
/// The kernel refuses, which after the check means a broken disk.
pub(crate) fn mount_both(disk: &Disk) -> Outcome {
    for (name, target) in [("data", DATA), ("keys", KEYS)] {
        let partition = named(disk, name)?;
        let node = disk.node(partition.number)?;
        if !Path::new(target).is_dir() {
            DirBuilder::new()
                .mode(0o700)
                .create(target)
                .naming(|| format!("folder {target}"))?;
        }
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        // A file system that stopped accepting writes stops the daemon, which says so.
        let options = Some("errors=remount-ro");
        mount(
            Some(node.as_str()),
            target,
            Some("ext4"),
            flags | MsFlags::MS_NOATIME,
            options,
        )
        .naming(|| format!("mounting {node} at {target}"))?;
        fs::set_permissions(target, Permissions::from_mode(0o700)).naming(|| target.into())?;
        chown(target, Some(CORE_USER), Some(CORE_USER)).naming(|| target.into())?;
        grow(&partition, disk, target);
    }
    Ok(())
}

/// Lets the file system fill its partition. The kernel does it while mounted; one that already
/// does is left alone. Without success the machine serves in the size it had.
fn grow(partition: &Partition, disk: &Disk, target: &str) {
    let blocks = partition.sectors() * disk.geometry.sector_bytes / BLOCK_BYTES;
    let grown = File::open(target).and_then(|folder| raw::ext4_grow(&folder, blocks));
    if let Err(reason) = grown {
        report::alarm(&format!(
            "{target} keeps its size, it could not be grown: {reason}"
        ));
    }
}

fn named(disk: &Disk, name: &str) -> Outcome<Partition> {
    disk.table()?.named(name).ok_or_else(|| {
        Fault::new(format!(
            "{}: the partition table has no '{name}'; install the image anew",
            disk.name
        ))
    })
}

fn make(node: &str, name: &str) -> Outcome {
    let block = BLOCK_BYTES.to_string();
    let arguments = [
        "-q", "-F", "-t", "ext4", "-b", &block, "-m", "0", "-L", name, node,
    ];
    let (code, words) = run("/usr/sbin/mke2fs", &arguments)?;
    if code != 0 {
        return Err(Fault::new(format!(
            "mke2fs of {node} ended with {code}: {words}"
        )));
    }
    // mke2fs flushes; the marker must not overtake it whatever its version does.
    let device = File::options()
        .write(true)
        .open(node)
        .naming(|| node.into())?;
    device.sync_all().naming(|| format!("flushing {node}"))
}

fn check(node: &str, name: &str) -> Outcome {
    /// Bits of e2fsck(8)'s end code: 1 and 2 say that errors were corrected.
    const CORRECTED: i32 = 3;
    let (code, words) = run("/usr/sbin/e2fsck", &["-p", node])?;
    match code {
        0 => Ok(()),
        code if code & !CORRECTED == 0 => {
            report::note(&format!("file system '{name}' was repaired: {words}"));
            Ok(())
        }
        code => Err(Fault::new(format!(
            "check 'file system {name}' failed: e2fsck -p {node} ended with {code}: {words}; \
             restore the disk or the node from a backup"
        ))),
    }
}

/// End code and last line of a program of the verified root.
fn run(program: &str, arguments: &[&str]) -> Outcome<(i32, String)> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    let output = command.output().naming(|| format!("starting {program}"))?;
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    let words = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    // Ended by a signal counts as the worst code.
    Ok((
        output.status.code().unwrap_or(i32::MAX),
        report::printable(words),
    ))
}

/// A GUID of version 4 (RFC 9562), in the byte order of the partition table.
fn random_guid() -> Outcome<[u8; 16]> {
    let mut guid = [0; 16];
    let random = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut guid));
    random.naming(|| "/dev/urandom".into())?;
    let (version, variant) = (7, 8);
    for (at, keep, set) in [(version, 0x0f, 0x40), (variant, 0x3f, 0x80)] {
        if let Some(byte) = guid.get_mut(at) {
            *byte = *byte & keep | set;
        }
    }
    Ok(guid)
}
