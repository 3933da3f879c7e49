//! Network and time of the appliance.
//!
//! Two small processes, each confined to the one thing it may do: `strongroom-network` sets
//! addresses and routes (CAP_NET_ADMIN), `strongroom-time` sets the clock (CAP_SYS_TIME). Neither
//! sees a key. They read what the operator chose from one file and write what is so to another;
//! nobody calls them, and nothing listens.
//!
//! ```text
//! daemon -> network.json -> strongroom-network -> status.json, resolv.conf -> screens
//!                      \--> strongroom-time    -> time.json                -> screens, daemon
//! ```
//!
//! * [`settings`]: what the operator chose, and every rule about it. [`status`]: what is so.
//! * [`plan`]: what the kernel should hold for these settings and leases; [`kernel`]: makes it so
//!   by netlink; [`dhcp`]: leases; [`supervise`]: the loop of `strongroom-network`.
//! * [`time`]: measurements of time servers, what to do about them, and doing it.
//! * [`files`]: whole files in and out. `sys`: the two system calls without a safe wrapper.

pub mod dhcp;
pub mod files;
pub mod kernel;
pub mod plan;
pub mod settings;
pub mod status;
pub mod supervise;
mod sys;
pub mod time;

pub use settings::{Interface, Ipv4, Ipv6, Mac, Settings, SettingsError};
pub use status::{NetworkStatus, TimeStatus};

/// Says something to whoever reads standard error: PID 1, which keeps the last lines of each
/// service.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        eprintln!($($argument)*)
    };
}
