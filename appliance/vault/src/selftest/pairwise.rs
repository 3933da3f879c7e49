//! Pairwise consistency: what one half of a pair of keys does, the other half undoes or confirms
//! (FIPS 140-3 IG 10.3.A). As a self-test with a fresh pair, and as a conditional one whenever this
//! node makes a pair that it keeps.

use super::{Check, Kind, SelfTest, SelfTestFault};
use crate::ca::Signer;
use crate::log_key::{LogSigner, SEED_BYTES};
use crate::provider::{self, AgreementKey, ProviderFault};
use crate::secret::Secret;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair,
    UnparsedPublicKey,
};
use rcgen::{PublicKeyData, SigningKey};
use std::sync::OnceLock;

const SOURCE: &str = "FIPS 140-3 IG 10.3.A";

const fn pair(name: &'static str, run: fn(&Check) -> Result<(), SelfTestFault>) -> SelfTest {
    SelfTest::new(name, Kind::PairwiseConsistency, SOURCE, run)
}

pub(super) const TABLE: &[SelfTest] = &[
    pair("ECDSA P-256 pair", |check| {
        p256(check, &fresh_p256().map_err(fault)?)
    }),
    pair("ECDH P-384 pair", |check| {
        p384(check, &AgreementKey::danger_untested().map_err(fault)?)
    }),
    pair("Ed25519 pair", |check| {
        let seed = provider::random_secret(SEED_BYTES).map_err(fault)?;
        ed25519(check, &seed)
    }),
    pair("ML-KEM-768 pair", ml_kem),
];

/// What is signed to see whether the other half accepts it.
const MESSAGE: &[u8] = b"pairwise consistency";

const PLAIN: Check = Check { turns: false };

fn fault(provider: ProviderFault) -> SelfTestFault {
    SelfTestFault::new(provider.to_string())
}

fn unfit() -> SelfTestFault {
    SelfTestFault::new("the two halves of a new pair do not fit")
}

/// A P-256 key in PKCS#8 that nobody has tested.
pub(crate) fn fresh_p256() -> Result<Secret, ProviderFault> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let document = document.map_err(|_| ProviderFault {
        operation: "P-256 key generation",
    })?;
    Ok(Secret::copy_of(document.as_ref()))
}

fn p256(check: &Check, pkcs8: &Secret) -> Result<(), SelfTestFault> {
    let signer = Signer::from_pkcs8(pkcs8).map_err(fault)?;
    let signature = signer.sign(MESSAGE).map_err(|_| unfit())?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, signer.der_bytes());
    let verified = public.verify(MESSAGE, &check.seen(&signature));
    verified.map_err(|_| unfit())
}

fn p384(check: &Check, key: &AgreementKey) -> Result<(), SelfTestFault> {
    const LABEL: &str = "strongroom self-test";
    let other = AgreementKey::danger_untested().map_err(fault)?;
    let one = key.agree(other.point(), LABEL, &[]).map_err(fault)?;
    let two = other.agree(key.point(), LABEL, &[]).map_err(fault)?;
    let seen = Secret::copy_of(&check.seen(two.expose()));
    if one.ct_eq(&seen) {
        return Ok(());
    }
    Err(unfit())
}

fn ed25519(check: &Check, seed: &Secret) -> Result<(), SelfTestFault> {
    let signer = LogSigner::from_seed(seed).ok_or_else(unfit)?;
    let signature = signer.sign(MESSAGE);
    // By the provider, whichever half has signed.
    let public = UnparsedPublicKey::new(&ED25519, signer.public_key());
    let verified = public.verify(MESSAGE, &check.seen(&signature));
    verified.map_err(|_| unfit())
}

fn ml_kem(check: &Check) -> Result<(), SelfTestFault> {
    let refused = |_| SelfTestFault::new("the provider refused ML-KEM-768");
    let key = DecapsulationKey::generate(&ML_KEM_768).map_err(refused)?;
    let public = key.encapsulation_key().map_err(refused)?;
    let (ciphertext, one) = public.encapsulate().map_err(refused)?;
    let seen = check.seen(ciphertext.as_ref());
    let two = key
        .decapsulate(Ciphertext::from(seen.as_ref()))
        .map_err(refused)?;
    if Secret::copy_of(one.as_ref()).ct_eq(&Secret::copy_of(two.as_ref())) {
        return Ok(());
    }
    Err(unfit())
}

/// Who is told of each conditional test: the algorithm, and whether the pair was one.
type Observer = fn(&'static str, &Result<(), SelfTestFault>);

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Has each conditional test told to `observer`; the first one who asks is told.
pub fn observe(observer: Observer) {
    // Somebody is told already, which is what this call is for.
    let _ = OBSERVER.set(observer);
}

fn told(name: &'static str, result: Result<(), SelfTestFault>) -> Result<(), ProviderFault> {
    if let Some(observer) = OBSERVER.get() {
        observer(name, &result);
    }
    result.map_err(|_| ProviderFault {
        operation: "pairwise consistency of a new pair of keys",
    })
}

/// Tests a P-256 key that was just made.
pub(crate) fn check_p256(pkcs8: &Secret) -> Result<(), ProviderFault> {
    told("ECDSA P-256 pair", p256(&PLAIN, pkcs8))
}

/// Tests a P-384 key that was just made.
pub(crate) fn check_p384(key: &AgreementKey) -> Result<(), ProviderFault> {
    told("ECDH P-384 pair", p384(&PLAIN, key))
}

/// Tests the Ed25519 key of a seed that was just drawn.
///
/// # Errors
/// Its halves do not fit, or the seed is none.
pub fn check_ed25519(seed: &Secret) -> Result<(), ProviderFault> {
    told("Ed25519 pair", ed25519(&PLAIN, seed))
}
