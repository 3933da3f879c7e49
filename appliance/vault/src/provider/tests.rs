//! Known answers for every primitive, and the arithmetic of standings.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

fn secret(text: &str) -> Secret {
    Secret::take(hex(text))
}

#[test]
fn sha256_of_fips_180_4() {
    let abc = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(sha256(&[b"abc"]).to_vec(), abc);
    assert_eq!(sha256(&[b"a", b"", b"bc"]).to_vec(), abc);
}

#[test]
fn hmac_of_rfc_4231_case_2() {
    let tag = hmac_sha256(
        &Secret::copy_of(b"Jefe"),
        &[b"what do ya want ", b"for nothing?"],
    );
    let known = hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_eq!(tag.to_vec(), known);
}

#[test]
fn key_wrap_of_nist_kwp_ae_256() {
    // CAVS 21.4, KWP_AE_256: plaintext lengths of 8, 64 and 72 bits.
    for (kek, plain, wrapped) in [
        (
            "2800f18237cf8d2ba1dfe361784fd7519b0fdb0ec73e2ab1c0b966b9173fc5b5",
            "ad",
            "c1eccf2d077a385e67aaeb35552c893c",
        ),
        (
            "1c997c2bb5a15a4593e337b3249675d557467417917f6bc5165c9af6a3e29504",
            "3e3eafc50cd4e939",
            "163eb9e7dbc8ed0086dffbc6ab00e329",
        ),
        (
            "8df1533f99be6fe60f951057fed1daccd14bd4e34118f24af677bbf46bf11fe7",
            "fb36b1f3907fb5edce",
            "6974d7bae0221b4ed91336c26af77e32761f6024d8bbf292",
        ),
    ]
    .iter()
    .map(|(kek, plain, wrapped)| (secret(kek), hex(plain), hex(wrapped)))
    {
        assert_eq!(wrap(&kek, &plain).unwrap(), wrapped);
        assert_eq!(unwrap(&kek, &wrapped).unwrap().expose(), plain);
    }
}

#[test]
fn kbkdf_of_nist_counter_mode() {
    // CAVS 14.4, HMAC_SHA256, counter before the fixed data, 32 bits; COUNT 0 and COUNT 10.
    for (key, fixed, known) in [
        (
            "dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0",
            "01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b864a145fab25e517b\
             08f8683d0315bb2911d80a0e8aba17f3b413faac",
            "10621342bfb0fd40046c0e29f2cfdbf0",
        ),
        (
            "e204d6d466aad507ffaf6d6dab0a5b26152c9e21e764370464e360c8fbc765c6",
            "7b03b98d9f94b899e591f3ef264b71b193fba7043c7e953cde23bc5384bc1a6293580115fae3495f\
             d845dadbd02bd6455cf48d0f62b33e62364a3a80",
            "770dfab6a6a4a4bee0257ff335213f78d8287b4fd537d5c1fffa956910e7c779",
        ),
    ] {
        let mut out = vec![0; hex(known).len()];
        derive_fixed(&secret(key), &hex(fixed), &mut out).unwrap();
        assert_eq!(out, hex(known));
    }
}

#[test]
fn the_fixed_input_is_label_zero_context_length() {
    let key = secret("e204d6d466aad507ffaf6d6dab0a5b26152c9e21e764370464e360c8fbc765c6");
    let derived = derive(&key, "label", &[b"con", b"text"]).unwrap();
    // One block of counter mode is one HMAC over counter ‖ fixed input (SP 800-108r1 §4.1).
    let block = [&[0, 0, 0, 1][..], b"label", &[0], b"context", &[0, 0, 1, 0]];
    assert_eq!(derived.expose(), hmac_sha256(&key, &block));
}

#[test]
fn pbkdf2_of_rfc_7914() {
    for (passphrase, salt, iterations, known) in [
        (
            "passwd",
            "salt",
            1,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
        ),
        (
            "Password",
            "NaCl",
            80_000,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56",
        ),
    ] {
        let passphrase = Secret::copy_of(passphrase.as_bytes());
        let iterations = NonZeroU32::new(iterations).unwrap();
        assert_eq!(
            stretch(&passphrase, salt.as_bytes(), iterations).expose(),
            hex(known)
        );
    }
}

