//! A ledger whose files were changed at will: opening it never panics, never gives a record that
//! was not written, and never loses one that the last checkpoint covers. What it accepts, it can
//! go on with.
//!
//! The first byte says how much the checkpoint covers; the rest is a list of edits (see
//! `fuzz::edits`) to the files of a small valid ledger of several segments.
#![no_main]

use fuzz::log::{self, DIR};
use ledger::{Ledger, OpenError};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;

fuzz_target!(|input: &[u8]| {
    let (disk, forged) = log::edited(input);
    let covered = input
        .first()
        .map_or(0, |b| u64::from(*b) % (log::RECORDS + 1));
    let floor = (covered > 0).then(|| log::checkpoint(covered));
    let disk = Arc::new(disk);
    let opened = Ledger::open(disk.clone(), Path::new(DIR), log::CONFIG, floor.as_ref());
    let mut ledger = match opened {
        Ok((ledger, _)) => ledger,
        Err(OpenError::Corrupt(corruption)) => {
            assert!(!corruption.to_string().is_empty());
            return;
        }
        Err(other) => panic!("this disk does not fail: {other}"),
    };
    let found = records(&ledger);
    let kept = usize::try_from(covered).expect("a small number");
    assert!(
        found.starts_with(&log::records()[..kept]),
        "a covered record was lost or changed"
    );
    // An input may bring a frame with a right checksum of its own; then it is a record.
    assert!(
        forged || log::records().starts_with(&found),
        "not what was written"
    );
    let size = ledger
        .append(&[b"after recovery"])
        .expect("the ledger goes on");
    ledger.sync().expect("the ledger goes on");
    let checkpoint = ledger.checkpoint(log::ORIGIN);
    assert_eq!(checkpoint.size, size);
    drop(ledger);
    let (again, recovery) = Ledger::open(disk, Path::new(DIR), log::CONFIG, Some(&checkpoint))
        .expect("what was recovered and synced opens again");
    assert!(recovery.torn_tail.is_none());
    let read = records(&again);
    assert_eq!(
        read.split_last(),
        Some((&b"after recovery".to_vec(), found.as_slice()))
    );
});

fn records(ledger: &Ledger) -> Vec<Vec<u8>> {
    let read = |n| ledger.record(n).expect("an accepted record can be read");
    (0..ledger.size()).map(read).collect()
}
