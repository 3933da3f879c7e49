//! What is altered, cut, meant for others or written otherwise does not open.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::spki::p384_spki;
use proptest::prelude::*;
use serde::Serialize;

const CLUSTER: ClusterId = ClusterId::from_bytes([7; 16]);
const KEKS: EnvelopePurpose = EnvelopePurpose::Keks;

fn key() -> (AgreementKey, Vec<u8>) {
    let key = AgreementKey::generate().unwrap();
    let spki = p384_spki(key.point());
    (key, spki)
}

fn entry<'a>(tag: u8, first: &'a [u8], second: &'a [u8]) -> Entry<'a> {
    let parts = [first, second];
    Entry { tag, parts }
}

fn sealed_for(spki: &[u8]) -> Vec<u8> {
    let entries = [entry(1, b"head", b"the canary in the envelope")];
    seal(KEKS, &CLUSTER, spki, &entries).unwrap()
}

#[test]
fn entries_come_back_in_their_order() {
    let (own, spki) = key();
    let large = vec![0x5A; 10_000];
    let entries = [
        entry(1, b"a", b"b"),
        entry(255, b"", b""),
        entry(1, &large, b""),
    ];
    let bytes = seal(KEKS, &CLUSTER, &spki, &entries).unwrap();
    let opened = open(KEKS, &CLUSTER, &own, &bytes).unwrap();
    let expected: [(u8, &[u8]); 3] = [(1, b"ab"), (255, b""), (1, &large)];
    assert_eq!(opened.entries().unwrap(), expected);
    let empty = seal(KEKS, &CLUSTER, &spki, &[]).unwrap();
    let opened = open(KEKS, &CLUSTER, &own, &empty).unwrap();
    assert_eq!(opened.entries().unwrap(), []);
}

#[test]
fn equal_content_makes_unequal_envelopes() {
    let (_, spki) = key();
    let parse = |bytes: Vec<u8>| codec::from_slice::<Envelope>(&bytes).unwrap();
    let [a, b] = [sealed_for(&spki), sealed_for(&spki)].map(parse);
    assert_ne!(a.ephemeral, b.ephemeral);
    assert_ne!(a.wrapped, b.wrapped);
    assert_ne!(a.body, b.body);
}

