//! What a managed object looks like on disk, byte by byte.
//!
//! ```text
//! sealed  = epoch (u32, big-endian) ‖ form (u8) ‖ rest
//! form 1  : rest = AES-256-KWP(K, salt ‖ material)                       1 to 1,024 bytes
//! form 2  : rest = AES-256-KWP(K, salt ‖ data key) ‖ nonce ‖ GCM(data key, material) ‖ tag
//! K       = KBKDF(KEK of the epoch, "strongroom object", cluster ‖ uid ‖ form)
//! GCM AAD = cluster ‖ uid ‖ form
//! commitment = SHA-256(salt ‖ material)
//! ```
//!
//! `form` is the version of the derivation: another form is another key, so a form 2 envelope can
//! never be read as a form 1 key. Sealing is deterministic once salt, data key and body exist, so
//! nodes that re-seal the same object to the same epoch hold the same bytes. Re-sealing renews the
//! wrapped part only; the body of a large object is encrypted once, by the node that proposed it.
//! The salt keeps the commitment, which stands in a public log for ever, from confirming a guess.

use crate::provider::{self, DIGEST_BYTES, KEY_BYTES, NONCE_BYTES, ProviderFault, TAG_BYTES};
use crate::secret::Secret;
use domain::{ClusterId, Epoch, Uid};
use subtle::ConstantTimeEq;

/// Largest key material, in bytes. A KMIP message is at most 1 MiB; hexadecimal XML doubles it.
pub const MATERIAL_BYTES_MAX: usize = 512 * 1024;
/// Largest material sealed by key wrap alone, in bytes: KWP runs six passes over its input, and
/// keys are small; what is larger gets a data key.
pub(crate) const DIRECT_BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;
const EPOCH_BYTES: usize = 4;
const HEAD_BYTES: usize = EPOCH_BYTES + 1;
/// KWP over salt and data key: 48 bytes need no padding and get 8 bytes of integrity.
const WRAPPED_DATA_KEY_BYTES: usize = SALT_BYTES + KEY_BYTES + 8;
const LABEL: &str = "strongroom object";

/// How an object is sealed; the tag is part of the key derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    Direct = 1,
    DataKey = 2,
}

impl Form {
    fn of_material(bytes: usize) -> Self {
        if bytes <= DIRECT_BYTES_MAX {
            Self::Direct
        } else {
            Self::DataKey
        }
    }
}

/// A sealed object and what the ledger may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The bytes for the sealed store.
    pub bytes: Vec<u8>,
    /// SHA-256(salt ‖ material): goes into the event, opens nothing.
    pub commitment: [u8; DIGEST_BYTES],
    /// The epoch of the KEK, as it also stands in `bytes`.
    pub epoch: Epoch,
}

/// Why material could not be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// Nothing was given.
    #[error("key material of zero bytes cannot be sealed; give at least one byte")]
    Empty,
    /// More than [`MATERIAL_BYTES_MAX`].
    #[error("key material has {bytes} bytes; the limit is {MATERIAL_BYTES_MAX}")]
    TooLong {
        /// What was given.
        bytes: usize,
    },
    /// A key length that is no whole number of bytes.
    #[error("a key of {bits} bits cannot be made; give a multiple of 8, at least 8")]
    Length {
        /// What was asked for.
        bits: u32,
    },
    /// This node has joined but has not received the ring.
    #[error("this node holds no key-encryption keys yet; import them from another member first")]
    NoRing,
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// Why sealed bytes could not be opened or re-sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// Too short, an unknown form, or a form that does not fit the length.
    #[error("the sealed bytes are not in a form that this version knows")]
    Malformed,
    /// The KEK is not in the ring: retired, or of a ring this node has not received.
    #[error("no key-encryption key of epoch {} is held: retired, or not yet received", .0.0)]
    EpochNotHeld(Epoch),
    /// Altered bytes, another object's bytes, or another cluster's.
    #[error("the sealed bytes do not belong to this object or were altered")]
    Refused,
    /// The bytes are in order but are not what the ledger committed to.
    #[error("the sealed bytes are not the ones that the ledger committed to")]
    CommitmentMismatch,
}

/// The epoch that sealed bytes carry, or `None` when they are too short to carry one.
pub fn sealed_epoch(sealed: &[u8]) -> Option<Epoch> {
    let (epoch, _) = sealed.split_first_chunk::<EPOCH_BYTES>()?;
    Some(Epoch(u32::from_be_bytes(*epoch)))
}

/// The KEK of one epoch, for one object of one cluster.
pub(crate) struct Sealer<'a> {
    pub(crate) kek: &'a Secret,
    pub(crate) epoch: Epoch,
    pub(crate) cluster: &'a ClusterId,
    pub(crate) uid: &'a Uid,
}

