//! Disks: what a power cut leaves on them, on each bus and with each way of writing.

use crate::guest::{ask, bare, disk_file, started};
use qemu::{Bus, Disk, Format, WriteLog};
use std::fs;

/// What the guest reads after it wrote and its power was cut.
fn written_cut_and_read(disk: &Disk) -> String {
    let mut machine = started(bare().disk(disk.clone()));
    assert_eq!(ask(&machine, "w remember"), "written");
    assert_eq!(ask(&machine, "r"), "remember");
    machine.power_cut();
    ask(&started(bare().disk(disk.clone())), "r")
}

#[test]
fn writable_disk_survives_a_power_cut_on_every_bus() {
    for bus in [Bus::Virtio, Bus::Nvme, Bus::Sata] {
        let folder = tempfile::tempdir().unwrap();
        let file = disk_file(folder.path());
        let disk = Disk::writable(&file, Format::Raw).on(bus);
        assert_eq!(written_cut_and_read(&disk), "remember", "{bus:?}");
        let bytes = fs::read(&file).unwrap();
        assert!(bytes[8 * 512..].starts_with(b"w remember\0"), "{bus:?}");
    }
}

#[test]
fn snapshot_forgets_and_overlay_remembers_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = disk_file(folder.path());
    let before = fs::read(&file).unwrap();
    let snapshot = Disk::snapshot(&file, Format::Raw);
    assert_eq!(written_cut_and_read(&snapshot), "");
    let overlay = Disk::overlay(&file, Format::Raw, folder.path().join("overlay"));
    assert_eq!(
        written_cut_and_read(&overlay.ignoring_host_flushes()),
        "remember"
    );
    assert!(fs::read(&file).unwrap() == before, "the file was written");
}

#[test]
fn read_only_disk_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::read_only(disk_file(folder.path()), Format::Raw);
    let machine = started(bare().disk(disk));
    assert!(ask(&machine, "w remember").contains("disk failed"));
}

#[test]
fn writes_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (disk_file(folder.path()), folder.path().join("log"));
    let fresh = folder.path().join("fresh");
    fs::copy(&file, &fresh).unwrap();
    let disk = Disk::writable(&file, Format::Raw).logging_writes(&log);
    let mut machine = started(bare().disk(disk));
    ask(&machine, "w first");
    let first = WriteLog::entries_so_far(&log).unwrap();
    ask(&machine, "w second");
    machine.power_cut();
    let log = WriteLog::open(&log).unwrap();
    assert!(first > 0 && log.len() > first);
    // A disk that was cut off before the second write has the first or nothing.
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..16 {
        let torn = folder.path().join("torn");
        fs::copy(&fresh, &torn).unwrap();
        log.lay(&log.crash_state(first..=first, seed), &torn)
            .unwrap();
        let bytes = fs::read(&torn).unwrap();
        seen.insert(bytes[8 * 512..][..8].to_vec());
    }
    let expected = [b"\0\0\0\0\0\0\0\0".to_vec(), b"w first\0".to_vec()];
    assert!(seen.iter().eq(expected.iter()), "{seen:?}");
}
