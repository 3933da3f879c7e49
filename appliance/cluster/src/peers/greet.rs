//! TLS and the three frames at the beginning of a connection.
//!
//! ```text
//! dialling side                      answering side
//!     TLS 1.3, both certificates (a newcomer has none)
//!     Hello  ----------------------------->  admit?  --- Refusal, end
//!     admit? <----------------------------- Hello
//!     Accept ----------------------------->  requests may follow
//! ```
//! Whoever refuses says why before closing.

use crate::peers::call::CallFault;
use crate::peers::frame::{Malformed, Message};
use crate::peers::hello::{Caller, Gatekeeper, Hello, Lane, PROTOCOL, Refused};
use crate::peers::limits::{HANDSHAKE_TIMEOUT, LINGER};
use crate::peers::net::Stream;
use crate::peers::tls::{is_issued_to, peer_key};
use crate::peers::wire::{End, read_greeting, write_now};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A connection with TLS.
pub(super) type Secured = TlsStream<Box<dyn Stream>>;

/// Why an incoming connection did not come about.
pub(super) enum NotMet {
    /// TLS or the Hello failed.
    Failed(End),
    /// We refused; the Hello names who it claimed to be, and whether a key proves it.
    RefusedHere { refused: Refused, node: Option<u64> },
    /// The other side refused us.
    RefusedThere { refused: Refused, node: u64 },
}

impl From<End> for NotMet {
    fn from(end: End) -> Self {
        NotMet::Failed(end)
    }
}

/// Greets as the side that dialled, over a fresh connection. `judge` says whether the other side
/// is acceptable.
pub(super) async fn dialling(
    stream: Box<dyn Stream>,
    tls: Arc<ClientConfig>,
    name: &str,
    lane: Lane,
    ours: Hello,
    judge: impl FnOnce(&Hello, Option<[u8; 32]>) -> Result<(), Refused>,
) -> Result<Secured, CallFault> {
    let greeted = timeout(HANDSHAKE_TIMEOUT, async {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|e| CallFault::Unreachable(format!("{name} is no name of a server: {e}")))?;
        let tls = TlsConnector::from(tls).connect(name, stream).await;
        let mut stream = TlsStream::from(tls.map_err(|e| in_tls(&e))?);
        match exchange(&mut stream, lane, ours, judge).await {
            Ok(()) => Ok(stream),
            Err(fault) => {
                if let CallFault::RefusedHere(refused) = &fault {
                    // The caller need not wait until the other side has read why.
                    tokio::spawn(say_farewell(stream, refused.clone()));
                }
                Err(fault)
            }
        }
    });
    greeted.await.unwrap_or_else(|_| {
        let ms = HANDSHAKE_TIMEOUT.as_millis();
        let text = format!("no TLS and Hello within {ms} ms: the node hangs, or the line is cut");
        Err(CallFault::Unreachable(text))
    })
}

fn in_tls(e: &std::io::Error) -> CallFault {
    CallFault::Unreachable(format!(
        "TLS failed: {e}; the certificates of both nodes must come from the present cluster CA"
    ))
}

async fn exchange(
    stream: &mut Secured,
    lane: Lane,
    ours: Hello,
    judge: impl FnOnce(&Hello, Option<[u8; 32]>) -> Result<(), Refused>,
) -> Result<(), CallFault> {
    let key = peer_key(stream.get_ref().1).map_err(CallFault::RefusedHere)?;
    let hello = Message::Hello(lane, Box::new(ours));
    write_now(stream, &hello).await.map_err(unmet)?;
    let theirs = match read_greeting(stream).await.map_err(unmet)? {
        Message::Hello(_, theirs) => theirs,
        Message::Refusal(refused) => return Err(CallFault::Refused(*refused)),
        other => {
            let malformed = Malformed::Unexpected {
                kind: other.kind(),
                expected: "a hello",
            };
            return Err(CallFault::RefusedHere(not_understood(&malformed)));
        }
    };
    same_protocol(&theirs).map_err(CallFault::RefusedHere)?;
    judge(&theirs, key).map_err(CallFault::RefusedHere)?;
    write_now(stream, &Message::Accept).await.map_err(unmet)
}

/// A greeting that broke off. In TLS 1.3 the answering side judges our certificate when we believe
/// to be connected, so its alert arrives here.
fn unmet(end: End) -> CallFault {
    match end {
        End::Malformed(malformed) => CallFault::RefusedHere(not_understood(&malformed)),
        End::Broken(text) => in_tls(&std::io::Error::other(text)),
        end => CallFault::Unreachable(format!("in the greeting: {end}")),
    }
}

