//! A search index as the product keeps it: a hint that follows the log and may be lost any time.
//!
//! The real one is in sled, which has threads and a file system of its own; what can be simulated
//! is how it follows: it reads which objects the new records touch, and takes what the state says
//! of them now (`server::projections::Follower::reflect`).

use super::plant::Plant;
use domain::{LifecycleState, Object, Record, State, Uid, codec};
use ledger::SegmentsReader;
use std::collections::{BTreeMap, BTreeSet};

/// Which objects there are in which state.
#[derive(Debug, Default)]
pub struct Projection {
    reflected: u64,
    states: BTreeMap<Uid, LifecycleState>,
}

impl Projection {
    /// Reflects at most `limit` more records, and none that the state does not know yet: after a
    /// crash the log is ahead of the state, and an object would be missed for good.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn follow(
        &mut self,
        log: &SegmentsReader,
        state: &State,
        limit: u64,
        planted: Option<Plant>,
    ) -> Result<(), String> {
        let known = if planted == Some(Plant::IndexAhead) {
            log.size()
        } else {
            state.records()
        };
        let end = known.min(self.reflected.saturating_add(limit));
        let mut touched = BTreeSet::new();
        for n in self.reflected..end {
            let bytes = log.read(n).map_err(|e| e.to_string())?;
            let record: Record = codec::from_slice(&bytes).map_err(|e| e.to_string())?;
            touched.extend(record.event.uid().copied());
        }
        for uid in touched {
            if let Some(object) = state.object(&uid) {
                self.states.insert(uid, object.recorded_state());
            }
        }
        self.reflected = self.reflected.max(end);
        Ok(())
    }

    /// Whether it says of every object what the state says, once it has caught up.
    #[must_use]
    pub fn agrees(&self, state: &State) -> bool {
        let objects = state
            .objects()
            .map(|o: &Object| (*o.uid(), o.recorded_state()));
        self.reflected < state.records() || self.states.iter().map(|(u, s)| (*u, *s)).eq(objects)
    }
}
