//! The port where other nodes come in: handshakes with limits, then requests and answers.
//!
//! Back-pressure: a connection whose requests in the making have reached their number or their
//! bytes is not read any further, so the other side's writes wait; nothing is queued here. A side
//! that does not take its answers is given up after a while.

use crate::peers::call::Answerer;
use crate::peers::frame::{Header, Kind, Malformed, Message};
use crate::peers::greet::{NotMet, Secured, answering, say_farewell};
use crate::peers::health::{Record, count};
use crate::peers::hello::{Caller, Lane};
use crate::peers::limits::{
    ACCEPT_PAUSE, ANSWERING_BYTES_MAX, HANDSHAKE_TIMEOUT, NEWCOMER_ANSWERING_MAX,
    NEWCOMER_BYTES_MAX, NEWCOMER_LIFE_MAX, NEWCOMER_REQUESTS_MAX, STALL_TIMEOUT,
    WRITE_QUEUE_FRAMES,
};
use crate::peers::net::{Listener, Stream};
use crate::peers::switchboard::Switchboard;
use crate::peers::wire::{End, FrameReader, ended_writing, write_frames};
use std::sync::Arc;
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Takes connections until told to stop, then ends them.
pub(super) async fn serve(
    board: Arc<Switchboard>,
    mut listener: Box<dyn Listener>,
    answerer: Arc<dyn Answerer>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let (board, answerer) = (board.clone(), answerer.clone());
                connections.spawn(async move { welcome(&board, stream, &from, answerer).await });
            }
            Err(e) => {
                tracing::warn!("cluster port: {e}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

/// One connection, from its first byte to its last.
async fn welcome(
    board: &Arc<Switchboard>,
    stream: Box<dyn Stream>,
    from: &str,
    answerer: Arc<dyn Answerer>,
) {
    let generation = board.generation();
    let Some((stream, caller, lane)) = handshake(board, stream, from).await else {
        return;
    };
    let registered = board.registry.enter(caller, lane);
    if board.generation() != generation {
        // Connections were dropped on purpose since this one was judged: it is to be judged again.
        return;
    }
    {
        let accepted = &mut board.counters.lock().connections_accepted;
        *accepted = accepted.saturating_add(1);
    }
    let newcomer = match caller {
        Caller::Newcomer { .. } => Some(board.newcomers.enter(from)),
        Caller::Member { node } => {
            board.record(node).connected();
            board.hint_alive(node);
            None
        }
    };
    let leave = async {
        match &newcomer {
            None => registered.closed().await,
            Some(place) => tokio::select! {
                biased;
                () = registered.closed() => {}
                () = place.evicted() => {}
                () = sleep(NEWCOMER_LIFE_MAX) => {}
            },
        }
    };
    let end = tokio::select! {
        biased;
        () = leave => End::Here("this node closed the connection"),
        end = session(board, stream, caller, lane, answerer) => end,
    };
    tracing::debug!("connection of {caller:?} from {from}, {lane}: {end}");
    board.count_end(&end);
}

/// TLS and the Hellos, within their time and places.
async fn handshake(
    board: &Arc<Switchboard>,
    stream: Box<dyn Stream>,
    from: &str,
) -> Option<(Secured, Caller, Lane)> {
    let place = board.handshakes.enter(from);
    let greeting = answering(stream, board.tls.server(), board.gate.as_ref());
    let met = tokio::select! {
        biased;
        () = place.evicted() => {
            let evicted = &mut board.counters.lock().handshakes_evicted;
            *evicted = evicted.saturating_add(1);
            return None;
        }
        met = timeout(HANDSHAKE_TIMEOUT, greeting) => met,
    };
    let (why, stream) = match met {
        Ok(Ok(met)) => return Some(met),
        Ok(Err(not_met)) => not_met,
        Err(_) => (NotMet::Failed(End::Silent(HANDSHAKE_TIMEOUT)), None),
    };
    note(board, from, &why);
    if let (NotMet::RefusedHere { refused, .. }, Some(stream)) = (why, stream) {
        say_farewell(stream, refused).await;
    }
    None
}

/// Counts a connection that did not come about, and remembers why if it is known whose it was.
fn note(board: &Switchboard, from: &str, why: &NotMet) {
    let mut counters = board.counters.lock();
    match why {
        NotMet::Failed(end) => {
            counters.handshakes_failed = counters.handshakes_failed.saturating_add(1);
            tracing::debug!("connection from {from}: {end}");
        }
        NotMet::RefusedHere { refused, node } => {
            count(&mut counters.refused_here, refused);
            tracing::debug!("connection from {from} refused: {refused}");
            if let Some(record) = node.and_then(|node| board.known_record(node)) {
                record.refused(format!("this node refuses the other one: {refused}"));
            }
        }
        NotMet::RefusedThere { refused, node } => {
            count(&mut counters.refused_there, refused);
            tracing::debug!("connection from {from} was given up there: {refused}");
            if let Some(record) = board.known_record(*node) {
                record.refused(format!("the other node refuses this one: {refused}"));
            }
        }
    }
}

/// What one connection may ask.
struct Allowance {
    caller: Caller,
    lane: Lane,
    /// Requests being answered.
    answering: Arc<Semaphore>,
    /// Their bytes.
    bytes: Arc<Semaphore>,
    /// Requests that may still come; `None` for a member.
    left: Option<u32>,
}

impl Allowance {
    fn new(caller: Caller, lane: Lane) -> Self {
        let (answering, left) = match caller {
            Caller::Member { .. } => (lane.answering_max(), None),
            Caller::Newcomer { .. } => (NEWCOMER_ANSWERING_MAX, Some(NEWCOMER_REQUESTS_MAX)),
        };
        Self {
            caller,
            lane,
            answering: Arc::new(Semaphore::new(answering)),
            bytes: Arc::new(Semaphore::new(ANSWERING_BYTES_MAX as usize)),
            left,
        }
    }

    /// Largest request, in bytes.
    fn request_bytes_max(&self) -> usize {
        match self.caller {
            Caller::Member { .. } => self.lane.body_bytes_max(),
            Caller::Newcomer { .. } => NEWCOMER_BYTES_MAX,
        }
    }

    /// Waits until there is room for a request; this is where back-pressure comes from.
    async fn room(&mut self, header: Header) -> Result<[OwnedSemaphorePermit; 2], End> {
        if let Some(left) = &mut self.left {
            let over = End::Here("a newcomer asked more than one may on one connection");
            *left = left.checked_sub(1).ok_or(over)?;
        }
        let closed = |_| End::Here("this node closed the connection");
        let length = u32::try_from(header.length).unwrap_or(ANSWERING_BYTES_MAX);
        let answering = self.answering.clone().acquire_owned().await;
        let bytes = self.bytes.clone().acquire_many_owned(length).await;
        Ok([answering.map_err(closed)?, bytes.map_err(closed)?])
    }
}

/// Requests in, answers out.
async fn session(
    board: &Arc<Switchboard>,
    stream: Secured,
    caller: Caller,
    lane: Lane,
    answerer: Arc<dyn Answerer>,
) -> End {
    let record = match caller {
        Caller::Member { node } => board.record(node),
        Caller::Newcomer { .. } => Record::default(),
    };
    let allowance = Allowance::new(caller, lane);
    let (reader, writer) = tokio::io::split(stream);
    let limit = allowance.request_bytes_max();
    let reader = FrameReader::new(reader, limit, lane.silence_max(), record);
    let (answers, queue) = mpsc::channel(WRITE_QUEUE_FRAMES);
    // In a task of its own, so that neither direction can starve the other.
    let mut writing = JoinSet::new();
    writing.spawn(write_frames(writer, queue, Some, Some(STALL_TIMEOUT)));
    tokio::select! {
        biased;
        end = writing.join_next() => ended_writing(end),
        end = take_requests(reader, allowance, answerer, answers) => end,
    }
}

/// Reads requests and has them answered, as many at once as are allowed. Answers that are being
/// made when the connection ends are dropped with it: nobody waits for them.
async fn take_requests<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    mut allowance: Allowance,
    answerer: Arc<dyn Answerer>,
    answers: mpsc::Sender<Message>,
) -> End {
    let mut answering = JoinSet::new();
    let (caller, lane) = (allowance.caller, allowance.lane);
    loop {
        let frame = async {
            let header = reader.header().await?;
            let room = match header.kind {
                Kind::Request => Some(allowance.room(header).await?),
                _ => None,
            };
            Ok((reader.body(header).await?, room))
        };
        match frame.await {
            Ok((Message::Request(number, body), room)) => {
                let (answerer, answers) = (answerer.clone(), answers.clone());
                answering.spawn(async move {
                    let outcome = answerer.answer(caller, lane, body).await;
                    // The answer may have to wait for a slow reader, with its place kept.
                    drop(answers.send(answer_of(number, lane, outcome)).await);
                    drop(room);
                });
                // Results are empty; this only keeps the set small.
                while answering.try_join_next().is_some() {}
            }
            Ok((Message::Heartbeat, _)) => {}
            Ok((Message::Refusal(refused), _)) => return End::Told(refused.to_string()),
            Ok((other, _)) => {
                return End::Malformed(Malformed::Unexpected {
                    kind: other.kind(),
                    expected: "a request",
                });
            }
            Err(end) => return end,
        }
    }
}

fn answer_of(number: u64, lane: Lane, outcome: Result<Vec<u8>, String>) -> Message {
    let limit = lane.body_bytes_max();
    match outcome {
        Ok(body) if body.len() > limit => {
            let bytes = body.len();
            let text = format!("the answer has {bytes} bytes, and the lane carries {limit}");
            Message::Failure(number, text)
        }
        Ok(body) => Message::Answer(number, body),
        Err(text) => Message::Failure(number, text),
    }
}
