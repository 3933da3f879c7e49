//! A power cut and a sick disk for one process, by `LD_PRELOAD`.
//!
//! `kill -9` loses nothing that a process wrote: the page cache lives on. A power cut loses what
//! was not made durable. This shim notes, before each change of a file or a name under
//! `$LOSSY_ROOT`, how to undo it (the *journal*, outside that folder), and notes each `fsync` that
//! made changes durable. After the kill, `lossy-cut` undoes what was not durable, wholly or by a
//! seeded choice per 4 KiB page, and leaves the folder as a power cut might.
//!
//! * `LOSSY_ROOT`: the folder watched; nothing outside is touched.
//! * `LOSSY_JOURNAL`: the journal, on the same file system, outside the root; none = faults only.
//! * `LOSSY_STRICT_DIRS`: `1` (default): names need an fsync of their folder; `0`: like ext4, an
//!   fsync of a file carries the names of its folder along.
//! * `LOSSY_FAIL`: `enospc`: changes that need new space fail; `enospc-all`: every write fails
//!   (copy-on-write disks); `eio`: writes and syncs fail; `eio-sync`: syncs fail; `slow`: each sync
//!   takes 150 ms more.
//! * `LOSSY_FAIL_WHEN`: the fault is on while this file exists.
//! * `LOSSY_FAIL_PATH`: only files whose path contains this.
//! * `LOSSY_LIE`: syncs of files whose path contains this succeed and make nothing durable: the
//!   control by which a suite proves that it would notice a missing fsync.
//! * `LOSSY_KILL_AT`: the process kills itself before its n-th change or sync.
//!
//! Durable means: `fsync`, `fdatasync` (of the file: content and size; of a folder: its names),
//! `O_SYNC`/`O_DSYNC`, `sync`, `syncfs`. `sync_file_range` and `close` make nothing durable and so
//! need no hook. Files are known by inode and looked up anew at each call, so `dup`, `fork` and
//! threads need no book-keeping. `O_DIRECT` is ignored. **Not supported**, and noted in the journal
//! so that `lossy-cut` refuses to judge: shared writable `mmap`, hard links, `truncate` by path,
//! `RENAME_EXCHANGE`, `O_TMPFILE`. `copy_file_range`, `sendfile`, `splice` and `pwritev2` into a
//! watched file answer ENOSYS, after which libraries fall back to plain writes. io_uring and raw
//! system calls go past any preload shim.
#![allow(unsafe_code)] // interposing libc is what this crate is for; each block has its SAFETY
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // libc's own integer types

mod hooks;
#[path = "../journal.rs"]
mod journal;
mod watch;
