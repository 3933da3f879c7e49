//! The profile of issued certificates, and a TLS handshake with them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::slots::{Credential, NewSlot};
use domain::ClusterId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DAY: i64 = 24 * 3600;
const NOW: i64 = 1_800_000_000;

fn days(from: i64, to: i64) -> Validity {
    let at = |days: i64| Time::from_seconds(NOW + days * DAY);
    Validity {
        not_before: at(from),
        not_after: at(to),
    }
}

fn vault(folder: &tempfile::TempDir) -> Vault {
    let slot = NewSlot::new(Credential::KeyFile(folder.path().join("unlock.key")));
    Vault::initialise(
        &folder.path().join("keys"),
        ClusterId::from_bytes([1; 16]),
        slot,
    )
    .unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn server_profile(validity: Validity) -> ServerProfile {
    let loopback = SubjectName::Ip("127.0.0.1".parse().unwrap());
    ServerProfile {
        names: vec![SubjectName::Dns("localhost".into()), loopback],
        validity,
    }
}

#[test]
fn the_ca_is_created_once_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder);
    assert!(matches!(vault.local_ca(), Err(CaFault::Absent)));
    let made = vault
        .create_local_ca("Strongroom Local CA", days(-1, 3650))
        .unwrap();
    assert!(matches!(
        vault.create_local_ca("Another", days(-1, 9)),
        Err(CaFault::Exists)
    ));
    let again = vault.local_ca().unwrap();
    assert_eq!(again.certificate(), made.certificate());
    let (_, certificate) = X509Certificate::from_der(&made.certificate().der).unwrap();
    assert!(certificate.is_ca());
    assert_eq!(certificate.subject(), certificate.issuer());
    assert_eq!(
        certificate
            .basic_constraints()
            .unwrap()
            .unwrap()
            .value
            .path_len_constraint,
        Some(0)
    );
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
}

#[test]
fn a_client_certificate_follows_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let ca = vault(&folder).create_local_ca("CA", days(0, 3650)).unwrap();
    let client = ca.issue_client(&name("netapp-svm1"), days(1, 365)).unwrap();
    let recorded = &client.certificate;
    let (rest, certificate) = X509Certificate::from_der(&recorded.der).unwrap();
    assert!(rest.is_empty());
    let subject: Vec<_> = certificate.subject().iter_common_name().collect();
    assert_eq!(subject[0].as_str().unwrap(), "netapp-svm1");
    assert_eq!(subject.len(), 1);
    assert!(!certificate.is_ca());
    assert!(
        certificate.basic_constraints().unwrap().is_some(),
        "says that it is no CA"
    );
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert_eq!(certificate.raw_serial(), recorded.serial);
    assert_eq!(certificate.validity().not_before.timestamp(), NOW + DAY);
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        NOW + 365 * DAY
    );
    assert_eq!(recorded.validity, days(1, 365));
    assert_eq!(
        recorded.fingerprint.as_bytes(),
        &provider::sha256(&[&recorded.der])
    );
    let pem = CertificateDer::from_pem_slice(recorded.pem.as_bytes()).unwrap();
    assert_eq!(pem.as_ref(), recorded.der);
    let debug = format!("{client:?}");
    assert!(!debug.contains("PRIVATE") && !debug.contains("key_pem"));
}

#[test]
fn a_server_certificate_has_its_names_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder);
    vault.create_local_ca("CA", days(0, 3650)).unwrap();
    let issued = vault
        .issue_server_identity(&name("doors"), &server_profile(days(0, 90)))
        .unwrap();
    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    let names = &certificate
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(
        names[..],
        [
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress(&[127, 0, 0, 1])
        ]
    );
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    assert!(!certificate.is_ca());
}

