//! The tree against RFC 6962 itself: known vectors, and the recursive definitions word by word.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use proptest::prelude::*;

use super::stored::stored_position;
use super::*;
use crate::disk::MemDisk;

/// MTH(D[n]), RFC 6962 §2.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_split(n: usize) -> usize {
    (0..)
        .map(|power| 1 << power)
        .take_while(|k| *k < n)
        .last()
        .unwrap()
}

/// PATH(m, D[n]), RFC 6962 §2.1.1.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = naive_split(leaves.len());
    let (mut path, sibling) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(sibling);
    path
}

/// SUBPROOF(m, D[n], b), RFC 6962 §2.1.2.
fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole {
            vec![]
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = naive_split(leaves.len());
    let (mut proof, other) = if m <= k {
        (
            naive_subproof(m, &leaves[..k], whole),
            naive_root(&leaves[k..]),
        )
    } else {
        (
            naive_subproof(m - k, &leaves[k..], false),
            naive_root(&leaves[..k]),
        )
    };
    proof.push(other);
    proof
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn tree_of(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::rebuild(&MemDisk::new(), Path::new("d/hashes"));
    tree.finish_rebuild();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

/// The eight leaves and roots of the Certificate Transparency reference implementation
/// (`merkletree/merkle_tree_test.cc`, published with RFC 6962).
#[test]
fn the_published_vectors_hold() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root().to_string(), roots[0]);
    for (input, root) in inputs.iter().zip(&roots[1..]) {
        frontier.push(leaf_hash(input), &mut |_| ());
        assert_eq!(frontier.root().to_string(), *root);
    }
}

/// `TestStoredHashIndex` of Go: the positions of all subtrees are 0, 1, 2, ... without a gap.
#[test]
fn stored_positions_are_dense_and_in_the_order_of_completion() {
    let mut expected = 0;
    for leaf in 0..1_000_u64 {
        for level in 0..=leaf.trailing_ones() {
            assert_eq!(stored_position(level, leaf >> level), expected);
            expected += 1;
        }
    }
}

#[test]
fn all_small_trees_agree_with_the_definition() {
    let all = leaves(33);
    let tree = tree_of(&all);
    for size in 0..=33_u64 {
        let prefix = &all[..usize::try_from(size).unwrap()];
        let root = naive_root(prefix);
        assert_eq!(tree.root_at(size).unwrap(), root);
        for (index, leaf) in prefix.iter().enumerate() {
            let proof = tree.inclusion(index as u64, size).unwrap();
            assert_eq!(proof, naive_path(index, prefix));
            verify_inclusion(leaf, index as u64, size, &proof, &root).unwrap();
        }
        for old in 1..=prefix.len() {
            let proof = tree.consistency(old as u64, size).unwrap();
            assert_eq!(proof, naive_subproof(old, prefix, true));
            let old_root = naive_root(&all[..old]);
            verify_consistency(old as u64, &old_root, size, &root, &proof).unwrap();
        }
        verify_consistency(0, &empty_root(), size, &root, &[]).unwrap();
    }
}

