//! The unified kernel image: systemd's boot stub with kernel, initramfs and command line as
//! sections of one PE file, so that one signature covers all of them.

use crate::tool::Tool;
use crate::{Fault, fault};
use goblin::pe::PE;
use std::fs;
use std::path::{Path, PathBuf};

/// The boot stub and the boot loader, below the root of their package.
const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/// Sections of a PE file begin at multiples of this in memory.
const PAGE_BYTES: u64 = 4096;
/// Where the DOS header says where the PE header begins (Microsoft, PE Format, "MS-DOS stub").
const PE_OFFSET_AT: usize = 0x3c;
/// From the PE header's signature to the date and to the checksum of the file.
const DATE_AT: usize = 8;
const CHECKSUM_AT: usize = 24 + 64;

/// What goes into a unified kernel image.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Folder of the unpacked package of systemd-boot.
    pub boot: &'a Path,
    /// What os-release(5) says: name and version that the boot menu shows.
    pub release: &'a str,
    /// The kernel's release.
    pub uname: &'a str,
    /// The command line.
    pub words: &'a str,
    /// The compressed initramfs.
    pub initrd: &'a Path,
    /// The kernel.
    pub kernel: &'a Path,
}

/// Writes the unsigned image of `parts` to `target`; `work` is a folder for the parts.
///
/// # Errors
/// When the stub is not understood or objcopy fails.
pub fn make(parts: &Parts<'_>, target: &Path, work: &Path) -> Result<(), Fault> {
    let text = |name: &str, text: &str| -> Result<PathBuf, Fault> {
        let path = work.join(name);
        fs::write(&path, text).map_err(fault::file("write", &path))?;
        Ok(path)
    };
    let stub = parts.boot.join(STUB);
    let sections = [
        (".osrel", text("uki.osrel", parts.release)?),
        (".uname", text("uki.uname", parts.uname)?),
        (".cmdline", text("uki.cmdline", parts.words)?),
        (".initrd", parts.initrd.to_owned()),
        // Last: a kernel needs more room when it unpacks itself than its file has.
        (".linux", parts.kernel.to_owned()),
    ];
    let mut at = end(&stub)?;
    let mut objcopy = Tool::new("objcopy", "binutils");
    for (name, file) in &sections {
        let length = fs::metadata(file)
            .map_err(fault::file("examine", file))?
            .len();
        let add = format!("{name}={}", file.display());
        objcopy = objcopy.args(["--add-section", &add, "--change-section-vma"]);
        objcopy = objcopy.arg(format!("{name}={at:#x}"));
        at = (at + length).next_multiple_of(PAGE_BYTES);
    }
    objcopy.arg(&stub).arg(target).run()?;
    undate(target)
}

/// Copies the boot loader, as it is, to `target`.
///
/// # Errors
/// When it is not in the package.
pub fn take_loader(boot: &Path, target: &Path) -> Result<(), Fault> {
    let loader = boot.join(LOADER);
    fs::copy(&loader, target)
        .map(drop)
        .map_err(fault::file("take", &loader))
}

/// Where in memory the last section of the PE file ends, rounded up to a page.
fn end(stub: &Path) -> Result<u64, Fault> {
    let unreadable = |reason: String| Fault::Program {
        file: stub.display().to_string(),
        reason,
    };
    let bytes = fs::read(stub).map_err(fault::file("read", stub))?;
    let pe = PE::parse(&bytes).map_err(|e| unreadable(e.to_string()))?;
    let ends = pe
        .sections
        .iter()
        .map(|s| u64::from(s.virtual_address) + u64::from(s.virtual_size));
    let last = ends
        .max()
        .ok_or_else(|| unreadable("it has no sections".to_owned()))?;
    Ok(pe.image_base + last.next_multiple_of(PAGE_BYTES))
}

/// Sets date and checksum of the PE file to zero. Firmware looks at neither, and objcopy writes
/// the time of day.
fn undate(file: &Path) -> Result<(), Fault> {
    let mut bytes = fs::read(file).map_err(fault::file("read", file))?;
    zero(&mut bytes).ok_or_else(|| Fault::Program {
        file: file.display().to_string(),
        reason: "its PE header lies outside of the file".to_owned(),
    })?;
    fs::write(file, bytes).map_err(fault::file("write", file))
}

fn zero(bytes: &mut [u8]) -> Option<()> {
    let offset = bytes.get(PE_OFFSET_AT..)?.first_chunk::<4>()?;
    let header = usize::try_from(u32::from_le_bytes(*offset)).ok()?;
    for at in [DATE_AT, CHECKSUM_AT] {
        let begin = header.checked_add(at)?;
        bytes.get_mut(begin..begin.checked_add(4)?)?.fill(0);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    //! Headers that are none.
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    #[test]
    fn dates_vanish_and_torn_headers_are_noticed() {
        let mut bytes = vec![7; 256];
        bytes[PE_OFFSET_AT..PE_OFFSET_AT + 4].copy_from_slice(&64_u32.to_le_bytes());
        zero(&mut bytes).unwrap();
        assert_eq!(bytes[71..77], [7, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[151..157], [7, 0, 0, 0, 0, 7]);
        assert_eq!(zero(&mut bytes[..155]), None);
        assert_eq!(zero(&mut [0; 8]), None);
        bytes[PE_OFFSET_AT..PE_OFFSET_AT + 4].fill(0xff);
        assert_eq!(zero(&mut bytes), None);
    }
}
