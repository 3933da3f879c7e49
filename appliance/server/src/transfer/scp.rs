//! The old `scp` protocol, for servers without SFTP: `scp -t` takes a file, `scp -f` gives one.
//!
//! It has no names for unfinished files and cannot go on in the middle: a file that was cut off is
//! sent again from its beginning, and counts when it was read back whole.

use super::fault::{Fault, misbehaves, refusal};
use super::source::{Sent, Tally};
use super::ssh::{Connection, Pipe};
use domain::Hash;

/// Longest line of the other side.
const LINE_BYTES_MAX: usize = 1024;

/// Bytes that may come after the file, such as the end of the last message.
const REST_BYTES_MAX: usize = 64;

/// Bytes that are asked for at a time.
const PIECE_BYTES: usize = 32 * 1024;

const OK: u8 = 0;
const WARNING: u8 = 1;
const ERROR: u8 = 2;

/// What stands there under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) digest: Hash,
}

/// A word of a command. What a destination may be called holds nothing that a shell understands;
/// the quotes are for the reader.
fn quoted(path: &str) -> String {
    format!("'{path}'")
}

/// Sends a file.
pub(super) async fn put(to: &Connection, path: &str, sent: &Sent) -> Result<(), Fault> {
    let mut pipe = to.exec(format!("scp -t -- {}", quoted(path))).await?;
    acknowledged(&mut pipe).await?;
    let head = format!("C0600 {} {}\n", sent.bytes, sent.name);
    pipe.write(head.into_bytes()).await?;
    acknowledged(&mut pipe).await?;
    let mut source = sent.from(0).await?;
    loop {
        let chunk = source.chunk().await?;
        if chunk.is_empty() {
            break;
        }
        if let Err(fault) = pipe.write(chunk).await {
            // What it said before it went tells more.
            return Err(acknowledged(&mut pipe).await.err().unwrap_or(fault));
        }
    }
    pipe.write(vec![OK]).await?;
    acknowledged(&mut pipe).await?;
    pipe.finish().await;
    pipe.drain(REST_BYTES_MAX).await?;
    match pipe.exit() {
        Some(0) | None => Ok(()),
        Some(_) => Err(pipe.ended()),
    }
}

/// Waits for the word that all is well.
async fn acknowledged(pipe: &mut Pipe) -> Result<(), Fault> {
    let word = pipe.read(1).await?;
    match word.first() {
        Some(&OK) => Ok(()),
        Some(&(WARNING | ERROR)) => Err(refusal(&line(pipe).await?)),
        _ => Err(misbehaves("it does not speak the scp protocol")),
    }
}

async fn line(pipe: &mut Pipe) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    loop {
        match pipe.read(1).await?.first() {
            Some(b'\n') => break,
            Some(byte) if bytes.len() < LINE_BYTES_MAX => bytes.push(*byte),
            _ => return Err(misbehaves("a line of the scp protocol is without end")),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads what stands under a name, at most so many bytes; `None` when nothing does.
pub(super) async fn get(
    to: &Connection,
    path: &str,
    bytes_max: u64,
) -> Result<Option<Found>, Fault> {
    let mut pipe = to.exec(format!("scp -f -- {}", quoted(path))).await?;
    pipe.write(vec![OK]).await?;
    let first = pipe.read(1).await?;
    match first.first() {
        Some(b'C') => {}
        Some(&(WARNING | ERROR)) => {
            let words = line(&mut pipe).await?;
            return match words.contains("No such file") {
                true => Ok(None),
                false => Err(refusal(&words)),
            };
        }
        _ => return Err(misbehaves("it does not speak the scp protocol")),
    }
    let head = line(&mut pipe).await?;
    let bytes = head.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    let bytes = bytes.ok_or_else(|| misbehaves("its scp says no length"))?;
    if bytes > bytes_max {
        // Nobody reads what is too long in any case.
        let digest = Hash::from_bytes([0; 32]);
        return Ok(Some(Found { bytes, digest }));
    }
    pipe.write(vec![OK]).await?;
    let (mut left, mut tally) = (bytes, Tally::default());
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = pipe.read_some(most).await?;
        if piece.is_empty() {
            return Err(pipe.ended());
        }
        tally.take(&piece);
        left -= piece.len() as u64;
    }
    acknowledged(&mut pipe).await?;
    pipe.write(vec![OK]).await?;
    let digest = tally.digest();
    Ok(Some(Found { bytes, digest }))
}
