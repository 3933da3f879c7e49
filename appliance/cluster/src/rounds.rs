//! Linearizable reads: which entry must be applied before an answer may be given.
//!
//! A leader confirms by a round of heartbeats that it still leads; another node asks the leader.
//! Everybody who waits when a round begins shares it; who comes later waits for the next, because
//! a round that began before a question says nothing about what was committed in between.

use crate::danger::{self, Bug};
use crate::node::Node;
use crate::peers::Lane;
use crate::types::Reign;
use crate::wire::{self, Reply, Request};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a confirmation is sought before the answer is "not ready".
const READY_WITHIN: Duration = Duration::from_secs(2);

/// How long one question to the leader may take.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// Pause after a round that failed.
const ROUND_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// This node could not make sure, in time, that it knows everything that was committed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this node cannot make sure that it is up to date: {reason}; try again later")]
pub struct NotReady {
    /// What is missing.
    pub reason: String,
}

type Index = Result<Option<u64>, String>;

/// Those who wait for a round.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Index>>,
    running: bool,
}

impl Node {
    /// Waits until everything committed before the call is applied here; gives the applied entry.
    pub(crate) async fn read_barrier(self: &Arc<Self>) -> Result<u64, NotReady> {
        let applied = self.standing.applied_entry();
        if self.standing.is_undisputed() {
            let applied = applied.get().index;
            return Ok(applied.unwrap_or(0));
        }
        if danger::has(Bug::ReadWithoutBarrier) && !self.leads() {
            return Ok(applied.get().index.unwrap_or(0));
        }
        let deadline = Instant::now() + READY_WITHIN;
        let mut reason = String::from("no leader has answered");
        let confirmed = loop {
            match tokio::time::timeout_at(deadline, self.read_index()).await {
                Ok(Ok(index)) => break index,
                Ok(Err(why)) => reason = why,
                Err(_) => return Err(NotReady { reason }),
            }
            tokio::time::sleep(ROUND_AGAIN_AFTER).await;
        };
        let reached = applied.wait_for(|applied| applied.index >= confirmed);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(applied) => Ok(applied.index.unwrap_or(0)),
            Err(_) => Err(NotReady {
                reason: format!("entry {confirmed:?} is not applied here yet"),
            }),
        }
    }

    /// Index of an entry that covers everything committed before the call.
    pub(crate) async fn read_index(self: &Arc<Self>) -> Index {
        let (answer, index) = oneshot::channel();
        let begin = {
            let mut queue = self.rounds.queue.lock();
            queue.waiting.push(answer);
            !std::mem::replace(&mut queue.running, true)
        };
        if begin {
            tokio::spawn(self.clone().run_rounds());
        }
        index
            .await
            .map_err(|_| "the node is stopping".to_string())?
    }

    async fn run_rounds(self: Arc<Self>) {
        loop {
            let waiting = {
                let mut queue = self.rounds.queue.lock();
                if queue.waiting.is_empty() {
                    queue.running = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let index = self.round().await;
            for waiter in waiting {
                // Who no longer waits has no use for it.
                drop(waiter.send(index.clone()));
            }
        }
    }

    async fn round(&self) -> Index {
        let began = Instant::now();
        let index = match self.reign() {
            None => return Err("no leader is known".into()),
            Some(reign) if reign.node_id == self.node => {
                let confirmed = self.raft.get_read_log_id().await;
                let (index, _) = confirmed.map_err(|e| e.to_string())?;
                index.map(|id| id.index)
            }
            Some(reign) => tokio::select! {
                biased;
                index = self.ask_read_index(reign.node_id) => index?,
                // Who leads no more may not even answer, and there is another to ask.
                () = self.newer_reign(reign) => return Err("the leader changed".into()),
            },
        };
        let mut contact = self.contact.lock();
        *contact = (*contact).max(Some(began));
        Ok(index)
    }

    /// Returns when this node has heard of a newer reign.
    async fn newer_reign(&self, than: Reign) {
        let mut metrics = self.raft.metrics();
        let newer = metrics.wait_for(|metrics| metrics.vote.leader_id > than);
        if newer.await.is_err() {
            // Consensus has ended here: whoever asks is told so elsewhere.
            std::future::pending().await
        }
    }

    async fn ask_read_index(&self, leader: u64) -> Index {
        let Some(way) = &self.way else {
            return Err("no way to the leader is known".into());
        };
        let asked = wire::ask(
            &**way,
            leader,
            Lane::Service,
            &Request::ReadIndex,
            ASK_WITHIN,
        );
        match asked.await.map_err(|e| e.to_string())? {
            Reply::ReadIndex(index) => index,
            other => Err(format!("node {leader} gave another answer: {other:?}")),
        }
    }
}
