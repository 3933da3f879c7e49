//! Debian packages: what the archive offers, what the lock allows, and fetching them.
//!
//! `image/packages.lock` names every package with version and SHA-256. A build takes exactly
//! those, from its cache where it has them, and never what merely happens to be newest; newer
//! versions come in by `--update-lock`, as a change that a person reads and commits.

use crate::profile::{Profile, malformed};
use crate::tool::Tool;
use crate::{Fault, fault, hash};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A package in the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its name in the archive.
    pub name: String,
    /// Its Debian version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// SHA-256 of the `.deb` file in hex.
    pub sha256: String,
    /// The meta-package that a profile names instead, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<String>,
}

impl Locked {
    /// Name of the file in the archive and in our cache.
    fn file_name(&self) -> String {
        // apt writes the colon of an epoch so, because FAT has no colons.
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }
}

/// All packages that may be in an image.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(default, rename = "package")]
    packages: Vec<Locked>,
}

impl Lock {
    /// Reads the lock at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is not understood.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = fs::read_to_string(path).map_err(fault::file("read", path))?;
        toml::from_str(&text).map_err(|e| malformed(path, &e))
    }

    /// The package that `name` stands for.
    ///
    /// # Errors
    /// When the lock does not name it.
    pub fn find(&self, name: &str) -> Result<&Locked, Fault> {
        let stands = |p: &&Locked| p.stands_for.as_deref().unwrap_or(&p.name) == name;
        let missing = || Fault::NotLocked {
            package: name.to_owned(),
        };
        self.packages.iter().find(stands).ok_or_else(missing)
    }

    /// Asks the archive for the newest version of everything that `profiles` name, and writes
    /// that to `path`.
    ///
    /// # Errors
    /// When the archive does not know a package, or a file cannot be written.
    pub fn update(profiles: &[Profile], path: &Path) -> Result<Self, Fault> {
        let names: BTreeSet<_> = profiles
            .iter()
            .flat_map(Profile::archive_packages)
            .collect();
        let names: Vec<_> = names.into_iter().collect();
        let mut offered = newest(&names)?;
        let mut packages = Vec::new();
        for name in names {
            let unknown = || Fault::Unknown {
                package: name.to_owned(),
            };
            packages.push(offered.remove(name).ok_or_else(unknown)?);
        }
        packages.sort();
        let lock = Self { packages };
        fs::write(path, lock.text()).map_err(fault::file("write", path))?;
        Ok(lock)
    }

    /// The lock as it stands in its file.
    fn text(&self) -> String {
        let head = "# Debian packages that images are made of. Written by\n\
                    # `cargo xtask image build --update-lock`; builds take no other versions.\n";
        let mut text = head.to_owned();
        for p in &self.packages {
            let Locked {
                name,
                version,
                architecture,
                sha256,
                ..
            } = p;
            // Writing to a string cannot fail. Names and versions of Debian need no escapes.
            let _ = write!(
                text,
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\
                 architecture = \"{architecture}\"\nsha256 = \"{sha256}\"\n"
            );
            if let Some(meta) = &p.stands_for {
                let _ = writeln!(text, "stands_for = \"{meta}\"");
            }
        }
        text
    }
}

/// A tool of apt. Packages are looked up and fetched by apt, which checks the archive's signature.
fn apt(program: &str) -> Tool {
    // As root, apt would fetch as the user `_apt`, who cannot write to our cache.
    Tool::new(program, "apt").arg("-oAPT::Sandbox::User=root")
}

/// The newest versions of `names` that the archive holds, each by its name; for the meta-package
/// of a kernel, that kernel. Packages that the archive does not know are left out.
fn newest(names: &[&str]) -> Result<BTreeMap<String, Locked>, Fault> {
    let stanzas = fetchable(names)?;
    let kernel = |stanza: &String| {
        let depends = field(stanza, "Depends").unwrap_or_default();
        let first = depends.split([',', ' ']).next().unwrap_or_default();
        first.starts_with("linux-image-").then(|| first.to_owned())
    };
    let kernels: Vec<_> = stanzas.values().filter_map(kernel).collect();
    let kernels: Vec<_> = kernels.iter().map(String::as_str).collect();
    let behind = if kernels.is_empty() {
        BTreeMap::new()
    } else {
        fetchable(&kernels)?
    };
    let locked = stanzas.iter().filter_map(|(name, stanza)| {
        let locked = match kernel(stanza) {
            Some(kernel) => Locked {
                stands_for: Some(name.clone()),
                ..parse(behind.get(&kernel)?)?
            },
            None => parse(stanza)?,
        };
        Some((name.clone(), locked))
    });
    Ok(locked.collect())
}

/// For each of `names` what the archive says about the newest version that it holds. One call for
/// all of them: apt takes long to read its lists.
fn fetchable(names: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
    let shown = apt("apt-cache").arg("show").args(names).output()?;
    let mut found = BTreeMap::new();
    // apt-cache gives the newest version first, and installed ones that no archive has any more.
    for stanza in shown
        .split("\n\n")
        .filter(|s| field(s, "Filename").is_some())
    {
        if let Some(name) = field(stanza, "Package") {
            found
                .entry(name.to_owned())
                .or_insert_with(|| stanza.to_owned());
        }
    }
    Ok(found)
}

