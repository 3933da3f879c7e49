//! A purge that a crash cut short after its mark is finished at the next start.

use crate::codec;
use crate::double_slot::DoubleSlot;
use crate::log_store::{HardState, LogEnd, LogStore, segments_config};
use crate::standing::Standing;
use crate::types::TypeConfig;
use ledger::{Disk, MemDisk, Segments};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/raft";

fn id(index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn segments(disk: &Arc<dyn Disk>) -> Segments {
    let dir = Path::new(DIR).join("log");
    let opened = Segments::open(disk.clone(), &dir, segments_config(), 0);
    opened.unwrap().0
}

/// A log of twelve entries in one segment, whose mark says that all up to `purged` are gone.
fn marked(purged: u64) -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::default());
    disk.make_dir(Path::new(DIR)).unwrap();
    let entry = |index| Entry::<TypeConfig> {
        log_id: id(index),
        payload: EntryPayload::Blank,
    };
    let records: Vec<_> = (0..12).map(|i| codec::to_vec(&entry(i)).unwrap()).collect();
    let mut log = segments(&disk);
    log.append(&records).unwrap();
    log.sync().unwrap();
    let path = Path::new(DIR).join("vote");
    let (mut file, _) = DoubleSlot::<HardState>::open(&*disk, &path).unwrap();
    let (vote, purged) = (None, Some(id(purged)));
    file.write(&HardState { vote, purged }).unwrap();
    disk
}

/// Starts the log; gives its last entry, and the first and the next of its segments.
fn started(disk: &Arc<dyn Disk>) -> (Option<LogId<u64>>, u64, u64) {
    let (standing, end) = (Standing::new(1), LogEnd::default());
    let log = LogStore::open(disk, Path::new(DIR), standing, &end, true).unwrap();
    let last = log.last();
    drop(log);
    let segments = segments(disk);
    (last, segments.first(), segments.size())
}

#[test]
fn a_log_that_ends_before_its_mark_begins_after_it() {
    assert_eq!(started(&marked(30)), (Some(id(30)), 31, 31));
}

#[test]
fn entries_after_the_mark_stay() {
    assert_eq!(started(&marked(5)), (Some(id(11)), 0, 12));
}
