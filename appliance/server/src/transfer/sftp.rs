//! SFTP version 3 (draft-ietf-secsh-filexfer-02), as far as a transfer needs it: one file is
//! looked at, written, read back and renamed. No folder is ever listed, so none can be endless;
//! each answer has a bound, and must be to what was asked.

use super::fault::{Fault, misbehaves, refused};
use super::source::Source;
use super::ssh::Pipe;
use domain::TransferFailure;
use std::collections::VecDeque;

/// Bytes of a file in one message: what every server takes (§6.4 of the draft names 32768).
pub(super) const CHUNK_BYTES: usize = 32 * 1024;

/// Writes and reads that are on their way: as much as the window, so that a long way costs no time.
const UNDERWAY_MAX: usize = 8;

/// Longest answer: a chunk and what is around it, or a list of extensions.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Longest word by which a server calls an open file (§6.2 of the draft); each request repeats it.
const HANDLE_BYTES_MAX: usize = 256;

const VERSION: u32 = 3;
const INIT: u8 = 1;
const VERSION_ANSWER: u8 = 2;
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
const EXTENDED: u8 = 200;
const EXTENDED_REPLY: u8 = 201;

const STATUS_OK: u32 = 0;
const STATUS_EOF: u32 = 1;
const STATUS_NO_SUCH_FILE: u32 = 2;
const STATUS_FAILURE: u32 = 4;

const FLAG_READ: u32 = 0x01;
const FLAG_WRITE: u32 = 0x02;
const FLAG_CREATE: u32 = 0x08;
const FLAG_EXCLUSIVE: u32 = 0x20;

const HAS_SIZE: u32 = 0x01;
const HAS_OWNER: u32 = 0x02;
const HAS_PERMISSIONS: u32 = 0x04;

/// Permissions of what is made there: `-rw-------`.
const OWNER_ONLY: u32 = 0o600;

/// The bits of the permissions that tell what kind of file it is, and a plain one.
const KIND_MASK: u32 = 0o170_000;
const KIND_PLAIN: u32 = 0o100_000;

/// What a server can besides (OpenSSH `PROTOCOL`, sections 4.4 and 4.6).
const FSYNC: &str = "fsync@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) bytes: u64,
    pub(super) is_plain: bool,
}

/// A file that is open there.
pub(super) struct Open(Vec<u8>);

/// How a file is opened.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// It must not be there yet.
    New,
    /// To go on writing.
    Again,
    Read,
}

/// A session.
pub(super) struct Sftp {
    pipe: Pipe,
    next: u32,
    extensions: Vec<String>,
}

/// A refusal of the server.
struct Status {
    code: u32,
    words: String,
}

impl Status {
    fn fault(self, what: &str) -> Fault {
        let Self { code, words } = self;
        let words = match words.is_empty() {
            true => format!("status {code}"),
            false => words,
        };
        super::fault::refusal(&format!("{what}: {words}"))
    }
}

/// Reads the fields of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, Fault> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or_else(short)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*head))
    }

    fn long(&mut self) -> Result<u64, Fault> {
        let (head, rest) = self.0.split_first_chunk::<8>().ok_or_else(short)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*head))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let count = usize::try_from(self.number()?).map_err(|_| short())?;
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

fn short() -> Fault {
    misbehaves("an SFTP answer is shorter than it says")
}

/// A field with its length.
fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(bytes);
}

impl Sftp {
    /// Agrees on the version; `None` when nobody is there who speaks SFTP.
    pub(super) async fn begin(mut pipe: Pipe) -> Result<Option<Self>, Fault> {
        let mut hello = vec![INIT];
        hello.extend_from_slice(&VERSION.to_be_bytes());
        send(&mut pipe, hello).await?;
        let head = pipe.read_some(1).await?;
        let Some(first) = head.first().copied() else {
            return Ok(None);
        };
        let mut length = vec![first];
        length.extend(pipe.read(3).await?);
        let answer = body(&mut pipe, &length).await?;
        let (kind, rest) = answer.split_first().ok_or_else(short)?;
        let mut fields = Fields(rest);
        if *kind != VERSION_ANSWER || fields.number()? < VERSION {
            return Err(misbehaves("it does not speak SFTP version 3"));
        }
        let mut extensions = Vec::new();
        while !fields.0.is_empty() {
            extensions.push(fields.text()?);
            fields.bytes()?;
        }
        Ok(Some(Self {
            pipe,
            next: 1,
            extensions,
        }))
    }

