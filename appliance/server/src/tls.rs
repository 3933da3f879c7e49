//! TLS of the doors: 1.2 and 1.3, one server identity, clients proven by the Local CA.

use crate::engine::Engine;
use anyhow::Context;
use domain::Name;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::time::Duration;
use vault::Vault;

/// Name under which the vault keeps the server's identity.
pub(crate) fn server_identity() -> Name {
    Name::parse("server").expect("six letters are a name")
}

/// The time that the node acts by, which neither a clock that jumps nor a wrong one moves: it
/// judges certificates as it judges the dates of keys (ABUSE A23).
#[derive(Debug)]
pub(crate) struct NodeTime(pub(crate) Arc<Engine>);

impl TimeProvider for NodeTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The two configurations in use.
pub(crate) struct Configs {
    /// KMIP: a client certificate of the Local CA is required.
    pub(crate) clients_proven: Arc<ServerConfig>,
    /// Web: no client certificate.
    pub(crate) server_only: Arc<ServerConfig>,
}

impl std::fmt::Debug for Configs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configs").finish_non_exhaustive()
    }
}

/// One identity for every name: clients reach an appliance by name, by address or by alias.
#[derive(Debug)]
struct OneIdentity(Arc<CertifiedKey>);

impl ResolvesServerCert for OneIdentity {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl Configs {
    /// Makes both from what the vault holds. Certificates of clients are valid by `clock`.
    pub(crate) fn of(vault: &Vault, clock: Arc<dyn TimeProvider>) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let identity = vault
            .server_identity(&server_identity())
            .context("server certificate")?;
        let resolver = Arc::new(OneIdentity(identity));
        let mut roots = RootCertStore::empty();
        let ca = vault.local_ca().context("Local CA")?;
        roots.add(ca.certificate().der.clone().into())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = verifier.build()?;
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder = || {
            ServerConfig::builder_with_details(provider.clone(), clock.clone())
                .with_protocol_versions(&versions)
        };
        let clients_proven = builder()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver.clone());
        let server_only = builder()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Ok(Self {
            clients_proven: Arc::new(clients_proven),
            server_only: Arc::new(server_only),
        })
    }
}
