//! What a leader knows of its followers from their own answers.
//!
//! Openraft keeps the like inside; here it is at hand without asking its loop, exact at the moment
//! of the answer, and it survives the end of a reign where that matters.

use crate::types::Reign;
use openraft::LogId;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// A follower answered that an entry is missing which it had reported as durable before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log of node {node} went backwards: it had entry {had} on its disk and now lacks entry \
     {missing}; its data folder was rolled back or damaged: remove the node and let it join anew"
)]
pub struct Reversion {
    /// Which node.
    pub node: u64,
    /// Highest entry it had reported.
    pub had: u64,
    /// Entry that it lacks now.
    pub missing: u64,
}

#[derive(Debug, Default)]
struct Follower {
    reign: Reign,
    matched: Option<LogId<u64>>,
    heard: Option<Instant>,
    /// Highest committed entry it ever had, in any reign of this node.
    remembered: Option<u64>,
    reversion: Option<Reversion>,
}

impl Follower {
    /// What was known of it in an earlier reign says nothing about this one.
    fn enter(&mut self, reign: Reign) {
        if self.reign != reign {
            self.reign = reign;
            self.matched = None;
            self.heard = None;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Followers {
    known: BTreeMap<u64, Follower>,
    committed: Option<u64>,
}

impl Followers {
    fn follower(&mut self, node: u64, reign: Reign) -> &mut Follower {
        let follower = self.known.entry(node).or_default();
        follower.enter(reign);
        follower
    }

    pub(super) fn heard(&mut self, node: u64, reign: Reign, sent: Instant) {
        let follower = self.follower(node, reign);
        follower.heard = follower.heard.max(Some(sent));
    }

    pub(super) fn matched(&mut self, node: u64, reign: Reign, entry: Option<LogId<u64>>) {
        let committed = self.committed;
        let follower = self.follower(node, reign);
        follower.matched = follower.matched.max(entry);
        remember(follower, committed);
    }

    pub(super) fn conflict(
        &mut self,
        node: u64,
        reign: Reign,
        missing: Option<LogId<u64>>,
    ) -> Result<(), Reversion> {
        let follower = self.follower(node, reign);
        let (Some(had), Some(missing)) = (follower.matched, missing) else {
            return Ok(());
        };
        if missing.index > had.index {
            return Ok(());
        }
        let reversion = Reversion {
            node,
            had: had.index,
            missing: missing.index,
        };
        follower.reversion = Some(reversion.clone());
        Err(reversion)
    }

    pub(super) fn committed(&mut self, index: Option<u64>) {
        if index <= self.committed {
            return;
        }
        self.committed = index;
        for follower in self.known.values_mut() {
            remember(follower, index);
        }
    }

    pub(super) fn remembered(&self, node: u64) -> Option<u64> {
        self.known.get(&node)?.remembered
    }

    pub(super) fn reversions(&self) -> BTreeMap<u64, Reversion> {
        let known = self.known.iter();
        known
            .filter_map(|(node, f)| Some((*node, f.reversion.clone()?)))
            .collect()
    }

    pub(super) fn contacts(&self, reign: Reign) -> BTreeMap<u64, Instant> {
        let known = self.known.iter().filter(|(_, f)| f.reign == reign);
        known
            .filter_map(|(node, f)| Some((*node, f.heard?)))
            .collect()
    }

    pub(super) fn matches(&self, reign: Reign) -> BTreeMap<u64, u64> {
        let known = self.known.iter().filter(|(_, f)| f.reign == reign);
        known
            .filter_map(|(node, f)| Some((*node, f.matched?.index)))
            .collect()
    }

    pub(super) fn forget(&mut self, node: u64) {
        self.known.remove(&node);
    }
}

/// Only committed entries count: others may rightly be replaced in the reign of another leader.
fn remember(follower: &mut Follower, committed: Option<u64>) {
    let durable = follower.matched.map(|id| id.index).min(committed);
    follower.remembered = follower.remembered.max(durable);
}

/// The latest instant at which a quorum was with this node: of each set of voters, the instant
/// that a majority has reached (this node itself counts as reached now).
pub(crate) fn quorum_contact(
    sets: &[BTreeSet<u64>],
    node: u64,
    now: Instant,
    contacts: &BTreeMap<u64, Instant>,
) -> Option<Instant> {
    let of_set = |set: &BTreeSet<u64>| {
        let mut heard: Vec<Instant> = set
            .iter()
            .filter_map(|voter| match *voter == node {
                true => Some(now),
                false => contacts.get(voter).copied(),
            })
            .collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard.get(set.len() / 2).copied()
    };
    let instants: Option<Vec<Instant>> = sets.iter().map(of_set).collect();
    instants?.into_iter().min()
}
