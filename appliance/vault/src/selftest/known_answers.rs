//! Known answers: for every primitive one input whose answer stands in a document.
//!
//! Where this crate has a function of its own (`provider`), that function is tested, with its
//! framing; what TLS and SSH use beside it is tested as the provider gives it.

use super::{Check, Kind, SelfTest, SelfTestFault};
use crate::log_key::LogSigner;
use crate::provider::{self, KEY_BYTES};
use crate::secret::Secret;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, X25519};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use aws_lc_rs::{hkdf, hmac};
use std::num::NonZeroU32;

const fn answer(
    name: &'static str,
    source: &'static str,
    run: fn(&Check) -> Result<(), SelfTestFault>,
) -> SelfTest {
    SelfTest::new(name, Kind::KnownAnswer, source, run)
}

/// Sources as people find them: the document, then the case in it. CAVS files are those of NIST's
/// Cryptographic Algorithm Validation Program.
pub(super) const TABLE: &[SelfTest] = &[
    answer("SHA-256", "FIPS 180-4, example \"abc\"", sha256),
    answer("HMAC-SHA-256", "RFC 4231 §4.3, case 2", hmac_sha256),
    answer("HMAC-SHA-384", "RFC 4231 §4.3, case 2", hmac_sha384),
    answer("AES-256-KWP", "NIST CAVS 21.4, KWP_AE_256, 72 bits", kwp),
    answer("AES-256-GCM", "McGrew and Viega, GCM, case 16", gcm_256),
    answer("AES-128-GCM", "McGrew and Viega, GCM, case 4", gcm_128),
    answer(
        "KBKDF counter mode, HMAC-SHA-256",
        "NIST CAVS 14.4, KDF in counter mode, HMAC_SHA256, count 10",
        kbkdf,
    ),
    answer("PBKDF2-HMAC-SHA-256", "RFC 7914 §11", pbkdf2),
    answer("HKDF-SHA-256", "RFC 5869 A.1", hkdf_sha256),
    answer(
        "HKDF-SHA-384",
        "RFC 5869 A.1 with SHA-384, computed by OpenSSL",
        hkdf_sha384,
    ),
    answer("ECDSA P-256, SHA-256", "RFC 6979 A.2.5, \"sample\"", ecdsa),
    answer(
        "ECDH P-256",
        "NIST CAVP, ECC CDH primitive, P-256, count 0",
        ecdh_p256,
    ),
    answer(
        "ECDH P-384",
        "NIST CAVP, ECC CDH primitive, P-384, count 0",
        ecdh_p384,
    ),
    answer("Ed25519", "RFC 8032 §7.1, test 2", ed25519),
    answer("X25519", "RFC 7748 §6.1", x25519),
    answer("ChaCha20-Poly1305", "RFC 8439 §2.8.2", chacha),
    answer(
        "ML-KEM-768",
        "FIPS 203 §7.3, seeds 00 to 5f, computed by kyber-py",
        ml_kem,
    ),
];

/// Bytes of hexadecimal digits; what is no digit only divides them.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    let byte = |pair: &[u8]| pair.iter().fold(0u8, |byte, digit| byte << 4 | digit);
    digits.chunks_exact(2).map(byte).collect()
}

fn secret(text: &str) -> Secret {
    Secret::take(hex(text))
}

fn refused<E>(what: &'static str) -> impl FnOnce(E) -> SelfTestFault {
    move |_| SelfTestFault::new(format!("the provider refused {what}"))
}

fn sha256(check: &Check) -> Result<(), SelfTestFault> {
    let known = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check.same("SHA-256", &provider::sha256(&[b"a", b"bc"]), &known)
}

/// Key and message of RFC 4231, case 2.
const JEFE: &[u8] = b"Jefe";
const WHAT: &[u8] = b"what do ya want for nothing?";

fn hmac_sha256(check: &Check) -> Result<(), SelfTestFault> {
    let tag = provider::hmac_sha256(&Secret::copy_of(JEFE), &[WHAT]);
    let known = hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check.same("HMAC-SHA-256", &tag, &known)
}

fn hmac_sha384(check: &Check) -> Result<(), SelfTestFault> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA384, JEFE), WHAT);
    let known = hex(
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
         8e2240ca5e69e2c78b3239ecfab21649",
    );
    check.same("HMAC-SHA-384", tag.as_ref(), &known)
}

fn kwp(check: &Check) -> Result<(), SelfTestFault> {
    let kek = secret("8df1533f99be6fe60f951057fed1daccd14bd4e34118f24af677bbf46bf11fe7");
    let plain = hex("fb36b1f3907fb5edce");
    let known = hex("6974d7bae0221b4ed91336c26af77e32761f6024d8bbf292");
    let wrapped = provider::wrap(&kek, &plain).map_err(refused("AES-KWP wrap"))?;
    check.same("AES-KWP wrap", &wrapped, &known)?;
    let unwrapped = provider::unwrap(&kek, &known).map_err(refused("AES-KWP unwrap"))?;
    check.same("AES-KWP unwrap", unwrapped.expose(), &plain)
}

