//! Closed logs that some destination lacks, and how each destination stands.

use super::State;
use crate::transfer::{Destination, Stream, TransferFailure, TransferOutcome};
use crate::{Event, Hash, Name, NodeId, Time};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A range of a log that was closed by a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedLog {
    /// Counted from 1 in its stream.
    pub number: u64,
    /// The first record of the range.
    pub from: u64,
    /// The first record after it.
    pub size: u64,
    /// Merkle root of that size, of an access log; the cluster log itself tells its own.
    pub root: Option<Hash>,
    /// When.
    pub time: Time,
}

/// A destination and how far it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub destination: Destination,
    /// Number of the last closed log that stands there, of each stream.
    pub(super) delivered: BTreeMap<Stream, u64>,
    /// What keeps a node from delivering.
    pub(super) failing: BTreeMap<NodeId, (TransferFailure, String)>,
}

impl Standing {
    /// Number of the last closed log of a stream that stands there, or that it need not have.
    pub fn delivered(&self, stream: Stream) -> u64 {
        self.delivered.get(&stream).copied().unwrap_or(0)
    }

    /// Whether it gets the closed logs of a stream.
    pub fn gets(&self, stream: Stream) -> bool {
        self.destination.logs.contains(&stream.log)
    }

    /// What keeps a node from delivering there, kind and words.
    pub fn failing(&self, node: NodeId) -> Option<(TransferFailure, &str)> {
        let (why, detail) = self.failing.get(&node)?;
        Some((*why, detail))
    }
}

/// What is known of rotation and transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transfers {
    /// Of each stream those that a destination lacks, and always the last one.
    pub(super) closed: BTreeMap<Stream, BTreeMap<u64, ClosedLog>>,
    pub(super) destinations: BTreeMap<Name, Standing>,
}

impl Transfers {
    fn last(&self, stream: Stream) -> Option<&ClosedLog> {
        Some(self.closed.get(&stream)?.last_key_value()?.1)
    }

    /// Number of the last closed log of a stream that every destination has.
    fn delivered_everywhere(&self, stream: Stream) -> u64 {
        let last = self.last(stream).map_or(0, |closed| closed.number);
        let those = self.destinations.values().filter(|to| to.gets(stream));
        let delivered = those.map(|to| to.delivered(stream)).min();
        delivered.unwrap_or(last)
    }

    /// Forgets what everybody has, but for the last.
    fn prune(&mut self) {
        let streams: Vec<Stream> = self.closed.keys().copied().collect();
        for stream in streams {
            let done = self.delivered_everywhere(stream);
            if let Some(closed) = self.closed.get_mut(&stream) {
                let last = closed.last_key_value().map_or(0, |(number, _)| *number);
                closed.retain(|number, _| *number > done || *number == last);
            }
        }
    }

    /// A node that is gone delivers nothing any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        let theirs = |stream: &Stream| stream.node == Some(node);
        self.closed.retain(|stream, _| !theirs(stream));
        for to in self.destinations.values_mut() {
            to.delivered.retain(|stream, _| !theirs(stream));
            to.failing.remove(&node);
        }
    }

    /// A destination gets what is closed from now on, and keeps waiting for what it waited for.
    fn put(&mut self, name: &Name, destination: &Destination) {
        let known = self.destinations.remove(name);
        let had = known.as_ref().map(|known| known.destination.logs.clone());
        let had = had.unwrap_or_default();
        let delivered = known.map(|known| known.delivered).unwrap_or_default();
        let mut standing = Standing {
            destination: destination.clone(),
            delivered,
            failing: BTreeMap::new(),
        };
        standing
            .delivered
            .retain(|stream, _| destination.logs.contains(&stream.log));
        for (stream, closed) in &self.closed {
            // Of a log that it got before, it may lack the very first.
            if standing.gets(*stream) && !had.contains(&stream.log) {
                let last = closed.last_key_value().map_or(0, |(number, _)| *number);
                standing.delivered.insert(*stream, last);
            }
        }
        self.destinations.insert(name.clone(), standing);
    }
}

