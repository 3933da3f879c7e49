//! The firmware's variables: from which partition it started, whether Secure Boot is on, and how
//! our keys get in.
//!
//! Keys are enrolled only in set-up mode, in which the firmware takes them from anybody. The
//! signed updates came with the installer, under its own signature; those of the EFI system
//! partition are not looked at.

use crate::fault::{Fault, Naming, Outcome};
use crate::raw;
use crate::report;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where the kernel shows the variables.
const VARIABLES: &str = "/sys/firmware/efi/efivars";

/// Owners of variables (UEFI 2.10, 3.3 and 32.4.1; systemd's Boot Loader Interface).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SECURITY: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Non-volatile, boot and run time, time-based authenticated write: what the updates are signed
/// for (`ATTRIBUTES` of image/src/keys.rs).
const ATTRIBUTES: u32 = 0x27;

/// A variable's file begins with its attributes.
const ATTRIBUTES_BYTES: usize = 4;

/// What is enrolled, in this order: with PK the firmware leaves set-up mode, so it comes last.
const KEYS: [(&str, &str); 3] = [("db", SECURITY), ("KEK", GLOBAL), ("PK", GLOBAL)];

/// Where the build puts the signed updates.
const UPDATES: &str = "/payload";

/// What the firmware does about signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firmware {
    /// It does not know Secure Boot, is no UEFI, or does not show its variables.
    None,
    /// It has no keys and takes ours.
    SetUp,
    /// It starts only what is signed by its keys: ours among them, or we would not be here.
    On,
    /// It has keys and does not use them.
    Off,
}

impl Firmware {
    /// As it is now.
    pub(super) fn now() -> Self {
        Self::of(
            flag(&read("SetupMode", GLOBAL)),
            flag(&read("SecureBoot", GLOBAL)),
        )
    }

    fn of(set_up: Option<bool>, on: Option<bool>) -> Self {
        match (set_up, on) {
            (Some(true), _) => Self::SetUp,
            (Some(false), Some(true)) => Self::On,
            (Some(false), _) => Self::Off,
            (None, _) => Self::None,
        }
    }

    /// What this means for the installation, and what to do about it.
    pub(super) fn before(self) -> &'static str {
        match self {
            Self::None => {
                "this firmware does not have it, or does not show its variables.\n\
                 The system starts by UEFI only, and here nothing checks what is started."
            }
            Self::SetUp => {
                "the firmware is in set-up mode. After the disk is written the keys\n\
                 of this installer are enrolled."
            }
            Self::On => {
                "on. The firmware has the certificate that this installer is signed\n\
                 by; no keys are enrolled."
            }
            Self::Off => {
                "off, and the firmware is not in set-up mode: no keys can be enrolled\n\
                 now. To have it on, clear the keys in the firmware's menu (`set-up mode`,\n\
                 `reset to set-up mode`) and start this installer again; or start the disk\n\
                 in set-up mode and take `Enroll Secure Boot keys` in its boot menu."
            }
        }
    }
}

/// Shows the firmware's variables below /sys. Where there are none the reason goes to the log.
pub(super) fn mount_variables() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let kind = Some("efivarfs");
    if let Err(reason) = mount(kind, VARIABLES, kind, flags, None::<&str>) {
        report::note(&format!("no variables of the firmware: {reason}"));
    }
}

/// Identity of the partition that this installer was started from, as its entry has it on disk.
pub(super) fn started_from() -> Option<[u8; 16]> {
    let text = read("LoaderDevicePartUUID", LOADER)?;
    partition_guid(text.get(ATTRIBUTES_BYTES..)?)
}

/// A GUID in UTF-16 text as the partition table has it: the first three groups are numbers, low
/// byte first (UEFI 2.10, appendix A).
fn partition_guid(text: &[u8]) -> Option<[u8; 16]> {
    let low = text.chunks_exact(2).filter_map(|unit| unit.first());
    let digits = low.filter(|byte| byte.is_ascii_hexdigit());
    let digits: Option<Vec<u8>> = digits
        .map(|byte| u8::try_from(char::from(*byte).to_digit(16)?).ok())
        .collect();
    let bytes = digits?;
    let bytes = bytes.chunks_exact(2);
    let bytes = bytes.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
    let mut guid: [u8; 16] = bytes.collect::<Vec<u8>>().try_into().ok()?;
    for group in [0..4, 4..6, 6..8] {
        guid.get_mut(group)?.reverse();
    }
    Some(guid)
}

fn path(name: &str, owner: &str) -> PathBuf {
    Path::new(VARIABLES).join(format!("{name}-{owner}"))
}

fn read(name: &str, owner: &str) -> Option<Vec<u8>> {
    fs::read(path(name, owner)).ok()
}

/// The value of a variable of one byte, behind its attributes.
fn flag(content: &Option<Vec<u8>>) -> Option<bool> {
    match content.as_deref()?.get(ATTRIBUTES_BYTES..)? {
        [value] => Some(*value == 1),
        _ => None,
    }
}

/// Writes all keys and makes sure that the firmware has left set-up mode.
///
/// # Errors
/// The firmware refuses one, or stays in set-up mode.
pub(super) fn enrol() -> Outcome {
    for (name, owner) in KEYS {
        let update = Path::new(UPDATES).join(format!("{name}.auth"));
        let update = fs::read(&update).naming(|| update.display().to_string())?;
        let content = [ATTRIBUTES.to_le_bytes().as_slice(), &update].concat();
        write(&path(name, owner), &content).naming(|| {
            format!("the firmware does not take {name} (does it have keys of somebody else?)")
        })?;
    }
    if Firmware::now() == Firmware::SetUp {
        return Err(Fault::new(
            "the firmware took all keys and is still in set-up mode; look into its menu",
        ));
    }
    Ok(())
}

/// Writes a variable in one call, as the firmware wants it.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    match File::open(path) {
        // The kernel protects variables that are there against a slip of the hand.
        Ok(file) => raw::unprotect(&file)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let written = file.write(content)?;
    if written == content.len() {
        Ok(())
    } else {
        Err(ErrorKind::WriteZero.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_firmware_s_words_are_understood() {
        let variable = |value: &[u8]| Some([&[6, 0, 0, 0], value].concat());
        assert_eq!(flag(&variable(&[1])), Some(true));
        assert_eq!(flag(&variable(&[0])), Some(false));
        for wrong in [None, variable(&[]), variable(&[1, 1]), Some(vec![1])] {
            assert_eq!(flag(&wrong), None);
        }
        assert_eq!(Firmware::of(Some(true), Some(false)), Firmware::SetUp);
        assert_eq!(Firmware::of(Some(false), Some(true)), Firmware::On);
        assert_eq!(Firmware::of(Some(false), None), Firmware::Off);
        assert_eq!(Firmware::of(None, None), Firmware::None);
    }

    #[test]
    fn a_partition_is_known_by_its_identity() {
        let text = "0FC63DAF-8483-4772-8E79-3D69D8477DE4\0";
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        // The type of Linux partitions, as gpt.rs has it on disk.
        let on_disk = [
            0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47,
            0x7d, 0xe4,
        ];
        assert_eq!(partition_guid(&units), Some(on_disk));
        assert_eq!(partition_guid(&units[..60]), None);
    }

    proptest! {
        #[test]
        fn no_variable_panics(bytes: Vec<u8>) {
            let _ = (partition_guid(&bytes), flag(&Some(bytes)));
        }
    }
}