/// What cases 4 and 16 of GCM have in common.
const GCM_KEY: &str = "feffe9928665731c6d6a8f9467308308";
const GCM_NONCE: &str = "cafebabefacedbaddecaf888";
const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const GCM_PLAIN: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";

fn gcm_256(check: &Check) -> Result<(), SelfTestFault> {
    let key = [GCM_KEY, GCM_KEY].concat();
    let known = hex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
         76fc6ece0f4e1768cddf8853bb2d551b",
    );
    aead(check, &aead::AES_256_GCM, &key, &known)?;
    // As this crate opens what it has encrypted: the nonce stands in front.
    let mut sealed = [hex(GCM_NONCE), known].concat();
    let key = secret(&key);
    let opened = provider::decrypt(&key, &hex(GCM_AAD), &sealed);
    let opened = opened.map_err(refused("AES-GCM decrypt"))?;
    check.same("AES-GCM decrypt", opened.expose(), &hex(GCM_PLAIN))?;
    if let Some(tag) = sealed.last_mut() {
        *tag ^= 1;
    }
    match provider::decrypt(&key, &hex(GCM_AAD), &sealed) {
        Ok(_) => Err(SelfTestFault::new("AES-GCM takes a forged tag")),
        Err(_) => Ok(()),
    }
}

fn gcm_128(check: &Check) -> Result<(), SelfTestFault> {
    let known = hex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091\
         5bc94fbc3221a5db94fae95ae7121a47",
    );
    aead(check, &aead::AES_128_GCM, GCM_KEY, &known)
}

fn aead(
    check: &Check,
    algorithm: &'static aead::Algorithm,
    key: &str,
    known: &[u8],
) -> Result<(), SelfTestFault> {
    let (nonce, aad, plain) = (hex(GCM_NONCE), hex(GCM_AAD), hex(GCM_PLAIN));
    let sealed = seal(algorithm, &hex(key), &nonce, &aad, plain)?;
    check.same("encryption", &sealed, known)
}

/// Ciphertext and tag, with a nonce that the caller chooses: only the document's may be.
fn seal(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    mut text: Vec<u8>,
) -> Result<Vec<u8>, SelfTestFault> {
    const WHAT: &str = "a key, nonce or text of the document";
    let key = UnboundKey::new(algorithm, key).map_err(refused(WHAT))?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(refused(WHAT))?;
    let tag = LessSafeKey::new(key).seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text);
    text.extend_from_slice(tag.map_err(refused(WHAT))?.as_ref());
    Ok(text)
}

fn kbkdf(check: &Check) -> Result<(), SelfTestFault> {
    let key = secret("e204d6d466aad507ffaf6d6dab0a5b26152c9e21e764370464e360c8fbc765c6");
    let fixed = hex(
        "7b03b98d9f94b899e591f3ef264b71b193fba7043c7e953cde23bc5384bc1a62\
         93580115fae3495fd845dadbd02bd6455cf48d0f62b33e62364a3a80",
    );
    let known = hex("770dfab6a6a4a4bee0257ff335213f78d8287b4fd537d5c1fffa956910e7c779");
    let mut out = [0; KEY_BYTES];
    provider::derive_fixed(&key, &fixed, &mut out).map_err(refused("KBKDF"))?;
    check.same("KBKDF", &out, &known)
}

