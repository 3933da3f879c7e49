//! What lies beside the signed kernel image on the EFI system partition, and what the host says.
//! Nobody signs it; so it must be refused, or be without effect.

use crate::bench::{Bench, End, Trial};
use crate::disk::Copy;
use anyhow::{Result, ensure};
use std::fs;

/// Options that would each be seen if they took effect: PID 1 refuses a kernel without lockdown,
/// and a root hash that is given twice or is none.
const EVIL_OPTIONS: &str = "console=ttyS0 lockdown=none init=/bin/sh strongroom.roothash=00";

/// Leaves a loader entry of ours as the only way to the signed kernel image, which moves to where
/// the boot loader does not find it by itself: a boot is one by this entry.
fn only_entry(bench: &Bench, disk: &Copy, lines: &str) -> Result<()> {
    let signed = fs::read(bench.image.join("strongroom.efi"))?;
    disk.delete(&bench.uki_path()?)?;
    disk.put("moved.efi", &signed)?;
    let entry = format!("title Somebody else's\nlinux /moved.efi\n{lines}\n");
    disk.put("loader/entries/evil.conf", entry.as_bytes())
}

#[test]
fn a_loader_entry_with_another_initramfs_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    disk.put("evil.cpio", &fs::read(bench.image.join("initrd"))?)?;
    only_entry(bench, &disk, "initrd /evil.cpio")?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = "Error registering initrd: Already started";
    trial.refused(&[words], End::Stand)?;
    trial.tell("a loader entry that adds an initramfs", "boot stub", words);
    Ok(())
}

#[test]
fn options_of_a_loader_entry_are_without_effect() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    only_entry(bench, &disk, &format!("options {EVIL_OPTIONS}"))?;
    let trial = Trial::start(bench.secure(&disk)?, disk)?;
    trial.boots()?;
    let words = "no effect: lockdown confidentiality, one root hash";
    trial.tell("a loader entry that adds options", "boot stub", words);
    Ok(())
}

/// The control of the case above: without Secure Boot the boot stub takes the options, and the
/// machine that they make is one that PID 1 refuses.
#[test]
fn options_of_a_loader_entry_are_refused_without_secure_boot() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    only_entry(bench, &disk, &format!("options {EVIL_OPTIONS}"))?;
    let mut trial = Trial::start(bench.insecure(&disk), disk)?;
    let words = "check 'lockdown' failed: the kernel says '[none]";
    trial.refused(&[words], End::Restart)?;
    trial.tell("the same, no keys enrolled", "PID 1", words);
    Ok(())
}

/// Newer boot stubs read a command line from here, unless Secure Boot is on.
#[test]
fn options_of_the_host_are_without_effect() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let text = |name: &str| format!("io.systemd.{name}={EVIL_OPTIONS}");
    let machine = bench
        .secure(&disk)?
        .smbios_text(text("stub.kernel-cmdline-extra"))
        .smbios_text(text("boot.kernel-cmdline-extra"));
    let trial = Trial::start(machine, disk)?;
    trial.boots()?;
    let words = "no effect: lockdown confidentiality, one root hash";
    trial.tell("options in SMBIOS strings of the host", "boot stub", words);
    Ok(())
}

/// The boot stub hands these files to the initramfs, whoever wrote them. They are a set-up file
/// here, as the one that PID 1 takes from the firmware configuration: if it took this one, nobody
/// would be asked for a host name.
#[test]
fn credentials_on_the_efi_partition_are_without_effect() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let uki = bench.uki_path()?;
    let evil = b"# strongroom setup 1\nhostname = intruder\n";
    for path in [
        format!("{uki}.extra.d/strongroom.setup.cred"),
        format!("{uki}.extra.d/setup.raw"),
        "loader/credentials/strongroom.setup.cred".to_owned(),
    ] {
        disk.put(&path, evil)?;
        ensure!(disk.get(&path)? == evil, "{path} was not written");
    }
    let trial = Trial::start(bench.secure(&disk)?, disk)?;
    trial.boots()?;
    let transcript = trial.machine.serial().transcript()?;
    ensure!(
        !transcript.contains("intruder"),
        "it was read: {transcript}"
    );
    let words = "no effect: the dialogue asks for the host name";
    trial.tell("credentials on the EFI partition", "PID 1", words);
    Ok(())
}
