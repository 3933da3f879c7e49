//! Entries go only behind a durable snapshot, and a purge that a crash cut short after its mark is
//! finished at the next start.

use crate::codec;
use crate::double_slot::DoubleSlot;
use crate::log_store::{HardState, LogEnd, LogStore, segments_config};
use crate::standing::Standing;
use crate::types::TypeConfig;
use ledger::{Disk, MemDisk, Segments};
use openraft::storage::RaftLogStorage as _;
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

fn opened(disk: &Arc<dyn Disk>, standing: &Arc<Standing>) -> LogStore {
    let end = LogEnd::default();
    LogStore::open(disk, Path::new(DIR), standing.clone(), &end, true).unwrap()
}

/// Starts the log; gives its last entry, and the first and the next of its segments.
fn started(disk: &Arc<dyn Disk>) -> (Option<LogId<u64>>, u64, u64) {
    let last = opened(disk, &Standing::new(1)).last();
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

/// Openraft asks for the purge beside the installation; nothing may be gone when a crash cuts that.
#[tokio::test(start_paused = true)]
async fn entries_wait_for_the_snapshot_that_covers_them() {
    let disk = marked(5);
    let standing = Standing::new(1);
    let mut log = opened(&disk, &standing);
    standing.snapshot_stored(Some(8));
    let early = tokio::time::timeout(std::time::Duration::from_secs(60), log.purge(id(9))).await;
    assert!(early.is_err(), "purged before the snapshot was stored");
    assert_eq!(opened(&disk, &Standing::new(1)).purged(), Some(id(5)));
    standing.snapshot_stored(Some(9));
    log.purge(id(9)).await.unwrap();
    assert_eq!(opened(&disk, &Standing::new(1)).purged(), Some(id(9)));
    // A machine that broke leaves nobody waiting.
    standing.machine_broke();
    let fault = log.purge(id(10)).await.unwrap_err();
    assert!(fault.to_string().contains("are needed"), "{fault}");
}
