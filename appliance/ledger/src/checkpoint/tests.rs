//! Checkpoints and signed notes, with a published vector and real keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::disk::{Disk as _, Failure, MemDisk};
use crate::tree::leaf_hash;

struct TestSigner(NoteKey, SigningKey);

impl TestSigner {
    fn new(name: &str, kind: SignatureKind, seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        Self(
            NoteKey::new(name, kind, secret.verifying_key().to_bytes()).unwrap(),
            secret,
        )
    }
}

impl NoteSigner for TestSigner {
    fn key(&self) -> &NoteKey {
        &self.0
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.1.sign(message).to_bytes())
    }
}

const ORIGIN: &str = "strongroom/3f2a/lineage-1";

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 42,
        root: leaf_hash(b"x"),
    }
}

/// The example of the signed-note package of Go (`golang.org/x/mod/sumdb/note`), type 0x01.
#[test]
fn a_note_of_the_go_implementation_verifies() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGNATURE: &str = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf\
                             qdngotpRZb6KE6RyyBwJnAM=";
    let note = format!(
        "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                — PeterNeumann {SIGNATURE}\n"
    );
    let key = NoteKey::parse_vkey(vkey).unwrap();
    assert_eq!(key.to_vkey(), vkey);
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(
        parsed.verify(std::slice::from_ref(&key)).unwrap()[0].key,
        key
    );
    let changed = note.replace("answer", "Answer");
    let outcome = Note::parse(&changed).unwrap().verify(&[key]);
    assert_eq!(
        outcome,
        Err(NoteError::BadSignature("PeterNeumann".to_owned()))
    );
}

#[test]
fn a_signed_and_cosigned_checkpoint_opens() {
    let log = TestSigner::new("strongroom/3f2a/node-1", SignatureKind::Log, 1);
    let peer = TestSigner::new("strongroom/3f2a/node-2", SignatureKind::Cosignature, 2);
    let note = checkpoint().sign(&[&log]).unwrap();
    assert!(note.starts_with(&checkpoint().text()));
    let cosigned = Checkpoint::cosign(&note, &peer, 1_700_000_000).unwrap();
    let keys = [log.0.clone(), peer.0.clone()];
    let open = Checkpoint::open(&cosigned, &keys).unwrap();
    assert_eq!(open.get(), &checkpoint());
    let times: Vec<_> = open
        .signatures()
        .iter()
        .map(|signed| signed.unix_seconds)
        .collect();
    assert_eq!(times, [None, Some(1_700_000_000)]);
    // Unknown keys are passed over; a cosignature alone is not enough.
    assert_eq!(
        Checkpoint::open(&cosigned, &keys[..1])
            .unwrap()
            .signatures()
            .len(),
        1
    );
    assert_eq!(
        Checkpoint::open(&cosigned, &keys[1..]),
        Err(NoteError::NoKnownKey)
    );
    // The same line twice is still one signer.
    let twice = Checkpoint::cosign(&cosigned, &peer, 1_700_000_001).unwrap();
    assert_eq!(
        Checkpoint::open(&twice, &keys).unwrap().signatures().len(),
        2
    );
    assert_eq!(Checkpoint::claimed_keys(&note, &keys).unwrap(), [&keys[0]]);
}

#[test]
fn every_bit_of_a_signed_checkpoint_counts() {
    let log = TestSigner::new("log", SignatureKind::Log, 1);
    let peer = TestSigner::new("peer", SignatureKind::Cosignature, 2);
    let note = checkpoint().sign(&[&log]).unwrap();
    let note = Checkpoint::cosign(&note, &peer, 7).unwrap();
    let keys = [log.0.clone(), peer.0.clone()];
    for bit in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        if let Ok(open) = Checkpoint::open(&flipped, &keys) {
            // Only a signer's line may get lost (its name is then unknown), never the text.
            assert_eq!(open.get(), &checkpoint());
            assert_eq!(open.signatures().len(), 1, "bit {bit}");
        }
    }
}

