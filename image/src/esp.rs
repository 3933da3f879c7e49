//! The EFI system partition: the signed boot loader, its settings, and signed kernel images.

use crate::tool::Tool;
use crate::{Fault, fault};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

/// Identity of the FAT file system; fixed, so that two builds are the same.
const VOLUME_ID: &str = "53524f4d";
/// Where firmware looks for a boot loader that nobody told it of: a new or moved disk.
pub const REMOVABLE_PATH: &str = "EFI/BOOT/BOOTX64.EFI";
/// Where the boot loader of the system is, as its own installer would put it.
pub const LOADER_PATH: &str = "EFI/systemd/systemd-bootx64.efi";
/// Settings of the boot loader. The editor would change the command line before an unsigned boot;
/// a menu of three seconds is the way back to the other system, on the serial line too. In the
/// firmware's set-up mode the menu offers to enrol our keys; it never does so by itself, because
/// that locks out whatever else the machine could boot.
pub const LOADER_SETTINGS: &str =
    "timeout 3\neditor no\nconsole-mode keep\nsecure-boot-enroll manual\n";

/// Writes a FAT32 file system of `mebibytes` with `files` (path in it, file of the build machine)
/// to `image`. All dates are `seconds` after 1970.
///
/// # Errors
/// When a tool fails or the files do not fit.
pub fn make(
    image: &Path,
    mebibytes: u64,
    files: &[(&str, &Path)],
    seconds: u64,
) -> Result<(), Fault> {
    let file = File::create(image).map_err(fault::file("make", image))?;
    file.set_len(mebibytes << 20)
        .map_err(fault::file("enlarge", image))?;
    drop(file);
    let format = Tool::new("mkfs.vfat", "dosfstools").args(["--invariant", "-F", "32", "-n"]);
    format
        .args(["STRONGROOM", "-i", VOLUME_ID])
        .arg(image)
        .run()?;
    // Sorted, so that each folder comes after the one it is in.
    let mut folders = BTreeSet::new();
    for (path, _) in files {
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        folders.extend(above);
    }
    let mtools = |program| {
        // mtools takes the time of day of folders and files from here.
        let tool = Tool::new(program, "mtools").env("SOURCE_DATE_EPOCH", seconds.to_string());
        tool.arg("-i").arg(image)
    };
    for folder in folders {
        mtools("mmd").arg(format!("::/{folder}")).run()?;
    }
    for (path, from) in files {
        mtools("mcopy").arg(from).arg(format!("::/{path}")).run()?;
    }
    Ok(())
}

/// Reads the file at `path` of the file system in `image` into `target`.
///
/// # Errors
/// When it is not there.
pub fn read(image: &Path, path: &str, target: &Path) -> Result<Vec<u8>, Fault> {
    let copy = Tool::new("mcopy", "mtools")
        .args(["-n", "-o", "-i"])
        .arg(image);
    copy.arg(format!("::/{path}")).arg(target).run()?;
    fs::read(target).map_err(fault::file("read", target))
}

#[cfg(test)]
mod tests {
    //! The same files give the same bytes, at whatever time.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use crate::hash;

    #[test]
    fn two_partitions_are_the_same_and_hold_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loader.conf");
        fs::write(&file, LOADER_SETTINGS).unwrap();
        let image = |name: &str| {
            let image = folder.path().join(name);
            let files = [
                ("loader/loader.conf", file.as_path()),
                (REMOVABLE_PATH, &file),
            ];
            make(&image, 40, &files, 1_700_000_000).unwrap();
            image
        };
        let one = image("one");
        // FAT knows times of two seconds.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let two = image("two");
        assert_eq!(hash::of_file(&one).unwrap(), hash::of_file(&two).unwrap());
        let copy = folder.path().join("copy");
        assert_eq!(
            read(&one, REMOVABLE_PATH, &copy).unwrap(),
            LOADER_SETTINGS.as_bytes()
        );
    }
}
