//! The bill of materials (CycloneDX 1.5): which component each file of an image came from, and
//! which crates our own programs are made of.

use crate::archive::Unpacked;
use crate::profile::malformed;
use crate::programs::Programs;
use crate::tool::Tool;
use crate::tree::{Node, Origin, Tree};
use crate::{Fault, fault, hash};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What we read of `Cargo.lock`.
#[derive(Debug, Deserialize)]
struct CargoLock {
    #[serde(rename = "package")]
    crates: Vec<Crate>,
}

/// A crate in `Cargo.lock`; without checksum it is our own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Crate {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Makes the bill for an image of `trees` (where each one is in the image, and its files).
///
/// # Errors
/// When a file belongs to a package that was not fetched, or cargo cannot list the crates.
pub fn make(
    trees: &[(&str, &Tree)],
    packages: &Unpacked,
    workspace: &Path,
    profile: &str,
) -> Result<Value, Fault> {
    let mut files: BTreeMap<&Origin, Vec<Value>> = BTreeMap::new();
    for (place, tree) in trees {
        for (path, node, origin) in tree.entries() {
            if matches!(node, Node::Data(_) | Node::Program(_)) {
                let sha256 = hash::of_bytes(node.bytes());
                let one = file(place, path, &sha256);
                files.entry(origin).or_default().push(one);
            }
        }
    }
    let mut components = Vec::new();
    for (locked, _) in packages.all() {
        let origin = Origin::Package(locked.name.clone());
        let inside = files.remove(&origin).unwrap_or_default();
        let (name, version, arch) = (&locked.name, &locked.version, &locked.architecture);
        let purl = format!("pkg:deb/debian/{name}@{version}?arch={arch}&distro=bookworm");
        components.push(json!({
            "type": "library", "bom-ref": purl, "purl": purl, "name": name, "version": version,
            "hashes": [{ "alg": "SHA-256", "content": locked.sha256 }],
            "components": inside,
        }));
    }
    for (origin, inside) in files {
        let Origin::Ours(name) = origin else {
            let reason = format!("a file belongs to the {origin}, which was not fetched");
            return Err(Fault::Profile {
                profile: profile.to_owned(),
                reason,
            });
        };
        let version = env!("CARGO_PKG_VERSION");
        components.push(json!({
            "type": "application", "bom-ref": format!("strongroom/{name}"), "name": name,
            "version": version, "components": inside,
        }));
    }
    components.extend(crates(workspace)?.iter().map(component_of_crate));
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": {
            "type": "operating-system", "name": format!("strongroom-{profile}"),
            "version": env!("CARGO_PKG_VERSION"),
        }},
        "components": components,
    }))
}

/// A file as a part of a component.
fn file(place: &str, path: &str, sha256: &str) -> Value {
    json!({
        "type": "file", "name": format!("{place}/{path}"),
        "hashes": [{ "alg": "SHA-256", "content": sha256 }],
    })
}

/// A crate as a component.
fn component_of_crate(krate: &Crate) -> Value {
    let Crate {
        name,
        version,
        checksum,
    } = krate;
    let purl = format!("pkg:cargo/{name}@{version}");
    let hashes: Vec<_> = checksum
        .iter()
        .map(|c| json!({ "alg": "SHA-256", "content": c }))
        .collect();
    json!({
        "type": "library", "bom-ref": purl, "purl": purl, "name": name, "version": version,
        "hashes": hashes,
    })
}

/// Crates that our programs are linked from, with the checksums of `Cargo.lock`.
fn crates(workspace: &Path) -> Result<Vec<Crate>, Fault> {
    let path = workspace.join("Cargo.lock");
    let text = fs::read_to_string(&path).map_err(fault::file("read", &path))?;
    let lock: CargoLock = toml::from_str(&text).map_err(|e| malformed(&path, &e))?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Tool::new(&cargo, "rustup").inside(workspace);
    let tree = tree.args([
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
    ]);
    let packages = Programs::packages();
    let tree = tree.args(
        packages
            .iter()
            .map(|package| format!("--package={package}")),
    );
    let listed = tree.output()?;
    let linked: BTreeSet<_> = listed.lines().filter_map(name_and_version).collect();
    let linked = |c: &Crate| linked.contains(&(c.name.as_str(), c.version.as_str()));
    Ok(lock
        .crates
        .into_iter()
        .filter(|c| c.checksum.is_some() && linked(c))
        .collect())
}

/// Reads `name v1.2.3 (...)`, as cargo prints a package.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

#[cfg(test)]
mod tests {
    //! What the bill knows of crates.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    #[test]
    fn linked_crates_have_their_checksums() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let crates = crates(&workspace).unwrap();
        let rustls = crates.iter().find(|c| c.name == "rustls").unwrap();
        assert_eq!(rustls.checksum.as_ref().unwrap().len(), 64);
        // Crates that only tests use are not in the image.
        assert!(crates.iter().all(|c| c.name != "proptest"));
    }

    #[test]
    fn reads_a_line_of_cargo() {
        assert_eq!(
            name_and_version("ipnet v2.12.0 (*)"),
            Some(("ipnet", "2.12.0"))
        );
        assert_eq!(name_and_version(""), None);
    }
}
