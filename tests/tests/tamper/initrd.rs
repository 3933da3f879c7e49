//! The initramfs, unpacked, changed and packed again: `cpio` in the `newc` form, under zstd.

use crate::disk::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Bytes of a header: a magic number and 13 fields of eight hex digits.
const HEADER_BYTES: usize = 6 + 13 * 8;
/// Which of the fields are the size of the file and that of its name.
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// The size of everything is a multiple of this.
const ALIGNMENT_BYTES: usize = 4;

/// One file of the archive.
pub(crate) struct Entry {
    header: Vec<u8>,
    name: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

/// Reads the initramfs of the image.
pub(crate) fn unpack(initrd: &Path) -> Result<Vec<Entry>> {
    let mut zstd = Command::new("zstd");
    let output = zstd.args(["-d", "-c", "-q"]).arg(initrd).output();
    let output = output.context("zstd (Debian: apt-get install zstd)")?;
    ensure!(output.status.success(), "{} is no zstd", initrd.display());
    let mut rest = output.stdout.as_slice();
    let mut entries = Vec::new();
    while rest.starts_with(b"070701") {
        let header = take(&mut rest, HEADER_BYTES)?;
        let (names, bytes) = (size(&header, NAME_SIZE)?, size(&header, FILE_SIZE)?);
        let name = take(&mut rest, names)?;
        skip(&mut rest, HEADER_BYTES + names);
        let content = take(&mut rest, bytes)?;
        skip(&mut rest, bytes);
        entries.push(Entry {
            header,
            name,
            content,
        });
    }
    ensure!(!entries.is_empty(), "the initramfs is no newc archive");
    Ok(entries)
}

/// Writes entries as the initramfs `to`.
pub(crate) fn pack(entries: &[Entry], to: &Path) -> Result<()> {
    let mut archive = Vec::new();
    for entry in entries {
        let begin = 6 + FILE_SIZE * 8;
        let mut header = entry.header.clone();
        header[begin..begin + 8].copy_from_slice(format!("{:08x}", entry.content.len()).as_bytes());
        archive.extend(header);
        archive.extend(&entry.name);
        archive.resize(archive.len().next_multiple_of(ALIGNMENT_BYTES), 0);
        archive.extend(&entry.content);
        archive.resize(archive.len().next_multiple_of(ALIGNMENT_BYTES), 0);
    }
    let plain = to.with_extension("cpio");
    fs::write(&plain, archive)?;
    let mut zstd = Command::new("zstd");
    run(zstd.args(["-q", "-f", "-o"]).arg(to).arg(&plain)).map(drop)
}

/// The module with that file name.
pub(crate) fn module<'a>(entries: &'a mut [Entry], file: &str) -> Result<&'a mut Vec<u8>> {
    let ending = format!("/{file}\0");
    let found = entries
        .iter_mut()
        .find(|entry| entry.name.ends_with(ending.as_bytes()));
    let found = found.with_context(|| format!("the initramfs has no {file}"))?;
    Ok(&mut found.content)
}

/// Mark at the end of a signed module (Documentation/admin-guide/module-signing.rst of the kernel).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// Takes the signature off a module, as `strip` would.
pub(crate) fn unsign(module: &mut Vec<u8>) -> Result<()> {
    ensure!(module.ends_with(SIGNED), "the module is not signed");
    // Before the mark stands `struct module_signature`, whose last four bytes are the length of
    // the signature before it, big-endian.
    let end = module.len() - SIGNED.len();
    let (length, _) = module[end - 4..end]
        .split_first_chunk::<4>()
        .context("a torn signature")?;
    let signature = u32::from_be_bytes(*length) as usize + 12;
    module.truncate(end - signature);
    Ok(())
}

fn take(rest: &mut &[u8], length: usize) -> Result<Vec<u8>> {
    let (taken, after) = rest.split_at_checked(length).context("a torn archive")?;
    *rest = after;
    Ok(taken.to_vec())
}

/// Skips what fills `used` bytes up to the alignment.
fn skip(rest: &mut &[u8], used: usize) {
    let padding = used.next_multiple_of(ALIGNMENT_BYTES) - used;
    *rest = rest.get(padding..).unwrap_or_default();
}

fn size(header: &[u8], field: usize) -> Result<usize> {
    let begin = 6 + field * 8;
    let digits = std::str::from_utf8(&header[begin..begin + 8])?;
    Ok(usize::from_str_radix(digits, 16)?)
}