fn not_understood(malformed: &Malformed) -> Refused {
    Refused::Malformed {
        what: malformed.to_string(),
    }
}

fn same_protocol(theirs: &Hello) -> Result<(), Refused> {
    match theirs.protocol {
        PROTOCOL => Ok(()),
        theirs => Err(Refused::OtherProtocol {
            ours: PROTOCOL,
            theirs,
        }),
    }
}

/// Greets as the side that was dialled. The caller sets the deadline, and says farewell on the
/// connection that comes back with a refusal of ours.
pub(super) async fn answering(
    stream: Box<dyn Stream>,
    tls: Arc<ServerConfig>,
    gate: &dyn Gatekeeper,
) -> Result<(Secured, Caller, Lane), (NotMet, Option<Box<Secured>>)> {
    let tls = TlsAcceptor::from(tls).accept(stream).await;
    let tls = tls.map_err(|e| (NotMet::Failed(e.into()), None))?;
    let mut stream = TlsStream::from(tls);
    match receive(&mut stream, gate).await {
        Ok((caller, lane)) => Ok((stream, caller, lane)),
        Err(why) => Err((why, Some(Box::new(stream)))),
    }
}

async fn receive(stream: &mut Secured, gate: &dyn Gatekeeper) -> Result<(Caller, Lane), NotMet> {
    let refuse = |refused, node| NotMet::RefusedHere { refused, node };
    let key = peer_key(stream.get_ref().1).map_err(|r| refuse(r, None))?;
    let (lane, theirs) = match read_greeting(stream).await {
        Ok(Message::Hello(lane, theirs)) => (lane, theirs),
        Ok(Message::Refusal(refused)) => {
            return Err(NotMet::RefusedThere {
                refused: *refused,
                node: 0,
            });
        }
        Ok(other) => {
            let malformed = Malformed::Unexpected {
                kind: other.kind(),
                expected: "a hello",
            };
            return Err(refuse(not_understood(&malformed), None));
        }
        Err(End::Malformed(malformed)) => {
            return Err(refuse(not_understood(&malformed), None));
        }
        Err(end) => return Err(end.into()),
    };
    // Without a key the number is only a claim.
    let node = key.map(|_| theirs.node);
    let caller = same_protocol(&theirs)
        .and_then(|()| own_certificate(stream, &theirs))
        .and_then(|()| gate.admit(&theirs, key))
        .and_then(|caller| may_use(caller, lane))
        .map_err(|r| refuse(r, node))?;
    let ours = match caller {
        Caller::Member { .. } => gate.hello(),
        Caller::Newcomer { .. } => gate.hello().without_logs(),
    };
    write_now(stream, &Message::Hello(lane, Box::new(ours))).await?;
    match read_greeting(stream).await? {
        Message::Accept => Ok((caller, lane)),
        Message::Refusal(refused) => Err(NotMet::RefusedThere {
            refused: *refused,
            node: node.unwrap_or(0),
        }),
        other => Err(NotMet::Failed(End::Malformed(Malformed::Unexpected {
            kind: other.kind(),
            expected: "an accept",
        }))),
    }
}

/// The certificate names the node that it was issued to. Without this a removed member could take
/// the number of a node that this one has not heard of yet.
fn own_certificate(stream: &Secured, theirs: &Hello) -> Result<(), Refused> {
    let (tls, node) = (stream.get_ref().1, theirs.node);
    let has_one = tls
        .peer_certificates()
        .is_some_and(|chain| !chain.is_empty());
    match !has_one || node == 0 || is_issued_to(tls, &theirs.cluster, node) {
        true => Ok(()),
        false => Err(Refused::WrongKey { node }),
    }
}

/// A newcomer joins, and does nothing else.
fn may_use(caller: Caller, lane: Lane) -> Result<Caller, Refused> {
    match (caller, lane) {
        (Caller::Newcomer { .. }, Lane::Raft | Lane::Bulk) => Err(Refused::MembersOnly {
            lane: lane.to_string(),
        }),
        _ => Ok(caller),
    }
}

/// Says why, and leaves the other side time to read it: closing at once, with bytes of its unread,
/// would throw the refusal away on its side.
pub(super) async fn say_farewell<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    refused: Refused,
) {
    let farewell = async {
        write_now(&mut stream, &Message::Refusal(Box::new(refused))).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, End>(())
    };
    // Whoever does not read it learns it at the next attempt.
    drop(timeout(LINGER, farewell).await);
}
