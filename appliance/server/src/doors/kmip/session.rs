//! One connection: messages in, answers out, one after the other.
//!
//! Nothing is allocated from a declared length: the buffer grows with the bytes that arrive. What
//! came in and what goes out may hold key material, so both buffers are erased.

use super::operations::{Answer, Call, Refused};
use super::translate::fault_failure;
use crate::counters::Counters;
use crate::engine::{Engine, Fault, Refusal};
use domain::{Access, Actor, Denial};
use kmip::enumerations::BatchErrorContinuationOption;
use kmip::ttlv::{self, HEADER_BYTES};
use kmip::{Credential, Failure, Limits, Operation, Request, Response, ResponseItem, ResultReason};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// Time until the first byte of the first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Time from the first byte of a message to its last, and for an answer to be taken.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time a connection may be idle between messages: clients keep theirs for hours.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How often an idle session asks whether its user is still accepted (ABUSE A6: within 5 s).
const ACCEPTANCE_INTERVAL: Duration = Duration::from_secs(4);

/// First size of the buffers: most messages fit.
const BUFFER_BYTES: usize = 4 * 1024;

/// Smallest response that a client may ask for; less cannot hold a refusal.
const RESPONSE_BYTES_MIN: usize = 256;

/// Serves one connection to its end.
pub(super) async fn serve(engine: &Engine, actor: &Actor, stream: TlsStream<TcpStream>) {
    let limits = Limits::default();
    let mut session = Session {
        engine,
        actor,
        stream,
        limits,
        received: Buffer::new(),
    };
    let mut idle = FIRST_REQUEST_TIMEOUT;
    // A connection that ends in an error ends; whatever mattered was recorded where it happened.
    while let Ok(Some(length)) = session.next_message(idle).await {
        match session.answer(length).await {
            Ok(Keep::Open) => idle = IDLE_TIMEOUT,
            Ok(Keep::Closed) | Err(_) => break,
        }
    }
    // The client may be gone already; then there is nobody to say goodbye to.
    drop(session.stream.shutdown().await);
}

/// Whether the connection goes on after an answer.
enum Keep {
    Open,
    Closed,
}

struct Session<'a> {
    engine: &'a Engine,
    actor: &'a Actor,
    stream: TlsStream<TcpStream>,
    limits: Limits,
    received: Buffer,
}

