//! The one place that asks the machine what time it is.

use domain::Time;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
