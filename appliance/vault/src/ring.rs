//! The ring: the object KEK of each live epoch, and the keys that hang off the root.
//!
//! ```text
//! wrapped KEK of epoch e = AES-KWP(KBKDF(root, "strongroom ring",   cluster ‖ e), KEK_e)
//! wrapped config KEK     = AES-KWP(KBKDF(root, "strongroom config", cluster),     config KEK)
//! sealed named secret    = AES-KWP(KBKDF(config KEK, "strongroom secret", cluster ‖ name), bytes)
//! ```
//!
//! The derivation binds each wrapped key to its place: an attacker who swaps two of them in the
//! keys folder gets a refusal.

use crate::provider::{self, KEY_BYTES, ProviderFault};
use crate::seal::{OpenFault, SealFault, Sealed, Sealer, sealed_epoch};
use crate::secret::Secret;
use domain::{ClusterId, Epoch, Uid};
use std::collections::BTreeMap;

/// The object KEKs in memory. Immutable: a change makes a new ring, so readers never wait.
pub(crate) struct Ring {
    cluster: ClusterId,
    keks: BTreeMap<Epoch, std::sync::Arc<Secret>>,
}

impl Ring {
    /// A ring with one fresh epoch: 1, because 0 would be indistinguishable from "none" on screens.
    pub(crate) fn found(cluster: ClusterId) -> Result<Self, ProviderFault> {
        Self {
            cluster,
            keks: BTreeMap::new(),
        }
        .with_fresh(Epoch(1))
    }

    pub(crate) fn from_keks(
        cluster: ClusterId,
        keks: impl IntoIterator<Item = (Epoch, Secret)>,
    ) -> Self {
        let keks = keks
            .into_iter()
            .map(|(epoch, kek)| (epoch, kek.into()))
            .collect();
        Self { cluster, keks }
    }

    /// A copy of the ring with a fresh KEK for `epoch`.
    pub(crate) fn with_fresh(&self, epoch: Epoch) -> Result<Self, ProviderFault> {
        let mut keks = self.keks.clone();
        keks.insert(epoch, provider::random_secret(KEY_BYTES)?.into());
        Ok(Self {
            cluster: self.cluster,
            keks,
        })
    }

    /// A copy of the ring without `epoch`.
    pub(crate) fn without(&self, epoch: Epoch) -> Self {
        let keks = self.keks.iter().filter(|(held, _)| **held != epoch);
        Self {
            cluster: self.cluster,
            keks: keks.map(|(e, k)| (*e, k.clone())).collect(),
        }
    }

    /// The epoch that seals: the newest. A ring is never empty, because the newest is never
    /// retired.
    pub(crate) fn current(&self) -> Epoch {
        self.keks
            .last_key_value()
            .map_or(Epoch(0), |(epoch, _)| *epoch)
    }

    pub(crate) fn holds(&self, epoch: Epoch) -> bool {
        self.keks.contains_key(&epoch)
    }

    pub(crate) fn epochs(&self) -> Vec<Epoch> {
        self.keks.keys().copied().collect()
    }

    pub(crate) fn seal(&self, uid: &Uid, material: &Secret) -> Result<Sealed, SealFault> {
        let epoch = self.current();
        let sealer = self.sealer(epoch, uid);
        sealer
            .map_err(|_| ProviderFault {
                operation: "seal without a KEK",
            })?
            .seal(material)
    }

    pub(crate) fn open(
        &self,
        uid: &Uid,
        sealed: &[u8],
        commitment: &[u8; 32],
    ) -> Result<Secret, OpenFault> {
        let epoch = sealed_epoch(sealed).ok_or(OpenFault::Malformed)?;
        self.sealer(epoch, uid)?.open(sealed, commitment)
    }

    pub(crate) fn reseal(&self, uid: &Uid, sealed: &[u8]) -> Result<Vec<u8>, OpenFault> {
        let epoch = sealed_epoch(sealed).ok_or(OpenFault::Malformed)?;
        self.sealer(epoch, uid)?
            .reseal(&self.sealer(self.current(), uid)?, sealed)
    }

