//! Every write to the folder of the Raft log, one after the other.
//!
//! In the product a thread does them, because a flush blocks. In a simulation, where everything
//! has to happen on one thread, they are done at once by who asks.

use crate::danger::{self, Bug};
use crate::double_slot::DoubleSlot;
use crate::log_store::{HardState, Tail};
use crate::types::TypeConfig;
use ledger::Segments;
use openraft::storage::LogFlushed;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Write jobs that wait for the log thread; openraft has at most a few under way.
const JOBS_MAX: usize = 64;

type Done = oneshot::Sender<io::Result<()>>;

pub(crate) enum Job {
    Append {
        first: u64,
        records: Vec<Vec<u8>>,
        done: LogFlushed<TypeConfig>,
    },
    Truncate {
        index: u64,
        done: Done,
    },
    Purge {
        hard: HardState,
        before: u64,
        done: Done,
    },
    Roll {
        done: Done,
    },
    Vote {
        hard: HardState,
        done: Done,
    },
}

/// The open files of the log.
pub(crate) struct Folder {
    segments: Segments,
    hard_file: DoubleSlot<HardState>,
    tail: Arc<Mutex<Tail>>,
}

/// Where jobs are handed in.
#[derive(Clone)]
pub(crate) enum LogWriter {
    Thread(mpsc::Sender<Job>),
    Inline(Arc<Mutex<Folder>>),
}

/// The answer when the writer is no more.
pub(crate) fn gone() -> io::Error {
    io::Error::other("the Raft log thread has ended")
}

impl LogWriter {
    pub(crate) fn start(mut folder: Folder, inline: bool) -> io::Result<Self> {
        if inline {
            return Ok(Self::Inline(Arc::new(Mutex::new(folder))));
        }
        let (jobs, mut queue) = mpsc::channel(JOBS_MAX);
        let thread = std::thread::Builder::new().name("raft-log".into());
        thread.spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                folder.carry_out(job);
            }
        })?;
        Ok(Self::Thread(jobs))
    }

    /// Has a job done; who wants to know when, waits for its `done`.
    pub(crate) async fn submit(&self, job: Job) -> io::Result<()> {
        match self {
            Self::Thread(jobs) => jobs.send(job).await.map_err(|_| gone()),
            Self::Inline(folder) => {
                folder.lock().carry_out(job);
                Ok(())
            }
        }
    }
}

impl Folder {
    pub(crate) fn new(
        segments: Segments,
        hard_file: DoubleSlot<HardState>,
        tail: Arc<Mutex<Tail>>,
    ) -> Self {
        Self {
            segments,
            hard_file,
            tail,
        }
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Append {
                first,
                records,
                done,
            } => {
                let result = append(&mut self.segments, first, &records);
                if result.is_ok() {
                    let last = self.segments.size().checked_sub(1);
                    self.tail.lock().flushed_to(last);
                }
                done.log_io_completed(result);
            }
            Job::Truncate { index, done } => {
                let truncated = self.segments.truncate_from(index);
                drop(done.send(truncated.map_err(io::Error::other)));
            }
            Job::Vote { hard, done } => {
                let durable = !danger::has(Bug::VoteNotSynced);
                drop(done.send(self.hard_file.write_as(&hard, durable)));
            }
            Job::Purge { hard, before, done } => {
                // The mark comes first: entries may be gone only after it says so.
                let purged = self.hard_file.write(&hard).and_then(|()| {
                    let purged = self.segments.purge_before(before);
                    purged.map_err(io::Error::other)
                });
                drop(done.send(purged));
            }
            Job::Roll { done } => {
                drop(done.send(self.segments.begin_segment().map_err(io::Error::other)));
            }
        }
    }
}

fn append(segments: &mut Segments, first: u64, records: &[Vec<u8>]) -> io::Result<()> {
    if segments.first() == segments.size() && segments.size() < first {
        // An empty log may begin anywhere: after a snapshot, say.
        segments.purge_before(first).map_err(io::Error::other)?;
    }
    if first < segments.size() {
        // Entries that stand here already are replaced, as Raft does after a change of leader.
        segments.truncate_from(first).map_err(io::Error::other)?;
    }
    if segments.size() != first {
        let message = format!(
            "Raft log: entry {first} came where {} is next",
            segments.size()
        );
        return Err(io::Error::other(message));
    }
    segments.append(records).map_err(io::Error::other)?;
    if cfg!(feature = "danger_ack_before_fsync") || danger::has(Bug::AckBeforeFsync) {
        return Ok(());
    }
    segments.sync().map_err(io::Error::other)?;
    Ok(())
}
