//! The cluster CA: certifies the TLS keys of the nodes, and nothing else.
//!
//! A member that keeps keys also keeps the CA's key, so that any of them can admit a node; a
//! witness has the certificates only. A certificate of this CA proves less than membership: it
//! counts only while the key it certifies stands in the cluster log.
//!
//! **Rotation.** A new CA becomes current and the previous one stays trusted, as a certificate
//! without a key, until every node has a certificate of the new one and the previous is dropped.
//! So there are one or two trusted certificates, and the first is the current one.

use crate::ca::{Authority, CaFault, IssuedCertificate, StoredCa, Validity};
use crate::secret::Secret;
use crate::spki::{P256_POINT_BYTES, p256_point};
use crate::vault::{SecretFault, Vault};
use domain::{ClusterId, NodeId, codec};
use rcgen::{ExtendedKeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) const CLUSTER_CA_NAME: &str = "strongroom.cluster-ca";
/// Most trusted CAs: the current one and, during a rotation, the previous one.
const TRUSTED_MAX: usize = 2;
/// Longest CA certificate, in bytes. Ours have half a kilobyte.
const CA_CERTIFICATE_BYTES_MAX: usize = 4096;

/// What the named secret of the cluster CA holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredClusterCa {
    /// How often the CA was rotated: of two stored forms the one with the higher count is newer.
    pub(crate) generation: u32,
    /// The current CA with its key; `None` where only the certificates are known.
    pub(crate) ca: Option<StoredCa>,
    /// The trusted certificates in DER, the current one first.
    pub(crate) trusted: Vec<ByteBuf>,
}

impl StoredClusterCa {
    pub(crate) fn from_secret(secret: &Secret) -> Result<Self, SecretFault> {
        codec::from_slice(secret.expose())
            .map_err(|_| SecretFault::Damaged(CLUSTER_CA_NAME.to_owned()))
    }

    pub(crate) fn to_secret(&self) -> Secret {
        Secret::take(codec::to_vec(self))
    }

    /// The current CA's certificate in DER.
    pub(crate) fn current(&self) -> &[u8] {
        self.trusted.first().map_or(&[], |der| der.as_slice())
    }
}

/// The cluster CA, ready to issue.
#[derive(Debug)]
pub struct ClusterCa {
    authority: Authority,
    cluster: ClusterId,
}

impl Vault {
    /// Creates the CA of a new cluster. `common_name` has 1 to 64 printable ASCII characters.
    pub fn create_cluster_ca(
        &self,
        common_name: &str,
        validity: Validity,
    ) -> Result<ClusterCa, CaFault> {
        let stored = fresh(0, common_name, validity, Vec::new())?;
        if !self.own_secret_put_new(CLUSTER_CA_NAME, &stored.to_secret())? {
            return Err(CaFault::ClusterCaExists);
        }
        self.ready(&stored)
    }

    /// The current cluster CA, on a node that has its key.
    pub fn cluster_ca(&self) -> Result<ClusterCa, CaFault> {
        self.ready(&self.stored_cluster_ca()?)
    }

    /// Makes a new CA the current one; the previous one stays trusted until it is dropped.
    pub fn rotate_cluster_ca(
        &self,
        common_name: &str,
        validity: Validity,
    ) -> Result<ClusterCa, CaFault> {
        let stored = self.own_secret_change(CLUSTER_CA_NAME, |held| {
            let held = held.ok_or(CaFault::NoClusterCa)?;
            let mut held = StoredClusterCa::from_secret(&held)?;
            if held.ca.is_none() {
                return Err(CaFault::NoClusterCaKey);
            }
            if held.trusted.len() >= TRUSTED_MAX {
                return Err(CaFault::PreviousTrusted);
            }
            let generation = held.generation.saturating_add(1);
            let previous = std::mem::take(&mut held.trusted);
            let stored = fresh(generation, common_name, validity, previous)?;
            Ok((Some(stored.to_secret()), stored))
        })?;
        self.ready(&stored)
    }

    /// Ends the trust in the previous CA; says whether there was one.
    pub fn drop_previous_cluster_ca(&self) -> Result<bool, CaFault> {
        self.own_secret_change(CLUSTER_CA_NAME, |held| {
            let mut held = StoredClusterCa::from_secret(&held.ok_or(CaFault::NoClusterCa)?)?;
            if held.trusted.len() <= 1 {
                return Ok((None, false));
            }
            held.trusted.truncate(1);
            Ok((Some(held.to_secret()), true))
        })
    }

