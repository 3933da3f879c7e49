//! Vaults for tests: nodes in throw-away folders, and clusters made of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::{Credential, MemberCertificate, NewSlot, Validity, Vault};
use domain::{ClusterId, NodeId, Time};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CLUSTER: ClusterId = ClusterId::from_bytes([0xC1; 16]);
pub(crate) const DAY: i64 = 24 * 3600;
/// A moment in 2027, in seconds.
pub(crate) const NOW: i64 = 1_800_000_000;

/// From one day to another, counted from [`NOW`].
pub(crate) fn days(from: i64, to: i64) -> Validity {
    let at = |days: i64| Time::from_seconds(NOW + days * DAY);
    Validity {
        not_before: at(from),
        not_after: at(to),
    }
}

/// A clock that stands still, in seconds since 1970.
#[derive(Debug)]
pub(crate) struct At(pub(crate) i64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

pub(crate) fn noon() -> Arc<At> {
    Arc::new(At(NOW + DAY / 2))
}

/// An unlocked vault and the folder it lives in.
pub(crate) struct Node {
    folder: tempfile::TempDir,
    pub(crate) vault: Vault,
}

impl Node {
    /// The first node of a cluster.
    pub(crate) fn founder(cluster: ClusterId) -> Self {
        Self::new(cluster, Vault::initialise)
    }

    /// A node that joins.
    pub(crate) fn member(cluster: ClusterId) -> Self {
        Self::new(cluster, Vault::initialise_member)
    }

    fn new<E: std::fmt::Debug>(
        cluster: ClusterId,
        initialise: fn(&std::path::Path, ClusterId, NewSlot) -> Result<Vault, E>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let slot = NewSlot::new(Credential::KeyFile(folder.path().join("unlock.key")));
        let vault = initialise(&folder.path().join("keys"), cluster, slot).unwrap();
        Self { folder, vault }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential::KeyFile(self.folder.path().join("unlock.key"))
    }

    /// The node after a restart.
    pub(crate) fn restarted(self) -> Self {
        let vault = Vault::unlock(&self.keys(), &self.credential()).unwrap();
        Self { vault, ..self }
    }

    /// Has the cluster CA of `certifier` certify this node for the next 30 days.
    pub(crate) fn certified_by(&self, certifier: &Self, node: u64) -> MemberCertificate {
        let trusted = certifier.vault.cluster_ca_certificates().unwrap();
        self.vault.install_cluster_ca_certificates(trusted).unwrap();
        let ca = certifier.vault.cluster_ca().unwrap();
        let spki = self.vault.node_identity().unwrap().spki;
        let issued = ca.issue_member(&spki, NodeId(node), days(0, 30)).unwrap();
        self.vault.install_member_certificate(&issued.der).unwrap()
    }

    /// Seals the ring of this node for another, which takes it in.
    pub(crate) fn hand_keks_to(&self, other: &Self) -> Vec<domain::Epoch> {
        let sealing_key = other.vault.node_identity().unwrap().sealing_key;
        let envelope = self.vault.export_keks(&sealing_key).unwrap();
        other.vault.import_keks(&envelope).unwrap()
    }

    /// Seals the CAs of this node for another, which takes them in.
    pub(crate) fn hand_shared_to(&self, other: &Self) -> Result<(), crate::TransferFault> {
        let sealing_key = other.vault.node_identity().unwrap().sealing_key;
        let envelope = self.vault.export_shared(&sealing_key).unwrap();
        other.vault.import_shared(&envelope)
    }
}

/// A founder with a cluster CA and a certificate, and `members` more nodes that it certified.
pub(crate) fn cluster_of(members: u64) -> (Node, Vec<Node>) {
    let founder = Node::founder(CLUSTER);
    founder
        .vault
        .create_cluster_ca("Cluster CA", days(-1, 3650))
        .unwrap();
    founder.certified_by(&founder, 1);
    let members = (0..members).map(|n| {
        let member = Node::member(CLUSTER);
        member.certified_by(&founder, 2 + n);
        member
    });
    let members = members.collect();
    (founder, members)
}