    fn sealer<'a>(&'a self, epoch: Epoch, uid: &'a Uid) -> Result<Sealer<'a>, OpenFault> {
        let kek = self
            .keks
            .get(&epoch)
            .ok_or(OpenFault::EpochNotHeld(epoch))?;
        Ok(Sealer {
            kek,
            epoch,
            cluster: &self.cluster,
            uid,
        })
    }

    /// Every KEK wrapped under `root`, for the keys folder.
    pub(crate) fn wrap_all(&self, root: &Root) -> Result<BTreeMap<Epoch, Vec<u8>>, ProviderFault> {
        self.keks
            .iter()
            .map(|(epoch, kek)| Ok((*epoch, root.wrap_kek(*epoch, kek)?)))
            .collect()
    }

    /// The raw KEK of an epoch, so that a test can look for it where it must not be.
    #[cfg(test)]
    pub(crate) fn danger_kek(&self, epoch: Epoch) -> Option<Vec<u8>> {
        self.keks.get(&epoch).map(|kek| kek.expose().to_vec())
    }
}

/// The root key of the cluster, and what it wraps.
pub(crate) struct Root {
    cluster: ClusterId,
    key: Secret,
}

impl Root {
    pub(crate) fn generate(cluster: ClusterId) -> Result<Self, ProviderFault> {
        Ok(Self {
            cluster,
            key: provider::random_secret(KEY_BYTES)?,
        })
    }

    pub(crate) fn from_key(cluster: ClusterId, key: Secret) -> Self {
        Self { cluster, key }
    }

    pub(crate) fn key(&self) -> &Secret {
        &self.key
    }

    pub(crate) fn wrap_kek(&self, epoch: Epoch, kek: &Secret) -> Result<Vec<u8>, ProviderFault> {
        provider::wrap(&self.ring_key(epoch)?, kek.expose())
    }

    pub(crate) fn unwrap_kek(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Secret, ProviderFault> {
        provider::unwrap(&self.ring_key(epoch)?, wrapped)
    }

    pub(crate) fn wrap_config(&self, config: &Config) -> Result<Vec<u8>, ProviderFault> {
        provider::wrap(&self.config_key()?, config.kek.expose())
    }

    pub(crate) fn unwrap_config(&self, wrapped: &[u8]) -> Result<Config, ProviderFault> {
        let kek = provider::unwrap(&self.config_key()?, wrapped)?;
        Ok(Config {
            cluster: self.cluster,
            kek,
        })
    }

    /// The key that authenticates the keys folder as a whole.
    pub(crate) fn folder_key(&self) -> Result<Secret, ProviderFault> {
        provider::derive(
            &self.key,
            "strongroom keys folder",
            &[self.cluster.as_bytes()],
        )
    }

    fn ring_key(&self, epoch: Epoch) -> Result<Secret, ProviderFault> {
        let context: [&[u8]; 2] = [self.cluster.as_bytes(), &epoch.0.to_be_bytes()];
        provider::derive(&self.key, "strongroom ring", &context)
    }

    fn config_key(&self) -> Result<Secret, ProviderFault> {
        provider::derive(&self.key, "strongroom config", &[self.cluster.as_bytes()])
    }
}

/// The config KEK, which seals named secrets.
pub(crate) struct Config {
    cluster: ClusterId,
    kek: Secret,
}

impl Config {
    pub(crate) fn generate(cluster: ClusterId) -> Result<Self, ProviderFault> {
        Ok(Self {
            cluster,
            kek: provider::random_secret(KEY_BYTES)?,
        })
    }

    pub(crate) fn seal(&self, name: &str, secret: &Secret) -> Result<Vec<u8>, ProviderFault> {
        provider::wrap(&self.name_key(name)?, secret.expose())
    }

    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Result<Secret, ProviderFault> {
        provider::unwrap(&self.name_key(name)?, sealed)
    }

    #[cfg(test)]
    pub(crate) fn danger_kek(&self) -> Vec<u8> {
        self.kek.expose().to_vec()
    }

    fn name_key(&self, name: &str) -> Result<Secret, ProviderFault> {
        let context: [&[u8]; 2] = [self.cluster.as_bytes(), name.as_bytes()];
        provider::derive(&self.kek, "strongroom secret", &context)
    }
}
