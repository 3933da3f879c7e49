//! Packs the commands that wait into one Raft entry.
//!
//! openraft 0.9 awaits one flush for each entry on the leader, so one command per entry would mean
//! one fsync per command. Whatever waits when a flush is free to begin travels together instead:
//! under load the batches grow by themselves, and a lone command waits for nothing.
//!
//! This is also the last moment at which a command can be turned away for certain: whether this
//! node leads, in the reign the command is meant for, with a quorum behind it, is asked here.

use crate::node::Node;
use crate::standing::Outcome;
use crate::types::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, Batch, Command, ProposalId, Reign};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Commands that wait for a batch: beyond it callers wait to hand theirs in, which bounds memory.
pub(crate) const WAITING_MAX: usize = 4096;

/// Entries between proposal and reply: while one is replicated and one applied, one is flushed.
const ENTRIES_IN_FLIGHT: usize = 3;

/// While no entry may begin, this often is asked whether this node still leads.
const LEADERSHIP_CHECK: Duration = Duration::from_millis(100);

/// A command to be packed. Its outcome goes to who waits for its id in the node's standing.
pub(crate) struct Waiting {
    pub(crate) id: ProposalId,
    pub(crate) reign: Reign,
    pub(crate) command: Command,
}

/// Runs until every sender is gone or the node stops.
pub(crate) async fn run(node: Arc<Node>, mut waiting: mpsc::Receiver<Waiting>) {
    let in_flight = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT));
    let mut stop = node.stopping();
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(first) => Some(first),
            None => tokio::select! {
            biased;
                            first = waiting.recv() => first,
                            _ = stop.wait_for(|stop| *stop) => None,
                        },
        };
        let Some(first) = first else { return };
        let permit = tokio::time::timeout(LEADERSHIP_CHECK, in_flight.clone().acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            // Nothing goes forward. As long as this node leads, waiting is right.
            if let Err(why) = node.may_append(first.reign) {
                node.standing.settle(&first.id, why);
            } else {
                carried = Some(first);
            }
            continue;
        };
        let batch = collect(&node, first, &mut waiting, &mut carried);
        if !batch.ids.is_empty() {
            append(&node, batch, permit).await;
        }
    }
}

/// Takes what waits, up to the limits of one entry; what does not fit opens the next one. What may
/// not be appended is answered.
fn collect(
    node: &Node,
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    carried: &mut Option<Waiting>,
) -> Batch {
    let reign = first.reign;
    let (mut ids, mut commands, mut bytes) = (Vec::new(), Vec::new(), 0);
    let refusal = node.may_append(reign).err();
    let no_copies = node.may_store_payloads(reign).err();
    let mut next = Some(first);
    while let Some(waiter) = next.take().or_else(|| waiting.try_recv().ok()) {
        let full = bytes + waiter.command.size() > BATCH_BYTES_MAX && !commands.is_empty();
        if full || waiter.reign != reign {
            *carried = Some(waiter);
            break;
        }
        let payload = waiter.command.payload.is_some();
        let refusal = refusal.as_ref().or(no_copies.as_ref().filter(|_| payload));
        if let Some(why) = refusal {
            node.standing.settle(&waiter.id, why.clone());
            continue;
        }
        bytes += waiter.command.size();
        ids.push(serde_bytes::ByteArray::new(waiter.id));
        commands.push(waiter.command);
        if commands.len() >= BATCH_COMMANDS_MAX {
            break;
        }
    }
    Batch {
        reign,
        ids: ids.into(),
        commands: commands.into(),
    }
}

/// Hands a batch to consensus, in the order of arrival; only the waiting for it is spawned.
async fn append(node: &Arc<Node>, batch: Batch, permit: OwnedSemaphorePermit) {
    let (reign, ids) = (batch.reign, batch.ids.clone());
    match node.raft.client_write_ff(batch).await {
        Ok(written) => {
            let (node, applied) = (node.clone(), node.standing.applied_entry());
            tokio::spawn(async move {
                // Those who wait are answered when the entry is applied, or when it is certain
                // that it never will be. Openraft's own answer only says that one more entry may
                // begin; it never comes if the node was overtaken by a snapshot.
                let overtaken = applied.wait_for(|applied| applied.reign > reign);
                let has_ended = tokio::select! {
                    biased;
                    written = written => written.is_err(),
                    _ = overtaken => false,
                };
                drop(permit);
                if has_ended {
                    // Dropped without a word: a disk that failed has ended consensus here.
                    let why = node
                        .stopped()
                        .unwrap_or_else(|| "consensus has ended".into());
                    node.settle(&ids, &why);
                }
            });
        }
        Err(fatal) => node.settle(&ids, &fatal.to_string()),
    }
}

impl Node {
    /// Tells those who wait that this node will not learn what became of their commands.
    fn settle(&self, ids: &[serde_bytes::ByteArray<16>], why: &str) {
        for id in ids {
            self.standing.settle(id, Outcome::Stopped(why.to_owned()));
        }
    }
}
