//! Whatever happens to one slot, the value before or after the write is read; never another one.

use crate::double_slot::DoubleSlot;
use ledger::StdDisk;
use std::fs;

type Slot = DoubleSlot<Vec<u64>>;

fn written(path: &std::path::Path, count: u64) {
    let (mut slot, _) = Slot::open(&StdDisk, path).unwrap();
    for n in 1..=count {
        slot.write(&vec![n; 5]).unwrap();
    }
}

#[test]
fn a_new_file_has_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vote");
    assert!(Slot::open(&StdDisk, &path).unwrap().1.is_none());
    assert!(Slot::open(&StdDisk, &path).unwrap().1.is_none());
}

#[test]
fn every_bit_flip_of_the_newest_slot_gives_the_value_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vote");
    written(&path, 4);
    let whole = fs::read(&path).unwrap();
    // Sequence 4 lies in slot 0; its header and body are the first bytes of the file.
    for bit in 0..(16 + 6) * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            Slot::open(&StdDisk, &path).unwrap().1.unwrap(),
            vec![3; 5],
            "bit {bit}"
        );
    }
}

#[test]
fn every_torn_write_gives_the_value_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vote");
    written(&path, 3);
    let before = fs::read(&path).unwrap();
    written_once_more(&path);
    let after = fs::read(&path).unwrap();
    for cut in 0..=22 {
        let mut bytes = before.clone();
        bytes[..cut].copy_from_slice(&after[..cut]);
        fs::write(&path, &bytes).unwrap();
        let value = Slot::open(&StdDisk, &path).unwrap().1.unwrap();
        assert!(
            value == vec![3; 5] || value == vec![4; 5],
            "cut at {cut}: {value:?}"
        );
    }
}

fn written_once_more(path: &std::path::Path) {
    let (mut slot, value) = Slot::open(&StdDisk, path).unwrap();
    assert_eq!(value.unwrap(), vec![3; 5]);
    slot.write(&vec![4; 5]).unwrap();
}

#[test]
fn two_damaged_slots_are_not_taken_for_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vote");
    written(&path, 2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    bytes[64 * 1024 + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let fault = Slot::open(&StdDisk, &path).map(|_| ()).unwrap_err();
    assert!(
        fault.to_string().contains("both slots are damaged"),
        "{fault}"
    );
}