impl Session<'_> {
    /// Waits for a whole message; `None` when the client went away or was idle for too long.
    /// An unsound length is answered here, and ends the connection.
    async fn next_message(&mut self, idle: Duration) -> io::Result<Option<usize>> {
        if self.received.is_empty() && !self.await_first_byte(idle).await? {
            return Ok(None);
        }
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        loop {
            if let Some(header) = self.received.header() {
                match ttlv::message_length(&header, self.limits.message_bytes) {
                    Ok(length) if self.received.len() >= length => return Ok(Some(length)),
                    Ok(_) => {}
                    Err(malformed) => {
                        self.refuse_message(&malformed.into()).await?;
                        return Ok(None);
                    }
                }
            }
            let read = timeout_at(deadline, self.received.read_from(&mut self.stream)).await;
            if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                return Ok(None);
            }
        }
    }

    /// Waits for a message to begin, looking now and then whether the user is still accepted.
    async fn await_first_byte(&mut self, idle: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + idle;
        loop {
            let look = deadline.min(Instant::now() + ACCEPTANCE_INTERVAL);
            match timeout_at(look, self.received.read_from(&mut self.stream)).await {
                Ok(read) => return Ok(read? > 0),
                Err(_) if Instant::now() >= deadline => return Ok(false),
                Err(_) if self.accepted().is_err() => return Ok(false),
                Err(_) => {}
            }
        }
    }

    /// Whether this user, with this certificate, is accepted now, as far as this node knows.
    fn accepted(&self) -> Result<(), Denial> {
        let Actor::User {
            name, certificate, ..
        } = self.actor
        else {
            return Err(Denial::UnknownUser);
        };
        let now = self.engine.now();
        domain::authenticate(&self.engine.machine().state(), name, certificate, now)
    }

    async fn answer(&mut self, length: usize) -> io::Result<Keep> {
        let request = match self.received.message(length) {
            Some(message) => Request::decode(message, &self.limits),
            None => return Ok(Keep::Closed),
        };
        self.received.consume(length);
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                self.refuse_message(&error).await?;
                return Ok(Keep::Closed);
            }
        };
        let size_max = request.header.maximum_response_size;
        let (response, keep) = match self.check_header(&request).await {
            Ok(()) => (self.carry_out(request).await, Keep::Open),
            Err((failure, keep)) => (self.refuse_all(request, &failure), keep),
        };
        self.send(response, size_max).await?;
        Ok(keep)
    }

    /// Who asks, and whether the batch as a whole can be carried out as asked.
    async fn check_header(&self, request: &Request) -> Result<(), (Failure, Keep)> {
        if let Err(refusal) = self.check_user(request).await {
            let failure = super::translate::failure(&refusal, request.header.version);
            return Err((failure, Keep::Closed));
        }
        let undo = request.header.batch_error_option == Some(BatchErrorContinuationOption::UNDO);
        if undo && request.items.len() > 1 {
            let message = "Batch Error Continuation Option Undo is not supported; use Stop.";
            let failure = Failure::new(ResultReason::FEATURE_NOT_SUPPORTED, message);
            return Err((failure, Keep::Open));
        }
        Ok(())
    }

    /// The certificate proves the user; a user name in the header must be the same (ABUSE A7).
    async fn check_user(&self, request: &Request) -> Result<(), Refusal> {
        let Actor::User {
            name, certificate, ..
        } = self.actor
        else {
            return Err(self.deny(request, Denial::UnknownUser));
        };
        let proven = self.engine.authenticate(name, certificate).await?;
        proven.map_err(|denial| self.deny(request, denial))?;
        let same = request
            .header
            .credentials
            .iter()
            .all(|credential| match credential {
                Credential::UsernameAndPassword { username, .. } => username == name.as_str(),
                Credential::Other { .. } => true,
            });
        if same {
            Ok(())
        } else {
            Err(self.deny(request, Denial::CertificateNotAccepted))
        }
    }

    /// Records that a whole request is refused.
    fn deny(&self, request: &Request, denial: Denial) -> Refusal {
        let name = request
            .items
            .first()
            .map_or_else(String::new, |i| i.operation.to_string());
        let denied = self.engine.deny(self.actor, &name, None, denial);
        denied.unwrap_or_else(Refusal::Fault)
    }

    /// Carries out the items in order. Their records reach the disk together, and only then does
    /// anything of the answer leave.
    async fn carry_out(&self, request: Request) -> Response {
        let Request { header, items } = request;
        let stop_at_failure =
            header.batch_error_option != Some(BatchErrorContinuationOption::CONTINUE);
        let mut call = Call {
            engine: self.engine,
            actor: self.actor,
            version: header.version,
            placeholder: None,
            correlation: header.client_correlation_value.as_deref(),
            item: 0,
        };
        let mut answers: Vec<(Operation, Option<Vec<u8>>, Answer)> = Vec::new();
        for item in items {
            call.item = answers.len();
            let answer = match item.payload {
                Ok(payload) => call.answer(payload).await,
                Err(failure) => call.refuse(failure).await,
            };
            let failed = answer.is_err();
            let counters = self.engine.counters();
            Counters::add(if failed {
                &counters.refused
            } else {
                &counters.done
            });
            answers.push((item.operation, item.id, answer));
            if failed && stop_at_failure {
                break;
            }
        }
        let mut items = Vec::with_capacity(answers.len());
        for (operation, id, answer) in answers {
            let result = settle(answer).await;
            items.push(ResponseItem {
                operation: Some(operation),
                id,
                result,
            });
        }
        Response {
            version: header.version,
            time_stamp: self.engine.now().seconds(),
            client_correlation_value: header.client_correlation_value,
            server_correlation_value: None,
            items,
        }
    }

    fn refuse_all(&self, request: Request, failure: &Failure) -> Response {
        let Request { header, items } = request;
        let refuse = |item: kmip::RequestItem| ResponseItem {
            operation: Some(item.operation),
            id: item.id,
            result: Err(failure.clone()),
        };
        Response {
            version: header.version,
            time_stamp: self.engine.now().seconds(),
            client_correlation_value: header.client_correlation_value,
            server_correlation_value: None,
            items: items.into_iter().map(refuse).collect(),
        }
    }

    /// Answers a message that cannot be read as a request, and records it.
    async fn refuse_message(&mut self, error: &kmip::RequestError) -> io::Result<()> {
        let access = Access::Malformed {
            reason: error.to_string(),
            count: 1,
        };
        let (seen, now) = (self.engine.seen(), self.engine.now());
        let recorded = self.engine.record(self.actor, seen, now, access);
        if let Err(e) = recorded {
            tracing::error!("{e}");
        }
        self.send(error.answer(now.seconds()), None).await
    }

    async fn send(&mut self, response: Response, size_max: Option<i32>) -> io::Result<()> {
        let mut out = Buffer::new();
        response.encode(&mut out.bytes);
        let size_max = size_max.and_then(|max| usize::try_from(max).ok());
        if size_max.is_some_and(|max| out.len() > max.max(RESPONSE_BYTES_MIN)) {
            let message = format!(
                "The response has {} bytes, more than the Maximum Response Size of the request.",
                out.len()
            );
            let failure = Failure::new(ResultReason::RESPONSE_TOO_LARGE, message);
            let refusal = Response::refusing(response.version, response.time_stamp, failure);
            out = Buffer::new();
            refusal.encode(&mut out.bytes);
        }
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        let write = async {
            self.stream.write_all(&out.bytes).await?;
            self.stream.flush().await
        };
        timeout_at(deadline, write)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// Waits for the record of an item, and gives its answer out only then.
async fn settle(answer: Answer) -> Result<kmip::ResponsePayload, Failure> {
    let not_recorded = |e| fault_failure(&Fault::NotRecorded(e));
    match answer {
        Ok(pending) => pending.settle().await.map_err(not_recorded),
        Err(Refused {
            failure,
            receipt: None,
        }) => Err(failure),
        Err(Refused {
            failure,
            receipt: Some(receipt),
        }) => {
            receipt.recorded().await.map_err(not_recorded)?;
            Err(failure)
        }
    }
}

/// Bytes received and not yet used, erased when dropped or moved to larger room.
struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(BUFFER_BYTES)),
        }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn header(&self) -> Option<[u8; HEADER_BYTES]> {
        self.bytes.get(..HEADER_BYTES)?.try_into().ok()
    }

    fn message(&self, length: usize) -> Option<&[u8]> {
        self.bytes.get(..length)
    }

    /// Reads what has arrived. Full room is doubled by hand: `Vec` would leave a copy behind.
    async fn read_from(&mut self, stream: &mut TlsStream<TcpStream>) -> io::Result<usize> {
        if self.bytes.len() == self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(self.bytes.capacity() * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        let room = self.bytes.capacity() - self.bytes.len();
        (&mut *stream)
            .take(room as u64)
            .read_buf(&mut *self.bytes)
            .await
    }

    /// Drops a message that was read; what came after it moves to the front.
    fn consume(&mut self, length: usize) {
        let length = length.min(self.bytes.len());
        let rest = self.bytes.len() - length;
        self.bytes.copy_within(length.., 0);
        if let Some(used) = self.bytes.get_mut(rest..) {
            zeroize::Zeroize::zeroize(used);
        }
        self.bytes.truncate(rest);
    }
}