impl Sealer<'_> {
    /// Seals material under a fresh salt (and data key, when it is large).
    pub(crate) fn seal(&self, material: &Secret) -> Result<Sealed, SealFault> {
        match material.len() {
            0 => return Err(SealFault::Empty),
            1..=MATERIAL_BYTES_MAX => {}
            bytes => return Err(SealFault::TooLong { bytes }),
        }
        let salt: [u8; SALT_BYTES] = provider::random_array()?;
        let bytes = match Form::of_material(material.len()) {
            Form::Direct => self.wrap(Form::Direct, &salt, material)?,
            Form::DataKey => {
                let data_key = provider::random_secret(KEY_BYTES)?;
                let mut bytes = self.wrap(Form::DataKey, &salt, &data_key)?;
                let aad = self.context(Form::DataKey);
                bytes.extend(provider::encrypt(&data_key, &aad, material.expose())?);
                bytes
            }
        };
        let commitment = provider::sha256(&[&salt, material.expose()]);
        Ok(Sealed {
            bytes,
            commitment,
            epoch: self.epoch,
        })
    }

    /// Opens sealed bytes; the commitment is compared in constant time.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        commitment: &[u8; DIGEST_BYTES],
    ) -> Result<Secret, OpenFault> {
        let parts = Parts::split(sealed)?;
        let wrapped = self.unwrap(&parts)?;
        let (salt, payload) = wrapped
            .expose()
            .split_at_checked(SALT_BYTES)
            .ok_or(OpenFault::Refused)?;
        let salt: [u8; SALT_BYTES] = salt.try_into().map_err(|_| OpenFault::Refused)?;
        let payload_range = SALT_BYTES..SALT_BYTES + payload.len();
        let payload = wrapped.narrow(payload_range).ok_or(OpenFault::Refused)?;
        let material = match parts.form {
            Form::Direct => payload,
            Form::DataKey => provider::decrypt(&payload, &self.context(parts.form), parts.body)
                .map_err(|_| OpenFault::Refused)?,
        };
        // One length, one form: otherwise the same material would have two valid shapes.
        if material.is_empty() || Form::of_material(material.len()) != parts.form {
            return Err(OpenFault::Malformed);
        }
        let found = provider::sha256(&[&salt, material.expose()]);
        if found.ct_eq(commitment).into() {
            Ok(material)
        } else {
            Err(OpenFault::CommitmentMismatch)
        }
    }

    /// Moves the wrapped part of `sealed` from this sealer's epoch to `target`'s.
    pub(crate) fn reseal(&self, target: &Self, sealed: &[u8]) -> Result<Vec<u8>, OpenFault> {
        let parts = Parts::split(sealed)?;
        let wrapped = self.unwrap(&parts)?;
        let (salt, payload) = wrapped
            .expose()
            .split_at_checked(SALT_BYTES)
            .ok_or(OpenFault::Refused)?;
        let mut bytes = target
            .wrap_bytes(parts.form, &[salt, payload])
            .map_err(|_| OpenFault::Refused)?;
        bytes.extend_from_slice(parts.body);
        Ok(bytes)
    }

    fn wrap(
        &self,
        form: Form,
        salt: &[u8; SALT_BYTES],
        payload: &Secret,
    ) -> Result<Vec<u8>, ProviderFault> {
        self.wrap_bytes(form, &[salt, payload.expose()])
    }

    fn wrap_bytes(&self, form: Form, parts: &[&[u8]]) -> Result<Vec<u8>, ProviderFault> {
        let plain = Secret::take(parts.concat());
        let wrapped = provider::wrap(&self.object_key(form)?, plain.expose())?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + wrapped.len());
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.push(form as u8);
        bytes.extend_from_slice(&wrapped);
        Ok(bytes)
    }

    fn unwrap(&self, parts: &Parts<'_>) -> Result<Secret, OpenFault> {
        let key = self
            .object_key(parts.form)
            .map_err(|_| OpenFault::Refused)?;
        provider::unwrap(&key, parts.wrapped).map_err(|_| OpenFault::Refused)
    }

    fn object_key(&self, form: Form) -> Result<Secret, ProviderFault> {
        provider::derive(self.kek, LABEL, &[&self.context(form)])
    }

    /// cluster ‖ uid ‖ form, as key derivation context and as additional data.
    fn context(&self, form: Form) -> [u8; 33] {
        let mut context = [form as u8; 33];
        let (ids, _) = context.split_at_mut(32);
        let (cluster, uid) = ids.split_at_mut(16);
        cluster.copy_from_slice(self.cluster.as_bytes());
        uid.copy_from_slice(self.uid.as_bytes());
        context
    }
}

/// Sealed bytes taken apart; nothing is verified yet.
struct Parts<'a> {
    form: Form,
    wrapped: &'a [u8],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(sealed: &'a [u8]) -> Result<Self, OpenFault> {
        let (head, rest) = sealed
            .split_at_checked(HEAD_BYTES)
            .ok_or(OpenFault::Malformed)?;
        match head.last() {
            Some(1) => Ok(Self {
                form: Form::Direct,
                wrapped: rest,
                body: &[],
            }),
            Some(2) => {
                let (wrapped, body) = rest
                    .split_at_checked(WRAPPED_DATA_KEY_BYTES)
                    .filter(|(_, body)| body.len() > NONCE_BYTES + TAG_BYTES + DIRECT_BYTES_MAX)
                    .ok_or(OpenFault::Malformed)?;
                Ok(Self {
                    form: Form::DataKey,
                    wrapped,
                    body,
                })
            }
            _ => Err(OpenFault::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
