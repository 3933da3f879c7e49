//! TLS of the doors: 1.2 and 1.3, one server identity, clients proven by the Local CA.
//!
//! Each port has two configurations: the one of every day, and the one of approved-algorithms mode.
//! Which one a connection gets is settled when it begins; a switch of the mode ends it.

use crate::clock;
use crate::engine::Engine;
use crate::machine::LedgerMachine;
use anyhow::Context;
use domain::{Name, Time};
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::UnixTime;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor};
use vault::Vault;

/// A certificate is valid a little earlier than made, for clients whose clock is behind.
const BACKDATED_SECONDS: i64 = 3_600;

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
        unix_time(self.0.now().seconds())
    }
}

/// The time of the machine, where no node runs.
#[derive(Debug)]
struct MachineTime;

impl TimeProvider for MachineTime {
    fn current_time(&self) -> Option<UnixTime> {
        unix_time(clock::now().seconds())
    }
}

fn unix_time(seconds: i64) -> Option<UnixTime> {
    let seconds = u64::try_from(seconds).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// What one port offers to those who connect.
#[derive(Clone)]
pub(crate) struct Offer {
    ordinary: TlsAcceptor,
    approved: TlsAcceptor,
    /// Says which mode is in force; without a node it is the approved one.
    mode: Option<Arc<LedgerMachine>>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").finish_non_exhaustive()
    }
}

impl Offer {
    /// What the status port offers where there is no identity for clients: in the error state, and
    /// on a witness. The certificate is made for this run.
    pub(crate) fn of_passing_identity(
        days: i64,
        machine: Option<Arc<LedgerMachine>>,
    ) -> anyhow::Result<Self> {
        let now = clock::now().seconds();
        let validity = vault::Validity {
            not_before: Time::from_seconds(now - BACKDATED_SECONDS),
            not_after: Time::from_seconds(now + days * 86_400),
        };
        let passing = vault::passing_identity("Strongroom status", validity)?;
        let identity = Arc::new(ServerIdentity(RwLock::new(passing)));
        let clock: Arc<dyn TimeProvider> = Arc::new(MachineTime);
        server_only(&identity, &clock, machine)
    }

    /// Begins a handshake by the mode that is in force now.
    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        let is_approved = |machine: &Arc<LedgerMachine>| *machine.approved_mode().borrow();
        match self.mode.as_ref().is_none_or(is_approved) {
            true => self.approved.accept(stream),
            false => self.ordinary.accept(stream),
        }
    }

    /// The future returns when the mode is switched after this call: what was agreed on before is
    /// not held to it.
    pub(crate) fn switched(&self) -> impl Future<Output = ()> + Send + 'static {
        let mode = self.mode.as_ref().map(|machine| machine.approved_mode());
        async move {
            if let Some(mut mode) = mode
                && mode.changed().await.is_ok()
            {
                return;
            }
            std::future::pending::<()>().await;
        }
    }
}

/// AES-GCM and ECDHE on the curves of NIST, alone or behind ML-KEM (SP 800-52 r2 §3.3.1; SP 800-56A
/// r3; for the hybrid ones SP 800-56C r2 §2, which lets a second secret follow the approved one).
/// X25519 alone and ChaCha20 are not approved.
fn approved_provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![
            kx_group::SECP256R1,
            kx_group::SECP384R1,
            kx_group::SECP256R1MLKEM768,
            kx_group::X25519MLKEM768,
        ],
        ..default_provider()
    }
}

/// The suites and key exchanges that approved-algorithms mode offers, by their names.
pub(crate) fn approved_names() -> (Vec<String>, Vec<String>) {
    let provider = approved_provider();
    let suites = provider.cipher_suites.iter();
    let suites = suites.map(|suite| format!("{:?}", suite.suite())).collect();
    let groups = provider.kx_groups.iter();
    let groups = groups.map(|group| format!("{:?}", group.name())).collect();
    (suites, groups)
}

/// The configurations in use.
pub(crate) struct Configs {
    /// KMIP: a client certificate of the Local CA is required.
    pub(crate) clients_proven: Offer,
    /// Web and status: no client certificate.
    pub(crate) server_only: Offer,
}

impl std::fmt::Debug for Configs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configs").finish_non_exhaustive()
    }
}

/// One identity for every name: clients reach an appliance by name, by address or by alias. All
/// ports have the same, and another one is shown to whoever connects after it was renewed.
#[derive(Debug)]
pub(crate) struct ServerIdentity(RwLock<Arc<CertifiedKey>>);

impl ServerIdentity {
    /// What the vault holds.
    pub(crate) fn of(vault: &Vault) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self(RwLock::new(held(vault)?))))
    }

    /// Takes what the vault holds now.
    pub(crate) fn renew(&self, vault: &Vault) -> anyhow::Result<()> {
        *self.0.write() = held(vault)?;
        Ok(())
    }
}

fn held(vault: &Vault) -> anyhow::Result<Arc<CertifiedKey>> {
    vault
        .server_identity(&server_identity())
        .context("server certificate")
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl Configs {
    /// Makes both from what the vault holds. Certificates of clients are valid by the node's time.
    pub(crate) fn of(engine: &Arc<Engine>, identity: &Arc<ServerIdentity>) -> anyhow::Result<Self> {
        let vault: &Vault = engine.vault();
        let mut roots = RootCertStore::empty();
        let ca = vault.local_ca().context("Local CA")?;
        roots.add(ca.certificate().der.clone().into())?;
        let clock: Arc<dyn TimeProvider> = Arc::new(NodeTime(engine.clone()));
        let mode = Some(engine.machine().clone());
        let proven = |set| config(set, &clock, identity, Some(roots.clone()));
        Ok(Self {
            clients_proven: Offer {
                ordinary: proven(Set::Ordinary)?,
                approved: proven(Set::Approved)?,
                mode: mode.clone(),
            },
            server_only: server_only(identity, &clock, mode)?,
        })
    }
}

fn server_only(
    identity: &Arc<ServerIdentity>,
    clock: &Arc<dyn TimeProvider>,
    mode: Option<Arc<LedgerMachine>>,
) -> anyhow::Result<Offer> {
    Ok(Offer {
        ordinary: config(Set::Ordinary, clock, identity, None)?,
        approved: config(Set::Approved, clock, identity, None)?,
        mode,
    })
}

/// Which algorithms a configuration has.
#[derive(Clone, Copy)]
enum Set {
    /// What rustls takes for safe.
    Ordinary,
    /// Those that are approved.
    Approved,
}

/// One configuration; with `roots`, clients prove themselves by a certificate of theirs.
fn config(
    set: Set,
    clock: &Arc<dyn TimeProvider>,
    identity: &Arc<ServerIdentity>,
    roots: Option<RootCertStore>,
) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(match set {
        Set::Ordinary => default_provider(),
        Set::Approved => approved_provider(),
    });
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = ServerConfig::builder_with_details(provider.clone(), clock.clone())
        .with_protocol_versions(&versions)?;
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_cert_resolver(identity.clone());
    // FIPS 140-3 IG D.Q: TLS 1.2 with the extended master secret only.
    config.require_ems |= matches!(set, Set::Approved);
    Ok(TlsAcceptor::from(Arc::new(config)))
}
