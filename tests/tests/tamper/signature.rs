//! What the firmware starts has to be signed with the enrolled key, down to the last bit.

use crate::bench::{Bench, End, NOTHING_LEFT, Trial, VERIFIED};
use crate::disk::Copy;
use crate::uki;
use anyhow::{Result, ensure};
use std::fs;

/// The firmware's word for a program without the signature that it needs.
const REFUSED: &str = "Access Denied";

/// How the boot loader passes it on.
fn refused_by_loader(path: &str) -> String {
    format!("Error loading \\{}: {REFUSED}", path.replace('/', "\\"))
}

/// Puts `uki` in place of the signed kernel image; the firmware must not start it.
fn uki_is_refused(changed: &str, uki: impl Fn(&Bench, &Copy) -> Result<Vec<u8>>) -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let bytes = uki(bench, &disk)?;
    disk.put(&bench.uki_path()?, &bytes)?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = refused_by_loader(&bench.uki_path()?);
    trial.refused(&[&words, NOTHING_LEFT], End::Stand)?;
    trial.tell(changed, "firmware", &words);
    Ok(())
}

#[test]
fn a_changed_command_line_is_refused() -> Result<()> {
    uki_is_refused("one character of the signed command line", |bench, _| {
        let mut bytes = fs::read(bench.image.join("strongroom.efi"))?;
        let (old, new) = ("module.sig_enforce=1", "module.sig_enforce=0");
        uki::replace(&mut bytes, ".cmdline", old, new)?;
        Ok(bytes)
    })
}

/// The modules and PID 1 itself are in there.
#[test]
fn a_changed_initramfs_is_refused() -> Result<()> {
    uki_is_refused("one bit of the signed initramfs", |bench, _| {
        let mut bytes = fs::read(bench.image.join("strongroom.efi"))?;
        let section = uki::section(&bytes, ".initrd")?;
        bytes[section.start + section.len() / 2] ^= 1;
        Ok(bytes)
    })
}

#[test]
fn an_unsigned_kernel_image_is_refused() -> Result<()> {
    uki_is_refused("an unsigned kernel image", |bench, _| {
        Ok(fs::read(bench.image.join("strongroom.unsigned.efi"))?)
    })
}

#[test]
fn a_kernel_image_signed_with_another_key_is_refused() -> Result<()> {
    uki_is_refused("a kernel image signed with another key", |bench, disk| {
        let unsigned = bench.image.join("strongroom.unsigned.efi");
        uki::sign_as_stranger(&unsigned, disk.folder())
    })
}

/// The control of the refusals above: it is the signature alone that the unsigned image lacks.
/// Without keys in the firmware it starts, and the console does not claim more than is true.
#[test]
fn without_secure_boot_the_unsigned_kernel_image_boots_and_says_so() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let unsigned = fs::read(bench.image.join("strongroom.unsigned.efi"))?;
    disk.put(&bench.uki_path()?, &unsigned)?;
    let trial = Trial::start(bench.insecure(&disk), disk)?;
    trial.says(&[VERIFIED, "Secure Boot off"])?;
    let words = "verified root … Secure Boot off";
    trial.tell(
        "an unsigned kernel image, no keys enrolled",
        "nobody",
        words,
    );
    Ok(())
}

#[test]
fn an_unsigned_boot_loader_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let signed = bench.image.join("systemd-boot.efi");
    let bare = uki::strip(&signed, disk.folder())?;
    ensure!(bare.len() < fs::read(&signed)?.len(), "it had no signature");
    for path in [image::esp::REMOVABLE_PATH, image::esp::LOADER_PATH] {
        disk.put(path, &bare)?;
    }
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = ["BdsDxe: failed to load Boot", REFUSED];
    trial.refused(&[words[0], words[1], NOTHING_LEFT], End::Stand)?;
    trial.tell("an unsigned boot loader", "firmware", &words.join("… "));
    Ok(())
}

/// A kernel of the distribution, which would take any command line and any initramfs.
#[test]
fn a_loader_entry_with_a_bare_kernel_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    disk.delete(&bench.uki_path()?)?;
    disk.put("kernel", &fs::read(bench.image.join("kernel"))?)?;
    disk.put("initrd", &fs::read(bench.image.join("initrd"))?)?;
    let cmdline = fs::read_to_string(bench.image.join("cmdline"))?;
    let entry = format!("title Bare\nlinux /kernel\ninitrd /initrd\noptions {cmdline}\n");
    disk.put("loader/entries/bare.conf", entry.as_bytes())?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = refused_by_loader("kernel");
    trial.refused(&[&words, NOTHING_LEFT], End::Stand)?;
    trial.tell("a loader entry with a bare kernel", "firmware", &words);
    Ok(())
}
