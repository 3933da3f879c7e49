//! The kernel and those of its modules that a profile allows.

use crate::archive::Unpacked;
use crate::profile::{Module, Profile};
use crate::tool::Tool;
use crate::tree::{Node, Origin, Tree};
use crate::{Fault, fault};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lists of the kernel package that depmod wants to see beside the modules.
const LISTS: [&str; 3] = [
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];
/// What PID 1 reads: which module a device asks for, which other modules that one needs, and what
/// the kernel has without any module.
const INDEXES: [&str; 3] = ["modules.alias", "modules.builtin", "modules.dep"];

/// A kernel with its allowed modules.
#[derive(Debug)]
pub struct Kernel {
    /// Its release, as `uname -r` says.
    pub release: String,
    /// The bootable kernel.
    pub bytes: Vec<u8>,
    origin: Origin,
    /// Allowed modules as paths below the release's folder, with why they are here.
    modules: BTreeMap<String, String>,
    folder: PathBuf,
    /// The lists of [`INDEXES`], reduced to the allowed modules.
    indexes: BTreeMap<String, Vec<u8>>,
}

impl Kernel {
    /// Takes kernel and modules from the unpacked package. `work` is a folder for depmod.
    ///
    /// # Errors
    /// When the package is not shaped like a kernel or lacks an allowed module.
    pub fn take(
        name: &str,
        profile: &Profile,
        packages: &Unpacked,
        work: &Path,
    ) -> Result<Self, Fault> {
        let package = packages.folder(&profile.kernel.package)?;
        let origin = Origin::Package(packages.locked(&profile.kernel.package)?.name.clone());
        let release = release(package, name)?;
        let folder = package.join("lib/modules").join(&release);
        depmod(package, &release)?;
        let shelf = Shelf::read(&folder)?;
        let modules = shelf.allowed(name, &profile.modules)?;
        let indexes = reduced(&folder, &release, modules.keys(), work)?;
        let image = package.join("boot").join(format!("vmlinuz-{release}"));
        let bytes = fs::read(&image).map_err(fault::file("read", &image))?;
        Ok(Self {
            release,
            bytes,
            origin,
            modules,
            folder,
            indexes,
        })
    }

    /// Puts the modules and their lists into `tree`.
    ///
    /// # Errors
    /// When a module cannot be read.
    pub fn put_modules(&self, tree: &mut Tree) -> Result<(), Fault> {
        for path in self.modules.keys() {
            let file = self.folder.join(path);
            let bytes = fs::read(&file).map_err(fault::file("read", &file))?;
            let target = format!("lib/modules/{}/{path}", self.release);
            tree.put(&target, Node::Data(bytes), &self.origin)?;
        }
        // depmod made the lists, of what the package says: they belong to it.
        for (name, bytes) in &self.indexes {
            let target = format!("lib/modules/{}/{name}", self.release);
            tree.put(&target, Node::Data(bytes.clone()), &self.origin)?;
        }
        Ok(())
    }

    /// Allowed modules as paths below the release's folder, with why they are here.
    pub fn modules(&self) -> &BTreeMap<String, String> {
        &self.modules
    }

    /// The package that the kernel came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// The one release whose modules the package holds.
fn release(package: &Path, profile: &str) -> Result<String, Fault> {
    let modules = package.join("lib/modules");
    let entries = fs::read_dir(&modules).map_err(fault::file("read", &modules))?;
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let names: Vec<_> = names.collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Fault::Profile {
            profile: profile.to_owned(),
            reason: format!("the kernel package holds modules of {names:?}, there must be one"),
        }),
    }
}

/// Makes the lists of modules below `root`.
fn depmod(root: &Path, release: &str) -> Result<(), Fault> {
    let depmod = Tool::new("depmod", "kmod").arg("--basedir").arg(root);
    depmod.arg(release).run()
}

/// The module's name behind a path: modules are named with underscores whatever their file says.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.trim_end_matches(".ko").replace('-', "_")
}

