//! The access log of this node: what was read or refused here (law 5).
//!
//! One thread owns the log. It takes every record that waits, appends them with one write, makes
//! them durable with one fsync and only then lets those who wait go on. Under load the groups grow
//! by themselves; a lone record waits for one fsync.

use domain::{AccessRecord, codec};
use ledger::{Fault, Hash, Ledger, SegmentsReader};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Records that wait for their fsync; beyond it, those who ask wait to hand theirs in.
const WAITING_MAX: usize = 8192;

/// Records in one write: bounds the time one group takes.
const GROUP_RECORDS_MAX: usize = 2048;

/// The record could not be written, so nothing may be released.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the access log cannot be written ({0}); nothing is released without its record")]
pub struct NotRecorded(String);

/// Proof that a record is on the disk. Only the log makes it; what releases key material asks for
/// one.
#[derive(Debug)]
pub struct Recorded(());

struct Waiting {
    record: Vec<u8>,
    done: oneshot::Sender<Result<(), NotRecorded>>,
}

/// A record on its way to the disk.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), NotRecorded>>);

impl Receipt {
    /// Waits until the record is durable.
    pub async fn recorded(self) -> Result<Recorded, NotRecorded> {
        let answer = self.0.await;
        answer
            .map_err(|_| NotRecorded("its thread has ended".into()))?
            .map(|()| Recorded(()))
    }
}

/// The handle that doors write through. Clones share the log.
#[derive(Clone)]
pub struct AccessLog {
    waiting: mpsc::Sender<Waiting>,
    ledger: Arc<Mutex<Ledger>>,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog")
            .field("size", &self.head().0)
            .finish()
    }
}

impl AccessLog {
    /// Takes over an opened log and starts its thread.
    pub fn start(ledger: Ledger) -> std::io::Result<Self> {
        let ledger = Arc::new(Mutex::new(ledger));
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let shared = ledger.clone();
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_groups(queue, &shared))?;
        Ok(Self { waiting, ledger })
    }

    /// Hands a record in; the receipt tells when it is durable.
    pub async fn write(&self, record: &AccessRecord) -> Result<Receipt, NotRecorded> {
        let (done, answer) = oneshot::channel();
        let waiting = Waiting {
            record: codec::to_vec(record),
            done,
        };
        let sent = self.waiting.send(waiting).await;
        sent.map_err(|_| NotRecorded("its thread has ended".into()))?;
        Ok(Receipt(answer))
    }

    /// Size and Merkle root.
    pub fn head(&self) -> (u64, Hash) {
        let ledger = self.ledger.lock();
        (ledger.size(), ledger.root())
    }

    /// Works on the log between two groups; for its signed head.
    pub fn with_ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ledger.lock())
    }

    /// Why the log takes no more records, if it does not.
    pub fn fault(&self) -> Option<Fault> {
        self.ledger.lock().poisoned().cloned()
    }

    /// Reads records while others are written.
    pub fn reader(&self) -> SegmentsReader {
        self.ledger.lock().reader()
    }
}

fn write_groups(mut queue: mpsc::Receiver<Waiting>, ledger: &Mutex<Ledger>) {
    let mut records = Vec::new();
    let mut waiters = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        records.push(first.record);
        waiters.push(first.done);
        while records.len() < GROUP_RECORDS_MAX {
            let Ok(next) = queue.try_recv() else { break };
            records.push(next.record);
            waiters.push(next.done);
        }
        let written = {
            let mut ledger = ledger.lock();
            ledger.append(&records).and_then(|_| ledger.sync())
        };
        let outcome = written
            .map(drop)
            .map_err(|fault| NotRecorded(fault.to_string()));
        for waiter in waiters.drain(..) {
            // Who asked may have gone; the record stands.
            drop(waiter.send(outcome.clone()));
        }
        records.clear();
    }
}
