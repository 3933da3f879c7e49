//! What was promised, and whether it came true.
//!
//! One oracle belongs to one connection's worth of work: nobody else touches its objects, so every
//! answer has one right value. It records each operation with its outcome (done, denied, unknown)
//! and judges afterwards, on a node that has been started again: an acknowledged Create is there
//! and gives the bytes of the first Get; what was destroyed with an acknowledgement is not served;
//! what is unknown may be either, but from the first look on it stays what it was.

use crate::client::{Client, Trouble, create_request, destroy_request, get_request, key_of};
use crate::dice::Dice;
use anyhow::{Context, Result, bail, ensure};
use kmip::ResultReason;
use std::collections::BTreeMap;

/// Operations in one batch of judgement.
const BATCH: usize = 50;

/// What is known of an object's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Must be served.
    Alive,
    /// A Destroy was sent, no answer came.
    InDoubt,
    /// Must not be served.
    Destroyed,
}

#[derive(Clone, Debug)]
struct Record {
    key: Option<Vec<u8>>,
    fate: Fate,
    looked_at: bool,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acknowledged Creates.
    pub created: u64,
    /// Answered Gets.
    pub got: u64,
    /// Acknowledged Destroys.
    pub destroyed: u64,
    /// Operations the node refused.
    pub denied: u64,
    /// Operations without an answer.
    pub unknown: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.got += other.got;
        self.destroyed += other.destroyed;
        self.denied += other.denied;
        self.unknown += other.unknown;
    }
}

/// The memory of one connection's work.
#[derive(Debug)]
pub struct Oracle {
    name: String,
    objects: BTreeMap<String, Record>,
    creates_in_doubt: Vec<String>,
    next_name: u64,
    counts: Counts,
    /// What the node said when it refused something, for the log of a test; the last one.
    pub last_denial: Option<String>,
}

impl Oracle {
    /// Remembers nothing yet; `name` begins the names of its objects.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            objects: BTreeMap::new(),
            creates_in_doubt: Vec::new(),
            next_name: 0,
            counts: Counts::default(),
            last_denial: None,
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Objects that must be served.
    pub fn alive(&self) -> Vec<String> {
        let alive = self
            .objects
            .iter()
            .filter(|(_, record)| record.fate == Fate::Alive);
        alive.map(|(uid, _)| uid.clone()).collect()
    }

    /// One operation, chosen by the dice. `Ok(false)` when the connection is lost.
    ///
    /// # Errors
    /// An answer that breaks a promise.
    pub fn step(&mut self, client: &mut Client, dice: &mut Dice) -> Result<bool> {
        let alive = self.alive_sample(dice);
        match (dice.below(10), alive) {
            (5..=7, Some(uid)) => self.get(client, &uid),
            (8..=9, Some(uid)) => self.destroy(client, &uid),
            _ => self.create(client),
        }
    }

