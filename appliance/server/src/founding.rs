//! The first start of a cluster, and the making of clients.
//!
//! Every step looks whether it was done already, so a founding that a power cut ended is finished
//! by the next start.

use crate::clock;
use crate::engine::Engine;
use crate::layout::{Layout, write_file};
use crate::notary::{Notary, cluster_origin};
use crate::tls::server_identity;
use anyhow::Context;
use domain::{Actor, Ask, ClusterId, Hash, Membership, Name, NodeId, Time};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use vault::{Credential, NewSlot, ServerProfile, SubjectName, Validity, Vault};

/// The first node of a cluster.
pub(crate) const FIRST_NODE: NodeId = NodeId(1);

/// Validity of the Local CA: longer than any certificate it issues.
const CA_DAYS: i64 = 3_650;

/// Validity of server and client certificates: what public practice calls long, and clients warn
/// 30 days before the end.
const CERTIFICATE_DAYS: i64 = 825;

/// 9999-12-31T23:59:59Z, in seconds since 1970: the end of what has no end.
const LAST_SECOND: i64 = 253_402_300_799;

/// Certificates are valid a little earlier than made, for clients whose clock is behind.
const BACKDATED_SECONDS: i64 = 3_600;

/// Finishes the first start.
#[derive(Debug)]
pub(crate) struct Founder<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) notary: &'a Notary,
    pub(crate) layout: &'a Layout,
    /// Address of the KMIP port, for the server's certificate.
    pub(crate) address: IpAddr,
    /// Names of the node, likewise.
    pub(crate) names: &'a [String],
    /// Name of the Local CA; made from the cluster's identity when there is none.
    pub(crate) ca_subject: Option<&'a str>,
}

/// Makes the vault of a new cluster.
pub(crate) fn found_vault(layout: &Layout, credential: Credential) -> anyhow::Result<Vault> {
    let mut id = [0u8; 16];
    vault::provider::random(&mut id).context("random numbers")?;
    // A version 4 UUID (RFC 9562 §5.4), so that tools recognise it.
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut id;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let slot = NewSlot::new(credential);
    Ok(Vault::initialise(
        &layout.keys(),
        ClusterId::from_bytes(id),
        slot,
    )?)
}

