//! A node makes its keys once, whatever happens around the first call.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::check_spki;
use crate::provider;
use crate::testing::{CLUSTER, Node};
use std::collections::BTreeSet;

#[test]
fn an_identity_is_made_once_and_stays() {
    let node = Node::member(CLUSTER);
    let first = node.vault.node_identity().unwrap();
    check_spki(&first.spki).unwrap();
    assert_eq!((first.spki.len(), first.sealing_key.len()), (91, 120));
    let digest = provider::sha256(&[&first.spki]);
    assert_eq!(first.fingerprint.as_bytes(), &digest);
    assert_eq!(node.vault.node_identity().unwrap(), first);
    let node = node.restarted();
    assert_eq!(node.vault.node_identity().unwrap(), first);
}

#[test]
fn no_two_nodes_share_a_key() {
    let identities = (0..8).map(|_| Node::founder(CLUSTER).vault.node_identity().unwrap());
    let keys: BTreeSet<_> = identities.flat_map(|i| [i.spki, i.sealing_key]).collect();
    assert_eq!(keys.len(), 16);
}

/// Many first calls at once give one identity, and it is the one on the disk.
#[test]
fn first_calls_of_many_threads_agree() {
    let node = Node::member(CLUSTER);
    let seen: BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| node.vault.node_identity().unwrap().spki))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(seen.len(), 1);
    let node = node.restarted();
    assert!(seen.contains(&node.vault.node_identity().unwrap().spki));
}

/// A retired epoch renews the root; the identity is not among what changes.
#[test]
fn an_identity_outlives_a_renewed_root() {
    let node = Node::founder(CLUSTER);
    let first = node.vault.node_identity().unwrap();
    node.vault.open_epoch().unwrap();
    let report = node.vault.retire_epoch(domain::Epoch(1)).unwrap();
    assert!(report.root_renewed);
    assert_eq!(node.restarted().vault.node_identity().unwrap(), first);
}
