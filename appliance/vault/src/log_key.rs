//! The node's log key: signs checkpoints (C2SP signed note) and export bundles with Ed25519.
//!
//! Ed25519 is deterministic (RFC 8032 §5.1.6), so the two implementations here give the same
//! signature for the same key: `ed25519-dalek` in the ordinary build, because the verifier that
//! strangers run uses it too, and the validated module's in the `fips` build.

use crate::secret::Secret;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use ed25519_dalek::Signer;

/// Bytes of an Ed25519 seed (RFC 8032 §5.1.5).
pub(crate) const SEED_BYTES: usize = 32;

/// Signs with the node's log key; the key does not leave.
pub struct LogSigner(Signing);

enum Signing {
    #[cfg_attr(
        feature = "fips",
        allow(dead_code, reason = "the other build's signer")
    )]
    Dalek(Box<ed25519_dalek::SigningKey>),
    #[cfg_attr(
        not(feature = "fips"),
        allow(dead_code, reason = "the other build's signer")
    )]
    Module(Box<Ed25519KeyPair>),
}

impl LogSigner {
    /// The signer of this build; `None` when the seed is not one.
    pub(crate) fn from_seed(seed: &Secret) -> Option<Self> {
        if cfg!(feature = "fips") {
            Self::module(seed)
        } else {
            Self::dalek(seed)
        }
    }

    fn dalek(seed: &Secret) -> Option<Self> {
        let seed: &[u8; SEED_BYTES] = seed.expose().try_into().ok()?;
        Some(Self(Signing::Dalek(Box::new(
            ed25519_dalek::SigningKey::from_bytes(seed),
        ))))
    }

    fn module(seed: &Secret) -> Option<Self> {
        let seed: &[u8; SEED_BYTES] = seed.expose().try_into().ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self(Signing::Module(Box::new(pair))))
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.0 {
            Signing::Dalek(key) => key.sign(message).to_bytes(),
            Signing::Module(pair) => pair
                .sign(message)
                .as_ref()
                .try_into()
                .expect("an Ed25519 signature has 64 bytes (RFC 8032 §5.1.6)"),
        }
    }

    /// The public key (RFC 8032 §5.1.5), for `allowed_signers` and checkpoint verification.
    pub fn public_key(&self) -> [u8; 32] {
        match &self.0 {
            Signing::Dalek(key) => key.verifying_key().to_bytes(),
            Signing::Module(pair) => pair
                .public_key()
                .as_ref()
                .try_into()
                .expect("an Ed25519 public key has 32 bytes (RFC 8032 §5.1.5)"),
        }
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogSigner")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use proptest::prelude::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    #[test]
    fn both_signers_give_the_signature_of_rfc_8032_test_2() {
        let seed = Secret::copy_of(&hex::<32>(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        ));
        let public: [u8; 32] =
            hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature: [u8; 64] = hex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        for signer in [
            LogSigner::dalek(&seed).unwrap(),
            LogSigner::module(&seed).unwrap(),
        ] {
            assert_eq!(signer.public_key(), public);
            assert_eq!(signer.sign(&[0x72]), signature);
        }
    }

    #[test]
    fn a_seed_of_another_length_is_no_key() {
        for len in [0, 31, 33, 64] {
            let seed = Secret::init_with(len, |_| ());
            assert!(LogSigner::dalek(&seed).is_none() && LogSigner::module(&seed).is_none());
        }
    }

    proptest! {
        #[test]
        fn both_signers_agree_and_verify(seed: [u8; 32], message: Vec<u8>) {
            let seed = Secret::copy_of(&seed);
            let [a, b] = [LogSigner::dalek(&seed).unwrap(), LogSigner::module(&seed).unwrap()];
            prop_assert_eq!(a.sign(&message), b.sign(&message));
            prop_assert_eq!(a.public_key(), b.public_key());
            let key = VerifyingKey::from_bytes(&a.public_key()).unwrap();
            let signature = Signature::from_bytes(&a.sign(&message));
            prop_assert!(key.verify(&message, &signature).is_ok());
        }
    }
}
