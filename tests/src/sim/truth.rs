//! What the simulation knows and no node does: the one order, and what clients were told.

use super::raft_log::Entry;
use domain::{Hash, NodeId, Uid};
use ledger::{Frontier, leaf_hash};
use std::collections::{BTreeMap, BTreeSet};

/// What a client knows of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// Nothing: it may have been carried out.
    Nothing,
    /// It was carried out.
    Done,
    /// A rule said no.
    Refused,
    /// It was not and will never be carried out.
    NeverDone,
}

/// What a request wants to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A new object.
    Make(Uid),
    /// The end of one.
    Destroy(Uid),
    /// Anything else.
    Other,
}

/// A request for a change.
#[derive(Clone, Debug)]
pub struct Request {
    /// The node that was asked.
    pub node: usize,
    /// What it wants.
    pub aim: Aim,
    /// What the client knows.
    pub knows: Knows,
}

/// The size, root and state digest after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Records.
    pub size: u64,
    /// Root over them.
    pub root: ledger::Hash,
    /// Digest of the state.
    pub state: Hash,
}

/// Everything that has been settled.
#[derive(Debug, Default)]
pub struct Truth {
    /// Committed entries, the first one first.
    pub committed: Vec<Entry>,
    /// What any node came to after an entry: the first that came there says it.
    pub after: BTreeMap<u64, (NodeId, After)>,
    /// Leaves and roots of the cluster log by size; the first is that of the empty log.
    pub leaves: Vec<ledger::Hash>,
    frontier: Frontier,
    roots: Vec<ledger::Hash>,
    /// Requests by their numbers.
    pub requests: BTreeMap<u64, Request>,
    /// Objects whose Destroy was answered with yes.
    pub destroyed: BTreeSet<Uid>,
}

impl Truth {
    /// The root over the first `size` records, when any node has come there.
    #[must_use]
    pub fn root(&self, size: u64) -> Option<ledger::Hash> {
        match size {
            0 => Some(Frontier::new().root()),
            _ => self.roots.get(usize::try_from(size).ok()? - 1).copied(),
        }
    }

    /// Compares a record with the one that stands at its number, or takes it when it is the first
    /// there. False when another one stands there.
    pub fn takes_record(&mut self, number: u64, bytes: &[u8]) -> bool {
        let leaf = leaf_hash(bytes);
        let place = usize::try_from(number).expect("a log of one run");
        match self.leaves.get(place) {
            Some(stands) => *stands == leaf,
            None if place == self.leaves.len() => {
                self.leaves.push(leaf);
                self.frontier.push(leaf, &mut |_| ());
                self.roots.push(self.frontier.root());
                true
            }
            None => false,
        }
    }

    /// The committed entry of an index.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<&Entry> {
        self.committed
            .get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    /// Last index that is committed.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.committed.len() as u64
    }
}
