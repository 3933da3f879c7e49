//! The profile of member certificates, rotation, and nodes that have the certificates only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::SpkiFault;
use crate::testing::{CLUSTER, DAY, NOW, Node, days};
use x509_parser::prelude::GeneralName;

fn founder() -> (Node, ClusterCa) {
    let node = Node::founder(CLUSTER);
    let ca = node
        .vault
        .create_cluster_ca("Cluster CA", days(0, 100))
        .unwrap();
    (node, ca)
}

#[test]
fn the_ca_is_created_once_and_comes_back() {
    let node = Node::founder(CLUSTER);
    let vault = &node.vault;
    assert!(matches!(vault.cluster_ca(), Err(CaFault::NoClusterCa)));
    assert!(matches!(
        vault.cluster_ca_certificates(),
        Err(CaFault::NoClusterCa)
    ));
    let made = vault.create_cluster_ca("Cluster CA", days(0, 100)).unwrap();
    assert!(matches!(
        vault.create_cluster_ca("Another", days(0, 100)),
        Err(CaFault::ClusterCaExists)
    ));
    let der = made.certificate().der.clone();
    let node = node.restarted();
    let again = node.vault.cluster_ca().unwrap();
    assert_eq!(again.certificate(), made.certificate());
    let trusted = node.vault.cluster_ca_certificates().unwrap();
    assert!(trusted.len() == 1 && trusted[0] == der);
    // It is not the Local CA, and does not keep one from being made.
    let local = node.vault.create_local_ca("Local CA", days(0, 9)).unwrap();
    assert_ne!(local.certificate().der, der);
}

#[test]
fn a_member_certificate_follows_the_profile() {
    let (node, ca) = founder();
    let spki = node.vault.node_identity().unwrap().spki;
    let issued = ca.issue_member(&spki, NodeId(7), days(1, 31)).unwrap();
    let (rest, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    assert!(rest.is_empty() && !certificate.is_ca());
    assert_eq!(certificate.public_key().raw, spki);
    let subject: Vec<_> = certificate.subject().iter_common_name().collect();
    assert_eq!(subject.len(), 1);
    assert_eq!(subject[0].as_str().unwrap(), "node-7");
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let dns = "node-7.c1c1c1c1-c1c1-c1c1-c1c1-c1c1c1c1c1c1.strongroom";
    assert_eq!(names.value.general_names, [GeneralName::DNSName(dns)]);
    assert_eq!(member_dns_name(NodeId(7), &CLUSTER), dns);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any && usage.other.is_empty());
    assert_eq!(certificate.validity().not_before.timestamp(), NOW + DAY);
    assert_eq!(certificate.raw_serial(), issued.serial);
    assert_eq!(issued.validity, days(1, 31));
    // The highest number a node can have still makes names of legal length.
    ca.issue_member(&spki, NodeId(u64::MAX), days(0, 1))
        .unwrap();
}

#[test]
fn what_the_profile_forbids_is_refused() {
    let (node, ca) = founder();
    let identity = node.vault.node_identity().unwrap();
    for (from, to) in [(-1, 50), (50, 101), (101, 200)] {
        let refused = ca.issue_member(&identity.spki, NodeId(1), days(from, to));
        assert!(matches!(refused, Err(CaFault::OutlivesCa)));
    }
    let refused = ca.issue_member(&identity.spki, NodeId(1), days(9, 9));
    assert!(matches!(refused, Err(CaFault::Validity)));
    for spki in [&identity.sealing_key[..], &identity.spki[1..], &[]] {
        let refused = ca.issue_member(spki, NodeId(1), days(0, 9));
        assert!(matches!(
            refused,
            Err(CaFault::SubjectKey(SpkiFault::Form(_)))
        ));
    }
    for bad in ["", "two\nlines", &"x".repeat(65)] {
        let refused = node.vault.rotate_cluster_ca(bad, days(0, 9));
        assert!(matches!(refused, Err(CaFault::CaName(_))));
    }
}

