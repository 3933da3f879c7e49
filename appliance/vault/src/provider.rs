//! The primitives, all of them from `aws-lc-rs`, and what can be claimed for each.
//!
//! Nothing else in the appliance calls a cipher on key material. The functions are thin on purpose:
//! they fix the algorithm, the sizes and the direction, so that no caller can choose a nonce, a
//! mode or a tag length.
//!
//! Residue: `aws_lc_rs::key_wrap` and the AES key schedule inside it do not erase their copy of a
//! wrapping key when they are dropped. The program therefore runs without swap and core dumps, and
//! the per-object keys of `seal` keep the long-lived KEKs out of that path.

use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::agreement::{self, ECDH_P384, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hkdf::{self, HKDF_SHA384};
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Bytes of an AES-256 key, of a KEK and of an HMAC-SHA-256 key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a SHA-256 digest.
pub const DIGEST_BYTES: usize = 32;
/// Bytes of the GCM nonce in front of a ciphertext (SP 800-38D §8.2.2: 96 random bits).
pub const NONCE_BYTES: usize = 12;
/// Bytes of the GCM tag behind a ciphertext.
pub const TAG_BYTES: usize = 16;
/// What AES-KWP adds at most: 8 bytes of integrity and up to 7 of padding (RFC 5649 §4.1).
const KWP_BYTES_ADDED_MAX: usize = 15;

/// The provider could not compute. The reason is withheld by design: telling a bad tag from a bad
/// length would help only a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic provider refused: {operation}")]
pub struct ProviderFault {
    /// What was asked for.
    pub operation: &'static str,
}

fn refused<E>(operation: &'static str) -> impl FnOnce(E) -> ProviderFault {
    move |_| ProviderFault { operation }
}

/// What can be claimed for a part; the whole can claim the least of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not an approved algorithm, or used in a way that is not approved.
    NotApproved,
    /// An approved algorithm, computed outside a validated module.
    ApprovedAlgorithm,
    /// An approved algorithm, computed by the validated source of AWS-LC-FIPS.
    ApprovedModule,
}

/// One primitive and its standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The algorithm.
    pub name: &'static str,
    /// Where the algorithm is specified.
    pub specification: &'static str,
    /// What can be claimed for it in this build.
    pub standing: Standing,
}

/// Every primitive this crate uses.
pub fn parts() -> Vec<Part> {
    let module = module_standing();
    // In the ordinary build the log signer is ed25519-dalek: the approved algorithm, elsewhere.
    let signer = if cfg!(feature = "fips") {
        module
    } else {
        Standing::ApprovedAlgorithm
    };
    let part = |name, specification| Part {
        name,
        specification,
        standing: module,
    };
    vec![
        part("CTR_DRBG", "SP 800-90A"),
        part("SHA-256", "FIPS 180-4"),
        part("HMAC-SHA-256", "FIPS 198-1"),
        part("AES-256-KWP", "SP 800-38F"),
        part("KBKDF counter mode, HMAC-SHA-256", "SP 800-108r1"),
        part("PBKDF2-HMAC-SHA-256", "SP 800-132"),
        part("AES-256-GCM, nonce by the provider", "SP 800-38D"),
        part("ECDSA P-256, SHA-256", "FIPS 186-5"),
        part("ECDH P-384", "SP 800-56A r3"),
        part("HKDF-SHA-384", "SP 800-56C r2"),
        Part {
            name: "Ed25519",
            specification: "FIPS 186-5",
            standing: signer,
        },
    ]
}

fn module_standing() -> Standing {
    if cfg!(feature = "fips") && aws_lc_rs::try_fips_mode().is_ok() {
        Standing::ApprovedModule
    } else {
        Standing::ApprovedAlgorithm
    }
}

/// The least standing of `parts`; nothing at all can claim nothing.
pub fn least(parts: impl IntoIterator<Item = Standing>) -> Standing {
    parts.into_iter().min().unwrap_or(Standing::NotApproved)
}

/// What can be claimed for the provider as a whole: computed from [`parts`], never stored.
pub fn approved() -> Standing {
    least(parts().into_iter().map(|part| part.standing))
}

/// Fills `out` from the DRBG.
pub fn random(out: &mut [u8]) -> Result<(), ProviderFault> {
    aws_lc_rs::rand::fill(out).map_err(refused("random bytes"))
}

/// A fresh secret of `len` random bytes.
pub fn random_secret(len: usize) -> Result<Secret, ProviderFault> {
    Secret::try_init_with(len, random)
}

