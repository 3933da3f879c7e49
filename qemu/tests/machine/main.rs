//! The library against the real QEMU, with a guest that boots in a third of a second.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that finds something else than it expects has to fail"
)]

mod disks;
mod firmware;
mod guest;
mod lifetime;
mod networks;
mod power;
mod serial;

use std::time::Duration;

/// How long the guest may take for anything: it needs less than a second on an idle host.
const SOON: Duration = Duration::from_secs(30);

/// How long a test waits to see that something does not happen.
const NEVER: Duration = Duration::from_millis(700);
