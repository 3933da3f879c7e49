//! Whether the members agree: scrubs, and divergences that were found.

use super::State;
use crate::{Event, Hash, NodeId, Time};
use alloc::collections::BTreeMap;

/// A comparison of all members at one size of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// Its number, from 1.
    pub number: u64,
    /// Size of the log at which the digests are taken: the one with the record that began it.
    pub at: u64,
    /// When it began.
    pub time: Time,
    /// What the members said.
    pub reports: BTreeMap<NodeId, ScrubReport>,
}

/// What one member said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubReport {
    /// Digest of its state.
    pub state: Hash,
    /// Digest of its sealed store; none from a witness.
    pub store: Option<Hash>,
}

/// Two members that differ where they must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Size of the log.
    pub size: u64,
    /// One of them.
    pub node: NodeId,
    /// Its Merkle root at that size, or its state digest.
    pub root: Hash,
    /// The other.
    pub other: NodeId,
    /// The same of the other.
    pub other_root: Hash,
    /// The scrub whose state digests these are; `None` when they are Merkle roots.
    pub scrub: Option<u64>,
    /// When it was found.
    pub time: Time,
}

impl Divergence {
    /// Whether it is about these two, in either order.
    pub fn is_between(&self, one: NodeId, two: NodeId) -> bool {
        (self.node, self.other) == (one, two) || (self.node, self.other) == (two, one)
    }
}

impl State {
    /// The last scrub; `None` before the first.
    pub const fn scrub(&self) -> Option<&Scrub> {
        self.scrub.as_ref()
    }

    /// The first divergence that nobody has resolved. While there is one, users change nothing.
    pub fn divergence(&self) -> Option<&Divergence> {
        self.divergences.first()
    }

    /// All divergences that nobody has resolved, one for each pair of members.
    pub fn divergences(&self) -> &[Divergence] {
        &self.divergences
    }

    /// How many pieces were repaired on all members.
    pub const fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Takes an event about agreement. `None` when it does not fit.
    pub(super) fn apply_to_integrity(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::ScrubBegun { scrub } => {
                self.scrub = Some(Scrub {
                    number: *scrub,
                    at: self.records,
                    time,
                    reports: BTreeMap::new(),
                });
            }
            Event::ScrubReported {
                node,
                scrub,
                state,
                store,
            } => {
                let report = ScrubReport {
                    state: *state,
                    store: *store,
                };
                let current = self.scrub.as_mut().filter(|s| s.number == *scrub)?;
                current.reports.insert(*node, report);
            }
            Event::DivergenceFound {
                size,
                node,
                root,
                other,
                other_root,
                scrub,
            } => {
                if self.divergences.iter().any(|d| d.is_between(*node, *other)) {
                    return None;
                }
                self.divergences.push(Divergence {
                    size: *size,
                    node: *node,
                    root: *root,
                    other: *other,
                    other_root: *other_root,
                    scrub: *scrub,
                    time,
                });
            }
            Event::DivergenceResolved { .. } => self.divergences.clear(),
            Event::Repaired { items, .. } => self.repaired = self.repaired.saturating_add(*items),
            // All others are taken by the callers.
            _ => return None,
        }
        Some(())
    }
}
