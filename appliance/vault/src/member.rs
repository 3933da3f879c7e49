//! The certificate that the cluster CA gave this node.
//!
//! It is public, but is kept among the named secrets, where nobody can exchange it unseen. Before
//! it is taken, everything is checked that does not need a clock: the key is this node's, the
//! signature is a trusted CA's, the names are a member's of this cluster and the usages fit.

use crate::cluster_ca::{member_common_name, member_dns_name};
use crate::node_identity::NodeKeys;
use crate::provider;
use crate::secret::Secret;
use crate::vault::{SecretFault, Vault};
use crate::{CaFault, Validity};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use domain::{ClusterId, Fingerprint, NodeId, Time};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA256;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const MEMBER_CERTIFICATE_NAME: &str = "strongroom.member-certificate";
/// Longest member certificate, in bytes. Ours have half a kilobyte.
const MEMBER_CERTIFICATE_BYTES_MAX: usize = 4096;

/// A certificate of a node, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCertificate {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// The node that its names give.
    pub node: NodeId,
    /// From when to when, both ends included.
    pub validity: Validity,
    /// SHA-256 over the DER form of the certificate.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the key it certifies, as in the cluster log.
    pub key: Fingerprint,
}

/// Why a member certificate was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MemberCertificateFault {
    /// Not a certificate, or one of another make.
    #[error("not a member certificate: {0}")]
    Form(&'static str),
    /// It certifies another key.
    #[error(
        "the certificate is for the key {certified}, but this node's is {own}; \
         have the CA certify this node's key"
    )]
    OtherKey {
        /// SHA-256 of the certified key.
        certified: Fingerprint,
        /// SHA-256 of this node's key.
        own: Fingerprint,
    },
    /// No trusted cluster CA signed it.
    #[error("no trusted cluster CA signed the certificate; install the CA's certificate first")]
    NotOurCa,
    /// The cluster CA.
    #[error(transparent)]
    Ca(#[from] CaFault),
    /// The keys folder.
    #[error(transparent)]
    Secret(#[from] SecretFault),
}

impl Vault {
    /// Takes the certificate that the cluster CA issued for this node, in place of an earlier one.
    pub fn install_member_certificate(
        &self,
        der: &[u8],
    ) -> Result<MemberCertificate, MemberCertificateFault> {
        let member = MemberCertificate::parse(der, &self.cluster())?;
        let own = key_fingerprint(&self.node_keys()?)?;
        if member.key != own {
            return Err(MemberCertificateFault::OtherKey {
                certified: member.key,
                own,
            });
        }
        let trusted = self.cluster_ca_certificates()?;
        if issuer_of(der, &trusted).is_none() {
            return Err(MemberCertificateFault::NotOurCa);
        }
        self.own_secret_put(MEMBER_CERTIFICATE_NAME, &Secret::copy_of(der))?;
        Ok(member)
    }

    /// Whether the certificate of this node is by the newest cluster CA that it knows; false when
    /// it has none.
    pub fn is_certified_by_current_ca(&self) -> Result<bool, MemberCertificateFault> {
        let trusted = self.cluster_ca_certificates()?;
        let Some(own) = self.own_secret_get(MEMBER_CERTIFICATE_NAME)? else {
            return Ok(false);
        };
        let current = trusted.get(..1).unwrap_or_default();
        Ok(issuer_of(own.expose(), current).is_some())
    }

    /// The certificate of this node, if it was given one.
    pub fn member_certificate(&self) -> Result<Option<MemberCertificate>, SecretFault> {
        let Some(der) = self.own_secret_get(MEMBER_CERTIFICATE_NAME)? else {
            return Ok(None);
        };
        MemberCertificate::parse(der.expose(), &self.cluster())
            .map(Some)
            .map_err(|_| SecretFault::Damaged(MEMBER_CERTIFICATE_NAME.to_owned()))
    }
}

impl MemberCertificate {
    /// Takes a certificate apart; says nothing about who signed it. Total: any bytes give a
    /// certificate or a fault.
    pub fn parse(der: &[u8], cluster: &ClusterId) -> Result<Self, MemberCertificateFault> {
        let form = MemberCertificateFault::Form;
        if der.len() > MEMBER_CERTIFICATE_BYTES_MAX {
            return Err(form("it is longer than a member certificate can be"));
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| form("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(form("bytes follow the certificate"));
        }
        // What TLS could not read is no certificate either, and TLS reads DER more strictly.
        ParsedCertificate::try_from(&CertificateDer::from(der))
            .map_err(|_| form("TLS cannot read it"))?;
        let node = node_of(&certificate).ok_or(form("its subject is not node-<number>"))?;
        let dns_name = member_dns_name(node, cluster);
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.as_slice());
        if names != Some(&[GeneralName::DNSName(dns_name.as_str())]) {
            return Err(form("its DNS name is not this node's in this cluster"));
        }
        let usage = certificate.extended_key_usage().ok().flatten();
        if certificate.is_ca() || !usage.is_some_and(|u| u.value.server_auth && u.value.client_auth)
        {
            return Err(form("it is not for both ends of a TLS connection"));
        }
        let spki = certificate.public_key().raw;
        crate::check_spki(spki).map_err(|_| form("its key is no P-256 key"))?;
        let validity = certificate.validity();
        Ok(Self {
            der: der.to_vec(),
            node,
            validity: Validity {
                not_before: Time::from_seconds(validity.not_before.timestamp()),
                not_after: Time::from_seconds(validity.not_after.timestamp()),
            },
            fingerprint: Fingerprint::from_bytes(provider::sha256(&[der])),
            key: Fingerprint::from_bytes(provider::sha256(&[spki])),
        })
    }
}

/// The trusted CA that signed a certificate.
pub(crate) fn issuer_of<'a>(der: &[u8], trusted: &'a [Vec<u8>]) -> Option<&'a Vec<u8>> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    if leaf.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
        return None;
    }
    trusted.iter().find(|ca| {
        X509Certificate::from_der(ca).is_ok_and(|(_, ca)| {
            let key = &ca.public_key().subject_public_key.data;
            let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
                .verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data);
            ca.subject().as_raw() == leaf.issuer().as_raw() && signed.is_ok()
        })
    })
}

fn key_fingerprint(keys: &NodeKeys) -> Result<Fingerprint, SecretFault> {
    Ok(Fingerprint::from_bytes(provider::sha256(&[&keys.spki()?])))
}

/// The node that the only common name gives: `node-` and a number without leading zeros.
fn node_of(certificate: &X509Certificate<'_>) -> Option<NodeId> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    let node = NodeId(name.strip_prefix("node-")?.parse().ok()?);
    (names.next().is_none() && name == member_common_name(node)).then_some(node)
}

#[cfg(test)]
mod tests;