#[test]
fn every_bit_flip_is_refused() {
    let (own, spki) = key();
    let bytes = sealed_for(&spki);
    open(KEKS, &CLUSTER, &own, &bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(KEKS, &CLUSTER, &own, &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (own, spki) = key();
    let bytes = sealed_for(&spki);
    for cut in 0..bytes.len() {
        let fault = open(KEKS, &CLUSTER, &own, &bytes[..cut]).err();
        assert_eq!(fault, Some(EnvelopeFault::Malformed), "cut to {cut}");
    }
    for extra in [1, 16, 4096] {
        let longer = [&bytes[..], &vec![0; extra]].concat();
        let fault = open(KEKS, &CLUSTER, &own, &longer).err();
        assert_eq!(fault, Some(EnvelopeFault::Malformed), "longer by {extra}");
    }
}

#[test]
fn only_the_recipient_opens_it_and_only_for_its_purpose() {
    let (own, spki) = key();
    let bytes = sealed_for(&spki);
    let (other, _) = key();
    let fault = |purpose, cluster: &ClusterId, own: &AgreementKey| {
        open(purpose, cluster, own, &bytes).err().unwrap()
    };
    assert_eq!(fault(KEKS, &CLUSTER, &other), EnvelopeFault::Refused);
    assert_eq!(
        fault(EnvelopePurpose::Shared, &CLUSTER, &own).to_string(),
        "the envelope holds object KEKs; shared CA keys were expected"
    );
    let elsewhere = ClusterId::from_bytes([8; 16]);
    assert!(matches!(
        fault(KEKS, &elsewhere, &own),
        EnvelopeFault::ForeignCluster { .. }
    ));
}

/// What stands in the clear is bound to the key: rewriting it does not open another door.
#[test]
fn a_rewritten_header_is_refused() {
    let (own, spki) = key();
    let rewrite = |change: fn(&mut Envelope)| {
        let mut envelope: Envelope = codec::from_slice(&sealed_for(&spki)).unwrap();
        change(&mut envelope);
        codec::to_vec(&envelope)
    };
    let elsewhere = ClusterId::from_bytes([8; 16]);
    let bytes = rewrite(|e| e.cluster = ClusterId::from_bytes([8; 16]));
    let fault = open(KEKS, &elsewhere, &own, &bytes).err();
    assert_eq!(fault, Some(EnvelopeFault::Refused));
    let bytes = rewrite(|e| e.purpose = EnvelopePurpose::Shared);
    let fault = open(EnvelopePurpose::Shared, &CLUSTER, &own, &bytes).err();
    assert_eq!(fault, Some(EnvelopeFault::Refused));
    let bytes = rewrite(|e| e.v = 2);
    let fault = open(KEKS, &CLUSTER, &own, &bytes).err();
    assert_eq!(fault, Some(EnvelopeFault::Malformed));
    // A point that is not on the curve, and none at all.
    let bytes = rewrite(|e| e.ephemeral[96] ^= 1);
    let fault = open(KEKS, &CLUSTER, &own, &bytes).err();
    assert_eq!(fault, Some(EnvelopeFault::Refused));
    let bytes = rewrite(|e| e.ephemeral.truncate(49));
    let fault = open(KEKS, &CLUSTER, &own, &bytes).err();
    assert_eq!(fault, Some(EnvelopeFault::Malformed));
}

/// CBOR can say the same in several ways; only ours opens.
#[test]
fn another_encoding_of_the_same_envelope_is_refused() {
    #[derive(Serialize)]
    struct Longer<'a> {
        #[serde(flatten)]
        envelope: &'a Envelope,
        note: u8,
    }
    let (own, spki) = key();
    let bytes = sealed_for(&spki);
    let envelope: Envelope = codec::from_slice(&bytes).unwrap();
    let longer = codec::to_vec(&Longer {
        envelope: &envelope,
        note: 0,
    });
    assert!(open(KEKS, &CLUSTER, &own, &longer).is_err());
    // The version as a two-byte integer: the first value of the map, after its one-letter key.
    let at = bytes.iter().position(|byte| *byte == b'v').unwrap() + 1;
    assert_eq!(bytes[at], VERSION);
    let wide = [&bytes[..at], &[0x18, VERSION], &bytes[at + 1..]].concat();
    assert_eq!(codec::from_slice::<Envelope>(&wide).unwrap().v, VERSION);
    let fault = open(KEKS, &CLUSTER, &own, &wide).err();
    assert_eq!(fault, Some(EnvelopeFault::Malformed));
}

#[test]
fn recipients_that_are_no_p384_keys_are_refused() {
    let (_, spki) = key();
    for bad in [&spki[1..], &[], &[0; 120]] {
        let refused = seal(KEKS, &CLUSTER, bad, &[]).unwrap_err();
        assert!(matches!(
            refused,
            EnvelopeFault::Recipient(SpkiFault::Form(_))
        ));
    }
    let mut off_curve = spki.clone();
    off_curve[119] ^= 1;
    let refused = seal(KEKS, &CLUSTER, &off_curve, &[]).unwrap_err();
    assert!(matches!(
        refused,
        EnvelopeFault::Recipient(SpkiFault::Point(_))
    ));
}

#[test]
fn more_than_a_message_holds_is_refused_on_both_sides() {
    let (own, spki) = key();
    let large = vec![0; ENVELOPE_BYTES_MAX];
    let refused = seal(KEKS, &CLUSTER, &spki, &[entry(1, &large, b"")]);
    assert!(matches!(refused, Err(EnvelopeFault::TooLarge(_))));
    // It fits before it is wrapped up, and not afterwards.
    let refused = seal(KEKS, &CLUSTER, &spki, &[entry(1, &large[5..], b"")]);
    assert!(matches!(refused, Err(EnvelopeFault::TooLarge(_))));
    let refused = open(KEKS, &CLUSTER, &own, &vec![0; ENVELOPE_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(EnvelopeFault::TooLarge(_))));
}

#[test]
fn nothing_readable_is_in_an_envelope() {
    let (_, spki) = key();
    let bytes = sealed_for(&spki);
    let canary = b"the canary in the envelope";
    assert!(
        !bytes
            .windows(8)
            .any(|window| canary.windows(8).any(|c| c == window))
    );
}

proptest! {
    /// Whoever knows the recipient's key can make an envelope with any content.
    #[test]
    fn any_content_is_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..64)) {
        let opened = Opened(Secret::copy_of(&content));
        if let Ok(entries) = opened.entries() {
            let bytes: usize = entries.iter().map(|(_, b)| ENTRY_HEAD_BYTES + b.len()).sum();
            prop_assert_eq!(bytes, content.len());
        }
    }

    #[test]
    fn any_bytes_are_no_envelope(bytes: Vec<u8>) {
        let (own, _) = key();
        prop_assert!(open(KEKS, &CLUSTER, &own, &bytes).is_err());
    }
}
