//! The table of an image: what is how large, and how a machine booted with it.

use crate::manifest::{Artifact, Manifest};
use crate::{Fault, fault};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Name of the record of a boot in the folder of artifacts.
pub const BOOT: &str = "boot.json";

/// The record of one boot, written by the test that boots the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Root hash of the image that booted; of another image, the record is out of date.
    pub root_hash: String,
    /// Phases of PID 1 in their order.
    pub phases: Vec<Phase>,
    /// From power-on to the first prompt of the set-up dialogue.
    pub milliseconds_to_prompt: u64,
    /// From power-on to the first answer over KMIP, set-up not counted.
    pub milliseconds_to_serving: u64,
    /// Memory in use when the machine serves and nobody asks anything, in bytes.
    pub memory_bytes_at_rest: u64,
}

/// A phase of PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name in PID 1's table.
    pub name: String,
    /// How long it took.
    pub milliseconds: u64,
}

impl Boot {
    /// The record in `folder`, if a machine has booted the image there.
    ///
    /// # Errors
    /// When the record is not understood.
    pub fn read(folder: &Path) -> Result<Option<Self>, Fault> {
        let path = folder.join(BOOT);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(fault::file("read", &path))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| Fault::Malformed {
                path,
                reason: e.to_string(),
            })
    }

    /// Writes the record to `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Fault> {
        let path = folder.join(BOOT);
        let text = serde_json::to_string_pretty(self).map_err(|e| Fault::Malformed {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        fs::write(&path, text).map_err(fault::file("write", &path))
    }
}

/// The table of the image in `folder`.
///
/// # Errors
/// When there is no image, or its manifest or boot record is not understood.
pub fn table(folder: &Path) -> Result<String, Fault> {
    let manifest = Manifest::read(folder)?;
    let boot = Boot::read(folder)?;
    let mut text = String::new();
    // Writing to a string cannot fail; the results below are dropped for that reason.
    let Manifest {
        version,
        profile,
        kernel,
        root_hash,
        ..
    } = &manifest;
    let commit = manifest
        .commit
        .as_deref()
        .unwrap_or("with changes that are not committed");
    let _ = writeln!(
        text,
        "Strongroom {version} for {profile}, kernel {kernel}\ncommit {commit}"
    );
    let _ = writeln!(text, "root hash {root_hash}");
    sizes(&mut text, &manifest);
    let _ = writeln!(text, "\n{:<44} {:<24}", "Debian package", "version");
    for package in &manifest.packages {
        let _ = writeln!(text, "{:<44} {:<24}", package.name, package.version);
    }
    let _ = writeln!(text, "\n{:<64} allowed because", "module");
    for (path, reason) in &manifest.modules {
        let _ = writeln!(text, "{path:<64} {reason}");
    }
    match boot {
        Some(boot) if boot.root_hash == *root_hash => times(&mut text, &boot),
        Some(_) => text.push_str("\nThe last boot was of another image: no times.\n"),
        None => text.push_str("\nNo machine has booted this image yet: no times.\n"),
    }
    Ok(text)
}

fn sizes(text: &mut String, manifest: &Manifest) {
    let _ = writeln!(text, "\n{:<44} {:>12}", "artifact", "MB");
    for Artifact { name, bytes, .. } in &manifest.artifacts {
        let _ = writeln!(text, "{name:<44} {:>12}", megabytes(*bytes));
    }
    let _ = writeln!(text, "\n{:<44} {:>12}", "largest files of the root", "MB");
    for (path, bytes) in &manifest.largest_files {
        let _ = writeln!(text, "/{path:<43} {:>12}", megabytes(*bytes));
    }
    let all = megabytes(manifest.root_files_bytes);
    let _ = writeln!(text, "{:<44} {all:>12}", "all files, before compression");
}

fn times(text: &mut String, boot: &Boot) {
    let _ = writeln!(text, "\n{:<44} {:>12}", "phase of boot", "ms");
    for Phase { name, milliseconds } in &boot.phases {
        let _ = writeln!(text, "{name:<44} {milliseconds:>12}");
    }
    for (what, value) in [
        ("power-on to first prompt", boot.milliseconds_to_prompt),
        ("power-on to serving", boot.milliseconds_to_serving),
    ] {
        let _ = writeln!(text, "{what:<44} {value:>12}");
    }
    let memory = megabytes(boot.memory_bytes_at_rest);
    let _ = writeln!(text, "{:<44} {memory:>12}", "memory at rest, MB");
}

/// `bytes` as millions with two digits behind the point, rounded down.
fn megabytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    //! The table shows times of its own image only.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;
    use std::collections::BTreeMap;

    fn boot(root_hash: &str) -> Boot {
        Boot {
            root_hash: root_hash.to_owned(),
            phases: vec![Phase {
                name: "verity".to_owned(),
                milliseconds: 42,
            }],
            milliseconds_to_prompt: 9_000,
            milliseconds_to_serving: 12_345,
            memory_bytes_at_rest: 234_567_890,
        }
    }

    #[test]
    fn times_are_those_of_this_image() {
        let folder = tempfile::tempdir().unwrap();
        let size = Artifact {
            name: "kernel".to_owned(),
            bytes: 14_186_432,
            sha256: String::new(),
        };
        let manifest = Manifest {
            version: "1".to_owned(),
            profile: "virt".to_owned(),
            commit: None,
            kernel: "6.1".to_owned(),
            root_hash: "aa".to_owned(),
            root_files_bytes: 1,
            largest_files: Vec::new(),
            modules: BTreeMap::new(),
            packages: Vec::new(),
            artifacts: vec![size],
        };
        manifest.write(folder.path()).unwrap();
        let shown = table(folder.path()).unwrap();
        assert!(
            shown.contains("14.18") && shown.contains("No machine has booted"),
            "{shown}"
        );
        boot("bb").write(folder.path()).unwrap();
        assert!(table(folder.path()).unwrap().contains("of another image"));
        boot("aa").write(folder.path()).unwrap();
        let shown = table(folder.path()).unwrap();
        assert!(
            shown.contains("12345") && shown.contains("234.56"),
            "{shown}"
        );
    }
}
