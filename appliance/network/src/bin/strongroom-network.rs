//! `strongroom-network [SETTINGS [STATE]]`: addresses, routes and leases of the appliance.
//!
//! Reads `network.json` (SETTINGS, a file) and writes `status.json` and `resolv.conf` (STATE, a
//! folder); both have the places of the image unless given. Needs CAP_NET_ADMIN, and for DHCP
//! CAP_NET_RAW and CAP_NET_BIND_SERVICE.

use network::supervise::{Paths, run};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut paths = Paths::default();
    let mut arguments = std::env::args_os().skip(1);
    if let Some(settings) = arguments.next() {
        paths.settings = settings.into();
    }
    if let Some(state) = arguments.next() {
        paths.state = state.into();
    }
    match run(paths).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom-network: {error}");
            ExitCode::FAILURE
        }
    }
}
