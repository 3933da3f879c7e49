//! The access log of this node: what was read or refused here (law 5).
//!
//! Group commit without a thread of its own. Who first waits for a record leads: it appends all
//! records that are there with one write, makes them durable with one fsync, lets everybody in the
//! group go on, and hands the lead to one who waits for a later record. A lone reader so pays one
//! fsync and no change of thread; under load the groups grow by themselves.

use domain::{AccessRecord, codec};
use ledger::{Fault, Hash, Ledger, SegmentsReader};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often records are looked for whose writer did not wait for them.
const LEFT_INTERVAL: Duration = Duration::from_millis(200);

/// The record could not be written, so nothing may be released.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the access log cannot be written ({0}); nothing is released without its record")]
pub struct NotRecorded(String);

/// Proof that a record is on the disk. Only the log makes it; what releases key material asks for
/// one.
#[derive(Debug)]
pub struct Recorded(());

/// What someone who waits is told.
enum Told {
    /// The record is on the disk, or cannot be brought there.
    Outcome(Result<(), NotRecorded>),
    /// Commit the next group; your record is in it.
    Lead,
}

#[derive(Default)]
struct Queue {
    /// Handed in and not yet on their way.
    records: Vec<Vec<u8>>,
    /// How many were handed in since the start: the number of a record.
    handed_in: u64,
    /// How many of those are on the disk.
    durable: u64,
    /// Why none will be any more.
    failed: Option<NotRecorded>,
    /// Numbers of records that are waited for.
    waiting: VecDeque<(u64, oneshot::Sender<Told>)>,
    /// Somebody commits a group now, or was told to.
    is_led: bool,
}

impl Queue {
    /// What there is to say about a record already.
    fn outcome(&self, number: u64) -> Option<Result<(), NotRecorded>> {
        if self.durable >= number {
            return Some(Ok(()));
        }
        self.failed.clone().map(Err)
    }
}

struct Shared {
    queue: Mutex<Queue>,
    ledger: Mutex<Ledger>,
}

/// The handle that doors write through. Clones share the log.
#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

/// A record on its way to the disk.
pub struct Receipt {
    shared: Arc<Shared>,
    number: u64,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog")
            .field("size", &self.head().0)
            .finish()
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({})", self.number)
    }
}

impl Receipt {
    /// Waits until the record is durable, and does the work when nobody does it.
    pub async fn recorded(self) -> Result<Recorded, NotRecorded> {
        let place = {
            let mut queue = self.shared.queue.lock();
            if let Some(outcome) = queue.outcome(self.number) {
                return outcome.map(Recorded);
            }
            if queue.is_led {
                let (tell, told) = oneshot::channel();
                queue.waiting.push_back((self.number, tell));
                Some(Place {
                    told,
                    shared: self.shared.clone(),
                })
            } else {
                queue.is_led = true;
                None
            }
        };
        if let Some(mut place) = place {
            match (&mut place.told).await {
                Ok(Told::Outcome(outcome)) => return outcome.map(Recorded),
                Ok(Told::Lead) => {}
                Err(_) => return Err(NotRecorded("the log was closed".into())),
            }
        }
        self.shared.commit();
        let outcome = self.shared.queue.lock().outcome(self.number);
        outcome
            .unwrap_or_else(|| Err(NotRecorded("the record was not in its group".into())))
            .map(Recorded)
    }
}

/// A place among those who wait. One who leaves it after being told to lead passes the lead on.
struct Place {
    told: oneshot::Receiver<Told>,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.told.close();
        if matches!(self.told.try_recv(), Ok(Told::Lead)) {
            self.shared.pass_lead();
        }
    }
}

impl Shared {
    /// Brings what was handed in to the disk. Only the one who leads does this. It blocks its
    /// thread for one fsync; the runtime has a thread to spare for that.
    fn commit(&self) {
        let (records, last) = {
            let mut queue = self.queue.lock();
            (std::mem::take(&mut queue.records), queue.handed_in)
        };
        let written = {
            let mut ledger = self.ledger.lock();
            ledger.append(&records).and_then(|_| ledger.sync())
        };
        let answered = {
            let mut queue = self.queue.lock();
            match written {
                Ok(_) => queue.durable = last,
                Err(fault) => queue.failed = Some(NotRecorded(fault.to_string())),
            }
            let waiting = std::mem::take(&mut queue.waiting);
            let (answered, later): (Vec<_>, _) = waiting
                .into_iter()
                .partition(|(number, _)| queue.outcome(*number).is_some());
            queue.waiting = later.into();
            let outcome = queue.failed.clone().map_or(Ok(()), Err);
            answered
                .into_iter()
                .map(move |(_, tell)| (tell, outcome.clone()))
        };
        // The next group begins before this one is told: its leader wakes while they do.
        self.pass_lead();
        for (tell, outcome) in answered {
            // Who asked may have gone; the record stands.
            drop(tell.send(Told::Outcome(outcome)));
        }
    }

    /// Names the next leader among those who wait; nobody leads when nobody waits.
    fn pass_lead(&self) {
        loop {
            let next = {
                let mut queue = self.queue.lock();
                let next = queue.waiting.pop_front();
                queue.is_led = next.is_some();
                next
            };
            match next {
                None => return,
                Some((_, tell)) => {
                    if tell.send(Told::Lead).is_ok() {
                        return;
                    }
                }
            }
        }
    }

    /// Leads if there are records and nobody does.
    fn commit_left(&self) {
        let lead = {
            let mut queue = self.queue.lock();
            let left = !queue.is_led && !queue.records.is_empty() && queue.failed.is_none();
            queue.is_led |= left;
            left
        };
        if lead {
            self.commit();
        }
    }
}

/// Brings to the disk what nobody waits for, such as counted rejections.
async fn commit_what_is_left(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(LEFT_INTERVAL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if tokio::task::spawn_blocking(move || shared.commit_left())
            .await
            .is_err()
        {
            return;
        }
    }
}

impl AccessLog {
    /// Takes over an opened log.
    pub fn start(ledger: Ledger) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            ledger: Mutex::new(ledger),
        });
        tokio::spawn(commit_what_is_left(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Hands a record in; the receipt tells when it is durable.
    pub fn write(&self, record: &AccessRecord) -> Result<Receipt, NotRecorded> {
        let record = codec::to_vec(record);
        let mut queue = self.shared.queue.lock();
        if let Some(failed) = &queue.failed {
            return Err(failed.clone());
        }
        queue.records.push(record);
        queue.handed_in += 1;
        Ok(Receipt {
            shared: self.shared.clone(),
            number: queue.handed_in,
        })
    }

    /// Size and Merkle root.
    pub fn head(&self) -> (u64, Hash) {
        let ledger = self.shared.ledger.lock();
        (ledger.size(), ledger.root())
    }

    /// Works on the log between two groups; for its signed head.
    pub fn with_ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.shared.ledger.lock())
    }

    /// Why the log takes no more records, if it does not.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.ledger.lock().poisoned().cloned()
    }

    /// Reads records while others are written.
    pub fn reader(&self) -> SegmentsReader {
        self.shared.ledger.lock().reader()
    }
}
