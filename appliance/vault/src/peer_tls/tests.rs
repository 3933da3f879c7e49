//! Real handshakes in memory: who is let in, who is not, and what newcomers believe.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::member_dns_name;
use crate::testing::{At, CLUSTER, DAY, NOW, Node, cluster_of, days, noon};
use domain::{ClusterId, NodeId};
use rustls::{ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};

type Configs = (Arc<ClientConfig>, Arc<ServerConfig>);

fn configs(node: &Node) -> Configs {
    node.vault.peer_tls_at(noon()).unwrap()
}

fn newcomer(ca: &[u8]) -> Arc<ClientConfig> {
    let pin = Fingerprint::from_bytes(provider::sha256(&[ca]));
    newcomer_tls_at(pin, noon()).unwrap()
}

fn dial(node: u64) -> String {
    member_dns_name(NodeId(node), &CLUSTER)
}

/// One handshake and one message each way, in memory.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    let carry = |client: &mut ClientConnection, server: &mut ServerConnection| {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        Ok::<_, Error>(())
    };
    // The last round carries the client's Finished and whatever the server says to it.
    for _ in 0..4 {
        carry(&mut client, &mut server)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn key_of(certificates: Option<&[CertificateDer<'_>]>) -> Option<Fingerprint> {
    let leaf = certificates?.first()?;
    let parsed = ParsedCertificate::try_from(leaf).unwrap();
    let spki = parsed.subject_public_key_info();
    Some(Fingerprint::from_bytes(provider::sha256(&[&spki])))
}

#[test]
fn members_prove_themselves_both_ways() {
    let (founder, members) = cluster_of(1);
    let nodes = [&founder, &members[0]];
    for (from, to) in [(0, 1), (1, 0)] {
        let (client, _) = configs(nodes[from]);
        let (_, server) = configs(nodes[to]);
        let number = u64::try_from(to).unwrap() + 1;
        let (client, server) = handshake(&client, &server, &dial(number)).unwrap();
        let identity = |n: usize| nodes[n].vault.node_identity().unwrap().fingerprint;
        assert_eq!(key_of(client.peer_certificates()), Some(identity(to)));
        assert_eq!(key_of(server.peer_certificates()), Some(identity(from)));
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let suite = client.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, rustls::CipherSuite::TLS13_AES_256_GCM_SHA384);
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::secp256r1MLKEM768);
    }
}

#[test]
fn a_member_that_answers_for_another_is_refused() {
    let (founder, members) = cluster_of(1);
    let (client, _) = configs(&founder);
    let (_, server) = configs(&members[0]);
    handshake(&client, &server, &dial(2)).unwrap();
    let elsewhere = member_dns_name(NodeId(2), &ClusterId::from_bytes([9; 16]));
    for name in [&dial(1), &dial(3), &elsewhere, "localhost"] {
        let refused = handshake(&client, &server, name).unwrap_err();
        assert!(matches!(
            refused,
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        ));
    }
}

#[test]
fn a_newcomer_believes_the_pinned_ca_and_no_other() {
    let (founder, members) = cluster_of(1);
    let ca = founder
        .vault
        .cluster_ca()
        .unwrap()
        .certificate()
        .der
        .clone();
    for node in [&founder, &members[0]] {
        let (_, server) = configs(node);
        let (client, server) = handshake(&newcomer(&ca), &server, "whatever.example").unwrap();
        let identity = node.vault.node_identity().unwrap();
        assert_eq!(
            key_of(client.peer_certificates()),
            Some(identity.fingerprint)
        );
        assert!(server.peer_certificates().is_none(), "it shows none itself");
        // A pin of anything else: another CA, the leaf itself, a bit less.
        let leaf = node.vault.member_certificate().unwrap().unwrap().der;
        let (stranger, _) = cluster_of(0);
        let other = stranger.vault.cluster_ca_certificates().unwrap();
        let (_, server) = configs(node);
        for wrong in [&leaf[..], &other[0], &ca[1..], &[]] {
            let refused = handshake(&newcomer(wrong), &server, "whatever.example");
            assert_eq!(
                refused.unwrap_err(),
                Error::InvalidCertificate(CertificateError::UnknownIssuer)
            );
        }
    }
}

