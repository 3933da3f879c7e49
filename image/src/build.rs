//! The build, step by step.

use crate::archive::{Lock, Unpacked};
use crate::kernel::Kernel;
use crate::profile::Profile;
use crate::programs::Programs;
use crate::tool::Tool;
use crate::verity::Root;
use crate::{Fault, cpio, disk, fault, root, tree};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The command line of every image. It is signed as a part of the UKI: who wants it otherwise has
/// to build an image. Reasons: quiet keeps the serial line for the console service; a panic and an
/// oops restart the machine instead of leaving it half alive; SysRq would answer a serial BREAK;
/// lockdown keeps root away from the kernel's memory; then the usual hardening of the kernel.
const WORDS: [&str; 11] = [
    "console=tty0",
    "console=ttyS0,115200",
    "quiet",
    "panic=5",
    "oops=panic",
    "sysctl.kernel.sysrq=0",
    "lockdown=confidentiality",
    "module.sig_enforce=1",
    "slab_nomerge",
    "randomize_kstack_offset=on",
    "vsyscall=none",
];

/// What to build, from what, and where to.
pub struct Options<'a> {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// Name of the profile.
    pub profile: String,
    /// Cargo's folder of build results; artifacts go to `image/PROFILE` in it unless said otherwise.
    pub target: PathBuf,
    /// Where artifacts go instead.
    pub output: Option<PathBuf>,
    /// A folder with `strongroom`, `strongroom-network` and `strongroom-time`, built already.
    pub programs: Option<PathBuf>,
    /// Take the newest packages of the archive and write them to the lock.
    pub update_lock: bool,
    /// Is told of every step as it begins.
    pub progress: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// A finished image.
#[derive(Debug)]
pub struct Built {
    /// The folder of artifacts.
    pub folder: PathBuf,
    /// The root hash in hex.
    pub root_hash: String,
}

/// Says what is being done and since when.
struct Progress<'a> {
    begun: Instant,
    tell: &'a dyn Fn(&str),
}

impl Progress<'_> {
    fn step(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        (self.tell)(&format!("[{seconds:6.1} s] {what}"));
    }
}

/// Builds one image.
///
/// # Errors
/// The first thing that went wrong; artifacts of an earlier build are gone by then.
pub fn build(options: &Options<'_>) -> Result<Built, Fault> {
    let progress = Progress {
        begun: Instant::now(),
        tell: options.progress,
    };
    let name = options.profile.as_str();
    let room = options.target.join("image");
    let folder = options.output.clone().unwrap_or_else(|| room.join(name));
    let work = folder.join("work");
    for stale in [&work, &folder] {
        tree::remove(stale)?;
    }
    fs::create_dir_all(&work).map_err(fault::file("make", &work))?;
    let seconds = commit_seconds(&options.workspace)?;

    let profiles = options.workspace.join("image/profiles");
    let profile = Profile::read(&profiles, name)?;
    let lock = lock(options, &profiles, &progress)?;
    progress.step("Debian packages");
    let note = |text: &str| progress.step(text);
    let packages = profile.archive_packages();
    let packages = Unpacked::fetch(
        &packages,
        &lock,
        &room.join("cache"),
        &work.join("packages"),
        &note,
    )?;
    progress.step("our programs");
    let cargo = room.join("cargo");
    let built = options.programs.as_deref();
    let programs = Programs::gather(
        &options.workspace,
        built,
        &cargo,
        &options.target,
        &work,
        seconds,
    )?;
    progress.step("kernel and modules");
    let kernel = Kernel::take(name, &profile, &packages, &work)?;
    progress.step("root file system");
    let files = root::root(name, &profile, &programs, &packages, &options.workspace)?;
    let erofs = folder.join("root.erofs");
    let top = Root::make(&files, &work.join("root"), &erofs, seconds)?;
    progress.step("initramfs");
    let initramfs = root::initramfs(&programs, &kernel)?;
    initrd(&cpio::archive(&initramfs, seconds)?, &folder)?;
    let words = command_line(&profile, &top);
    for (file, bytes) in [
        ("kernel", kernel.bytes.as_slice()),
        ("cmdline", words.as_bytes()),
    ] {
        let path = folder.join(file);
        fs::write(&path, bytes).map_err(fault::file("write", &path))?;
    }
    progress.step("disk");
    let esp = work.join("esp");
    fs::write(&esp, b"").map_err(fault::file("write", &esp))?;
    disk::write(&profile, &folder.join("disk.raw"), &esp, &erofs)?;
    tree::remove(&work)?;
    progress.step("done");
    Ok(Built {
        folder,
        root_hash: top.hash,
    })
}

/// The lock as it is, or as the archive has it now.
fn lock(options: &Options<'_>, profiles: &Path, progress: &Progress<'_>) -> Result<Lock, Fault> {
    let path = options.workspace.join("image/packages.lock");
    if !options.update_lock {
        return Lock::read(&path);
    }
    progress.step("newest versions of all packages");
    let names = Profile::names(profiles)?;
    let all = names.iter().map(|name| Profile::read(profiles, name));
    Lock::update(&all.collect::<Result<Vec<_>, _>>()?, &path)
}

/// The date of the commit, which everything in the image gets, in seconds after 1970.
fn commit_seconds(workspace: &Path) -> Result<u64, Fault> {
    let log = Tool::new("git", "git").args(["log", "-1", "--format=%ct"]);
    let said = log.inside(workspace).output()?;
    said.trim().parse().map_err(|_| Fault::ToolFailed {
        command: "git log".to_owned(),
        status: "no date".to_owned(),
        errors: said,
    })
}

/// Writes the compressed initramfs.
fn initrd(archive: &[u8], folder: &Path) -> Result<(), Fault> {
    let (plain, packed) = (folder.join("work/initrd.cpio"), folder.join("initrd"));
    fs::write(&plain, archive).map_err(fault::file("write", &plain))?;
    // One thread: with more, the bytes would hang on how many there are.
    let zstd = Tool::new("zstd", "zstd").args(["-15", "--single-thread", "--quiet", "-o"]);
    zstd.arg(&packed).arg(&plain).run()
}

/// The whole command line.
fn command_line(profile: &Profile, root: &Root) -> String {
    let own = profile.kernel.words.iter().cloned();
    let words = WORDS
        .into_iter()
        .map(str::to_owned)
        .chain(own)
        .chain(root.words());
    words.collect::<Vec<_>>().join(" ")
}
