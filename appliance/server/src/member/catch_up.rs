//! How a member that is far behind gets what it misses: records of the cluster log and entries of
//! the sealed store, asked for page by page from another member.
//!
//! Nothing is believed because it was sent. The log of the member must be the beginning of the
//! described one (a consistency proof, RFC 6962 §2.1.2, says so), each page of records must lead to
//! the described root, and the described root must not contradict the newest head that a majority
//! has signed. What was fetched stays, so a transfer that was cut short goes on where it was.

use super::messages::{Answer, Question};
use crate::machine::LedgerMachine;
use domain::{Hash, Record, Uid, codec};
use ledger::{Frontier, leaf_hash, verify_consistency};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use vault::store::{StoreEntry, StoreFault};

/// Pages of store entries on their way from the network to the disk.
const PAGES_WAITING_MAX: usize = 4;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What a snapshot says: the member that has this has everything up to `entry`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Described {
    /// Last entry carried out.
    pub(crate) entry: u64,
    /// Records of the cluster log.
    pub(crate) size: u64,
    /// Root over them.
    pub(crate) root: Hash,
}

/// The other members, as one who can be asked.
pub(crate) trait Source: Send + Sync + 'static {
    /// Asks one of the members that can answer, the leader first.
    fn ask<'a>(
        &'a self,
        question: &'a Question,
    ) -> cluster::peers::BoxFuture<'a, Result<Answer, CatchUpFault>>;
}

/// What is missing was not had. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatchUpFault {
    /// Nobody could be asked.
    #[error("no other member could be asked: {0}")]
    Unreachable(String),
    /// The answer was not one to the question.
    #[error("a member answered {question} with something else: {reason}")]
    Answer {
        /// What was asked.
        question: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// This node's log is not the beginning of the cluster's.
    #[error(
        "the cluster log of this node ({size} records) is not the beginning of the cluster's: it \
         was changed or belongs to another history; keep its data folder as evidence and let the \
         node join anew with an empty one"
    )]
    Fork {
        /// Records here.
        size: u64,
    },
    /// The records that were sent are not those of the described log.
    #[error("records {from} to {to} that a member sent do not lead to the root it promised")]
    Root {
        /// First of them.
        from: u64,
        /// One past the last.
        to: u64,
    },
    /// Log or store could not be written.
    #[error("{0}")]
    Disk(String),
}

fn disk(error: impl std::fmt::Display) -> CatchUpFault {
    CatchUpFault::Disk(error.to_string())
}

fn unexpected(question: &'static str, answer: Answer) -> CatchUpFault {
    let reason = match answer {
        Answer::Refused(reason) => reason,
        _ => "an answer to another question".to_owned(),
    };
    CatchUpFault::Answer { question, reason }
}

/// Fetches what a machine lacks of what is described. It counts only when it is installed.
pub(crate) async fn fetch(
    machine: &LedgerMachine,
    source: &dyn Source,
    described: &Described,
) -> Result<(), CatchUpFault> {
    fetch_records(machine, source, described).await?;
    if machine.entry() < described.entry {
        merge_store(machine, source, described.entry).await?;
    }
    Ok(())
}

/// Everything described is here already; it must be the same.
fn check_prefix(machine: &LedgerMachine, described: &Described) -> Result<(), CatchUpFault> {
    let ledger = machine.ledger();
    let root = ledger.root_at(described.size).map_err(disk)?;
    if root.0 == *described.root.as_bytes() {
        return Ok(());
    }
    Err(CatchUpFault::Fork {
        size: ledger.size(),
    })
}

async fn fetch_records(
    machine: &LedgerMachine,
    source: &dyn Source,
    described: &Described,
) -> Result<(), CatchUpFault> {
    let target = ledger::Hash(*described.root.as_bytes());
    let (mut size, mut frontier) = {
        let ledger = machine.ledger();
        (ledger.size(), ledger.frontier())
    };
    if size >= described.size {
        return check_prefix(machine, described);
    }
    check_continuation(source, size, frontier.root(), described).await?;
    let (begun, mut told) = (size, Instant::now());
    while size < described.size {
        let question = Question::Records {
            from: size,
            target: described.size,
        };
        let (records, proof) = match source.ask(&question).await? {
            Answer::Records { records, proof } if !records.is_empty() => (records, proof),
            other => return Err(unexpected("for records", other)),
        };
        let records: Vec<Vec<u8>> = records.into_iter().map(|r| r.into_vec()).collect();
        let to = size + records.len() as u64;
        let root = CatchUpFault::Root { from: size, to };
        let mut after: Frontier = frontier.clone();
        for record in &records {
            after.push(leaf_hash(record), &mut |_| ());
        }
        let proof: Vec<_> = proof.iter().map(|h| ledger::Hash(*h.as_bytes())).collect();
        let fits = to <= described.size
            && verify_consistency(to, &after.root(), described.size, &target, &proof).is_ok();
        if !fits
            || records
                .iter()
                .any(|r| codec::from_slice::<Record>(r).is_err())
        {
            return Err(root);
        }
        if machine.take_records(size, &records).map_err(disk)? {
            (size, frontier) = (to, after);
        } else {
            // Entries were applied meanwhile; go on behind them.
            let ledger = machine.ledger();
            (size, frontier) = (ledger.size(), ledger.frontier());
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            let (had, all) = (size - begun, described.size - begun);
            tracing::info!("catching up: {had} of {all} records");
            told = Instant::now();
        }
    }
    Ok(())
}

