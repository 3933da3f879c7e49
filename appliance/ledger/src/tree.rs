//! The Merkle tree of RFC 6962 §2.1: hashes, roots, inclusion and consistency proofs, and the
//! functions with which anybody checks them.
//!
//! In memory there is only the [`Frontier`], one hash per level. All hashes of complete subtrees go
//! to a derived file in the order of Go's `sumdb/tlog` (so that proofs need no rehashing); it is
//! compared and repaired at every opening and never synced.

mod proof;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

pub use proof::{ProofError, verify_consistency, verify_inclusion};

use crate::disk::{Disk, Fault};
use stored::StoredHashes;

/// A SHA-256 value. Not a secret: comparing it in variable time is fine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Standard base64 with padding, as in checkpoints.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// Reads [`Hash::to_base64`]; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        Some(Self(BASE64.decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Display for Hash {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// MTH({d}) = SHA-256(0x00 ‖ d).
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(record);
    Hash(hasher.finalize().into())
}

/// SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x01]);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// MTH({}) = SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The roots of the complete subtrees that make up a tree: enough to append and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// From the largest subtree to the smallest; their sizes are the set bits of `size`.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree of so many leaves with these roots of complete subtrees, the largest first; `None`
    /// when there are too few or too many.
    #[must_use]
    pub fn of_subtrees(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()).is_ok_and(|count| count == subtrees.len());
        fits.then_some(Self { size, subtrees })
    }

    /// Roots of the complete subtrees, the largest first; their sizes are the set bits of the size.
    #[must_use]
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Appends a complete subtree of `2^level` leaves by its root; says whether it fits there.
    #[must_use]
    pub fn push_subtree(&mut self, level: u32, root: Hash) -> bool {
        let end = 1_u64
            .checked_shl(level)
            .and_then(|leaves| self.size.checked_add(leaves));
        let Some(end) = end.filter(|_| self.size.trailing_zeros() >= level) else {
            return false;
        };
        let mut right = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            let left = self
                .subtrees
                .pop()
                .expect("one subtree for each set bit of the size");
            right = node_hash(&left, &right);
        }
        self.subtrees.push(right);
        self.size = end;
        true
    }

    /// Appends a leaf; `completed` sees its hash and that of each subtree it completes, from the
    /// bottom up: the order of the stored hashes.
    pub fn push(&mut self, leaf: Hash, completed: &mut dyn FnMut(Hash)) {
        completed(leaf);
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self
                .subtrees
                .pop()
                .expect("one subtree for each set bit of the size");
            right = node_hash(&left, &right);
            completed(right);
        }
        self.subtrees.push(right);
        self.size += 1;
    }

    /// MTH of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let from_the_right = self.subtrees.iter().rev().copied();
        from_the_right
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}

/// Why a root or proof cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A size over that of the tree, or an index not below the size.
    #[error("a tree of {size} leaves has no proof or root for {asked}")]
    OutOfRange {
        /// What was asked for.
        asked: u64,
        /// Where it had to be below, or equal.
        size: u64,
    },
    /// The file of hashes cannot be read or written. Appending goes on without it.
    #[error("the hashes for proofs are not available: {0}")]
    Fault(#[from] Fault),
}

/// A tree whose complete subtrees are stored, so that it can give roots and proofs of any size.
#[derive(Debug)]
pub struct Tree {
    frontier: Frontier,
    stored: StoredHashes,
}

impl Tree {
    /// Begins a tree over the file `path`. The caller pushes the leaves that there are, then calls
    /// [`Tree::finish_rebuild`]; meanwhile the file is compared and only written where it differs.
    #[must_use]
    pub fn rebuild(disk: &dyn Disk, path: &Path) -> Self {
        Self {
            frontier: Frontier::new(),
            stored: StoredHashes::open(disk, path),
        }
    }

    /// Ends the comparison with what was stored before.
    pub fn finish_rebuild(&mut self) {
        self.stored.finish_rebuild();
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let stored = &mut self.stored;
        self.frontier.push(leaf, &mut |hash| stored.push(hash));
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The roots of its complete subtrees.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        self.frontier.clone()
    }

    /// MTH of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// MTH of the first `size` leaves.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] when there are fewer; [`TreeError::Fault`].
    pub fn root_at(&self, size: u64) -> Result<Hash, TreeError> {
        self.refuse_over(size, self.size())?;
        if size == self.size() {
            return Ok(self.root());
        }
        proof::subtree_root(&self.stored, 0, size)
    }

    /// The roots of the complete subtrees of the first `size` leaves.
    ///
    /// # Errors
    /// As [`Tree::root_at`].
    pub fn frontier_at(&self, size: u64) -> Result<Frontier, TreeError> {
        self.refuse_over(size, self.size())?;
        if size == self.size() {
            return Ok(self.frontier());
        }
        let (mut first, mut subtrees) = (0, Vec::new());
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            subtrees.push(self.stored.get(level, first >> level)?);
            first += 1 << level;
        }
        Ok(Frontier { size, subtrees })
    }

    /// `PATH(index, D[size])` of RFC 6962 §2.1.1, from the leaf upwards.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] unless `index < size <= self.size()`; [`TreeError::Fault`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        self.refuse_over(size, self.size())?;
        if index >= size {
            return Err(TreeError::OutOfRange { asked: index, size });
        }
        proof::inclusion(&self.stored, index, size)
    }

    /// `PROOF(old, D[new])` of RFC 6962 §2.1.2; empty when `old` is 0 or equal to `new`.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] unless `old <= new <= self.size()`; [`TreeError::Fault`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
        self.refuse_over(new, self.size())?;
        self.refuse_over(old, new)?;
        proof::consistency(&self.stored, old, new)
    }

    fn refuse_over(&self, asked: u64, size: u64) -> Result<(), TreeError> {
        if asked > size {
            Err(TreeError::OutOfRange { asked, size })
        } else {
            Ok(())
        }
    }
}
