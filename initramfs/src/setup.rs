//! The unattended set-up file: found, copied to where the daemon reads it, never interpreted.
//!
//! PID 1 does not know the language of the file. It takes the first source that has one: the
//! firmware configuration of a virtual machine (`opt/strongroom/setup`), else a whole disk whose
//! first line says that it is such a file. The daemon judges it, under its own confinement.

use crate::disks::{self, Disk};
use crate::fault::{Naming, Outcome};
use crate::report;
use crate::services::CORE_USER;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};

/// Where the daemon finds it: in memory, readable by the daemon only.
const TARGET: &str = "/run/strongroom/setup";

/// Set-up file given by the machine's owner through QEMU (`-fw_cfg name=opt/strongroom/setup`).
const FIRMWARE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/strongroom/setup/raw";

/// First line of a disk that is a set-up file.
const FIRST_LINE: &[u8] = b"# strongroom setup 1";

/// A set-up file is a page of text; 64 KiB is room for a long CA chain in it.
const BYTES_MAX: u64 = 64 * 1024;

/// Copies the first set-up file found, and says where it was.
///
/// # Errors
/// It is there but cannot be copied.
pub(crate) fn collect() -> Outcome<Option<String>> {
    let Some((source, text)) = find() else {
        return Ok(None);
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(TARGET);
    let mut file = file.naming(|| TARGET.into())?;
    file.write_all(&text).naming(|| TARGET.into())?;
    chown(TARGET, Some(CORE_USER), Some(CORE_USER)).naming(|| TARGET.into())?;
    report::note(&format!(
        "set-up file of {} bytes from {source}",
        text.len()
    ));
    Ok(Some(source))
}

fn find() -> Option<(String, Vec<u8>)> {
    if let Some(text) = File::open(FIRMWARE).ok().and_then(read_text) {
        return Some(("firmware configuration".into(), text));
    }
    // Disks with a partition table are the system's or somebody else's: their first line differs.
    let on_disk = |disk: &Disk| Some((disk.name.clone(), read_text(disk.open(false).ok()?)?));
    disks::all().iter().find_map(on_disk)
}

fn read_text(from: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    set_up_text(&bytes)
}

/// The text in the first 64 KiB of a source, without the zeros behind it, if it is a set-up file.
fn set_up_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(FIRST_LINE)?;
    if !matches!(rest.first(), None | Some(b'\n' | b'\r' | 0)) {
        return None;
    }
    let text = bytes.split(|byte| *byte == 0).next()?;
    Some(text.to_vec())
}

/// Forgets the file; called by nobody but the machine's end, since /run is memory.
pub(crate) fn forget() {
    // It may hold a passphrase: it need not wait in memory for the power to go.
    let _ = fs::remove_file(TARGET);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_set_up_file_is_known_by_its_whole_first_line() {
        let file = b"# strongroom setup 1\nhostname a\n\0\0\0junk";
        assert_eq!(
            set_up_text(file).unwrap(),
            b"# strongroom setup 1\nhostname a\n"
        );
        assert_eq!(set_up_text(b"# strongroom setup 1").unwrap(), FIRST_LINE);
        assert_eq!(set_up_text(b"# strongroom setup 12\n"), None);
        assert_eq!(set_up_text(b"EFI PART"), None);
        assert_eq!(set_up_text(b"\0"), None);
        assert_eq!(set_up_text(b""), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_zero_gets_through(tail: Vec<u8>) {
            let mut bytes = FIRST_LINE.to_vec();
            bytes.extend(tail);
            if let Some(text) = set_up_text(&bytes) {
                prop_assert!(!text.contains(&0) && bytes.starts_with(&text));
            }
        }
    }
}
