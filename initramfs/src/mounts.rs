//! What is mounted where, and the change from the initramfs to the verified root.
//!
//! Law: nothing is writable and executable. Everything writable is `noexec`; the only mount from
//! which programs run is the verified root, which cannot be written. After the boot nothing but
//! /run and the data partition can be written at all (/dev and /proc hold no files of ours).
//!
//! The boot stub leaves unauthenticated files of the EFI system partition in the initramfs under
//! `/.extra`. They are never opened, listed or copied: no path in this program begins with it,
//! and the change of root puts them out of reach of everything that starts later.

use crate::fault::{Naming, Outcome};
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::Path;

/// Where the verified root waits until it becomes `/`; the kernel's own initramfs has this folder.
pub(crate) const NEW_ROOT: &str = "/root";

/// One line of the mount table.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) what: &'static str,
    pub(crate) target: &'static str,
    pub(crate) flags: MsFlags,
    pub(crate) options: &'static str,
    pub(crate) reason: &'static str,
}

const CLOSED: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// Mounted first, and moved into the verified root later.
pub(crate) const MOUNTS: &[Mount] = &[
    Mount {
        what: "proc",
        target: "/proc",
        flags: CLOSED,
        options: "hidepid=invisible",
        reason: "kernel settings and state; a service sees its own processes only",
    },
    Mount {
        what: "sysfs",
        target: "/sys",
        flags: CLOSED,
        options: "",
        reason: "devices and their aliases for the module list; no settings of ours",
    },
    Mount {
        what: "securityfs",
        target: "/sys/kernel/security",
        flags: CLOSED.union(MsFlags::MS_RDONLY),
        options: "",
        reason: "the lockdown state is read here",
    },
    Mount {
        what: "devtmpfs",
        target: "/dev",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        options: "mode=0755,size=1m",
        reason: "device nodes; the one mount where they count",
    },
    Mount {
        what: "tmpfs",
        target: "/run",
        flags: CLOSED,
        options: "mode=0755,size=32m",
        reason: "sockets, resolver settings, set-up file; gone after a restart",
    },
];

/// Mounts the table, in order.
///
/// # Errors
/// A file system is refused; without any one of them the boot cannot go on.
pub(crate) fn mount_table() -> Outcome {
    for entry in MOUNTS {
        // securityfs and the like have their folder already; the initramfs may lack the others.
        if !Path::new(entry.target).is_dir() {
            fs::create_dir(entry.target).naming(|| format!("folder {}", entry.target))?;
        }
        let options = Some(entry.options).filter(|options| !options.is_empty());
        let (what, target) = (Some(entry.what), entry.target);
        mount(what, target, what, entry.flags, options)
            .naming(|| format!("mounting {target} ({})", entry.reason))?;
    }
    Ok(())
}

/// Moves what is mounted into the verified root, makes it `/` and forgets the initramfs.
///
/// # Errors
/// A mount point is missing in the root, which then was not made by our build.
pub(crate) fn enter_root() -> Outcome {
    for target in ["/dev", "/proc", "/sys", "/run"] {
        let new = format!("{NEW_ROOT}{target}");
        mount(
            Some(target),
            new.as_str(),
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )
        .naming(|| format!("moving {target} into the verified root"))?;
    }
    std::env::set_current_dir(NEW_ROOT).naming(|| "entering the verified root".into())?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .naming(|| "making the verified root '/'".into())?;
    nix::unistd::chroot(".").naming(|| "changing to the verified root".into())?;
    std::env::set_current_dir("/").naming(|| "entering '/'".into())
}

/// Makes the initramfs read-only, for the installer, which stays in it.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn close_initramfs() -> Outcome {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .naming(|| "making the initramfs read-only".into())
}

/// Makes /sys read-only: after the boot no program of the appliance has a setting there.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn close_sys() -> Outcome {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | CLOSED;
    mount(None::<&str>, "/sys", None::<&str>, flags, None::<&str>)
        .naming(|| "making /sys read-only".into())
}

/// Every mount that is both writable and executable, by the kernel's own table
/// (`/proc/self/mountinfo`, see proc(5)).
pub(crate) fn writable_and_executable(mountinfo: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else {
            continue;
        };
        let mut fields = mount.split(' ').skip(4);
        let (Some(target), Some(flags)) = (fields.next(), fields.next()) else {
            continue;
        };
        // Read-only may stand with the mount or with the whole file system.
        let whole = file_system.rsplit(' ').next().unwrap_or_default();
        let has = |flag: &str| flags.split(',').chain(whole.split(',')).any(|f| f == flag);
        if !has("ro") && !has("noexec") {
            found.push(target.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_table_is_writable_and_executable() {
        for entry in MOUNTS {
            let safe = entry
                .flags
                .intersects(MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY);
            assert!(
                safe && entry.flags.contains(MsFlags::MS_NOSUID),
                "{entry:?}"
            );
            assert!(!entry.reason.is_empty());
            let is_dev = entry.target == "/dev";
            assert!(
                entry.flags.contains(MsFlags::MS_NODEV) != is_dev,
                "{entry:?}"
            );
        }
    }

    #[test]
    fn a_writable_and_executable_mount_is_found() {
        let info = "22 1 253:0 / / ro,nosuid,nodev - erofs /dev/dm-0 ro\n\
                    23 22 0:5 / /dev rw,nosuid,noexec - devtmpfs none rw\n\
                    24 22 8:1 / /mnt rw,nosuid - ext4 /dev/sda1 rw\n\
                    25 22 8:2 / /cd rw - iso9660 /dev/sr0 ro\n";
        assert_eq!(writable_and_executable(info), ["/mnt"]);
    }
}
