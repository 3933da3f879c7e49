//! The build, step by step.

use crate::archive::{Lock, Unpacked};
use crate::kernel::Kernel;
use crate::keys::Keys;
use crate::manifest::Manifest;
use crate::profile::{Content, Profile};
use crate::programs::Programs;
use crate::tool::Tool;
use crate::tree::{Node, Origin, Tree};
use crate::verity::Root;
use crate::{Fault, bill, cpio, disk, esp, fault, installer, root, tree, uki};
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
    /// Cargo's folder of build results; artifacts go to `image/PROFILE` in it.
    pub target: PathBuf,
    /// Where artifacts go instead.
    pub output: Option<PathBuf>,
    /// A folder with `init` (static), `strongroom`, `strongroom-network` and `strongroom-time`,
    /// built already.
    pub programs: Option<PathBuf>,
    /// Where the keys of Secure Boot are; `image/keys` in `target` unless said otherwise.
    pub keys: Option<PathBuf>,
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

    let parts = gather(options, &room, &work, seconds, &progress)?;
    let place = Place {
        room: &room,
        folder: &folder,
        work: &work,
        seconds,
    };
    let (top, files) = fill(options, &place, &parts, &progress)?;
    progress.step("unified kernel image, signed");
    unify(options, &place, &parts)?;
    progress.step("disk");
    let disk = folder.join("disk.raw");
    disk::write(
        &parts.profile,
        &disk,
        &work.join("esp"),
        &folder.join("root.erofs"),
    )?;
    progress.step("disk as .zst and .qcow2");
    pack(&disk, &folder)?;
    progress.step("installer, signed");
    install(options, &place, &parts)?;
    tree::remove(&work)?;
    progress.step("checksums");
    let whole = (&top, &files);
    Manifest::describe(
        &folder,
        &options.workspace,
        name,
        &parts.kernel,
        whole,
        &parts.packages,
    )?
    .write(&folder)?;
    progress.step("done");
    Ok(Built {
        folder,
        root_hash: top.hash,
    })
}

/// Everything that goes in, from the archive and from this workspace.
fn gather(
    options: &Options<'_>,
    room: &Path,
    work: &Path,
    seconds: u64,
    progress: &Progress<'_>,
) -> Result<Parts, Fault> {
    let profiles = options.workspace.join("image/profiles");
    let profile = Profile::read(&profiles, &options.profile)?;
    let lock = lock(options, &profiles, progress)?;
    progress.step("Debian packages");
    let note = |text: &str| progress.step(text);
    let wanted = profile.archive_packages();
    let cache = room.join("cache");
    let packages = Unpacked::fetch(&wanted, &lock, &cache, &work.join("packages"), &note)?;
    progress.step("our programs");
    let programs = Programs::gather(
        &options.workspace,
        options.programs.as_deref(),
        &room.join("cargo"),
        &options.target,
        work,
        seconds,
    )?;
    progress.step("kernel and modules");
    let kernel = Kernel::take(&options.profile, &profile, &packages, work)?;
    Ok(Parts {
        profile,
        packages,
        programs,
        kernel,
    })
}

/// What an image is put together from.
struct Parts {
    profile: Profile,
    packages: Unpacked,
    programs: Programs,
    kernel: Kernel,
}

/// Makes the root file system, the initramfs, the command line that binds them, and the bill of
/// what is in both.
fn fill(
    options: &Options<'_>,
    place: &Place<'_>,
    parts: &Parts,
    progress: &Progress<'_>,
) -> Result<(Root, Tree), Fault> {
    let Parts {
        profile,
        packages,
        programs,
        kernel,
    } = parts;
    let Place {
        folder,
        work,
        seconds,
        ..
    } = *place;
    let name = options.profile.as_str();
    progress.step("root file system");
    let mut files = root::root(name, profile, programs, packages, &options.workspace)?;
    let initramfs = root::initramfs(programs, kernel)?;
    let trees = [("initramfs:", &initramfs), ("root:", &files)];
    let bill = bill::make(&trees, packages, &options.workspace, name)?;
    let bill = format!("{bill:#}\n");
    let inside = Node::Data(bill.clone().into_bytes());
    files.put(
        "usr/share/doc/strongroom/sbom.json",
        inside,
        &Origin::Ours("image"),
    )?;
    put(&folder.join("sbom.json"), bill.as_bytes())?;
    let top = Root::make(
        &files,
        &work.join("root"),
        &folder.join("root.erofs"),
        seconds,
    )?;
    progress.step("initramfs");
    let archive = cpio::archive(&initramfs, seconds)?;
    initrd(&archive, work, &folder.join("initrd"))?;
    put(&folder.join("kernel"), &kernel.bytes)?;
    put(
        &folder.join("cmdline"),
        command_line(profile, &top.words()).as_bytes(),
    )?;
    Ok((top, files))
}

/// Where a build happens, and the date it gives to everything.
struct Place<'a> {
    room: &'a Path,
    folder: &'a Path,
    work: &'a Path,
    seconds: u64,
}

/// Writes `bytes` to `path`.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    fs::write(path, bytes).map_err(fault::file("write", path))
}

