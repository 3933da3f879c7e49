//! When this node last heard from a quorum: the lease under which it may serve keys alone.
//!
//! Counted by the clock that goes on while a machine is suspended. After a restart the last record
//! of the cluster log tells how long ago it was, so that restarting a stolen node renews nothing.

use crate::clock;
use domain::Time;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// After a question that no quorum answered, readers are told at once for so long; meanwhile the
/// member itself asks every second, and its first success counts.
const CUT_OFF_BELIEVED: Duration = Duration::from_secs(5);

/// The last word of a quorum.
#[derive(Debug)]
pub struct Contact {
    /// Milliseconds since boot; negative when it was before.
    heard: AtomicI64,
    /// When a question went without an answer.
    lost: Mutex<Option<Instant>>,
    /// The others have said that this node is no member any more.
    expelled: AtomicBool,
}

impl Contact {
    /// The last word was at the time of a record.
    pub(crate) fn since(latest: Time) -> Self {
        let age = clock::now().0.saturating_sub(latest.0).max(0);
        Self {
            heard: AtomicI64::new(clock::since_boot().saturating_sub(age)),
            lost: Mutex::new(None),
            expelled: AtomicBool::new(false),
        }
    }

    /// The others do not count this node among them any more: it serves nothing from now on.
    pub(crate) fn expel(&self) {
        self.expelled.store(true, Ordering::Relaxed);
    }

    /// Whether this node was removed.
    pub fn is_expelled(&self) -> bool {
        self.expelled.load(Ordering::Relaxed)
    }

    /// A quorum has answered now.
    pub(crate) fn heard(&self) {
        self.heard.fetch_max(clock::since_boot(), Ordering::Relaxed);
    }

    /// A quorum has answered a question that was asked at `asked`.
    pub(crate) fn heard_at(&self, asked: Instant) {
        let age = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let at = clock::since_boot().saturating_sub(age);
        self.heard.fetch_max(at, Ordering::Relaxed);
    }

    /// No quorum has answered.
    pub(crate) fn is_lost(&self) {
        *self.lost.lock() = Some(Instant::now());
    }

    /// Whether no quorum answered a moment ago and none has since; `last` is when the last question
    /// was asked that one has answered.
    pub(crate) fn is_cut_off(&self, last: Option<Instant>) -> bool {
        let lost = *self.lost.lock();
        lost.is_some_and(|lost| lost.elapsed() < CUT_OFF_BELIEVED && last < Some(lost))
    }

    /// Seconds since.
    pub fn age_seconds(&self) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed);
        let age = clock::since_boot().saturating_sub(heard);
        u64::try_from(age / 1_000).unwrap_or(0)
    }
}
