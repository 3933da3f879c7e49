//! The ledger as a whole: segments and tree agree, also after failures and restarts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use super::*;
use crate::disk::{Failure, MemDisk, StdDisk};
use crate::tree::{verify_consistency, verify_inclusion};

const CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 4096,
    record_bytes_max: 100,
};

fn open(disk: &MemDisk, floor: Option<&Checkpoint>) -> Result<(Ledger, Recovery), OpenError> {
    Ledger::open(Arc::new(disk.clone()), Path::new("node/log"), CONFIG, floor)
}

fn records(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(|n| format!("record {n}").into_bytes()).collect()
}

fn root_of(records: &[Vec<u8>]) -> Hash {
    let mut tree = Frontier::new();
    records
        .iter()
        .for_each(|record| tree.push(leaf_hash(record), &mut |_| ()));
    tree.root()
}

#[test]
fn proofs_hold_across_restarts() {
    let disk = MemDisk::new();
    let all = records(0..500);
    let (mut ledger, recovery) = open(&disk, None).unwrap();
    assert_eq!(
        recovery,
        Recovery {
            size: 0,
            torn_tail: None
        }
    );
    for batch in all.chunks(7) {
        ledger.append(batch).unwrap();
    }
    assert_eq!(ledger.sync().unwrap(), 500);
    let checkpoint = ledger.checkpoint("origin");
    drop(ledger);
    let (ledger, recovery) = open(&disk, Some(&checkpoint)).unwrap();
    assert_eq!(
        (recovery.size, ledger.size(), ledger.durable()),
        (500, 500, 500)
    );
    assert_eq!(ledger.root(), root_of(&all));
    let root = ledger.root_at(321).unwrap();
    assert_eq!(root, root_of(&all[..321]));
    let proof = ledger.inclusion(123, 321).unwrap();
    let leaf = leaf_hash(&ledger.record(123).unwrap());
    verify_inclusion(&leaf, 123, 321, &proof, &root).unwrap();
    let proof = ledger.consistency(321, 500).unwrap();
    verify_consistency(321, &root, 500, &checkpoint.root, &proof).unwrap();
}

#[test]
fn the_checkpoint_is_the_floor_and_its_root_must_hold() {
    let disk = MemDisk::new();
    let (mut ledger, _) = open(&disk, None).unwrap();
    ledger.append(&records(0..10)).unwrap();
    ledger.sync().unwrap();
    let good = ledger.checkpoint("origin");
    ledger.append(&records(10..12)).unwrap();
    drop(ledger);
    open(&disk, Some(&good)).unwrap();
    let kind_with = |checkpoint: &Checkpoint| match open(&disk, Some(checkpoint)) {
        Err(OpenError::Corrupt(corruption)) => corruption.kind,
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    };
    let other_root = Checkpoint {
        root: Hash([1; 32]),
        ..good.clone()
    };
    assert_eq!(kind_with(&other_root), CorruptionKind::CheckpointDiffers);
    let empty = Checkpoint {
        size: 0,
        ..good.clone()
    };
    assert_eq!(kind_with(&empty), CorruptionKind::CheckpointDiffers);
    let later = Checkpoint { size: 13, ..good };
    assert_eq!(kind_with(&later), CorruptionKind::BelowFloor { floor: 13 });
}

/// Records valid in themselves but exchanged for others, checksums and all, have another root.
#[test]
fn a_rewritten_log_does_not_fit_its_checkpoint() {
    let disk = MemDisk::new();
    let write = |disk: &MemDisk, changed: &[u8]| {
        let (mut ledger, _) = open(disk, None).unwrap();
        ledger.append(&[b"a", changed, b"c"]).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint("origin")
    };
    let checkpoint = write(&disk, b"b");
    let forged = MemDisk::new();
    write(&forged, b"B");
    assert!(open(&disk, Some(&checkpoint)).is_ok());
    assert!(matches!(
        open(&forged, Some(&checkpoint)),
        Err(OpenError::Corrupt(_))
    ));
}

#[test]
fn a_ledger_is_never_purged() {
    let disk = MemDisk::new();
    let (mut log, _) =
        Segments::open(Arc::new(disk.clone()), Path::new("node/log"), CONFIG, 0).unwrap();
    log.append(&records(0..900)).unwrap();
    log.sync().unwrap();
    log.purge_before(500).unwrap();
    let first = log.first();
    assert!(first > 0);
    let Err(OpenError::Corrupt(corruption)) = open(&disk, None) else {
        panic!("it was opened")
    };
    assert_eq!(
        corruption.kind,
        CorruptionKind::MissingSegment { next: first }
    );
}

#[test]
fn after_a_fault_tree_and_records_still_agree() {
    for call in 0..40 {
        for failure in [Failure::Io, Failure::Full, Failure::Short, Failure::Torn] {
            let disk = MemDisk::new();
            let (mut ledger, _) = open(&disk, None).unwrap();
            ledger.append(&records(0..5)).unwrap();
            ledger.sync().unwrap();
            let floor = ledger.checkpoint("origin");
            disk.fail_at(call, failure);
            for batch in records(5..400).chunks(50) {
                if ledger.append(batch).is_err() || ledger.sync().is_err() {
                    break;
                }
            }
            let all = records(0..ledger.size());
            assert_eq!(ledger.root(), root_of(&all));
            assert_eq!(ledger.reader().size(), ledger.size());
            drop(ledger);
            disk.fail_at(u64::MAX / 2, failure);
            let (ledger, recovery) = open(&disk, Some(&floor)).unwrap();
            assert_eq!(
                ledger.root(),
                root_of(&records(0..recovery.size)),
                "call {call}"
            );
        }
    }
}

/// The same on the real file system.
#[test]
fn a_real_folder_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let all = records(0..3_000);
    for _ in 0..3 {
        let (mut ledger, recovery) = Ledger::open(Arc::new(StdDisk), &path, CONFIG, None).unwrap();
        let done = usize::try_from(recovery.size).unwrap();
        for batch in all[done..done + 1_000].chunks(100) {
            ledger.append(batch).unwrap();
            ledger.sync().unwrap();
        }
        assert_eq!(ledger.root(), root_of(&all[..done + 1_000]));
    }
    assert!(std::fs::read_dir(&path).unwrap().count() > 10);
    // A torn tail on a real file is cut.
    let last = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let last = last
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end] ^= 1;
    std::fs::write(&last, bytes).unwrap();
    let (ledger, recovery) = Ledger::open(Arc::new(StdDisk), &path, CONFIG, None).unwrap();
    assert_eq!(recovery.torn_tail.unwrap().index, 2_999);
    assert_eq!(ledger.root(), root_of(&all[..2_999]));
}
