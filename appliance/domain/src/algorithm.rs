//! The symmetric algorithms whose keys can be created here, with the lengths they take, and which
//! algorithms approved-algorithms mode lets be made, taken in and given out.
//!
//! Every key that is created here is a string of random bytes, so the vault makes them all the same
//! way: [`AlgorithmRule::material_bits`] random bits.

use crate::Denial;
use alloc::format;
use alloc::string::String;

/// Lengths that an algorithm takes, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// These and no others.
    Only(&'static [u32]),
    /// Whole bytes from the first to the last.
    Bytes(u32, u32),
}

/// One algorithm.
#[derive(Clone, Copy, Debug)]
pub struct AlgorithmRule {
    /// Value of the Cryptographic Algorithm enumeration (KMIP 2.1 §11.12).
    pub code: u32,
    /// Its name there.
    pub name: &'static str,
    /// Lengths that Create takes.
    pub lengths: Lengths,
    /// Shortest length that counts as Quantum Safe, in bits: 256, because Grover's search halves
    /// the strength (NIST IR 8105 §2). `None` when no length is.
    pub quantum_safe_bits: Option<u32>,
}

/// Keys of block and stream ciphers that search alone attacks.
const QUANTUM_SAFE: Option<u32> = Some(256);

/// A MAC key is at least 112 bits long (NIST SP 800-131A §10) and at most the block of its hash.
const HMAC: Lengths = Lengths::Bytes(112, 1024);

const fn cipher(code: u32, name: &'static str, lengths: &'static [u32]) -> AlgorithmRule {
    AlgorithmRule {
        code,
        name,
        lengths: Lengths::Only(lengths),
        quantum_safe_bits: QUANTUM_SAFE,
    }
}

const fn broken(code: u32, name: &'static str, lengths: Lengths) -> AlgorithmRule {
    AlgorithmRule {
        code,
        name,
        lengths,
        quantum_safe_bits: None,
    }
}

const fn hmac(code: u32, name: &'static str) -> AlgorithmRule {
    AlgorithmRule {
        code,
        name,
        lengths: HMAC,
        quantum_safe_bits: QUANTUM_SAFE,
    }
}

/// Every algorithm that Create accepts. Public-key algorithms and bare hashes are not here.
pub const ALGORITHMS: &[AlgorithmRule] = &[
    broken(0x01, "DES", Lengths::Only(&[56])),
    // Both forms that the profiles ask for (SKFF-M-4): 112 is two keys, 168 three.
    broken(TRIPLE_DES, "3DES", Lengths::Only(&[112, 168])),
    cipher(0x03, "AES", &[128, 192, 256]),
    hmac(0x07, "HMAC-SHA1"),
    hmac(0x08, "HMAC-SHA224"),
    hmac(0x09, "HMAC-SHA256"),
    hmac(0x0A, "HMAC-SHA384"),
    hmac(0x0B, "HMAC-SHA512"),
    broken(0x0C, "HMAC-MD5", HMAC),
    broken(0x10, "Blowfish", Lengths::Bytes(40, 448)),
    cipher(0x11, "Camellia", &[128, 192, 256]),
    broken(0x12, "CAST5", Lengths::Bytes(40, 128)),
    broken(0x13, "IDEA", Lengths::Only(&[128])),
    broken(0x15, "RC2", Lengths::Bytes(40, 1024)),
    broken(0x16, "RC4", Lengths::Bytes(40, 2048)),
    broken(0x17, "RC5", Lengths::Bytes(40, 2040)),
    broken(0x18, "SKIPJACK", Lengths::Only(&[80])),
    cipher(0x19, "Twofish", &[128, 192, 256]),
    cipher(0x1C, "ChaCha20", &[256]),
    cipher(0x1D, "Poly1305", &[256]),
    cipher(0x1E, "ChaCha20Poly1305", &[256]),
    hmac(0x23, "HMAC-SHA3-224"),
    hmac(0x24, "HMAC-SHA3-256"),
    hmac(0x25, "HMAC-SHA3-384"),
    hmac(0x26, "HMAC-SHA3-512"),
    cipher(0x29, "ARIA", &[128, 192, 256]),
    broken(0x2A, "SEED", Lengths::Only(&[128])),
    broken(0x2D, "SM4", Lengths::Only(&[128])),
    cipher(0x31, "GOST 28147-89", &[256]),
];

const TRIPLE_DES: u32 = 0x02;
const DES: u32 = 0x01;

/// The rule of an algorithm.
pub fn algorithm(code: u32) -> Option<&'static AlgorithmRule> {
    ALGORITHMS.iter().find(|row| row.code == code)
}

impl AlgorithmRule {
    /// Whether Create takes a length, in bits.
    pub fn takes(&self, bits: u32) -> bool {
        match self.lengths {
            Lengths::Only(lengths) => lengths.contains(&bits),
            Lengths::Bytes(first, last) => bits.is_multiple_of(8) && (first..=last).contains(&bits),
        }
    }

