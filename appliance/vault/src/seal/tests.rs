//! The format byte by byte, and the promise that nothing altered ever opens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::ring::Ring;
use proptest::prelude::*;

const CLUSTER: ClusterId = ClusterId::from_bytes([0x11; 16]);
const UID: Uid = Uid::from_bytes([0x22; 16]);

fn hex(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn kek() -> Secret {
    Secret::copy_of(&counting(32))
}

fn sealer(kek: &Secret) -> Sealer<'_> {
    Sealer {
        kek,
        epoch: Epoch(7),
        cluster: &CLUSTER,
        uid: &UID,
    }
}

fn ring(epochs: &[u32]) -> Ring {
    let kek = |epoch: u32| Secret::copy_of(&[u8::try_from(epoch).unwrap(); 32]);
    Ring::danger_of(
        CLUSTER,
        epochs.iter().map(|epoch| (Epoch(*epoch), kek(*epoch))),
    )
}

/// Both values were computed by another implementation (Python's `hmac` and `cryptography`).
#[test]
fn form_1_is_what_the_module_says() {
    let salt = [0x33; SALT_BYTES];
    let material = Secret::copy_of(&[0x44; 32]);
    let kek = kek();
    let sealed = sealer(&kek).wrap(Form::Direct, &salt, &material).unwrap();
    let known = hex(
        "00000007019dad3c8f283f4f01522e6d839b87073399743e4d19c1f191b98a36113991c4e3ea202b38429f\
         afa8b3fc71440db0bf38ab5bb0cccfa9bd9e",
    );
    assert_eq!(sealed, known);
    let commitment = hex("8f9eb1edd340039cb0187e5c34b8a155bd69b4239b8c57f3a9ba97e9db7cb5e6");
    let opened = sealer(&kek)
        .open(&known, &commitment.try_into().unwrap())
        .unwrap();
    assert!(opened.ct_eq(&material));
}

/// Sealed by another implementation: data key 0x55…, nonce 0x66…, material 0, 1, … of 1,025 bytes.
#[test]
fn form_2_is_what_the_module_says() {
    let kek = kek();
    let data_key = Secret::copy_of(&[0x55; KEY_BYTES]);
    let mut sealed = sealer(&kek)
        .wrap(Form::DataKey, &[0x33; SALT_BYTES], &data_key)
        .unwrap();
    let known = hex(
        "000000070202904d0dffc99d978edf19857ab05d1a9b3b6a85d6624136720417b839c5fa26897e7abd12a6\
         34db7179e907764a90a3759063839a7a7afd",
    );
    assert_eq!(sealed, known);
    // The body, with its nonce given: aws-lc-rs lets only the less safe key do that.
    let key = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, data_key.expose());
    let key = aws_lc_rs::aead::LessSafeKey::new(key.unwrap());
    let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key([0x66; NONCE_BYTES]);
    let aad = aws_lc_rs::aead::Aad::from([&[0x11; 16][..], &[0x22; 16], &[2]].concat());
    let mut body = counting(1025);
    key.seal_in_place_append_tag(nonce, aad, &mut body).unwrap();
    sealed.extend_from_slice(&[0x66; NONCE_BYTES]);
    sealed.extend_from_slice(&body);
    let digest = hex("a954553bcb332d28299fb238a3e49858cfdb995a267d2664db968046f6c26934");
    assert_eq!(provider::sha256(&[&sealed]).to_vec(), digest);
    let commitment = hex("be92b9b069d02bc809d1e69105d2b4dcdcad76d7783a404aec182cae960940a2");
    let opened = sealer(&kek)
        .open(&sealed, &commitment.try_into().unwrap())
        .unwrap();
    assert_eq!(opened.expose(), counting(1025));
}

#[test]
fn lengths_at_the_edges() {
    let ring = ring(&[1]);
    for len in [1, 7, 8, 16, 32, 1023, 1024, 1025, 4096, MATERIAL_BYTES_MAX] {
        let material = Secret::take(counting(len));
        let sealed = ring.seal(&UID, &material).unwrap();
        assert_eq!(sealed.bytes[4], if len <= 1024 { 1 } else { 2 }, "{len}");
        let opened = ring.open(&UID, &sealed.bytes, &sealed.commitment).unwrap();
        assert!(opened.ct_eq(&material), "{len}");
    }
    let empty = ring.seal(&UID, &Secret::copy_of(&[]));
    assert_eq!(empty.unwrap_err(), SealFault::Empty);
    let bytes = MATERIAL_BYTES_MAX + 1;
    let long = ring.seal(&UID, &Secret::take(counting(bytes)));
    assert_eq!(long.unwrap_err(), SealFault::TooLong { bytes });
}

/// Every single-bit change of the sealed bytes, the commitment and the identifier of a key.
#[test]
fn no_altered_bit_opens_a_key() {
    let ring = ring(&[1, 2, 3]);
    let material = Secret::take(counting(32));
    let Sealed {
        bytes, commitment, ..
    } = ring.seal(&UID, &material).unwrap();
    ring.open(&UID, &bytes, &commitment).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(
            ring.open(&UID, &altered, &commitment).is_err(),
            "sealed bit {bit}"
        );
    }
    for bit in 0..256 {
        let mut altered = commitment;
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = ring.open(&UID, &bytes, &altered).unwrap_err();
        assert_eq!(
            refused,
            OpenFault::CommitmentMismatch,
            "commitment bit {bit}"
        );
    }
    for bit in 0..128 {
        let mut altered = *UID.as_bytes();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = ring
            .open(&Uid::from_bytes(altered), &bytes, &commitment)
            .unwrap_err();
        assert_eq!(refused, OpenFault::Refused, "identifier bit {bit}");
    }
}