/// Makes the unified kernel image, signs it and the boot loader, and puts both on the EFI system
/// partition, beside what a machine in set-up mode needs to enrol our keys.
fn unify(options: &Options<'_>, place: &Place<'_>, parts: &Parts) -> Result<(), Fault> {
    let Parts {
        profile,
        packages,
        kernel,
        ..
    } = parts;
    let Place {
        folder,
        work,
        seconds,
        ..
    } = *place;
    let words = folder.join("cmdline");
    let words = fs::read_to_string(&words).map_err(fault::file("read", &words))?;
    let boot = packages.folder(&profile.boot_package)?;
    let sections = uki::Parts {
        boot,
        release: &root::os_release(&options.profile),
        uname: &kernel.release,
        words: &words,
        initrd: &folder.join("initrd"),
        kernel: &folder.join("kernel"),
    };
    let unsigned = folder.join("strongroom.unsigned.efi");
    uki::make(&sections, &unsigned, work)?;
    let keys = keys(options, place)?;
    let signed = folder.join("strongroom.efi");
    keys.sign(&unsigned, &signed, seconds)?;
    let (plain, loader) = (work.join("loader"), folder.join("systemd-boot.efi"));
    uki::take_loader(boot, &plain)?;
    keys.sign(&plain, &loader, seconds)?;
    keys.enrolment(&folder.join("enrol"), work, seconds)?;
    let settings = work.join("loader.conf");
    put(&settings, esp::LOADER_SETTINGS.as_bytes())?;
    let entry = format!("EFI/Linux/strongroom-{}.efi", env!("CARGO_PKG_VERSION"));
    let enrol = |name: &str| folder.join("enrol").join(format!("{name}.auth"));
    let (pk, kek, db) = (enrol("PK"), enrol("KEK"), enrol("db"));
    let files = [
        (esp::LOADER_PATH, loader.as_path()),
        (esp::REMOVABLE_PATH, loader.as_path()),
        ("loader/loader.conf", settings.as_path()),
        ("loader/keys/strongroom/PK.auth", pk.as_path()),
        ("loader/keys/strongroom/KEK.auth", kek.as_path()),
        ("loader/keys/strongroom/db.auth", db.as_path()),
        (entry.as_str(), signed.as_path()),
    ];
    let partition = profile.partitions.iter().find(|p| p.holds == Content::Esp);
    let mebibytes = partition.map_or(0, |p| p.mebibytes);
    esp::make(&work.join("esp"), mebibytes, &files, seconds)
}

/// Makes the installer of the finished disk: a kernel image of its own, signed, and the medium
/// that starts it.
fn install(options: &Options<'_>, place: &Place<'_>, parts: &Parts) -> Result<(), Fault> {
    let Place {
        folder,
        work,
        seconds,
        ..
    } = *place;
    let Parts {
        profile, kernel, ..
    } = parts;
    let mut tree = root::initramfs(&parts.programs, kernel)?;
    installer::put_payload(&mut tree, &options.profile, folder)?;
    let packed = work.join("installer.initrd");
    initrd(&cpio::archive(&tree, seconds)?, work, &packed)?;
    let sections = uki::Parts {
        boot: parts.packages.folder(&profile.boot_package)?,
        release: &root::os_release(&options.profile),
        uname: &kernel.release,
        words: &command_line(profile, &[installer::WORD.to_owned()]),
        initrd: &packed,
        kernel: &folder.join("kernel"),
    };
    let unsigned = folder.join("installer.unsigned.efi");
    uki::make(&sections, &unsigned, work)?;
    let signed = folder.join("installer.efi");
    keys(options, place)?.sign(&unsigned, &signed, seconds)?;
    installer::medium(&signed, &folder.join("installer.img"), work, seconds)
}

/// The keys that everything is signed with.
fn keys(options: &Options<'_>, place: &Place<'_>) -> Result<Keys, Fault> {
    let folder = options.keys.clone();
    Keys::open(&folder.unwrap_or_else(|| place.room.join("keys")))
}

/// Writes the disk in the two forms that it travels in.
fn pack(disk: &Path, folder: &Path) -> Result<(), Fault> {
    let zstd = Tool::new("zstd", "zstd").args(["-6", "--single-thread", "--quiet", "-o"]);
    zstd.arg(folder.join("disk.raw.zst")).arg(disk).run()?;
    let convert = Tool::new("qemu-img", "qemu-utils").args(["convert", "-c", "-f", "raw"]);
    convert
        .args(["-O", "qcow2"])
        .arg(disk)
        .arg(folder.join("disk.qcow2"))
        .run()
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

/// Writes an initramfs, compressed, to `packed`.
fn initrd(archive: &[u8], work: &Path, packed: &Path) -> Result<(), Fault> {
    let plain = work.join("initrd.cpio");
    put(&plain, archive)?;
    // One thread: with more, the bytes would hang on how many there are.
    let zstd = Tool::new("zstd", "zstd").args(["-15", "--single-thread", "--quiet", "-o"]);
    zstd.arg(packed).arg(&plain).run()
}

/// The whole command line; `last` says what is booted.
fn command_line(profile: &Profile, last: &[String]) -> String {
    let own = profile.kernel.words.iter().cloned();
    let words = WORDS
        .into_iter()
        .map(str::to_owned)
        .chain(own)
        .chain(last.iter().cloned());
    words.collect::<Vec<_>>().join(" ")
}
