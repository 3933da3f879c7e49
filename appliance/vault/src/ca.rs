//! What a CA of this appliance is, and the Local CA: it issues the server certificates of the doors
//! and the certificates of clients. The CA between the nodes of a cluster is in `cluster_ca`.
//!
//! ECDSA P-256 with SHA-256 throughout. The CA's key is a named secret of the vault and never
//! leaves it but sealed to another member; a server's key is stored beside it (`tls`); a client's
//! key is handed out once, as PEM that erases itself. The profile is fixed here, not by the caller:
//! an issued certificate is never a CA, never outlives the CA, and carries no more extended key
//! usages (RFC 5280 §4.2.1.12) than its purpose needs.

use crate::pem::armour;
use crate::provider::{self, ProviderFault};
use crate::secret::Secret;
use crate::selftest;
use crate::spki::SpkiFault;
use crate::vault::{SecretFault, Vault};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use domain::{Fingerprint, Name, Time, codec};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

pub(crate) const LOCAL_CA_NAME: &str = "strongroom.local-ca";
/// Bytes of a serial number: 128 random bits, so that serials cannot be foretold (CA/Browser Forum
/// Baseline Requirements §7.1 asks for 64).
const SERIAL_BYTES: usize = 16;
/// Most names in a server certificate: clients read the list at every handshake.
const SERVER_NAMES_MAX: usize = 64;
/// Longest DNS name, in bytes (RFC 1035 §2.3.4).
const DNS_NAME_BYTES_MAX: usize = 253;

