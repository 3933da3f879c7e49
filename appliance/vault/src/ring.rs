//! The ring: the object KEK of each live epoch, and the keys that hang off the root.
//!
//! ```text
//! wrapped KEK of epoch e = AES-KWP(KBKDF(root, "strongroom ring",      cluster ‖ e), KEK_e)
//! wrapped candidate      = AES-KWP(KBKDF(root, "strongroom candidate", cluster ‖ e), KEK)
//! wrapped config KEK     = AES-KWP(KBKDF(root, "strongroom config",    cluster), config KEK)
//! sealed named secret    = AES-KWP(KBKDF(config KEK, "strongroom secret", cluster ‖ name), bytes)
//! ```
//!
//! The derivation binds each wrapped key to its place: an attacker who swaps two of them in the
//! keys folder gets a refusal, also one who would pass a candidate off as an epoch's KEK.
//!
//! **Candidates.** In a cluster an epoch's KEK must be on a majority of nodes before the epoch is
//! opened. So a node draws a KEK, keeps it as a candidate and hands it on; the cluster log then
//! says, by its check value, which candidate the epoch gets; every node adopts that one and
//! destroys the others.

use crate::provider::{self, KEY_BYTES, ProviderFault};
use crate::seal::{OpenFault, SealFault, Sealed, Sealer, sealed_epoch};
use crate::secret::Secret;
use domain::{ClusterId, Epoch, Uid};
use std::collections::BTreeMap;
use std::sync::Arc;

const RING_LABEL: &str = "strongroom ring";
const CANDIDATE_LABEL: &str = "strongroom candidate";

/// Most candidates at a time: an opening that came to nothing leaves one on each node it reached,
/// and the next opening that succeeds takes them all away.
pub(crate) const CANDIDATES_MAX: usize = 64;

/// An object KEK, and what may be said of it in public.
#[derive(Clone)]
pub(crate) struct Kek {
    key: Arc<Secret>,
    check: [u8; KEY_BYTES],
}

impl Kek {
    /// `check = KBKDF(KEK, "strongroom kek check", cluster ‖ epoch)`: equal for equal KEKs, and no
    /// way back to the KEK, which is 256 random bits.
    pub(crate) fn new(
        cluster: &ClusterId,
        epoch: Epoch,
        key: Secret,
    ) -> Result<Self, ProviderFault> {
        let context: [&[u8]; 2] = [cluster.as_bytes(), &epoch.0.to_be_bytes()];
        let derived = provider::derive(&key, "strongroom kek check", &context)?;
        let mut check = [0; KEY_BYTES];
        check.copy_from_slice(derived.expose());
        Ok(Self {
            key: key.into(),
            check,
        })
    }

    pub(crate) fn key(&self) -> &Secret {
        &self.key
    }

    pub(crate) fn check(&self) -> [u8; KEY_BYTES] {
        self.check
    }
}

/// The object KEKs in memory. Immutable: a change makes a new ring, so readers never wait.
#[derive(Clone)]
pub(crate) struct Ring {
    cluster: ClusterId,
    keks: BTreeMap<Epoch, Kek>,
    /// KEKs that may become an epoch's, the oldest first. They seal nothing.
    candidates: Vec<(Epoch, Kek)>,
}

impl Ring {
    /// A ring with one fresh epoch: 1, because 0 would be indistinguishable from "none" on screens.
    pub(crate) fn found(cluster: ClusterId) -> Result<Self, ProviderFault> {
        Self::empty(cluster).with_fresh(Epoch(1))
    }

