//! What came out: `MANIFEST.json` and `SHA256SUMS` beside the artifacts.

use crate::archive::{Locked, Unpacked};
use crate::kernel::Kernel;
use crate::tool::Tool;
use crate::verity::Root;
use crate::{Fault, fault, hash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Name of the manifest in the folder of artifacts.
pub const MANIFEST: &str = "MANIFEST.json";
/// Name of the list that sha256sum(1) checks.
pub const SUMS: &str = "SHA256SUMS";

/// The content of `MANIFEST.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of Strongroom.
    pub version: String,
    /// Name of the profile.
    pub profile: String,
    /// The commit that was built, when nothing was changed since.
    pub commit: Option<String>,
    /// Release of the kernel.
    pub kernel: String,
    /// Top of the hash tree of the root file system, in hex.
    pub root_hash: String,
    /// Size of the files in the root before compression, in bytes.
    pub root_files_bytes: u64,
    /// The largest files of the root: path and size in bytes.
    pub largest_files: Vec<(String, u64)>,
    /// Modules that PID 1 may load, with their reasons.
    pub modules: BTreeMap<String, String>,
    /// Debian packages, as they were locked.
    pub packages: Vec<Locked>,
    /// Files beside this one.
    pub artifacts: Vec<Artifact>,
}

/// A file of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Name of the file.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// How many of the largest files the manifest names.
const LARGEST_FILES: usize = 12;

impl Manifest {
    /// Describes what is in `folder`.
    ///
    /// # Errors
    /// When an artifact cannot be read.
    pub fn describe(
        folder: &Path,
        workspace: &Path,
        profile: &str,
        kernel: &Kernel,
        root: (&Root, &crate::tree::Tree),
        packages: &Unpacked,
    ) -> Result<Self, Fault> {
        let (top, files) = root;
        let mut sizes: Vec<_> = files
            .entries()
            .map(|(path, node, _)| (path.to_owned(), node.bytes().len() as u64))
            .collect();
        sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sizes.truncate(LARGEST_FILES);
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: profile.to_owned(),
            commit: clean_commit(workspace)?,
            kernel: kernel.release.clone(),
            root_hash: top.hash.clone(),
            root_files_bytes: files.total_bytes(),
            largest_files: sizes,
            modules: kernel.modules().clone(),
            packages: packages.all().map(|(locked, _)| locked.clone()).collect(),
            artifacts: artifacts(folder)?,
        })
    }

    /// Writes the manifest and the list of checksums to `folder`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Fault> {
        let path = folder.join(MANIFEST);
        let malformed = |e: serde_json::Error| Fault::Malformed {
            path: path.clone(),
            reason: e.to_string(),
        };
        let mut text = serde_json::to_string_pretty(self).map_err(malformed)?;
        text.push('\n');
        fs::write(&path, &text).map_err(fault::file("write", &path))?;
        let mut sums = String::new();
        for Artifact { name, sha256, .. } in &self.artifacts {
            // Writing to a string cannot fail.
            let _ = writeln!(sums, "{sha256}  {name}");
        }
        let _ = writeln!(sums, "{}  {MANIFEST}", hash::of_bytes(text.as_bytes()));
        let path = folder.join(SUMS);
        fs::write(&path, sums).map_err(fault::file("write", &path))
    }

    /// Reads the manifest in `folder`.
    ///
    /// # Errors
    /// When there is none, or it is not understood.
    pub fn read(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(fault::file("read", &path))?;
        serde_json::from_str(&text).map_err(|e| Fault::Malformed {
            path,
            reason: e.to_string(),
        })
    }
}

/// Names of the files that are not the same, byte for byte, in two folders of artifacts, or are in
/// one of them only. Records of boots do not count.
///
/// # Errors
/// When a file cannot be read, or there are no artifacts.
pub fn differences(one: &Path, other: &Path) -> Result<Vec<String>, Fault> {
    // Reading the manifest first makes sure that this is a folder of artifacts at all.
    let mut found = BTreeMap::new();
    for folder in [one, other] {
        Manifest::read(folder)?;
        for Artifact { name, sha256, .. } in artifacts(folder)? {
            found.entry(name).or_insert_with(Vec::new).push(sha256);
        }
    }
    found.remove(crate::report::BOOT);
    let differ = |sums: &[String]| sums.len() != 2 || sums.first() != sums.last();
    Ok(found
        .into_iter()
        .filter(|(_, sums)| differ(sums))
        .map(|(name, _)| name)
        .collect())
}

/// All files in `folder`, with those in its folders, sorted by name.
fn artifacts(folder: &Path) -> Result<Vec<Artifact>, Fault> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault::file("read", folder))? {
        let entry = entry.map_err(fault::file("read", folder))?;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        if path.is_dir() {
            let inside = artifacts(&path)?.into_iter();
            found.extend(inside.map(|a| Artifact {
                name: format!("{name}/{}", a.name),
                ..a
            }));
        } else {
            let bytes = entry
                .metadata()
                .map_err(fault::file("examine", &path))?
                .len();
            found.push(Artifact {
                name,
                bytes,
                sha256: hash::of_file(&path)?,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The commit of the workspace, if every file is as it was committed.
fn clean_commit(workspace: &Path) -> Result<Option<String>, Fault> {
    let git = |words: &[&str]| {
        Tool::new("git", "git")
            .args(words)
            .inside(workspace)
            .output()
    };
    if !git(&["status", "--porcelain"])?.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(git(&["rev-parse", "HEAD"])?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    //! The list is what sha256sum(1) reads.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn sample(folder: &Path) -> Manifest {
        fs::create_dir(folder.join("enrol")).unwrap();
        fs::write(folder.join("enrol/PK.cer"), b"certificate").unwrap();
        fs::write(folder.join("kernel"), b"kernel").unwrap();
        let manifest = Manifest {
            version: "1".to_owned(),
            profile: "virt".to_owned(),
            commit: None,
            kernel: "6.1".to_owned(),
            root_hash: "00".to_owned(),
            root_files_bytes: 0,
            largest_files: vec![("usr/bin/strongroom".to_owned(), 1)],
            modules: BTreeMap::new(),
            packages: Vec::new(),
            artifacts: artifacts(folder).unwrap(),
        };
        manifest.write(folder).unwrap();
        manifest
    }

    #[test]
    fn differences_are_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &other] {
            sample(folder.path());
        }
        let compared = || differences(one.path(), other.path()).unwrap();
        assert!(compared().is_empty());
        fs::write(one.path().join("more"), b"").unwrap();
        fs::write(other.path().join("kernel"), b"Kernel").unwrap();
        assert_eq!(compared(), ["kernel", "more"]);
        assert!(differences(one.path(), Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn sums_verify_and_the_manifest_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = sample(folder.path());
        let check = || {
            let sum = Tool::new("sha256sum", "coreutils").args(["--check", "--strict", SUMS]);
            sum.inside(folder.path()).run()
        };
        check().unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        fs::write(folder.path().join("enrol/PK.cer"), b"another").unwrap();
        assert!(check().is_err());
    }
}
