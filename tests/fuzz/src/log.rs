//! A small valid log, and edits to its files.
//!
//! An edit is 6 bytes and its payload: which file, what to do, where (u16 LE), a length (u8) and a
//! spare byte. So the fuzzer damages a valid log in a few places, as disks do, instead of having to
//! guess a whole one.

use ledger::{MemDisk, Segments, SegmentsConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The folder of the log on the disk in memory.
pub const DIR: &str = "/log";

/// Records in it.
pub const RECORDS: u64 = 12;

/// Small limits, so that twelve records fill several segments.
pub const CONFIG: SegmentsConfig = SegmentsConfig {
    segment_bytes_max: 200,
    record_bytes_max: 128,
};

/// Edits that one input makes at most: more damage is no other damage.
const EDITS_MAX: usize = 8;

/// Bytes behind the last record that are kept of a segment that was filled ahead with zeros; the
/// rest would only slow the target down.
const SLACK_BYTES: usize = 64;

/// The records: of different lengths, each different.
pub fn records() -> Vec<Vec<u8>> {
    (0..RECORDS)
        .map(|n| format!("record {n} {}", "x".repeat(n as usize * 3)).into_bytes())
        .collect()
}

/// The files of the log as they were written.
fn files() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = MemDisk::new();
        let opened = Segments::open(Arc::new(disk.clone()), Path::new(DIR), CONFIG, 0);
        let (mut segments, _) = opened.expect("an empty folder is a log");
        for record in records() {
            segments.append(&[record]).expect("this disk does not fail");
        }
        segments.sync().expect("this disk does not fail");
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

/// The log after the edits of `input`, and whether one of them wrote more than single bytes, so
/// that it might have brought a whole valid frame.
pub fn edited(input: &[u8]) -> (MemDisk, bool) {
    let mut files = files().clone();
    let mut rest = input.get(1..).unwrap_or_default();
    let mut forged = false;
    for _ in 0..EDITS_MAX {
        let Some((&[file, action, low, high, length, _], after)) = rest.split_first_chunk() else {
            break;
        };
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let index = usize::from(file) % (files.len() + 1);
        let at = usize::from(u16::from_le_bytes([low, high]));
        match files.values_mut().nth(index) {
            Some(bytes) => forged |= edit(bytes, action, at, payload),
            None => {
                let name = format!("{DIR}/{:016x}.seg", at % 16);
                files.insert(PathBuf::from(name), payload.to_vec());
                forged = true;
            }
        }
        if action == u8::MAX {
            let gone = files.keys().nth(index).cloned();
            gone.and_then(|path| files.remove(&path));
        }
    }
    let disk = MemDisk::new();
    for (path, bytes) in &files {
        disk.put(path, bytes);
    }
    (disk, forged)
}

/// Changes one file; true when what it wrote could be a frame of its own.
fn edit(bytes: &mut Vec<u8>, action: u8, at: usize, payload: &[u8]) -> bool {
    let at = at % (bytes.len() + 1);
    match action % 4 {
        0 => bytes.truncate(at),
        1 => {
            if let (Some(byte), Some(mask)) = (bytes.get_mut(at), payload.first()) {
                *byte ^= mask;
            }
        }
        2 => {
            let end = (at + payload.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&payload[..end - at]);
            return true;
        }
        _ => {
            bytes.splice(at..at, payload.iter().copied());
            return true;
        }
    }
    false
}

/// Inputs that show each kind of edit.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![12],
        vec![3, 0, 0, 40, 0, 0, 0],
        vec![0, 1, 1, 30, 0, 1, 0, 0x80],
        vec![5, 2, 2, 20, 0, 4, 0, 1, 2, 3, 4],
        vec![0, 1, 3, 16, 0, 4, 0, 0, 0, 0, 0],
        vec![0, 1, 255, 0, 0, 0, 0],
        vec![12, 3, 0, 50, 0, 0, 0, 2, 1, 90, 0, 1, 0, 1],
    ]
}