#[test]
fn what_the_profile_forbids_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder);
    for bad in ["", "two\nlines", "Zürich", &"x".repeat(65)] {
        let refused = vault.create_local_ca(bad, days(0, 10));
        assert!(matches!(refused, Err(CaFault::CaName(_))), "{bad:?}");
    }
    for (from, to) in [(10, 10), (10, 9), (0, 4_000_000)] {
        assert!(matches!(
            vault.create_local_ca("CA", days(from, to)),
            Err(CaFault::Validity)
        ));
    }
    let ca = vault.create_local_ca("CA", days(0, 100)).unwrap();
    for (from, to) in [(-1, 50), (50, 101), (101, 200)] {
        let refused = ca.issue_client(&name("a"), days(from, to));
        assert!(
            matches!(refused, Err(CaFault::OutlivesCa)),
            "{from} to {to}"
        );
    }
    ca.issue_client(&name("a"), days(0, 100)).unwrap();
    for bad in [
        "",
        "*.example.org",
        "a b",
        "-a",
        "a-",
        "a..b",
        "ä.example",
        &"a".repeat(64),
    ] {
        let profile = ServerProfile {
            names: vec![SubjectName::Dns(bad.into())],
            validity: days(0, 9),
        };
        let refused = ca.issue_server(&profile);
        assert!(matches!(refused, Err(CaFault::ServerName(_))), "{bad:?}");
    }
    let none = ServerProfile {
        names: vec![],
        validity: days(0, 9),
    };
    assert!(matches!(
        ca.issue_server(&none),
        Err(CaFault::ServerName(_))
    ));
    let many = SubjectName::Dns("a.example".into());
    let many = ServerProfile {
        names: vec![many; SERVER_NAMES_MAX + 1],
        validity: days(0, 9),
    };
    assert!(matches!(
        ca.issue_server(&many),
        Err(CaFault::ServerName(_))
    ));
}

#[test]
fn serial_numbers_are_positive_long_and_different() {
    let serials: std::collections::BTreeSet<_> =
        (0..64).map(|_| random_serial().unwrap()).collect();
    assert_eq!(serials.len(), 64);
    assert!(
        serials
            .iter()
            .all(|serial| (0x40..=0x7F).contains(&serial[0]))
    );
}

#[derive(Debug)]
struct At(i64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            u64::try_from(self.0).unwrap(),
        )))
    }
}

fn roots(ca: &LocalCa) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(ca.certificate().der.clone()))
        .unwrap();
    Arc::new(roots)
}

/// One handshake in memory; gives the client certificate that the server saw.
fn handshake(vault: &Vault, client: &ClientCredential, at: i64) -> Result<Vec<u8>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let ca = vault.local_ca().unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&ca), provider.clone())
        .build()
        .unwrap();
    let identity = vault.server_identity(&name("doors")).unwrap();
    let server = ServerConfig::builder_with_details(provider.clone(), Arc::new(At(at)))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from((*identity).clone())));
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
    let chain = vec![CertificateDer::from(client.certificate.der.clone())];
    let client = ClientConfig::builder_with_details(provider, Arc::new(At(at)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&ca))
        .with_client_auth_cert(chain, key)?;
    let host = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), host)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn client_and_server_shake_hands_with_what_was_issued() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder);
    let ca = vault.create_local_ca("CA", days(0, 3650)).unwrap();
    let client = ca.issue_client(&name("demo"), days(0, 90)).unwrap();
    assert!(matches!(
        vault.server_identity(&name("doors")),
        Err(crate::TlsFault::Absent(_))
    ));
    vault
        .issue_server_identity(&name("doors"), &server_profile(days(0, 90)))
        .unwrap();
    let seen = handshake(&vault, &client, NOW + DAY).unwrap();
    assert_eq!(seen, client.certificate.der);
    // Not before its time and not after it, and not with a certificate of another CA.
    for at in [NOW - DAY, NOW + 91 * DAY] {
        assert!(handshake(&vault, &client, at).is_err());
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = self::vault(&elsewhere);
    let other = stranger.create_local_ca("CA", days(0, 3650)).unwrap();
    let stranger = other.issue_client(&name("demo"), days(0, 90)).unwrap();
    assert!(handshake(&vault, &stranger, NOW + DAY).is_err());
}

#[test]
fn the_ca_and_the_identities_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = vault(&folder);
    let ca = first.create_local_ca("CA", days(0, 3650)).unwrap();
    let client = ca.issue_client(&name("demo"), days(0, 90)).unwrap();
    first
        .issue_server_identity(&name("doors"), &server_profile(days(0, 90)))
        .unwrap();
    drop((first, ca));
    let credential = Credential::KeyFile(folder.path().join("unlock.key"));
    let again = Vault::unlock(&folder.path().join("keys"), &credential).unwrap();
    handshake(&again, &client, NOW + DAY).unwrap();
}
