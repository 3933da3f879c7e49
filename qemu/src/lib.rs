//! A virtual machine as a library: QEMU with its console, its control connection, disks, networks
//! and a TPM.
//!
//! A machine is put together with a [`Builder`], switched on by [`Builder::start`], and talked to
//! through its [`Serial`] line. Every wait has a deadline, and one that is in vain shows the last
//! lines of the transcript. Dropping a [`Machine`] pulls its plug; it ends too when this process
//! ends without dropping anything.
//!
//! ```no_run
//! use qemu::{Boot, Disk, Format, Kernel, Machine, Nic, Probe, await_answer};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), qemu::Fault> {
//! let boot = Boot::Kernel(Kernel {
//!     kernel: "target/image/virt/vmlinuz".into(),
//!     initrd: Some("target/image/virt/initrd".into()),
//!     cmdline: "console=ttyS0,115200 quiet".into(),
//! });
//! let mut machine = Machine::builder("node-1", boot)
//!     .disk(Disk::snapshot("target/image/virt/disk.raw", Format::Raw))
//!     .nic(Nic::user().forward(5696).forward(22))
//!     .start()?;
//!
//! // Talk to it as a person at the console does.
//! let minute = Duration::from_secs(60);
//! machine.serial().at_prompt("hostname", minute)?;
//! machine.serial().send_line("alpha")?;
//! let report = machine.serial().expect("is that right?", minute)?;
//! assert!(report.contains("alpha"));
//!
//! // Reach what listens in it. The port of this host was chosen by QEMU.
//! if let Some(ssh) = machine.forwarded(22) {
//!     await_answer(ssh, &Probe::Greeting, minute)?;
//! }
//!
//! machine.power_cut();
//! # Ok(())
//! # }
//! ```
//!
//! Several machines meet on a [`Switch`]:
//!
//! ```no_run
//! # use qemu::{Boot, Machine, Nic, Switch};
//! # fn main() -> Result<(), qemu::Fault> {
//! let switch = Switch::new(7)?;
//! let (one, other) = (switch.leg()?, switch.leg()?);
//! let first = Machine::builder("1", Boot::Disk).nic(Nic::switch(&one)).start()?;
//! let second = Machine::builder("2", Boot::Disk).nic(Nic::switch(&other)).start()?;
//! switch.cut(&one, &other); // 1 hears 2, and 2 does not hear 1
//! # Ok(())
//! # }
//! ```

mod accel;
mod answer;
mod boot;
mod builder;
mod child;
mod console;
mod crash;
mod disk;
mod fault;
mod machine;
mod network;
mod qmp;
mod serial;
mod switch;
mod tpm;

pub use accel::{ACCEL_VARIABLE, Accel};
pub use answer::{Probe, await_answer};
pub use boot::{Boot, Firmware, Kernel, Keys};
pub use builder::Builder;
pub use console::Left;
pub use crash::{CrashState, WriteLog, copy_sparse};
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