#[test]
fn a_rotation_keeps_the_previous_ca_until_it_is_dropped() {
    let (node, first) = founder();
    let first = first.certificate().der.clone();
    assert!(!node.vault.drop_previous_cluster_ca().unwrap());
    let second = node
        .vault
        .rotate_cluster_ca("Cluster CA", days(0, 200))
        .unwrap();
    let second = second.certificate().der.clone();
    assert_ne!(first, second);
    let both = [second.clone(), first.clone()];
    assert_eq!(node.vault.cluster_ca_certificates().unwrap(), both);
    // The key of the first is gone: nothing issues in its name any more.
    let node = node.restarted();
    let current = node.vault.cluster_ca().unwrap();
    assert_eq!(current.certificate().der, second);
    let refused = node.vault.rotate_cluster_ca("Third", days(0, 9));
    assert!(matches!(refused, Err(CaFault::PreviousTrusted)));
    assert!(node.vault.drop_previous_cluster_ca().unwrap());
    assert_eq!(node.vault.cluster_ca_certificates().unwrap(), [second]);
    assert!(!node.vault.drop_previous_cluster_ca().unwrap());
    node.vault.rotate_cluster_ca("Third", days(0, 9)).unwrap();
}

#[test]
fn a_witness_has_the_certificates_only() {
    let (founder, _) = founder();
    let witness = Node::member(CLUSTER);
    let trusted = founder.vault.cluster_ca_certificates().unwrap();
    let install = |ders| witness.vault.install_cluster_ca_certificates(ders);
    install(trusted.clone()).unwrap();
    assert_eq!(witness.vault.cluster_ca_certificates().unwrap(), trusted);
    assert!(matches!(
        witness.vault.cluster_ca(),
        Err(CaFault::NoClusterCaKey)
    ));
    assert!(matches!(
        witness.vault.rotate_cluster_ca("CA", days(0, 9)),
        Err(CaFault::NoClusterCaKey)
    ));
    founder
        .vault
        .rotate_cluster_ca("Cluster CA", days(0, 100))
        .unwrap();
    let rotated = founder.vault.cluster_ca_certificates().unwrap();
    install(rotated.clone()).unwrap();
    assert_eq!(witness.vault.cluster_ca_certificates().unwrap(), rotated);
    assert!(witness.vault.drop_previous_cluster_ca().unwrap());
    assert_eq!(
        witness.restarted().vault.cluster_ca_certificates().unwrap(),
        rotated[..1]
    );
}

#[test]
fn installing_keeps_the_key_of_the_same_ca_and_erases_another() {
    let (node, ca) = founder();
    let own = node.vault.cluster_ca_certificates().unwrap();
    node.vault
        .install_cluster_ca_certificates(own.clone())
        .unwrap();
    let kept = node.vault.cluster_ca().unwrap();
    assert_eq!(kept.certificate(), ca.certificate());
    let (other, _) = founder();
    let mut newer = other.vault.cluster_ca_certificates().unwrap();
    newer.extend(own);
    node.vault.install_cluster_ca_certificates(newer).unwrap();
    assert!(matches!(
        node.vault.cluster_ca(),
        Err(CaFault::NoClusterCaKey)
    ));
}

#[test]
fn lists_that_are_no_ca_certificates_are_refused() {
    let (node, ca) = founder();
    let good = ca.certificate().der.clone();
    let spki = node.vault.node_identity().unwrap().spki;
    let leaf = ca.issue_member(&spki, NodeId(1), days(0, 9)).unwrap().der;
    let install = |ders: &[&Vec<u8>]| {
        let ders = ders.iter().map(|der| (*der).clone()).collect();
        node.vault.install_cluster_ca_certificates(ders)
    };
    let long = [&good[..], &[0]].concat();
    let (empty, random) = (Vec::new(), vec![0x30; 5000]);
    for bad in [
        &[][..],
        &[&good, &good],
        &[&good, &leaf, &long],
        &[&leaf],
        &[&good, &leaf],
        &[&empty],
        &[&random],
        &[&long],
    ] {
        assert!(matches!(install(bad), Err(CaFault::CaCertificates(_))));
    }
    for cut in 0..good.len() {
        assert!(install(&[&good[..cut].to_vec()]).is_err(), "cut to {cut}");
    }
    // What was there is still there.
    assert_eq!(node.vault.cluster_ca().unwrap().certificate().der, good);
}
