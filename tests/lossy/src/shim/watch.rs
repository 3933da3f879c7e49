//! What the hooks do around the real call: find out whether it concerns the watched folder, fail it
//! when a fault is on, note how to undo it.
//!
//! Real calls are made as raw system calls, so nothing here depends on `dlsym` or on an order of
//! initialisation, and a hook that runs before `main` is as good as any.

use crate::journal::{Entry, Image};
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::{c_char, c_int, c_long};

/// Reads of pre-images go through a buffer of this many bytes at most; larger changes are noted in
/// several records.
const IMAGE_BYTES_MAX: u64 = 4 << 20;

/// What the environment asked for.
pub(crate) struct Config {
    root: Vec<u8>,
    journal: Option<Journal>,
    strict_folders: bool,
    fault: Option<Fault>,
    kill_at: Option<u64>,
    lie_part: Option<Vec<u8>>,
}

/// An open journal.
pub(crate) struct Journal {
    descriptor: c_int,
    graves: Vec<u8>,
}

/// What a sync of a slow disk takes: a busy spinning disk, far from the 2 ms of a good one.
const SLOW_SYNC: std::time::Duration = std::time::Duration::from_millis(150);

/// A fault that a control file switches on and off.
struct Fault {
    kind: FaultKind,
    when: CString,
    path_part: Vec<u8>,
}

/// The faults this shim plays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    NoSpace,
    NoSpaceAtAll,
    InputOutput,
    InputOutputOnSync,
    Slow,
}

/// What a call is about to do, as far as faults care.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Needs no new space.
    Overwrite,
    /// Needs new space.
    Grow,
    /// Asks for durability.
    Sync,
    /// Takes something away.
    Shrink,
}

/// A file or folder of the watched tree behind a descriptor.
pub(crate) struct Target {
    /// Its inode.
    pub(crate) inode: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Status flags of the descriptor (`F_GETFL`).
    pub(crate) flags: c_int,
    /// Whether it is a folder.
    pub(crate) folder: bool,
    path: Vec<u8>,
}

static CONFIG: OnceLock<Option<Config>> = OnceLock::new();
static ORDER: Mutex<()> = Mutex::new(());
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The configuration, or `None` when this process is not watched.
pub(crate) fn config() -> Option<&'static Config> {
    CONFIG.get_or_init(read_config).as_ref()
}

/// Holds every other change off, so that the journal's order is the order of events.
pub(crate) fn order() -> MutexGuard<'static, ()> {
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets `errno` and gives the value by which a call reports it.
pub(crate) fn fail(errno: c_int) -> c_long {
    // SAFETY: `__errno_location` always gives this thread's valid errno cell.
    unsafe { *libc::__errno_location() = errno };
    -1
}

fn variable(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: `name` is a C string; the environment is not changed while this process starts.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a non-null answer of getenv is a C string that lives as long as the environment.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes().to_vec();
    (!value.is_empty()).then_some(value)
}

fn read_config() -> Option<Config> {
    let root = PathBuf::from(OsString::from_vec(variable(c"LOSSY_ROOT")?));
    let root = std::fs::canonicalize(&root).unwrap_or(root);
    let fault = variable(c"LOSSY_FAIL").map(|kind| Fault {
        kind: match kind.as_slice() {
            b"enospc" => FaultKind::NoSpace,
            b"enospc-all" => FaultKind::NoSpaceAtAll,
            b"eio" => FaultKind::InputOutput,
            b"eio-sync" => FaultKind::InputOutputOnSync,
            b"slow" => FaultKind::Slow,
            _ => die("LOSSY_FAIL must be enospc, enospc-all, eio, eio-sync or slow"),
        },
        when: CString::new(variable(c"LOSSY_FAIL_WHEN").unwrap_or_default()).unwrap_or_default(),
        path_part: variable(c"LOSSY_FAIL_PATH").unwrap_or_default(),
    });
    Some(Config {
        root: root.into_os_string().into_vec(),
        journal: variable(c"LOSSY_JOURNAL").map(open_journal),
        strict_folders: variable(c"LOSSY_STRICT_DIRS").is_none_or(|value| value != b"0"),
        fault,
        kill_at: variable(c"LOSSY_KILL_AT")
            .and_then(|n| String::from_utf8(n).ok())
            .and_then(|n| n.parse().ok()),
        lie_part: variable(c"LOSSY_LIE"),
    })
}

fn open_journal(path: Vec<u8>) -> Journal {
    let graves = [&path[..], b".graves"].concat();
    let (Ok(file), Ok(folder)) = (CString::new(path), CString::new(graves.clone())) else {
        die("LOSSY_JOURNAL holds a NUL byte");
    };
    // SAFETY: both are C strings; the calls have no other memory effect.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_mkdir, folder.as_ptr(), 0o700);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            file.as_ptr(),
            flags,
            0o600,
        )
    };
    if descriptor < 0 {
        die("cannot open LOSSY_JOURNAL");
    }
    Journal {
        descriptor: descriptor as c_int,
        graves,
    }
}

