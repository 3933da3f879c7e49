//! Which records of the cluster log tell of an object.
//!
//! Tree `history`: one list of all objects as `lists` keeps them, each with the numbers of its
//! latest records as marks (u64, big-endian, ascending). An object that changes again and again
//! must not make its block long, so what is older goes to tree `earlier`: key = uid (16) ‖ number
//! of the first record (u64, big-endian); value = numbers of records.

use super::lists::{self, Changes, Marks, Writes};
use super::{QueryFault, fault};
use domain::Uid;
use std::collections::BTreeMap;

/// Records that an object keeps in its list.
const LATEST_MAX: usize = 128;

/// Records that go to the other tree at a time.
const PART: usize = 64;

/// The two trees.
#[derive(Clone)]
pub(super) struct History {
    latest: sled::Tree,
    earlier: sled::Tree,
}

/// Records of one object, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Their numbers in the cluster log.
    pub records: Vec<u64>,
    /// Whether there are older ones.
    pub more: bool,
}

/// Records of objects that are to be taken in.
pub(super) type Touched = BTreeMap<Uid, Vec<u64>>;

impl History {
    pub(super) fn open(db: &sled::Db) -> Result<Self, QueryFault> {
        let tree = |name: &str| db.open_tree(name).map_err(fault);
        Ok(Self {
            latest: tree("history")?,
            earlier: tree("earlier")?,
        })
    }

    /// Plans what takes records in. What is there already is passed over: a part may have been
    /// written before the thread ended.
    ///
    /// # Errors
    /// sled failed, or a block does not read as one.
    pub(super) fn plan(&self, touched: &Touched) -> Result<Planned, QueryFault> {
        let (mut changes, mut earlier) = (Changes::new(), sled::Batch::default());
        let mut place = None;
        for (uid, records) in touched {
            let marks = lists::marks_of(&self.latest, b"", uid, &mut place)?;
            let mut marks = marks.unwrap_or_default();
            let last = marks.last().copied().map(u64::from_be_bytes);
            let new = records
                .iter()
                .filter(|n| last.is_none_or(|last| **n > last));
            marks.extend(new.map(|n| n.to_be_bytes()));
            while marks.len() > LATEST_MAX {
                let rest = marks.split_off(PART);
                let first = marks.first().copied().unwrap_or_default();
                let key = [uid.as_bytes().as_slice(), &first].concat();
                earlier.insert(key, marks.concat());
                marks = rest;
            }
            changes.insert(*uid, Some(marks));
        }
        let mut latest = Writes::default();
        lists::change(&self.latest, b"", changes, &mut latest)?;
        Ok(Planned { latest, earlier })
    }

    /// Carries it out.
    ///
    /// # Errors
    /// sled failed.
    pub(super) fn write(&self, planned: Planned) -> Result<(), QueryFault> {
        self.earlier.apply_batch(planned.earlier).map_err(fault)?;
        self.latest.apply_batch(planned.latest.batch).map_err(fault)
    }

    /// The newest records of an object that come before one.
    ///
    /// # Errors
    /// As [`History::plan`].
    pub(super) fn read(
        &self,
        uid: &Uid,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Passage, QueryFault> {
        let mut records = Vec::new();
        let latest = lists::marks_of(&self.latest, b"", uid, &mut None)?;
        let mut take = |marks: Marks| {
            let numbers = marks.into_iter().rev().map(u64::from_be_bytes);
            let wanted = numbers.filter(|n| before.is_none_or(|before| *n < before));
            records.extend(wanted.take((limit + 1).saturating_sub(records.len())));
            records.len() > limit
        };
        let mut more = take(latest.unwrap_or_default());
        let mut parts = self.earlier.scan_prefix(uid.as_bytes()).rev();
        while !more && let Some(part) = parts.next() {
            let (_, value) = part.map_err(fault)?;
            let marks = value.chunks_exact(8);
            more = take(marks.filter_map(|mark| mark.try_into().ok()).collect());
        }
        records.truncate(limit);
        Ok(Passage { records, more })
    }
}

/// What is to be written.
pub(super) struct Planned {
    pub(super) latest: Writes,
    earlier: sled::Batch,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn uid(n: u8) -> Uid {
        Uid::from_bytes([n; 16])
    }

    #[test]
    fn every_record_is_found_again_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let db = sled::open(folder.path()).unwrap();
        let history = History::open(&db).unwrap();
        // Object 1 changes a thousand times, the others now and then between.
        let mut told: BTreeMap<Uid, Vec<u64>> = BTreeMap::new();
        for batch in 0..100u64 {
            let mut touched = Touched::new();
            for n in batch * 20..batch * 20 + 20 {
                let object = if n % 2 == 0 {
                    1
                } else {
                    2 + u8::try_from(n % 100).unwrap()
                };
                touched.entry(uid(object)).or_default().push(n);
                told.entry(uid(object)).or_default().push(n);
            }
            // Twice, as after an end in the middle.
            for _ in 0..2 {
                history.write(history.plan(&touched).unwrap()).unwrap();
            }
        }
        for (uid, mut numbers) in told {
            numbers.reverse();
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let passage = history.read(&uid, before, 7).unwrap();
                before = passage.records.last().copied();
                found.extend(passage.records);
                if !passage.more {
                    break;
                }
            }
            assert_eq!(found, numbers);
        }
        assert_eq!(
            history.read(&uid(200), None, 7).unwrap(),
            Passage::default()
        );
    }
}
