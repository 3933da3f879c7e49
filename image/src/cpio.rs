//! The archive that the kernel unpacks as its first root: cpio in the `newc` form, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

use crate::Fault;
use crate::tree::{Node, Tree};

/// The size of everything in a `newc` archive is a multiple of this many bytes.
const ALIGNMENT_BYTES: usize = 4;
/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Type bits of a mode, as stat(2) has them.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// The archive of `tree`, all of it owned by root and dated `seconds` after 1970.
///
/// # Errors
/// When a file or the date does not fit the form's 32-bit fields.
pub fn archive(tree: &Tree, seconds: u64) -> Result<Vec<u8>, Fault> {
    let seconds = fits(seconds, "the date of the commit")?;
    let mut out = Vec::new();
    let mut inode = 0;
    for (path, node, _) in tree.entries() {
        inode += 1;
        let (kind, bytes) = match node {
            Node::Folder => (FOLDER, &[][..]),
            Node::Data(bytes) | Node::Program(bytes) => (FILE, bytes.as_slice()),
            Node::Link(target) => (LINK, target.as_bytes()),
        };
        let size = fits(bytes.len() as u64, path)?;
        entry(&mut out, path, [inode, kind | node.mode(), seconds, size]);
        out.extend_from_slice(bytes);
        pad(&mut out);
    }
    entry(&mut out, TRAILER, [0, 0, 0, 0]);
    Ok(out)
}

/// `value` as the 32 bits that a header field has.
fn fits(value: u64, what: &str) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| Fault::TooLarge {
        what: what.to_owned(),
        bytes: value,
        limit: u64::from(u32::MAX),
    })
}

/// Writes a header: fields as eight hex digits each, then the name.
fn entry(out: &mut Vec<u8>, name: &str, [inode, mode, seconds, size]: [u32; 4]) {
    let links = 1;
    // A name is a path of our own making, far shorter than 4 GiB; its NUL counts.
    let name_bytes = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    let (uid, gid, check) = (0, 0, 0);
    let device = [0; 4];
    out.extend_from_slice(b"070701");
    let fields = [inode, mode, uid, gid, links, seconds, size].into_iter();
    for field in fields.chain(device).chain([name_bytes, check]) {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
}

/// Fills up with zeros to the form's alignment.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT_BYTES), 0);
}

#[cfg(test)]
mod tests {
    //! What we write, cpio(1) reads.
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use crate::tool::Tool;
    use crate::tree::Origin;

    #[test]
    fn cpio_lists_what_was_put_in() {
        let mut tree = Tree::default();
        let ours = Origin::Ours("image");
        tree.put("init", Node::Program(b"12345".to_vec()), &ours)
            .unwrap();
        tree.put("lib/modules/a.ko", Node::Data(b"module".to_vec()), &ours)
            .unwrap();
        tree.put("l", Node::Link("init".to_owned()), &ours).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cpio");
        std::fs::write(&path, archive(&tree, 86_400).unwrap()).unwrap();
        let list = Tool::new("cpio", "cpio")
            .args(["-itv", "--quiet", "-F"])
            .arg(&path);
        let listed = list.output().unwrap();
        let lines: Vec<_> = listed.lines().collect();
        assert_eq!(lines.len(), 5, "{listed}");
        assert!(lines[0].starts_with("-r-xr-xr-x"), "{listed}");
        assert!(lines[0].contains(" 5 Jan  2  1970 init"), "{listed}");
        assert!(lines[1].ends_with(" l -> init"), "{listed}");
        let unpack = Tool::new("cpio", "cpio").args(["-i", "--to-stdout", "--quiet", "-F"]);
        let module = unpack.arg(&path).arg("lib/modules/a.ko").output().unwrap();
        assert_eq!(module, "module");
    }

    #[test]
    fn a_date_beyond_2106_is_refused() {
        assert!(archive(&Tree::default(), 1 << 32).is_err());
    }
}
