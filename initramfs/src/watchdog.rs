//! The machine's watchdog, if it has one: it resets a machine whose PID 1 no longer comes by.
//!
//! It is armed by opening it and fed by the loop of `supervise.rs`, so that neither a kernel that
//! hangs nor a PID 1 that does leaves a machine which neither serves nor restarts. The daemon is
//! not its business: PID 1 starts that again. (linux, Documentation/watchdog/watchdog-api.rst)

use crate::report;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

/// The first one; PID 1 is the only program that opens it.
const DEVICE: &str = "/dev/watchdog0";
/// What the kernel says of it.
const FACTS: &str = "/sys/class/watchdog/watchdog0";

/// Pause between two feedings: the shortest limit of a driver in our profiles is 10 s (IPMI).
pub(crate) const FEED: Duration = Duration::from_secs(2);

/// An armed watchdog. Dropped, it goes on counting: only an orderly end of the machine stops it.
#[derive(Debug)]
pub(crate) struct Watchdog(File);

impl Watchdog {
    /// Arms it. None where the machine has none, or the driver refuses, which is said.
    pub(crate) fn arm() -> Option<Self> {
        match File::options().write(true).open(DEVICE) {
            Ok(device) => Some(Self(device)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                report::say(&format!("{DEVICE} cannot be armed: {e}"));
                None
            }
        }
    }

    /// Begins its time anew.
    pub(crate) fn feed(&mut self) {
        // A refusal would end in a reset, which is what it is for.
        let _ = self.0.write_all(b"\0");
    }

    /// What the kernel says of it: the status shows it.
    pub(crate) fn status() -> Value {
        let fact = |name: &str| {
            let text = fs::read_to_string(format!("{FACTS}/{name}")).ok()?;
            Some(text.trim().to_owned())
        };
        match fact("identity") {
            None => Value::Null,
            Some(identity) => json!({
                "identity": identity,
                "state": fact("state"),
                "seconds": fact("timeout").and_then(|text| text.parse::<u32>().ok()),
            }),
        }
    }
}
