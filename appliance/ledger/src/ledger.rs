//! The ledger: records in segments, and the Merkle tree over them, in one folder.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, Fault};
use crate::segments::{
    Corruption, CorruptionKind, OpenError, Recovery, Segments, SegmentsConfig, SegmentsReader,
};
use crate::tree::{Frontier, Hash, Tree, TreeError, leaf_hash};

/// The derived file of tree hashes, beside the segments.
const HASHES_NAME: &str = "hashes";

/// An append-only log with its tree. There is one writer; readers are [`SegmentsReader`]s.
#[derive(Debug)]
pub struct Ledger {
    segments: Segments,
    tree: Tree,
}

impl Ledger {
    /// Opens the ledger in `dir`, or makes a new one in an empty folder. Reads every record, checks
    /// its checksum and computes the tree again.
    ///
    /// `floor` is the last checkpoint that was made of this ledger: what it covers must be there,
    /// and must have its root.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] when something durable is damaged, missing or another; nothing is
    /// changed then. [`OpenError::Fault`] when the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: SegmentsConfig,
        floor: Option<&Checkpoint>,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_visiting(disk, dir, config, floor, &mut |_, _| ())
    }

    /// As [`Ledger::open`]; `visit` sees number and bytes of every record in order, even when
    /// opening fails later.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_visiting(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: SegmentsConfig,
        floor: Option<&Checkpoint>,
        visit: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, Recovery), OpenError> {
        disk.make_dir(dir)
            .map_err(|e| Fault::disk("create", dir, &e))?;
        let mut tree = Tree::rebuild(&*disk, &dir.join(HASHES_NAME));
        let floor_size = floor.map_or(0, |checkpoint| checkpoint.size);
        let mut floor_root = None;
        let (segments, recovery) =
            Segments::open_visiting(disk, dir, config, floor_size, &mut |index, record| {
                visit(index, record);
                tree.push(leaf_hash(record));
                if tree.size() == floor_size {
                    floor_root = Some(tree.root());
                }
            })?;
        tree.finish_rebuild();
        if segments.first() != 0 {
            let kind = CorruptionKind::MissingSegment {
                next: segments.first(),
            };
            return Err(ledger_corruption(0, kind).into());
        }
        if let Some(checkpoint) = floor {
            let root = floor_root.unwrap_or_else(|| Frontier::new().root());
            if root != checkpoint.root {
                let kind = CorruptionKind::CheckpointDiffers;
                return Err(ledger_corruption(floor_size, kind).into());
            }
        }
        Ok((Self { segments, tree }, recovery))
    }

    /// Appends records; returns the size after. They are durable only after [`Ledger::sync`].
    ///
    /// # Errors
    /// As [`Segments::append`]; the tree is then unchanged.
    pub fn append(&mut self, records: &[impl AsRef<[u8]>]) -> Result<u64, Fault> {
        let size = self.segments.append(records)?;
        for record in records {
            self.tree.push(leaf_hash(record.as_ref()));
        }
        Ok(size)
    }

    /// Makes everything appended durable; returns the durable size.
    ///
    /// # Errors
    /// As [`Segments::sync`].
    pub fn sync(&mut self) -> Result<u64, Fault> {
        self.segments.sync()
    }

    /// Number of records.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Number of records that are on the disk for certain.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.segments.durable()
    }

    /// The failure after which this ledger takes no more records, if there was one.
    #[must_use]
    pub fn poisoned(&self) -> Option<&Fault> {
        self.segments.poisoned()
    }

    /// What is needed to go on with the tree outside of this ledger.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        self.tree.frontier()
    }

    /// Root of the tree over all records.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Root of the tree over the first `size` records.
    ///
    /// # Errors
    /// As [`Tree::root_at`].
    pub fn root_at(&self, size: u64) -> Result<Hash, TreeError> {
        self.tree.root_at(size)
    }

    /// What is needed to go on with the tree from `size` records.
    ///
    /// # Errors
    /// As [`Tree::root_at`].
    pub fn frontier_at(&self, size: u64) -> Result<Frontier, TreeError> {
        self.tree.frontier_at(size)
    }

    /// Proof that the record `index` is in the tree of `size` records.
    ///
    /// # Errors
    /// As [`Tree::inclusion`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        self.tree.inclusion(index, size)
    }

    /// Proof that the tree of `old` records is a prefix of the tree of `new` records.
    ///
    /// # Errors
    /// As [`Tree::consistency`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
        self.tree.consistency(old, new)
    }

    /// The bytes of one record.
    ///
    /// # Errors
    /// As [`SegmentsReader::read`].
    pub fn record(&self, index: u64) -> Result<Vec<u8>, Fault> {
        self.segments.read(index)
    }

    /// A reader of records for another thread.
    #[must_use]
    pub fn reader(&self) -> SegmentsReader {
        self.segments.reader()
    }

    /// What a checkpoint of this ledger says now. Sign it only when [`Ledger::durable`] has
    /// reached its size.
    #[must_use]
    pub fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint {
            origin: origin.to_owned(),
            size: self.size(),
            root: self.root(),
        }
    }
}

fn ledger_corruption(record: u64, kind: CorruptionKind) -> Corruption {
    Corruption {
        segment: "(all)".to_owned(),
        offset: 0,
        record,
        kind,
    }
}