    /// Random bits to make for a key of this length: the length itself, and for the DES family the
    /// parity bits too (FIPS 46-3: eight bytes for each 56 bits), so 16 and 24 bytes for 3DES.
    pub const fn material_bits(&self, bits: u32) -> u32 {
        match self.code {
            DES | TRIPLE_DES => bits / 7 * 8,
            _ => bits,
        }
    }
}

/// Checks algorithm and length of a Create; gives the random bits to make.
pub(crate) fn check_create(code: u32, bits: u32) -> Result<u32, Denial> {
    let Some(row) = algorithm(code) else {
        let reason = format!("no symmetric key of algorithm {code:#x} can be created");
        return Err(Denial::InvalidField { reason });
    };
    if !row.takes(bits) {
        let reason = format!("{bits} bits is no length of {}", row.name);
        return Err(Denial::InvalidField { reason });
    }
    Ok(row.material_bits(bits))
}

/// Whether a key counts as Quantum Safe.
pub(crate) fn is_quantum_safe(code: u32, bits: u32) -> bool {
    algorithm(code)
        .and_then(|row| row.quantum_safe_bits)
        .is_some_and(|least| bits >= least)
}

/// Key lengths of an approved algorithm, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApprovedLengths {
    /// Every length that there is.
    Any,
    /// So many, or more.
    Least(u32),
    /// These and no others.
    Only(&'static [u32]),
}

/// An algorithm that may be used to protect what is secret (FIPS 140-3 IG, Annexes C to E).
struct Approval {
    code: u32,
    name: &'static str,
    lengths: ApprovedLengths,
    /// Where it is approved, and where its lengths are from.
    source: &'static str,
}

const fn approval(
    code: u32,
    name: &'static str,
    lengths: ApprovedLengths,
    source: &'static str,
) -> Approval {
    Approval {
        code,
        name,
        lengths,
        source,
    }
}

const MAC_SOURCE: &str = "FIPS 198-1; SP 800-131A r2 §10";
const MAC_LENGTHS: ApprovedLengths = ApprovedLengths::Least(112);
const CURVE_SOURCE: &str = "SP 800-186, SP 800-56A r3; SP 800-131A r2 §3 and §6";

/// All approved algorithms of keys. What is not here is not: DES, 3DES (SP 800-131A r2 §2:
/// encryption ended with 2023), RC2, RC4, ChaCha20 and other ciphers that NIST never approved; DSA
/// (FIPS 186-5 §1); Diffie-Hellman, whose group no key tells (SP 800-56A r3 App. D wants a safe
/// prime); XMSS, whose keys may not leave the module that made them (SP 800-208 §8.1).
const APPROVED: &[Approval] = &[
    approval(
        0x03,
        "AES",
        ApprovedLengths::Only(&[128, 192, 256]),
        "FIPS 197; SP 800-131A r2 §2",
    ),
    approval(
        0x04,
        "RSA",
        ApprovedLengths::Least(2048),
        "FIPS 186-5 §5.1; SP 800-131A r2 §3",
    ),
    approval(0x06, "ECDSA", ApprovedLengths::Least(224), CURVE_SOURCE),
    // HMAC with SHA-1 is no signature, and stays acceptable.
    approval(0x07, "HMAC-SHA1", MAC_LENGTHS, MAC_SOURCE),
    approval(0x08, "HMAC-SHA224", MAC_LENGTHS, MAC_SOURCE),
    approval(0x09, "HMAC-SHA256", MAC_LENGTHS, MAC_SOURCE),
    approval(0x0A, "HMAC-SHA384", MAC_LENGTHS, MAC_SOURCE),
    approval(0x0B, "HMAC-SHA512", MAC_LENGTHS, MAC_SOURCE),
    approval(0x0E, "ECDH", ApprovedLengths::Least(224), CURVE_SOURCE),
    approval(0x1A, "EC", ApprovedLengths::Least(224), CURVE_SOURCE),
    approval(0x23, "HMAC-SHA3-224", MAC_LENGTHS, MAC_SOURCE),
    approval(0x24, "HMAC-SHA3-256", MAC_LENGTHS, MAC_SOURCE),
    approval(0x25, "HMAC-SHA3-384", MAC_LENGTHS, MAC_SOURCE),
    approval(0x26, "HMAC-SHA3-512", MAC_LENGTHS, MAC_SOURCE),
    approval(0x37, "Ed25519", ApprovedLengths::Any, "FIPS 186-5 §7"),
    approval(0x38, "Ed448", ApprovedLengths::Any, "FIPS 186-5 §7"),
];

/// Names of algorithms that no key is created of here and that are not approved.
const OTHERS: &[(u32, &str)] = &[
    (0x05, "DSA"),
    (0x0D, "DH"),
    (0x0F, "ECMQV"),
    (0x1B, "One Time Pad"),
    (0x32, "XMSS"),
];

