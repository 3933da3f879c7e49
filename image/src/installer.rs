//! The installer: a unified kernel image whose initramfs holds PID 1, the modules, the packed disk
//! and the keys to enrol, on a medium that firmware starts by itself. All of it is under the one
//! signature of the kernel image; nothing beside it on the medium is read.

use crate::tree::{Node, Origin, Tree};
use crate::{Fault, disk, esp, fault, hash};
use std::fs;
use std::path::Path;

/// The word of the signed command line that makes PID 1 the installer
/// (initramfs/src/command_line.rs).
pub const WORD: &str = "strongroom.install";
/// Name of the medium's partition, by which PID 1 knows that it must not write over it
/// (initramfs/src/installer/disks.rs).
const PARTITION: &str = "strongroom-installer";
/// Where PID 1 looks for what it brings along (initramfs/src/installer/payload.rs).
const PAYLOAD: &str = "payload";
/// Room on the medium besides the kernel image, in MiB: what FAT itself takes, and some air.
const AIR_MEBIBYTES: u64 = 8;
/// FAT32 has no smaller file systems.
const MEDIUM_MEBIBYTES_MIN: u64 = 40;

/// Puts the packed disk of `folder`, what is known about it, and the updates of the firmware's keys
/// into the initramfs `tree`.
///
/// # Errors
/// When one of them cannot be read.
pub fn put_payload(tree: &mut Tree, profile: &str, folder: &Path) -> Result<(), Fault> {
    let ours = Origin::Ours("image");
    let mut put = |name: &str, bytes: Vec<u8>| {
        tree.put(&format!("{PAYLOAD}/{name}"), Node::Data(bytes), &ours)
    };
    let take = |path: &Path| fs::read(path).map_err(fault::file("read", path));
    let disk = folder.join("disk.raw");
    let about = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "profile": profile,
        "bytes": length(&disk)?,
        "sha256": hash::of_file(&disk)?,
    });
    put("disk.json", format!("{about:#}\n").into_bytes())?;
    put("disk.raw.zst", take(&folder.join("disk.raw.zst"))?)?;
    for name in ["PK.auth", "KEK.auth", "db.auth"] {
        put(name, take(&folder.join("enrol").join(name))?)?;
    }
    Ok(())
}

/// Writes the medium that starts the signed kernel image `signed` to `image`.
///
/// # Errors
/// When a tool fails.
pub fn medium(signed: &Path, image: &Path, work: &Path, seconds: u64) -> Result<(), Fault> {
    let mebibytes = (length(signed)?.div_ceil(1 << 20) + AIR_MEBIBYTES).max(MEDIUM_MEBIBYTES_MIN);
    let partition = work.join("installer.esp");
    let files = [(esp::REMOVABLE_PATH, signed)];
    esp::make(&partition, mebibytes, &files, seconds)?;
    disk::write_stick(image, PARTITION, mebibytes, &partition)
}

/// Size of a file in bytes.
fn length(path: &Path) -> Result<u64, Fault> {
    let about = fs::metadata(path).map_err(fault::file("examine", path))?;
    Ok(about.len())
}

#[cfg(test)]
mod tests {
    //! What goes in, and what the medium looks like.
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use crate::tool::Tool;

    #[test]
    fn the_payload_has_the_disk_its_sum_and_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("enrol")).unwrap();
        for name in [
            "disk.raw",
            "disk.raw.zst",
            "enrol/PK.auth",
            "enrol/KEK.auth",
            "enrol/db.auth",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let mut tree = Tree::default();
        put_payload(&mut tree, "virt", folder.path()).unwrap();
        let entries: Vec<_> = tree.entries().map(|(path, node, _)| (path, node)).collect();
        let about = entries
            .iter()
            .find(|(path, _)| *path == "payload/disk.json");
        let about = serde_json::from_slice::<serde_json::Value>(about.unwrap().1.bytes()).unwrap();
        assert_eq!(about["bytes"], 8);
        assert_eq!(about["sha256"], hash::of_bytes(b"disk.raw"));
        assert!(entries.iter().any(|(path, _)| *path == "payload/db.auth"));
        fs::remove_file(folder.path().join("enrol/PK.auth")).unwrap();
        assert!(put_payload(&mut Tree::default(), "virt", folder.path()).is_err());
    }

    #[test]
    fn two_media_are_the_same_and_start_the_installer() {
        let folder = tempfile::tempdir().unwrap();
        let signed = folder.path().join("signed");
        fs::write(&signed, vec![5; 3 << 20]).unwrap();
        let made = |name: &str| {
            let image = folder.path().join(name);
            medium(&signed, &image, folder.path(), 1_700_000_000).unwrap();
            image
        };
        let (one, two) = (made("one"), made("two"));
        assert_eq!(hash::of_file(&one).unwrap(), hash::of_file(&two).unwrap());
        let dump = Tool::new("sfdisk", "fdisk").arg("--dump").arg(&one);
        let dump = dump.output().unwrap();
        assert!(dump.contains("name=\"strongroom-installer\""), "{dump}");
        let partition = folder.path().join("installer.esp");
        let copy = folder.path().join("copy");
        let file = esp::read(&partition, esp::REMOVABLE_PATH, &copy).unwrap();
        assert!(file == fs::read(&signed).unwrap());
    }
}