/// All modules of a kernel package.
#[derive(Debug)]
struct Shelf {
    /// Path and dependencies (as paths) by name.
    loadable: BTreeMap<String, (String, Vec<String>)>,
    built_in: BTreeSet<String>,
}

impl Shelf {
    /// Reads `modules.dep` and `modules.builtin` of `folder`.
    fn read(folder: &Path) -> Result<Self, Fault> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(fault::file("read", &path))
        };
        let loadable = text("modules.dep")?;
        let built_in = text("modules.builtin")?;
        Ok(Self::parse(&loadable, &built_in))
    }

    fn parse(loadable: &str, built_in: &str) -> Self {
        let loadable = loadable.lines().filter_map(|line| {
            let (path, needs) = line.split_once(':')?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            Some((module_name(path), (path.to_owned(), needs)))
        });
        let built_in = built_in.lines().map(module_name);
        Self {
            loadable: loadable.collect(),
            built_in: built_in.collect(),
        }
    }

    fn is_built_in(&self, module: &str) -> bool {
        self.built_in.contains(module)
    }

    /// Paths of the `listed` modules and of those that they need, each with its reason.
    fn allowed(&self, profile: &str, listed: &[Module]) -> Result<BTreeMap<String, String>, Fault> {
        let mut allowed = BTreeMap::new();
        for module in listed {
            let Some((path, needs)) = self.loadable.get(&module.name) else {
                if self.is_built_in(&module.name) {
                    continue;
                }
                return Err(Fault::Profile {
                    profile: profile.to_owned(),
                    reason: format!("the kernel has no module `{}`; strike it", module.name),
                });
            };
            allowed.insert(path.clone(), module.reason.clone());
            // modules.dep names the needs of needs as well.
            for need in needs {
                let reason = format!("{} needs it", module.name);
                allowed.entry(need.clone()).or_insert(reason);
            }
        }
        Ok(allowed)
    }
}

/// The lists that depmod makes when there are no other modules than those at `paths`.
fn reduced<'a>(
    folder: &Path,
    release: &str,
    paths: impl Iterator<Item = &'a String>,
    work: &Path,
) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
    let root = work.join("modules");
    let target = root.join("lib/modules").join(release);
    let lists = LISTS.into_iter().map(str::to_owned);
    for path in lists.chain(paths.cloned()) {
        let to = target.join(&path);
        let above = to.parent().unwrap_or(&target);
        fs::create_dir_all(above).map_err(fault::file("make", above))?;
        fs::copy(folder.join(&path), &to).map_err(fault::file("copy", &to))?;
    }
    depmod(&root, release)?;
    let mut indexes = BTreeMap::new();
    for name in INDEXES {
        let path = target.join(name);
        let bytes = fs::read(&path).map_err(fault::file("read", &path))?;
        indexes.insert(name.to_owned(), bytes);
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    //! The closure of an allow-list.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    fn module(name: &str) -> Module {
        let (name, reason) = (name.to_owned(), "why".to_owned());
        Module { name, reason }
    }

    #[test]
    fn needs_come_along_and_unknown_modules_are_refused() {
        let dep = "k/dm-verity.ko: k/dm-mod.ko k/dm-bufio.ko\nk/dm-mod.ko:\nk/dm-bufio.ko:\n";
        let shelf = Shelf::parse(dep, "kernel/fs/ext4/ext4.ko\n");
        let allowed = shelf
            .allowed("t", &[module("dm_verity"), module("ext4")])
            .unwrap();
        let expected = [
            ("k/dm-bufio.ko", "dm_verity needs it"),
            ("k/dm-mod.ko", "dm_verity needs it"),
            ("k/dm-verity.ko", "why"),
        ];
        let expected = expected.map(|(path, why)| (path.to_owned(), why.to_owned()));
        assert_eq!(allowed, BTreeMap::from(expected));
        let said = shelf
            .allowed("t", &[module("zfs")])
            .unwrap_err()
            .to_string();
        assert!(said.contains("no module `zfs`"), "{said}");
    }
}
