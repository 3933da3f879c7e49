//! A profile: the readable description of one image, `image/profiles/NAME.toml`.
//!
//! It names the kernel, the modules that may be loaded, the Debian packages with the files taken
//! from them, and the partitions. Everything in it has its reason beside it.

use crate::{Fault, fault};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// What one image consists of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// For what kind of machine.
    pub description: String,
    /// Which kernel.
    pub kernel: Kernel,
    /// The Debian package that holds systemd-boot and its stub.
    pub boot_package: String,
    /// Modules that PID 1 may load.
    #[serde(rename = "module")]
    pub modules: Vec<Module>,
    /// Packages that files of the root come from.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
    /// Size of the disk in MiB; what the partitions leave over becomes the data partition.
    pub disk_mebibytes: u64,
    /// The partitions in their order on the disk.
    #[serde(rename = "partition")]
    pub partitions: Vec<Partition>,
}

/// A kernel of Debian.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The meta-package that depends on the newest kernel of its kind.
    pub package: String,
    /// Why this one.
    pub reason: String,
    /// Words of the command line that only this profile has.
    #[serde(default)]
    pub words: Vec<String>,
}

/// A kernel module that may be loaded; those that it depends on may be loaded too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// What it is needed for.
    pub reason: String,
}

/// A Debian package that files are taken from. Libraries are found by who needs them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name in the archive.
    pub name: String,
    /// What it is needed for.
    pub reason: String,
    /// Files taken besides needed libraries; a path that ends with `/` is a whole folder.
    #[serde(default)]
    pub files: Vec<String>,
    /// Folders left out of those, each ending with `/`.
    #[serde(default)]
    pub except: Vec<String>,
}

/// A partition of the disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its name in the GPT, by which PID 1 finds it.
    pub name: String,
    /// Its size in MiB.
    pub mebibytes: u64,
    /// What it holds.
    pub holds: Content,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// The EFI system partition.
    Esp,
    /// The root file system with its hash tree.
    Root,
    /// Nothing yet.
    Empty,
}

impl Profile {
    /// Reads `NAME.toml` in the folder `profiles`.
    ///
    /// # Errors
    /// When there is no such profile, or it is not understood, or its parts do not fit together.
    pub fn read(profiles: &Path, name: &str) -> Result<Self, Fault> {
        let path = profiles.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).map_err(fault::file("read", &path))?;
        let profile = toml::from_str::<Self>(&text).map_err(|e| malformed(&path, &e))?;
        profile.check(name)?;
        Ok(profile)
    }

    /// Names of all profiles in the folder `profiles`, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(profiles: &Path) -> Result<Vec<String>, Fault> {
        let entries = fs::read_dir(profiles).map_err(fault::file("read", profiles))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let toml = paths.filter(|path| path.extension().is_some_and(|e| e == "toml"));
        let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        let mut names: Vec<_> = toml.filter_map(stem).collect();
        names.sort();
        Ok(names)
    }

    /// Checks what the types cannot say.
    fn check(&self, profile: &str) -> Result<(), Fault> {
        let wrong = |reason: String| {
            Err(Fault::Profile {
                profile: profile.to_owned(),
                reason,
            })
        };
        for holds in [Content::Esp, Content::Root] {
            let count = self.partitions.iter().filter(|p| p.holds == holds).count();
            if count != 1 {
                return wrong(format!(
                    "{count} partitions hold `{holds:?}`, there must be one"
                ));
            }
        }
        let taken: u64 = self.partitions.iter().map(|p| p.mebibytes).sum();
        // One MiB on either side is for the two copies of the partition table.
        if taken + 2 >= self.disk_mebibytes {
            let disk = self.disk_mebibytes;
            return wrong(format!(
                "partitions take {taken} MiB and leave no room for data on a disk of {disk} MiB"
            ));
        }
        let mut modules: Vec<_> = self.modules.iter().map(|m| &m.name).collect();
        modules.sort();
        if let Some([twice, ..]) = modules.windows(2).find(|w| w.first() == w.last()) {
            return wrong(format!("module `{twice}` is listed twice"));
        }
        Ok(())
    }

    /// Names of all packages in the archive that the image is made of, meta-packages as such.
    pub fn archive_packages(&self) -> Vec<&str> {
        let named = self.packages.iter().map(|p| p.name.as_str());
        let others = [self.kernel.package.as_str(), self.boot_package.as_str()];
        others.into_iter().chain(named).collect()
    }
}

/// A fault that says where in `path` the mistake is.
pub(crate) fn malformed(path: &Path, error: &toml::de::Error) -> Fault {
    Fault::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    //! The shipped profiles are understood; mistakes in a profile are named.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
    }

    #[test]
    fn shipped_profiles_are_understood() {
        let names = Profile::names(&shipped()).unwrap();
        assert_eq!(names, ["metal", "virt"]);
        for name in names {
            let profile = Profile::read(&shipped(), &name).unwrap();
            assert!(
                profile.modules.iter().all(|m| !m.reason.is_empty()),
                "{name}"
            );
            assert!(
                profile.packages.iter().all(|p| !p.reason.is_empty()),
                "{name}"
            );
        }
    }

    /// What reading the virt profile says after `from` was replaced by `to`.
    fn complaint(from: &str, to: &str) -> String {
        let text = fs::read_to_string(shipped().join("virt.toml")).unwrap();
        assert!(text.contains(from), "the profile has no `{from}`");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), text.replacen(from, to, 1)).unwrap();
        Profile::read(folder.path(), "t").unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named() {
        let said = complaint("holds = \"root\"", "holds = \"empty\"");
        assert!(said.contains("0 partitions hold `Root`"), "{said}");
        let said = complaint("disk_mebibytes = 1024", "disk_mebibytes = 500");
        assert!(said.contains("no room for data"), "{said}");
        let said = complaint("name = \"erofs\"", "name = \"virtio_blk\"");
        assert!(said.contains("`virtio_blk` is listed twice"), "{said}");
        let said = complaint("reason = ", "raeson = ");
        assert!(said.contains("unknown field `raeson`"), "{said}");
    }
}
