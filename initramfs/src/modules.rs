//! Kernel modules: only those of the initramfs, only for devices that are there, then the door is
//! shut.
//!
//! The allow-list is the folder `/lib/modules/RELEASE` of the initramfs: the image's profile
//! decides what is in it, the UKI's signature covers it, the kernel checks each module's own
//! signature. PID 1 loads a module when a device asks for it by its alias, or when it stands in
//! [`ALWAYS`] because no device ever asks. Once the root is mounted,
//! `kernel.modules_disabled` is set, which nothing can undo before the next boot.

use crate::fault::{Fault, Naming, Outcome};
use nix::kmod::{ModuleInitFlags, finit_module};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Modules that no device asks for, with the reason.
pub(crate) const ALWAYS: &[(&str, &str)] = &[
    (
        "crc32c_generic",
        "erofs and ext4 ask for the algorithm, not for the module's name",
    ),
    ("dm_mod", "device-mapper, under dm-verity"),
    (
        "dm_verity",
        "checks each block of the root against the signed root hash",
    ),
    ("erofs", "the file system of the root"),
    ("ext4", "the file system of the data and keys partitions"),
    ("8021q", "VLANs of the set-up dialogue"),
    (
        "qemu_fw_cfg",
        "the unattended set-up file of virtual machines; no device alias on q35",
    ),
];

/// Depth of a device tree below /sys/devices at most; links are not followed.
const DEPTH_MAX: usize = 24;

/// The modules of the initramfs.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    folder: PathBuf,
    /// Name → file and the files it needs, nearest first (modules.dep).
    files: BTreeMap<String, Vec<String>>,
    /// Pattern → name (modules.alias).
    aliases: Vec<(String, String)>,
    builtin: BTreeSet<String>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Reads the lists that depmod wrote.
    ///
    /// # Errors
    /// They are missing: the initramfs was not made for this kernel.
    pub(crate) fn read(release: &str) -> Outcome<Self> {
        let folder = Path::new("/lib/modules").join(release);
        let text = |name: &str| {
            fs::read_to_string(folder.join(name))
                .naming(|| format!("modules: {}/{name} of the initramfs", folder.display()))
        };
        Ok(Self {
            files: parse_dependencies(&text("modules.dep")?),
            aliases: parse_aliases(&text("modules.alias")?),
            builtin: text("modules.builtin")?.lines().map(name_of).collect(),
            loaded: BTreeSet::new(),
            folder,
        })
    }

    /// Loads the modules of [`ALWAYS`].
    ///
    /// # Errors
    /// One is neither in the initramfs nor built into the kernel, or is refused.
    pub(crate) fn load_always(&mut self) -> Outcome {
        for (name, reason) in ALWAYS {
            if self.builtin.contains(*name) {
                continue;
            }
            if !self.files.contains_key(*name) {
                let missing =
                    "is neither in the initramfs nor in the kernel; add it to the profile";
                return Err(Fault::new(format!("modules: {name} ({reason}) {missing}")));
            }
            self.load(name)?;
        }
        Ok(())
    }

    /// Loads what the present devices ask for, and says how many modules were new.
    ///
    /// # Errors
    /// A module is refused, for example because its signature does not match.
    pub(crate) fn load_for_devices(&mut self) -> Outcome<usize> {
        let before = self.loaded.len();
        let mut aliases = BTreeSet::new();
        collect_aliases(Path::new("/sys/devices"), DEPTH_MAX, &mut aliases);
        let wanted = |(pattern, _): &&(String, String)| {
            aliases
                .iter()
                .any(|alias| matches(pattern.as_bytes(), alias.as_bytes()))
        };
        let names: BTreeSet<String> = self
            .aliases
            .iter()
            .filter(wanted)
            .map(|(_, name)| name.clone())
            .collect();
        for name in names {
            self.load(&name)?;
        }
        Ok(self.loaded.len() - before)
    }

    /// Loads a module that nothing else asks for, if the initramfs has it.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn load_named(&mut self, name: &str) -> Outcome {
        self.load(name)
    }

    /// How many modules were loaded.
    pub(crate) fn count(&self) -> usize {
        self.loaded.len()
    }

    fn load(&mut self, name: &str) -> Outcome {
        if self.loaded.contains(name) {
            return Ok(());
        }
        let Some(files) = self.files.get(name) else {
            return Ok(());
        };
        // modules.dep names the farthest dependency last.
        for file in files.clone().iter().rev() {
            if self.loaded.insert(name_of(file)) {
                insert(&self.folder.join(file))?;
            }
        }
        Ok(())
    }
}

