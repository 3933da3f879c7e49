//! Batches, tombstones, power cuts, rotation and snapshots of the sealed store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;
use std::convert::Infallible;
use std::path::PathBuf;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sealed.redb")
    }

    fn open(&self) -> SealedStore {
        SealedStore::open(&self.path()).unwrap()
    }

    /// What a power cut would leave: the file as it is, while the program still has it open.
    fn power_cut(&self) -> Self {
        let copy = Self::new();
        std::fs::copy(self.path(), copy.path()).unwrap();
        copy
    }
}

fn uid(n: u8) -> Uid {
    Uid::from_bytes([n; 16])
}

fn sealed(epoch: u32, text: &str) -> Vec<u8> {
    [&epoch.to_be_bytes()[..], text.as_bytes()].concat()
}

fn put(n: u8, epoch: u32, text: &str) -> StoreOp {
    StoreOp::Put {
        uid: uid(n),
        sealed: sealed(epoch, text),
    }
}

fn delete(n: u8) -> StoreOp {
    StoreOp::Delete { uid: uid(n) }
}

fn to_epoch(target: u32) -> impl FnMut(&Uid, &[u8]) -> Result<Vec<u8>, Infallible> {
    move |_, old| Ok([&target.to_be_bytes()[..], &old[4..]].concat())
}

#[test]
fn a_batch_is_visible_at_once_and_counted() {
    let folder = Folder::new();
    let store = folder.open();
    assert!(store.is_empty().unwrap());
    let batch = [put(1, 1, "a"), put(2, 1, "b"), put(3, 2, "c")];
    assert_eq!(store.apply(5, &batch).unwrap(), Applied::Now);
    assert_eq!(store.get(&uid(2)).unwrap(), Some(sealed(1, "b")));
    assert_eq!(store.get(&uid(9)).unwrap(), None);
    assert_eq!(store.len().unwrap(), 3);
    assert_eq!((store.applied_index(), store.durable_index()), (5, 0));
    let counts = store.epoch_counts().unwrap();
    assert_eq!(counts, BTreeMap::from([(Epoch(1), 2), (Epoch(2), 1)]));
}

#[test]
fn an_index_is_applied_once() {
    let store = Folder::new().open();
    store.apply(5, &[put(1, 1, "a")]).unwrap();
    for index in [0, 4, 5] {
        assert_eq!(store.apply(index, &[delete(1)]).unwrap(), Applied::Before);
    }
    assert_eq!(store.get(&uid(1)).unwrap(), Some(sealed(1, "a")));
}

#[test]
fn a_destroyed_object_never_comes_back() {
    let folder = Folder::new();
    let store = folder.open();
    store.apply(1, &[put(1, 1, "a"), put(2, 1, "b")]).unwrap();
    store.apply(2, &[delete(1), delete(7)]).unwrap();
    for (index, n) in [(3, 1), (4, 7)] {
        assert!(store.is_destroyed(&uid(n)).unwrap());
        store.apply(index, &[put(n, 1, "a")]).unwrap();
        assert_eq!(store.get(&uid(n)).unwrap(), None);
        assert!(store.is_destroyed(&uid(n)).unwrap());
    }
    assert_eq!(
        store.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(1), 1)])
    );
    // Deleting again changes nothing, after a restart neither.
    store.apply(5, &[delete(1)]).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = folder.open();
    store.apply(6, &[put(1, 1, "a")]).unwrap();
    assert_eq!(store.get(&uid(1)).unwrap(), None);
}

#[test]
fn what_was_sealed_anew_already_stays_when_an_entry_is_applied_again() {
    let store = Folder::new().open();
    store.apply(1, &[put(1, 2, "newer")]).unwrap();
    store.apply(2, &[put(1, 1, "older")]).unwrap();
    assert_eq!(store.get(&uid(1)).unwrap(), Some(sealed(2, "newer")));
    assert_eq!(
        store.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(2), 1)])
    );
}

#[test]
fn pages_give_every_entry_once_in_order() {
    let store = Folder::new().open();
    let puts: Vec<_> = (1..=40).map(|n| put(n, 1, "a")).collect();
    store.apply(1, &puts).unwrap();
    let deletes: Vec<_> = (1..=40).step_by(3).map(delete).collect();
    store.apply(2, &deletes).unwrap();
    for (limit, bytes_max) in [(1, 1_000), (7, 1_000), (100, 1), (100, 20), (100, 1_000)] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.page(after.as_ref(), limit, bytes_max).unwrap();
            let uids = page.iter().map(|entry| match entry {
                StoreEntry::Live { uid, .. } | StoreEntry::Tombstone { uid, .. } => *uid,
            });
            let uids: Vec<_> = uids.collect();
            let Some(last) = uids.last() else { break };
            after = Some(*last);
            seen.extend(uids);
        }
        let all: Vec<_> = (1..=40).map(uid).collect();
        assert_eq!(seen, all, "{limit} entries, {bytes_max} bytes");
    }
}

