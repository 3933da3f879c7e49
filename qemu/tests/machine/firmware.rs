//! UEFI firmware, and its variables.

use crate::guest::disk_file;
use qemu::{Boot, Disk, Firmware, Format, Machine};
use std::time::Duration;

/// How long the firmware may take to find that there is nothing to boot: 5 s of processor time.
const FIRMWARE_MAX: Duration = Duration::from_secs(120);

#[test]
fn firmware_starts_and_keeps_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let flash = folder.path().join("flash");
    let firmware = Firmware::setup_mode().flash(&flash);
    let disk = Disk::snapshot(disk_file(folder.path()), Format::Raw);
    let machine = Machine::builder("firmware", Boot::Firmware(firmware));
    let machine = machine.memory_mib(256).disk(disk).start().unwrap();
    // The disk has no EFI system partition.
    machine
        .serial()
        .expect("BdsDxe: failed to load", FIRMWARE_MAX)
        .unwrap();
    drop(machine);
    let empty = std::fs::read("/usr/share/OVMF/OVMF_VARS_4M.fd").unwrap();
    let kept = std::fs::read(&flash).unwrap();
    assert_eq!(kept.len(), empty.len());
    assert!(kept != empty, "the firmware has written no variable");
}
