//! What must hold between log and store when several threads work on one machine.
#![allow(clippy::unwrap_used)]

use super::*;
use cluster::Machine;
use domain::{Actor, Ask, Facts, Time};
use ledger::MemDisk;
use std::path::Path;

/// Entries that are carried out while the machine is made durable again and again.
const ENTRIES: u64 = 400;

fn machine(folder: &Path) -> LedgerMachine {
    let store = SealedStore::open(&folder.join("store")).unwrap();
    let disk = Arc::new(MemDisk::new());
    let dir = Path::new("/log");
    let config = SegmentsConfig::LEDGER;
    LedgerMachine::open_on(disk, dir, config, None, Arc::new(store)).unwrap()
}

/// A command that leaves a record: nothing was founded, so it is refused.
fn command(number: u64) -> cluster::Command {
    let command = Command {
        actor: Actor::Node(NodeId(1)),
        time: Time(i64::try_from(number).unwrap()),
        ask: Ask::ApplySchedule,
        facts: Facts::default(),
    };
    cluster::Command {
        bytes: codec::to_vec(&command),
        payload: None,
    }
}

/// A power cut between the two syncs of `make_durable` would take a record away whose entry the
/// store calls done: acknowledged, and never carried out again.
#[test]
fn the_store_never_knows_of_an_entry_that_the_log_may_lose() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path());
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            for index in 1..=ENTRIES {
                let entry = EntryId { index, term: 1 };
                machine.apply(entry, &[command(index)]).unwrap();
            }
        });
        while !worker.is_finished() {
            machine.make_durable().unwrap();
            let durable = machine.ledger().durable();
            let Some(last) = durable.checked_sub(1) else {
                assert_eq!(machine.store().durable_index(), 0);
                continue;
            };
            let bytes = machine.reader().read(last).unwrap();
            let record: Record = codec::from_slice(&bytes).unwrap();
            let store = machine.store().durable_index();
            assert!(
                store <= record.entry,
                "{store} in the store, {} in the log",
                record.entry
            );
        }
    });
    assert_eq!(machine.entry(), ENTRIES);
}
