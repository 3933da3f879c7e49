//! The machine's end: halt, restart, and what happens when PID 1 itself cannot go on.
//!
//! There is no way from here to a shell. A fault of the boot and a panic of PID 1 end alike: one
//! line on the console and in the log, what is written goes to the disk, five seconds to read the
//! line, restart. The firmware's boot counting then gives an older system its turn.

use crate::fault::Outcome;
use crate::report;
use crate::setup;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use std::time::Duration;
use std::{panic, thread};

/// Long enough to read a line on a serial console, as `panic=5` for the kernel's own end.
const READING_TIME: Duration = Duration::from_secs(5);

/// Mounted by us and writable, innermost first.
const WRITABLE: &[&str] = &["/data/keys", "/data"];

/// How the machine shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Power off.
    Halt,
    /// Start again.
    Restart,
}

/// Ends the machine after the services have ended.
pub(crate) fn end(end: End) -> ! {
    setup::forget();
    leave_disks();
    report::say(match end {
        End::Halt => "halted; the power can be cut",
        End::Restart => "restarting",
    });
    call(end)
}

/// Says what went wrong and restarts the machine.
pub(crate) fn fatal(reason: &str) -> ! {
    report::say(&format!("cannot go on: {reason}"));
    report::say("restarting in 5 seconds");
    leave_disks();
    thread::sleep(READING_TIME);
    call(End::Restart)
}

/// Makes every panic of PID 1, in whichever thread, end in [`fatal`].
pub(crate) fn catch_panics() {
    panic::set_hook(Box::new(|info| {
        fatal(&format!("PID 1 broke an invariant: {info}"))
    }));
}

/// The value, or the end of the machine.
pub(crate) fn or_fatal<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|fault| fatal(&fault.to_string()))
}

/// Everything written is on the disk and the file systems say so.
fn leave_disks() {
    nix::unistd::sync();
    for target in WRITABLE {
        // Busy when a process did not die, absent when the boot did not come so far: read-only
        // does as well, and a journal stands behind both.
        if umount2(*target, MntFlags::empty()).is_err() {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            let _ = mount(None::<&str>, *target, None::<&str>, flags, None::<&str>);
        }
    }
    nix::unistd::sync();
}

fn call(end: End) -> ! {
    let mode = match end {
        End::Halt => RebootMode::RB_POWER_OFF,
        End::Restart => RebootMode::RB_AUTOBOOT,
    };
    let refused = reboot(mode);
    report::say(&format!(
        "the kernel refuses to end: {refused:?}; cut the power"
    ));
    // PID 1 must not return: the kernel would panic with a worse message.
    loop {
        thread::sleep(READING_TIME);
    }
}
