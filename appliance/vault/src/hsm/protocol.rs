//! What the node and its HSM worker say to each other: one request, one response, over two pipes.
//!
//! A frame is a length (u32, big-endian) and that many bytes of deterministic CBOR. Both sides
//! refuse a longer frame than [`FRAME_BYTES_MAX`] before they allocate anything. Buffers are erased
//! after use, because a root key passes through them on its way into and out of the token.

use domain::codec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use zeroize::{Zeroize, Zeroizing};

/// Largest frame, in bytes: far above a wrapped key, and below the 64 KiB that a pipe takes without
/// a reader, so that writing a request can never block on a hung worker.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Identifies a key inside the token (CKA_ID).
pub(crate) type TokenKeyId = [u8; 16];

#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Loads the library, finds the token by serial number and logs in; once per process.
    Open {
        module: String,
        serial: String,
        #[serde(with = "serde_bytes")]
        pin: Vec<u8>,
    },
    /// Makes a non-extractable AES-256 key inside the token.
    MakeKey {
        #[serde(with = "serde_bytes")]
        id: TokenKeyId,
        label: String,
    },
    /// AES-GCM under a key of the token.
    Encrypt(Crypt),
    /// The inverse.
    Decrypt(Crypt),
    /// Destroys a key of the token.
    DestroyKey {
        #[serde(with = "serde_bytes")]
        id: TokenKeyId,
    },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Crypt {
    #[serde(with = "serde_bytes")]
    pub(crate) key: TokenKeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) iv: [u8; 12],
    #[serde(with = "serde_bytes")]
    pub(crate) aad: Vec<u8>,
    /// The plain text, or the ciphertext followed by its tag.
    #[serde(with = "serde_bytes")]
    pub(crate) text: Vec<u8>,
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Self::Open { pin, .. } = self {
            pin.zeroize();
        }
    }
}

impl Drop for Crypt {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Done,
    Text(#[serde(with = "serde_bytes")] Vec<u8>),
    Failed(WorkerFailure),
}

/// Why the worker could not do it; `detail` is the library's own word (a CKR code).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorkerFailure {
    Library { detail: String },
    NoSuchToken { present: Vec<String> },
    PinRefused,
    PinLocked,
    PinFinalTry,
    AlreadyTried,
    NotOpen,
    NoSuchKey,
    Mechanism { detail: String },
    Token { detail: String },
}

/// Writes one frame.
pub(crate) fn send<T: Serialize>(out: &mut impl Write, message: &T) -> io::Result<()> {
    let body = Zeroizing::new(codec::to_vec(message));
    let len = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= FRAME_BYTES_MAX);
    let len = len.ok_or_else(|| too_long(body.len()))?;
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + body.len()));
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&body);
    out.write_all(&frame)?;
    out.flush()
}

/// Reads one frame; `None` at a clean end.
pub(crate) fn receive<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match input.read(&mut len)? {
        0 => return Ok(None),
        read => input.read_exact(len.get_mut(read..).unwrap_or_default())?,
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > FRAME_BYTES_MAX {
        return Err(too_long(len));
    }
    let mut body = Zeroizing::new(vec![0; len]);
    input.read_exact(&mut body)?;
    codec::from_slice(&body)
        .map(Some)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

fn too_long(len: usize) -> io::Error {
    let text = format!("a frame of {len} bytes; the limit is {FRAME_BYTES_MAX}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back_and_the_end_is_clean() {
        let mut pipe = Vec::new();
        send(&mut pipe, &Response::Text(vec![7; 60])).unwrap();
        let mut reader = pipe.as_slice();
        let back: Option<Response> = receive(&mut reader).unwrap();
        assert!(matches!(back, Some(Response::Text(text)) if text == [7; 60]));
        assert!(receive::<Response>(&mut reader).unwrap().is_none());
    }

    #[test]
    fn a_long_frame_is_refused_by_both_sides() {
        let text = Response::Text(vec![0; FRAME_BYTES_MAX]);
        assert!(send(&mut Vec::new(), &text).is_err());
        let declared = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
        assert!(receive::<Response>(&mut declared.as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = receive::<Request>(&mut bytes.as_slice());
            let _ = receive::<Response>(&mut bytes.as_slice());
        }
    }
}
