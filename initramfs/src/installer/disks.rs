//! Which disks are there, what they hold, and which of them may be written.

use crate::disks::{self, Disk};
use crate::gpt::Table;
use crate::report;
use std::fmt::{self, Display};
use std::fs;
use std::io::Read;

/// Sectors that the disk in the payload is laid out in.
const SECTOR_BYTES: u64 = 512;

/// What the system needs besides its own partitions at least: data, and the copy of the table.
const ROOM_BYTES: u64 = 72 << 20;

/// Name of the partition of an installation medium, as the build gives it.
const MEDIUM: &str = "strongroom-installer";

/// What is looked at of a disk without a partition table.
const LOOK_BYTES: usize = 64 * 1024;

/// Names of partitions that are shown at most.
const NAMES_MAX: usize = 6;

/// A disk as the person sees it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) disk: Disk,
    pub(super) model: String,
    pub(super) holds: Holds,
    is_read_only: bool,
    /// This installer was started from it, or another one could be.
    is_medium: bool,
}

/// What a disk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// Zeros where a partition table or a file system would begin.
    Nothing,
    /// Partitions of these names.
    Partitions(Vec<String>),
    /// Something else.
    Unknown(&'static str),
}

/// Why an answer was not taken; the question is asked again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Holds {
    /// What the first bytes and the partition table of a disk say.
    fn of(table: Option<&Table>, start: &[u8]) -> Self {
        if let Some(table) = table {
            let name = |name: String| {
                if name.is_empty() {
                    "(no name)".into()
                } else {
                    name
                }
            };
            let names = table.partitions().into_iter().map(|p| name(p.name));
            return Self::Partitions(names.collect());
        }
        if start.iter().all(|byte| *byte == 0) {
            Self::Nothing
        } else if start.get(510..512) == Some(&[0x55, 0xaa]) {
            Self::Unknown("a partition table or a boot sector in the manner of DOS")
        } else {
            Self::Unknown("data without a partition table")
        }
    }

    /// Whether a Strongroom keeps keys and log on it.
    pub(super) fn has_strongroom_data(&self) -> bool {
        let has = |wanted: &str| match self {
            Self::Partitions(names) => names.iter().any(|name| name == wanted),
            _ => false,
        };
        has("root-a") && has("data")
    }
}

impl Display for Holds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => out.write_str("nothing"),
            Self::Unknown(what) => out.write_str(what),
            Self::Partitions(names) if names.is_empty() => out.write_str("no partitions"),
            Self::Partitions(names) => {
                let shown: Vec<_> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
                let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
                let what = if self.has_strongroom_data() {
                    "a Strongroom with its data: "
                } else {
                    "partitions "
                };
                // A name is somebody else's text.
                let list = report::printable(&shown.join(", "));
                write!(out, "{what}{list}{more}")
            }
        }
    }
}

impl Candidate {
    pub(super) fn bytes(&self) -> u64 {
        let geometry = self.disk.geometry;
        geometry.sectors.saturating_mul(geometry.sector_bytes)
    }

    /// Why this disk cannot be written with a system of `system` bytes, if it cannot.
    fn refusal(&self, system: u64) -> Option<String> {
        let sector = self.disk.geometry.sector_bytes;
        let needed = system.saturating_add(ROOM_BYTES);
        if self.is_medium {
            Some("an installer's own medium".into())
        } else if self.is_read_only {
            Some("it cannot be written".into())
        } else if sector != SECTOR_BYTES {
            Some(format!(
                "its sectors have {sector} bytes, the system wants {SECTOR_BYTES}; \
                 format it to those"
            ))
        } else if self.bytes() < needed {
            // Not rounded to GiB, where both could look the same.
            let (has, needs) = (self.bytes() >> 20, needed >> 20);
            Some(format!(
                "too small: it has {has} MiB, the system needs {needs} MiB"
            ))
        } else {
            None
        }
    }
}

/// All disks, by name. `medium` is the partition that this installer was started from.
pub(super) fn all(medium: Option<[u8; 16]>) -> Vec<Candidate> {
    let look = |disk: Disk| {
        let table = disk.open(false).ok();
        // Only read: the table of somebody else's disk is not ours to repair.
        let table = table.and_then(|file| Table::read(&file, disk.geometry).ok());
        let table = table.map(|(table, _)| table);
        let partitions = table.as_ref().map(Table::partitions).unwrap_or_default();
        let is_medium = partitions
            .iter()
            .any(|p| p.name == MEDIUM || Some(p.guid) == medium);
        Candidate {
            model: model(&disk.name),
            holds: Holds::of(table.as_ref(), &start(&disk)),
            is_read_only: text(&disk.name, "ro") == "1",
            is_medium,
            disk,
        }
    };
    disks::all().into_iter().map(look).collect()
}

/// The first bytes of a disk; none when it cannot be read, which then shows in the list.
fn start(disk: &Disk) -> Vec<u8> {
    let mut bytes = Vec::new();
    let part = disk.open(false).map(|file| file.take(LOOK_BYTES as u64));
    match part.map(|mut part| part.read_to_end(&mut bytes)) {
        Ok(Ok(_)) => bytes,
        // Not zeros: a disk that cannot be read is not an empty one.
        _ => b"?".to_vec(),
    }
}

/// What the disk calls itself: maker, model, serial number, as far as the kernel knows them.
fn model(name: &str) -> String {
    let files = ["device/vendor", "device/model", "device/serial", "serial"];
    let mut words: Vec<String> = Vec::new();
    for word in files.iter().map(|file| text(name, file)) {
        // A virtio disk has a number instead of a vendor, NVMe the serial number twice.
        if !word.is_empty() && !word.starts_with("0x") && !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        words.push("of unknown make".into());
    }
    words.join(" ")
}

