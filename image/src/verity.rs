//! The root file system: EROFS, with a tree of hashes behind it that the kernel checks it by.
//!
//! The top of that tree, the root hash, goes into the signed command line. A block of the file
//! system or of the tree that was changed afterwards is then noticed when it is read.

use crate::tool::Tool;
use crate::tree::{self, Tree};
use crate::{Fault, fault, hash};
use std::fs;
use std::path::Path;

/// Size of a block that is hashed, and of a block of hashes: the page size of x86-64.
const BLOCK_BYTES: u64 = 4096;

/// A root file system with its hash tree behind it, in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The top of the hash tree, in hex.
    pub hash: String,
    /// How many blocks the file system has.
    pub data_blocks: u64,
    /// What is hashed before every block, in hex.
    pub salt: String,
    /// Size of file system and tree in bytes.
    pub bytes: u64,
}

impl Root {
    /// Writes `files` as a file system with hash tree to `image`. `staging` is a folder for the
    /// files on their way; `seconds` after 1970 is the date that all of them get.
    ///
    /// # Errors
    /// When a tool fails or a file cannot be written.
    pub fn make(files: &Tree, staging: &Path, image: &Path, seconds: u64) -> Result<Self, Fault> {
        tree::remove(staging)?;
        files.write(staging)?;
        if image.exists() {
            fs::remove_file(image).map_err(fault::file("remove", image))?;
        }
        let make = Tool::new("mkfs.erofs", "erofs-utils").args(["-zlz4hc", "--all-root"]);
        let make = make
            .arg(format!("-T{seconds}"))
            .arg("-U")
            .arg(hash::uuid("strongroom root"));
        make.arg("--quiet").arg(image).arg(staging).run()?;
        tree::remove(staging)?;
        let data_blocks = fill_last_block(image)?;
        // Nobody chooses the salt, and it differs where the files do: what it is there for.
        let salt = hash::of_file(image)?;
        let hash = format(image, data_blocks, &salt)?;
        let bytes = fs::metadata(image)
            .map_err(fault::file("examine", image))?
            .len();
        Ok(Self {
            hash,
            data_blocks,
            salt,
            bytes,
        })
    }

    /// The words of the command line by which PID 1 sets the root up.
    pub fn words(&self) -> [String; 2] {
        let Self {
            hash,
            data_blocks,
            salt,
            ..
        } = self;
        let offset = data_blocks * BLOCK_BYTES;
        [
            format!("strongroom.roothash={hash}"),
            format!("strongroom.verity={data_blocks},{offset},{salt}"),
        ]
    }
}

/// Fills `image` up to whole blocks and gives their number.
fn fill_last_block(image: &Path) -> Result<u64, Fault> {
    let file = fs::OpenOptions::new().write(true).open(image);
    let file = file.map_err(fault::file("open", image))?;
    let length = file
        .metadata()
        .map_err(fault::file("examine", image))?
        .len();
    let blocks = length.div_ceil(BLOCK_BYTES);
    file.set_len(blocks * BLOCK_BYTES)
        .map_err(fault::file("enlarge", image))?;
    Ok(blocks)
}

/// Appends the hash tree to `image` and gives the root hash.
fn format(image: &Path, data_blocks: u64, salt: &str) -> Result<String, Fault> {
    let make = Tool::new("veritysetup", "cryptsetup-bin").arg("format");
    let make = make.args(["--hash=sha256", "--format=1"]).args([
        format!("--data-block-size={BLOCK_BYTES}"),
        format!("--hash-block-size={BLOCK_BYTES}"),
        format!("--data-blocks={data_blocks}"),
        format!("--hash-offset={}", data_blocks * BLOCK_BYTES),
        format!("--salt={salt}"),
        format!("--uuid={}", hash::uuid("strongroom hash tree")),
    ]);
    let said = make.arg(image).arg(image).output()?;
    let found = said
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    let found = found.map(|hash| hash.trim().to_owned());
    found.ok_or_else(|| Fault::ToolFailed {
        command: "veritysetup format".to_owned(),
        status: "no root hash".to_owned(),
        errors: said,
    })
}

#[cfg(test)]
mod tests {
    //! The same files give the same bytes, and the tree notices a flipped bit.
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use crate::tree::{Node, Origin};
    use std::path::PathBuf;

    fn sample(folder: &Path, name: &str) -> (Root, PathBuf) {
        let mut files = Tree::default();
        let ours = Origin::Ours("image");
        let text = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        files
            .put("usr/share/numbers", Node::Data(text), &ours)
            .unwrap();
        let image = folder.join(name);
        let root = Root::make(&files, &folder.join("staging"), &image, 86_400).unwrap();
        (root, image)
    }

    fn verify(root: &Root, image: &Path) -> Result<(), Fault> {
        let offset = format!("--hash-offset={}", root.data_blocks * BLOCK_BYTES);
        let verify = Tool::new("veritysetup", "cryptsetup-bin").args(["verify", &offset]);
        verify.arg(image).arg(image).arg(&root.hash).run()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, first) = sample(folder.path(), "one");
        let (two, second) = sample(folder.path(), "two");
        assert_eq!(one, two);
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, image) = sample(folder.path(), "image");
        verify(&root, &image).unwrap();
        let mut bytes = fs::read(&image).unwrap();
        let middle = usize::try_from(root.data_blocks * BLOCK_BYTES / 2).unwrap();
        bytes[middle] ^= 1;
        fs::write(&image, bytes).unwrap();
        assert!(verify(&root, &image).is_err());
    }
}