#[test]
fn no_truncation_or_extension_opens() {
    let ring = ring(&[1]);
    for len in [32, 1500] {
        let sealed = ring.seal(&UID, &Secret::take(counting(len))).unwrap();
        for cut in 0..sealed.bytes.len() {
            assert!(
                ring.open(&UID, &sealed.bytes[..cut], &sealed.commitment)
                    .is_err(),
                "{cut}"
            );
        }
        for extra in 1..=16 {
            let longer = [&sealed.bytes[..], &vec![0; extra]].concat();
            assert!(
                ring.open(&UID, &longer, &sealed.commitment).is_err(),
                "+{extra}"
            );
        }
    }
}

#[test]
fn another_cluster_and_another_epochs_key_do_not_open() {
    let sealed = ring(&[1]).seal(&UID, &Secret::take(counting(32))).unwrap();
    let other_cluster = Ring::danger_of(
        ClusterId::from_bytes([9; 16]),
        [(Epoch(1), Secret::copy_of(&[1; 32]))],
    );
    let other_key = Ring::danger_of(CLUSTER, [(Epoch(1), Secret::copy_of(&[2; 32]))]);
    for ring in [other_cluster, other_key] {
        let refused = ring.open(&UID, &sealed.bytes, &sealed.commitment);
        assert_eq!(refused.unwrap_err(), OpenFault::Refused);
    }
    let later = ring(&[2]).open(&UID, &sealed.bytes, &sealed.commitment);
    assert_eq!(later.unwrap_err(), OpenFault::EpochNotHeld(Epoch(1)));
}

/// A data key must not come out as if it were the material.
#[test]
fn an_envelope_is_never_read_as_a_key() {
    let ring = ring(&[1]);
    let sealed = ring.seal(&UID, &Secret::take(counting(2000))).unwrap();
    let mut cut = sealed.bytes[..HEAD_BYTES + WRAPPED_DATA_KEY_BYTES].to_vec();
    cut[4] = 1;
    let refused = ring.open(&UID, &cut, &sealed.commitment).unwrap_err();
    // Refused already by the unwrapping, because the form is part of the derivation.
    assert_eq!(refused, OpenFault::Refused);
}

#[test]
fn resealing_is_the_same_on_every_node_and_leaves_the_body_alone() {
    let [one, other] = [ring(&[1, 2]), ring(&[1, 2])];
    for len in [32, 1024, 1025, 5000] {
        let material = Secret::take(counting(len));
        let sealed = ring(&[1]).seal(&UID, &material).unwrap();
        let moved = one.reseal(&UID, &sealed.bytes).unwrap();
        assert_eq!(moved, other.reseal(&UID, &sealed.bytes).unwrap());
        assert_eq!(sealed_epoch(&moved), Some(Epoch(2)));
        assert_eq!(
            one.reseal(&UID, &moved).unwrap(),
            moved,
            "in the current epoch already"
        );
        if len > DIRECT_BYTES_MAX {
            let body = HEAD_BYTES + WRAPPED_DATA_KEY_BYTES;
            assert_eq!(moved[body..], sealed.bytes[body..]);
        }
        // The commitment in the ledger still fits, without the old epoch's key too.
        let opened = ring(&[2]).open(&UID, &moved, &sealed.commitment).unwrap();
        assert!(opened.ct_eq(&material));
    }
}

#[test]
fn equal_keys_seal_to_different_bytes_and_commitments() {
    let ring = ring(&[1]);
    let [a, b] = [(); 2].map(|()| ring.seal(&UID, &Secret::copy_of(&[7; 32])).unwrap());
    assert_ne!(a.bytes, b.bytes);
    assert_ne!(a.commitment, b.commitment);
}

proptest! {
    #[test]
    fn what_was_sealed_opens(
        material in prop::collection::vec(any::<u8>(), 1..3000),
        uid: [u8; 16],
        epoch in 1u32..200,
    ) {
        let (ring, uid) = (ring(&[epoch]), Uid::from_bytes(uid));
        let material = Secret::take(material);
        let sealed = ring.seal(&uid, &material).unwrap();
        prop_assert_eq!(sealed.epoch, Epoch(epoch));
        prop_assert_eq!(sealed_epoch(&sealed.bytes), Some(Epoch(epoch)));
        let opened = ring.open(&uid, &sealed.bytes, &sealed.commitment).unwrap();
        prop_assert!(opened.ct_eq(&material));
    }

    #[test]
    fn no_altered_bit_opens_a_large_object(len in 1025usize..3000, at: prop::sample::Index) {
        let ring = ring(&[1, 2, 3]);
        let sealed = ring.seal(&UID, &Secret::take(counting(len))).unwrap();
        let mut altered = sealed.bytes.clone();
        let bit = at.index(altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(ring.open(&UID, &altered, &sealed.commitment).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1300)) {
        let ring = ring(&[1]);
        prop_assert!(ring.open(&UID, &bytes, &[0; 32]).is_err());
        prop_assert!(ring.reseal(&UID, &bytes).is_err());
    }
}
