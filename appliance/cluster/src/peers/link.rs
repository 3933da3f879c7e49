//! A connection that this node has dialled: calls go out on it, answers come back.
//!
//! Many calls share it; a number joins each answer to its call. Whether a call that fails was
//! sent is known exactly: it counts as sent from the moment before its first byte is given to TLS.

use crate::peers::call::CallFault;
use crate::peers::frame::{Kind, Malformed, Message};
use crate::peers::health::Record;
use crate::peers::hello::Lane;
use crate::peers::limits::WRITE_QUEUE_FRAMES;
use crate::peers::wire::{End, FrameReader, ended_writing, write_frames};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// A connection to another node on one lane.
pub(super) struct Link {
    calls: Arc<Mutex<Calls>>,
    /// Numbers of requests on their way to the writer, which takes the bodies itself.
    queue: mpsc::Sender<u64>,
    closing: Arc<Notify>,
}

/// Calls without an answer.
#[derive(Default)]
struct Calls {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    ended: Option<End>,
}

struct Waiting {
    /// The request, until it is sent.
    unsent: Option<Vec<u8>>,
    answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<Vec<u8>, NotTaken>;

/// A call without an answer.
pub(super) enum NotTaken {
    /// The connection ended before the request was sent; it comes back, for another connection.
    Ended(Vec<u8>),
    /// It is over.
    Fault(CallFault),
}

impl Link {
    /// Puts a connection to work that has its handshake behind it. It ends by itself when the
    /// other side closes it or falls silent, and when this value is dropped.
    pub(super) fn start<S>(stream: S, lane: Lane, record: Record, ended: impl Ended) -> Arc<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (queue, outgoing) = mpsc::channel(WRITE_QUEUE_FRAMES);
        let calls = Arc::new(Mutex::new(Calls::default()));
        let closing = Arc::new(Notify::new());
        let link = Arc::new(Self {
            calls: calls.clone(),
            queue,
            closing: closing.clone(),
        });
        tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(stream);
            let limit = lane.body_bytes_max();
            let reader = FrameReader::new(reader, limit, lane.silence_max(), record);
            let begun = calls.clone();
            let begin = move |number: u64| begun.lock().begin(number);
            // In a task of its own, so that neither direction can starve the other.
            let mut writing = JoinSet::new();
            writing.spawn(write_frames(writer, outgoing, begin, None));
            let end = tokio::select! {
                biased;
                () = closing.notified() => End::Here("this node closed the connection"),
                end = writing.join_next() => ended_writing(end),
                end = take_answers(reader, &calls) => end,
            };
            calls.lock().end(&end);
            ended(end);
        });
        link
    }

    /// Whether calls can be made.
    pub(super) fn is_open(&self) -> bool {
        self.calls.lock().ended.is_none()
    }

    /// Ends the connection; calls that wait fail.
    pub(super) fn close(&self) {
        self.calls
            .lock()
            .end(&End::Here("this node closed the connection"));
        self.closing.notify_one();
    }

    /// One call.
    pub(super) async fn call(&self, body: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, NotTaken> {
        let place = match timeout_at(deadline, self.queue.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(NotTaken::Ended(body)),
            Err(_) => {
                let text = "it did not take the request in time: it is busy, or the line is slow";
                return Err(NotTaken::Fault(CallFault::Unreachable(text.into())));
            }
        };
        let (answer, mut answered) = oneshot::channel();
        let number = self.calls.lock().register(body, answer)?;
        let entry = Entry {
            calls: &self.calls,
            number,
        };
        place.send(number);
        let fault = match timeout_at(deadline, &mut answered).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => gone(),
            // The answer may have come in the moment in which the time was up.
            Err(_) => match entry.withdraw() {
                Some(true) => CallFault::Lost("no answer within the time given".into()),
                Some(false) => CallFault::Unreachable("not sent within the time given".into()),
                None => return answered.try_recv().unwrap_or(Err(NotTaken::Fault(gone()))),
            },
        };
        Err(NotTaken::Fault(fault))
    }
}

/// What is done when a link has ended.
pub(super) trait Ended: FnOnce(End) + Send + 'static {}

impl<F: FnOnce(End) + Send + 'static> Ended for F {}

/// The task of the link is gone without having answered: the runtime is shutting down.
fn gone() -> CallFault {
    CallFault::Lost("this node is stopping".into())
}

/// Takes a call back when its caller stops waiting.
struct Entry<'a> {
    calls: &'a Mutex<Calls>,
    number: u64,
}

impl Entry<'_> {
    /// Whether the request was sent; `None` if its outcome is known already.
    fn withdraw(&self) -> Option<bool> {
        let waiting = self.calls.lock().waiting.remove(&self.number);
        waiting.map(|w| w.unsent.is_none())
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Calls {
    fn register(
        &mut self,
        body: Vec<u8>,
        answer: oneshot::Sender<Outcome>,
    ) -> Result<u64, NotTaken> {
        let number = self.next.wrapping_add(1);
        if self.ended.is_some() {
            return Err(NotTaken::Ended(body));
        }
        self.next = number;
        let unsent = Some(body);
        self.waiting.insert(number, Waiting { unsent, answer });
        Ok(number)
    }

    /// Takes a request for sending; there is none when its caller has given up.
    fn begin(&mut self, number: u64) -> Option<Message> {
        let body = self.waiting.get_mut(&number)?.unsent.take()?;
        Some(Message::Request(number, body))
    }

    /// Delivers an answer. One that nobody waits for any more is dropped; one to a request that
    /// was never sent is a fault of the other side.
    fn deliver(
        &mut self,
        number: u64,
        outcome: Result<Vec<u8>, CallFault>,
    ) -> Result<(), Malformed> {
        let unasked = Malformed::Unexpected {
            kind: "answer",
            expected: "an answer to a request that was sent",
        };
        if number > self.next
            || self
                .waiting
                .get(&number)
                .is_some_and(|w| w.unsent.is_some())
        {
            return Err(unasked);
        }
        if let Some(waiting) = self.waiting.remove(&number) {
            // The caller may have gone in this very moment.
            drop(waiting.answer.send(outcome.map_err(NotTaken::Fault)));
        }
        Ok(())
    }

    fn end(&mut self, end: &End) {
        self.ended.get_or_insert_with(|| end.clone());
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let not_taken = match waiting.unsent {
                Some(body) => NotTaken::Ended(body),
                None => NotTaken::Fault(CallFault::Lost(end.to_string())),
            };
            drop(waiting.answer.send(Err(not_taken)));
        }
    }
}

/// Reads answers until the connection ends.
async fn take_answers<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    calls: &Mutex<Calls>,
) -> End {
    loop {
        let frame = async {
            let header = reader.header().await?;
            if header.kind == Kind::Request {
                return Err(unexpected("request"));
            }
            match reader.body(header).await? {
                Message::Answer(number, body) => Ok(calls.lock().deliver(number, Ok(body))?),
                Message::Failure(number, text) => {
                    let outcome = Err(CallFault::Answered(text));
                    Ok(calls.lock().deliver(number, outcome)?)
                }
                Message::Heartbeat => Ok(()),
                Message::Refusal(refused) => Err(End::Told(refused.to_string())),
                other => Err(unexpected(other.kind())),
            }
        };
        if let Err(end) = frame.await {
            return end;
        }
    }
}

fn unexpected(kind: &'static str) -> End {
    End::Malformed(Malformed::Unexpected {
        kind,
        expected: "an answer",
    })
}
