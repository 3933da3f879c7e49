//! What the KMIP door counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the KMIP door.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions begun.
    pub sessions: AtomicU64,
    /// Sessions open now.
    pub open: AtomicU64,
    /// Batch items carried out.
    pub done: AtomicU64,
    /// Batch items refused or failed.
    pub refused: AtomicU64,
    /// Handshakes that came to nothing.
    pub rejected: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts one more of something that is open, until it is dropped.
#[derive(Debug)]
pub struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    /// One more.
    pub fn count(gauge: &'a AtomicU64) -> Self {
        Counters::add(gauge);
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