    fn alive_sample(&self, dice: &mut Dice) -> Option<String> {
        let all: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, r)| r.fate == Fate::Alive)
            .collect();
        dice.pick(&all).map(|(uid, _)| (*uid).clone())
    }

    /// Creates a key and remembers how that ended; `Ok(false)` when the connection is lost.
    pub fn create(&mut self, client: &mut Client) -> Result<bool> {
        self.next_name += 1;
        let name = format!("{}-{}", self.name, self.next_name);
        match client.create(Some(&name), 256) {
            Ok(uid) => {
                self.counts.created += 1;
                let record = Record {
                    key: None,
                    fate: Fate::Alive,
                    looked_at: false,
                };
                let known = self.objects.insert(uid.clone(), record);
                ensure!(known.is_none(), "{uid} was given to two objects");
                Ok(true)
            }
            Err(Trouble::Denied(failure)) => Ok(self.denied(failure.to_string())),
            Err(Trouble::Unknown(_)) => {
                self.counts.unknown += 1;
                self.creates_in_doubt.push(name);
                Ok(false)
            }
        }
    }

    fn denied(&mut self, why: String) -> bool {
        self.counts.denied += 1;
        self.last_denial = Some(why);
        true
    }

    fn get(&mut self, client: &mut Client, uid: &str) -> Result<bool> {
        match client.get(uid) {
            Ok(key) => {
                self.counts.got += 1;
                self.seen(uid, key)?;
                Ok(true)
            }
            Err(Trouble::Denied(failure)) => {
                let lost = failure.reason == ResultReason::ITEM_NOT_FOUND;
                ensure!(!lost, "{uid} was acknowledged and is gone: {failure}");
                Ok(self.denied(failure.to_string()))
            }
            Err(Trouble::Unknown(_)) => {
                self.counts.unknown += 1;
                Ok(false)
            }
        }
    }

    fn destroy(&mut self, client: &mut Client, uid: &str) -> Result<bool> {
        self.settle(uid, Fate::InDoubt)?;
        match client.destroy(uid) {
            Ok(()) => {
                self.counts.destroyed += 1;
                self.settle(uid, Fate::Destroyed)?;
                Ok(true)
            }
            Err(Trouble::Denied(failure)) => {
                self.settle(uid, Fate::Alive)?;
                Ok(self.denied(failure.to_string()))
            }
            Err(Trouble::Unknown(_)) => {
                self.counts.unknown += 1;
                Ok(false)
            }
        }
    }

    fn settle(&mut self, uid: &str, fate: Fate) -> Result<()> {
        let record = self
            .objects
            .get_mut(uid)
            .with_context(|| format!("{uid} is not known"))?;
        record.fate = fate;
        record.looked_at = false;
        Ok(())
    }

    /// Key bytes came out: they must be those of the first time, and must be allowed to.
    fn seen(&mut self, uid: &str, key: Vec<u8>) -> Result<()> {
        let record = self
            .objects
            .get_mut(uid)
            .with_context(|| format!("{uid} is not known"))?;
        ensure!(
            record.fate != Fate::Destroyed,
            "{uid} was destroyed, acknowledged, and is served"
        );
        ensure!(
            key.len() == 32 && key.iter().any(|byte| *byte != 0),
            "{uid}: no key: {key:?}"
        );
        match &record.key {
            Some(first) => ensure!(*first == key, "{uid}: other bytes than the first time"),
            None => record.key = Some(key),
        }
        record.fate = Fate::Alive;
        Ok(())
    }

    /// Judges on a node that has been started again: what changed since the last judgement, and
    /// up to `sample` older objects (all of them with `usize::MAX`).
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn judge(&mut self, client: &mut Client, dice: &mut Dice, sample: usize) -> Result<()> {
        self.settle_creates(client)?;
        let (old, new): (Vec<_>, Vec<_>) = self
            .objects
            .iter()
            .partition(|(_, record)| record.looked_at);
        let skip = old.len().saturating_sub(sample);
        let from = usize::try_from(dice.below(skip as u64 + 1))?;
        let old = old.into_iter().skip(from).take(sample);
        let uids: Vec<String> = new
            .into_iter()
            .chain(old)
            .map(|(uid, _)| uid.clone())
            .collect();
        for some in uids.chunks(BATCH) {
            let answers = client.batch(some.iter().map(|uid| get_request(uid)).collect())?;
            for (uid, answer) in some.iter().zip(answers) {
                self.judge_one(uid, answer.map(key_of))?;
            }
        }
        Ok(())
    }

    fn judge_one(
        &mut self,
        uid: &str,
        answer: Result<Result<Vec<u8>>, kmip::Failure>,
    ) -> Result<()> {
        match answer {
            Ok(key) => self.seen(uid, key?)?,
            Err(failure) => {
                let record = self.objects.get_mut(uid).context("known")?;
                if record.fate == Fate::Alive {
                    bail!("{uid} was acknowledged and is not served: {failure}");
                }
                let reason = failure.reason;
                let gone = reason == ResultReason::ITEM_NOT_FOUND;
                ensure!(gone, "{uid} is destroyed, but the answer is {failure}");
                record.fate = Fate::Destroyed;
            }
        }
        self.objects.get_mut(uid).context("known")?.looked_at = true;
        Ok(())
    }

    /// A Create without an answer made one object or none, never two.
    fn settle_creates(&mut self, client: &mut Client) -> Result<()> {
        for name in std::mem::take(&mut self.creates_in_doubt) {
            let found = client.locate(Some(&name))?;
            ensure!(
                found.len() <= 1,
                "one Create without an answer made {} objects",
                found.len()
            );
            for uid in found {
                let record = Record {
                    key: None,
                    fate: Fate::Alive,
                    looked_at: false,
                };
                self.objects.insert(uid, record);
            }
        }
        Ok(())
    }
}

