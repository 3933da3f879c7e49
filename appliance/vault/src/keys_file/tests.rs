//! Every way a copy can be damaged, and which copy wins.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::disk::NodeDisk;

fn body() -> Body {
    Body {
        cluster: ClusterId::from_bytes([3; 16]),
        next_slot: 2,
        slots: vec![SlotRecord::of_another_version(crate::SlotId(1), 200)],
        ring: BTreeMap::from([(1, vec![7; 40].into())]),
        config: vec![8; 40],
        secrets: BTreeMap::from([("a".to_owned(), vec![9; 40].into())]),
        candidates: vec![(2, vec![6; 40].into())],
        retired_to: Some(0),
        awaits_ring: false,
    }
}

fn key() -> Secret {
    Secret::copy_of(&[5; 32])
}

fn copy(sequence: u64) -> Vec<u8> {
    lay_out(sequence, &body(), &key(), BLOCK_BYTES).unwrap()
}

#[test]
fn a_copy_comes_back_and_knows_its_author() {
    let bytes = copy(9);
    assert_eq!(bytes.len(), BLOCK_BYTES);
    let parsed = WholeCopy::parse(&bytes).unwrap();
    assert_eq!((parsed.sequence, parsed.body), (9, body()));
    let parsed = WholeCopy::parse(&bytes).unwrap();
    assert!(parsed.is_authentic(&key()));
    assert!(!parsed.is_authentic(&Secret::copy_of(&[6; 32])));
}

/// The body as releases before the cluster wrote it: without the three fields that came then.
#[test]
fn a_folder_from_before_clusters_loads() {
    #[derive(Serialize)]
    struct OldBody {
        cluster: ClusterId,
        next_slot: u32,
        slots: Vec<SlotRecord>,
        ring: BTreeMap<u32, serde_bytes::ByteBuf>,
        #[serde(with = "serde_bytes")]
        config: Vec<u8>,
        secrets: BTreeMap<String, serde_bytes::ByteBuf>,
    }
    let new = Body {
        ring: BTreeMap::from([(3, vec![7; 40].into()), (4, vec![8; 40].into())]),
        candidates: Vec::new(),
        retired_to: None,
        ..body()
    };
    let body = new.clone();
    let old = OldBody {
        cluster: body.cluster,
        next_slot: body.next_slot,
        slots: body.slots,
        ring: body.ring,
        config: body.config,
        secrets: body.secrets,
    };
    let loaded: Body = codec::from_slice(&codec::to_vec(&old)).unwrap();
    assert_eq!(loaded, new);
    // The only node of a cluster has every epoch that it did not retire.
    assert_eq!(loaded.retired_to(), Epoch(2));
}

/// The bytes of a body of today, pinned: what is on a disk now must load in every later release.
#[test]
fn the_body_has_its_golden_bytes() {
    let bytes = codec::to_vec(&body());
    let digest = domain::Hash::from_bytes(provider::sha256(&[&bytes])).to_string();
    assert_eq!(
        digest, "6c447b755612495742fd48a15a20768d02c0cab740fb5b739cd2abb5e93983e3",
        "the format of the keys file changed; add a field with a default instead"
    );
    assert_eq!(codec::from_slice::<Body>(&bytes).unwrap(), body());
}

/// An attacker can make the digest right again, but not the HMAC.
#[test]
fn an_edited_copy_with_a_right_digest_is_not_authentic() {
    let bytes = copy(9);
    let content = HEAD_BYTES + codec::to_vec(&body()).len() + DIGEST_BYTES;
    let mut whole = 0;
    for at in 12..content {
        let mut edited = bytes[..bytes.len() - DIGEST_BYTES].to_vec();
        edited[at] ^= 1;
        edited.extend(provider::sha256(&[&edited.clone()]));
        // Many edits make the body unreadable; the others must fail the HMAC.
        if let Ok(copy) = WholeCopy::parse(&edited) {
            whole += 1;
            assert!(!copy.is_authentic(&key()), "byte {at}");
        }
    }
    assert!(
        whole > 100,
        "only {whole} edits were readable: the test tests nothing"
    );
}