/// Whoever listens in knows the CA's certificate and can show it; it did not sign their key.
#[test]
fn showing_the_pinned_certificate_is_not_enough() {
    let (founder, _) = cluster_of(0);
    let ca = founder
        .vault
        .cluster_ca()
        .unwrap()
        .certificate()
        .der
        .clone();
    let (attacker, _) = cluster_of(0);
    let leaf = attacker.vault.member_certificate().unwrap().unwrap().der;
    let keys = attacker.vault.node_keys().unwrap();
    let founders = founder.vault.member_certificate().unwrap().unwrap().der;
    let own_ca = attacker.vault.cluster_ca_certificates().unwrap().remove(0);
    for chain in [
        vec![leaf.clone(), ca.clone()],
        vec![leaf.clone(), own_ca, ca.clone()],
        vec![leaf, founders, ca.clone()],
        // The CA's certificate as the leaf.
        vec![ca.clone(), ca.clone()],
    ] {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.tls.expose()));
        let identity = CertifiedKey::new(chain, any_ecdsa_type(&key).unwrap());
        let provider = Arc::new(approved_provider());
        let server = ServerConfig::builder_with_details(provider, noon())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        let refused = handshake(&newcomer(&ca), &Arc::new(server), "whatever.example");
        assert!(refused.is_err());
    }
}

/// A member's real certificate in the hands of somebody without its key.
#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    let (founder, members) = cluster_of(1);
    let ca = founder
        .vault
        .cluster_ca()
        .unwrap()
        .certificate()
        .der
        .clone();
    let leaf = members[0].vault.member_certificate().unwrap().unwrap().der;
    let thief = Node::founder(CLUSTER).vault.node_keys().unwrap();
    let chain = vec![CertificateDer::from(leaf), CertificateDer::from(ca.clone())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(thief.tls.expose()));
    let stolen = CertifiedKey::new(chain, any_ecdsa_type(&key).unwrap());
    let stolen = Arc::new(SingleCertAndKey::from(stolen));
    let provider = Arc::new(approved_provider());
    let server = ServerConfig::builder_with_details(provider, noon())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(stolen.clone());
    let server = Arc::new(server);
    let (client, real_server) = configs(&founder);
    assert!(handshake(&newcomer(&ca), &server, "whatever.example").is_err());
    assert!(handshake(&client, &server, &dial(2)).is_err());
    let mut client = (*client).clone();
    client.client_auth_cert_resolver = stolen;
    assert!(handshake(&Arc::new(client), &real_server, &dial(1)).is_err());
}

