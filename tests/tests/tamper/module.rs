//! Kernel modules are checked twice: as a part of the signed kernel image (`signature`), and each
//! by the kernel itself. Here the first check is taken away, by a kernel started without firmware.

use crate::bench::{Bench, End, Trial, VERIFIED};
use crate::initrd;
use anyhow::Result;

/// Starts the kernel with an initramfs that was unpacked, changed and packed again.
fn trial(change: impl Fn(&mut Vec<initrd::Entry>) -> Result<()>) -> Result<Trial> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let mut entries = initrd::unpack(&bench.image.join("initrd"))?;
    change(&mut entries)?;
    let repacked = disk.beside("initrd");
    initrd::pack(&entries, &repacked)?;
    Trial::start(bench.direct(&disk, &repacked)?, disk)
}

/// PID 1 names the module and what the kernel says of it.
fn is_refused(mut trial: Trial, file: &str, changed: &str) -> Result<()> {
    let words = format!("{file} (signature and version are checked): EKEYREJECTED");
    let phase = "boot phase 'modules' refuses a module that is missing, changed or not signed";
    trial.refused(&[phase, &words], End::Restart)?;
    trial.tell(changed, "kernel", &words);
    Ok(())
}

/// The control of the next ones: unpacking and packing alone change nothing.
#[test]
fn a_repacked_initramfs_boots() -> Result<()> {
    let trial = trial(|_| Ok(()))?;
    trial.says(&[VERIFIED, "no Secure Boot without UEFI"])?;
    let words = "verified root … no Secure Boot without UEFI";
    trial.tell("nothing, started without firmware", "nobody", words);
    Ok(())
}

#[test]
fn a_changed_module_is_refused() -> Result<()> {
    let file = "dm-verity.ko";
    let trial = trial(|entries| {
        let module = initrd::module(entries, file)?;
        // In the text of a message: the module would run as before.
        let message = b"corrupted";
        let at = module.windows(message.len()).position(|w| w == message);
        module[at.unwrap()] ^= 1;
        Ok(())
    })?;
    is_refused(trial, file, "one bit of the module dm-verity")
}

#[test]
fn an_unsigned_module_is_refused() -> Result<()> {
    let file = "virtio_blk.ko";
    let trial = trial(|entries| initrd::unsign(initrd::module(entries, file)?))?;
    is_refused(trial, file, "the module virtio_blk without its signature")
}