#[test]
fn gcm_of_mcgrew_and_viega_case_16() {
    let key = secret("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let plain = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let sealed = hex("cafebabefacedbaddecaf888\
         522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
         76fc6ece0f4e1768cddf8853bb2d551b");
    assert_eq!(decrypt(&key, &aad, &sealed).unwrap().expose(), plain);
}

#[test]
fn two_encryptions_differ_and_both_open() {
    let key = random_secret(KEY_BYTES).unwrap();
    let [a, b] = [(); 2].map(|()| encrypt(&key, b"aad", b"plain").unwrap());
    assert_ne!(a, b);
    assert_ne!(a[..NONCE_BYTES], [0; NONCE_BYTES]);
    for sealed in [a, b] {
        assert_eq!(decrypt(&key, b"aad", &sealed).unwrap().expose(), b"plain");
        assert!(decrypt(&key, b"aae", &sealed).is_err());
    }
}

#[test]
fn random_bytes_fill_the_buffer_and_do_not_repeat() {
    let [a, b]: [[u8; 64]; 2] = [random_array().unwrap(), random_array().unwrap()];
    assert_ne!(a, b);
    assert!(a.chunks(16).all(|chunk| chunk != [0; 16]));
}

#[test]
fn keys_of_another_length_are_refused() {
    for len in [0, 16, 24, 31, 33] {
        let key = Secret::init_with(len, |_| ());
        assert!(wrap(&key, b"12345678").is_err());
        assert!(unwrap(&key, &[0; 24]).is_err());
        assert!(encrypt(&key, b"", b"plain").is_err());
        assert!(decrypt(&key, b"", &[0; 64]).is_err());
    }
}

#[test]
fn one_unapproved_part_makes_the_whole_unapproved() {
    use Standing::{ApprovedAlgorithm, ApprovedModule, NotApproved};
    for (parts, whole) in [
        (&[ApprovedModule, ApprovedModule][..], ApprovedModule),
        (&[ApprovedModule, ApprovedAlgorithm], ApprovedAlgorithm),
        (
            &[ApprovedModule, NotApproved, ApprovedAlgorithm],
            NotApproved,
        ),
        (&[], NotApproved),
    ] {
        assert_eq!(least(parts.iter().copied()), whole);
    }
}

/// Computed with the `cryptography` package of Python, from private keys 1 to 48 and 101 to 148.
#[test]
fn agreement_as_another_implementation_computes_it() {
    let pkcs8 = secret(
        "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430
         0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
         2122232425262728292a2b2c2d2e2f30
         a16403620004
         c76f2283dda95cd49b0ed9e733d2904474e37216f124e13d2c9ab4cf01021c49
         ad9cabb3d0b97499aef2f0ab313fa028
         26bc1f83451b5c8962a75caff73588d4400a6296436154fb343c393e91048a6c
         7bcbadc83cd8a5f26feae883156f92a1",
    );
    let other = hex("04
         63ef7fd80a10d9b162d2ddbd5a3b71c7f6b8c3d33a5f9f1aa51e7ab9b9c9e95b
         67b1d6a6a3529a085e8019b94f729e3e
         5027c4f58fb3ca6204e0a826611eb945e20ca52c60ed60f32905e5be6f182863
         4e4661ebc2250bf124bd6d0fd40acd03");
    let other: [u8; P384_POINT_BYTES] = other.try_into().unwrap();
    let known = hex("082fb9a347fcc5a50460ac80021a4ad3b3f3f23292d1e68f860a410c16e755a1");
    let key = AgreementKey::from_pkcs8(&pkcs8).unwrap();
    assert_eq!(key.point()[..], pkcs8.expose()[pkcs8.len() - 97..]);
    let agree = |label, info: &[&[u8]]| key.agree(&other, label, info).unwrap();
    let agreed = agree("strongroom envelope 1", &[b"a ", b"context"]);
    assert_eq!(agreed.expose(), known);
    // Another label or another context is another key.
    assert!(!agreed.ct_eq(&agree("strongroom envelope 2", &[b"a context"])));
    assert!(!agreed.ct_eq(&agree("strongroom envelope 1", &[b"a contexu"])));
}

#[test]
fn both_sides_agree_and_keys_come_back() {
    let [a, b] = [(); 2].map(|()| AgreementKey::generate().unwrap());
    let there = a.agree(b.point(), "label", &[b"info"]).unwrap();
    let back = AgreementKey::from_pkcs8(&b.to_pkcs8().unwrap()).unwrap();
    assert!(there.ct_eq(&back.agree(a.point(), "label", &[b"info"]).unwrap()));
    let mut off_curve = *b.point();
    off_curve[96] ^= 1;
    assert!(a.agree(&off_curve, "label", &[b"info"]).is_err());
    assert!(a.agree(&[0; 97], "label", &[b"info"]).is_err());
    // A key of another curve is no agreement key.
    let p256 = crate::ca::generate_key().unwrap();
    assert!(AgreementKey::from_pkcs8(&p256).is_err());
}

#[test]
fn this_build_claims_what_its_module_is() {
    let expected = match aws_lc_rs::try_fips_mode() {
        Ok(()) => Standing::ApprovedModule,
        Err(_) => Standing::ApprovedAlgorithm,
    };
    assert_eq!(approved(), expected);
    assert_eq!(cfg!(feature = "fips"), expected == Standing::ApprovedModule);
}

proptest! {
    #[test]
    fn what_was_wrapped_unwraps(
        key: [u8; 32],
        plain in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let key = Secret::copy_of(&key);
        let wrapped = wrap(&key, &plain).unwrap();
        let back = unwrap(&key, &wrapped).unwrap();
        prop_assert_eq!(back.expose(), plain.as_slice());
        prop_assert_eq!(wrap(&key, &plain).unwrap(), wrapped);
    }

    #[test]
    fn any_bytes_unwrap_or_are_refused(
        key: [u8; 32],
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let key = Secret::copy_of(&key);
        prop_assert!(unwrap(&key, &bytes).is_err());
        prop_assert!(decrypt(&key, b"", &bytes).is_err());
    }
}
