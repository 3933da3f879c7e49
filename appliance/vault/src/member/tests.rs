//! Which certificates a node takes for its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::testing::{CLUSTER, Node, cluster_of, days};

#[test]
fn a_certificate_is_installed_and_comes_back() {
    let (founder, members) = cluster_of(1);
    let [member] = members.try_into().ok().unwrap();
    let fresh = Node::member(CLUSTER);
    assert_eq!(fresh.vault.member_certificate().unwrap(), None);
    let identity = member.vault.node_identity().unwrap();
    let installed = member.vault.member_certificate().unwrap().unwrap();
    assert_eq!(installed.node, NodeId(2));
    assert_eq!(installed.key, identity.fingerprint);
    assert_eq!(installed.validity, days(0, 30));
    let member = member.restarted();
    assert_eq!(member.vault.member_certificate().unwrap(), Some(installed));
    // A later one takes its place.
    let ca = founder.vault.cluster_ca().unwrap();
    let later = ca
        .issue_member(&identity.spki, NodeId(2), days(10, 60))
        .unwrap();
    let later = member.vault.install_member_certificate(&later.der).unwrap();
    assert_eq!(later.validity, days(10, 60));
    assert_eq!(member.vault.member_certificate().unwrap(), Some(later));
}

#[test]
fn certificates_for_others_or_from_others_are_refused() {
    let (founder, members) = cluster_of(1);
    let member = &members[0];
    let ca = founder.vault.cluster_ca().unwrap();
    let own = member.vault.node_identity().unwrap().spki;
    let install = |der: &[u8]| member.vault.install_member_certificate(der).unwrap_err();

    let others = founder.vault.node_identity().unwrap().spki;
    let others = ca.issue_member(&others, NodeId(2), days(0, 9)).unwrap();
    assert!(matches!(
        install(&others.der),
        MemberCertificateFault::OtherKey { .. }
    ));
    // The same names, the same cluster, but another CA: even one of the same subject.
    let stranger = Node::founder(CLUSTER);
    let strange = stranger.vault.create_cluster_ca("Cluster CA", days(0, 9));
    let strange = strange.unwrap().issue_member(&own, NodeId(2), days(0, 9));
    assert!(matches!(
        install(&strange.unwrap().der),
        MemberCertificateFault::NotOurCa
    ));
    // Another cluster: the DNS name gives it away.
    let elsewhere = Node::founder(ClusterId::from_bytes([2; 16]));
    let foreign = elsewhere.vault.create_cluster_ca("Cluster CA", days(0, 9));
    let foreign = foreign.unwrap().issue_member(&own, NodeId(2), days(0, 9));
    let fault = install(&foreign.unwrap().der);
    assert!(fault.to_string().contains("DNS name"), "{fault}");
    // Certificates of other kinds.
    let local = founder
        .vault
        .create_local_ca("Local CA", days(0, 9))
        .unwrap();
    let name = domain::Name::parse("node-2").unwrap();
    let client = local.issue_client(&name, days(0, 9)).unwrap();
    for other in [&client.certificate.der, &ca.certificate().der] {
        assert!(matches!(install(other), MemberCertificateFault::Form(_)));
    }
    // A node that knows no CA takes none.
    let fresh = Node::member(CLUSTER);
    let spki = fresh.vault.node_identity().unwrap().spki;
    let issued = ca.issue_member(&spki, NodeId(3), days(0, 9)).unwrap();
    let fault = fresh.vault.install_member_certificate(&issued.der);
    assert!(matches!(
        fault,
        Err(MemberCertificateFault::Ca(CaFault::NoClusterCa))
    ));
    // After all that, the one from before is still there.
    assert_eq!(
        member.vault.member_certificate().unwrap().unwrap().node,
        NodeId(2)
    );
}

#[test]
fn every_truncation_and_bit_flip_is_refused() {
    let (founder, members) = cluster_of(1);
    let member = &members[0];
    let spki = member.vault.node_identity().unwrap().spki;
    let ca = founder.vault.cluster_ca().unwrap();
    let der = ca.issue_member(&spki, NodeId(2), days(0, 9)).unwrap().der;
    for cut in 0..der.len() {
        let cut = &der[..cut];
        assert!(member.vault.install_member_certificate(cut).is_err());
    }
    let long = [&der[..], &[0]].concat();
    assert!(member.vault.install_member_certificate(&long).is_err());
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let outcome = member.vault.install_member_certificate(&flipped);
        assert!(outcome.is_err(), "bit {bit}");
    }
    member.vault.install_member_certificate(&der).unwrap();
}
