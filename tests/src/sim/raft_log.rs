//! The ordered log as one simulated node holds it: the ledger's own segments, with terms.
//!
//! The model takes openraft's place, so entries are what the model needs: a term, the number of
//! the proposal and its bytes. What is durable here is durable by the real segment code.

use domain::codec;
use ledger::{Disk, Fault, OpenError, Segments, SegmentsConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Small, so that a run of a hundred entries goes through many segments.
const CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 4 << 10,
    record_bytes_max: 16 << 10,
};

/// One place in the order. Entries are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Term of the leader that took it.
    pub term: u64,
    /// Number of the proposal; 0 for the blank entry of a new leader.
    pub id: u64,
    /// The command.
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
    /// The sealed bytes that travel with it.
    pub payload: Option<serde_bytes::ByteBuf>,
}

/// Term and index of an entry: what elections compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Term.
    pub term: u64,
    /// Index.
    pub index: u64,
}

/// The log of one life of a node.
#[derive(Debug)]
pub struct RaftLog {
    segments: Segments,
    entries: BTreeMap<u64, Entry>,
    /// The last entry that is covered by a snapshot, as far as this log knows.
    base: Place,
    /// Syncs do nothing and say that they did: a planted bug.
    lies: bool,
}

impl RaftLog {
    /// Opens the log; `base` is what the snapshot pointer says.
    ///
    /// # Errors
    /// Those of the segments.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, base: Place) -> Result<Self, OpenError> {
        let mut entries = BTreeMap::new();
        let (segments, _) = Segments::open_visiting(disk, dir, CONFIG, 0, &mut |n, bytes| {
            // A frame with a right checksum holds what was written.
            let entry = codec::from_slice(bytes).expect("an entry that this program wrote");
            entries.insert(n + 1, entry);
        })?;
        Ok(Self {
            segments,
            entries,
            base,
            lies: false,
        })
    }

    /// Plants syncs that do nothing.
    pub fn lie(&mut self) {
        self.lies = true;
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Place {
        let last = self.entries.last_key_value();
        last.map_or(self.base, |(index, entry)| Place {
            term: entry.term,
            index: *index,
        })
    }

    /// First index that can be sent to others.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.segments.first() + 1
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get(&index)
    }

    /// Term of an entry, as long as that is known; that of the last one covered by a snapshot is.
    #[must_use]
    pub fn term_of(&self, index: u64) -> Option<u64> {
        let base = Some(self.base.term).filter(|_| self.base.index == index);
        self.get(index).map(|entry| entry.term).or(base)
    }

    /// At most `limit` entries from `from` on.
    #[must_use]
    pub fn range(&self, from: u64, limit: usize) -> Vec<(u64, Entry)> {
        let found = self.entries.range(from..).take(limit);
        found
            .map(|(index, entry)| (*index, entry.clone()))
            .collect()
    }

    /// Appends; not durable before [`RaftLog::sync`].
    ///
    /// # Errors
    /// Those of the segments.
    pub fn append(&mut self, entry: &Entry) -> Result<u64, Fault> {
        let size = self.segments.append(&[codec::to_vec(entry)])?;
        self.entries.insert(size, entry.clone());
        Ok(size)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// Those of the segments.
    pub fn sync(&mut self) -> Result<(), Fault> {
        if self.lies {
            return Ok(());
        }
        self.segments.sync().map(drop)
    }

    /// Removes the entries from `index` on.
    ///
    /// # Errors
    /// Those of the segments.
    pub fn truncate_from(&mut self, index: u64) -> Result<(), Fault> {
        self.segments.truncate_from(index - 1)?;
        drop(self.entries.split_off(&index));
        Ok(())
    }

    /// Brings the log in line with a snapshot: a log that ends before it, or that holds another
    /// history there, is emptied and begins after it.
    ///
    /// # Errors
    /// Those of the segments.
    pub fn begin_after(&mut self, snapshot: Place) -> Result<(), Fault> {
        let agrees = match self.get(snapshot.index) {
            Some(entry) => entry.term == snapshot.term,
            None => self.first() == snapshot.index + 1,
        };
        if agrees {
            return Ok(());
        }
        if self.first() <= snapshot.index {
            self.truncate_from(self.first())?;
        }
        self.purge(snapshot, false)
    }

    /// Forgets the entries up to `through`, as far as whole segments of them can go; `everything`
    /// begins a new segment first, so that none is left.
    ///
    /// # Errors
    /// Those of the segments.
    pub fn purge(&mut self, through: Place, everything: bool) -> Result<(), Fault> {
        if everything {
            self.segments.begin_segment()?;
        }
        self.segments.purge_before(through.index)?;
        let kept = self.entries.split_off(&self.first());
        self.entries = kept;
        self.base = self.base.max(through);
        Ok(())
    }
}
