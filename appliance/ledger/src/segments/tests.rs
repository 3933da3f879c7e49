//! Recovery and failure, exhaustively: every cut, every flipped bit, every call that can fail, and
//! crashes that keep any subset of what was not synced.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{Failure, MemDisk};

const DIR: &str = "d";
/// Small enough that a handful of records makes several segments.
const SMALL: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 160,
    record_bytes_max: 40,
};

fn open(disk: &MemDisk, floor: u64) -> Result<(Segments, Recovery), OpenError> {
    Segments::open(Arc::new(disk.clone()), Path::new(DIR), SMALL, floor)
}

fn records(log: &Segments) -> Vec<Vec<u8>> {
    log.iter_from(log.first()).map(Result::unwrap).collect()
}

fn record(n: u64) -> Vec<u8> {
    let n = n as usize;
    (0..n * 7 % 37 + 3)
        .map(|i| (n * 31 + i * 5 + 1) as u8)
        .collect()
}

fn some_records(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(record).collect()
}

/// Ten records over several segments, synced one by one, so that every frame but the last is proven
/// durable by the one after it.
fn small_log() -> (MemDisk, Vec<Vec<u8>>) {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, 0).unwrap();
    let all = some_records(0..10);
    for record in &all {
        log.append(std::slice::from_ref(record)).unwrap();
        log.sync().unwrap();
    }
    assert!(disk.files().len() >= 3, "{:?}", disk.files().keys());
    (disk, all)
}

fn segment_files(disk: &MemDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files()
        .into_iter()
        .filter(|(path, _)| path.extension().unwrap() == "seg")
        .collect()
}

/// The one law of recovery: what comes out is the same records, or a reported torn tail at or after
/// the floor, or a named corruption. Returns which, and checks that the opened log goes on.
fn check_recovery(disk: &MemDisk, all: &[Vec<u8>], floor: u64, what: &str) -> &'static str {
    match open(disk, floor) {
        Err(OpenError::Corrupt(corruption)) => {
            assert!(!corruption.to_string().is_empty());
            "corrupt"
        }
        Err(other) => panic!("{what}: {other}"),
        Ok((mut log, recovery)) => {
            let found = records(&log);
            assert_eq!(found.len() as u64, recovery.size, "{what}");
            assert!(recovery.size >= floor, "{what}: below the floor");
            assert_eq!(found[..], all[..found.len()], "{what}: other records");
            log.append(&[b"later"]).unwrap();
            log.sync().unwrap();
            drop(log);
            let (log, again) = open(disk, 0).unwrap();
            assert_eq!(again.torn_tail, None, "{what}: a cut tail came back");
            assert_eq!(records(&log).last().unwrap(), b"later", "{what}");
            match (found.len() == all.len(), recovery.torn_tail) {
                (true, None) => "same",
                (_, Some(torn)) => {
                    assert_eq!(torn.index, recovery.size, "{what}");
                    "torn"
                }
                (false, None) => "shorter",
            }
        }
    }
}

#[test]
fn every_single_bit_flip_is_seen() {
    let (disk, all) = small_log();
    let files = segment_files(&disk);
    let (mut flips, mut torn) = (0, 0);
    for (position, (path, bytes)) in files.iter().enumerate() {
        let is_last = position + 1 == files.len();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for floor in [0, all.len() as u64] {
                disk.put(path, &flipped);
                let what = format!("{} bit {bit} floor {floor}", path.display());
                let outcome = check_recovery(&disk, &all, floor, &what);
                // A flip in the zeros after the last record may be cut off; nothing else goes
                // unnoticed, and only the last record can be taken for a torn tail.
                assert_ne!(outcome, "shorter", "{what}");
                assert_ne!(outcome, "same", "{what}");
                assert!(outcome == "corrupt" || is_last, "{what}");
                flips += 1;
                torn += u32::from(outcome == "torn");
                files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
                let names: Vec<_> = files.iter().map(|(path, _)| path).collect();
                for (path, _) in segment_files(&disk) {
                    if !names.contains(&&path) {
                        disk.take(path);
                    }
                }
            }
        }
    }
    assert!(flips > 5_000 && torn > 0, "{flips} {torn}");
}

