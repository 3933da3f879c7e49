//! A program that ends when the process that started it does, however that ended.
//!
//! A destructor or a signal handler would not run when a benchmark is killed, or panics in a build
//! that aborts; the kernel's parent-death signal comes in any case. A process can only set it for
//! itself, so this one does and then becomes the program.

use anyhow::Error;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the hidden job `tied` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// The command for `program`, tied to the thread that will start it: let that be one which lasts.
pub(crate) fn command(program: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("tied").arg(program);
    Ok(command)
}

/// Becomes the program; comes back only with the reason why not.
pub(crate) fn run(options: &Options) -> Error {
    // SIGTERM: a node ends in order, and one that looks after others ends them too.
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        return Error::new(error).context("tying a process to its parent");
    }
    let error = Command::new(&options.program)
        .args(&options.arguments)
        .exec();
    Error::new(error).context(format!("starting {}", options.program.display()))
}
