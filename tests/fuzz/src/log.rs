//! A small valid log of several segments, and what is left of it after edits to its files.

use crate::edits;
use ledger::{Checkpoint, Frontier, Ledger, MemDisk, SegmentsConfig, leaf_hash};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The folder of the log on the disk in memory.
pub const DIR: &str = "/log";

/// Its name in checkpoints.
pub const ORIGIN: &str = "strongroom/fuzz/lineage-1";

/// Records in it.
pub const RECORDS: u64 = 12;

/// Small limits, so that twelve records fill several segments.
pub const CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 200,
    record_bytes_max: 128,
};

/// Bytes behind the last record that are kept of a segment that was filled ahead with zeros; the
/// rest would only slow the target down.
const SLACK_BYTES: usize = 64;

/// The records: of different lengths, each different.
pub fn records() -> Vec<Vec<u8>> {
    (0..RECORDS)
        .map(|n| format!("record {n} {}", "x".repeat(n as usize * 3)).into_bytes())
        .collect()
}

/// The checkpoint that was made when the ledger had `size` records.
pub fn checkpoint(size: u64) -> Checkpoint {
    let mut frontier = Frontier::new();
    for (_, record) in (0..size).zip(records()) {
        frontier.push(leaf_hash(&record), &mut |_| {});
    }
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: frontier.root(),
    }
}

/// The files of the log as they were written.
fn files() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = MemDisk::new();
        let opened = Ledger::open(Arc::new(disk.clone()), Path::new(DIR), CONFIG, None);
        let (mut log, _) = opened.expect("an empty folder is a ledger");
        for record in records() {
            log.append(&[record]).expect("this disk does not fail");
        }
        log.sync().expect("this disk does not fail");
        let mut files = disk.files();
        for bytes in files.values_mut() {
            let used = bytes
                .iter()
                .rposition(|b| *b != 0)
                .map_or(0, |last| last + 1);
            bytes.truncate((used + SLACK_BYTES).min(bytes.len()));
        }
        files
    })
}

/// The log after the edits of `input` (see `edits`), and whether one of them wrote more than single
/// bytes, so that it might have brought a whole valid frame.
pub fn edited(input: &[u8]) -> (MemDisk, bool) {
    let mut files = files().clone();
    let fresh = |place: usize| PathBuf::from(format!("{DIR}/{:016x}.seg", place % 16));
    let forged = edits::apply(&mut files, input.get(1..).unwrap_or_default(), fresh);
    let disk = MemDisk::new();
    for (path, bytes) in &files {
        disk.put(path, bytes);
    }
    (disk, forged)
}
