//! The one call that no safe wrapper has: something to do between fork and exec.
#![expect(unsafe_code, reason = "CommandExt::pre_exec is unsafe")]

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the kernel kill the program when the thread that starts it ends.
pub(super) fn dies_with_us(command: &mut Command) {
    let us = std::process::id();
    let ask = move || -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        // Ended between fork and the call above: the signal will never come.
        if u32::try_from(getppid().as_raw()) != Ok(us) {
            return Err(io::Error::from(Errno::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `ask` makes two
    // system calls and allocates nothing: errors are bare numbers.
    unsafe {
        command.pre_exec(ask);
    }
}