    fn can(&self, extension: &str) -> bool {
        self.extensions.iter().any(|known| known == extension)
    }

    /// Sends a request and gives its number.
    async fn ask(&mut self, kind: u8, fields: &[u8]) -> Result<u32, Fault> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let mut message = Vec::with_capacity(fields.len() + 5);
        message.push(kind);
        message.extend_from_slice(&id.to_be_bytes());
        message.extend_from_slice(fields);
        send(&mut self.pipe, message).await?;
        Ok(id)
    }

    /// The answer to one of the requests that are under way, which is taken off: a server may
    /// answer in another order. Gives its kind and its fields.
    async fn answer(&mut self, underway: &mut VecDeque<u32>) -> Result<(u8, Vec<u8>), Fault> {
        let length = self.pipe.read(4).await?;
        let answer = body(&mut self.pipe, &length).await?;
        let (kind, rest) = answer.split_first().ok_or_else(short)?;
        let mut fields = Fields(rest);
        let answered = fields.number()?;
        let Some(at) = underway.iter().position(|id| *id == answered) else {
            return Err(misbehaves(format!(
                "it answers SFTP request {answered}, which was not asked"
            )));
        };
        underway.remove(at);
        Ok((*kind, fields.0.to_vec()))
    }

    async fn request(&mut self, kind: u8, fields: &[u8]) -> Result<(u8, Vec<u8>), Fault> {
        let id = self.ask(kind, fields).await?;
        self.answer(&mut VecDeque::from([id])).await
    }

    /// A request that is answered by yes or no.
    async fn command(&mut self, kind: u8, fields: &[u8], what: &str) -> Result<(), Fault> {
        let answer = self.request(kind, fields).await?;
        match status(&answer)? {
            None => Ok(()),
            Some(status) => Err(status.fault(what)),
        }
    }

    /// What stands under a name, without following a link.
    pub(super) async fn look(&mut self, path: &str) -> Result<Option<Entry>, Fault> {
        let mut fields = Vec::new();
        put(&mut fields, path.as_bytes());
        let answer = self.request(LSTAT, &fields).await?;
        if answer.0 != ATTRIBUTES {
            return match status(&answer)? {
                Some(Status {
                    code: STATUS_NO_SUCH_FILE,
                    ..
                }) => Ok(None),
                Some(status) => Err(status.fault(&format!("looking at {path}"))),
                None => Err(misbehaves("it says yes where it was to say what is there")),
            };
        }
        let mut fields = Fields(&answer.1);
        let flags = fields.number()?;
        let bytes = match flags & HAS_SIZE {
            0 => return Err(misbehaves("it does not say how long a file is")),
            _ => fields.long()?,
        };
        if flags & HAS_OWNER != 0 {
            fields.long()?;
        }
        let permissions = match flags & HAS_PERMISSIONS {
            0 => KIND_PLAIN,
            _ => fields.number()?,
        };
        let is_plain = permissions & KIND_MASK == KIND_PLAIN;
        Ok(Some(Entry { bytes, is_plain }))
    }

    pub(super) async fn open(&mut self, path: &str, how: How) -> Result<Open, Fault> {
        let flags = match how {
            How::New => FLAG_WRITE | FLAG_CREATE | FLAG_EXCLUSIVE,
            How::Again => FLAG_WRITE,
            How::Read => FLAG_READ,
        };
        let mut fields = Vec::new();
        put(&mut fields, path.as_bytes());
        fields.extend_from_slice(&flags.to_be_bytes());
        fields.extend_from_slice(&HAS_PERMISSIONS.to_be_bytes());
        fields.extend_from_slice(&OWNER_ONLY.to_be_bytes());
        let answer = self.request(OPEN, &fields).await?;
        if answer.0 == HANDLE {
            let handle = Fields(&answer.1).bytes()?;
            return match handle.len() {
                1..=HANDLE_BYTES_MAX => Ok(Open(handle.to_vec())),
                bytes => Err(misbehaves(format!("it calls a file by {bytes} bytes"))),
            };
        }
        match status(&answer)? {
            Some(status) => Err(status.fault(&format!("opening {path}"))),
            None => Err(misbehaves("it says yes where it was to open a file")),
        }
    }

    pub(super) async fn close(&mut self, file: Open) -> Result<(), Fault> {
        if self.can(FSYNC) {
            let mut fields = Vec::new();
            put(&mut fields, FSYNC.as_bytes());
            put(&mut fields, &file.0);
            // A server that cannot sync this kind of file says so; reading back tells the rest.
            self.request(EXTENDED, &fields).await?;
        }
        let mut fields = Vec::new();
        put(&mut fields, &file.0);
        self.command(CLOSE, &fields, "closing the file").await
    }

    pub(super) async fn remove(&mut self, path: &str) -> Result<(), Fault> {
        let mut fields = Vec::new();
        put(&mut fields, path.as_bytes());
        self.command(REMOVE, &fields, &format!("removing {path}"))
            .await
    }

    /// Gives a file its name; the draft forbids that another one is replaced.
    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        let mut fields = Vec::new();
        put(&mut fields, from.as_bytes());
        put(&mut fields, to.as_bytes());
        self.command(RENAME, &fields, &format!("renaming to {to}"))
            .await
    }

    /// Begins to write a chunk; the answer is waited for later.
    async fn write(&mut self, file: &Open, at: u64, chunk: &[u8]) -> Result<u32, Fault> {
        let mut fields = Vec::with_capacity(chunk.len() + file.0.len() + 16);
        put(&mut fields, &file.0);
        fields.extend_from_slice(&at.to_be_bytes());
        put(&mut fields, chunk);
        self.ask(WRITE, &fields).await
    }

    /// Free bytes in a folder, where the server says so.
    async fn free_bytes(&mut self, folder: &str) -> Result<Option<u64>, Fault> {
        if !self.can(STATVFS) {
            return Ok(None);
        }
        let mut fields = Vec::new();
        put(&mut fields, STATVFS.as_bytes());
        put(&mut fields, folder.as_bytes());
        let answer = self.request(EXTENDED, &fields).await?;
        if answer.0 != EXTENDED_REPLY {
            return Ok(None);
        }
        let mut fields = Fields(&answer.1);
        let (_, fragment) = (fields.long()?, fields.long()?);
        let (_, _, available) = (fields.long()?, fields.long()?, fields.long()?);
        Ok(Some(available.saturating_mul(fragment)))
    }

    /// Why a write failed. Version 3 has no word for a full disk.
    async fn write_failed(&mut self, status: Status, folder: &str, left: u64) -> Fault {
        let is_vague = status.code == STATUS_FAILURE;
        let free = match is_vague {
            true => self.free_bytes(folder).await.ok().flatten(),
            false => None,
        };
        match free {
            Some(free) if free < left => Fault::new(
                TransferFailure::NoRoom,
                format!("{free} bytes are free in {folder}, and {left} are needed"),
            ),
            _ if is_vague => Fault::new(
                TransferFailure::NoRoom,
                format!(
                    "a write was refused ({}): its disk may be full or a quota reached",
                    status.words
                ),
            ),
            _ => status.fault("writing"),
        }
    }

    /// Writes the rest of a source, which begins at a position, several chunks at a time.
    pub(super) async fn write_all(
        &mut self,
        file: &Open,
        (from, total): (u64, u64),
        folder: &str,
        source: &mut Source,
    ) -> Result<(), Fault> {
        let (mut at, mut underway) = (from, VecDeque::new());
        let mut is_read = false;
        while !is_read || !underway.is_empty() {
            while !is_read && underway.len() < UNDERWAY_MAX {
                let chunk = source.chunk().await?;
                is_read = chunk.is_empty();
                if !is_read {
                    underway.push_back(self.write(file, at, &chunk).await?);
                    at += chunk.len() as u64;
                }
            }
            if underway.is_empty() {
                break;
            }
            let answer = self.answer(&mut underway).await?;
            if let Some(failed) = status(&answer)? {
                // The answers that are still to come belong to nothing any more.
                while !underway.is_empty() {
                    self.answer(&mut underway).await?;
                }
                return Err(self.write_failed(failed, folder, total - from).await);
            }
        }
        Ok(())
    }

    /// Reads a file from the beginning, so many bytes; `take` gets each piece.
    pub(super) async fn read_all(
        &mut self,
        file: &Open,
        total: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<u64, Fault> {
        let mut at = 0;
        while at < total {
            let left = usize::try_from(total - at).unwrap_or(usize::MAX);
            let count = left.min(CHUNK_BYTES);
            let mut fields = Vec::new();
            put(&mut fields, &file.0);
            fields.extend_from_slice(&at.to_be_bytes());
            let wanted = u32::try_from(count).unwrap_or(u32::MAX);
            fields.extend_from_slice(&wanted.to_be_bytes());
            let answer = self.request(READ, &fields).await?;
            if answer.0 != DATA {
                return match status(&answer)? {
                    Some(Status {
                        code: STATUS_EOF, ..
                    }) => Ok(at),
                    Some(status) => Err(status.fault("reading back")),
                    None => Err(misbehaves("it says yes where it was to give bytes")),
                };
            }
            let mut fields = Fields(&answer.1);
            let piece = fields.bytes()?;
            if piece.is_empty() || piece.len() > count {
                return Err(misbehaves(
                    "it gives another number of bytes than was asked for",
                ));
            }
            take(piece);
            at += piece.len() as u64;
        }
        Ok(at)
    }
}

