//! UEFI firmware, its variables, and what it starts when keys are enrolled.

use crate::guest::disk_file;
use qemu::{Boot, Disk, Firmware, Format, Keys, Machine};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the firmware may take to find that there is nothing to boot: 5 s of processor time.
const FIRMWARE_MAX: Duration = Duration::from_secs(120);

/// A machine with UEFI firmware and one disk.
fn machine(firmware: Firmware, disk: &Path) -> Machine {
    let builder = Machine::builder("firmware", Boot::Firmware(firmware)).memory_mib(256);
    builder
        .disk(Disk::snapshot(disk, Format::Raw))
        .start()
        .unwrap()
}

#[test]
fn firmware_starts_and_keeps_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let flash = folder.path().join("flash");
    let firmware = Firmware::plain().flash(&flash);
    // The disk has no EFI system partition.
    let machine = machine(firmware, &disk_file(folder.path()));
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

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

/// A disk whose only program is at the place where firmware looks.
fn system_partition(program: &str, folder: &Path) -> PathBuf {
    let image = format!("{program}.img");
    let file = File::create(folder.join(&image)).unwrap();
    file.set_len(4 << 20).unwrap();
    run("mkfs.vfat", &[&image], folder);
    run("mmd", &["-i", &image, "::/EFI", "::/EFI/BOOT"], folder);
    run(
        "mcopy",
        &["-i", &image, program, "::/EFI/BOOT/BOOTX64.EFI"],
        folder,
    );
    folder.join(image)
}

#[test]
#[ignore = "needs virt-fw-vars (virt-firmware of PyPI) on the PATH; run it by its name"]
fn enrolled_firmware_starts_only_what_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["pk", "kek", "db"] {
        let (subject, key) = (format!("/CN={name}"), format!("{name}.key"));
        let certificate = format!("{name}.pem");
        let mut arguments = vec!["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes"];
        arguments.extend(["-subj", &subject, "-keyout", &key, "-out", &certificate]);
        run("openssl", &arguments, folder);
    }
    let loader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
    std::fs::copy(loader, folder.join("unsigned")).unwrap();
    let sign = [
        "--key", "db.key", "--cert", "db.pem", "--output", "signed", loader,
    ];
    run("sbsign", &sign, folder);
    let keys = Keys {
        owner: "2b1a4c52-6f0e-4f5b-9d3e-0c8a5e7d1f60".to_owned(),
        platform: folder.join("pk.pem"),
        exchange: folder.join("kek.pem"),
        database: folder.join("db.pem"),
        tool: None,
    };
    // The first start enrols, the second finds the keys enrolled.
    let enrolled = Firmware::enrolled(keys).flash(folder.join("flash"));
    let refused = machine(enrolled.clone(), &system_partition("unsigned", folder));
    refused
        .serial()
        .expect("Access Denied", FIRMWARE_MAX)
        .unwrap();
    let started = machine(enrolled, &system_partition("signed", folder));
    started
        .serial()
        .expect("Reboot Into Firmware Interface", FIRMWARE_MAX)
        .unwrap();
    // The control: without keys the unsigned one starts too.
    let started = machine(
        Firmware::setup_mode(),
        &system_partition("unsigned", folder),
    );
    started
        .serial()
        .expect("Reboot Into Firmware Interface", FIRMWARE_MAX)
        .unwrap();
}
