//! Recovery shares: a key of which any k of n people together have all and fewer have nothing.
//!
//! Shamir's scheme ("How to share a secret", 1979) over the bytes of the key: each byte is the
//! value at 0 of a polynomial of degree k − 1 whose other coefficients are random; share i holds
//! the values at i. What is split is the key followed by a tag of it, so that shares that do not
//! belong together are noticed; the tag tells less than k people no more than the key does.
//!
//! ```text
//! y of a share = values at its index of the polynomials of   key[32] ‖ tag[4]
//! tag          = SHA-256("strongroom shares" ‖ set[3] ‖ threshold[1] ‖ key), cut
//! ```
//!
//! `field` has the arithmetic, `text` the form that people copy by hand from a serial console. The
//! key opens a slot of kind 4 ([`crate::Credential::Shares`]), so that it can be renewed, removed
//! and split anew like any other.

mod field;
#[cfg(test)]
mod tests;
mod text;

pub use text::{SHARE_GROUPS, ShareTextFault};

use crate::provider::{self, KEY_BYTES, ProviderFault};
use crate::secret::Secret;
use std::fmt;
use subtle::ConstantTimeEq;

/// Recovery shares of an appliance.
pub const RECOVERY_SHARES: u8 = 5;
/// How many of them unlock it: two may be lost, and two people alone can do nothing.
pub const RECOVERY_THRESHOLD: u8 = 3;

/// Bytes that tell one splitting from another: a person may hold shares of several appliances.
const SET_BYTES: usize = 3;
/// Bytes of the tag: shares that do not fit pass with a chance of 2⁻³², and the slot refuses them.
const TAG_BYTES: usize = 4;
/// Bytes of the values of one share.
const VALUE_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// One share. It shows which one it is, and its text only where that is asked for by name
/// (`Display`).
pub struct Share {
    set: [u8; SET_BYTES],
    index: u8,
    threshold: u8,
    values: Secret,
}

impl Share {
    /// Its number, from 1.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// How many shares of its set give the key.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = u32::from_be_bytes([0, self.set[0], self.set[1], self.set[2]]);
        write!(
            f,
            "Share({} of set {set:06x}, {} needed)",
            self.index, self.threshold
        )
    }
}

/// Why a key could not be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitFault {
    /// No such splitting.
    #[error("{shares} shares of which {threshold} are needed make no sense; 3 of 5 would")]
    Numbers {
        /// How many were to be needed.
        threshold: u8,
        /// How many were to be made.
        shares: u8,
    },
    /// Not a key.
    #[error("{0} bytes cannot be split; a key has {KEY_BYTES}")]
    Length(usize),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// Why shares gave no key. Shares are counted in the order given, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// Not enough of them.
    #[error("{given} of the {threshold} shares that are needed were given")]
    TooFew {
        /// How many different ones were given.
        given: usize,
        /// How many are needed.
        threshold: u8,
    },
    /// One of them belongs elsewhere.
    #[error("share {0} is not of the set that share 1 is of; look for those made together")]
    AnotherSet(usize),
    /// One of them was given before.
    #[error("share {0} was given before; give another one")]
    Repeated(usize),
    /// They are of one set and do not give what was split.
    #[error("the shares do not fit together: one of them was changed after it was made")]
    DoNotFit,
}

/// Splits a key of 32 bytes into shares, `threshold` of which give it back.
///
/// # Errors
/// [`SplitFault`]: other sizes, a threshold below 2 or above the number of shares, no randomness.
pub fn split(key: &Secret, threshold: u8, shares: u8) -> Result<Vec<Share>, SplitFault> {
    if threshold < 2 || shares < threshold {
        return Err(SplitFault::Numbers { threshold, shares });
    }
    if key.len() != KEY_BYTES {
        return Err(SplitFault::Length(key.len()));
    }
    let set = provider::random_array()?;
    let tagged = Secret::init_with(VALUE_BYTES, |buffer| {
        let (head, tail) = buffer.split_at_mut(KEY_BYTES);
        head.copy_from_slice(key.expose());
        let digest = tag(set, threshold, key.expose());
        tail.iter_mut()
            .zip(digest)
            .for_each(|(byte, of)| *byte = of);
    });
    // Uniform, zero included: leaving zero out would tell something (RUSTSEC-2024-0398).
    let coefficients = provider::random_secret(VALUE_BYTES * usize::from(threshold - 1))?;
    let share = |index| Share {
        set,
        index,
        threshold,
        values: field::evaluate(&tagged, &coefficients, index),
    };
    Ok((1..=shares).map(share).collect())
}

/// The key that shares were made of.
///
/// # Errors
/// [`ShareFault`]: too few, one twice, of different sets, or changed.
pub fn combine(shares: &[Share]) -> Result<Secret, ShareFault> {
    let Some(first) = shares.first() else {
        return Err(ShareFault::TooFew {
            given: 0,
            threshold: RECOVERY_THRESHOLD,
        });
    };
    for (at, share) in shares.iter().enumerate() {
        if share.set != first.set || share.threshold != first.threshold {
            return Err(ShareFault::AnotherSet(at + 1));
        }
        let mut before = shares.iter().take(at);
        if before.any(|other| other.index == share.index) {
            return Err(ShareFault::Repeated(at + 1));
        }
    }
    if shares.len() < usize::from(first.threshold) {
        let (given, threshold) = (shares.len(), first.threshold);
        return Err(ShareFault::TooFew { given, threshold });
    }
    // Of all of them: more than are needed lie on the same polynomials.
    let points: Vec<(u8, &Secret)> = shares.iter().map(|s| (s.index, &s.values)).collect();
    let tagged = field::at_zero(&points, VALUE_BYTES);
    let (key, found) = tagged
        .expose()
        .split_at_checked(KEY_BYTES)
        .ok_or(ShareFault::DoNotFit)?;
    match bool::from(found.ct_eq(&tag(first.set, first.threshold, key))) {
        true => Ok(Secret::copy_of(key)),
        false => Err(ShareFault::DoNotFit),
    }
}

/// A new key for a recovery slot, and its shares: any [`RECOVERY_THRESHOLD`] of
/// [`RECOVERY_SHARES`].
///
/// # Errors
/// The provider gave no randomness.
pub fn recovery_shares() -> Result<(Secret, Vec<Share>), SplitFault> {
    let key = provider::random_secret(KEY_BYTES)?;
    let shares = split(&key, RECOVERY_THRESHOLD, RECOVERY_SHARES)?;
    Ok((key, shares))
}

fn tag(set: [u8; SET_BYTES], threshold: u8, key: &[u8]) -> [u8; TAG_BYTES] {
    let digest = provider::sha256(&[b"strongroom shares", &set, &[threshold], key]);
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}
