//! Packs the commands that wait into one Raft entry.
//!
//! openraft 0.9 awaits one flush for each entry on the leader, so one command per entry would mean
//! one fsync per command. Whatever waits when a flush is free to begin travels together instead:
//! under load the batches grow by themselves, and a lone command waits for nothing.

use crate::node::ProposeFault;
use crate::types::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, Batch, TypeConfig};
use openraft::Raft;
use openraft::error::ClientWriteError;
use openraft::raft::ClientWriteResponse;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Commands that wait for a batch: beyond it callers wait to hand theirs in, which bounds memory.
pub(crate) const WAITING_MAX: usize = 4096;

/// Entries between proposal and reply: one is being flushed while the one before is applied.
const ENTRIES_IN_FLIGHT: usize = 2;

/// A command and where its reply goes.
pub(crate) struct Waiting {
    pub(crate) command: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Vec<u8>, ProposeFault>>,
}

type Written = Result<ClientWriteResponse<TypeConfig>, ClientWriteError<u64, openraft::BasicNode>>;

/// Runs until every sender is gone.
pub(crate) async fn run(raft: Raft<TypeConfig>, mut waiting: mpsc::Receiver<Waiting>) {
    let in_flight = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT));
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let Ok(permit) = in_flight.clone().acquire_owned().await else {
            return;
        };
        let (commands, replies) = collect(first, &mut waiting, &mut carried);
        // Handing in keeps the order of arrival; only the waiting for the answer is spawned.
        match raft.client_write_ff(Batch(commands.into())).await {
            Ok(answer) => drop(tokio::spawn(async move {
                match answer.await {
                    Ok(written) => distribute(replies, written),
                    Err(_) => refuse(replies, &ProposeFault::stopped("the node is stopping")),
                }
                drop(permit);
            })),
            Err(fatal) => refuse(replies, &ProposeFault::stopped(fatal)),
        }
    }
}

type Replies = Vec<oneshot::Sender<Result<Vec<u8>, ProposeFault>>>;

/// Takes what waits, up to the limits of one entry; what does not fit opens the next one.
fn collect(
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    carried: &mut Option<Waiting>,
) -> (Vec<Vec<u8>>, Replies) {
    let mut bytes = first.command.len();
    let (mut commands, mut replies) = (vec![first.command], vec![first.reply]);
    while commands.len() < BATCH_COMMANDS_MAX {
        let Ok(next) = waiting.try_recv() else { break };
        if bytes + next.command.len() > BATCH_BYTES_MAX {
            *carried = Some(next);
            break;
        }
        bytes += next.command.len();
        commands.push(next.command);
        replies.push(next.reply);
    }
    (commands, replies)
}

fn distribute(waiting: Replies, written: Written) {
    match written {
        Ok(response) => {
            let mut replies = response.data.0.into_iter();
            for waiter in waiting {
                let reply = replies.next().map(serde_bytes::ByteBuf::into_vec);
                // A caller that went away has no use for its reply; the change stands.
                drop(waiter.send(reply.ok_or_else(|| ProposeFault::stopped("no reply"))));
            }
        }
        Err(ClientWriteError::ForwardToLeader(forward)) => {
            refuse(
                waiting,
                &ProposeFault::NotLeader {
                    leader: forward.leader_id,
                },
            );
        }
        Err(error) => refuse(waiting, &ProposeFault::stopped(error)),
    }
}

fn refuse(waiting: Replies, fault: &ProposeFault) {
    for waiter in waiting {
        drop(waiter.send(Err(fault.clone())));
    }
}
