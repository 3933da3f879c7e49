//! The time as an operator says it, at the first set-up of a machine whose clock is wrong and that
//! has no time server.

use crate::clock;
use crate::render;
use domain::Time;
use network::time::clock::{EARLIEST_MILLISECONDS, LATEST_MILLISECONDS, SetClock};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// `2026-11-23 05:30:00`; the seconds may be left out, and a T and a Z may stand in it (RFC 3339).
const TYPED: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute][optional [:[second]]]");

/// Milliseconds since boot, for a process of its own clock.
fn unsigned(since_boot: i64) -> Result<u64, String> {
    u64::try_from(since_boot).map_err(|e| e.to_string())
}

/// Now, as an operator reads it.
pub(crate) fn now() -> String {
    let text = render::moment(clock::now());
    // 2026-11-23T05:30:00.123Z
    let text: String = text.chars().take(19).collect();
    text.replace('T', " ")
}

/// What the process that sets the clock is told. It was that time when the clock that counts since
/// boot said `typed_at`, or is that time now.
///
/// # Errors
/// In words, for the operator: it is no time, or none that can be.
pub(crate) fn request(utc: &str, typed_at: Option<i64>) -> Result<SetClock, String> {
    let milliseconds = milliseconds(utc)?;
    let since_boot = clock::since_boot();
    let typed_at = typed_at.filter(|at| *at <= since_boot);
    Ok(SetClock {
        // A clock that counts up gives every request another one.
        id: since_boot.to_string(),
        milliseconds,
        since_boot_milliseconds: unsigned(typed_at.unwrap_or(since_boot))?,
    })
}

/// What the time is now, by a request that may have waited for a confirmation.
pub(crate) fn now_by(request: &SetClock) -> Time {
    let then = i64::try_from(request.since_boot_milliseconds).unwrap_or(i64::MAX);
    let passed = clock::since_boot().saturating_sub(then);
    let typed = i64::try_from(request.milliseconds).unwrap_or(i64::MAX);
    Time(typed.saturating_add(passed))
}

/// Milliseconds since 1970, within what the process that sets the clock takes.
fn milliseconds(utc: &str) -> Result<u64, String> {
    let plain = utc.trim().trim_end_matches('Z').replace('T', " ");
    let typed = PrimitiveDateTime::parse(&plain, TYPED);
    let typed = typed.map_err(|_| {
        format!("{utc:?} is not a date and time; write it like 2026-11-23T05:30:00Z, in UTC")
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
    let Time(wanted) = now_by(request);
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
        assert_eq!(
            milliseconds("2026-11-23T05:30:00Z").unwrap(),
            1_795_411_800_000
        );
        for wrong in [
            "",
            "2026-11-23T05:30:00+01:00",
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
