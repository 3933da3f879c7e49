//! Whether QEMU may use the processor's own virtualisation.
//!
//! That /dev/kvm opens says little: under a nested hypervisor it can make machines whose real-mode
//! code runs and whose 64-bit code hangs. So a small 64-bit guest is tried.

use crate::child::Child;
use crate::fault::Fault;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// How the guest's instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By translation: works everywhere, ten to thirty times slower.
    Tcg,
    /// By the processor.
    Kvm,
}

/// Name of the environment variable that decides instead of the trial: `tcg` or `kvm`.
pub const ACCEL_VARIABLE: &str = "QEMU_ACCEL";

/// How long the trial guest may take. It needs 0.1 s where it works, and hangs where it does not.
const TRIAL_MAX: Duration = Duration::from_secs(2);

/// The processor that the guest sees: everything that the accelerator can do, which is AES, SHA and
/// RDRAND instructions in both cases. 5-level paging would only cost TCG another table walk.
pub(crate) const CPU: &str = "max,la57=off";

impl Accel {
    /// What works here. The answer of the first call holds for the whole process.
    ///
    /// # Errors
    /// `QEMU_ACCEL` has another value than `tcg` or `kvm`.
    pub fn detect() -> Result<Self, Fault> {
        static FOUND: OnceLock<Accel> = OnceLock::new();
        if let Some(wish) = std::env::var_os(ACCEL_VARIABLE) {
            return match wish.to_str() {
                Some("tcg") => Ok(Self::Tcg),
                Some("kvm") => Ok(Self::Kvm),
                _ => Err(Fault::Settings(format!(
                    "{ACCEL_VARIABLE} is {wish:?}; it can be tcg or kvm"
                ))),
            };
        }
        let writable = || File::options().read(true).write(true).open("/dev/kvm");
        let find = || match writable().is_ok() && runs_64_bit_code(Self::Kvm) {
            true => Self::Kvm,
            false => Self::Tcg,
        };
        Ok(*FOUND.get_or_init(find))
    }

    /// The name that QEMU has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

/// Whether the trial guest gets to its end. Any failure means no: TCG is always there.
pub(crate) fn runs_64_bit_code(accel: Accel) -> bool {
    let Ok(folder) = tempfile::tempdir() else {
        return false;
    };
    let rom = folder.path().join("trial.rom");
    fs::write(&rom, trial_rom()).is_ok() && trial(accel, &rom, folder.path()) == Some(TRIAL_PASSED)
}

/// Exit status of QEMU, if it ended in time.
fn trial(accel: Accel, rom: &Path, folder: &Path) -> Option<i32> {
    let mut command = Command::new(crate::QEMU);
    command.args(["-accel", accel.name(), "-machine", "q35", "-cpu", CPU]);
    command.args(["-m", "16", "-nodefaults", "-no-user-config"]);
    command.args(["-display", "none", "-device"]);
    command.arg("isa-debug-exit,iobase=0xf4,iosize=4");
    command.arg("-bios").arg(rom).current_dir(folder);
    let mut child = Child::start(command, crate::QEMU_PACKAGE, &folder.join("said")).ok()?;
    child.wait(TRIAL_MAX)?.code()
}

/// What isa-debug-exit makes of the 0x11 that the guest writes: `value << 1 | 1`.
const TRIAL_PASSED: i32 = 0x11 << 1 | 1;

/// Bytes of the ROM: the smallest that QEMU maps below 4 GiB.
const ROM_BYTES: usize = 64 * 1024;

/// The ROM ends with this page, which the processor finds at 0xffff_ff00; its first instruction is
/// the jump at 0xffff_fff0.
const PAGE_BYTES: usize = 256;

/// From reset to 64-bit code with paging, then a loop that takes a while, then the exit.
const TRIAL: &[u8] = &[
    0xfa, // cli
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    // Three page tables in low memory map the 2 MiB below 4 GiB, where this ROM is.
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // PML4 at 0x1000, entry 0: 0x2000, present, writable
    0xc7, 0x06, 0x18, 0x20, 0x03, 0x30, // PDPT at 0x2000, entry 3: 0x3000, present, writable
    0x66, 0xc7, 0x06, 0xf8, 0x3f, 0x83, 0x00, 0xe0, 0xff, // PD, entry 511: 0xffe0_0000, 2 MiB
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x78, 0xff, // lgdt cs:[0xff78]
    0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0, // cr4 = PAE
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, // cr3 = 0x1000
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, // read EFER
    0x0d, 0x00, 0x01, 0x0f, 0x30, // set its long mode bit
    0x66, 0xb8, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // cr0 = paging, protected mode
    0x66, 0xea, 0x51, 0xff, 0xff, 0xff, 0x08, 0x00, // jmp 8:0xffff_ff51, the next instruction
    // 64-bit code.
    0xb9, 0x40, 0x42, 0x0f, 0x00, // mov ecx, 1_000_000
    0xff, 0xc9, // dec ecx
    0x75, 0xfc, // jnz to the line above
    0xb0, 0x11, // mov al, 0x11
    0xe6, 0xf4, // out 0xf4, al
    0xf4, // hlt
    0xeb, 0xfd, // jmp to the line above
    0, 0, 0, 0, 0, 0, 0, // up to 0x68
    0, 0, 0, 0, 0, 0, 0, 0, // GDT: the null descriptor
    0xff, 0xff, 0, 0, 0, 0x9a, 0xaf, 0, // 64-bit code segment
    0x0f, 0x00, 0x68, 0xff, 0xff, 0xff, // at 0x78: limit and address of the GDT
];

/// `jmp 0xff00`, at the reset vector.
const RESET_JUMP: [u8; 3] = [0xe9, 0x0d, 0xff];

/// Bytes between the reset vector and the end of memory.
const RESET_FROM_END: usize = 16;

fn trial_rom() -> Vec<u8> {
    let mut rom = vec![0; ROM_BYTES];
    let mut place = |from_end: usize, bytes: &[u8]| {
        let begin = ROM_BYTES - from_end;
        for (to, from) in rom.iter_mut().skip(begin).zip(bytes) {
            *to = *from;
        }
    };
    place(PAGE_BYTES, TRIAL);
    place(RESET_FROM_END, &RESET_JUMP);
    rom
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its files has to fail")]
mod tests {
    use super::*;

    #[test]
    fn trial_guest_runs_by_translation() {
        assert!(runs_64_bit_code(Accel::Tcg));
    }

    #[test]
    fn guest_that_does_nothing_fails_the_trial() {
        let folder = tempfile::tempdir().unwrap();
        let rom = folder.path().join("hangs.rom");
        // Without the jump at the reset vector the processor never gets to the trial.
        let mut bytes = trial_rom();
        bytes.truncate(ROM_BYTES - RESET_FROM_END);
        bytes.resize(ROM_BYTES, 0xf4);
        fs::write(&rom, bytes).unwrap();
        assert_eq!(trial(Accel::Tcg, &rom, folder.path()), None);
    }
}
