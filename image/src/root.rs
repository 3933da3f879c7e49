//! What is in the root file system and in the initramfs.

use crate::archive::Unpacked;
use crate::kernel::Kernel;
use crate::profile::{Package, Profile};
use crate::programs::Programs;
use crate::tree::{Node, Origin, Tree};
use crate::{Fault, fault, libraries};
use std::fs;
use std::path::Path;

/// Empty folders that PID 1 mounts something on.
const MOUNT_POINTS: [&str; 6] = ["data", "dev", "proc", "run", "sys", "tmp"];
/// Where programs of the distribution look for things, and where those are.
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("etc/resolv.conf", "/run/strongroom/network/resolv.conf"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
];
/// Our own files as they stand in the image, below this package.
const OWN_FILES: &str = "image/root";

/// The tree of the initramfs: PID 1, modules, and nothing else.
///
/// # Errors
/// When a file cannot be read.
pub fn initramfs(programs: &Programs, kernel: &Kernel) -> Result<Tree, Fault> {
    let mut tree = Tree::default();
    let ours = Origin::Ours("init");
    tree.put("init", Node::Program(programs.init.clone()), &ours)?;
    for folder in ["dev", "proc", "run", "sys"] {
        tree.put(folder, Node::Folder, &ours)?;
    }
    kernel.put_modules(&mut tree)?;
    Ok(tree)
}

/// The tree of the root file system, all but the bill of materials.
///
/// # Errors
/// When a file or a library is missing, or a package gives nothing.
pub fn root(
    name: &str,
    profile: &Profile,
    programs: &Programs,
    packages: &Unpacked,
    workspace: &Path,
) -> Result<Tree, Fault> {
    let mut tree = Tree::default();
    let ours = Origin::Ours("image");
    for folder in MOUNT_POINTS {
        tree.put(folder, Node::Folder, &ours)?;
    }
    for (path, target) in LINKS {
        tree.put(path, Node::Link(target.to_owned()), &ours)?;
    }
    programs.put(&mut tree)?;
    let own = workspace.join(OWN_FILES);
    take_folder(&mut tree, &own, "", &[], &ours)?;
    let release = os_release(name);
    tree.put("etc/os-release", Node::Data(release.into_bytes()), &ours)?;
    for package in &profile.packages {
        take(&mut tree, package, packages)?;
    }
    libraries::complete(&mut tree, packages)?;
    for package in &profile.packages {
        put_licence(name, &mut tree, package, packages)?;
    }
    check(&tree)?;
    Ok(tree)
}

/// What os-release(5) says about us.
pub fn os_release(profile: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "ID=strongroom\nNAME=Strongroom\nPRETTY_NAME=\"Strongroom {version} ({profile})\"\n\
         VERSION_ID={version}\nVARIANT_ID={profile}\n"
    )
}

/// Takes the files that the profile names from a package.
fn take(tree: &mut Tree, package: &Package, packages: &Unpacked) -> Result<(), Fault> {
    let root = packages.folder(&package.name)?;
    let origin = Origin::Package(packages.locked(&package.name)?.name.clone());
    for path in &package.files {
        match path.strip_suffix('/') {
            Some(folder) => take_folder(tree, root, folder, &package.except, &origin)?,
            None => take_file(tree, &root.join(path), path, &origin)?,
        }
    }
    Ok(())
}

/// Takes one file or link.
fn take_file(tree: &mut Tree, from: &Path, path: &str, origin: &Origin) -> Result<(), Fault> {
    let kind = fs::symlink_metadata(from).map_err(fault::file("take", from))?;
    let to = merged(path);
    if kind.is_symlink() {
        let target = fs::read_link(from).map_err(fault::file("read", from))?;
        return tree.put(
            &to,
            Node::Link(target.to_string_lossy().into_owned()),
            origin,
        );
    }
    let bytes = fs::read(from).map_err(fault::file("read", from))?;
    let runs = to.starts_with("usr/bin/") || to.starts_with("usr/sbin/");
    let node = if runs {
        Node::Program(bytes)
    } else {
        Node::Data(bytes)
    };
    tree.put(&to, node, origin)
}

