//! One question to one time server (SNTP, RFC 4330 and the checks of RFC 5905).

use super::clock::Clock;
use sntpc::{KissOfDeathCode, NtpContext, NtpTimestampGenerator, NtpUdpSocket};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long an answer may take: farther servers are of no use.
const ANSWER: Duration = Duration::from_secs(2);
/// How many datagrams are looked at for one answer; the rest are a flood.
const DATAGRAMS_MAX: usize = 16;

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How far it is ahead of the clock, in microseconds.
    pub offset_microseconds: i64,
    /// The way there and back, in microseconds.
    pub delay_microseconds: u64,
    /// Its distance from a reference clock.
    pub stratum: u8,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came, or nothing that answers the question.
    #[error("it does not answer{0}")]
    Silent(Rejected),
    /// It answers that it has no time.
    #[error("it is not synchronised itself")]
    Unsynchronised,
    /// It says that we ask too often.
    #[error("it says that it is asked too often")]
    TooOften,
    /// It says that it does not serve us.
    #[error("it refuses to serve this machine")]
    Denied,
    /// No socket, no route.
    #[error("it cannot be asked: {0}")]
    Network(#[from] std::io::Error),
}

/// The last thing that came and was no answer.
#[derive(Debug)]
pub struct Rejected(Option<sntpc::Error>);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, "; something else came: {error:?}"),
            None => Ok(()),
        }
    }
}

/// Asks once. The question goes out from a port of its own, so an answer must know that port and
/// the time in the question.
///
/// # Errors
/// [`AskError`].
pub async fn ask(server: SocketAddr, clock: &impl Clock) -> Result<Reading, AskError> {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from).await?;
    // Datagrams from others never reach a connected socket, and a closed port is heard of.
    socket.connect(server).await?;
    let socket = Connected(socket, server);
    let mut rejected = None;
    let answer = timeout(ANSWER, answer(&socket, server, clock, &mut rejected)).await;
    answer.unwrap_or(Err(AskError::Silent(Rejected(rejected))))
}

async fn answer(
    socket: &Connected,
    server: SocketAddr,
    clock: &impl Clock,
    rejected: &mut Option<sntpc::Error>,
) -> Result<Reading, AskError> {
    let context = NtpContext::new(Stamp {
        clock,
        now: Duration::ZERO,
    });
    let question = sntpc::sntp_send_request(server, socket, context).await;
    let question = question.map_err(|_| AskError::Silent(Rejected(None)))?;
    for _ in 0..DATAGRAMS_MAX {
        match sntpc::sntp_process_response(server, socket, context, question).await {
            Ok(result) => {
                return Ok(Reading {
                    offset_microseconds: result.offset,
                    delay_microseconds: result.roundtrip,
                    stratum: result.stratum,
                });
            }
            // These carry the time of our question, so they are from the server.
            Err(sntpc::Error::UnsynchronizedClock) => return Err(AskError::Unsynchronised),
            Err(sntpc::Error::KissOfDeath(KissOfDeathCode::Rate)) => {
                return Err(AskError::TooOften);
            }
            Err(sntpc::Error::KissOfDeath(KissOfDeathCode::Deny | KissOfDeathCode::Rstr)) => {
                return Err(AskError::Denied);
            }
            Err(error @ sntpc::Error::Network) => {
                return Err(AskError::Silent(Rejected(Some(error))));
            }
            // Anybody can send anything: wait on for the true answer.
            Err(error) => *rejected = Some(error),
        }
    }
    Err(AskError::Silent(Rejected(*rejected)))
}

struct Connected(UdpSocket, SocketAddr);

impl NtpUdpSocket for Connected {
    async fn send_to(&self, buffer: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
        let sent = self.0.send(buffer).await;
        sent.map_err(|_| sntpc::Error::Network)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let received = self.0.recv(buffer).await;
        let length = received.map_err(|_| sntpc::Error::Network)?;
        Ok((length, self.1))
    }
}

/// The clock as the library reads it.
struct Stamp<'a, C> {
    clock: &'a C,
    now: Duration,
}

impl<C> Clone for Stamp<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Stamp<'_, C> {}

impl<C: Clock> NtpTimestampGenerator for Stamp<'_, C> {
    fn init(&mut self) {
        self.now = self.clock.now();
    }

    fn timestamp_sec(&self) -> u64 {
        self.now.as_secs()
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.now.subsec_micros()
    }
}
