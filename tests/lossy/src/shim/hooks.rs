//! The functions of libc that this shim takes the place of.
//!
//! Every hook has the same shape: not ours, pass on; a fault is on, fail; note; do. Signatures are
//! those of glibc on 64-bit Linux, where the `…64` names are the same functions.

use crate::journal::Entry;
use crate::watch::{Change, Config, config, fail, order};
use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off_t, size_t, ssize_t};

/// Makes a raw system call.
macro_rules! kernel {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are those the caller gave to libc, under the caller's promises,
        // or C strings and integers of our own.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

/// Exports hooks under their glibc names; `as` gives a second name to the same function.
macro_rules! exports {
    ($(fn $name:ident $parameters:tt -> $answer:ty $(as $alias:ident)? $body:block)*) => {$(
        export!($name $parameters $answer $body);
        $(export!($alias $parameters $answer $body);)?
    )*};
}

macro_rules! export {
    ($name:ident ($($p:ident: $t:ty),*) $answer:ty $body:block) => {
        /// # Safety
        /// As for the libc function of that name.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($p: $t),*) -> $answer $body
    };
}

exports! {
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int as open64 {
        open_file(libc::AT_FDCWD, path, flags, mode)
    }

    fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int as openat64 {
        open_file(folder, path, flags, mode)
    }

    fn creat(path: *const c_char, mode: mode_t) -> c_int as creat64 {
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        open_file(libc::AT_FDCWD, path, flags, mode)
    }

    fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
        change(fd, None, count as u64, || kernel!(SYS_write, fd, bytes, count)) as ssize_t
    }

    fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t as pwrite64 {
        let real = || kernel!(SYS_pwrite64, fd, bytes, count, at);
        change(fd, Some(at as u64), count as u64, real) as ssize_t
    }

    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        change(fd, None, total(parts, count), || kernel!(SYS_writev, fd, parts, count)) as ssize_t
    }

    fn pwritev(fd: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t as pwritev64 {
        let real = || kernel!(SYS_pwritev, fd, parts, count, at, 0);
        change(fd, Some(at as u64), total(parts, count), real) as ssize_t
    }

    fn pwritev2(
        fd: c_int, parts: *const iovec, count: c_int, at: off_t, flags: c_int
    ) -> ssize_t as pwritev64v2 {
        fall_back(fd, || kernel!(SYS_pwritev2, fd, parts, count, at, 0, flags)) as ssize_t
    }

    fn copy_file_range(
        from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, count: size_t,
        flags: c_uint
    ) -> ssize_t {
        fall_back(to, || kernel!(SYS_copy_file_range, from, from_at, to, to_at, count, flags))
            as ssize_t
    }

    fn sendfile(to: c_int, from: c_int, at: *mut off_t, count: size_t) -> ssize_t as sendfile64 {
        fall_back(to, || kernel!(SYS_sendfile, to, from, at, count)) as ssize_t
    }

    fn splice(
        from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, count: size_t,
        flags: c_uint
    ) -> ssize_t {
        fall_back(to, || kernel!(SYS_splice, from, from_at, to, to_at, count, flags)) as ssize_t
    }

    fn ftruncate(fd: c_int, length: off_t) -> c_int as ftruncate64 {
        resize(fd, length)
    }

    fn truncate(path: *const c_char, length: off_t) -> c_int as truncate64 {
        if let Some(config) = config() && config.resolve(libc::AT_FDCWD, path).is_some() {
            config.note_unsupported("truncate by path");
        }
        kernel!(SYS_truncate, path, length) as c_int
    }

    fn fallocate(fd: c_int, mode: c_int, at: off_t, length: off_t) -> c_int as fallocate64 {
        allocate(fd, mode, at, length)
    }

    fn posix_fallocate(fd: c_int, at: off_t, length: off_t) -> c_int as posix_fallocate64 {
        match allocate(fd, 0, at, length) {
            0 => 0,
            // SAFETY: this thread's errno, set by the call before.
            _ => unsafe { *libc::__errno_location() },
        }
    }

    fn rename(from: *const c_char, to: *const c_char) -> c_int {
        move_name(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0)
    }

    fn renameat(from_at: c_int, from: *const c_char, to_at: c_int, to: *const c_char) -> c_int {
        move_name(from_at, from, to_at, to, 0)
    }

    fn renameat2(
        from_at: c_int, from: *const c_char, to_at: c_int, to: *const c_char, flags: c_uint
    ) -> c_int {
        move_name(from_at, from, to_at, to, flags)
    }

    fn unlink(path: *const c_char) -> c_int {
        remove(libc::AT_FDCWD, path, 0)
    }

    fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
        remove(folder, path, flags)
    }

    fn rmdir(path: *const c_char) -> c_int {
        remove(libc::AT_FDCWD, path, libc::AT_REMOVEDIR)
    }

    fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
        make_folder(libc::AT_FDCWD, path, mode)
    }

    fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
        make_folder(folder, path, mode)
    }

    fn link(from: *const c_char, to: *const c_char) -> c_int {
        hard_link(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0)
    }

    fn linkat(
        from_at: c_int, from: *const c_char, to_at: c_int, to: *const c_char, flags: c_int
    ) -> c_int {
        hard_link(from_at, from, to_at, to, flags)
    }

    fn fsync(fd: c_int) -> c_int {
        sync_file(fd, || kernel!(SYS_fsync, fd))
    }

    fn fdatasync(fd: c_int) -> c_int {
        sync_file(fd, || kernel!(SYS_fdatasync, fd))
    }

    fn syncfs(fd: c_int) -> c_int {
        sync_all(|| kernel!(SYS_syncfs, fd))
    }

    fn sync() -> () {
        sync_all(|| kernel!(SYS_sync));
    }

    fn mmap(
        at: *mut c_void, length: size_t, protection: c_int, flags: c_int, fd: c_int, from: off_t
    ) -> *mut c_void as mmap64 {
        let shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
        if fd >= 0 && shared && protection & libc::PROT_WRITE != 0
            && let Some(config) = config() && config.target(fd).is_some()
        {
            config.note_unsupported("shared writable mmap");
        }
        kernel!(SYS_mmap, at, length, protection, flags, fd, from) as *mut c_void
    }
}

