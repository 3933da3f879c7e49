//! Frames: what travels inside TLS between nodes.
//!
//! ```text
//! length u32 big-endian | kind u8 | number u64 big-endian | body: `length` bytes
//! ```
//! The number joins an answer to its request and is 0 elsewhere. The bodies of requests and
//! answers are opaque here; those of Hello and Refusal are CBOR. A reader never allocates what a
//! length only promises: room grows as bytes arrive, and a length above the limit of the lane ends
//! the connection before anything is read.

use crate::codec;
use crate::peers::hello::{Hello, Lane, Refused};
use crate::peers::limits::{HELLO_BYTES_MAX, TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 13;

/// What a frame can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// First frame of each side.
    Hello(Lane, Box<Hello>),
    /// The side that dialled accepts what the other said; requests follow.
    Accept,
    /// Why the connection ends now.
    Refusal(Box<Refused>),
    /// A request.
    Request(u64, Vec<u8>),
    /// The answer to the request of that number.
    Answer(u64, Vec<u8>),
    /// The request of that number was answered by an error.
    Failure(u64, String),
    /// Nothing but a sign of life.
    Heartbeat,
}

/// Not a frame of this protocol. The connection ends: where the next frame begins is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than a frame needs.
    #[error("{has} bytes are no whole frame")]
    Short {
        /// Bytes there are.
        has: usize,
    },
    /// More bytes than the length says.
    #[error("{extra} bytes after the end of the frame")]
    Trailing {
        /// Bytes too many.
        extra: usize,
    },
    /// Kind of frame that does not exist.
    #[error("frame of the unknown kind {0}")]
    UnknownKind(u8),
    /// Larger than this kind may be on this connection.
    #[error("frame of {length} bytes, where at most {limit} are allowed")]
    TooLong {
        /// Length that the frame declares.
        length: u64,
        /// Largest allowed.
        limit: usize,
    },
    /// The body is not what the kind calls for.
    #[error("the body of the {kind} frame cannot be read: {what}")]
    Body {
        /// Name of the kind.
        kind: &'static str,
        /// What was wrong.
        what: String,
    },
    /// A frame that has no place here.
    #[error("a {kind} frame where {expected} was expected")]
    Unexpected {
        /// Name of the kind that came.
        kind: &'static str,
        /// What was to come.
        expected: &'static str,
    },
}

/// Kind of a frame, as its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    Accept = 2,
    Refusal = 3,
    Request = 4,
    Answer = 5,
    Failure = 6,
    Heartbeat = 7,
}

impl Kind {
    fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Kind::Hello,
            2 => Kind::Accept,
            3 => Kind::Refusal,
            4 => Kind::Request,
            5 => Kind::Answer,
            6 => Kind::Failure,
            7 => Kind::Heartbeat,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Hello => "hello",
            Kind::Accept => "accept",
            Kind::Refusal => "refusal",
            Kind::Request => "request",
            Kind::Answer => "answer",
            Kind::Failure => "failure",
            Kind::Heartbeat => "heartbeat",
        }
    }

    /// Largest body of this kind, in bytes, where requests and answers may have `body_bytes_max`.
    fn bytes_max(self, body_bytes_max: usize) -> usize {
        match self {
            Kind::Hello | Kind::Refusal => HELLO_BYTES_MAX,
            Kind::Accept | Kind::Heartbeat => 0,
            Kind::Request | Kind::Answer => body_bytes_max,
            Kind::Failure => TEXT_BYTES_MAX,
        }
    }
}

/// The first bytes of a frame, checked against the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) number: u64,
    /// Length of the body, in bytes.
    pub(super) length: usize,
}

impl Header {
    /// Reads and judges a header.
    pub(super) fn decode(
        bytes: [u8; HEADER_BYTES],
        body_bytes_max: usize,
    ) -> Result<Self, Malformed> {
        let [l0, l1, l2, l3, code, number @ ..] = bytes;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let kind = Kind::of_code(code).ok_or(Malformed::UnknownKind(code))?;
        let limit = kind.bytes_max(body_bytes_max);
        let too_long = || Malformed::TooLong {
            length: length.into(),
            limit,
        };
        let length = usize::try_from(length).map_err(|_| too_long())?;
        if length > limit {
            return Err(too_long());
        }
        let number = u64::from_be_bytes(number);
        Ok(Self {
            kind,
            number,
            length,
        })
    }
}

/// The body of a Hello.
#[derive(Serialize, Deserialize)]
struct HelloBody {
    lane: u8,
    hello: Hello,
}

/// The body of a refusal. The reason stands in an envelope of its own, so that a release that does
/// not know it still has the code and the text.
#[derive(Serialize, Deserialize)]
struct RefusalBody {
    code: String,
    text: String,
    #[serde(with = "serde_bytes")]
    reason: Vec<u8>,
}