#[test]
fn bytes_are_not_replaced_and_must_carry_an_epoch() {
    let store = Folder::new().open();
    store.apply(1, &[put(1, 1, "a")]).unwrap();
    assert!(matches!(
        store.apply(2, &[put(1, 1, "x")]),
        Err(StoreFault::Occupied(_))
    ));
    store.apply(2, &[put(1, 1, "a")]).unwrap();
    assert_eq!(
        store.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(1), 1)])
    );
    let short = StoreOp::Put {
        uid: uid(2),
        sealed: vec![0, 0, 1],
    };
    assert!(matches!(
        store.apply(3, &[short]),
        Err(StoreFault::Malformed(_))
    ));
}

#[test]
fn a_power_cut_goes_back_to_the_last_flush_and_the_log_repeats_the_rest() {
    let batches: Vec<Vec<StoreOp>> = vec![
        vec![put(1, 1, "a"), put(2, 1, "b")],
        vec![put(3, 1, "c"), delete(1)],
        vec![put(4, 1, "d")],
        vec![delete(3), put(5, 1, "e")],
    ];
    for flushed in 0..=batches.len() {
        let folder = Folder::new();
        let store = folder.open();
        for (index, batch) in (1..).zip(&batches) {
            store.apply(index, batch).unwrap();
            if usize::try_from(index).unwrap() == flushed {
                assert_eq!(store.flush().unwrap(), index);
            }
        }
        let after = folder.power_cut();
        let again = after.open();
        let durable = again.durable_index();
        assert_eq!(
            usize::try_from(durable).unwrap(),
            flushed,
            "not beyond, not behind the flush"
        );
        assert_eq!(again.applied_index(), durable);
        for (index, batch) in (1..).zip(&batches) {
            again.apply(index, batch).unwrap();
        }
        assert_eq!(again.digest().unwrap(), store.digest().unwrap());
        assert_eq!(again.epoch_counts().unwrap(), store.epoch_counts().unwrap());
    }
}

#[test]
fn a_clean_stop_after_a_flush_keeps_everything() {
    let folder = Folder::new();
    let store = folder.open();
    store.apply(9, &[put(1, 1, "a")]).unwrap();
    store.flush().unwrap();
    let digest = store.digest().unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!((store.applied_index(), store.durable_index()), (9, 9));
    assert_eq!(store.digest().unwrap(), digest);
}

#[test]
fn a_rotation_goes_on_where_a_power_cut_left_it() {
    let folder = Folder::new();
    let store = folder.open();
    let ops: Vec<StoreOp> = (1..=100).map(|n| put(n, 1, "text")).collect();
    store.apply(1, &ops).unwrap();
    assert_eq!(
        store
            .reseal_batch(Epoch(2), 30, to_epoch(2))
            .unwrap()
            .remaining,
        70
    );
    store.flush().unwrap();
    assert_eq!(
        store
            .reseal_batch(Epoch(2), 30, to_epoch(2))
            .unwrap()
            .remaining,
        40
    );
    let cut = folder.power_cut();
    let store = cut.open();
    // The second batch was not durable; the first was, and is not looked at again.
    let mut seen = Vec::new();
    let progress = store
        .reseal_batch(Epoch(2), 30, |uid, old| {
            seen.push(uid.as_bytes()[0]);
            to_epoch(2)(uid, old)
        })
        .unwrap();
    assert_eq!((seen[0], seen[29]), (31, 60));
    assert_eq!(
        progress,
        ResealProgress {
            resealed: 30,
            remaining: 40
        }
    );
    // An object that arrives behind the cursor, still sealed in the old epoch, is found too.
    store.apply(2, &[put(0, 1, "late")]).unwrap();
    let mut batches = 0;
    while store
        .reseal_batch(Epoch(2), 30, to_epoch(2))
        .unwrap()
        .remaining
        > 0
    {
        batches += 1;
        assert!(batches < 10, "the rotation does not end");
    }
    assert_eq!(
        store.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(2), 101)])
    );
    assert_eq!(store.get(&uid(50)).unwrap(), Some(sealed(2, "text")));
}