impl State {
    /// The streams in which something was closed.
    pub fn streams(&self) -> impl Iterator<Item = Stream> + '_ {
        self.transfers.closed.keys().copied()
    }

    /// The closed logs of a stream that some destination lacks, and the last one, in order.
    pub fn closed_of(&self, stream: Stream) -> impl Iterator<Item = &ClosedLog> + '_ {
        let row = self.transfers.closed.get(&stream);
        row.into_iter().flat_map(|row| row.values())
    }

    /// The last closed log of a stream.
    pub fn last_closed(&self, stream: Stream) -> Option<&ClosedLog> {
        self.transfers.last(stream)
    }

    /// A closed log that some destination lacks, or the last one.
    pub fn closed_log(&self, stream: Stream, number: u64) -> Option<&ClosedLog> {
        self.transfers.closed.get(&stream)?.get(&number)
    }

    /// Number of the last closed log of a stream that every destination has that gets it.
    pub fn delivered_everywhere(&self, stream: Stream) -> u64 {
        self.transfers.delivered_everywhere(stream)
    }

    /// How many closed logs of a stream some destination lacks.
    pub fn closed_waiting(&self, stream: Stream) -> u64 {
        let last = self.last_closed(stream).map_or(0, |closed| closed.number);
        last.saturating_sub(self.delivered_everywhere(stream))
    }

    /// The closed logs that a destination lacks, of a stream, in order.
    pub fn waiting_for<'a>(
        &'a self,
        standing: &Standing,
        stream: Stream,
    ) -> impl Iterator<Item = &'a ClosedLog> + 'a {
        let done = standing.delivered(stream);
        let those = standing
            .gets(stream)
            .then(|| self.transfers.closed.get(&stream));
        let those = those.flatten().into_iter().flatten();
        those
            .map(|(_, closed)| closed)
            .filter(move |closed| closed.number > done)
    }

    /// Whether approved-algorithms mode keeps closed logs from leaving for a destination as it is
    /// described: `age` encrypts with ChaCha20-Poly1305 and X25519.
    pub fn bars_encryption(&self, destination: &Destination) -> bool {
        self.wants_approved() && destination.encrypts()
    }

    /// The destinations that keep approved-algorithms mode from being switched on.
    pub fn encrypting(&self) -> impl Iterator<Item = &Name> + '_ {
        let those = self
            .destinations()
            .filter(|(_, to)| to.destination.encrypts());
        those.map(|(name, _)| name)
    }

    /// A destination by name.
    pub fn destination(&self, name: &Name) -> Option<&Standing> {
        self.transfers.destinations.get(name)
    }

    /// All destinations, by name.
    pub fn destinations(&self) -> impl Iterator<Item = (&Name, &Standing)> + '_ {
        self.transfers.destinations.iter()
    }

    /// `None` when the event does not fit; then nothing was changed.
    pub(super) fn apply_to_transfers(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::LogRotated {
                node,
                log,
                number,
                from,
                size,
                root,
                ..
            } => {
                let closed = ClosedLog {
                    number: *number,
                    from: *from,
                    size: *size,
                    root: *root,
                    time,
                };
                let stream = Stream::of(*log, *node);
                let row = self.transfers.closed.entry(stream).or_default();
                row.insert(*number, closed);
            }
            Event::DestinationPut { name, destination } => self.transfers.put(name, destination),
            Event::DestinationRemoved { name } => {
                self.transfers.destinations.remove(name)?;
            }
            Event::LogTransferred {
                node,
                destination,
                log,
                number,
                outcome,
            } => {
                let standing = self.transfers.destinations.get_mut(destination)?;
                match outcome {
                    TransferOutcome::Delivered { .. } => {
                        standing.failing.remove(node);
                        let stream = Stream::of(*log, *node);
                        standing.delivered.insert(stream, *number);
                    }
                    TransferOutcome::Failed { why, detail } => {
                        let failing = (*why, detail.clone());
                        standing.failing.insert(*node, failing);
                    }
                }
            }
            // The caller passes the events above only.
            _ => return None,
        }
        self.transfers.prune();
        Some(())
    }
}