/// A fresh array of random bytes, for salts, serial numbers and identifiers.
pub fn random_array<const N: usize>() -> Result<[u8; N], ProviderFault> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

/// SHA-256 over the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    hash.update(parts);
    hash.finish()
}

/// SHA-256 over more than fits into memory.
pub(crate) struct Sha256(digest::Context);

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn update(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.0.update(part));
    }

    pub(crate) fn finish(self) -> [u8; DIGEST_BYTES] {
        digest_array(self.0.finish().as_ref())
    }
}

/// HMAC-SHA-256 over the parts, one after the other.
pub fn hmac_sha256(key: &Secret, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    parts.iter().for_each(|part| context.update(part));
    digest_array(context.sign().as_ref())
}

fn digest_array(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    bytes
        .try_into()
        .expect("SHA-256 and HMAC-SHA-256 give 32 bytes")
}

/// AES-256-KWP wrap (RFC 5649, SP 800-38F §6.3): deterministic, so equal input gives equal output.
pub fn wrap(kek: &Secret, plain: &[u8]) -> Result<Vec<u8>, ProviderFault> {
    let mut out = vec![0; plain.len() + KWP_BYTES_ADDED_MAX];
    let len = aes_kek(kek)?
        .wrap_with_padding(plain, &mut out)
        .map_err(refused("AES-KWP wrap"))?
        .len();
    out.truncate(len);
    Ok(out)
}

/// AES-256-KWP unwrap; fails when the integrity check does.
pub fn unwrap(kek: &Secret, wrapped: &[u8]) -> Result<Secret, ProviderFault> {
    const OPERATION: &str = "AES-KWP unwrap";
    let mut len = 0;
    let secret = Secret::try_init_with(wrapped.len(), |out| {
        len = aes_kek(kek)?
            .unwrap_with_padding(wrapped, out)
            .map_err(refused(OPERATION))?
            .len();
        Ok(())
    })?;
    secret.narrow(0..len).ok_or(ProviderFault {
        operation: OPERATION,
    })
}

fn aes_kek(kek: &Secret) -> Result<AesKek, ProviderFault> {
    AesKek::new(&AES_256, kek.expose()).map_err(refused("AES-256 key of another length"))
}

/// KBKDF in counter mode with HMAC-SHA-256 (SP 800-108r1 §4.1), 32-bit counter in front of
/// `label ‖ 0x00 ‖ context ‖ [L]₃₂`; gives a 256-bit key.
pub fn derive(key: &Secret, label: &str, context: &[&[u8]]) -> Result<Secret, ProviderFault> {
    const KEY_BITS: u32 = 256;
    let mut fixed = Vec::with_capacity(FIXED_INFO_BYTES);
    fixed.extend_from_slice(label.as_bytes());
    fixed.push(0);
    context
        .iter()
        .for_each(|part| fixed.extend_from_slice(part));
    fixed.extend_from_slice(&KEY_BITS.to_be_bytes());
    Secret::try_init_with(KEY_BYTES, |out| derive_fixed(key, &fixed, out))
}

/// A first guess at the length of the fixed input, so that the hot path allocates once.
const FIXED_INFO_BYTES: usize = 96;

pub(crate) fn derive_fixed(
    key: &Secret,
    fixed: &[u8],
    out: &mut [u8],
) -> Result<(), ProviderFault> {
    const OPERATION: &str = "KBKDF";
    let algorithm =
        get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(ProviderFault {
            operation: OPERATION,
        })?;
    kbkdf_ctr_hmac(algorithm, key.expose(), fixed, out).map_err(refused(OPERATION))
}

/// PBKDF2-HMAC-SHA-256 (SP 800-132); gives a 256-bit key.
pub fn stretch(passphrase: &Secret, salt: &[u8], iterations: NonZeroU32) -> Secret {
    Secret::init_with(KEY_BYTES, |out| {
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            passphrase.expose(),
            out,
        );
    })
}