#[test]
fn a_vault_that_refuses_stops_the_batch_whole() {
    let store = Folder::new().open();
    store.apply(1, &[put(1, 1, "a"), put(2, 1, "b")]).unwrap();
    let fault = store.reseal_batch(Epoch(2), 9, |uid, old| match uid.as_bytes()[0] {
        1 => Ok([&[0, 0, 0, 2][..], &old[4..]].concat()),
        _ => Err(std::io::Error::other("refused")),
    });
    assert!(matches!(fault, Err(ResealFault::Object { uid: found, .. }) if found == uid(2)));
    assert_eq!(
        store.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(1), 2)])
    );
    // The writer is free again.
    store.apply(2, &[delete(1)]).unwrap();
}

#[test]
fn a_view_stays_as_it_was() {
    let store = Folder::new().open();
    store.apply(1, &[put(1, 1, "a"), delete(2)]).unwrap();
    let view = store.view().unwrap();
    let digest = view.digest().unwrap();
    store.apply(2, &[delete(1), put(3, 1, "c")]).unwrap();
    assert_eq!((view.index(), view.digest().unwrap()), (1, digest));
    assert_ne!(store.digest().unwrap(), digest);
    let entries: Vec<StoreEntry> = view.entries().unwrap().map(Result::unwrap).collect();
    let live = StoreEntry::Live {
        uid: uid(1),
        sealed: sealed(1, "a"),
    };
    assert_eq!(
        entries,
        [
            live,
            StoreEntry::Tombstone {
                uid: uid(2),
                index: 1
            }
        ]
    );
}

#[test]
fn a_snapshot_brings_everything_but_the_destroyed() {
    let (source, target) = (Folder::new(), Folder::new());
    let leader = source.open();
    leader
        .apply(10, &[put(1, 1, "a"), put(2, 2, "b"), delete(3)])
        .unwrap();
    let follower = target.open();
    // Here object 1 is destroyed already and object 9 is not part of the snapshot.
    follower.apply(4, &[put(9, 1, "old"), delete(1)]).unwrap();
    let view = leader.view().unwrap();
    follower
        .install(view.index(), view.entries().unwrap())
        .unwrap();
    assert_eq!(follower.get(&uid(1)).unwrap(), None);
    assert_eq!(follower.get(&uid(9)).unwrap(), None);
    assert_eq!(follower.get(&uid(2)).unwrap(), Some(sealed(2, "b")));
    assert!(follower.is_destroyed(&uid(1)).unwrap() && follower.is_destroyed(&uid(3)).unwrap());
    assert_eq!(
        (follower.applied_index(), follower.durable_index()),
        (10, 10)
    );
    assert_eq!(
        follower.epoch_counts().unwrap(),
        BTreeMap::from([(Epoch(2), 1)])
    );
    let older = follower.install(9, std::iter::empty());
    assert!(matches!(
        older,
        Err(StoreFault::SnapshotBehind {
            snapshot: 9,
            applied: 10
        })
    ));
    // A fresh node gets the same store as the leader, digest and all.
    let fresh = Folder::new().open();
    fresh
        .install(view.index(), view.entries().unwrap())
        .unwrap();
    assert_eq!(fresh.digest().unwrap(), leader.digest().unwrap());
}

#[test]
fn readers_see_whole_batches_only() {
    let folder = Folder::new();
    let store = folder.open();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..2000 {
                let view = store.view().unwrap();
                let live = view.entries().unwrap().count();
                assert_eq!(live % 2, 0, "half a batch was visible");
            }
        });
        for n in 0..100 {
            store
                .apply(u64::from(n) + 1, &[put(n, 1, "a"), put(n + 100, 1, "b")])
                .unwrap();
        }
        reader.join().unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The order of commits, flushes and restarts does not show in the content.
    #[test]
    fn restarts_and_flushes_leave_no_trace(
        batches in prop::collection::vec(
            prop::collection::vec((any::<bool>(), 0u8..20), 1..6), 1..12),
        flushes in prop::collection::vec(any::<bool>(), 12),
    ) {
        let mut gone = std::collections::BTreeSet::new();
        let log: Vec<Vec<StoreOp>> = batches.iter().map(|batch| {
            batch.iter().filter_map(|(create, n)| match create {
                true if gone.contains(n) => None,
                true => Some(put(*n, 1, "text")),
                false => { gone.insert(*n); Some(delete(*n)) }
            }).collect()
        }).collect();
        let plain = Folder::new().open();
        let mut folder = Folder::new();
        let mut store = folder.open();
        for (index, ops) in (1..).zip(&log) {
            plain.apply(index, ops).unwrap();
            store.apply(index, ops).unwrap();
            if flushes[usize::try_from(index).unwrap() - 1] {
                store.flush().unwrap();
            } else {
                let cut = folder.power_cut();
                drop(store);
                folder = cut;
                store = folder.open();
                for (index, ops) in (1..=index).zip(&log) {
                    store.apply(index, ops).unwrap();
                }
            }
            prop_assert_eq!(store.digest().unwrap(), plain.digest().unwrap());
        }
        let live = (0..20u8).filter(|n| store.get(&uid(*n)).unwrap().is_some()).count();
        prop_assert_eq!(store.len().unwrap(), u64::try_from(live).unwrap());
        prop_assert_eq!(store.epoch_counts().unwrap(), plain.epoch_counts().unwrap());
    }
}