/// Opens; a file that gets made is noted, and `O_TRUNC` becomes a noted `ftruncate`.
fn open_file(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let plain = |flags: c_int| kernel!(SYS_openat, folder, path, flags, mode) as c_int;
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let Some(config) = config().filter(|_| writes || flags & libc::O_CREAT != 0) else {
        return plain(flags);
    };
    let Some(full) = config.resolve(folder, path) else {
        return plain(flags);
    };
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        config.note_unsupported("O_TMPFILE");
        return plain(flags);
    }
    let kept = flags & !libc::O_DIRECT & !(if writes { libc::O_TRUNC } else { 0 });
    let existing = || plain(kept & !libc::O_CREAT);
    let exclusive = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
    let fd = if exclusive {
        fail(libc::ENOENT) as c_int
    } else {
        existing()
    };
    if fd < 0 && flags & libc::O_CREAT != 0 && is_missing(&full) {
        if let Some(errno) = config.fault(&full, Change::Grow) {
            return fail(errno) as c_int;
        }
        config.count();
        let _order = order();
        config.note_name(&full, |folder| Entry::Create {
            folder,
            path: full.clone(),
        });
        return plain(kept);
    }
    if fd < 0 {
        return plain(kept);
    }
    if writes && flags & libc::O_TRUNC != 0 && resize(fd, 0) != 0 {
        // SAFETY: opened above and handed to nobody.
        let errno = unsafe { *libc::__errno_location() };
        kernel!(SYS_close, fd);
        return fail(errno) as c_int;
    }
    fd
}

fn is_missing(path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    std::fs::symlink_metadata(std::ffi::OsStr::from_bytes(path)).is_err()
}

/// A change of `count` bytes of content, at `at` or at the descriptor's position.
fn change(fd: c_int, at: Option<u64>, count: u64, real: impl FnOnce() -> c_long) -> c_long {
    let Some((config, target)) = config().and_then(|c| Some((c, c.target(fd)?))) else {
        return real();
    };
    let _order = order();
    let size = config.target(fd).map_or(target.size, |now| now.size);
    let offset = match at {
        _ if target.flags & libc::O_APPEND != 0 => size,
        Some(offset) => offset,
        None => kernel!(SYS_lseek, fd, 0, libc::SEEK_CUR) as u64,
    };
    let grows = offset.saturating_add(count) > size;
    let kind = if grows {
        Change::Grow
    } else {
        Change::Overwrite
    };
    if let Some(errno) = config.fault_on(&target, kind) {
        return fail(errno);
    }
    config.count();
    config.note_data(fd, offset, count);
    let done = real();
    if done > 0 && target.flags & libc::O_DSYNC != 0 {
        drop(_order);
        config.note_sync(&target, config.sync_begins());
    }
    done
}

fn resize(fd: c_int, length: off_t) -> c_int {
    let real = || kernel!(SYS_ftruncate, fd, length) as c_int;
    let Some((config, target)) = config().and_then(|c| Some((c, c.target(fd)?))) else {
        return real();
    };
    let length = length as u64;
    let kind = if length > target.size {
        Change::Grow
    } else {
        Change::Shrink
    };
    if let Some(errno) = config.fault_on(&target, kind) {
        return fail(errno) as c_int;
    }
    config.count();
    let _order = order();
    config.note_data(fd, length, u64::MAX);
    real()
}