/// Gives one file to the kernel, which checks its signature.
fn insert(path: &Path) -> Outcome {
    let file = File::open(path).naming(|| format!("modules: {}", path.display()))?;
    match finit_module(file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        // The driver looked and its device is not there, as with CPU features: nothing is wrong.
        Err(nix::errno::Errno::ENODEV) => Ok(()),
        Err(reason) => Err(Fault::new(format!(
            "modules: the kernel refuses {} (signature and version are checked): {reason}",
            path.display()
        ))),
    }
}

/// All `modalias` files below a folder of /sys; what vanishes meanwhile is left out.
fn collect_aliases(folder: &Path, depth: usize, into: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth > 0 {
            collect_aliases(&entry.path(), depth - 1, into);
        } else if entry.file_name() == "modalias"
            && let Ok(alias) = fs::read_to_string(entry.path())
        {
            into.insert(alias.trim_end().to_owned());
        }
    }
}

/// `a/b-c.ko: d.ko e.ko` → `b_c` → [`a/b-c.ko`, `d.ko`, `e.ko`].
fn parse_dependencies(text: &str) -> BTreeMap<String, Vec<String>> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(file, needs)| {
            let all = std::iter::once(file).chain(needs.split_ascii_whitespace());
            (name_of(file), all.map(str::to_owned).collect())
        })
        .collect()
}

/// `alias pci:v* virtio_pci` → (pattern, name).
fn parse_aliases(text: &str) -> Vec<(String, String)> {
    let words = text.lines().filter_map(|line| line.strip_prefix("alias "));
    words
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(pattern, name)| (pattern.to_owned(), name_of(name)))
        .collect()
}

/// Name of the module in a file: the kernel writes '_' where file names may have '-'.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".ko").unwrap_or(file).replace('-', "_")
}

/// Shell pattern with `*`, `?` and `[a-z]`, as modules.alias has them.
///
/// A star is tried shortest first and only the last one is taken back, so the work is at most the
/// product of both lengths whatever the device calls itself.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = pattern
            .get(p..)
            .and_then(|rest| match_one(rest, *text.get(t)?));
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if let Some(used) = step {
            p += used;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (p, t) = (star, from + 1);
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// How many bytes of the pattern stand for `byte`, if they do.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().position(|b| *b == b']')?;
            let set = pattern.get(1..end)?;
            let single = set.contains(&byte) && byte != b'-';
            let range = set
                .windows(3)
                .any(|w| matches!(w, [a, b'-', z] if (*a..=*z).contains(&byte)));
            (single || range).then_some(end + 1)
        }
        same if *same == byte => Some(1),
        _ => None,
    }
}

/// Shuts the door: no module can be loaded or removed until the next boot.
///
/// # Errors
/// The kernel does not obey.
pub(crate) fn close() -> Outcome {
    let path = "/proc/sys/kernel/modules_disabled";
    fs::write(path, "1").naming(|| format!("modules: {path}"))?;
    let state = fs::read_to_string(path).naming(|| format!("modules: {path}"))?;
    if state.trim() == "1" {
        Ok(())
    } else {
        Err(Fault::new("modules: the door stays open"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn aliases_match_as_modprobe_matches() {
        let yes = [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4"),
            (
                "pci:v00001AF4d*sv*sd*bc*sc*i*",
                "pci:v00001AF4d00001042sv0sd1bc01sc00i00",
            ),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0094*",
                "cpu:type:x86,ven1fam6mod2:feature:,0093,0094,",
            ),
            ("a[0-3]?", "a2x"),
            ("*", ""),
        ];
        let no = [
            ("virtio:d00000002v*", "virtio:d00000001v00001AF4"),
            ("a[0-3]", "a4"),
            ("a[0-3", "a1"),
            ("ab", "abc"),
            ("abc", "ab"),
        ];
        assert!(yes.iter().all(|(p, t)| matches(p.as_bytes(), t.as_bytes())));
        assert!(!no.iter().any(|(p, t)| matches(p.as_bytes(), t.as_bytes())));
    }

    #[test]
    fn lists_of_depmod_are_understood() {
        let files =
            parse_dependencies("kernel/fs/ext4/ext4.ko: k/crc16.ko k/mbcache.ko\nx-y.ko:\n");
        assert_eq!(
            files["ext4"],
            ["kernel/fs/ext4/ext4.ko", "k/crc16.ko", "k/mbcache.ko"]
        );
        assert_eq!(files["x_y"], ["x-y.ko"]);
        let aliases = parse_aliases("# comment\nalias virtio:d00000002v* virtio_blk\n");
        assert_eq!(
            aliases,
            [("virtio:d00000002v*".into(), "virtio_blk".into())]
        );
    }

    proptest! {
        #[test]
        fn a_pattern_made_from_a_text_matches_it(
            text in "[a-z:0-9]{0,30}",
            cut in 0usize..30,
        ) {
            let cut = cut.min(text.len());
            let pattern = format!("{}*{}*", &text[..cut], &text[cut..]);
            prop_assert!(matches(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn nothing_panics(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
