//! TLS between nodes: version 1.3 only, with what is approved only, mutual between members.
//!
//! A member shows its certificate at both ends and checks the other's against the trusted cluster
//! CAs; whether the certified key is a member's *now* is the cluster log's affair and is asked by
//! the caller. A newcomer has no certificate yet: it shows none, and knows the cluster by the
//! SHA-256 of its CA certificate, which stands in its ticket. For it a server sends the CA's
//! certificate behind its own.
//!
//! Sessions are never resumed: a resumed session would carry a certificate over that was checked
//! against roots of the past, and connections between nodes live long anyway.

use crate::CaFault;
use crate::member::issuer_of;
use crate::provider;
use crate::vault::{SecretFault, Vault};
use domain::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

/// Why there is no TLS configuration for the cluster port.
#[derive(Debug, thiserror::Error)]
pub enum PeerTlsFault {
    /// The node was not admitted yet.
    #[error("this node has no certificate of the cluster CA yet; join a cluster first")]
    NoCertificate,
    /// The CA of the certificate was dropped after a rotation.
    #[error(
        "the cluster CA that certified this node is not trusted any more; \
         have the current CA certify the node again"
    )]
    IssuerDropped,
    /// The cluster CA.
    #[error(transparent)]
    Ca(#[from] CaFault),
    /// The keys folder.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// rustls does not take a certificate or the key.
    #[error("the certificates of the cluster port are unusable: {0}")]
    Unusable(#[from] Error),
    /// rustls does not take the roots.
    #[error("the cluster CA certificates are unusable as roots: {0}")]
    Roots(#[from] VerifierBuilderError),
}

impl Vault {
    /// What this node dials other members with, and what it answers at the cluster port with.
    ///
    /// The server asks for a certificate and verifies the one it is given, but admits a newcomer
    /// without one: the caller must look at `peer_certificates`. The client verifies chain,
    /// validity and the dialled name ([`member_dns_name`](crate::member_dns_name)).
    pub fn peer_tls(&self) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>), PeerTlsFault> {
        self.peer_tls_at(Arc::new(DefaultTimeProvider))
    }

    pub(crate) fn peer_tls_at(
        &self,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>), PeerTlsFault> {
        let trusted = self.cluster_ca_certificates()?;
        let member = self.member_certificate()?;
        let member = member.ok_or(PeerTlsFault::NoCertificate)?;
        let issuer = issuer_of(&member.der, &trusted).ok_or(PeerTlsFault::IssuerDropped)?;
        let chain = [member.der, issuer.clone()].map(CertificateDer::from);
        let keys = self.node_keys()?;
        // Borrowed, so that rustls makes no copy that nobody erases.
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.tls.expose()));
        let identity = CertifiedKey::new(chain.to_vec(), any_ecdsa_type(&key)?);
        identity.keys_match()?;
        let identity = Arc::new(SingleCertAndKey::from(identity));
        let mut roots = RootCertStore::empty();
        for ca in trusted {
            roots.add(CertificateDer::from(ca))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(approved_provider());

        let members = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let client = ClientConfig::builder_with_details(provider.clone(), clock.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_webpki_verifier(members.build()?)
            .with_client_cert_resolver(identity.clone());
        let callers = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let mut server = ServerConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(callers.allow_unauthenticated().build()?)
            .with_cert_resolver(identity);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok((Arc::new(never_resuming(client)), Arc::new(server)))
    }
}

/// What a newcomer dials a member with: no certificate of its own, and a server is whoever has a
/// member certificate of the CA whose certificate (in DER) has this SHA-256. The dialled name is
/// not checked, because the newcomer does not know the number of the node behind an address.
pub fn newcomer_tls(ca_fingerprint: Fingerprint) -> Result<Arc<ClientConfig>, PeerTlsFault> {
    newcomer_tls_at(ca_fingerprint, Arc::new(DefaultTimeProvider))
}

pub(crate) fn newcomer_tls_at(
    ca_fingerprint: Fingerprint,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, PeerTlsFault> {
    let provider = Arc::new(approved_provider());
    let verifier = PinnedCa {
        fingerprint: ca_fingerprint,
        algorithms: provider.signature_verification_algorithms,
    };
    let client = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(never_resuming(client)))
}

fn never_resuming(mut client: ClientConfig) -> ClientConfig {
    client.resumption = Resumption::disabled();
    client
}

/// One cipher suite and two key exchanges, all approved: what is recorded of these connections
/// today holds KEKs, sealed once more, so the first exchange also resists a quantum computer.
fn approved_provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![kx_group::SECP256R1MLKEM768, kx_group::SECP384R1],
        ..default_provider()
    }
}

/// Believes a server whose certificate was issued by one CA, known by its fingerprint.
#[derive(Debug)]
struct PinnedCa {
    fingerprint: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = |der: &&CertificateDer<'_>| {
            self.fingerprint.as_bytes() == &provider::sha256(&[der.as_ref()])
        };
        let ca = intermediates.iter().find(pinned);
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            &[],
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Never called: the configuration offers TLS 1.3 only.
        Err(Error::PeerIncompatible(
            rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