#[test]
fn certificates_of_another_cluster_ca_are_refused() {
    let (founder, _) = cluster_of(0);
    // The same cluster id and the same names: only the CA's key differs.
    let (stranger, _) = cluster_of(0);
    let ((own_client, own_server), (client, server)) = (configs(&founder), configs(&stranger));
    handshake(&own_client, &own_server, &dial(1)).unwrap();
    handshake(&client, &server, &dial(1)).unwrap();
    assert!(handshake(&client, &own_server, &dial(1)).is_err());
    assert!(handshake(&own_client, &server, &dial(1)).is_err());
    // And with a client that would believe anybody, so that it is the server who refuses.
    let ca = founder.vault.cluster_ca_certificates().unwrap().remove(0);
    let mut credulous = (*newcomer(&ca)).clone();
    credulous.client_auth_cert_resolver = client.client_auth_cert_resolver.clone();
    let refused = handshake(&Arc::new(credulous), &own_server, &dial(1)).unwrap_err();
    assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn certificates_count_in_their_time_only() {
    let (founder, members) = cluster_of(1);
    let ca = founder.vault.cluster_ca_certificates().unwrap().remove(0);
    let pin = Fingerprint::from_bytes(provider::sha256(&[&ca]));
    let at = |seconds: i64| {
        let clock = Arc::new(At(seconds));
        let (client, _) = founder.vault.peer_tls_at(clock.clone()).unwrap();
        let (_, server) = members[0].vault.peer_tls_at(clock.clone()).unwrap();
        let newcomer = newcomer_tls_at(pin, clock).unwrap();
        let member = handshake(&client, &server, &dial(2)).is_ok();
        (member, handshake(&newcomer, &server, "a.example").is_ok())
    };
    assert_eq!(at(NOW - 1), (false, false));
    assert_eq!(at(NOW), (true, true));
    assert_eq!(at(NOW + 30 * DAY), (true, true));
    assert_eq!(at(NOW + 30 * DAY + 1), (false, false));
}

/// The walk through a rotation: at every step all members can talk.
#[test]
fn a_rotation_never_separates_members_before_the_drop() {
    let (founder, members) = cluster_of(1);
    let member = &members[0];
    let talk = || {
        let ((client_a, server_a), (client_b, server_b)) = (configs(&founder), configs(member));
        let there = handshake(&client_a, &server_b, &dial(2));
        let back = handshake(&client_b, &server_a, &dial(1));
        there.is_ok() && back.is_ok()
    };
    let old_member = configs(member);
    let second = founder
        .vault
        .rotate_cluster_ca("Cluster CA", days(-1, 3650));
    let second = second.unwrap().certificate().der.clone();
    assert!(talk(), "both still have certificates of the first CA");
    let trusted = founder.vault.cluster_ca_certificates().unwrap();
    member
        .vault
        .install_cluster_ca_certificates(trusted)
        .unwrap();
    assert!(talk());
    founder.certified_by(&founder, 1);
    assert!(talk(), "one of the first, one of the second");
    // A newcomer with the new pin reaches the node that was certified anew.
    let (_, server) = configs(&founder);
    handshake(&newcomer(&second), &server, "a.example").unwrap();
    let old_server = &old_member.1;
    assert!(handshake(&newcomer(&second), old_server, "a.example").is_err());
    member.certified_by(&founder, 2);
    assert!(talk(), "both of the second");
    // The first CA is dropped: its certificates count no more.
    founder.vault.drop_previous_cluster_ca().unwrap();
    member.vault.drop_previous_cluster_ca().unwrap();
    assert!(talk());
    let (client, server) = configs(&founder);
    assert!(handshake(&old_member.0, &server, &dial(1)).is_err());
    assert!(handshake(&client, old_server, &dial(2)).is_err());
}

#[test]
fn a_node_without_a_valid_certificate_has_no_configuration() {
    let fresh = Node::member(CLUSTER);
    assert!(matches!(
        fresh.vault.peer_tls(),
        Err(PeerTlsFault::Ca(CaFault::NoClusterCa))
    ));
    let (founder, _) = cluster_of(0);
    let trusted = founder.vault.cluster_ca_certificates().unwrap();
    fresh
        .vault
        .install_cluster_ca_certificates(trusted)
        .unwrap();
    assert!(matches!(
        fresh.vault.peer_tls(),
        Err(PeerTlsFault::NoCertificate)
    ));
    founder
        .vault
        .rotate_cluster_ca("Cluster CA", days(-1, 9))
        .unwrap();
    founder.vault.peer_tls().unwrap();
    founder.vault.drop_previous_cluster_ca().unwrap();
    assert!(matches!(
        founder.vault.peer_tls(),
        Err(PeerTlsFault::IssuerDropped)
    ));
}

#[test]
fn sessions_are_never_resumed() {
    let (founder, members) = cluster_of(1);
    let ((client, _), (_, server)) = (configs(&founder), configs(&members[0]));
    for _ in 0..3 {
        let (client, server) = handshake(&client, &server, &dial(2)).unwrap();
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert!(server.peer_certificates().is_some());
    }
}

#[test]
fn older_tls_and_other_suites_find_no_common_ground() {
    let (founder, _) = cluster_of(0);
    let (_, server) = configs(&founder);
    let trusted = founder.vault.cluster_ca_certificates().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted[0].clone())).unwrap();
    let with = |provider: CryptoProvider, version| {
        let client = ClientConfig::builder_with_details(Arc::new(provider), noon())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        handshake(&Arc::new(client), &server, &dial(1)).map(drop)
    };
    let groups = |groups| CryptoProvider {
        kx_groups: groups,
        ..default_provider()
    };
    // The controls: what is wrong below is the version, the suite, the group, and nothing else.
    with(approved_provider(), &TLS13).unwrap();
    with(groups(vec![kx_group::SECP384R1]), &TLS13).unwrap();
    assert!(with(default_provider(), &rustls::version::TLS12).is_err());
    let chacha = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        ..approved_provider()
    };
    assert!(with(chacha, &TLS13).is_err());
    assert!(with(groups(vec![kx_group::X25519]), &TLS13).is_err());
}

/// In the build with the validated module, rustls itself calls these configurations approved.
#[cfg(feature = "fips")]
#[test]
fn the_configurations_are_approved() {
    let (founder, _) = cluster_of(0);
    let (client, server) = configs(&founder);
    assert!(client.fips() && server.fips());
}