/// Why a CA was not made, or did not issue.
#[derive(Debug, thiserror::Error)]
pub enum CaFault {
    /// None was created yet.
    #[error("this appliance has no Local CA yet; create one first")]
    Absent,
    /// Creating another would orphan every certificate issued so far.
    #[error("this appliance has a Local CA already")]
    Exists,
    /// Not a span of time, or one that a certificate cannot express.
    #[error("the validity must begin before it ends, between the years 1950 and 9999")]
    Validity,
    /// Longer than the CA itself.
    #[error("the certificate would be valid outside the validity of the CA that issues it")]
    OutlivesCa,
    /// Not a name for a CA.
    #[error("{0:?} is no name for a CA: 1 to 64 printable ASCII characters")]
    CaName(String),
    /// No name, too many, or one that is not a host name.
    #[error("{0:?} is no DNS name, or a server certificate has not 1 to {SERVER_NAMES_MAX} names")]
    ServerName(String),
    /// The cluster CA was neither created nor received.
    #[error("this node knows no cluster CA yet; found a cluster, or join one")]
    NoClusterCa,
    /// Creating another would cut off every member; rotating is the way.
    #[error("this cluster has a CA already; rotate it instead")]
    ClusterCaExists,
    /// A witness, or a node that has not received the key yet.
    #[error("this node has the certificate of the cluster CA but not its key; ask another member")]
    NoClusterCaKey,
    /// Two CAs are trusted at most.
    #[error("the previous cluster CA is still trusted; drop it before the next rotation")]
    PreviousTrusted,
    /// A list of CA certificates that is none.
    #[error("{0} is no list of CA certificates: 1 or 2 CA certificates in DER, newest first")]
    CaCertificates(&'static str),
    /// A certification request for a key that is not ours to certify.
    #[error(transparent)]
    SubjectKey(#[from] SpkiFault),
    /// The keys folder.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
    /// The certificate could not be encoded.
    #[error("the certificate could not be encoded: {0}")]
    Encoding(#[from] rcgen::Error),
}

/// From when to when, both ends included; certificates count whole seconds (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Time,
    /// The last moment.
    pub not_after: Time,
}

/// A name in a server certificate (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A host name; no wildcards.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// What a server certificate is for. The first name is also the subject's common name.
#[derive(Clone, Debug)]
pub struct ServerProfile {
    /// The names that clients will use; at least one.
    pub names: Vec<SubjectName>,
    /// From when to when.
    pub validity: Validity,
}

/// A certificate and what is recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// The certificate in PEM.
    pub pem: String,
    /// SHA-256 over the DER form.
    pub fingerprint: Fingerprint,
    /// The serial number, big-endian.
    pub serial: [u8; SERIAL_BYTES],
    /// Common name of the subject.
    pub common_name: String,
    /// As in the certificate: whole seconds.
    pub validity: Validity,
}

/// A client's certificate with its key. The key exists nowhere else.
pub struct ClientCredential {
    /// The certificate.
    pub certificate: IssuedCertificate,
    /// The private key, PKCS#8 in PEM; erased when dropped.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredential")
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// A CA with its key, as it stands in a named secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredCa {
    common_name: String,
    not_before: Time,
    not_after: Time,
    #[serde(with = "serde_bytes")]
    serial: [u8; SERIAL_BYTES],
    #[serde(with = "serde_bytes")]
    pub(crate) certificate: Vec<u8>,
    #[serde(with = "serde_bytes")]
    key: Vec<u8>,
}

impl Drop for StoredCa {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl StoredCa {
    /// Makes a key and a self-signed certificate.
    pub(crate) fn create(common_name: &str, validity: Validity) -> Result<Self, CaFault> {
        let printable = common_name
            .chars()
            .all(|c| c == ' ' || c.is_ascii_graphic());
        if !printable || !(1..=64).contains(&common_name.len()) {
            return Err(CaFault::CaName(common_name.to_owned()));
        }
        let key = generate_key()?;
        let signer = Signer::from_pkcs8(&key)?;
        let serial = random_serial()?;
        let params = ca_params(common_name, validity, serial)?;
        let certificate = params.self_signed(&signer)?;
        Ok(Self {
            common_name: common_name.to_owned(),
            not_before: whole_seconds(validity.not_before),
            not_after: whole_seconds(validity.not_after),
            serial,
            certificate: certificate.der().to_vec(),
            key: key.expose().to_vec(),
        })
    }
}

/// A CA, ready to issue: what the Local CA and the cluster CA have in common.
pub(crate) struct Authority {
    certificate: IssuedCertificate,
    issuer: Issuer<'static, Signer>,
}

impl Authority {
    pub(crate) fn from_stored(stored: &StoredCa) -> Result<Self, CaFault> {
        let validity = Validity {
            not_before: stored.not_before,
            not_after: stored.not_after,
        };
        let params = ca_params(&stored.common_name, validity, stored.serial)?;
        let signer = Signer::from_pkcs8(&Secret::copy_of(&stored.key))?;
        let certificate = describe(
            &stored.certificate,
            stored.serial,
            &stored.common_name,
            validity,
        );
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, signer),
        })
    }

    /// The CA's own certificate.
    pub(crate) fn certificate(&self) -> &IssuedCertificate {
        &self.certificate
    }

    /// The profile that all issued certificates share.
    pub(crate) fn end_entity(
        &self,
        common_name: &str,
        validity: Validity,
    ) -> Result<CertificateParams, CaFault> {
        let own = self.certificate.validity;
        let within = whole_seconds(validity.not_before) >= own.not_before
            && whole_seconds(validity.not_after) <= own.not_after;
        let mut params = params(common_name, validity, random_serial()?)?;
        if !within {
            return Err(CaFault::OutlivesCa);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Certifies a public key.
    pub(crate) fn issue(
        &self,
        params: CertificateParams,
        common_name: &str,
        validity: Validity,
        subject_key: &impl PublicKeyData,
    ) -> Result<IssuedCertificate, CaFault> {
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes);
        let serial = serial
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default();
        let certificate = params.signed_by(subject_key, &self.issuer)?;
        Ok(describe(certificate.der(), serial, common_name, validity))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// The Local CA, ready to issue.
#[derive(Debug)]
pub struct LocalCa(Authority);

impl Vault {
    /// Creates the Local CA of this appliance.
    pub fn create_local_ca(
        &self,
        common_name: &str,
        validity: Validity,
    ) -> Result<LocalCa, CaFault> {
        let stored = StoredCa::create(common_name, validity)?;
        let secret = Secret::take(codec::to_vec(&stored));
        if !self.own_secret_put_new(LOCAL_CA_NAME, &secret)? {
            return Err(CaFault::Exists);
        }
        Ok(LocalCa(Authority::from_stored(&stored)?))
    }

    /// The Local CA of this appliance.
    pub fn local_ca(&self) -> Result<LocalCa, CaFault> {
        let secret = self.own_secret_get(LOCAL_CA_NAME)?.ok_or(CaFault::Absent)?;
        let stored = codec::from_slice(secret.expose())
            .map_err(|_| SecretFault::Damaged(LOCAL_CA_NAME.to_owned()))?;
        Ok(LocalCa(Authority::from_stored(&stored)?))
    }
}

impl LocalCa {
    /// The CA's own certificate.
    pub fn certificate(&self) -> &IssuedCertificate {
        self.0.certificate()
    }

    /// Makes a key and a certificate for a client; the common name is the user's name.
    pub fn issue_client(
        &self,
        user: &Name,
        validity: Validity,
    ) -> Result<ClientCredential, CaFault> {
        let mut params = self.0.end_entity(user.as_str(), validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = generate_key()?;
        let subject_key = Signer::from_pkcs8(&key)?;
        let certificate = self
            .0
            .issue(params, user.as_str(), validity, &subject_key)?;
        Ok(ClientCredential {
            certificate,
            key_pem: armour("PRIVATE KEY", key.expose()),
        })
    }

    /// Makes a key and a certificate for a server; the key stays in this crate.
    pub(crate) fn issue_server(
        &self,
        profile: &ServerProfile,
    ) -> Result<(IssuedCertificate, Secret), CaFault> {
        let names = profile.names.iter().map(subject_alternative_name);
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let common_name = match profile.names.first() {
            Some(SubjectName::Dns(name)) => name.clone(),
            Some(SubjectName::Ip(address)) => address.to_string(),
            None => return Err(CaFault::ServerName(String::new())),
        };
        if names.len() > SERVER_NAMES_MAX {
            return Err(CaFault::ServerName(common_name));
        }
        // A common name has at most 64 characters (RFC 5280 appendix A.1); a longer host name
        // stands among the alternative names, which is where clients look.
        let common_name: String = common_name.chars().take(64).collect();
        let mut params = self.0.end_entity(&common_name, profile.validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = names;
        let key = generate_key()?;
        let subject_key = Signer::from_pkcs8(&key)?;
        let certificate = self
            .0
            .issue(params, &common_name, profile.validity, &subject_key)?;
        Ok((certificate, key))
    }
}

fn ca_params(
    common_name: &str,
    validity: Validity,
    serial: [u8; SERIAL_BYTES],
) -> Result<CertificateParams, CaFault> {
    let mut params = params(common_name, validity, serial)?;
    // No intermediate CA below this one.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(
    common_name: &str,
    validity: Validity,
    serial: [u8; SERIAL_BYTES],
) -> Result<CertificateParams, CaFault> {
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    if params.not_before >= params.not_after {
        return Err(CaFault::Validity);
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}

pub(crate) fn date(time: Time) -> Result<OffsetDateTime, CaFault> {
    OffsetDateTime::from_unix_timestamp(time.seconds())
        .ok()
        .filter(|date| (1950..=9999).contains(&date.year()))
        .ok_or(CaFault::Validity)
}

fn whole_seconds(time: Time) -> Time {
    Time::from_seconds(time.seconds())
}

fn random_serial() -> Result<[u8; SERIAL_BYTES], ProviderFault> {
    let mut serial: [u8; SERIAL_BYTES] = provider::random_array()?;
    // Serial numbers are positive and not zero (RFC 5280 §4.1.2.2); this also keeps the length.
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7F) | 0x40;
    }
    Ok(serial)
}

fn subject_alternative_name(name: &SubjectName) -> Result<SanType, CaFault> {
    match name {
        SubjectName::Ip(address) => Ok(SanType::IpAddress(*address)),
        SubjectName::Dns(name) => {
            let refused = || CaFault::ServerName(name.clone());
            if !is_host_name(name) {
                return Err(refused());
            }
            Ok(SanType::DnsName(
                name.as_str().try_into().map_err(|_| refused())?,
            ))
        }
    }
}

/// A host name of letters, digits and hyphens (RFC 1123 §2.1): no wildcard, nothing empty.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    (1..=DNS_NAME_BYTES_MAX).contains(&name.len()) && name.split('.').all(label)
}

fn describe(
    der: &[u8],
    serial: [u8; SERIAL_BYTES],
    common_name: &str,
    validity: Validity,
) -> IssuedCertificate {
    IssuedCertificate {
        der: der.to_vec(),
        pem: armour("CERTIFICATE", der).to_string(),
        fingerprint: Fingerprint::from_bytes(provider::sha256(&[der])),
        serial,
        common_name: common_name.to_owned(),
        validity: Validity {
            not_before: whole_seconds(validity.not_before),
            not_after: whole_seconds(validity.not_after),
        },
    }
}

/// A fresh P-256 key in PKCS#8, whose halves were seen to fit.
pub(crate) fn generate_key() -> Result<Secret, ProviderFault> {
    let key = selftest::fresh_p256()?;
    selftest::check_p256(&key)?;
    Ok(key)
}

/// Signs for rcgen without giving it a private key to keep.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl Signer {
    pub(crate) fn from_pkcs8(key: &Secret) -> Result<Self, ProviderFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.expose())
            .map_err(|_| ProviderFault {
                operation: "read a P-256 key",
            })?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { pair, public })
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature
            .map(|s| s.as_ref().to_vec())
            .map_err(|_| rcgen::Error::RingUnspecified)
    }
}

#[cfg(test)]
mod tests;