fn allocate(fd: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    let real = || kernel!(SYS_fallocate, fd, mode, at, length) as c_int;
    let Some((config, target)) = config().and_then(|c| Some((c, c.target(fd)?))) else {
        return real();
    };
    if let Some(errno) = config.fault_on(&target, Change::Grow) {
        return fail(errno) as c_int;
    }
    config.count();
    let _order = order();
    let shifts = libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE;
    let span = if mode & shifts != 0 {
        u64::MAX
    } else {
        length as u64
    };
    config.note_data(fd, at as u64, span);
    real()
}

fn total(parts: *const iovec, count: c_int) -> u64 {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller of libc promised `count` parts there.
    let parts = unsafe { std::slice::from_raw_parts(parts, count) };
    parts.iter().map(|part| part.iov_len as u64).sum()
}

/// Calls whose users have a fallback: refused for watched files, so that plain writes follow.
fn fall_back(to: c_int, real: impl FnOnce() -> c_long) -> c_long {
    match config().and_then(|config| config.target(to)) {
        Some(_) => fail(libc::ENOSYS),
        None => real(),
    }
}

fn move_name(
    from_at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    let real = || kernel!(SYS_renameat2, from_at, from, to_at, to, flags) as c_int;
    let Some(config) = config() else {
        return real();
    };
    let (old, new) = match (config.resolve(from_at, from), config.resolve(to_at, to)) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return real(),
        _ => {
            config.note_unsupported("rename into or out of the watched folder");
            return real();
        }
    };
    if flags & libc::RENAME_EXCHANGE != 0 {
        config.note_unsupported("RENAME_EXCHANGE");
    }
    if let Some(errno) = config.fault(&new, Change::Overwrite) {
        return fail(errno) as c_int;
    }
    config.count();
    let _order = order();
    let grave = if flags & libc::RENAME_NOREPLACE != 0 {
        Vec::new()
    } else {
        config.bury(&new)
    };
    config.note_name(&new, |folder| Entry::Rename {
        folder,
        from: old,
        to: new.clone(),
        grave,
    });
    real()
}

fn remove(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let real = || kernel!(SYS_unlinkat, folder, path, flags) as c_int;
    let Some((config, full)) = config().and_then(|c| Some((c, c.resolve(folder, path)?))) else {
        return real();
    };
    if is_missing(&full) {
        return real();
    }
    config.count();
    let _order = order();
    if flags & libc::AT_REMOVEDIR == 0 {
        let grave = config.bury(&full);
        config.note_name(&full, |folder| Entry::Unlink {
            folder,
            path: full.clone(),
            grave,
        });
        return real();
    }
    // Noted after the fact: a folder that is not empty stays, and must not be made anew.
    let done = real();
    if done == 0 {
        config.note_name(&full, |folder| Entry::RemoveFolder {
            folder,
            path: full.clone(),
        });
    }
    done
}

fn make_folder(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    let real = || kernel!(SYS_mkdirat, folder, path, mode) as c_int;
    let Some((config, full)) = config().and_then(|c| Some((c, c.resolve(folder, path)?))) else {
        return real();
    };
    if !is_missing(&full) {
        return real();
    }
    if let Some(errno) = config.fault(&full, Change::Grow) {
        return fail(errno) as c_int;
    }
    config.count();
    let _order = order();
    config.note_name(&full, |folder| Entry::MakeFolder {
        folder,
        path: full.clone(),
    });
    real()
}

fn hard_link(
    from_at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    if let Some(config) = config()
        && config.resolve(to_at, to).is_some()
    {
        config.note_unsupported("hard link");
    }
    kernel!(SYS_linkat, from_at, from, to_at, to, flags) as c_int
}

fn sync_file(fd: c_int, real: impl FnOnce() -> c_long) -> c_int {
    let Some((config, target)) = config().and_then(|c| Some((c, c.target(fd)?))) else {
        return real() as c_int;
    };
    if let Some(errno) = config.fault_on(&target, Change::Sync) {
        return fail(errno) as c_int;
    }
    config.count();
    if config.lies_about(&target) {
        return 0;
    }
    let up_to = config.sync_begins();
    let done = real() as c_int;
    if done == 0 {
        let _order = order();
        config.note_sync(&target, up_to);
    }
    done
}

fn sync_all(real: impl FnOnce() -> c_long) -> c_int {
    let config: Option<&'static Config> = config();
    let up_to = config.map(Config::sync_begins);
    let done = real() as c_int;
    if let (Some(config), Some(up_to)) = (config, up_to) {
        let _order = order();
        config.note_sync_all(up_to);
    }
    done
}