#[test]
fn every_single_bit_flip_of_a_copy_is_noticed() {
    let bytes = copy(9);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(WholeCopy::parse(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_and_extension_of_a_copy_is_noticed() {
    let bytes = copy(9);
    for cut in 0..bytes.len() {
        assert!(WholeCopy::parse(&bytes[..cut]).is_err(), "cut to {cut}");
    }
    for extra in [1, 31, 32, 4096] {
        let longer = [&bytes[..], &vec![0; extra]].concat();
        assert!(WholeCopy::parse(&longer).is_err(), "longer by {extra}");
    }
}

/// A write that stopped anywhere: the beginning is new, the rest is old.
#[test]
fn every_torn_write_leaves_the_other_copy_in_force() {
    let (old, new) = (copy(9), copy(10));
    for torn_at in 0..=old.len() {
        let torn = [&new[..torn_at], &old[torn_at..]].concat();
        let (_, chosen) = choose(Some(&torn), Some(&old)).unwrap();
        // Nothing written: old. All written, or all that differs: new. Between: the other copy.
        assert!(chosen.sequence == 9 || torn == new, "torn at {torn_at}");
        assert!(WholeCopy::parse(&torn).is_err() || torn == old || torn == new);
    }
}

#[test]
fn the_newer_whole_copy_wins() {
    let damaged = copy(99)[1..].to_vec();
    for (a, b, winner) in [
        (Some(copy(1)), Some(copy(2)), Ok((1, 2))),
        (Some(copy(2)), Some(copy(1)), Ok((0, 2))),
        (Some(copy(2)), Some(copy(2)), Ok((0, 2))),
        (Some(copy(2)), None, Ok((0, 2))),
        (None, Some(copy(2)), Ok((1, 2))),
        (Some(damaged.clone()), Some(copy(2)), Ok((1, 2))),
        (Some(copy(2)), Some(damaged.clone()), Ok((0, 2))),
        (
            Some(damaged.clone()),
            None,
            Err([CopyFault::Foreign, CopyFault::Missing]),
        ),
        (None, None, Err([CopyFault::Missing, CopyFault::Missing])),
    ] {
        let chosen = choose(a.as_deref(), b.as_deref());
        assert_eq!(chosen.map(|(index, copy)| (index, copy.sequence)), winner);
    }
}

#[test]
fn both_copies_damaged_is_a_fault_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = || KeysFolder::load(Box::new(NodeDisk), folder.path()).map(drop);
    assert!(matches!(load(), Err(KeysFileFault::Absent(_))));
    let damage: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |_| Vec::new(),
        |bytes| bytes[..100].to_vec(),
        |mut bytes| {
            bytes[50] ^= 1;
            bytes
        },
        |bytes| vec![0; bytes.len()],
    ];
    for a in damage {
        for b in damage {
            std::fs::write(folder.path().join("keys.a"), a(copy(1))).unwrap();
            std::fs::write(folder.path().join("keys.b"), b(copy(2))).unwrap();
            let fault = load().unwrap_err();
            assert!(matches!(fault, KeysFileFault::BothDamaged { .. }));
            let text = fault.to_string();
            assert!(
                text.contains("keys.a is ") && text.contains("keys.b is "),
                "{text}"
            );
        }
    }
}

#[test]
fn after_a_change_both_copies_are_new_and_as_long_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let mut large = body();
    large
        .secrets
        .insert("large".into(), vec![0xEE; 10_000].into());
    let mut keys = KeysFolder::found(Box::new(NodeDisk), folder.path(), &large, &key()).unwrap();
    assert_eq!(read("keys.a"), read("keys.b"));
    let long = read("keys.a").len();
    for _ in 0..3 {
        keys.write(&body(), &key()).unwrap();
        assert_eq!(read("keys.a"), read("keys.b"));
        // The new bytes cover the old ones to the end.
        assert_eq!(read("keys.a").len(), long);
        assert!(
            !read("keys.a")
                .windows(64)
                .any(|window| window == [0xEE; 64])
        );
    }
}

#[test]
fn more_than_a_copy_can_hold_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut keys = KeysFolder::found(Box::new(NodeDisk), folder.path(), &body(), &key()).unwrap();
    let mut huge = body();
    huge.secrets
        .insert("huge".into(), vec![1; COPY_BYTES_MAX].into());
    let fault = keys.write(&huge, &key()).unwrap_err();
    assert!(matches!(fault, KeysWriteFault::TooLarge { .. }) && !fault.is_in_force());
    let (_, copy) = KeysFolder::load(Box::new(NodeDisk), folder.path()).unwrap();
    assert_eq!(copy.body, body());
}