    /// The ring of a node that has joined and not yet received the cluster's.
    pub(crate) fn empty(cluster: ClusterId) -> Self {
        Self {
            cluster,
            keks: BTreeMap::new(),
            candidates: Vec::new(),
        }
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// A copy of the ring with a fresh KEK for `epoch`.
    pub(crate) fn with_fresh(&self, epoch: Epoch) -> Result<Self, ProviderFault> {
        let kek = Kek::new(&self.cluster, epoch, provider::random_secret(KEY_BYTES)?)?;
        let mut ring = self.clone();
        ring.hold(epoch, kek);
        Ok(ring)
    }

    /// Makes `kek` the KEK of `epoch`, and destroys what else might have become it.
    pub(crate) fn hold(&mut self, epoch: Epoch, kek: Kek) {
        self.keks.insert(epoch, kek);
        self.candidates.retain(|(candidate, _)| *candidate != epoch);
    }

    /// Keeps a candidate; the oldest one gives way when there are too many.
    pub(crate) fn nominate(&mut self, epoch: Epoch, kek: Kek) {
        if self.candidate(epoch, &kek.check).is_some() {
            return;
        }
        self.candidates.push((epoch, kek));
        let surplus = self.candidates.len().saturating_sub(CANDIDATES_MAX);
        self.candidates.drain(..surplus);
    }

    /// The candidate for an epoch that has this check value.
    pub(crate) fn candidate(&self, epoch: Epoch, check: &[u8; KEY_BYTES]) -> Option<&Kek> {
        let mut candidates = self.candidates.iter();
        let found = candidates.find(|(of, kek)| *of == epoch && kek.check == *check);
        found.map(|(_, kek)| kek)
    }

    /// A copy of the ring without `epoch`, and without candidates that will not be needed.
    pub(crate) fn without(&self, epoch: Epoch) -> Self {
        let mut ring = self.clone();
        ring.keks.remove(&epoch);
        ring.candidates.retain(|(candidate, _)| *candidate > epoch);
        ring
    }

    /// The epoch that seals: the newest. Epoch 0 while the ring is empty, which it is on a node
    /// that has not received it; afterwards never, because the newest is never retired.
    pub(crate) fn current(&self) -> Epoch {
        self.keks
            .last_key_value()
            .map_or(Epoch(0), |(epoch, _)| *epoch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keks.is_empty()
    }

    pub(crate) fn kek(&self, epoch: Epoch) -> Option<&Kek> {
        self.keks.get(&epoch)
    }

    pub(crate) fn holds(&self, epoch: Epoch) -> bool {
        self.keks.contains_key(&epoch)
    }

    pub(crate) fn epochs(&self) -> Vec<Epoch> {
        self.keks.keys().copied().collect()
    }

    /// The KEKs of epochs, oldest first.
    pub(crate) fn keks(&self) -> impl Iterator<Item = (Epoch, &Kek)> {
        self.keks.iter().map(|(epoch, kek)| (*epoch, kek))
    }

    /// The candidates, oldest first.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (Epoch, &Kek)> {
        self.candidates.iter().map(|(epoch, kek)| (*epoch, kek))
    }

    pub(crate) fn seal(&self, uid: &Uid, material: &Secret) -> Result<Sealed, SealFault> {
        let sealer = self.sealer(self.current(), uid);
        sealer.map_err(|_| SealFault::NoRing)?.seal(material)
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
            kek: kek.key(),
            epoch,
            cluster: &self.cluster,
            uid,
        })
    }

    /// A ring of known KEKs.
    #[cfg(test)]
    pub(crate) fn danger_of(
        cluster: ClusterId,
        keks: impl IntoIterator<Item = (Epoch, Secret)>,
    ) -> Self {
        let mut ring = Self::empty(cluster);
        for (epoch, key) in keks {
            let kek = Kek::new(&cluster, epoch, key).expect("the provider derives");
            ring.hold(epoch, kek);
        }
        ring
    }

    /// The raw KEK of an epoch, so that a test can look for it where it must not be.
    #[cfg(test)]
    pub(crate) fn danger_kek(&self, epoch: Epoch) -> Option<Vec<u8>> {
        self.keks.get(&epoch).map(|kek| kek.key().expose().to_vec())
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
        provider::wrap(&self.ring_key(RING_LABEL, epoch)?, kek.expose())
    }

    pub(crate) fn unwrap_kek(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Kek, ProviderFault> {
        let key = provider::unwrap(&self.ring_key(RING_LABEL, epoch)?, wrapped)?;
        Kek::new(&self.cluster, epoch, key)
    }

    pub(crate) fn wrap_candidate(
        &self,
        epoch: Epoch,
        kek: &Secret,
    ) -> Result<Vec<u8>, ProviderFault> {
        provider::wrap(&self.ring_key(CANDIDATE_LABEL, epoch)?, kek.expose())
    }

    pub(crate) fn unwrap_candidate(
        &self,
        epoch: Epoch,
        wrapped: &[u8],
    ) -> Result<Kek, ProviderFault> {
        let key = provider::unwrap(&self.ring_key(CANDIDATE_LABEL, epoch)?, wrapped)?;
        Kek::new(&self.cluster, epoch, key)
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

    fn ring_key(&self, label: &str, epoch: Epoch) -> Result<Secret, ProviderFault> {
        let context: [&[u8]; 2] = [self.cluster.as_bytes(), &epoch.0.to_be_bytes()];
        provider::derive(&self.key, label, &context)
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
