//! Somebody changes the system on its disk, or what the machine is told to boot. With Secure Boot
//! on and the builder's keys enrolled each change is refused, or it is without effect; and the
//! console says which check failed.
//!
//! | link of the chain | checked by | cases in |
//! |---|---|---|
//! | boot loader, kernel image | the firmware, against the enrolled keys | `signature` |
//! | command line, initramfs | the same: they are sections of the kernel image | `signature` |
//! | what lies beside them | the boot stub and PID 1, which do not take it | `ornament` |
//! | kernel modules | the kernel, against the key it was built with | `module` |
//! | root, hash tree | dm-verity, against the signed root hash | `root` |
//!
//! Each case copies the disk of the image (`tests::image`), changes the copy and switches a machine
//! on. `cargo test -p tests --test tamper -- --nocapture` prints one line per case: what was
//! changed, who refused it, with which words, in how many seconds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "tamper/bench.rs"]
mod bench;
#[path = "tamper/disk.rs"]
mod disk;
#[path = "tamper/initrd.rs"]
mod initrd;
#[path = "tamper/module.rs"]
mod module;
#[path = "tamper/ornament.rs"]
mod ornament;
#[path = "tamper/root.rs"]
mod root;
#[path = "tamper/signature.rs"]
mod signature;
#[path = "tamper/uki.rs"]
mod uki;

use anyhow::Result;
use bench::{Bench, Trial};

/// The control of all cases: what nobody has touched boots, and PID 1 knows that the firmware
/// checked it.
#[test]
fn the_untouched_disk_boots_with_secure_boot_on() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let trial = Trial::start(bench.secure(&disk)?, disk)?;
    trial.boots()?;
    trial.tell(
        "nothing",
        "nobody",
        "verified root in slot a … Secure Boot on",
    );
    Ok(())
}