/// A file of the disk's folder in /sys as one printable line; empty when it is not there.
fn text(name: &str, file: &str) -> String {
    let bytes = fs::read(format!("/sys/block/{name}/{file}")).unwrap_or_default();
    report::printable(&String::from_utf8_lossy(&bytes))
        .trim()
        .to_owned()
}

/// The list for the person, with the reason beside each disk that cannot be chosen.
pub(super) fn table(candidates: &[Candidate], system: u64) -> String {
    if candidates.is_empty() {
        return "  no disks were found; this installer has no driver for them, or none are there"
            .into();
    }
    let line = |candidate: &Candidate| {
        let refused = candidate.refusal(system);
        let refused = refused.map_or_else(String::new, |why| format!(" (not possible: {why})"));
        format!(
            "  {:<9} {:>9}  {:<24} {}{refused}",
            candidate.disk.name,
            gibibytes(candidate.bytes()),
            candidate.model,
            candidate.holds
        )
    };
    let head = format!("  {:<9} {:>9}  {:<24} {}", "name", "size", "model", "holds");
    let lines = candidates.iter().map(line);
    std::iter::once(head)
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The disk that the answer names.
///
/// # Errors
/// There is none of that name, or it may not be written.
pub(super) fn chosen(
    candidates: Vec<Candidate>,
    answer: &str,
    system: u64,
) -> Result<Candidate, Refusal> {
    let name = answer.strip_prefix("/dev/").unwrap_or(answer);
    let found = candidates.into_iter().find(|c| c.disk.name == name);
    let found = found.ok_or_else(|| {
        Refusal::new(format!(
            "there is no disk `{name}`; type a name of the list"
        ))
    })?;
    match found.refusal(system) {
        Some(why) => Err(Refusal::new(format!("{name}: {why}"))),
        None => Ok(found),
    }
}

/// What has to be typed before the disk is written: its name, and `erase` if there is something
/// on it that nobody can bring back.
pub(super) fn confirmation(chosen: &Candidate) -> String {
    let name = &chosen.disk.name;
    if chosen.holds.has_strongroom_data() {
        format!("{name} erase")
    } else {
        name.clone()
    }
}

/// A size for people: `4.0 GiB`.
pub(super) fn gibibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 30;
    if tenths >= 10 {
        format!("{}.{} GiB", tenths / 10, tenths % 10)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::Geometry;

    const SYSTEM: u64 = 1 << 30;

    fn candidate(name: &str, mebibytes: u64, names: &[&str]) -> Candidate {
        let geometry = Geometry {
            sector_bytes: 512,
            sectors: mebibytes << 11,
        };
        Candidate {
            disk: Disk {
                name: name.into(),
                geometry,
            },
            model: "QEMU".into(),
            holds: Holds::Partitions(names.iter().map(|name| (*name).to_owned()).collect()),
            is_read_only: false,
            is_medium: false,
        }
    }

    #[test]
    fn only_a_disk_of_the_list_that_is_large_enough_and_not_the_medium_is_taken() {
        let mut all = vec![
            candidate("vda", 4096, &[MEDIUM]),
            candidate("vdb", 1024, &[]),
            candidate("vdc", 4096, &["root-a", "keys"]),
            candidate("vdd", 4096, &[]),
            candidate("vde", 4096, &[]),
        ];
        all[0].is_medium = true;
        all[3].is_read_only = true;
        all[4].disk.geometry.sector_bytes = 4096;
        let said = |answer: &str| match chosen(all.clone(), answer, SYSTEM) {
            Ok(candidate) => candidate.disk.name,
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(said("vdc"), "vdc");
        assert_eq!(said("/dev/vdc"), "vdc");
        assert_eq!(said("vda"), "vda: an installer's own medium");
        assert_eq!(
            said("vdb"),
            "vdb: too small: it has 1024 MiB, the system needs 1096 MiB"
        );
        assert_eq!(said("vdd"), "vdd: it cannot be written");
        assert!(said("vde").contains("4096"));
        assert!(said("vd").contains("no disk `vd`"));
        let table = table(&all, SYSTEM);
        assert_eq!(table.lines().count(), 6, "{table}");
        assert!(table.contains("not possible: too small"), "{table}");
    }

    #[test]
    fn data_of_a_strongroom_asks_for_a_second_word() {
        let full = ["esp", "root-a", "root-b", "keys", "data"];
        assert_eq!(confirmation(&candidate("vdb", 4096, &full)), "vdb erase");
        // Not yet started, or the data partition of something else.
        for names in [&full[..4], &["data"], &[]] {
            assert_eq!(confirmation(&candidate("vdb", 4096, names)), "vdb");
        }
    }

    #[test]
    fn what_a_disk_holds_is_said_in_words() {
        assert_eq!(Holds::of(None, &[0; 512]).to_string(), "nothing");
        let mut sector = [0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(Holds::of(None, &sector).to_string().contains("DOS"));
        assert!(Holds::of(None, b"?").to_string().contains("without"));
        let forged = Holds::Partitions(vec!["a\r\n\x1b[2J".into()]);
        assert_eq!(forged.to_string(), "partitions a   [2J");
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(gibibytes((4 << 30) - 1), "3.9 GiB");
        assert_eq!(gibibytes(98 << 20), "98 MiB");
        assert_eq!(gibibytes(u64::MAX), "1717986918.3 GiB");
    }
}