/// AES-256-GCM with a nonce that the provider draws: `nonce ‖ ciphertext ‖ tag`.
pub fn encrypt(key: &Secret, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, ProviderFault> {
    let mut body = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    body.extend_from_slice(&[0; NONCE_BYTES]);
    body.extend_from_slice(plain);
    let (head, text) = body.split_at_mut(NONCE_BYTES);
    let (nonce, tag) = gcm(key)?
        .seal_in_place_separate_tag(Aad::from(aad), text)
        .map_err(refused("AES-GCM encrypt"))?;
    head.copy_from_slice(nonce.as_ref());
    body.extend_from_slice(tag.as_ref());
    Ok(body)
}

/// The inverse of [`encrypt`]; fails when the tag does.
pub fn decrypt(key: &Secret, aad: &[u8], sealed: &[u8]) -> Result<Secret, ProviderFault> {
    const FAULT: ProviderFault = ProviderFault {
        operation: "AES-GCM decrypt",
    };
    let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or(FAULT)?;
    let plain_bytes = text.len().checked_sub(TAG_BYTES).ok_or(FAULT)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| FAULT)?;
    let secret = Secret::try_init_with(text.len(), |buffer| {
        buffer.copy_from_slice(text);
        gcm(key)?
            .open_in_place(nonce, Aad::from(aad), buffer)
            .map_err(|_| FAULT)?;
        Ok(())
    })?;
    secret.narrow(0..plain_bytes).ok_or(FAULT)
}

fn gcm(key: &Secret) -> Result<RandomizedNonceKey, ProviderFault> {
    RandomizedNonceKey::new(&AES_256_GCM, key.expose())
        .map_err(refused("AES-256 key of another length"))
}

/// Bytes of an uncompressed P-384 point (SEC 1 §2.3.3): 4, x, y.
pub(crate) const P384_POINT_BYTES: usize = 97;

/// A P-384 private key that agrees on keys and does nothing else.
pub(crate) struct AgreementKey {
    key: agreement::PrivateKey,
    point: [u8; P384_POINT_BYTES],
}

impl AgreementKey {
    /// A fresh key, whose halves were seen to fit.
    pub(crate) fn generate() -> Result<Self, ProviderFault> {
        let key = Self::danger_untested()?;
        crate::selftest::check_p384(&key)?;
        Ok(key)
    }

    /// A fresh key for the test of another one.
    pub(crate) fn danger_untested() -> Result<Self, ProviderFault> {
        let key = agreement::PrivateKey::generate(&ECDH_P384);
        Self::new(key.map_err(refused("P-384 key generation"))?)
    }

    pub(crate) fn from_pkcs8(pkcs8: &Secret) -> Result<Self, ProviderFault> {
        let key = agreement::PrivateKey::from_private_key_der(&ECDH_P384, pkcs8.expose());
        Self::new(key.map_err(refused("read a P-384 key"))?)
    }

    fn new(key: agreement::PrivateKey) -> Result<Self, ProviderFault> {
        const OPERATION: &str = "compute a P-384 public key";
        let public = key.compute_public_key().map_err(refused(OPERATION))?;
        let point = public.as_ref().try_into().map_err(refused(OPERATION))?;
        Ok(Self { key, point })
    }

    /// The private key in PKCS#8 (RFC 5958 §2).
    pub(crate) fn to_pkcs8(&self) -> Result<Secret, ProviderFault> {
        let der: Pkcs8V1Der<'_> = self.key.as_der().map_err(refused("write a P-384 key"))?;
        Ok(Secret::copy_of(der.as_ref()))
    }

    /// The public key, uncompressed.
    pub(crate) fn point(&self) -> &[u8; P384_POINT_BYTES] {
        &self.point
    }

    /// ECDH with cofactor 1 (SP 800-56A r3 §5.7.1.2; the provider validates the other's point),
    /// then HKDF-SHA-384 as the two-step derivation (SP 800-56C r2 §5); gives a 256-bit key.
    /// `label` becomes the salt and must not be empty; `info` binds the key to its use.
    pub(crate) fn agree(
        &self,
        other: &[u8; P384_POINT_BYTES],
        label: &str,
        info: &[&[u8]],
    ) -> Result<Secret, ProviderFault> {
        const FAULT: ProviderFault = ProviderFault {
            operation: "ECDH P-384",
        };
        let other = UnparsedPublicKey::new(&ECDH_P384, other);
        agreement::agree(&self.key, other, FAULT, |shared| {
            let salt = hkdf::Salt::new(HKDF_SHA384, label.as_bytes());
            let pseudo_random = salt.extract(shared);
            let expanded = pseudo_random.expand(info, Key256);
            let expanded = expanded.map_err(refused("HKDF"))?;
            Secret::try_init_with(KEY_BYTES, |out| expanded.fill(out).map_err(refused("HKDF")))
        })
    }
}

/// The length that HKDF is asked for.
struct Key256;

impl hkdf::KeyType for Key256 {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

#[cfg(test)]
mod tests;
