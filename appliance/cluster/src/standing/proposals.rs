//! Proposals of this node that wait for their outcome.
//!
//! A proposal is made for one reign: it counts only in an entry appended in that reign. So it is
//! certain that it will never count once an entry of a later reign is applied, and a node learns
//! the outcome of its proposals by applying the log, whatever became of the leader.

use super::{Applied, Standing};
use crate::gauge::Gauge;
use crate::types::{Batch, ProposalId, Reign};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Carried out, in this entry, with this reply.
    Done {
        /// The machine's answer.
        reply: Vec<u8>,
        /// Index of the entry.
        index: u64,
    },
    /// Not carried out and never will be; it may be proposed again.
    Expired,
    /// Never appended anywhere.
    NotTaken(String),
    /// It may have been applied inside a snapshot, where nobody saw the reply.
    Unseen,
    /// Consensus has ended on this node.
    Stopped(String),
}

#[derive(Debug)]
struct Waiter {
    reign: Reign,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug, Default)]
pub(super) struct Proposals {
    waiting: Mutex<BTreeMap<ProposalId, Waiter>>,
}

impl Proposals {
    pub(super) fn register(
        &self,
        id: ProposalId,
        reign: Reign,
        applied: &Gauge<Applied>,
    ) -> oneshot::Receiver<Outcome> {
        let (answer, outcome) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        // Read under the lock: an entry applied later finds the waiter, one applied earlier is
        // seen here.
        if applied.get().reign > reign {
            drop(answer.send(Outcome::Expired));
        } else {
            waiting.insert(id, Waiter { reign, answer });
        }
        outcome
    }

    pub(super) fn settle(&self, id: &ProposalId, outcome: Outcome) {
        if let Some(waiter) = self.waiting.lock().remove(id) {
            // Who no longer waits has no use for the outcome.
            drop(waiter.answer.send(outcome));
        }
    }

    pub(super) fn settle_all(&self, outcome: &Outcome) {
        for waiter in std::mem::take(&mut *self.waiting.lock()).into_values() {
            drop(waiter.answer.send(outcome.clone()));
        }
    }

    pub(super) fn answer(&self, batch: &Batch, index: u64, replies: Vec<Vec<u8>>) {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            return;
        }
        for (id, reply) in batch.ids.iter().zip(replies) {
            if let Some(waiter) = waiting.remove(&**id) {
                drop(waiter.answer.send(Outcome::Done { reply, index }));
            }
        }
    }

    pub(super) fn expire_before(&self, reign: Reign) {
        let mut waiting = self.waiting.lock();
        let (expired, left) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|(_, waiter)| waiter.reign < reign);
        *waiting = left;
        drop(waiting);
        let expired: BTreeMap<ProposalId, Waiter> = expired;
        for waiter in expired.into_values() {
            drop(waiter.answer.send(Outcome::Expired));
        }
    }
}

/// A proposal that is waited for; dropping it ends the waiting.
#[derive(Debug)]
pub(crate) struct Pending {
    standing: Arc<Standing>,
    id: ProposalId,
    outcome: oneshot::Receiver<Outcome>,
}

impl Pending {
    pub(super) fn new(
        standing: Arc<Standing>,
        id: ProposalId,
        outcome: oneshot::Receiver<Outcome>,
    ) -> Self {
        Self {
            standing,
            id,
            outcome,
        }
    }

    /// Waits for the outcome. Can be called again if the future was dropped, not after it ended.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        match (&mut self.outcome).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Stopped("the node is stopping".into()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.standing.proposals.waiting.lock().remove(&self.id);
    }
}
