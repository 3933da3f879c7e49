//! Which libraries a program needs: read from its file, the program itself is never run.

use crate::archive::Unpacked;
use crate::tree::{Node, Origin, Tree};
use crate::{Fault, fault};
use goblin::elf::Elf;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian packages keep libraries, below their root.
const PACKAGE_FOLDERS: [&str; 3] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64"];
/// Where the image keeps them, all in one folder.
const FOLDER: &str = "usr/lib/x86_64-linux-gnu";
/// The dynamic linker, at the path that every program names.
const LINKER: &str = "ld-linux-x86-64.so.2";

/// What a program asks of the system that runs it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    libraries: Vec<String>,
    linker: Option<String>,
}

/// Reads the dynamic section of an ELF file; nothing for anything else than an ELF file.
fn needs(name: &str, bytes: &[u8]) -> Result<Needs, Fault> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(Needs::default());
    }
    let unreadable = |e: goblin::error::Error| Fault::Program {
        file: name.to_owned(),
        reason: e.to_string(),
    };
    let elf = Elf::parse(bytes).map_err(unreadable)?;
    Ok(Needs {
        libraries: elf.libraries.iter().map(|&l| l.to_owned()).collect(),
        linker: elf.interpreter.map(str::to_owned),
    })
}

/// Refuses a program that needs a library or a dynamic linker.
///
/// # Errors
/// When it does, or is no program.
pub fn refuse_dynamic(name: &str, bytes: &[u8]) -> Result<(), Fault> {
    let wanted = needs(name, bytes)?;
    if wanted == Needs::default() {
        return Ok(());
    }
    let reason = format!("it has to be static, but asks for {wanted:?}");
    Err(Fault::Program {
        file: name.to_owned(),
        reason,
    })
}

/// Puts every library that a file of `tree` needs, directly or through another one, into it.
///
/// # Errors
/// When no package holds a library, or a program names another dynamic linker than ours.
pub fn complete(tree: &mut Tree, packages: &Unpacked) -> Result<(), Fault> {
    let mut open = VecDeque::new();
    for (path, node, _) in tree.entries() {
        let wanted = needs(path, node.bytes())?;
        if let Some(linker) = &wanted.linker
            && linker != &format!("/lib64/{LINKER}")
        {
            let reason = format!("it asks for the dynamic linker {linker}, which we do not have");
            return Err(Fault::Program {
                file: path.to_owned(),
                reason,
            });
        }
        let linker = wanted.linker.map(|_| LINKER.to_owned());
        let names = wanted.libraries.into_iter().chain(linker);
        open.extend(names.map(|library| (library, path.to_owned())));
    }
    let mut any = false;
    while let Some((library, needed_by)) = open.pop_front() {
        any = true;
        let path = format!("{FOLDER}/{library}");
        if tree.holds(&path) {
            continue;
        }
        let found = find(&library, packages);
        let (origin, file) = found.ok_or_else(|| Fault::Library {
            library: library.clone(),
            needed_by,
        })?;
        let bytes = fs::read(&file).map_err(fault::file("read", &file))?;
        let next = needs(&path, &bytes)?.libraries;
        open.extend(next.into_iter().map(|library| (library, path.clone())));
        // The linker is run by the kernel; libraries are only mapped.
        let node = if library == LINKER {
            Node::Program(bytes)
        } else {
            Node::Data(bytes)
        };
        tree.put(&path, node, &origin)?;
    }
    if any {
        let linker = Node::Link(format!("../lib/x86_64-linux-gnu/{LINKER}"));
        let libc = Origin::Package("libc6".to_owned());
        tree.put(&format!("usr/lib64/{LINKER}"), linker, &libc)?;
    }
    Ok(())
}

/// The file behind `library` and the package that holds it.
fn find(library: &str, packages: &Unpacked) -> Option<(Origin, PathBuf)> {
    packages.all().find_map(|(locked, root)| {
        let file = PACKAGE_FOLDERS
            .iter()
            .find_map(|folder| follow(root, &root.join(folder).join(library)))?;
        Some((Origin::Package(locked.name.clone()), file))
    })
}

/// The regular file that `path` stands for, when that lies in the same package.
fn follow(root: &Path, path: &Path) -> Option<PathBuf> {
    let file = fs::symlink_metadata(path).ok()?;
    if file.is_file() {
        return Some(path.to_owned());
    }
    let target = fs::read_link(path).ok()?;
    // Absolute links are meant from the root of the package, not of the build machine.
    let next = match target.strip_prefix("/") {
        Ok(inside) => root.join(inside),
        Err(_) => path.parent()?.join(target),
    };
    // Debian links a library's short name to its full one: one step, never a chain.
    fs::symlink_metadata(&next).ok()?.is_file().then_some(next)
}

#[cfg(test)]
mod tests {
    //! Reads this very test program, and files that are none.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    #[test]
    fn reads_what_a_program_needs() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = needs("own", &own).unwrap();
        assert!(
            found.libraries.contains(&"libc.so.6".to_owned()),
            "{found:?}"
        );
        assert_eq!(found.linker.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(refuse_dynamic("own", &own).is_err());
    }

    #[test]
    fn text_needs_nothing_and_a_torn_program_is_named() {
        assert_eq!(needs("t", b"#!/bin/sh").unwrap(), Needs::default());
        let said = needs("torn", b"\x7fELF\x02\x01").unwrap_err().to_string();
        assert!(said.starts_with("torn cannot be read"), "{said}");
    }
}
