//! The six ioctls of PID 1 that no crate wraps safely: the only file here with `unsafe`.
//!
//! Each function takes checked Rust values, lays out the kernel's structure itself and gives an
//! `io::Result`; nothing that the kernel writes back is trusted beyond its return code.
#![expect(
    unsafe_code,
    reason = "device-mapper, BLKPG, ext4, file flag and terminal ioctls have no safe wrapper"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of `struct dm_ioctl` (include/uapi/linux/dm-ioctl.h).
const DM_HEADER_BYTES: usize = 312;
/// The same as the structure has it: where the payload begins.
const DATA_START: u32 = 312;
/// Bytes of `struct dm_target_spec`.
const DM_TARGET_BYTES: usize = 40;
/// Bytes of a device-mapper or target name with its end mark, beyond which the kernel cuts.
const DM_NAME_BYTES: usize = 128;
const DM_TARGET_NAME_BYTES: usize = 16;
/// The table and the device cannot be written; the verity target insists on it.
const DM_READONLY: u32 = 1;

/// Commands of device-mapper that a device needs from nothing to usable.
#[derive(Debug, Clone, Copy)]
enum DmCommand {
    Create = 3,
    Resume = 6,
    LoadTable = 9,
}

/// Creates the read-only device-mapper device `name` with one target over `sectors` (512 bytes).
///
/// # Errors
/// The kernel refuses a step; for a table that is usually a number out of range.
pub(crate) fn dm_create(name: &str, target: &str, sectors: u64, table: &str) -> io::Result<()> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")?;
    dm_command(&control, DmCommand::Create, name, &[])?;
    let mut spec = Vec::with_capacity(DM_TARGET_BYTES + table.len() + 8);
    spec.extend_from_slice(&0u64.to_ne_bytes());
    spec.extend_from_slice(&sectors.to_ne_bytes());
    spec.extend_from_slice(&[0; 8]);
    spec.extend_from_slice(&fixed(target, DM_TARGET_NAME_BYTES)?);
    spec.extend_from_slice(table.as_bytes());
    // The end mark of the text, and the alignment that the kernel asks for.
    spec.resize((spec.len() + 1).next_multiple_of(8), 0);
    dm_command(&control, DmCommand::LoadTable, name, &spec)?;
    dm_command(&control, DmCommand::Resume, name, &[])
}

fn dm_command(control: &File, command: DmCommand, name: &str, payload: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(DM_HEADER_BYTES + payload.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut buffer = Vec::with_capacity(DM_HEADER_BYTES + payload.len());
    let targets = u32::from(!payload.is_empty());
    for field in [4, 0, 0, bytes, DATA_START, targets, 0, DM_READONLY, 0, 0] {
        buffer.extend_from_slice(&field.to_ne_bytes());
    }
    buffer.extend_from_slice(&0u64.to_ne_bytes());
    buffer.extend_from_slice(&fixed(name, DM_NAME_BYTES)?);
    buffer.resize(DM_HEADER_BYTES, 0);
    buffer.extend_from_slice(payload);
    let request = nix::request_code_readwrite!(0xfd, command as u8, DM_HEADER_BYTES);
    // SAFETY: the structure begins with its own size, which is that of the buffer; the kernel
    // reads and writes inside it only, and keeps no pointer.
    done(unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) })
}

/// A text padded with zeros to `bytes`, at least one of them.
fn fixed(text: &str, bytes: usize) -> io::Result<Vec<u8>> {
    if text.len() >= bytes {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut field = text.as_bytes().to_vec();
    field.resize(bytes, 0);
    Ok(field)
}

/// What to tell the kernel about a partition of a disk that is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PartitionChange {
    /// There is a new one.
    Add = 1,
    /// It ends elsewhere.
    Resize = 3,
}

/// Tells the kernel where partition `number` of `disk` is. Start and length in bytes.
///
/// # Errors
/// It overlaps another one or is in use in a way that forbids the change.
pub(crate) fn tell_partition(
    disk: &File,
    change: PartitionChange,
    number: u32,
    start: u64,
    length: u64,
) -> io::Result<()> {
    #[repr(C)]
    struct Partition {
        start: i64,
        length: i64,
        number: i32,
        names: [u8; 128],
    }
    #[repr(C)]
    struct Argument {
        operation: i32,
        flags: i32,
        bytes: i32,
        partition: *mut Partition,
    }
    const BLKPG: libc::c_ulong = 0x1269;
    let wrong = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: i64::try_from(start).map_err(wrong)?,
        length: i64::try_from(length).map_err(wrong)?,
        number: i32::try_from(number).map_err(wrong)?,
        names: [0; 128],
    };
    let mut argument = Argument {
        operation: change as i32,
        flags: 0,
        bytes: i32::try_from(size_of::<Partition>()).map_err(wrong)?,
        partition: &raw mut partition,
    };
    // SAFETY: both structures are laid out as in include/uapi/linux/blkpg.h and outlive the call.
    done(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut argument) })
}

/// Grows the mounted ext4 file system in which `folder` is to `blocks` of its own block size.
///
/// # Errors
/// The kernel cannot; the file system stays as it was.
pub(crate) fn ext4_grow(folder: &File, blocks: u64) -> io::Result<()> {
    let request = nix::request_code_write!(b'f', 16, size_of::<u64>());
    // SAFETY: the kernel reads one number of 64 bits, which outlives the call.
    done(unsafe { libc::ioctl(folder.as_raw_fd(), request, &raw const blocks) })
}

/// Takes all flags from a file, "cannot be changed" among them (chattr(1)), which efivarfs gives to
/// the firmware's variables.
///
/// # Errors
/// The file system has no flags, or the process may not change them.
pub(crate) fn unprotect(file: &File) -> io::Result<()> {
    let request = nix::request_code_write!(b'f', 2, size_of::<libc::c_long>());
    let none: libc::c_int = 0;
    // SAFETY: the kernel reads one int (the request's number has another size for historical
    // reasons), which outlives the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), request, &raw const none) })
}

/// Makes `terminal` the controlling terminal of the calling session leader.
///
/// # Errors
/// The process leads no session, or has a terminal already.
pub(crate) fn take_terminal(terminal: &File) -> io::Result<()> {
    // SAFETY: the argument is a number, 0 = do not take it away from another session.
    done(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) })
}

fn done(code: libc::c_int) -> io::Result<()> {
    if code < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
