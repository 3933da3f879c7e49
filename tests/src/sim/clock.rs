//! The clock of a simulated node: the time of the world, badly told.

use domain::Time;

/// Monday, 2030-01-07T00:00:00Z, in milliseconds: when every run begins.
pub const START: Time = Time(1_893_974_400_000);

/// A clock that is off by what its skew and its jumps have come to.
#[derive(Debug, Clone, Default)]
pub struct SimClock {
    off_by: i64,
    /// The latest time told: as the engine does it, a clock that goes back takes no time with it.
    latest: i64,
}

impl SimClock {
    /// Begins with a skew, in milliseconds.
    #[must_use]
    pub fn new(skew: i64) -> Self {
        Self {
            off_by: skew,
            latest: 0,
        }
    }

    /// Jumps by so many milliseconds.
    pub fn jump(&mut self, milliseconds: i64) {
        self.off_by += milliseconds;
    }

    /// Is set right. What was told already stays told.
    pub fn set_right(&mut self) {
        self.off_by = 0;
    }

    /// What the clock shows, with no memory of what it showed before.
    #[must_use]
    pub fn shown(&self, world: Time) -> Time {
        Time(world.0 + self.off_by)
    }

    /// The time to act by: what the clock shows, but neither before what it showed earlier nor
    /// before the latest record.
    pub fn now(&mut self, world: Time, latest_record: Time) -> Time {
        let shown = self.shown(world).0.max(latest_record.0);
        self.latest = self.latest.max(shown);
        Time(self.latest)
    }
}
