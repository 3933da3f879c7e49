//! Who a node is: the keys it makes once and proves itself with for as long as it lives.
//!
//! ```text
//! TLS key      ECDSA P-256, proves the node at the cluster port (peer_tls.rs)
//! sealing key  ECDH P-384, receives what other members seal for this node (envelope.rs)
//! ```
//!
//! Both are one named secret, so that there is never one without the other. What a cluster records
//! of a node is the SHA-256 of its TLS key: certificates come and go, the key stays.

use crate::ca::{Signer, generate_key};
use crate::provider::{self, AgreementKey};
use crate::secret::Secret;
use crate::spki::{p256_spki, p384_spki};
use crate::vault::{SecretFault, Vault};
use domain::{Fingerprint, codec};
use rcgen::PublicKeyData;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

const IDENTITY_NAME: &str = "strongroom.node-identity";

/// The public side of a node's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The TLS key: X.509 SubjectPublicKeyInfo of a P-256 key, 91 bytes.
    pub spki: Vec<u8>,
    /// SHA-256 of `spki`: what the cluster log holds of the node.
    pub fingerprint: Fingerprint,
    /// The key that others seal for: X.509 SubjectPublicKeyInfo of a P-384 key, 120 bytes.
    pub sealing_key: Vec<u8>,
}

/// What the named secret holds: two private keys in PKCS#8.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    #[serde(with = "serde_bytes")]
    tls: Vec<u8>,
    #[serde(with = "serde_bytes")]
    sealing: Vec<u8>,
}

impl Drop for StoredIdentity {
    fn drop(&mut self) {
        self.tls.zeroize();
        self.sealing.zeroize();
    }
}

/// The private side, inside this crate.
pub(crate) struct NodeKeys {
    /// The TLS key in PKCS#8.
    pub(crate) tls: Secret,
    pub(crate) sealing: AgreementKey,
}

impl NodeKeys {
    /// The TLS key as others see it.
    pub(crate) fn spki(&self) -> Result<Vec<u8>, SecretFault> {
        Ok(p256_spki(Signer::from_pkcs8(&self.tls)?.der_bytes()))
    }
}

impl Vault {
    /// The identity of this node; the first call makes it.
    pub fn node_identity(&self) -> Result<NodeIdentity, SecretFault> {
        let keys = self.node_keys()?;
        let spki = keys.spki()?;
        Ok(NodeIdentity {
            fingerprint: Fingerprint::from_bytes(provider::sha256(&[&spki])),
            spki,
            sealing_key: p384_spki(keys.sealing.point()),
        })
    }

    pub(crate) fn node_keys(&self) -> Result<NodeKeys, SecretFault> {
        let damaged = || SecretFault::Damaged(IDENTITY_NAME.to_owned());
        let secret = self.own_secret_change(IDENTITY_NAME, |held| match held {
            Some(held) => Ok::<_, SecretFault>((None, held)),
            None => {
                let made = make()?;
                Ok((Some(Secret::copy_of(made.expose())), made))
            }
        })?;
        let stored: StoredIdentity = codec::from_slice(secret.expose()).map_err(|_| damaged())?;
        let sealing = AgreementKey::from_pkcs8(&Secret::copy_of(&stored.sealing));
        Ok(NodeKeys {
            tls: Secret::copy_of(&stored.tls),
            sealing: sealing.map_err(|_| damaged())?,
        })
    }
}

fn make() -> Result<Secret, SecretFault> {
    let stored = StoredIdentity {
        tls: generate_key()?.expose().to_vec(),
        sealing: AgreementKey::generate()?.to_pkcs8()?.expose().to_vec(),
    };
    Ok(Secret::take(codec::to_vec(&stored)))
}

#[cfg(test)]
mod tests;