#[test]
fn every_truncation_point_is_seen() {
    let (disk, all) = small_log();
    let files = segment_files(&disk);
    let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
    for (position, (path, bytes)) in files.iter().enumerate() {
        for end in 0..bytes.len() {
            for floor in [0, 5, all.len() as u64] {
                let disk = MemDisk::new();
                files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
                disk.put(path, &bytes[..end]);
                let what = format!("{} cut at {end} floor {floor}", path.display());
                let outcome = check_recovery(&disk, &all, floor, &what);
                let is_last = position + 1 == files.len();
                assert!(
                    is_last || outcome == "corrupt" || outcome == "same",
                    "{what}: {outcome}"
                );
                assert!(
                    floor < 10 || outcome == "corrupt" || outcome == "same",
                    "{what}"
                );
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
    }
    // "shorter" is a cut exactly between two frames of the last segment, above the floor.
    assert!(
        outcomes["corrupt"] > 100 && outcomes["torn"] > 10,
        "{outcomes:?}"
    );
    assert!(outcomes["shorter"] <= 3 * 4, "{outcomes:?}");
}

#[test]
fn missing_exchanged_and_foreign_segments_are_named() {
    let (disk, _) = small_log();
    let files = segment_files(&disk);
    let kind_after = |change: &dyn Fn(&MemDisk), floor| {
        let disk = MemDisk::new();
        files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
        change(&disk);
        match open(&disk, floor) {
            Err(OpenError::Corrupt(corruption)) => corruption.kind,
            other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
        }
    };
    let firsts: Vec<u64> = files
        .iter()
        .map(|(path, _)| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            u64::from_str_radix(name, 16).unwrap()
        })
        .collect();
    let (path, bytes) = &files[1];
    let missing = CorruptionKind::MissingSegment { next: firsts[2] };
    assert_eq!(kind_after(&|disk| drop(disk.take(path)), 0), missing);
    let last = &files.last().unwrap().0;
    let below = CorruptionKind::BelowFloor { floor: 10 };
    assert_eq!(kind_after(&|disk| drop(disk.take(last)), 10), below);
    let none = |disk: &MemDisk| files.iter().for_each(|(path, _)| drop(disk.take(path)));
    assert_eq!(
        kind_after(&none, 1),
        CorruptionKind::BelowFloor { floor: 1 }
    );
    let swapped = |disk: &MemDisk| disk.put(path, &files[0].1);
    assert_eq!(kind_after(&swapped, 0), CorruptionKind::HeaderDamaged);
    let foreign = |disk: &MemDisk| disk.put("d/copy.seg", bytes);
    assert_eq!(kind_after(&foreign, 0), CorruptionKind::ForeignFile);
    let long = |disk: &MemDisk| disk.put(path, &[bytes.as_slice(), &[0; 200]].concat());
    let too_long = CorruptionKind::SegmentTooLong(bytes.len() as u64 + 200);
    assert_eq!(kind_after(&long, 0), too_long);
    // Two records more in an earlier segment than the name of the next allows.
    let overlap = |disk: &MemDisk| {
        let log = MemDisk::new();
        let mut log_writer = open(&log, 0).unwrap().0;
        log_writer
            .append(&vec![b"r"; firsts[1] as usize + 1])
            .unwrap();
        disk.put(&files[0].0, &segment_files(&log)[0].1);
    };
    assert_eq!(
        kind_after(&overlap, 0),
        CorruptionKind::SegmentOverlap { next: firsts[1] }
    );
}

/// A later sector of an unsynced write can be on the disk and an earlier one not. That is a torn
/// tail; the same picture is corruption when the earlier one had been synced.
#[test]
fn a_hole_is_torn_or_corrupt_depending_on_what_was_synced() {
    let config = SegmentsConfig {
        segment_bytes_max: 1 << 16,
        record_bytes_max: 4096,
    };
    let reopen = |disk: &MemDisk, floor| {
        Segments::open(Arc::new(disk.clone()), Path::new(DIR), config, floor)
    };
    for (is_synced_between, floor) in [(false, 0), (true, 0), (false, 2)] {
        let disk = MemDisk::new();
        let (mut log, _) = reopen(&disk, 0).unwrap();
        log.append(&[b"first"]).unwrap();
        log.sync().unwrap();
        log.append(&[vec![7; 600]]).unwrap();
        if is_synced_between {
            log.sync().unwrap();
        }
        log.append(&[vec![8; 600], vec![9; 600]]).unwrap();
        log.sync().unwrap();
        let (path, mut bytes) = segment_files(&disk).remove(0);
        bytes[60..512].fill(0);
        disk.put(&path, &bytes);
        match reopen(&disk, floor) {
            Ok((log, recovery)) => {
                assert!(!is_synced_between && floor == 0);
                assert_eq!(records(&log), [b"first"]);
                assert_eq!(recovery.torn_tail.unwrap().index, 1);
            }
            Err(OpenError::Corrupt(found)) => {
                assert_eq!((found.record, is_synced_between || floor == 2), (1, true));
                let below = CorruptionKind::BelowFloor { floor: 2 };
                let expected = if floor == 2 {
                    below
                } else {
                    CorruptionKind::BadCrc
                };
                assert_eq!(found.kind, expected);
                assert_eq!(
                    segment_files(&disk)[0].1,
                    bytes,
                    "corruption must not be touched"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A record whose content looks like a durable frame must not turn a torn tail into corruption.
#[test]
fn a_record_that_looks_like_a_frame_is_not_taken_for_one() {
    let disk = MemDisk::new();
    let config = SegmentsConfig {
        segment_bytes_max: 1 << 12,
        record_bytes_max: 1 << 10,
    };
    let mut inner = Vec::new();
    frame::encode(
        &mut inner,
        Place {
            segment: 0,
            offset: 28,
        },
        0,
        b"forged",
    );
    let (mut log, _) = Segments::open(Arc::new(disk.clone()), Path::new(DIR), config, 0).unwrap();
    log.append(&[[inner.as_slice(), &[1; 50]].concat()])
        .unwrap();
    let (path, mut bytes) = segment_files(&disk).remove(0);
    bytes[28 + 12 + 40] ^= 1;
    disk.put(path, &bytes);
    let (_, recovery) = Segments::open(Arc::new(disk), Path::new(DIR), config, 0).unwrap();
    assert_eq!((recovery.size, recovery.torn_tail.unwrap().index), (0, 0));
}

/// A short script of everything the log can do; stops at the first fault. Returns what was
/// acknowledged: the durable size, and the records that a truncation or purge has taken away.
fn script(disk: &MemDisk) -> Result<Acknowledged, OpenError> {
    let mut acknowledged = Acknowledged::default();
    let outcome = run_script(disk, &mut acknowledged);
    match outcome {
        Err(OpenError::Corrupt(corruption)) => panic!("{corruption}"),
        Err(other) if acknowledged.events == 0 => Err(other),
        _ => Ok(acknowledged),
    }
}

#[derive(Debug, Default, Clone)]
struct Acknowledged {
    events: u32,
    durable: u64,
    /// Truncation back to here was begun.
    truncating: Option<u64>,
    purging: Option<u64>,
}

fn run_script(disk: &MemDisk, seen: &mut Acknowledged) -> Result<(), OpenError> {
    let (mut log, recovery) = open(disk, 0)?;
    assert_eq!(recovery.size, 0);
    seen.events += 1;
    for batch in [0..3, 3..4, 4..9, 9..14] {
        log.append(&some_records(batch))?;
        seen.durable = log.sync()?;
        seen.events += 1;
    }
    seen.truncating = Some(6);
    log.truncate_from(6)?;
    seen.durable = 6;
    seen.events += 1;
    log.append(&some_records(6..12))?;
    seen.durable = log.sync()?;
    seen.truncating = None;
    seen.purging = Some(8);
    log.purge_before(8)?;
    seen.events += 1;
    log.append(&some_records(12..13))?;
    seen.durable = log.sync()?;
    seen.purging = Some(20);
    log.purge_before(20)?;
    seen.durable = 20;
    seen.events += 1;
    log.append(&some_records(20..22))?;
    seen.durable = log.sync()?;
    Ok(())
}

/// After any fault and any crash, the log opens, holds what was acknowledged, and nothing that was
/// never written.
fn check_after(disk: &MemDisk, seen: &Acknowledged, what: &str) {
    let (log, recovery) = match open(disk, 0) {
        Ok(opened) => opened,
        Err(error) => panic!("{what}: {error}; acknowledged {seen:?}"),
    };
    let floor = seen
        .truncating
        .map_or(seen.durable, |to| to.min(seen.durable));
    assert!(
        recovery.size >= floor,
        "{what}: {recovery:?}, acknowledged {seen:?}"
    );
    assert!(log.first() <= seen.purging.unwrap_or(0), "{what}");
    for (index, found) in (log.first()..).zip(records(&log)) {
        assert_eq!(found, record(index), "{what}: record {index}");
    }
    // What an opened log calls durable survives a power cut at once.
    assert_eq!(log.durable(), recovery.size);
    let (again, _) = open(&disk.crash(&mut |_| 0), 0).unwrap();
    assert_eq!(
        (again.first(), again.size()),
        (log.first(), log.size()),
        "{what}"
    );
}

#[test]
fn no_failing_call_and_no_crash_loses_anything_acknowledged() {
    let mut calls = 0;
    for failure in [Failure::Io, Failure::Full, Failure::Short, Failure::Torn] {
        let mut call = 0;
        loop {
            let disk = MemDisk::new();
            disk.fail_at(call, failure);
            let seen = script(&disk).unwrap_or_default();
            if !disk.has_failed() {
                break;
            }
            let what = format!("{failure:?} at call {call}");
            check_after(&disk.crash(&mut |n| n - 1), &seen, &what);
            check_after(&disk.crash(&mut |_| 0), &seen, &what);
            for seed in 0..12_u64 {
                let mut state = seed * 977 + call;
                let crashed = disk.crash(&mut |n| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 33) as usize % n
                });
                check_after(&crashed, &seen, &format!("{what}, crash {seed}"));
            }
            check_after(&disk, &seen, &what);
            call += 1;
        }
        calls += call;
    }
    assert!(calls > 300, "{calls}");
}

#[test]
fn a_fault_poisons_the_log_until_it_is_opened_again() {
    for fails_in_sync in [false, true] {
        let disk = MemDisk::new();
        let (mut log, _) = open(&disk, 0).unwrap();
        log.append(&[b"kept"]).unwrap();
        log.sync().unwrap();
        if fails_in_sync {
            log.append(&[b"lost"]).unwrap();
            disk.fail_at(0, Failure::Io);
            log.sync().unwrap_err();
        } else {
            disk.fail_at(0, Failure::Full);
            assert!(log.append(&[b"lost"]).unwrap_err().is_disk_full());
        }
        let fault = log.poisoned().unwrap().clone();
        assert_eq!(log.append(&[b"more"]), Err(fault.clone()));
        assert_eq!(log.sync(), Err(fault.clone()));
        assert_eq!(log.truncate_from(0), Err(fault.clone()));
        assert_eq!(log.purge_before(1), Err(fault));
        assert_eq!(log.durable(), 1);
        assert_eq!(log.read(0).unwrap(), b"kept");
        drop(log);
        let (mut log, _) = open(&disk, 1).unwrap();
        let size = log.append(&[b"again"]).unwrap();
        assert_eq!(log.sync().unwrap(), size);
    }
}

/// What a Raft log does before a snapshot: everything so far goes, what comes later stays.
#[test]
fn a_begun_segment_lets_all_before_it_be_purged() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(&some_records(0..5)).unwrap();
    log.begin_segment().unwrap();
    assert_eq!(log.durable(), 5);
    let calls = disk.calls();
    log.begin_segment().unwrap();
    assert_eq!(disk.calls(), calls, "an empty segment needs no successor");
    log.append(&some_records(5..6)).unwrap();
    log.purge_before(5).unwrap();
    assert_eq!((log.first(), records(&log)), (5, some_records(5..6)));
    drop(log);
    let (log, _) = open(&disk, 5).unwrap();
    assert_eq!((log.first(), log.size()), (5, 6));
    drop(log);
    let (mut log, _) = open(&disk, 6).unwrap();
    disk.fail_at(1, Failure::Full);
    log.begin_segment().unwrap_err();
    assert!(log.poisoned().is_some());
}

/// The kernel may mark pages clean that an fsync failed to write. A log opened afterwards sees them
/// in the page cache; they must be written again before they count.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(&[b"a"]).unwrap();
    log.sync().unwrap();
    log.append(&[b"b", b"c"]).unwrap();
    disk.fail_at(0, Failure::Io);
    log.sync().unwrap_err();
    drop(log);
    let (log, recovery) = open(&disk, 1).unwrap();
    assert_eq!((recovery.size, log.durable()), (3, 3));
    let (log, _) = open(&disk.crash(&mut |_| 0), 3).unwrap();
    assert_eq!(records(&log), [b"a", b"b", b"c"]);
}

#[test]
fn wrong_lengths_and_indexes_are_refused_without_harm() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(&[b"one"]).unwrap();
    let calls = disk.calls();
    for (batch, bytes) in [([vec![1; 3], vec![]], 0), ([vec![1; 3], vec![1; 41]], 41)] {
        assert_eq!(
            log.append(&batch),
            Err(Fault::RecordLength { bytes, max: 40 })
        );
    }
    assert_eq!(disk.calls(), calls, "something was written");
    assert_eq!(log.append(&[vec![1; 40]]).unwrap(), 2);
    let out = |index| Fault::OutOfRange {
        index,
        first: 0,
        size: 2,
    };
    assert_eq!(log.read(2), Err(out(2)));
    assert_eq!(log.iter_from(7).count(), 0);
    assert_eq!(log.truncate_from(9), Ok(()));
    for config in [
        SegmentsConfig {
            segment_bytes_max: 0,
            record_bytes_max: 1,
        },
        SegmentsConfig {
            segment_bytes_max: 1,
            record_bytes_max: 0,
        },
        SegmentsConfig {
            segment_bytes_max: 1 << 31,
            record_bytes_max: 1,
        },
    ] {
        let opened = Segments::open(Arc::new(MemDisk::new()), Path::new(DIR), config, 0);
        assert!(matches!(opened, Err(OpenError::Config(_))), "{config:?}");
    }
}

#[test]
fn readers_follow_the_writer() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk, 0).unwrap();
    let reader = log.reader();
    let thread = std::thread::spawn(move || {
        let mut next = 0;
        while next < 500 {
            for found in reader.iter_from(next) {
                assert_eq!(found.unwrap(), record(next));
                next += 1;
            }
        }
    });
    for n in 0..500 {
        log.append(&[record(n)]).unwrap();
    }
    thread.join().unwrap();
}

