//! Reading and writing frames on a connection, with its limits in bytes and in time.

use crate::peers::frame::{HEADER_BYTES, Header, Malformed, Message};
use crate::peers::health::Record;
use crate::peers::limits::{HEARTBEAT_EVERY, READ_BYTES, WRITE_BYTES};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::timeout;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum End {
    /// The other side closed it.
    #[error("the other node closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// Not even a heartbeat came.
    #[error("nothing was heard from the other node for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The other side stopped to read.
    #[error("the other node took nothing for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// What came is not of this protocol.
    #[error("the other node does not keep to the protocol: {0}")]
    Malformed(#[from] Malformed),
    /// The other side said why it ends the connection.
    #[error("the other node ended the connection: {0}")]
    Told(String),
    /// This node ended it.
    #[error("{0}")]
    Here(&'static str),
}

impl From<std::io::Error> for End {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            // A process that dies sends no close_notify.
            std::io::ErrorKind::UnexpectedEof => End::Closed,
            _ => End::Broken(e.to_string()),
        }
    }
}

/// Reads frames one by one. The header is given out before the body is read, so that a reader can
/// wait until there is room for it.
pub(super) struct FrameReader<R> {
    inner: BufReader<R>,
    body_bytes_max: usize,
    silence_max: Duration,
    record: Record,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `inner`; each byte is a sign of life for `record`, and none at all for
    /// `silence_max` ends the connection.
    pub(super) fn new(
        inner: R,
        body_bytes_max: usize,
        silence_max: Duration,
        record: Record,
    ) -> Self {
        Self {
            inner: BufReader::with_capacity(READ_BYTES, inner),
            body_bytes_max,
            silence_max,
            record,
        }
    }

    /// The header of the next frame. Silence counts from the call.
    pub(super) async fn header(&mut self) -> Result<Header, End> {
        let mut bytes = [0; HEADER_BYTES];
        match timeout(self.silence_max, self.inner.read_exact(&mut bytes)).await {
            Err(_) => Err(End::Silent(self.silence_max)),
            Ok(Err(e)) => Err(e.into()),
            Ok(Ok(_)) => {
                self.record.heard();
                Ok(Header::decode(bytes, self.body_bytes_max)?)
            }
        }
    }

    /// The rest of the frame. Room grows with what arrives, not with what the header promised.
    pub(super) async fn body(&mut self, header: Header) -> Result<Message, End> {
        let mut body = Vec::new();
        while body.len() < header.length {
            let missing = header.length.saturating_sub(body.len());
            body.reserve_exact(room(missing, body.len()));
            let limit = u64::try_from(missing).unwrap_or(u64::MAX);
            let mut rest = (&mut self.inner).take(limit);
            match timeout(self.silence_max, rest.read_buf(&mut body)).await {
                Err(_) => return Err(End::Silent(self.silence_max)),
                Ok(Err(e)) => return Err(e.into()),
                Ok(Ok(0)) => return Err(End::Closed),
                Ok(Ok(_)) => self.record.heard(),
            }
        }
        Ok(Message::of_body(header, body)?)
    }
}

/// Room to make for the next read of a body of which `has` bytes are here and `missing` are not:
/// never more than has come already, or one read.
pub(super) fn room(missing: usize, has: usize) -> usize {
    missing.min(READ_BYTES.max(has))
}

/// Writes what comes out of `queue` until nobody can put anything in, and a heartbeat whenever
/// nothing was written for [`HEARTBEAT_EVERY`]. `frame_of` makes the frame at the moment of
/// writing, or nothing if nobody wants it sent any more. Frames that wait together go out together.
///
/// Without a `stall_max` a write may take as long as the other side lets it.
pub(super) async fn write_frames<W: AsyncWrite + Unpin, T>(
    mut writer: W,
    mut queue: mpsc::Receiver<T>,
    mut frame_of: impl FnMut(T) -> Option<Message>,
    stall_max: Option<Duration>,
) -> End {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // A large frame went through here; its room is not kept for small ones.
        bytes.shrink_to(WRITE_BYTES);
        let mut next = match timeout(HEARTBEAT_EVERY, queue.recv()).await {
            Ok(Some(item)) => frame_of(item),
            Ok(None) => return End::Here("this node closed the connection"),
            Err(_) => Some(Message::Heartbeat),
        };
        loop {
            if let Some(message) = next
                && let Err(malformed) = message.encode(&mut bytes)
            {
                return End::Malformed(malformed);
            }
            if bytes.len() >= WRITE_BYTES {
                break;
            }
            match queue.try_recv() {
                Ok(item) => next = frame_of(item),
                Err(_) => break,
            }
        }
        if let Err(end) = write(&mut writer, &bytes, stall_max).await {
            return end;
        }
    }
}

/// How a spawned [`write_frames`] ended.
pub(super) fn ended_writing(end: Option<Result<End, JoinError>>) -> End {
    match end {
        Some(Ok(end)) => end,
        Some(Err(e)) => End::Broken(e.to_string()),
        None => End::Here("this node closed the connection"),
    }
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    bytes: &[u8],
    stall_max: Option<Duration>,
) -> Result<(), End> {
    for part in bytes.chunks(WRITE_BYTES) {
        within(stall_max, writer.write_all(part)).await?;
    }
    within(stall_max, writer.flush()).await
}

async fn within<F: Future<Output = std::io::Result<()>>>(
    stall_max: Option<Duration>,
    step: F,
) -> Result<(), End> {
    match stall_max {
        None => Ok(step.await?),
        Some(stall_max) => match timeout(stall_max, step).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(End::Stalled(stall_max)),
        },
    }
}

/// Reads one frame of the handshake: a Hello, an Accept or a refusal.
pub(super) async fn read_greeting<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Message, End> {
    let mut bytes = [0; HEADER_BYTES];
    reader.read_exact(&mut bytes).await?;
    let header = Header::decode(bytes, 0)?;
    // At most a few KiB: the limits of these kinds.
    let mut body = vec![0; header.length];
    reader.read_exact(&mut body).await?;
    Ok(Message::of_body(header, body)?)
}

/// Writes one frame at once.
pub(super) async fn write_now<W: AsyncWrite + Unpin>(
    writer: &mut W,
    message: &Message,
) -> Result<(), End> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes)?;
    writer.write_all(&bytes).await?;
    writer.flush().await?;
    Ok(())
}
