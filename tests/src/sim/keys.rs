//! The keys of a simulated cluster: sealing as the vault does it, but with salts that are inputs.
//!
//! The vault draws its salts and keys from the operating system, so a run could not be repeated
//! with it. The primitives below are the vault's own (`vault::provider`), and so is the form of
//! the sealed bytes as far as the sealed store looks into it: the epoch comes first.
//!
//! Every secret begins with [`MARK`], so that one search finds any of them where it must not be.

use domain::{Epoch, Hash, Uid};
use std::collections::BTreeSet;
use vault::{Secret, provider, sealed_epoch};

/// How every secret of a run begins: eight bytes that occur nowhere else.
pub const MARK: [u8; 8] = *b"\xC4nary\x00\xF1!";

/// Bytes of the salt in front of the material.
const SALT_BYTES: usize = 16;
/// Bytes of the epoch in front of sealed bytes.
const EPOCH_BYTES: usize = 4;
/// Bytes of wrapped salt and material: AES-KWP adds 8 to 48.
const WRAPPED_BYTES: usize = 56;

/// All keys there ever are in one run, by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    seed: u64,
}

/// Which KEKs a node holds now.
pub type Ring = BTreeSet<Epoch>;

impl Keys {
    /// The keys of a run.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed }
    }

    fn secret(self, label: &str, number: &[u8]) -> Vec<u8> {
        let rest = provider::sha256(&[&self.seed.to_be_bytes(), label.as_bytes(), number]);
        [&MARK[..], &rest[MARK.len()..]].concat()
    }

    /// What an OpenEpoch says of its KEK.
    #[must_use]
    pub fn check_value(self, epoch: Epoch) -> Hash {
        let kek = self.secret("kek", &epoch.0.to_be_bytes());
        Hash::from_bytes(provider::sha256(&[b"check value", &kek]))
    }

    /// The material of an object: 32 bytes.
    #[must_use]
    pub fn material(self, uid: &Uid) -> Vec<u8> {
        self.secret("material", uid.as_bytes())
    }

    fn object_key(self, epoch: Epoch, uid: &Uid) -> Secret {
        let kek = Secret::take(self.secret("kek", &epoch.0.to_be_bytes()));
        provider::derive(&kek, "strongroom object", &[uid.as_bytes()])
            .expect("a KEK of 32 bytes can always be derived from")
    }

    fn wrapped(self, epoch: Epoch, uid: &Uid, plain: &[u8]) -> Vec<u8> {
        let wrapped = provider::wrap(&self.object_key(epoch, uid), plain)
            .expect("AES-KWP takes a key of 32 bytes and 48 bytes of plaintext");
        [&epoch.0.to_be_bytes()[..], &wrapped].concat()
    }

    /// Seals the material of a new object; gives the sealed bytes and the commitment.
    #[must_use]
    pub fn seal(self, epoch: Epoch, uid: &Uid) -> (Vec<u8>, Hash) {
        let salt = provider::sha256(&[b"salt", uid.as_bytes()]);
        let plain = [&salt[..SALT_BYTES], &self.material(uid)].concat();
        let commitment = Hash::from_bytes(provider::sha256(&[&plain]));
        (self.wrapped(epoch, uid, &plain), commitment)
    }

    fn unwrapped(self, ring: &Ring, uid: &Uid, sealed: &[u8]) -> Result<Secret, String> {
        let epoch = sealed_epoch(sealed).ok_or("sealed bytes without an epoch")?;
        if !ring.contains(&epoch) {
            return Err(format!("no KEK of epoch {} is held", epoch.0));
        }
        let wrapped = sealed.get(EPOCH_BYTES..EPOCH_BYTES + WRAPPED_BYTES);
        let wrapped = wrapped.ok_or("sealed bytes that are too short")?;
        provider::unwrap(&self.object_key(epoch, uid), wrapped).map_err(|e| e.to_string())
    }

    /// Opens sealed bytes with the KEKs that a node holds, and checks the commitment.
    ///
    /// # Errors
    /// What is wrong: no KEK, altered bytes, another commitment.
    pub fn open(
        self,
        ring: &Ring,
        uid: &Uid,
        sealed: &[u8],
        commitment: &Hash,
    ) -> Result<Vec<u8>, String> {
        let plain = self.unwrapped(ring, uid, sealed)?;
        if provider::sha256(&[plain.expose()]) != *commitment.as_bytes() {
            return Err("not the bytes that the ledger committed to".into());
        }
        Ok(plain
            .expose()
            .get(SALT_BYTES..)
            .unwrap_or_default()
            .to_vec())
    }

    /// Moves sealed bytes to another epoch.
    ///
    /// # Errors
    /// As [`Keys::open`], but for the commitment.
    pub fn reseal(
        self,
        ring: &Ring,
        to: Epoch,
        uid: &Uid,
        sealed: &[u8],
    ) -> Result<Vec<u8>, String> {
        let plain = self.unwrapped(ring, uid, sealed)?;
        Ok(self.wrapped(to, uid, plain.expose()))
    }
}