    /// Sets which cluster CAs are trusted, in DER, the current one first, at most two. A key that
    /// is held stays if it belongs to the first; the key of another CA is erased.
    pub fn install_cluster_ca_certificates(
        &self,
        certificates: Vec<Vec<u8>>,
    ) -> Result<(), CaFault> {
        check_certificates(&certificates)?;
        self.own_secret_change(CLUSTER_CA_NAME, |held| {
            let held = held.map(|held| StoredClusterCa::from_secret(&held));
            let held = held.transpose()?;
            let generation = held.as_ref().map_or(0, |held| held.generation);
            let current = certificates.first();
            let ca = held.and_then(|held| held.ca);
            let stored = StoredClusterCa {
                generation,
                ca: ca.filter(|ca| Some(&ca.certificate) == current),
                trusted: certificates.into_iter().map(Into::into).collect(),
            };
            Ok((Some(stored.to_secret()), ()))
        })
    }

    /// The trusted cluster CAs in DER: the current one, then the previous one if it is still
    /// trusted.
    pub fn cluster_ca_certificates(&self) -> Result<Vec<Vec<u8>>, CaFault> {
        let stored = self.stored_cluster_ca()?;
        Ok(stored.trusted.into_iter().map(ByteBuf::into_vec).collect())
    }

    fn stored_cluster_ca(&self) -> Result<StoredClusterCa, CaFault> {
        let secret = self.own_secret_get(CLUSTER_CA_NAME)?;
        let secret = secret.ok_or(CaFault::NoClusterCa)?;
        Ok(StoredClusterCa::from_secret(&secret)?)
    }

    fn ready(&self, stored: &StoredClusterCa) -> Result<ClusterCa, CaFault> {
        let ca = stored.ca.as_ref().ok_or(CaFault::NoClusterCaKey)?;
        Ok(ClusterCa {
            authority: Authority::from_stored(ca)?,
            cluster: self.cluster(),
        })
    }
}

impl ClusterCa {
    /// The CA's own certificate.
    pub fn certificate(&self) -> &IssuedCertificate {
        self.authority.certificate()
    }

    /// Certifies the TLS key of a node, a P-256 key as SubjectPublicKeyInfo: common name
    /// `node-<id>`, DNS name [`member_dns_name`], for both ends of a connection.
    pub fn issue_member(
        &self,
        spki: &[u8],
        node: NodeId,
        validity: Validity,
    ) -> Result<IssuedCertificate, CaFault> {
        let subject_key = SubjectKey(p256_point(spki)?);
        let common_name = member_common_name(node);
        let mut params = self.authority.end_entity(&common_name, validity)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let dns_name = member_dns_name(node, &self.cluster);
        params.subject_alt_names = vec![SanType::DnsName(dns_name.as_str().try_into()?)];
        self.authority
            .issue(params, &common_name, validity, &subject_key)
    }
}

/// The name under which a node is dialled: `node-<id>.<cluster>.strongroom`.
pub fn member_dns_name(node: NodeId, cluster: &ClusterId) -> String {
    format!("{}.{cluster}.strongroom", member_common_name(node))
}

pub(crate) fn member_common_name(node: NodeId) -> String {
    format!("node-{}", node.0)
}

/// A new CA in front of those trusted so far.
fn fresh(
    generation: u32,
    common_name: &str,
    validity: Validity,
    previous: Vec<ByteBuf>,
) -> Result<StoredClusterCa, CaFault> {
    let ca = StoredCa::create(common_name, validity)?;
    let mut trusted = vec![ca.certificate.clone().into()];
    trusted.extend(previous);
    Ok(StoredClusterCa {
        generation,
        ca: Some(ca),
        trusted,
    })
}

/// One or two different CA certificates that TLS will be able to use as roots.
pub(crate) fn check_certificates(certificates: &[Vec<u8>]) -> Result<(), CaFault> {
    if !(1..=TRUSTED_MAX).contains(&certificates.len()) {
        return Err(CaFault::CaCertificates("a list of another length"));
    }
    if let [current, previous] = certificates
        && current == previous
    {
        return Err(CaFault::CaCertificates("the same certificate twice"));
    }
    for der in certificates {
        let fault = CaFault::CaCertificates("bytes that are no CA certificate");
        if der.len() > CA_CERTIFICATE_BYTES_MAX {
            return Err(fault);
        }
        let is_ca = X509Certificate::from_der(der)
            .is_ok_and(|(rest, certificate)| rest.is_empty() && certificate.is_ca());
        let root = RootCertStore::empty().add(CertificateDer::from(der.as_slice()));
        if !is_ca || root.is_err() {
            return Err(fault);
        }
    }
    Ok(())
}

/// A checked public key of somebody else, for rcgen.
struct SubjectKey([u8; P256_POINT_BYTES]);

impl PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests;