/// One iteration: what more of them add is time.
fn pbkdf2(check: &Check) -> Result<(), SelfTestFault> {
    let key = provider::stretch(&Secret::copy_of(b"passwd"), b"salt", NonZeroU32::MIN);
    let known = hex("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    check.same("PBKDF2", key.expose(), &known)
}

/// Bytes that RFC 5869 A.1 asks for.
struct Okm;

impl hkdf::KeyType for Okm {
    fn len(&self) -> usize {
        42
    }
}

fn hkdf(
    check: &Check,
    algorithm: hkdf::Algorithm,
    known: &'static str,
) -> Result<(), SelfTestFault> {
    let salt = hkdf::Salt::new(algorithm, &hex("000102030405060708090a0b0c"));
    let pseudo_random = salt.extract(&[0x0b; 22]);
    let info = hex("f0f1f2f3f4f5f6f7f8f9");
    let info = [info.as_slice()];
    let mut out = [0; 42];
    let expanded = pseudo_random.expand(&info, Okm).map_err(refused("HKDF"))?;
    expanded.fill(&mut out).map_err(refused("HKDF"))?;
    check.same("HKDF", &out, &hex(known))
}

fn hkdf_sha256(check: &Check) -> Result<(), SelfTestFault> {
    let known = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                 34007208d5b887185865";
    hkdf(check, hkdf::HKDF_SHA256, known)
}

fn hkdf_sha384(check: &Check) -> Result<(), SelfTestFault> {
    let known = "9b5097a86038b805309076a44b3a9f38063e25b516dcbf369f394cfab43685f7\
                 48b6457763e4f0204fc5";
    hkdf(check, hkdf::HKDF_SHA384, known)
}

/// The provider draws the random number of a signature itself, so only verifying has a known
/// answer; that signing gives what verifies is seen in `pairwise`.
fn ecdsa(check: &Check) -> Result<(), SelfTestFault> {
    let point = hex(
        "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6\
         7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
    );
    let signature = hex(
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
         F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    );
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(b"sample", &check.seen(&signature))
        .map_err(|_| SelfTestFault::new("ECDSA refuses a right signature"))?;
    match key.verify(b"simple", &signature) {
        Ok(()) => Err(SelfTestFault::new("ECDSA takes a wrong signature")),
        Err(_) => Ok(()),
    }
}

fn agreed(
    check: &Check,
    curve: &'static agreement::Algorithm,
    private: &str,
    public: &str,
    known: &str,
) -> Result<(), SelfTestFault> {
    let key = agreement::PrivateKey::from_private_key(curve, &hex(private));
    let key = key.map_err(refused("a private key of the document"))?;
    let other = agreement::UnparsedPublicKey::new(curve, hex(public));
    let fault = SelfTestFault::new("the provider refused to agree on a key");
    agreement::agree(&key, other, fault, |shared| {
        check.same("key agreement", shared, &hex(known))
    })
}

fn ecdh_p256(check: &Check) -> Result<(), SelfTestFault> {
    agreed(
        check,
        &ECDH_P256,
        "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
        "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287\
         db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
        "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
    )
}

fn ecdh_p384(check: &Check) -> Result<(), SelfTestFault> {
    agreed(
        check,
        &ECDH_P384,
        "3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774\
         ad463b205da88cf699ab4d43c9cf98a1",
        "04a7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272\
         734466b400091adbf2d68c58e0c50066ac68f19f2e1cb879aed43a9969b91a08\
         39c4c38a49749b661efedf243451915ed0905a32b060992b468c64766fc8437a",
        "5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457\
         e5621e766c40a2e3d4d6a04b25e533f1",
    )
}

fn x25519(check: &Check) -> Result<(), SelfTestFault> {
    agreed(
        check,
        &X25519,
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    )
}

fn ed25519(check: &Check) -> Result<(), SelfTestFault> {
    let seed = secret("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let known = hex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    let message = [0x72];
    let signer = LogSigner::from_seed(&seed).ok_or_else(|| refused("a seed")(()))?;
    check.same("an Ed25519 public key", &signer.public_key(), &public)?;
    check.same("an Ed25519 signature", &signer.sign(&message), &known)?;
    let key = UnparsedPublicKey::new(&ED25519, &public);
    key.verify(&message, &check.seen(&known))
        .map_err(|_| SelfTestFault::new("Ed25519 refuses a right signature"))
}

fn chacha(check: &Check) -> Result<(), SelfTestFault> {
    const TEXT: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
        tip for the future, sunscreen would be it.";
    let key: Vec<u8> = (0x80..0xa0).collect();
    let (nonce, aad) = (
        hex("070000004041424344454647"),
        hex("50515253c0c1c2c3c4c5c6c7"),
    );
    let sealed = seal(&aead::CHACHA20_POLY1305, &key, &nonce, &aad, TEXT.to_vec())?;
    let known = hex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6\
         3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36\
         92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
         3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd060\
         0691",
    );
    check.same("ChaCha20-Poly1305", &sealed, &known)
}

/// A decapsulation key and a ciphertext: d is the bytes 00 to 1f, z 20 to 3f, m 40 to 5f (FIPS 203
/// §7.1, §7.2). The provider draws those itself, so only decapsulation has a known answer.
const ML_KEM_768_KNOWN: &[u8; ML_KEM_768_KEY_BYTES + 1_088] = include_bytes!("ml_kem_768.bin");
const ML_KEM_768_KEY_BYTES: usize = 2_400;

fn ml_kem(check: &Check) -> Result<(), SelfTestFault> {
    let known = hex("9cddd089ffe70e3996e76f7c8d06746df34d07e8657bc0fcf2bb0e1c3084aea1");
    let (key, ciphertext) = ML_KEM_768_KNOWN.split_at(ML_KEM_768_KEY_BYTES);
    let key = DecapsulationKey::new(&ML_KEM_768, key);
    let key = key.map_err(refused("an ML-KEM-768 key"))?;
    let shared = key.decapsulate(Ciphertext::from(ciphertext));
    let shared = shared.map_err(refused("an ML-KEM-768 ciphertext"))?;
    check.same("ML-KEM-768 decapsulation", shared.as_ref(), &known)
}