/// A shim that cannot do its work must not let the test pass.
fn die(message: &str) -> ! {
    let line = format!("lossy: {message}\n");
    // SAFETY: the buffer is valid for its length; abort does not return.
    unsafe {
        libc::syscall(libc::SYS_write, 2, line.as_ptr(), line.len());
        libc::abort()
    }
}

impl Journal {
    /// The position of the next record.
    fn position(&self) -> u64 {
        match status(self.descriptor) {
            Some(stat) => stat.st_size as u64,
            None => die("cannot stat the journal"),
        }
    }

    fn append(&self, entry: &Entry) {
        let record = entry.encode();
        let mut rest = &record[..];
        while !rest.is_empty() {
            // SAFETY: `rest` is valid for its length.
            let written = unsafe {
                libc::syscall(libc::SYS_write, self.descriptor, rest.as_ptr(), rest.len())
            };
            match usize::try_from(written) {
                Ok(n) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                _ => die("cannot write the journal"),
            }
        }
    }
}

fn status(descriptor: c_int) -> Option<libc::stat> {
    // SAFETY: `stat` is plain integers, for which zero is a value; fstat fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(descriptor, &mut stat) == 0).then_some(stat)
    }
}

fn path_of(descriptor: c_int) -> Option<Vec<u8>> {
    let link = CString::new(format!("/proc/self/fd/{descriptor}")).ok()?;
    let mut buffer = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is valid for the length given.
    let length = unsafe {
        libc::readlink(
            link.as_ptr(),
            buffer.as_mut_ptr().cast::<c_char>(),
            buffer.len(),
        )
    };
    buffer.truncate(usize::try_from(length).ok()?);
    Some(buffer)
}