/// A batch of Creates and Destroys that makes many events quickly: each pair is one key that lives
/// for a moment. Gives how many events that made.
pub fn make_events(client: &mut Client, name: &str, pairs: usize) -> Result<usize> {
    let creates = (0..pairs)
        .map(|n| create_request(Some(&format!("{name}-{n}")), 256))
        .collect();
    let mut uids = Vec::with_capacity(pairs);
    for answer in client.batch(creates)? {
        match answer? {
            kmip::ResponsePayload::Create(created) => uids.push(created.unique_identifier),
            other => bail!("the answer to Create is one to {}", other.operation()),
        }
    }
    for answer in client.batch(uids.iter().map(|uid| destroy_request(uid)).collect())? {
        answer?;
    }
    Ok(2 * pairs)
}

#[cfg(test)]
mod tests {
    //! The judge itself, on answers made up for it.

    use super::*;
    use kmip::Failure;

    fn gone() -> Result<Result<Vec<u8>>, Failure> {
        Err(Failure::new(ResultReason::ITEM_NOT_FOUND, "gone"))
    }

    fn oracle(fate: Fate, key: Option<u8>) -> Oracle {
        let mut oracle = Oracle::new("test");
        let key = key.map(|byte| vec![byte; 32]);
        oracle.objects.insert(
            "u".into(),
            Record {
                key,
                fate,
                looked_at: false,
            },
        );
        oracle
    }

    #[test]
    fn broken_promises_are_named() {
        let served = |byte: u8| Ok(Ok(vec![byte; 32]));
        let mut lost = oracle(Fate::Alive, Some(1));
        assert!(
            lost.judge_one("u", gone())
                .unwrap_err()
                .to_string()
                .contains("not served")
        );
        let mut back = oracle(Fate::Destroyed, Some(1));
        assert!(
            back.judge_one("u", served(1))
                .unwrap_err()
                .to_string()
                .contains("is served")
        );
        let mut other = oracle(Fate::Alive, Some(1));
        assert!(
            other
                .judge_one("u", served(2))
                .unwrap_err()
                .to_string()
                .contains("other bytes")
        );
        let mut zero = oracle(Fate::Alive, None);
        assert!(
            zero.judge_one("u", served(0)).is_err(),
            "no key is all zeros"
        );
    }

    #[test]
    fn what_is_in_doubt_stays_what_it_turned_out_to_be() {
        let mut doubt = oracle(Fate::InDoubt, Some(1));
        doubt.judge_one("u", gone()).unwrap();
        assert!(
            doubt.judge_one("u", Ok(Ok(vec![1; 32]))).is_err(),
            "it was gone already"
        );
        let mut doubt = oracle(Fate::InDoubt, Some(1));
        doubt.judge_one("u", Ok(Ok(vec![1; 32]))).unwrap();
        assert!(
            doubt.judge_one("u", gone()).is_err(),
            "it was there already"
        );
    }
}
