//! Bugs that can be put back in, so that the simulated cluster can show that it finds them.
//!
//! Without the feature `danger_bugs`, which only that suite asks for, none of them is there: every
//! question is answered "no" when the crate is compiled. With it, the bug is chosen for the thread
//! in which a simulation runs.

/// A bug that was thought of, and prevented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Entries are reported as durable before the disk has them.
    AckBeforeFsync,
    /// A command is tried again as soon as another leader is seen, and counts in whatever term its
    /// entries come to stand.
    NoTermFence,
    /// A follower reads what it happens to have applied.
    ReadWithoutBarrier,
    /// A vote is given before the disk has it.
    VoteNotSynced,
}

#[cfg(feature = "danger_bugs")]
mod planted {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug into every member that runs on this thread, or takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "danger_bugs")]
pub(crate) use planted::has;
#[cfg(feature = "danger_bugs")]
pub use planted::plant;

/// Whether this bug is in.
#[cfg(not(feature = "danger_bugs"))]
pub(crate) const fn has(_bug: Bug) -> bool {
    false
}
