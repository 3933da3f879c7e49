//! Disks as the kernel shows them: names, sizes, partition tables, device nodes.

use crate::fault::{Fault, Naming, Outcome};
use crate::gpt::{Copy, Geometry, Partition, Table};
use crate::raw::{self, PartitionChange};
use crate::report;
use std::fs::{self, File};
use std::path::Path;

/// Unit of the sizes in /sys/block, whatever the disk's own sector is.
const SYS_SECTOR_BYTES: u64 = 512;

/// Names of disks that can hold the system: no loop, memory, optical or mapped devices.
const KINDS: &[&str] = &["vd", "sd", "nvme", "xvd", "mmcblk"];

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As in `/dev/NAME`.
    pub(crate) name: String,
    pub(crate) geometry: Geometry,
}

/// All disks that are there now, by name.
pub(crate) fn all() -> Vec<Disk> {
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut disks: Vec<_> = names
        .filter(|name| KINDS.iter().any(|kind| name.starts_with(kind)))
        .filter_map(|name| Disk::named(&name))
        .collect();
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks
}

impl Disk {
    /// The disk of this name, if it is there and has a size.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let number = |file: &str| {
            let text = fs::read_to_string(format!("/sys/block/{name}/{file}")).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let sector_bytes = number("queue/logical_block_size").filter(|bytes| *bytes >= 512)?;
        let sectors = number("size")?.checked_mul(SYS_SECTOR_BYTES)? / sector_bytes;
        let geometry = Geometry {
            sector_bytes,
            sectors,
        };
        (sectors > 0).then(|| Self {
            name: name.to_owned(),
            geometry,
        })
    }

    /// Opens the whole disk, also for writing when asked.
    ///
    /// # Errors
    /// The node is missing or the disk cannot be written.
    pub(crate) fn open(&self, write: bool) -> Outcome<File> {
        let path = format!("/dev/{}", self.name);
        File::options()
            .read(true)
            .write(write)
            .open(&path)
            .naming(|| path)
    }

    /// Its partition table. A first copy torn by a power cut is written anew from the other one.
    ///
    /// # Errors
    /// No copy is whole.
    pub(crate) fn table(&self) -> Outcome<Table> {
        let (table, copy) =
            Table::read(&self.open(false)?, self.geometry).naming(|| self.name.clone())?;
        if copy == Copy::Backup {
            report::note("partition table: the first copy was torn; written from the other one");
            self.write(&table)?;
        }
        Ok(table)
    }

    /// Writes the table, safe against a power cut at any moment, and tells the kernel.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn write(&self, table: &Table) -> Outcome {
        let mut disk = self.open(true)?;
        table.write(&mut disk).naming(|| self.name.clone())?;
        self.show_all(table)
    }

    /// Tells the kernel of partitions that it does not know as the table has them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn show_all(&self, table: &Table) -> Outcome {
        let disk = self.open(false)?;
        table
            .partitions()
            .iter()
            .try_for_each(|partition| self.show(&disk, partition))
    }

    /// Makes the kernel know the partition as the table has it.
    fn show(&self, disk: &File, partition: &Partition) -> Outcome {
        let bytes = partition.sectors() * self.geometry.sector_bytes;
        let change = match self.known_bytes(partition.number) {
            Some(known) if known == bytes => return Ok(()),
            Some(_) => PartitionChange::Resize,
            None => PartitionChange::Add,
        };
        let start = partition.first * self.geometry.sector_bytes;
        raw::tell_partition(disk, change, partition.number, start, bytes)
            .naming(|| format!("{}: telling the kernel of '{}'", self.name, partition.name))
    }

    fn known_bytes(&self, number: u32) -> Option<u64> {
        let size = format!("/sys/block/{}/{}/size", self.name, self.node_name(number));
        let sectors: u64 = fs::read_to_string(size).ok()?.trim().parse().ok()?;
        sectors.checked_mul(SYS_SECTOR_BYTES)
    }

    /// `vda5`, but `nvme0n1p5`: the kernel puts a 'p' behind a digit.
    fn node_name(&self, number: u32) -> String {
        let ends_in_digit = self.name.ends_with(|c: char| c.is_ascii_digit());
        format!(
            "{}{}{number}",
            self.name,
            if ends_in_digit { "p" } else { "" }
        )
    }

    /// Device node of a partition.
    ///
    /// # Errors
    /// The kernel has not made it.
    pub(crate) fn node(&self, number: u32) -> Outcome<String> {
        let path = format!("/dev/{}", self.node_name(number));
        if Path::new(&path).exists() {
            return Ok(path);
        }
        Err(Fault::new(format!(
            "{path} is missing although the partition table has it"
        )))
    }

    /// Major and minor number of a partition, as device-mapper wants them: `254:2`.
    ///
    /// # Errors
    /// The kernel does not know the partition.
    pub(crate) fn device_number(&self, number: u32) -> Outcome<String> {
        let path = format!("/sys/block/{}/{}/dev", self.name, self.node_name(number));
        Ok(fs::read_to_string(&path)
            .naming(|| path.clone())?
            .trim()
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_names_them() {
        let geometry = Geometry {
            sector_bytes: 512,
            sectors: 1,
        };
        let name = |disk: &str| {
            Disk {
                name: disk.into(),
                geometry,
            }
            .node_name(5)
        };
        assert_eq!(
            ["vda", "nvme0n1", "mmcblk0"].map(name),
            ["vda5", "nvme0n1p5", "mmcblk0p5"]
        );
    }
}