/// The log here must be the beginning of the described one before anything is added to it.
async fn check_continuation(
    source: &dyn Source,
    size: u64,
    root: ledger::Hash,
    described: &Described,
) -> Result<(), CatchUpFault> {
    if size == 0 {
        return Ok(());
    }
    let question = Question::Consistency {
        old: size,
        new: described.size,
    };
    let proof = match source.ask(&question).await? {
        Answer::Proof(proof) => proof,
        other => return Err(unexpected("for a proof", other)),
    };
    let proof: Vec<_> = proof.iter().map(|h| ledger::Hash(*h.as_bytes())).collect();
    let target = ledger::Hash(*described.root.as_bytes());
    verify_consistency(size, &root, described.size, &target, &proof)
        .map_err(|_| CatchUpFault::Fork { size })
}

/// Puts the entries of another member's sealed store over those here, durably. They may be newer
/// than `entry`: what came later is applied again, and what was destroyed stays destroyed.
async fn merge_store(
    machine: &LedgerMachine,
    source: &dyn Source,
    entry: u64,
) -> Result<(), CatchUpFault> {
    let mut after: Option<Uid> = None;
    loop {
        let (page, last) = ask_page(source, entry, after).await?;
        let end = page.is_empty();
        let store = machine.store().clone();
        let written = tokio::task::spawn_blocking(move || store.merge(&page));
        written.await.map_err(disk)?.map_err(disk)?;
        if end {
            return cluster::Machine::make_durable(machine).map_err(disk);
        }
        after = last;
    }
}

/// One page of another member's sealed store, and its last identifier.
async fn ask_page(
    source: &dyn Source,
    entry: u64,
    after: Option<Uid>,
) -> Result<(Vec<StoreEntry>, Option<Uid>), CatchUpFault> {
    let entries = match source.ask(&Question::StorePage { after, entry }).await? {
        Answer::Entries(entries) => entries,
        other => return Err(unexpected("for objects", other)),
    };
    let last = entries.last().map(|entry| entry.uid);
    let page = entries.into_iter().map(|entry| match entry.sealed {
        Some(sealed) => StoreEntry::Live {
            uid: entry.uid,
            sealed: sealed.into_vec(),
        },
        None => StoreEntry::Tombstone {
            uid: entry.uid,
            index: 0,
        },
    });
    Ok((page.collect(), last))
}

/// Fetches the sealed store page by page. It may be newer than `entry`: what came later is applied
/// again, and an object that was destroyed meanwhile stays destroyed.
pub(crate) async fn fetch_store(
    machine: &LedgerMachine,
    source: &dyn Source,
    entry: u64,
) -> Result<(), CatchUpFault> {
    let (pages, mut queue) = mpsc::channel::<Vec<StoreEntry>>(PAGES_WAITING_MAX);
    let store = machine.store().clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut complete = false;
        let mut page = Vec::new().into_iter();
        let entries = std::iter::from_fn(|| {
            loop {
                if let Some(entry) = page.next() {
                    return Some(Ok(entry));
                }
                match queue.blocking_recv() {
                    // An empty page is the end; a sender that went away is none.
                    Some(next) if next.is_empty() => {
                        complete = true;
                        return None;
                    }
                    Some(next) => page = next.into_iter(),
                    None if complete => return None,
                    None => return Some(Err(StoreFault::CutShort)),
                }
            }
        });
        let entry = entry.max(store.applied_index());
        store.install(entry, entries)
    });
    let sent = send_pages(source, entry, &pages).await;
    drop(pages);
    let written = written.await.map_err(disk)?;
    sent?;
    written.map_err(disk)
}

async fn send_pages(
    source: &dyn Source,
    entry: u64,
    pages: &mpsc::Sender<Vec<StoreEntry>>,
) -> Result<(), CatchUpFault> {
    let mut after: Option<Uid> = None;
    loop {
        let (page, last) = ask_page(source, entry, after).await?;
        let end = page.is_empty();
        after = last;
        if pages.send(page).await.is_err() {
            return Err(disk("the sealed store took no more entries"));
        }
        if end {
            return Ok(());
        }
    }
}
