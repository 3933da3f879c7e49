//! Who may talk to whom: a CA, a key and a certificate for each node, and the keeper of the gate.

use cluster::peers::{Caller, Gatekeeper, Hello, PROTOCOL, PeerTls, Refused, key_of, server_name};
use cluster::{Cluster, LogEnd};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// The cluster of every run.
pub const CLUSTER: [u8; 16] = [7; 16];

/// Nodes that get papers.
pub const NODES_MAX: u64 = 9;

/// A key with its certificate.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    fingerprint: [u8; 32],
}

/// The papers of all nodes. Made once: no choice of a run hangs on the bytes of a key.
pub struct Papers {
    identities: BTreeMap<u64, Identity>,
}

impl std::fmt::Debug for Papers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Papers").finish_non_exhaustive()
    }
}

/// The papers that all runs of this process share.
pub fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(Papers::issue)
}

impl Papers {
    fn issue() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "cluster CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let identities = (1..=NODES_MAX).map(|node| (node, certify(&issuer, node)));
        Self {
            identities: identities.collect(),
        }
    }

    /// How a node dials and is dialled in one life. Made anew for each, because they remember
    /// sessions: what one run has resumed must not make the next one quicker.
    pub fn tls(&self, node: u64) -> PeerTls {
        let (client, server) = configs(&self.identities[&node]);
        PeerTls::new(client, server)
    }
}

fn certify(issuer: &CertifiedIssuer<'static, KeyPair>, node: u64) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([server_name(&CLUSTER, node)]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("node-{node}"));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let leaf = params.signed_by(&key, issuer).unwrap().der().clone();
    let fingerprint = key_of(&leaf).unwrap();
    let (chain, key) = (vec![leaf, issuer.der().clone()], key.serialize_der());
    Identity {
        chain,
        key,
        fingerprint,
    }
}

fn configs(identity: &Identity) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let mut roots = RootCertStore::empty();
    let root = identity.chain.last().expect("the CA ends the chain");
    roots.add(root.clone()).unwrap();
    let roots = Arc::new(roots);
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(identity.chain.clone(), private())
        .unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(identity.chain.clone(), private())
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

/// The keeper of one life of a node: says how far its log reaches, and turns away whose log went
/// backwards, as the one of the product does.
#[derive(Debug)]
pub struct Keeper {
    node: u64,
    log_end: LogEnd,
    cluster: Mutex<Option<Cluster>>,
}

impl Keeper {
    /// A keeper that knows no log yet.
    pub fn new(node: u64, log_end: LogEnd) -> Arc<Self> {
        let cluster = Mutex::default();
        Arc::new(Self {
            node,
            log_end,
            cluster,
        })
    }

    /// From now on what this node remembers of others counts; `None` at the end of its life, so
    /// that nothing of it is kept.
    pub fn knows(&self, cluster: Option<Cluster>) {
        let before = std::mem::replace(&mut *self.cluster.lock().unwrap(), cluster);
        drop(before);
    }
}

impl Gatekeeper for Keeper {
    fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            cluster: CLUSTER,
            lineage: 1,
            node: self.node,
            member_epoch: self.node,
            format: 1,
            version: "simulated".into(),
            log_end: self.log_end.get(),
            cluster_log: None,
            access_log: None,
        }
    }

    fn admit(&self, theirs: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused> {
        let node = theirs.node;
        let known = papers().identities.get(&node).map(|i| i.fingerprint);
        if known.is_none() || known != key {
            return Err(Refused::WrongKey { node });
        }
        let remembered = self
            .cluster
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|c| c.remembered(node));
        if let Some(had) = remembered
            && theirs.log_end < Some(had)
        {
            return Err(Refused::LogReversion {
                node,
                had,
                has: theirs.log_end.unwrap_or(0),
                what: "Raft log".into(),
            });
        }
        Ok(Caller::Member { node })
    }
}
