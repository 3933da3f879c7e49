//! The verified root: which slot holds it, and the device-mapper target through which it is read.
//!
//! The slot is chosen by content, not by a flag: the one whose hash tree's top block hashes to
//! the root hash of the signed command line. From then on the kernel checks every block that is
//! read; a block that does not match stops the machine at once (`panic_on_corruption`), so no
//! program ever sees a changed byte.

use crate::command_line::{BLOCK_BYTES, DIGEST_BYTES, SignedRoot, to_hexadecimal};
use crate::disks::{self, Disk};
use crate::fault::{Fault, Naming, Outcome};
use crate::raw;
use nix::mount::{MsFlags, mount};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Names of the system slots in the partition table and in the status.
pub(crate) const SLOTS: &[(&str, &str)] = &[("root-a", "a"), ("root-b", "b")];

/// The block device behind the target of that name.
pub(crate) const ROOT_DEVICE: &str = "/dev/dm-0";

/// A slot that holds the signed root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) disk: Disk,
    /// `a` or `b`.
    pub(crate) name: &'static str,
    number: u32,
}

/// No slot holds the signed root.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Names each slot and what it holds instead.
    pub(crate) fault: Fault,
    /// How long after the first look it is still worth looking again.
    pub(crate) patience: Duration,
}

/// Disks answer late on real hardware; after this there is none.
const DISKS_WITHIN: Duration = Duration::from_secs(30);
/// The system's disk is there and holds something else; perhaps there is a second one.
const SECOND_DISK_WITHIN: Duration = Duration::from_secs(3);

/// Looks at both slots of every disk.
///
/// # Errors
/// None holds the signed root.
pub(crate) fn find(signed: &SignedRoot) -> Result<Slot, Missing> {
    let mut seen = Vec::new();
    let mut patience = DISKS_WITHIN;
    for disk in disks::all() {
        let table = match disk.table() {
            Ok(table) => table,
            Err(fault) => {
                seen.push(fault.to_string());
                continue;
            }
        };
        for (partition_name, name) in SLOTS {
            let Some(partition) = table.named(partition_name) else {
                continue;
            };
            let offset = partition.first * disk.geometry.sector_bytes;
            let bytes = partition.sectors() * disk.geometry.sector_bytes;
            patience = SECOND_DISK_WITHIN;
            let hash = disk
                .open(false)
                .and_then(|file| top_hash(&file, offset, bytes, signed));
            match hash {
                Ok(hash) if hash == signed.hash => {
                    return Ok(Slot {
                        name,
                        number: partition.number,
                        disk,
                    });
                }
                Ok(hash) => {
                    seen.push(format!(
                        "{} {partition_name} has {}",
                        disk.name,
                        short(&hash)
                    ));
                }
                Err(fault) => seen.push(format!("{} {partition_name}: {fault}", disk.name)),
            }
        }
    }
    let seen = if seen.is_empty() {
        "no disk was found".into()
    } else {
        seen.join("; ")
    };
    let fault = Fault::new(format!(
        "check 'root hash' failed: no slot holds the signed root {} ({seen}); \
         install the image anew",
        short(&signed.hash)
    ));
    Err(Missing { fault, patience })
}

/// Sixteen digits tell two hashes apart on a console line.
fn short(hash: &[u8; DIGEST_BYTES]) -> String {
    to_hexadecimal(hash).chars().take(16).collect()
}

/// Hash of the tree's top block, in a partition at `offset` of the disk (both in bytes).
fn top_hash(disk: &File, offset: u64, bytes: u64, signed: &SignedRoot) -> Outcome<[u8; 32]> {
    let at = signed.tree_block() * BLOCK_BYTES;
    if at + BLOCK_BYTES > bytes {
        return Err(Fault::new("smaller than the signed root"));
    }
    let mut block = [0; 4096];
    disk.read_exact_at(&mut block, offset + at)
        .naming(|| "reading the hash tree".into())?;
    Ok(top_hash_of(&block, &signed.salt))
}

fn top_hash_of(block: &[u8], salt: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(block)
        .finalize()
        .into()
}

/// Line of the kernel's table (Documentation/admin-guide/device-mapper/verity.rst).
fn table_line(device: &str, signed: &SignedRoot) -> String {
    let salt = if signed.salt.is_empty() {
        "-".into()
    } else {
        to_hexadecimal(&signed.salt)
    };
    format!(
        "1 {device} {device} {BLOCK_BYTES} {BLOCK_BYTES} {} {} sha256 {} {salt} 1 \
         panic_on_corruption",
        signed.data_blocks,
        signed.tree_block(),
        to_hexadecimal(&signed.hash),
    )
}

/// Puts dm-verity over the slot.
///
/// # Errors
/// The kernel refuses the table.
pub(crate) fn open(slot: &Slot, signed: &SignedRoot) -> Outcome {
    let device = slot.disk.device_number(slot.number)?;
    let sectors = signed.data_blocks * (BLOCK_BYTES / 512);
    raw::dm_create("root", "verity", sectors, &table_line(&device, signed))
        .naming(|| format!("check 'verity' failed: slot {} ({device})", slot.name))
}

/// Mounts the verified root where [`crate::mounts::enter_root`] expects it.
///
/// # Errors
/// It is no EROFS.
pub(crate) fn mount_root(target: &str) -> Outcome {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some(ROOT_DEVICE),
        target,
        Some("erofs"),
        flags,
        None::<&str>,
    )
    .naming(|| "mounting the verified root".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root hash and tree of two zero blocks, as `veritysetup format` makes them (salt 00ff).
    #[test]
    fn the_top_hash_is_the_one_of_veritysetup() {
        let salt = [0x00, 0xff];
        let leaf = top_hash_of(&[0; 4096], &salt);
        let mut top = vec![0; 4096];
        top[..32].copy_from_slice(&leaf);
        top[32..64].copy_from_slice(&leaf);
        let expected = "47a3ce1d8b8d2ad638eef9139a89c6617337a3fbd6447af9f257896420513ad7";
        assert_eq!(to_hexadecimal(&top_hash_of(&top, &salt)), expected);
    }

    #[test]
    fn the_table_is_the_kernel_s() {
        let line = format!(
            "strongroom.roothash={} strongroom.verity=2,8192,ab",
            "11".repeat(32)
        );
        let signed = SignedRoot::parse(&line).unwrap();
        let expected = format!(
            "1 254:2 254:2 4096 4096 2 3 sha256 {} ab 1 panic_on_corruption",
            "11".repeat(32)
        );
        assert_eq!(table_line("254:2", &signed), expected);
    }
}
