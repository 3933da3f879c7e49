//! TLS identities of this node: certificates with keys that no caller ever sees.
//!
//! The door gets a [`CertifiedKey`], which signs handshakes; rustls offers no way to get the key
//! out of it again, and neither does this module.

use crate::ca::{CaFault, IssuedCertificate, ServerProfile, Signer, Validity, date, generate_key};
use crate::secret::Secret;
use crate::vault::{SecretFault, Vault};
use domain::{Name, codec};
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroize;

const PREFIX: &str = "strongroom.tls.";

/// Why there is no TLS identity of that name.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It was never issued.
    #[error("this node has no TLS identity named {0}; issue one first")]
    Absent(Name),
    /// The keys folder.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// rustls does not take the key.
    #[error("the key of a TLS identity is unusable: {0}")]
    Key(#[from] rustls::Error),
}

/// What the named secret of an identity holds; the chain begins with the server's certificate.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    chain: Vec<serde_bytes::ByteBuf>,
    #[serde(with = "serde_bytes")]
    key: Vec<u8>,
}

impl Drop for StoredIdentity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// A TLS identity that is not in use yet. Its key stays in this crate.
pub struct DrawnIdentity {
    /// The certificate.
    pub certificate: IssuedCertificate,
    stored: Secret,
}

impl std::fmt::Debug for DrawnIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DrawnIdentity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Makes a key and has the Local CA certify it. It is kept by
    /// [`Vault::keep_server_identity`], once it stands in the log.
    pub fn draw_server_identity(&self, profile: &ServerProfile) -> Result<DrawnIdentity, CaFault> {
        let ca = self.local_ca()?;
        let (certificate, key) = ca.issue_server(profile)?;
        let chain = [&certificate.der, &ca.certificate().der];
        let stored = StoredIdentity {
            chain: chain.into_iter().map(|der| der.clone().into()).collect(),
            key: key.expose().to_vec(),
        };
        Ok(DrawnIdentity {
            certificate,
            stored: Secret::take(codec::to_vec(&stored)),
        })
    }

    /// Keeps an identity that was drawn, in place of an earlier one of that name.
    pub fn keep_server_identity(&self, name: &Name, drawn: &DrawnIdentity) -> Result<(), CaFault> {
        Ok(self.own_secret_put(&secret_name(name), &drawn.stored)?)
    }

    /// Makes a key and has the Local CA certify it, in place of an earlier identity of that name.
    pub fn issue_server_identity(
        &self,
        name: &Name,
        profile: &ServerProfile,
    ) -> Result<IssuedCertificate, CaFault> {
        let drawn = self.draw_server_identity(profile)?;
        self.keep_server_identity(name, &drawn)?;
        Ok(drawn.certificate)
    }

    /// A TLS identity of this node, for a rustls server configuration.
    pub fn server_identity(&self, name: &Name) -> Result<Arc<CertifiedKey>, TlsFault> {
        let secret_name = secret_name(name);
        let secret = self
            .own_secret_get(&secret_name)?
            .ok_or_else(|| TlsFault::Absent(name.clone()))?;
        let stored: StoredIdentity =
            codec::from_slice(secret.expose()).map_err(|_| SecretFault::Damaged(secret_name))?;
        let chain = stored
            .chain
            .iter()
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        // Borrowed, so that rustls makes no copy that nobody erases.
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(stored.key.as_slice()));
        Ok(Arc::new(CertifiedKey::new(chain, any_ecdsa_type(&key)?)))
    }
}

/// An identity for this run only, certified by nobody: for a port that must speak when no key of
/// the node may be opened, or when the node has none for clients.
pub fn passing_identity(
    common_name: &str,
    validity: Validity,
) -> Result<Arc<CertifiedKey>, CaFault> {
    let key = generate_key()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    let certificate = params.self_signed(&Signer::from_pkcs8(&key)?)?;
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()));
    let key = any_ecdsa_type(&key).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

fn secret_name(name: &Name) -> String {
    format!("{PREFIX}{name}")
}
