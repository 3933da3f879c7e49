//! How long a node that hears from no quorum may go on serving keys.
//!
//! Storage must come up when the other sites are away; a thief who carries a node off must not be
//! served for ever. Each key sharing group settles that for its keys, and the strictest group of an
//! object counts.

use crate::{Denial, Name, Object, State};
use core::fmt;
use serde::{Deserialize, Serialize};

/// For how long Get is answered without a quorum, counted from the last word of one.
///
/// *Warning:* stored in the ledger. The order is from strict to lenient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OfflineGet {
    /// Not at all.
    Never,
    /// For less than so many seconds.
    Seconds(u64),
    /// Without an end.
    Always,
}

impl Default for OfflineGet {
    /// A day: an outage of a weekend's night is bridged, a stolen node is not useful for long.
    fn default() -> Self {
        Self::Seconds(24 * 60 * 60)
    }
}

impl OfflineGet {
    /// Whether something may be served when the last word of a quorum is so old.
    pub const fn permits(self, age_seconds: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Seconds(limit) => age_seconds < limit,
            Self::Always => true,
        }
    }
}

impl fmt::Display for OfflineGet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Always => f.write_str("always"),
        }
    }
}

/// That an answer was given without a quorum.
///
/// *Warning:* stored in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// Seconds since the last word of a quorum.
    pub age_seconds: u64,
}

impl State {
    /// For how long an object may be served without a quorum: the strictest of the groups in which
    /// it is shared. A group for which nothing was set has the limit of the cluster, as has an
    /// object that is not shared.
    pub fn offline_get(&self, object: &Object) -> OfflineGet {
        let owner = self.user_at(object.owner);
        object
            .groups()
            .filter(|group| owner.is_some_and(|owner| owner.membership(group).is_some()))
            .filter_map(|group| Name::parse(group).ok())
            .map(|group| self.offline_get_of(Some(&group)))
            .min()
            .unwrap_or_else(|| self.offline_get_of(None))
    }
}

/// Whether an object may be served by a node whose last word of a quorum is `age_seconds` old. It
/// is asked besides [`crate::permit`], and only when no quorum answers.
///
/// # Errors
/// [`Denial::TooStale`].
pub fn permit_offline(state: &State, object: &Object, age_seconds: u64) -> Result<(), Denial> {
    let limit = state.offline_get(object);
    if limit.permits(age_seconds) {
        return Ok(());
    }
    Err(Denial::TooStale { age_seconds, limit })
}