impl Config {
    fn holds(&self, path: &[u8]) -> bool {
        path.strip_prefix(&self.root[..])
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// The watched file or folder behind a descriptor. Sockets, pipes and devices cost one `fstat`
    /// and take no lock, so a signal handler that writes to a pipe is safe here.
    pub(crate) fn target(&self, descriptor: c_int) -> Option<Target> {
        let stat = status(descriptor)?;
        let kind = stat.st_mode & libc::S_IFMT;
        if kind != libc::S_IFREG && kind != libc::S_IFDIR {
            return None;
        }
        let path = path_of(descriptor)?;
        // SAFETY: F_GETFL takes no further argument.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
        self.holds(&path).then_some(Target {
            inode: stat.st_ino,
            size: stat.st_size as u64,
            flags,
            folder: kind == libc::S_IFDIR,
            path,
        })
    }

    /// The path that `name` (relative to `folder`) has or would have, if that is in the watched
    /// tree. The last component is not followed.
    pub(crate) fn resolve(&self, folder: c_int, name: *const c_char) -> Option<Vec<u8>> {
        if name.is_null() {
            return None;
        }
        // SAFETY: the caller of libc gave a C string.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let mut full = PathBuf::new();
        if name.is_relative() {
            full = match folder {
                libc::AT_FDCWD => std::env::current_dir().ok()?,
                descriptor => PathBuf::from(OsString::from_vec(path_of(descriptor)?)),
            };
        }
        full.push(name);
        let above = std::fs::canonicalize(full.parent()?).ok()?;
        let path = above.join(full.file_name()?).into_os_string().into_vec();
        self.holds(&path).then_some(path)
    }

    /// Whether the fault that is on now hits such a change of such a path: its errno.
    pub(crate) fn fault(&self, path: &[u8], change: Change) -> Option<c_int> {
        let fault = self.fault.as_ref()?;
        let errno = match (fault.kind, change) {
            (FaultKind::NoSpace, Change::Grow) => libc::ENOSPC,
            (FaultKind::NoSpaceAtAll, Change::Grow | Change::Overwrite) => libc::ENOSPC,
            (FaultKind::InputOutput, _) => libc::EIO,
            (FaultKind::InputOutputOnSync, Change::Sync) => libc::EIO,
            (FaultKind::Slow, Change::Sync) => 0,
            _ => return None,
        };
        let concerned = fault.path_part.is_empty() || contains(path, &fault.path_part);
        // SAFETY: `when` is a C string.
        let on = concerned && unsafe { libc::access(fault.when.as_ptr(), libc::F_OK) } == 0;
        if on && fault.kind == FaultKind::Slow {
            std::thread::sleep(SLOW_SYNC);
            return None;
        }
        on.then_some(errno)
    }

    /// Whether a sync of this file is to succeed without making anything durable.
    pub(crate) fn lies_about(&self, target: &Target) -> bool {
        self.lie_part
            .as_ref()
            .is_some_and(|part| contains(&target.path, part))
    }

    /// As [`Self::fault`], for an open file.
    pub(crate) fn fault_on(&self, target: &Target, change: Change) -> Option<c_int> {
        self.fault(&target.path, change)
    }

    /// Counts a change, and ends the process when it is the one asked for.
    pub(crate) fn count(&self) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        if self.kill_at == Some(call) {
            // SAFETY: ends this process at once, which is what was asked for.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }

    /// Notes what stands in `offset..offset + length` and how large the file is. To be called
    /// under [`order`], before the change.
    pub(crate) fn note_data(&self, descriptor: c_int, offset: u64, length: u64) {
        let (Some(journal), Some(target)) = (&self.journal, self.target(descriptor)) else {
            return;
        };
        let end = offset.saturating_add(length).min(target.size);
        let reader = readable(descriptor, target.flags);
        let mut start = offset;
        loop {
            let count = end.saturating_sub(start).min(IMAGE_BYTES_MAX);
            let before = read_image(reader, start, count);
            let (inode, old_size) = (target.inode, target.size);
            journal.append(&Entry::Data {
                inode,
                old_size,
                offset: start,
                before,
            });
            start += count;
            if start >= end {
                break;
            }
        }
        if reader != descriptor {
            // SAFETY: opened by `readable` just now, and used by nobody else.
            unsafe { libc::syscall(libc::SYS_close, reader) };
        }
    }

    /// Notes a change of names, made by `entry` from the inode of the folder that holds `path`.
    pub(crate) fn note_name(&self, path: &[u8], entry: impl FnOnce(u64) -> Entry) {
        if let Some(journal) = &self.journal {
            journal.append(&entry(folder_inode(path)));
        }
    }

    /// Gives a file that is about to lose its name a second one, and tells which; empty when the
    /// path is no regular file.
    pub(crate) fn bury(&self, path: &[u8]) -> Vec<u8> {
        let Some(journal) = &self.journal else {
            return Vec::new();
        };
        let as_path = Path::new(std::ffi::OsStr::from_bytes(path));
        if !std::fs::symlink_metadata(as_path).is_ok_and(|found| found.is_file()) {
            return Vec::new();
        }
        let number = journal.position().to_string();
        let grave = [&journal.graves[..], b"/", number.as_bytes()].concat();
        let (Ok(old), Ok(new)) = (CString::new(path), CString::new(grave.clone())) else {
            return Vec::new();
        };
        // SAFETY: both are C strings.
        let linked = unsafe {
            libc::syscall(
                libc::SYS_linkat,
                libc::AT_FDCWD,
                old.as_ptr(),
                libc::AT_FDCWD,
                new.as_ptr(),
                0,
            )
        };
        if linked != 0 {
            die("cannot link into the graveyard: is the journal on the root's file system?");
        }
        grave
    }

    /// Notes that the process did something this shim cannot undo.
    pub(crate) fn note_unsupported(&self, what: &str) {
        if let Some(journal) = &self.journal {
            journal.append(&Entry::Unsupported {
                what: what.as_bytes().to_vec(),
            });
        }
    }

    /// The position up to which a sync that begins now will have made things durable.
    pub(crate) fn sync_begins(&self) -> u64 {
        let _order = order();
        self.journal.as_ref().map_or(0, Journal::position)
    }

    /// Notes that a sync has ended well.
    pub(crate) fn note_sync(&self, target: &Target, up_to: u64) {
        let Some(journal) = &self.journal else { return };
        let inode = target.inode;
        if target.folder {
            journal.append(&Entry::SyncNames {
                folder: inode,
                up_to,
            });
            return;
        }
        journal.append(&Entry::SyncFile { inode, up_to });
        if !self.strict_folders {
            journal.append(&Entry::SyncNames {
                folder: folder_inode(&target.path),
                up_to,
            });
        }
    }

    /// Notes that a sync of everything has ended.
    pub(crate) fn note_sync_all(&self, up_to: u64) {
        if let Some(journal) = &self.journal {
            journal.append(&Entry::SyncAll { up_to });
        }
    }
}

fn contains(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|window| window == part)
}

fn folder_inode(path: &[u8]) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let above = Path::new(std::ffi::OsStr::from_bytes(path)).parent();
    above
        .and_then(|folder| std::fs::metadata(folder).ok())
        .map_or(0, |found| found.ino())
}

/// A descriptor of the same file from which can be read: a write-only one is opened again.
fn readable(descriptor: c_int, flags: c_int) -> c_int {
    if flags & libc::O_ACCMODE != libc::O_WRONLY {
        return descriptor;
    }
    let Ok(link) = CString::new(format!("/proc/self/fd/{descriptor}")) else {
        return descriptor;
    };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: `link` is a C string.
    let again = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, link.as_ptr(), flags, 0) };
    if again < 0 {
        die("cannot open a write-only file again to read what a write would replace");
    }
    again as c_int
}

fn read_image(descriptor: c_int, offset: u64, count: u64) -> Image {
    let mut bytes = vec![0_u8; count as usize];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` is valid for its length.
        let read = unsafe {
            libc::pread(
                descriptor,
                rest.as_mut_ptr().cast(),
                rest.len(),
                (offset as i64) + done as i64,
            )
        };
        match usize::try_from(read) {
            Ok(0) => break, // a hole at the end, or a file cut meanwhile: zeros
            Ok(n) => done += n,
            Err(_) => die("cannot read what a write would replace"),
        }
    }
    match bytes.iter().all(|byte| *byte == 0) {
        true => Image::Zeros(count),
        false => Image::Bytes(bytes),
    }
}