#[test]
fn a_repair_puts_entries_right_and_counts_them_again() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = [
        put(1, 7, "damaged"),
        put(2, 1, "b"),
        put(3, 1, "left behind"),
    ];
    store.apply(1, &batch).unwrap();
    store.apply(2, &[put(4, 1, "x"), delete(4)]).unwrap();
    let changed = store.repair(&[
        (uid(1), Some(sealed(1, "a"))),
        (uid(3), None),
        // Destroyed meanwhile: it stays so.
        (uid(4), Some(sealed(1, "x"))),
        // Was not there at all.
        (uid(5), Some(sealed(1, "e"))),
    ]);
    assert_eq!(changed.unwrap(), 3);
    assert_eq!(store.get(&uid(1)).unwrap(), Some(sealed(1, "a")));
    assert_eq!(store.get(&uid(5)).unwrap(), Some(sealed(1, "e")));
    for gone in [3, 4] {
        assert_eq!(store.get(&uid(gone)).unwrap(), None);
        assert!(store.is_destroyed(&uid(gone)).unwrap());
    }
    let counts = store.epoch_counts().unwrap();
    assert_eq!(counts, BTreeMap::from([(Epoch(1), 3)]));
    assert_eq!(store.applied_index(), 2, "a repair is no entry");
    store.flush().unwrap();
    drop(store);
    assert_eq!(folder.open().get(&uid(1)).unwrap(), Some(sealed(1, "a")));
    let malformed = folder.open().repair(&[(uid(6), Some(vec![1]))]);
    assert!(matches!(malformed, Err(StoreFault::Malformed(_))));
}

#[test]
fn a_whole_check_sees_damage_that_opening_passes_over() {
    let folder = Folder::new();
    assert!(
        SealedStore::verify(&folder.path()).unwrap(),
        "none is whole"
    );
    let store = folder.open();
    let batch: Vec<StoreOp> = (0..200)
        .map(|n| put(n, 1, &format!("text of {n}")))
        .collect();
    store.apply(1, &batch).unwrap();
    store.flush().unwrap();
    drop(store);
    assert!(SealedStore::verify(&folder.path()).unwrap());
    let mut content = std::fs::read(folder.path()).unwrap();
    let text = b"text of 77";
    let places: Vec<usize> = (0..content.len() - text.len())
        .filter(|at| content[*at..].starts_with(text))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        content[at] ^= 1;
    }
    std::fs::write(folder.path(), &content).unwrap();
    let fault = SealedStore::verify(&folder.path()).unwrap_err();
    assert!(SealedStore::is_damaged(&fault), "{fault}");
    let full = StoreFault::Database(Box::new(redb::Error::Io(std::io::Error::from(
        std::io::ErrorKind::StorageFull,
    ))));
    assert!(!SealedStore::is_damaged(&full), "a full disk is no damage");
}

/// Whatever bit flips in the file of a stopped node, the whole check ends, and names damage as
/// what it is; what it passes can be read from end to end.
#[test]
fn no_flipped_bit_goes_by_the_whole_check_or_ends_the_program() {
    let folder = Folder::new();
    let store = folder.open();
    for n in 0..40 {
        store
            .apply(u64::from(n) + 1, &[put(n, 1, "some text of a key")])
            .unwrap();
    }
    store.flush().unwrap();
    let digest = store.digest().unwrap();
    drop(store);
    let whole = std::fs::read(folder.path()).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut seen = 0;
    for at in (0..400).step_by(9).chain((400..=used).step_by(4_001)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        std::fs::write(folder.path(), &damaged).unwrap();
        match SealedStore::verify(&folder.path()) {
            Err(fault) => {
                assert!(SealedStore::is_damaged(&fault), "byte {at}: {fault:?}");
                seen += 1;
            }
            Ok(_) => match SealedStore::open(&folder.path()) {
                Ok(store) => assert_eq!(store.digest().unwrap(), digest, "byte {at}"),
                Err(fault) => assert!(SealedStore::is_damaged(&fault), "byte {at}: {fault:?}"),
            },
        }
    }
    assert!(seen > 0);
}
