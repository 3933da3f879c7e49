//! `strongroom-time [SETTINGS [STATE]]`: the clock of the appliance follows time servers.
//!
//! Reads `network.json` (SETTINGS, a file) and `clock.json` beside it, and writes `time.json`
//! (STATE, a folder); all have the places of the image unless given. Needs CAP_SYS_TIME.

use network::time::clock::KernelClock;
use network::time::{Paths, Timekeeper};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut paths = Paths::default();
    let mut arguments = std::env::args_os().skip(1);
    if let Some(settings) = arguments.next() {
        paths.settings = settings.into();
        paths.request = paths.settings.with_file_name("clock.json");
    }
    if let Some(state) = arguments.next() {
        paths.state = state.into();
    }
    let keeper = Timekeeper::new(paths, KernelClock::default());
    let result = match keeper {
        Ok(keeper) => keeper.run().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom-time: {error}");
            ExitCode::FAILURE
        }
    }
}