#[test]
fn damage_after_opening_is_noticed_when_reading() {
    let (disk, _) = small_log();
    let (log, _) = open(&disk, 0).unwrap();
    let (path, mut bytes) = segment_files(&disk).remove(0);
    bytes[41] ^= 1;
    Disk::open(&disk, &path)
        .unwrap()
        .write_at(&bytes, 0)
        .unwrap();
    assert!(matches!(log.read(0), Err(Fault::Damaged(_))));
    assert!(log.iter_from(0).last().unwrap().is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Vec<u8>>),
    Sync,
    Truncate(u64),
    Purge(u64),
    Reopen,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let record = proptest::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        6 => proptest::collection::vec(record, 0..12).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => (0_u64..80).prop_map(Step::Truncate),
        1 => (0_u64..90).prop_map(Step::Purge),
        2 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_sequence_of_steps_agrees_with_a_list(steps in proptest::collection::vec(step(), 1..40)) {
        let mut disk = MemDisk::new();
        let mut log = open(&disk, 0).unwrap().0;
        // The model: all records from index `base` on; those below `first` may be purged.
        let (mut base, mut model, mut durable) = (0_u64, Vec::<Vec<u8>>::new(), 0_u64);
        for step in steps {
            let size = base + model.len() as u64;
            match step {
                Step::Append(batch) => {
                    prop_assert_eq!(log.append(&batch).unwrap(), size + batch.len() as u64);
                    model.extend(batch);
                }
                Step::Sync => durable = log.sync().unwrap(),
                Step::Truncate(index) if index < log.first() => {
                    prop_assert!(log.truncate_from(index).is_err());
                }
                Step::Truncate(index) => {
                    log.truncate_from(index).unwrap();
                    if index < size {
                        model.truncate((index - base) as usize);
                        durable = index;
                    }
                }
                Step::Purge(index) => {
                    log.purge_before(index).unwrap();
                    prop_assert!(log.first() <= index.max(base));
                    if index >= size && index > base {
                        prop_assert_eq!((log.first(), log.size()), (index, index));
                        durable = index;
                        model.clear();
                        base = index;
                    } else {
                        let gone = (log.first() - base) as usize;
                        model.drain(..gone);
                        base = log.first();
                    }
                }
                Step::Reopen => {
                    drop(log);
                    let opened = open(&disk, durable).unwrap();
                    prop_assert_eq!(opened.1.torn_tail, None);
                    log = opened.0;
                    durable = log.durable();
                }
                Step::Crash(seed) => {
                    let mut state = seed;
                    disk = disk.crash(&mut |n| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 33) as usize % n
                    });
                    let opened = open(&disk, durable);
                    log = opened.map_err(|e| TestCaseError::fail(e.to_string()))?.0;
                    let kept = log.size();
                    prop_assert!(durable <= kept && kept <= size);
                    model.truncate((kept - base) as usize);
                    durable = kept;
                }
            }
            prop_assert_eq!(log.size(), base + model.len() as u64);
            prop_assert_eq!(log.first(), base);
            prop_assert!(log.durable() >= durable);
            prop_assert_eq!(&records(&log), &model);
            if let Some(last) = model.last() {
                prop_assert_eq!(&log.read(log.size() - 1).unwrap(), last);
            }
        }
    }
}
