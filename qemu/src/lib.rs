//! A virtual machine as a library.
//!
//! ```no_run
//! use qemu::{Boot, Kernel, Machine, Nic};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), qemu::Fault> {
//! let boot = Boot::Kernel(Kernel {
//!     kernel: "vmlinuz".into(),
//!     initrd: Some("initrd".into()),
//!     cmdline: "console=ttyS0 quiet".into(),
//! });
//! let mut machine = Machine::builder("node-1", boot)
//!     .nic(Nic::user().forward(5696))
//!     .start()?;
//! let serial = machine.serial();
//! serial.at_prompt("hostname", Duration::from_secs(60))?;
//! serial.send_line("alpha")?;
//! machine.wait_end(Duration::from_secs(60))?;
//! # Ok(())
//! # }
//! ```

mod accel;
mod boot;
mod builder;
mod child;
mod console;
mod disk;
mod fault;
mod machine;
mod network;
mod qmp;
mod serial;
mod switch;
mod tpm;

pub use accel::{ACCEL_VARIABLE, Accel};
pub use boot::{Boot, Firmware, Kernel, Keys};
pub use builder::Builder;
pub use console::Left;
pub use disk::{Bus, Disk, Format};
pub use fault::Fault;
pub use machine::Machine;
pub use network::{Model, Nic};
pub use qmp::{Event, Qmp};
pub use serial::Serial;
pub use switch::{Count, Leg, Switch, Wire};

/// The program that machines are run by.
const QEMU: &str = "qemu-system-x86_64";

/// The Debian package that it comes from.
const QEMU_PACKAGE: &str = "qemu-system-x86";