/// What a stanza says, as it goes into the lock.
fn parse(stanza: &str) -> Option<Locked> {
    let get = |key| field(stanza, key).map(str::to_owned);
    Some(Locked {
        name: get("Package")?,
        version: get("Version")?,
        architecture: get("Architecture")?,
        sha256: get("SHA256")?,
        stands_for: None,
    })
}

/// The value of `key` in a stanza of Debian control data.
fn field<'a>(stanza: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(": ");
    stanza.lines().find_map(value)
}

/// Fetched packages, each unpacked into a folder of its own.
#[derive(Debug)]
pub struct Unpacked {
    folders: BTreeMap<String, (Locked, PathBuf)>,
}

impl Unpacked {
    /// Fetches what is missing in `cache`, checks all of it against the lock and unpacks it below
    /// `work`. `note` is told of packages that the archive has in a newer version.
    ///
    /// # Errors
    /// When the lock or the archive lacks a package, or a checksum differs.
    pub fn fetch(
        names: &[&str],
        lock: &Lock,
        cache: &Path,
        work: &Path,
        note: &dyn Fn(&str),
    ) -> Result<Self, Fault> {
        fs::create_dir_all(cache).map_err(fault::file("make", cache))?;
        // A build from the cache needs no archive, so that a silent one is no fault.
        let offered = newest(names).unwrap_or_default();
        let mut folders = BTreeMap::new();
        for &name in names {
            let locked = lock.find(name)?;
            let offered = offered.get(name);
            let deb = fetch(locked, offered, cache)?;
            if let Some(newer) = offered.filter(|&o| o != locked) {
                note(&format!(
                    "note: the archive has {} {}, the lock {}; --update-lock takes it",
                    newer.name, newer.version, locked.version
                ));
            }
            let folder = work.join(&locked.name);
            fs::create_dir_all(&folder).map_err(fault::file("make", &folder))?;
            let unpack = Tool::new("dpkg-deb", "dpkg").arg("--extract");
            unpack.arg(&deb).arg(&folder).run()?;
            folders.insert(name.to_owned(), (locked.clone(), folder));
        }
        Ok(Self { folders })
    }

    /// The folder that the package which `name` stands for was unpacked to.
    ///
    /// # Errors
    /// When it was not among those fetched.
    pub fn folder(&self, name: &str) -> Result<&Path, Fault> {
        let missing = || Fault::NotLocked {
            package: name.to_owned(),
        };
        let (_, folder) = self.folders.get(name).ok_or_else(missing)?;
        Ok(folder)
    }

    /// All packages with their folders, sorted by the name that the profile uses.
    pub fn all(&self) -> impl Iterator<Item = (&Locked, &Path)> {
        self.folders
            .values()
            .map(|(locked, folder)| (locked, folder.as_path()))
    }

    /// The locked package which `name` stands for.
    ///
    /// # Errors
    /// When it was not among those fetched.
    pub fn locked(&self, name: &str) -> Result<&Locked, Fault> {
        let missing = || Fault::NotLocked {
            package: name.to_owned(),
        };
        self.folders
            .get(name)
            .map(|(locked, _)| locked)
            .ok_or_else(missing)
    }
}

/// The file of `locked` in `cache`, fetched when it is not there, and checked either way.
fn fetch(locked: &Locked, offered: Option<&Locked>, cache: &Path) -> Result<PathBuf, Fault> {
    let path = cache.join(locked.file_name());
    if !path.exists() {
        let wanted = format!("{}={}", locked.name, locked.version);
        let fetched = apt("apt-get")
            .args(["download", &wanted])
            .inside(cache)
            .run();
        fetched.map_err(|error| match offered {
            Some(offered) if offered != locked => Fault::Outdated {
                package: locked.name.clone(),
                locked: locked.version.clone(),
                offered: format!("{} {}", offered.name, offered.version),
            },
            _ => error,
        })?;
    }
    let found = hash::of_file(&path)?;
    if found == locked.sha256 {
        return Ok(path);
    }
    let expected = locked.sha256.clone();
    Err(Fault::Checksum {
        path,
        expected,
        found,
    })
}

#[cfg(test)]
mod tests {
    //! The lock's form, and packages that are not what the lock says.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn package() -> Locked {
        Locked {
            name: "libx1".to_owned(),
            version: "1:2.3-4".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: hash::of_bytes(b"package"),
            stands_for: Some("libx".to_owned()),
        }
    }

    #[test]
    fn the_lock_reads_what_it_writes() {
        let lock = Lock {
            packages: vec![package()],
        };
        let read: Lock = toml::from_str(&lock.text()).unwrap();
        assert_eq!(read.packages, lock.packages);
        assert_eq!(read.find("libx").unwrap(), &package());
        assert!(matches!(read.find("libx1"), Err(Fault::NotLocked { .. })));
    }

    #[test]
    fn a_changed_package_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("libx1_1%3a2.3-4_amd64.deb");
        fs::write(&path, b"package").unwrap();
        assert_eq!(fetch(&package(), None, cache.path()).unwrap(), path);
        fs::write(&path, b"changed").unwrap();
        let said = fetch(&package(), None, cache.path())
            .unwrap_err()
            .to_string();
        assert!(said.contains("packages.lock says"), "{said}");
    }

    #[test]
    fn reads_a_stanza() {
        let stanza = "Package: a\nDepends: linux-image-1, b (>= 2)\nFilename: pool/a.deb";
        assert_eq!(field(stanza, "Filename"), Some("pool/a.deb"));
        assert_eq!(field(stanza, "File"), None);
        assert_eq!(parse(stanza), None);
    }
}