/// Whether keys of an algorithm and length are approved; `bits` is 0 where it is not known.
///
/// # Errors
/// What is not approved, for people.
pub fn check_approved(code: u32, bits: u32) -> Result<(), String> {
    let approved = APPROVED.iter().find(|row| row.code == code);
    let Some(row) = approved else {
        let others = OTHERS.iter().find(|(other, _)| *other == code);
        let name = algorithm(code).map(|row| row.name);
        let name = name.or(others.map(|(_, name)| *name));
        return Err(name.map_or_else(|| format!("algorithm {code:#x}"), String::from));
    };
    let fits = match row.lengths {
        ApprovedLengths::Any => true,
        ApprovedLengths::Least(least) => bits >= least,
        ApprovedLengths::Only(lengths) => lengths.contains(&bits),
    };
    match (fits, bits) {
        (true, _) => Ok(()),
        (false, 0) => Err(format!("{} of an unknown length", row.name)),
        (false, bits) => Err(format!("{} with {bits} bits", row.name)),
    }
}

/// Every approved algorithm, its lengths and where they are from, for people.
pub fn approved_algorithms() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    APPROVED.iter().map(|row| {
        let lengths = match row.lengths {
            ApprovedLengths::Any => "all lengths".into(),
            ApprovedLengths::Least(least) => format!("{least} bits and more"),
            ApprovedLengths::Only(lengths) => format!("{lengths:?} bits"),
        };
        (row.name, lengths, row.source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_the_official_test_cases_are_taken() {
        let made = [
            // code, bits, random bits
            (0x03, 128, 128),
            (0x03, 192, 192),
            (0x03, 256, 256),
            (0x02, 112, 128),
            (0x02, 168, 192),
            (0x01, 56, 64),
            (0x18, 80, 80),
            (0x1C, 256, 256),
            (0x1E, 256, 256),
            (0x09, 256, 256),
            (0x0B, 512, 512),
        ];
        for (code, bits, random) in made {
            assert_eq!(check_create(code, bits), Ok(random), "{code:#x} {bits}");
        }
    }

    #[test]
    fn other_lengths_and_algorithms_are_refused_by_name() {
        for (code, bits, says) in [
            (0x03, 0, "0 bits is no length of AES"),
            (0x03, 129, "129 bits is no length of AES"),
            (0x02, 128, "128 bits is no length of 3DES"),
            (0x09, 113, "113 bits is no length of HMAC-SHA256"),
            (
                0x04,
                2048,
                "no symmetric key of algorithm 0x4 can be created",
            ),
            (
                0x20,
                256,
                "no symmetric key of algorithm 0x20 can be created",
            ),
        ] {
            let denial = Denial::InvalidField {
                reason: says.into(),
            };
            assert_eq!(check_create(code, bits), Err(denial));
        }
    }

    #[test]
    fn quantum_safe_is_256_bits_of_a_sound_cipher() {
        assert!(is_quantum_safe(0x03, 256) && !is_quantum_safe(0x03, 128));
        assert!(!is_quantum_safe(0x02, 168) && !is_quantum_safe(0x04, 4096));
    }

    #[test]
    fn codes_ascend_and_every_length_is_whole_bytes_of_material() {
        assert!(ALGORITHMS.is_sorted_by_key(|row| row.code));
        for row in ALGORITHMS {
            for bits in (0..=4096).filter(|bits| row.takes(*bits)) {
                assert_eq!(row.material_bits(bits) % 8, 0, "{} {bits}", row.name);
            }
        }
    }

    #[test]
    fn approved_is_what_the_standards_name() {
        let yes = [
            (0x03, 128),
            (0x03, 256),
            (0x04, 2048),
            (0x06, 256),
            (0x07, 112),
            (0x37, 0),
        ];
        for (code, bits) in yes {
            assert_eq!(check_approved(code, bits), Ok(()), "{code:#x} {bits}");
        }
        for (code, bits, says) in [
            (0x01, 56, "DES"),
            (0x02, 168, "3DES"),
            (0x1C, 256, "ChaCha20"),
            (0x05, 2048, "DSA"),
            (0x04, 1024, "RSA with 1024 bits"),
            (0x04, 0, "RSA of an unknown length"),
            (0x03, 512, "AES with 512 bits"),
            (0x09, 104, "HMAC-SHA256 with 104 bits"),
            (0x0C, 256, "HMAC-MD5"),
            (0x77, 256, "algorithm 0x77"),
        ] {
            assert_eq!(check_approved(code, bits), Err(says.into()));
        }
        assert!(APPROVED.is_sorted_by_key(|row| row.code));
        for (name, lengths, source) in approved_algorithms() {
            assert!(
                source.contains("FIPS") || source.contains("SP 800"),
                "{name} {lengths}"
            );
        }
    }
}
