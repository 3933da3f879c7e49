//! PID 1 of the appliance: from the kernel's first instruction in user space to the services.
//!
//! One static program, used three times. As `/init` of the initramfs it runs the first tables of
//! `phases.rs` and enters the verified root (or, in the installer's image, writes a disk and ends:
//! `installer.rs`); from there it starts itself again as PID 1
//! (`second`), runs the second table and then supervises (`supervise.rs`); for each service it
//! starts itself once more (`confine NAME`), gives up everything the service's line in
//! `services.rs` does not name, and becomes the service.
//!
//! It never gives a shell, and never opens a file of `/.extra`, where the boot stub leaves what
//! nobody signed.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "a test may fail loudly"
    )
)]

mod command_line;
mod confine;
mod control;
mod data;
mod disks;
mod fault;
mod gpt;
mod hardening;
mod installer;
mod log;
mod modules;
mod mounts;
mod phases;
mod power;
mod raw;
mod report;
mod self_test;
mod services;
mod setup;
mod status;
mod supervise;
mod syscalls;
mod verity;
mod watchdog;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_first_process = std::process::id() == 1;
    match words.as_slice() {
        ["/init", ..] if is_first_process => {
            // Whatever else the kernel's command line passes on is not for us.
            power::catch_panics();
            phases::first()
        }
        [_, "second"] if is_first_process => {
            power::catch_panics();
            supervise::run(phases::second())
        }
        [_, "confine", service] => match confine::become_service(service) {
            Ok(never) => match never {},
            Err(fault) => {
                eprintln!("{fault}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("PID 1 of the appliance; the kernel starts it (see initramfs/README.md)");
            ExitCode::FAILURE
        }
    }
}