#[test]
fn no_proof_for_something_else_is_accepted() {
    let all = leaves(13);
    let tree = tree_of(&all);
    let root = tree.root();
    for index in 0..13_u64 {
        let leaf = all[usize::try_from(index).unwrap()];
        let proof = tree.inclusion(index, 13).unwrap();
        for other in (0..13).filter(|other| *other != index) {
            verify_inclusion(&leaf, other, 13, &proof, &root).unwrap_err();
        }
        let longer = [proof.clone(), vec![root]].concat();
        verify_inclusion(&leaf, index, 13, &longer, &root).unwrap_err();
        verify_inclusion(&leaf, index, 13, &proof[1..], &root).unwrap_err();
        verify_inclusion(&all[12 - 1], 12, 13, &proof, &root).unwrap_err();
        assert_eq!(
            verify_inclusion(&leaf, 13, 13, &proof, &root),
            Err(ProofError::OutOfRange)
        );
    }
    for old in 1..13_u64 {
        let proof = tree.consistency(old, 13).unwrap();
        let old_root = tree.root_at(old).unwrap();
        verify_consistency(old, &root, 13, &root, &proof).unwrap_err();
        verify_consistency(old, &old_root, 13, &old_root, &proof).unwrap_err();
        let longer = [proof.clone(), vec![root]].concat();
        verify_consistency(old, &old_root, 13, &root, &longer).unwrap_err();
        if let Some((_, shorter)) = proof.split_last() {
            verify_consistency(old, &old_root, 13, &root, shorter).unwrap_err();
        }
    }
    verify_consistency(0, &root, 13, &root, &[]).unwrap_err();
    verify_consistency(13, &empty_root(), 13, &root, &[]).unwrap_err();
    assert_eq!(
        verify_consistency(14, &root, 13, &root, &[]),
        Err(ProofError::OutOfRange)
    );
    assert!(matches!(
        tree.root_at(14),
        Err(TreeError::OutOfRange { .. })
    ));
    assert!(matches!(
        tree.inclusion(13, 13),
        Err(TreeError::OutOfRange { .. })
    ));
    assert!(matches!(
        tree.consistency(9, 8),
        Err(TreeError::OutOfRange { .. })
    ));
}

/// Damages of the derived file are repaired by the next rebuild, and a disk that refuses it costs
/// only the proofs.
#[test]
fn the_file_of_hashes_is_compared_and_repaired() {
    let disk = MemDisk::new();
    let path = Path::new("d/hashes");
    let all = leaves(5_000);
    let build = || {
        let mut tree = Tree::rebuild(&disk, path);
        all.iter().for_each(|leaf| tree.push(*leaf));
        tree.finish_rebuild();
        tree
    };
    let proof = build().inclusion(17, 5_000).unwrap();
    let whole = disk.files()[path].clone();
    assert_eq!(whole.len() as u64, stored_position(0, 5_000) * 32);
    let mut flipped = whole.clone();
    flipped[70_000] ^= 1;
    for damaged in [flipped, whole[..99_999].to_vec(), vec![], vec![7; 400_000]] {
        disk.put(path, &damaged);
        assert_eq!(build().inclusion(17, 5_000).unwrap(), proof);
        assert_eq!(disk.files()[path][..whole.len()], whole);
    }
    for call in 0..4 {
        disk.put(path, &[]);
        disk.fail_at(call, crate::disk::Failure::Full);
        let tree = build();
        assert!(disk.has_failed());
        assert_eq!(tree.root(), naive_root(&all));
        assert!(matches!(
            tree.inclusion(17, 5_000),
            Err(TreeError::Fault(_))
        ));
    }
}

proptest! {
    #[test]
    fn larger_trees_agree_with_the_definition(
        size in 1_u64..3_000, a: u64, b: u64, flip in 0..256,
    ) {
        let all = leaves(size);
        let tree = tree_of(&all);
        let root = naive_root(&all);
        prop_assert_eq!(tree.root(), root);
        let (index, old) = (a % size, b % size + 1);
        let at = usize::try_from(index).unwrap();
        let proof = tree.inclusion(index, size).unwrap();
        prop_assert_eq!(&proof, &naive_path(at, &all));
        prop_assert!(verify_inclusion(&all[at], index, size, &proof, &root).is_ok());
        let consistency = tree.consistency(old, size).unwrap();
        let until = usize::try_from(old).unwrap();
        prop_assert_eq!(&consistency, &naive_subproof(until, &all, true));
        let old_root = naive_root(&all[..until]);
        prop_assert!(verify_consistency(old, &old_root, size, &root, &consistency).is_ok());
        // One flipped bit anywhere, and neither proof holds.
        let bit = usize::try_from(flip).unwrap();
        for position in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[position].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_inclusion(&all[at], index, size, &wrong, &root).is_err());
        }
        for position in 0..consistency.len() {
            let mut wrong = consistency.clone();
            wrong[position].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, &old_root, size, &root, &wrong).is_err());
        }
    }
}
