//! TLS between nodes: configurations that can be exchanged while the node runs, and names.

use crate::peers::hello::Refused;
use parking_lot::RwLock;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, CommonState, ProtocolVersion, ServerConfig};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Both configurations of a node's own: as the side that dials and as the side that answers.
/// A rotation of the cluster CA exchanges them; connections that are open stay as they are until
/// [`super::Peers::drop_connections`].
#[derive(Clone)]
pub struct PeerTls {
    pair: Arc<RwLock<Pair>>,
}

#[derive(Clone)]
struct Pair {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").finish_non_exhaustive()
    }
}

impl PeerTls {
    /// `client` shows our certificate and trusts the cluster CA; `server` shows it too, and asks
    /// for a certificate of the cluster CA but lets in who has none (newcomers).
    pub fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Self {
        let pair = Arc::new(RwLock::new(Pair { client, server }));
        Self { pair }
    }

    /// Uses other configurations for connections from now on. They must be made anew, not cloned
    /// from the old ones, whose session caches could resume what the new CA would not accept.
    pub fn replace(&self, client: Arc<ClientConfig>, server: Arc<ServerConfig>) {
        *self.pair.write() = Pair { client, server };
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        self.pair.read().client.clone()
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.pair.read().server.clone()
    }
}

/// The DNS name in the certificate of a member: `node-<id>.<cluster-id>.strongroom`, with the
/// cluster's identity in the UUID form (RFC 9562 §4).
pub fn server_name(cluster: &[u8; 16], node: u64) -> String {
    let mut name = format!("node-{node}.");
    for (i, byte) in cluster.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            name.push('-');
        }
        name.push_str(&format!("{byte:02x}"));
    }
    name + ".strongroom"
}

/// SHA-256 of the SubjectPublicKeyInfo of the certificate that the other side has shown and TLS
/// has verified.
///
/// # Errors
/// The connection is not TLS 1.3, or the certificate cannot be read.
pub(super) fn peer_key(tls: &CommonState) -> Result<Option<[u8; 32]>, Refused> {
    let malformed = |what: &str| Refused::Malformed { what: what.into() };
    if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Err(malformed("nodes talk TLS 1.3 only"));
    }
    let leaf = tls.peer_certificates().and_then(<[_]>::first);
    leaf.map(|leaf| key_of(leaf).ok_or_else(|| malformed("the certificate cannot be read")))
        .transpose()
}

/// Whether the certificate that the other side has shown was issued to this node of this cluster.
/// The side that dials has TLS check the name; the side that is dialled does it here.
pub(super) fn is_issued_to(tls: &CommonState, cluster: &[u8; 16], node: u64) -> bool {
    let leaf = tls.peer_certificates().and_then(<[_]>::first);
    let certificate = leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    let name = ServerName::try_from(server_name(cluster, node)).ok();
    let both = certificate.zip(name);
    both.is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
}

/// SHA-256 of the DER of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of a certificate; `None` if
/// it is no X.509 certificate.
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into())
}
