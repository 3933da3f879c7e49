//! Making proofs from stored subtree hashes (RFC 6962 §2.1.1, §2.1.2) and checking them
//! (RFC 9162 §2.1.3.2, §2.1.4.2).

use super::stored::StoredHashes;
use super::{Hash, TreeError, empty_root, node_hash};

/// Why a proof does not prove what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Index and sizes do not go together.
    #[error("index or sizes of the proof contradict each other")]
    OutOfRange,
    /// Too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Largest power of two below `n`, for `n` > 1.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// MTH of leaves `from..to`, where `from` is a multiple of the smallest power of two that is at
/// least `to - from`, as in every subtree of RFC 6962.
pub(super) fn subtree_root(stored: &StoredHashes, from: u64, to: u64) -> Result<Hash, TreeError> {
    let size = to - from;
    if size == 0 {
        return Ok(empty_root());
    }
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return stored.get(level, from >> level);
    }
    let middle = from + split(size);
    let left = subtree_root(stored, from, middle)?;
    Ok(node_hash(&left, &subtree_root(stored, middle, to)?))
}

/// PATH(index, D[size]).
pub(super) fn inclusion(
    stored: &StoredHashes,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree_root(stored, middle, to)?);
            to = middle;
        } else {
            path.push(subtree_root(stored, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF(old, D[new]); the loop is SUBPROOF(old, D[from..to], is_whole).
pub(super) fn consistency(
    stored: &StoredHashes,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut from, mut to, mut is_whole) = (0, new, true);
    let mut proof = Vec::new();
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(subtree_root(stored, middle, to)?);
            to = middle;
        } else {
            proof.push(subtree_root(stored, from, middle)?);
            from = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        proof.push(subtree_root(stored, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`] when it is not proven.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// Checks that the tree of `old` leaves is a prefix of the tree of `new` leaves.
///
/// # Errors
/// [`ProofError`] when it is not proven.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        let expected_root = if old == new { *new_root } else { empty_root() };
        return match (proof.is_empty(), expected_root == *old_root) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
            (false, _) => Err(ProofError::Length),
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    // A complete subtree at the left edge is its own first hash.
    let first_is_old_root = node == 0;
    let mut hashes = proof.iter();
    let first = if first_is_old_root {
        Some(old_root)
    } else {
        hashes.next()
    };
    let first = *first.ok_or(ProofError::Length)?;
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    let both = old_hash == *old_root && new_hash == *new_root;
    if both { Ok(()) } else { Err(ProofError::Root) }
}
