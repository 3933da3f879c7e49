//! A log whose files were changed at will: opening it never panics, never gives a record that was
//! not written, and never loses one below the floor. What it accepts, it can go on with.
//!
//! The input is a list of edits (see `fuzz::log`) to a small valid log of several segments.
#![no_main]

use fuzz::log::{self, DIR};
use ledger::{OpenError, Segments, SegmentsReader};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;

fuzz_target!(|input: &[u8]| {
    let (disk, forged) = log::edited(input);
    let floor = input
        .first()
        .map_or(0, |b| u64::from(*b) % (log::RECORDS + 1));
    let disk = Arc::new(disk);
    let opened = Segments::open(disk.clone(), Path::new(DIR), log::CONFIG, floor);
    let (mut segments, _) = match opened {
        Ok(opened) => opened,
        Err(OpenError::Corrupt(corruption)) => {
            assert!(!corruption.to_string().is_empty());
            return;
        }
        Err(other) => panic!("this disk does not fail: {other}"),
    };
    let found = records(&segments.reader(), segments.first(), segments.size());
    assert!(
        segments.size() >= floor,
        "a record below the floor was lost"
    );
    // An input may carry a frame with a right checksum of its own; then it is a record.
    if !forged {
        assert!(
            segments.first() == 0 && log::records().starts_with(&found),
            "not what was written"
        );
    }
    let size = segments
        .append(&[b"after recovery"])
        .expect("the log goes on");
    segments.sync().expect("the log goes on");
    drop(segments);
    let (again, recovery) = Segments::open(disk, Path::new(DIR), log::CONFIG, size)
        .expect("what was recovered and synced opens again");
    assert!(recovery.torn_tail.is_none());
    let read = records(&again.reader(), again.first(), again.size());
    assert_eq!(
        read.split_last(),
        Some((&b"after recovery".to_vec(), found.as_slice()))
    );
});

fn records(reader: &SegmentsReader, first: u64, size: u64) -> Vec<Vec<u8>> {
    (first..size)
        .map(|n| reader.read(n).expect("an accepted record can be read"))
        .collect()
}
