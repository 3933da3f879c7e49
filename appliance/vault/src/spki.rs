//! Public keys as others send them: X.509 SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480 §2).
//!
//! ```text
//! spki = fixed prefix of the curve (algorithm id-ecPublicKey, named curve) ‖ 0x04 ‖ x ‖ y
//! ```
//!
//! DER has one encoding per value, so a key of a known curve is a fixed prefix and a point. Reading
//! it is a comparison and not a parser: what is not exactly of this form is refused.

use crate::provider::P384_POINT_BYTES;
use aws_lc_rs::agreement::{Algorithm, ECDH_P256, ECDH_P384, ParsedPublicKey, UnparsedPublicKey};

/// Bytes of an uncompressed P-256 point (SEC 1 §2.3.3).
pub(crate) const P256_POINT_BYTES: usize = 65;
const P256_PREFIX: &[u8; 26] = b"\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\
    \x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\x03\x42\x00";
const P384_PREFIX: &[u8; 23] = b"\x30\x76\x30\x10\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\
    \x06\x05\x2B\x81\x04\x00\x22\x03\x62\x00";
/// The form octet of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpkiFault {
    /// Another algorithm, another curve, a compressed point, or trailing bytes.
    #[error("not a {0} public key: want an X.509 SubjectPublicKeyInfo with an uncompressed point")]
    Form(&'static str),
    /// The point is not on the curve.
    #[error("the {0} public key is not a point of the curve")]
    Point(&'static str),
}

/// Checks that `spki` is a P-256 key as nodes have: 91 bytes, uncompressed, on the curve.
pub fn check_spki(spki: &[u8]) -> Result<(), SpkiFault> {
    p256_point(spki).map(drop)
}

/// The point of a P-256 key.
pub(crate) fn p256_point(spki: &[u8]) -> Result<[u8; P256_POINT_BYTES], SpkiFault> {
    point(spki, P256_PREFIX, &ECDH_P256, "P-256")
}

/// The point of a P-384 key.
pub(crate) fn p384_point(spki: &[u8]) -> Result<[u8; P384_POINT_BYTES], SpkiFault> {
    point(spki, P384_PREFIX, &ECDH_P384, "P-384")
}

/// The SubjectPublicKeyInfo of a P-256 point.
pub(crate) fn p256_spki(point: &[u8]) -> Vec<u8> {
    [P256_PREFIX, point].concat()
}

/// The SubjectPublicKeyInfo of a P-384 point.
pub(crate) fn p384_spki(point: &[u8; P384_POINT_BYTES]) -> Vec<u8> {
    [P384_PREFIX, point.as_slice()].concat()
}

fn point<const N: usize>(
    spki: &[u8],
    prefix: &[u8],
    curve: &'static Algorithm,
    name: &'static str,
) -> Result<[u8; N], SpkiFault> {
    let point = spki.strip_prefix(prefix);
    let point: Option<[u8; N]> = point.and_then(|point| point.try_into().ok());
    let point = point.filter(|point| point.first() == Some(&UNCOMPRESSED));
    let point = point.ok_or(SpkiFault::Form(name))?;
    let parsed = ParsedPublicKey::try_from(UnparsedPublicKey::new(curve, point));
    match parsed {
        Ok(parsed) if parsed.alg() == curve => Ok(point),
        _ => Err(SpkiFault::Point(name)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ca::{Signer, generate_key};
    use crate::provider::AgreementKey;
    use rcgen::PublicKeyData;

    fn p256() -> Vec<u8> {
        let signer = Signer::from_pkcs8(&generate_key().unwrap()).unwrap();
        let spki = p256_spki(signer.der_bytes());
        // The form is what an independent encoder makes of the same point.
        assert_eq!(spki, signer.subject_public_key_info());
        spki
    }

    fn p384() -> Vec<u8> {
        p384_spki(AgreementKey::generate().unwrap().point())
    }

    #[test]
    fn keys_of_the_curve_are_accepted() {
        for _ in 0..16 {
            let spki = p256();
            check_spki(&spki).unwrap();
            assert_eq!(p256_point(&spki).unwrap(), spki[26..]);
            let spki = p384();
            assert_eq!(p384_point(&spki).unwrap(), spki[23..]);
        }
    }

    #[test]
    fn keys_of_another_curve_are_refused() {
        assert_eq!(check_spki(&p384()), Err(SpkiFault::Form("P-256")));
        assert_eq!(p384_point(&p256()), Err(SpkiFault::Form("P-384")));
        // An RSA key and an Ed25519 key begin otherwise; nothing at all is no key either.
        for bad in [&b""[..], b"\x30\x00", &[0x30; 91], &[0; 120]] {
            assert_eq!(check_spki(bad), Err(SpkiFault::Form("P-256")));
        }
    }

    #[test]
    fn every_truncation_extension_and_bit_flip_is_refused() {
        for (spki, check) in [
            (p256(), check_spki as fn(&[u8]) -> _),
            (p384(), |spki: &[u8]| p384_point(spki).map(drop)),
        ] {
            for cut in 0..spki.len() {
                assert!(check(&spki[..cut]).is_err(), "cut to {cut}");
            }
            assert!(check(&[&spki[..], &[0]].concat()).is_err());
            // A flipped bit of x or y leaves the curve, but for a chance of 2⁻²⁵⁵.
            for bit in 0..spki.len() * 8 {
                let mut flipped = spki.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(check(&flipped).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn the_point_at_infinity_and_compressed_points_are_refused() {
        let spki = p256();
        let infinity = p256_spki(&[0; 65]);
        let zero = p256_spki(&[&[4][..], &[0; 64]].concat());
        let mut compressed = p256_spki(&[&[2][..], &spki[27..59]].concat());
        assert!(check_spki(&infinity).is_err() && check_spki(&zero).is_err());
        assert!(check_spki(&compressed).is_err());
        // Padded to the right length, the form octet gives it away.
        compressed.resize(91, 0);
        assert_eq!(check_spki(&compressed), Err(SpkiFault::Form("P-256")));
    }
}