async fn send(pipe: &mut Pipe, message: Vec<u8>) -> Result<(), Fault> {
    let mut framed = Vec::with_capacity(message.len() + 4);
    put(&mut framed, &message);
    pipe.write(framed).await
}

/// The rest of a message whose length was read.
async fn body(pipe: &mut Pipe, length: &[u8]) -> Result<Vec<u8>, Fault> {
    let length = Fields(length).number()?;
    if length > ANSWER_BYTES_MAX {
        return Err(misbehaves(format!(
            "an SFTP answer is {length} bytes long; {ANSWER_BYTES_MAX} are taken"
        )));
    }
    pipe.read(usize::try_from(length).map_err(refused)?).await
}

/// What a status says; `None` is yes.
fn status((kind, fields): &(u8, Vec<u8>)) -> Result<Option<Status>, Fault> {
    if *kind != STATUS {
        return Err(misbehaves(format!("SFTP message {kind} answers nothing")));
    }
    let mut fields = Fields(fields);
    let code = fields.number()?;
    // The words came with version 3; some servers leave them out.
    let words = fields.text().unwrap_or_default();
    Ok((code != STATUS_OK).then_some(Status { code, words }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut fields = Fields(&bytes);
            let mut read = 0;
            while let Ok(field) = fields.bytes() {
                read += 4 + field.len();
                prop_assert!(read <= bytes.len());
            }
            prop_assert!(Fields(&bytes).long().is_ok() == (bytes.len() >= 8));
            // Neither of them ends the program, whatever comes.
            drop(status(&(STATUS, bytes.clone())));
            prop_assert!(status(&(DATA, bytes)).is_err());
        }
    }

    #[test]
    fn fields_never_read_beyond_their_end() {
        assert!(Fields(&[0, 0, 0]).number().is_err());
        assert!(Fields(&[0, 0, 0, 9, 1]).bytes().is_err());
        assert!(Fields(&[0xff, 0xff, 0xff, 0xff, 1]).bytes().is_err());
        let mut body = Vec::new();
        put(&mut body, b"name");
        assert_eq!(Fields(&body).bytes().unwrap(), b"name");
    }

    #[test]
    fn a_status_is_yes_or_has_its_words() {
        let of = |code: u32, words: &str| {
            let mut fields = code.to_be_bytes().to_vec();
            put(&mut fields, words.as_bytes());
            status(&(STATUS, fields)).unwrap()
        };
        assert!(of(0, "Success").is_none());
        let fault = of(3, "Permission denied").unwrap().fault("opening x");
        assert_eq!(fault.detail, "opening x: Permission denied");
        assert!(status(&(DATA, vec![0; 8])).is_err());
        // A status without words.
        let bare = status(&(STATUS, 4_u32.to_be_bytes().to_vec())).unwrap();
        assert_eq!(bare.unwrap().fault("x").detail, "x: status 4");
    }
}