impl Message {
    /// Name of its kind.
    pub(super) fn kind(&self) -> &'static str {
        let kind = match self {
            Message::Hello(..) => Kind::Hello,
            Message::Accept => Kind::Accept,
            Message::Refusal(_) => Kind::Refusal,
            Message::Request(..) => Kind::Request,
            Message::Answer(..) => Kind::Answer,
            Message::Failure(..) => Kind::Failure,
            Message::Heartbeat => Kind::Heartbeat,
        };
        kind.name()
    }

    /// What the bytes after a header say.
    pub(super) fn of_body(header: Header, body: Vec<u8>) -> Result<Self, Malformed> {
        let wrong = |what: String| Malformed::Body {
            kind: header.kind.name(),
            what,
        };
        Ok(match header.kind {
            Kind::Hello => {
                let body: HelloBody = codec::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
                let lane = Lane::of_code(body.lane);
                let lane = lane.ok_or_else(|| wrong(format!("there is no lane {}", body.lane)))?;
                Message::Hello(lane, Box::new(body.hello))
            }
            Kind::Accept => Message::Accept,
            Kind::Refusal => {
                let body: RefusalBody =
                    codec::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
                Message::Refusal(Box::new(refusal_of(body)))
            }
            Kind::Request => Message::Request(header.number, body),
            Kind::Answer => Message::Answer(header.number, body),
            Kind::Failure => {
                let text = String::from_utf8(body).map_err(|e| wrong(e.to_string()))?;
                Message::Failure(header.number, printable(&text))
            }
            Kind::Heartbeat => Message::Heartbeat,
        })
    }

    /// Appends the frame to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Message::Hello(lane, hello) => {
                let lane = lane.code();
                let hello = hello.as_ref().clone();
                put_cbor(out, Kind::Hello, &HelloBody { lane, hello })
            }
            Message::Accept => put(out, Kind::Accept, 0, &[]),
            Message::Refusal(refused) => put_refusal(out, refused),
            Message::Request(number, body) => put(out, Kind::Request, *number, body),
            Message::Answer(number, body) => put(out, Kind::Answer, *number, body),
            Message::Failure(number, text) => {
                let text = shortened(text, TEXT_BYTES_MAX);
                put(out, Kind::Failure, *number, text.as_bytes())
            }
            Message::Heartbeat => put(out, Kind::Heartbeat, 0, &[]),
        }
    }
}

/// Decodes exactly one frame, as large as the widest lane allows: the entry for fuzzing.
///
/// # Errors
/// See [`Malformed`].
pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
    let short = Malformed::Short { has: bytes.len() };
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(short)?;
    let header = Header::decode(*header, crate::peers::limits::FRAME_BYTES_MAX)?;
    if body.len() < header.length {
        return Err(Malformed::Short { has: bytes.len() });
    }
    match body.len().saturating_sub(header.length) {
        0 => Message::of_body(header, body.to_vec()),
        extra => Err(Malformed::Trailing { extra }),
    }
}

/// The frame of a message: what [`decode`] reads.
///
/// # Errors
/// It is larger than its kind may be.
pub fn encode(message: &Message) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    message.encode(&mut out)?;
    Ok(out)
}

fn put(out: &mut Vec<u8>, kind: Kind, number: u64, body: &[u8]) -> Result<(), Malformed> {
    let length = u32::try_from(body.len()).map_err(|_| Malformed::TooLong {
        length: u64::try_from(body.len()).unwrap_or(u64::MAX),
        limit: kind.bytes_max(crate::peers::limits::FRAME_BYTES_MAX),
    })?;
    out.reserve(HEADER_BYTES.saturating_add(body.len()));
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind as u8);
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

fn put_cbor<T: Serialize>(out: &mut Vec<u8>, kind: Kind, body: &T) -> Result<(), Malformed> {
    let bytes = codec::to_vec(body).map_err(|e| Malformed::Body {
        kind: kind.name(),
        what: e.to_string(),
    })?;
    if bytes.len() > HELLO_BYTES_MAX {
        return Err(Malformed::TooLong {
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            limit: HELLO_BYTES_MAX,
        });
    }
    put(out, kind, 0, &bytes)
}

/// A refusal always fits: where the reason is too long, its text is cut and stands alone.
fn put_refusal(out: &mut Vec<u8>, refused: &Refused) -> Result<(), Malformed> {
    let code = match refused {
        Refused::Other { code, .. } => shortened(code, TEXT_BYTES_MAX),
        known => known.code(),
    };
    let mut body = RefusalBody {
        code: code.to_owned(),
        text: shortened(&refused.to_string(), TEXT_BYTES_MAX).to_owned(),
        reason: codec::to_vec(refused).unwrap_or_default(),
    };
    if body.reason.len() > TEXT_BYTES_MAX {
        body.reason.clear();
    }
    put_cbor(out, Kind::Refusal, &body)
}

fn refusal_of(body: RefusalBody) -> Refused {
    let refused = codec::from_slice(&body.reason).unwrap_or(Refused::Other {
        code: body.code,
        text: body.text,
    });
    // What another machine says ends up on terminals and in logs.
    match refused {
        Refused::LogReversion {
            node,
            had,
            has,
            what,
        } => Refused::LogReversion {
            node,
            had,
            has,
            what: printable(&what),
        },
        Refused::MembersOnly { lane } => Refused::MembersOnly {
            lane: printable(&lane),
        },
        Refused::NotReady { why } => Refused::NotReady {
            why: printable(&why),
        },
        Refused::Malformed { what } => Refused::Malformed {
            what: printable(&what),
        },
        Refused::Other { code, text } => Refused::Other {
            code: printable(&code),
            text: printable(&text),
        },
        plain => plain,
    }
}

/// Text without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The longest beginning of `text` with at most `bytes_max` bytes.
fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}