#[test]
fn only_the_one_form_of_a_checkpoint_is_read() {
    let root = leaf_hash(b"x").to_base64();
    for text in [
        format!("\n42\n{root}\n"),
        format!("o\n042\n{root}\n"),
        format!("o\n+42\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n42\n{}\n", root.trim_end_matches('=')),
        format!("o\n42\n{root}"),
        format!("o\n42\n{root}\nextension\n"),
        "o\n42\nAAAA\n".to_owned(),
        "o\n".to_owned(),
        String::new(),
    ] {
        assert!(
            matches!(Checkpoint::parse(&text), Err(NoteError::Checkpoint(_))),
            "{text:?}"
        );
    }
    let largest = Checkpoint {
        size: u64::MAX,
        ..checkpoint()
    };
    assert_eq!(Checkpoint::parse(&largest.text()).unwrap(), largest);
    for note in [
        "",
        "a\n",
        "a\n\n",
        "a\n\n— n\n",
        "a\n\n— n AAAA\n",
        "a\n\n- n AAAAAAA=\n",
    ] {
        assert!(
            matches!(Checkpoint::parse_unverified(note), Err(NoteError::Form(_))),
            "{note:?}"
        );
    }
}

#[test]
fn what_must_not_be_signed_is_refused() {
    let log = TestSigner::new("log", SignatureKind::Log, 1);
    let peer = TestSigner::new("peer", SignatureKind::Cosignature, 2);
    let broken = TestSigner(log.0.clone(), SigningKey::from_bytes(&[9; 32]));
    for origin in ["", "a\nb", "a\tb"] {
        let bad = Checkpoint {
            origin: origin.to_owned(),
            ..checkpoint()
        };
        assert!(
            matches!(bad.sign(&[&log]), Err(SignFault::Unsignable(_))),
            "{origin:?}"
        );
    }
    assert!(matches!(
        checkpoint().sign(&[]),
        Err(SignFault::Unsignable(_))
    ));
    assert!(matches!(
        checkpoint().sign(&[&peer]),
        Err(SignFault::Kind(_))
    ));
    assert!(matches!(
        checkpoint().sign(&[&broken]),
        Err(SignFault::Broken(_))
    ));
    let note = checkpoint().sign(&[&log]).unwrap();
    assert!(matches!(
        Checkpoint::cosign(&note, &log, 1),
        Err(SignFault::Kind(_))
    ));
    for name in ["", "a b", "a+b", "a\nb"] {
        let key = NoteKey::new(name, SignatureKind::Log, log.0.public());
        assert_eq!(key, Err(NoteKeyError::Name(name.to_owned())));
    }
    // The neutral element: every signature would verify under it.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(matches!(
        NoteKey::new("n", SignatureKind::Log, weak),
        Err(NoteKeyError::Point(_))
    ));
}

#[test]
fn the_file_holds_the_old_or_the_new_note_after_every_failure_and_crash() {
    let log = TestSigner::new("log", SignatureKind::Log, 1);
    let keys = [log.0.clone()];
    let old = checkpoint().sign(&[&log]).unwrap();
    let new = Checkpoint {
        size: 43,
        ..checkpoint()
    }
    .sign(&[&log])
    .unwrap();
    let path = Path::new("d/checkpoint");
    let (mut call, mut finished) = (0, false);
    while !finished {
        for failure in [Failure::Io, Failure::Full, Failure::Short, Failure::Torn] {
            let disk = MemDisk::new();
            let file = CheckpointFile::new(Arc::new(disk.clone()), path);
            assert_eq!(file.load(&keys), Ok(None));
            file.store(&old).unwrap();
            disk.fail_at(call, failure);
            let stored = file.store(&new);
            finished = !disk.has_failed();
            for kept in 0..4 {
                let mut picks = kept;
                let after = disk.crash(&mut |n| {
                    picks = picks * 5 + 3;
                    picks % n
                });
                let file = CheckpointFile::new(Arc::new(after), path);
                let note = file.load_note().unwrap().unwrap();
                assert!(
                    note == new || (note == old && stored.is_err()),
                    "call {call}"
                );
                file.load(&keys).unwrap().unwrap();
            }
        }
        call += 1;
    }
    assert!(call > 5);
    let disk = MemDisk::new();
    disk.put(path, b"not a note");
    let file = CheckpointFile::new(Arc::new(disk.clone()), path);
    assert!(matches!(
        file.load(&keys),
        Err(CheckpointFileError::Note { .. })
    ));
    disk.remove(path).unwrap();
    assert_eq!(file.load(&keys), Ok(None));
}
