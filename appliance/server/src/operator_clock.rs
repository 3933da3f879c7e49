//! The time as an operator says it, at the first set-up of a machine whose clock is wrong and that
//! has no time server.

use crate::clock;
use crate::render;
use domain::Time;
use network::time::clock::{EARLIEST_MILLISECONDS, LATEST_MILLISECONDS, SetClock};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// `2026-11-23 05:30:00`; the seconds may be left out.
const TYPED: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute][optional [:[second]]]");

/// Now, as an operator reads it.
pub(crate) fn now() -> String {
    let text = render::moment(clock::now());
    // 2026-11-23T05:30:00.123Z
    let text: String = text.chars().take(19).collect();
    text.replace('T', " ")
}

/// What the process that sets the clock is told.
///
/// # Errors
/// In words, for the operator: it is no time, or none that can be.
pub(crate) fn request(utc: &str) -> Result<SetClock, String> {
    let milliseconds = milliseconds(utc)?;
    let since_boot = clock::since_boot();
    Ok(SetClock {
        // A clock that counts up gives every request another one.
        id: since_boot.to_string(),
        milliseconds,
        since_boot_milliseconds: u64::try_from(since_boot).map_err(|e| e.to_string())?,
    })
}

/// Milliseconds since 1970, within what the process that sets the clock takes.
fn milliseconds(utc: &str) -> Result<u64, String> {
    let typed = PrimitiveDateTime::parse(utc.trim(), TYPED);
    let typed = typed.map_err(|_| {
        format!("{utc:?} is not a date and time; write it like 2026-11-23 05:30:00, in UTC")
    })?;
    let possible = EARLIEST_MILLISECONDS..LATEST_MILLISECONDS;
    u64::try_from(typed.assume_utc().unix_timestamp())
        .ok()
        .and_then(|seconds| seconds.checked_mul(1_000))
        .filter(|milliseconds| possible.contains(milliseconds))
        .ok_or_else(|| format!("{utc} is not between 2024 and 2200"))
}

/// Goes by that time from now on; the clock of the machine agrees in a moment.
pub(crate) fn follow(request: &SetClock) {
    let wanted = i64::try_from(request.milliseconds).unwrap_or(i64::MAX);
    let Time(now) = clock::now();
    clock::step(wanted.saturating_sub(now));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        assert_eq!(
            milliseconds("2026-11-23 05:30:00").unwrap(),
            1_795_411_800_000
        );
        assert_eq!(
            milliseconds(" 2026-11-23 05:30 ").unwrap(),
            1_795_411_800_000
        );
        for wrong in [
            "",
            "23.11.2026",
            "2026-11-23",
            "2026-13-01 00:00",
            "1999-01-01 00:00",
        ] {
            assert!(milliseconds(wrong).is_err(), "{wrong:?}");
        }
        assert!(milliseconds(&now()).is_ok());
    }
}
