//! A tree of files in memory, of which each knows where it came from.
//!
//! Both the root file system and the initramfs are built as such a tree. A file cannot be put in
//! without naming the component it belongs to, so that the bill of materials has no gaps, and
//! modes are chosen from two: what is run and what is read. Nobody may write anything.

use crate::{Fault, fault};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Where a file came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A Debian package, by its name in the archive.
    Package(String),
    /// One of our own packages of the workspace.
    Ours(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Package(name) => write!(f, "Debian package {name}"),
            Self::Ours(name) => write!(f, "our package {name}"),
        }
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file that is read.
    Data(Vec<u8>),
    /// A file that is run.
    Program(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
}

impl Node {
    /// Permissions: nobody writes, and no file changes the user it runs as.
    pub fn mode(&self) -> u32 {
        match self {
            Self::Folder | Self::Program(_) => 0o555,
            Self::Data(_) => 0o444,
            Self::Link(_) => 0o777,
        }
    }

    /// Bytes of a file; none for folders and links.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Data(bytes) | Self::Program(bytes) => bytes,
            Self::Folder | Self::Link(_) => &[],
        }
    }
}

/// Files by path. Paths have no leading slash; the root itself is not named.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    entries: BTreeMap<String, (Node, Origin)>,
}

impl Tree {
    /// Puts `node` at `path`, and the folders above it where they are missing.
    ///
    /// # Errors
    /// When something else already stands there.
    pub fn put(&mut self, path: &str, node: Node, origin: &Origin) -> Result<(), Fault> {
        let above = path.match_indices('/').map(|(at, _)| at);
        for folder in above.filter_map(|at| path.get(..at)) {
            self.put_one(folder, Node::Folder, origin)?;
        }
        self.put_one(path, node, origin)
    }

    fn put_one(&mut self, path: &str, node: Node, origin: &Origin) -> Result<(), Fault> {
        match self.entries.get(path) {
            Some((standing, _)) if *standing == node => Ok(()),
            Some((_, first)) => Err(Fault::Twice {
                path: path.to_owned(),
                first: first.to_string(),
                second: origin.to_string(),
            }),
            None => {
                self.entries.insert(path.to_owned(), (node, origin.clone()));
                Ok(())
            }
        }
    }

    /// Whether something stands at `path`.
    pub fn holds(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// All entries, folders before what is in them.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node, &Origin)> {
        self.entries
            .iter()
            .map(|(path, (node, origin))| (path.as_str(), node, origin))
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        let lengths = self.entries.values().map(|(node, _)| node.bytes().len());
        lengths.fold(0, |sum, length| sum.saturating_add(length as u64))
    }

    /// Writes the tree to the folder `target`, which must not exist.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn write(&self, target: &Path) -> Result<(), Fault> {
        fs::create_dir_all(target).map_err(fault::file("make", target))?;
        for (path, node, _) in self.entries() {
            let at = target.join(path);
            match node {
                Node::Folder => fs::create_dir(&at).map_err(fault::file("make", &at))?,
                Node::Link(to) => symlink(to, &at).map_err(fault::file("link", &at))?,
                Node::Data(bytes) | Node::Program(bytes) => {
                    fs::write(&at, bytes).map_err(fault::file("write", &at))?;
                }
            }
        }
        // Last and from the inside out: who is not root cannot fill a folder that is read-only.
        for (path, (node, _)) in self.entries.iter().rev() {
            if !matches!(node, Node::Link(_)) {
                set_mode(&target.join(path), node.mode())?;
            }
        }
        set_mode(target, Node::Folder.mode())
    }
}

/// Sets the permissions of `path`.
fn set_mode(path: &Path, mode: u32) -> Result<(), Fault> {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).map_err(fault::file("set the mode of", path))
}

/// Removes a folder that [`Tree::write`] made; none is fine too.
///
/// # Errors
/// When something in it cannot be removed.
pub(crate) fn remove(folder: &Path) -> Result<(), Fault> {
    if !folder.exists() {
        return Ok(());
    }
    make_writable(folder)?;
    fs::remove_dir_all(folder).map_err(fault::file("remove", folder))
}

/// Gives the owner back the right to change `folder` and every folder in it.
fn make_writable(folder: &Path) -> Result<(), Fault> {
    set_mode(folder, 0o700)?;
    for entry in fs::read_dir(folder).map_err(fault::file("read", folder))? {
        let entry = entry.map_err(fault::file("read", folder))?;
        // The entry's own kind, so that a link out of the tree is never followed.
        let kind = entry.file_type().map_err(fault::file("examine", folder))?;
        if kind.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What a tree refuses and what it writes.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn ours() -> Origin {
        Origin::Ours("image")
    }

    #[test]
    fn one_path_has_one_origin() {
        let mut tree = Tree::default();
        tree.put("etc/a", Node::Data(b"1".to_vec()), &ours())
            .unwrap();
        tree.put("etc/a", Node::Data(b"1".to_vec()), &ours())
            .unwrap();
        let other = Origin::Package("base".to_owned());
        let said = tree
            .put("etc/a", Node::Data(b"2".to_vec()), &other)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("our package image and from Debian package base"),
            "{said}"
        );
        let said = tree
            .put("etc/a/b", Node::Folder, &other)
            .unwrap_err()
            .to_string();
        assert!(said.contains("/etc/a comes from"), "{said}");
    }

    #[test]
    fn what_is_written_nobody_may_change() {
        let mut tree = Tree::default();
        tree.put("usr/bin/p", Node::Program(b"p".to_vec()), &ours())
            .unwrap();
        tree.put("usr/bin/q", Node::Link("p".to_owned()), &ours())
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("t");
        tree.write(&target).unwrap();
        let mode = |path| {
            fs::metadata(target.join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777
        };
        assert_eq!(
            (mode(""), mode("usr/bin"), mode("usr/bin/p")),
            (0o555, 0o555, 0o555)
        );
        assert_eq!(fs::read(target.join("usr/bin/q")).unwrap(), b"p");
        remove(&target).unwrap();
        assert!(!target.exists());
        remove(&target).unwrap();
    }
}
