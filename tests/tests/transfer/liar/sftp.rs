//! An SFTP side, version 3, with the messages that a transfer sends.

use super::{Lie, Mind};
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const INIT: u8 = 1;
const VERSION: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const REMOVE: u8 = 13;
const RENAME: u8 = 18;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const ATTRIBUTES: u8 = 105;

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const FAILURE: u32 = 4;

const FLAG_CREATE: u32 = 0x08;
const FLAG_EXCLUSIVE: u32 = 0x20;
const HAS_SIZE: u32 = 1;

/// A stream in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Reads the fields of a request.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32> {
        let (head, rest) = self.0.split_first_chunk().context("a number")?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*head))
    }

    fn long(&mut self) -> Result<usize> {
        let (head, rest) = self.0.split_first_chunk().context("a long number")?;
        self.0 = rest;
        Ok(usize::try_from(u64::from_be_bytes(*head))?)
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = usize::try_from(self.number()?)?;
        let (head, rest) = self.0.split_at_checked(count).context("bytes")?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?.to_vec())?)
    }
}

/// A field with its length.
fn field(bytes: &[u8]) -> Vec<u8> {
    let count = u32::try_from(bytes.len()).unwrap();
    [&count.to_be_bytes()[..], bytes].concat()
}

/// An answer and what follows its number.
type Answer = (u8, Vec<u8>);

fn status(code: u32) -> Answer {
    (
        STATUS,
        [code.to_be_bytes().to_vec(), field(b""), field(b"")].concat(),
    )
}

fn message(kind: u8, id: u32, rest: &[u8]) -> Vec<u8> {
    field(&[&[kind][..], &id.to_be_bytes(), rest].concat())
}

pub(super) async fn serve(stream: &mut impl Stream, mind: &Mind) -> Result<()> {
    loop {
        let length = usize::try_from(stream.read_u32().await?)?;
        let mut request = vec![0; length];
        stream.read_exact(&mut request).await?;
        let (kind, rest) = request.split_first().context("an empty request")?;
        let lie = mind.lie();
        if *kind == INIT {
            if lie == Lie::Drips {
                return drip(stream).await;
            }
            let version = field(&[VERSION, 0, 0, 0, 3]);
            stream.write_all(&version).await?;
            continue;
        }
        match (lie, *kind) {
            (Lie::Silent, _) => continue,
            (Lie::Giant, _) => {
                stream.write_u32(u32::MAX).await?;
                return endless(stream, &[0xAA; 4096]).await;
            }
            (Lie::Endless, _) => {
                let (kind, rest) = status(OK);
                let noise = message(kind, u32::MAX, &rest).repeat(200);
                return endless(stream, &noise).await;
            }
            (Lie::Leaves, WRITE) => return Ok(()),
            _ => {}
        }
        let mut fields = Fields(rest);
        let id = fields.number()?;
        let (kind, rest) = answer(mind, lie, *kind, &mut fields)?;
        let id = match lie {
            Lie::WrongIds => id.wrapping_add(1000),
            _ => id,
        };
        stream.write_all(&message(kind, id, &rest)).await?;
    }
}

async fn endless(stream: &mut impl Stream, noise: &[u8]) -> Result<()> {
    loop {
        stream.write_all(noise).await?;
    }
}

/// The beginning of a long list of extensions.
async fn drip(stream: &mut impl Stream) -> Result<()> {
    stream.write_u32(60_000).await?;
    stream.write_all(&[VERSION, 0, 0, 0, 3]).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.write_all(&[0]).await?;
    }
}

/// What is answered. The word for an open file is its path.
fn answer(mind: &Mind, lie: Lie, kind: u8, fields: &mut Fields<'_>) -> Result<Answer> {
    let path = fields.text()?;
    let mut files = mind.files.lock().unwrap();
    Ok(match kind {
        LSTAT => match files.get(&path) {
            Some(file) => {
                let size = file.len() as u64;
                let mut rest = HAS_SIZE.to_be_bytes().to_vec();
                rest.extend(size.to_be_bytes());
                (ATTRIBUTES, rest)
            }
            None => status(NO_SUCH_FILE),
        },
        OPEN => {
            let flags = fields.number()?;
            match (flags & FLAG_CREATE != 0, files.contains_key(&path)) {
                (true, true) if flags & FLAG_EXCLUSIVE != 0 => status(FAILURE),
                (false, false) => status(NO_SUCH_FILE),
                _ => {
                    files.entry(path.clone()).or_default();
                    match lie {
                        Lie::NoHandle => status(OK),
                        Lie::LongHandle => (HANDLE, field(&[b'h'; 60_000])),
                        _ => (HANDLE, field(path.as_bytes())),
                    }
                }
            }
        }
        WRITE => {
            let (at, bytes) = (fields.long()?, fields.bytes()?);
            let file = files.get_mut(&path).context("a handle never given")?;
            if lie != Lie::Forgets {
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            status(OK)
        }
        READ => {
            let (at, count) = (fields.long()?, usize::try_from(fields.number()?)?);
            let file = files.get(&path).context("a handle never given")?;
            let piece = file.get(at..file.len().min(at + count));
            match piece.filter(|piece| !piece.is_empty()) {
                Some(piece) if lie == Lie::OtherBytes => {
                    let other: Vec<u8> = piece.iter().map(|byte| byte ^ 1).collect();
                    (DATA, field(&other))
                }
                Some(piece) => (DATA, field(piece)),
                None => status(EOF),
            }
        }
        RENAME => {
            let to = fields.text()?;
            if lie != Lie::KeepsTheName {
                let file = files.remove(&path).context("renaming nothing")?;
                files.insert(to, file);
            }
            status(OK)
        }
        REMOVE => status(if files.remove(&path).is_some() {
            OK
        } else {
            NO_SUCH_FILE
        }),
        CLOSE => status(OK),
        other => bail!("request {other} is none of a transfer"),
    })
}
