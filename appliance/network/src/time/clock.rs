//! The clock as a port: read, slewed, set.

use crate::sys::{Adjustment, adjust};
use nix::libc;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// The loop's time constant for a question every 64 seconds: it corrects a sixteenth of what is
/// left each second (RFC 5905 §11.3, with the kernel's SHIFT_PLL of 2).
const TIME_CONSTANT: i64 = 2;

/// A clock. The kernel's in the program, one made of numbers in tests.
pub trait Clock {
    /// Time since 1970.
    fn now(&self) -> Duration;

    /// Goes faster or slower until it has gained this much.
    ///
    /// # Errors
    /// When this process may not (CAP_SYS_TIME).
    fn slew(&mut self, microseconds: i64) -> io::Result<()>;

    /// Is this much later at once.
    ///
    /// # Errors
    /// When this process may not (CAP_SYS_TIME).
    fn step(&mut self, microseconds: i64) -> io::Result<()>;
}

/// CLOCK_REALTIME.
///
/// The kernel's status says "unsynchronised" all the time: with the other word it would write the
/// time to the hardware clock every eleven minutes, which is not ours to turn.
#[derive(Debug, Default)]
pub struct KernelClock(());

impl Clock for KernelClock {
    fn now(&self) -> Duration {
        // A clock before 1970 reads as 1970; the first round then refuses it or sets it.
        let read = clock_gettime(ClockId::CLOCK_REALTIME);
        let seconds = read.map_or(0, |read| read.tv_sec());
        let nanoseconds = read.map_or(0, |read| read.tv_nsec());
        Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanoseconds).unwrap_or(0),
        )
    }

    fn slew(&mut self, microseconds: i64) -> io::Result<()> {
        adjust(slewing(microseconds))
    }

    fn step(&mut self, microseconds: i64) -> io::Result<()> {
        // What is left of an earlier slew would come on top.
        adjust(slewing(0))?;
        adjust(stepping(microseconds))
    }
}

fn slewing(microseconds: i64) -> Adjustment {
    Adjustment {
        modes: libc::ADJ_OFFSET | libc::ADJ_STATUS | libc::ADJ_NANO | libc::ADJ_TIMECONST,
        offset: microseconds.saturating_mul(1_000),
        status: libc::STA_PLL | libc::STA_UNSYNC,
        constant: TIME_CONSTANT,
        ..Adjustment::default()
    }
}

fn stepping(microseconds: i64) -> Adjustment {
    // The part below a second is never negative (adjtimex(2)).
    let seconds = microseconds.div_euclid(1_000_000);
    let rest = microseconds.rem_euclid(1_000_000);
    Adjustment {
        modes: libc::ADJ_SETOFFSET | libc::ADJ_NANO,
        add: (seconds, rest * 1_000),
        ..Adjustment::default()
    }
}

/// The file `clock.json`: an operator says what time it is.
///
/// The time is tied to the clock that counts since boot, so that it does not matter when the file
/// is read, and each request is obeyed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetClock {
    /// Anything that no other request since boot had.
    pub id: String,
    /// The time, in milliseconds since 1970.
    pub milliseconds: u64,
    /// When it was that time, in milliseconds since boot (CLOCK_BOOTTIME).
    pub since_boot_milliseconds: u64,
}

/// 2024-01-01: no machine of this release is older.
pub const EARLIEST_MILLISECONDS: u64 = 1_704_067_200_000;
/// 2200-01-01: beyond, arithmetic of others ends.
pub const LATEST_MILLISECONDS: u64 = 7_258_118_400_000;

impl SetClock {
    /// By how many microseconds the clock that reads `now` has to be set, `since_boot` later.
    ///
    /// # Errors
    /// When the time cannot be.
    pub fn difference(&self, now: Duration, since_boot: Duration) -> io::Result<i64> {
        if !(EARLIEST_MILLISECONDS..LATEST_MILLISECONDS).contains(&self.milliseconds) {
            return Err(io::Error::other("it is not between 2024 and 2200"));
        }
        let then = Duration::from_millis(self.since_boot_milliseconds);
        let passed = since_boot
            .checked_sub(then)
            .ok_or_else(|| io::Error::other("the request is from before this boot"))?;
        let wanted = Duration::from_millis(self.milliseconds) + passed;
        let micros = |time: Duration| i64::try_from(time.as_micros()).map_err(io::Error::other);
        Ok(micros(wanted)? - micros(now)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn steps_are_never_negative_below_a_second() {
        assert_eq!(stepping(-1).add, (-1, 999_999_000));
        assert_eq!(stepping(1_500_000).add, (1, 500_000_000));
    }

    #[test]
    fn slews_never_say_that_the_clock_is_synchronised() {
        assert_eq!(slewing(-250).offset, -250_000);
        assert_ne!(slewing(1).status & libc::STA_UNSYNC, 0);
    }

    #[test]
    fn an_operators_time_goes_on_while_the_file_waits() {
        let request = SetClock {
            id: "1".to_owned(),
            milliseconds: 1_800_000_000_000,
            since_boot_milliseconds: 60_000,
        };
        let now = Duration::from_secs(1_700_000_000);
        let by = request.difference(now, Duration::from_secs(65)).unwrap();
        assert_eq!(by, 100_000_005 * 1_000_000);
        assert!(request.difference(now, Duration::from_secs(59)).is_err());
        let old = SetClock {
            milliseconds: 0,
            ..request
        };
        assert!(old.difference(now, Duration::from_secs(65)).is_err());
    }
}