impl Founder<'_> {
    /// Does what is not done yet of the first start.
    pub(crate) async fn complete(&self, users: &[Name]) -> anyhow::Result<()> {
        if self.engine.node() == FIRST_NODE || holds_local_ca(self.engine.vault())? {
            self.certificates()?;
        }
        if self.engine.node() != FIRST_NODE {
            // It came by a ticket: the cluster has been founded, and its log names this node.
            return Ok(());
        }
        let node = Actor::Node(FIRST_NODE);
        // A node records its first start when it is complete, so before that record it is not.
        let unfinished = {
            let state = self.engine.machine().state();
            state
                .node(FIRST_NODE)
                .is_none_or(|node| node.version.is_empty())
        };
        if self.engine.machine().state().cluster().is_none() {
            let cluster = self.engine.vault().cluster();
            let origin = cluster_origin(cluster, 1);
            let ask = Ask::FoundCluster {
                cluster,
                origin,
                node: FIRST_NODE,
            };
            self.engine.change(&node, ask, None).await?;
        }
        if !unfinished {
            return Ok(());
        }
        self.log_key(&node).await?;
        self.slots(&node).await?;
        self.first_users(&node, users).await
    }

    async fn log_key(&self, node: &Actor) -> anyhow::Result<()> {
        let public_key = Hash::from_bytes(self.notary.public_key());
        let known = {
            let state = self.engine.machine().state();
            state.log_key(FIRST_NODE).map(|key| key.public_key)
        };
        if known != Some(public_key) {
            let ask = Ask::AddLogKey {
                node: FIRST_NODE,
                public_key,
            };
            self.engine.change(node, ask, None).await?;
        }
        Ok(())
    }

    async fn slots(&self, node: &Actor) -> anyhow::Result<()> {
        for slot in self.engine.vault().slots() {
            let name = slot_name(FIRST_NODE, slot.id);
            let recorded = self
                .engine
                .machine()
                .state()
                .slots()
                .any(|(known, _)| *known == name);
            if !recorded {
                let ask = Ask::AddSlot {
                    name,
                    kind: slot.kind.to_string(),
                };
                self.engine.change(node, ask, None).await?;
            }
        }
        Ok(())
    }

    /// Makes the users whose certificate and key are not both there: a certificate may be in the
    /// log while the stop came before its files.
    async fn first_users(&self, node: &Actor, users: &[Name]) -> anyhow::Result<()> {
        for name in users {
            let (certificate, key) = client_files(self.layout, name);
            if !certificate.exists() || !key.exists() {
                add_client(self.engine, self.layout, node, name, Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// Local CA, server identity and their files.
    fn certificates(&self) -> anyhow::Result<()> {
        let vault = self.engine.vault();
        // The log of a newcomer says nothing of the time yet.
        let now = clock::now().max(self.engine.now());
        let ca = match vault.local_ca() {
            Ok(ca) => ca,
            Err(vault::CaFault::Absent) => {
                let cluster = vault.cluster().to_string();
                let own = || format!("Strongroom Local CA {}", &cluster[..8]);
                let name = self.ca_subject.map_or_else(own, str::to_owned);
                vault.create_local_ca(&name, validity(now, CA_DAYS))?
            }
            Err(e) => return Err(e.into()),
        };
        let (ca_file, server_file) = (
            self.layout.ca_certificate(),
            self.layout.server_certificate(),
        );
        if vault.server_identity(&server_identity()).is_err() || !server_file.exists() {
            let profile = server_profile(self.address, self.names, now);
            let issued = vault.issue_server_identity(&server_identity(), &profile)?;
            write_file(&server_file, issued.pem.as_bytes(), 0o644)?;
        }
        if !ca_file.exists() {
            write_file(&ca_file, ca.certificate().pem.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// What the certificate of the ports is for: the names of this machine for itself, and those that
/// clients have for it.
pub(crate) fn server_profile(address: IpAddr, names: &[String], now: Time) -> ServerProfile {
    let mut all = vec![
        SubjectName::Dns("localhost".into()),
        SubjectName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SubjectName::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    if !address.is_loopback() && !address.is_unspecified() {
        all.push(SubjectName::Ip(address));
    }
    all.extend(names.iter().cloned().map(SubjectName::Dns));
    ServerProfile {
        names: all,
        validity: validity(now, CERTIFICATE_DAYS),
    }
}

/// Name of a slot in the log: each node has slots of its own.
pub(crate) fn slot_name(node: NodeId, id: vault::SlotId) -> Name {
    let name = match node {
        FIRST_NODE => format!("slot-{}", id.0),
        NodeId(node) => format!("node-{node}-slot-{}", id.0),
    };
    Name::parse(&name).expect("numbers make a name")
}

/// Whether this node can prove itself to clients; a witness cannot, and serves none.
pub(crate) fn holds_local_ca(vault: &Vault) -> anyhow::Result<bool> {
    match vault.local_ca() {
        Ok(_) => Ok(true),
        Err(vault::CaFault::Absent) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Validity of the certificates with which members prove themselves to each other: for ever, by the
/// date that RFC 5280 §4.1.2.5 has for it. Who is a member is for the cluster log to say; nodes
/// whose clocks are wrong must reach each other to find that out, and a cluster must not end on a
/// day that nobody thinks of.
pub(crate) fn member_validity() -> Validity {
    Validity {
        not_before: Time::from_seconds(0),
        not_after: Time::from_seconds(LAST_SECOND),
    }
}

/// Makes sure that this node can prove to the others who it is: the founder makes the cluster CA
/// and certifies itself, who joined has its certificate already.
pub(crate) fn member_identity(vault: &Vault, me: NodeId) -> anyhow::Result<()> {
    if vault
        .member_certificate()
        .context("member certificate")?
        .is_some()
    {
        return Ok(());
    }
    let ca = match vault.cluster_ca() {
        Ok(ca) => ca,
        Err(vault::CaFault::NoClusterCa) => {
            let name = format!(
                "Strongroom Cluster CA {}",
                &vault.cluster().to_string()[..8]
            );
            vault.create_cluster_ca(&name, member_validity())?
        }
        Err(e) => return Err(e.into()),
    };
    drop(ca);
    certify_member(vault, me)
}

/// Certifies this node by the current cluster CA.
pub(crate) fn certify_member(vault: &Vault, me: NodeId) -> anyhow::Result<()> {
    let identity = vault.node_identity()?;
    let issued = vault
        .cluster_ca()?
        .issue_member(&identity.spki, me, member_validity())?;
    vault.install_member_certificate(&issued.der)?;
    Ok(())
}

fn validity(now: Time, days: i64) -> Validity {
    let from = now.seconds() - BACKDATED_SECONDS;
    Validity {
        not_before: Time::from_seconds(from),
        not_after: Time::from_seconds(from + days * 86_400),
    }
}

/// Adds a user, or a further certificate of one, and writes its certificate and key into the
/// clients folder. The private key exists only there.
pub(crate) async fn add_client(
    engine: &Engine,
    layout: &Layout,
    actor: &Actor,
    name: &Name,
    groups: Vec<Membership>,
) -> anyhow::Result<Client> {
    let known = engine
        .machine()
        .state()
        .user(name)
        .map(|user| user.groups().to_vec());
    if known.is_none() || (!groups.is_empty() && known.as_deref() != Some(&groups)) {
        let ask = Ask::PutUser {
            name: name.clone(),
            groups,
        };
        engine.change(actor, ask, None).await?;
    }
    let issued = engine
        .vault()
        .local_ca()?
        .issue_client(name, validity(engine.now(), CERTIFICATE_DAYS))?;
    let (certificate, key) = client_files(layout, name);
    let ask = Ask::IssueCertificate {
        user: name.clone(),
        certificate: issued.certificate.fingerprint,
        serial: crate::render::hex(&issued.certificate.serial),
        not_after: issued.certificate.validity.not_after,
    };
    // Recorded first: a certificate that is not in the log is accepted nowhere.
    engine.change(actor, ask, None).await?;
    write_file(&key, issued.key_pem.as_bytes(), 0o600)?;
    write_file(&certificate, issued.certificate.pem.as_bytes(), 0o644)?;
    let (fingerprint, not_after) = (
        issued.certificate.fingerprint,
        issued.certificate.validity.not_after,
    );
    Ok(Client {
        certificate,
        key,
        fingerprint,
        not_after,
    })
}

/// Where certificate and key of a client lie.
pub(crate) fn client_files(layout: &Layout, name: &Name) -> (PathBuf, PathBuf) {
    let file = |ending: &str| layout.clients().join(format!("{name}.{ending}"));
    (file("pem"), file("key"))
}

/// A client that was made.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) fingerprint: domain::Fingerprint,
    pub(crate) not_after: Time,
}
