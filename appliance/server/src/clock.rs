//! The one place that asks the machine what time it is.
//!
//! A wall clock that jumps (a wrong setting, a virtual machine that was moved) must not end the
//! life of keys, so a jump is not followed: time goes on from the last believed moment with the
//! clock that counts since boot, suspensions included. Small corrections, as NTP makes them, are
//! followed. After a restart the other members are believed, or the wall clock where there are
//! none; going back is ruled out by the log.

use domain::Time;
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A difference between two looks that is a correction and no jump: NTP steps by up to 128 ms and
/// slews below, and the clock is looked at every second at least.
const CORRECTION_MILLISECONDS_MAX: i64 = 1_000;

/// The last moment that was believed.
#[derive(Clone, Copy)]
struct Anchor {
    wall: i64,
    since_boot: i64,
}

static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);

/// Added to the wall clock: lets a test of a `dev` node turn it.
static TURNED_MILLISECONDS: AtomicI64 = AtomicI64::new(0);

/// Now, in milliseconds since 1970. A clock before 1970 reads as 1970.
pub(crate) fn now() -> Time {
    let (wall, since_boot) = (wall(), since_boot());
    let mut anchor = ANCHOR.lock();
    let believed = anchor.map_or(wall, |last| last.expected(since_boot));
    if (wall - believed).abs() > CORRECTION_MILLISECONDS_MAX {
        return Time(believed);
    }
    *anchor = Some(Anchor { wall, since_boot });
    Time(wall)
}

/// From now on the time is so many milliseconds later than [`now`] said: the other members are
/// believed, and the wall clock as soon as it agrees with them.
pub(crate) fn step(milliseconds: i64) {
    let believed = now().0.saturating_add(milliseconds);
    let since_boot = since_boot();
    let mut anchor = ANCHOR.lock();
    *anchor = Some(Anchor {
        wall: believed,
        since_boot,
    });
}

/// How far the wall clock stands from the time that is believed, in milliseconds, when it jumped.
pub(crate) fn jump() -> Option<i64> {
    let believed = now().0;
    let jump = wall() - believed;
    (jump.abs() > CORRECTION_MILLISECONDS_MAX).then_some(jump)
}

/// Milliseconds since the machine was switched on, suspensions included (CLOCK_BOOTTIME): a lease
/// must end while a virtual machine is paused.
pub(crate) fn since_boot() -> i64 {
    let read = clock_gettime(ClockId::CLOCK_BOOTTIME);
    // Linux has had this clock since 2.6.39.
    let read = read.expect("the kernel counts the time since boot");
    read.tv_sec() * 1_000 + read.tv_nsec() / 1_000_000
}

/// Turns the wall clock as this process reads it.
pub(crate) fn turn(milliseconds: i64) {
    TURNED_MILLISECONDS.store(milliseconds, Ordering::Relaxed);
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn wall() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let wall = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    wall.saturating_add(TURNED_MILLISECONDS.load(Ordering::Relaxed))
        .max(0)
}

impl Anchor {
    /// What the wall clock should show now.
    fn expected(self, since_boot: i64) -> i64 {
        self.wall + (since_boot - self.since_boot)
    }
}

/// Tests that turn the clock of their process do so one at a time.
#[cfg(test)]
pub(crate) static TURNING: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_not_followed_and_shown() {
        let _alone = TURNING.lock();
        let before = now().0;
        turn(10 * 365 * 86_400_000);
        let after = now().0;
        assert!((after - before).abs() < 5_000, "{before} {after}");
        let jump_seen = jump().expect("ten years are a jump");
        assert!(jump_seen > 9 * 365 * 86_400_000);
        turn(0);
        assert_eq!(jump(), None);
    }
}