/// Takes what is below `folder` of `root`, but for the folders in `except`.
fn take_folder(
    tree: &mut Tree,
    root: &Path,
    folder: &str,
    except: &[String],
    origin: &Origin,
) -> Result<(), Fault> {
    let from = root.join(folder);
    for entry in fs::read_dir(&from).map_err(fault::file("take", &from))? {
        let entry = entry.map_err(fault::file("read", &from))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry
            .file_type()
            .map_err(fault::file("examine", &from))?
            .is_dir()
        {
            if !except.contains(&format!("{path}/")) {
                take_folder(tree, root, &path, except, origin)?;
            }
        } else {
            take_file(tree, &entry.path(), &path, origin)?;
        }
    }
    Ok(())
}

/// Where a path of a package is in the image: there, all programs and libraries are in /usr.
fn merged(path: &str) -> String {
    let outside = ["bin/", "sbin/", "lib/", "lib64/"]
        .iter()
        .any(|f| path.starts_with(f));
    if outside {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

/// Takes the licence of a package, which has to go wherever a part of the package goes.
fn put_licence(
    profile: &str,
    tree: &mut Tree,
    package: &Package,
    packages: &Unpacked,
) -> Result<(), Fault> {
    let origin = Origin::Package(packages.locked(&package.name)?.name.clone());
    if !tree.entries().any(|(_, _, o)| *o == origin) {
        return Err(Fault::Profile {
            profile: profile.to_owned(),
            reason: format!(
                "nothing is taken from package `{}`; strike it",
                package.name
            ),
        });
    }
    let path = format!("usr/share/doc/{}/copyright", package.name);
    let from = packages.folder(&package.name)?.join(&path);
    // Packages of one source share a licence and link to it.
    if !from.exists() {
        return Ok(());
    }
    let bytes = fs::read(&from).map_err(fault::file("read", &from))?;
    tree.put(&path, Node::Data(bytes), &origin)
}

/// Programs that would run what somebody else wrote.
const INTERPRETERS: [&str; 12] = [
    "ash", "awk", "bash", "busybox", "csh", "dash", "ksh", "lua", "perl", "python3", "sh", "zsh",
];

/// Checks the rules about what may be in an image.
///
/// # Errors
/// When there is a shell, an interpreter or a script.
pub fn check(tree: &Tree) -> Result<(), Fault> {
    for (path, node, _) in tree.entries() {
        let forbidden = |reason: &str| Fault::Forbidden {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let called = |i: &str| i == name || i.trim_end_matches('3') == stem;
        if matches!(node, Node::Program(_) | Node::Link(_))
            && INTERPRETERS.iter().any(|i| called(i))
        {
            return Err(forbidden("it is a shell or an interpreter"));
        }
        if node.bytes().starts_with(b"#!") {
            return Err(forbidden("it is a script"));
        }
        if matches!(node, Node::Program(_)) && !node.bytes().starts_with(b"\x7fELF") {
            return Err(forbidden("only ELF files may be run"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What may not be in an image.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn verdict(path: &str, node: Node) -> Result<(), Fault> {
        let mut tree = Tree::default();
        tree.put(path, node, &Origin::Ours("image")).unwrap();
        check(&tree)
    }

    #[test]
    fn shells_interpreters_and_scripts_are_refused() {
        let elf = || b"\x7fELF".to_vec();
        assert!(verdict("usr/bin/strongroom", Node::Program(elf())).is_ok());
        assert!(verdict("usr/bin/dash", Node::Program(elf())).is_err());
        assert!(verdict("usr/bin/python3.11", Node::Program(elf())).is_err());
        assert!(verdict("usr/bin/sh", Node::Link("strongroom".to_owned())).is_err());
        assert!(verdict("usr/share/x", Node::Data(b"#!/bin/x".to_vec())).is_err());
        assert!(verdict("usr/sbin/text", Node::Program(b"text".to_vec())).is_err());
    }

    #[test]
    fn everything_lives_in_usr() {
        assert_eq!(merged("sbin/mke2fs"), "usr/sbin/mke2fs");
        assert_eq!(merged("usr/share/x"), "usr/share/x");
        assert_eq!(merged("etc/mke2fs.conf"), "etc/mke2fs.conf");
    }
}
