//! One file to one destination, with a receipt: what stands there is read back and compared.

use super::fault::{Fault, misbehaves, refused};
use super::scp;
use super::sftp::{How, Sftp};
use super::source::{Sent, Tally};
use super::ssh::{Connection, Credential};
use domain::{Destination, Hash, TransferFailure};
use std::time::Duration;
use tokio::time::timeout;

/// Digits of the digest in the name of an unfinished file, so that it is only ever continued with
/// the same bytes.
const PARTIAL_DIGITS: usize = 16;

/// Time for a few messages, however many pieces they come in.
const BEGIN_TIME: Duration = Duration::from_secs(30);

/// Time for any file: each step of the way has its own bound besides.
const FILE_TIME_MIN: Duration = Duration::from_secs(120);

/// Slower than this, there and back, is no way for logs; what was written is not lost.
const BYTES_PER_SECOND_MIN: u64 = 4 * 1024;

/// A connection and the protocol that is spoken over it.
pub(super) struct Line<'a> {
    to: &'a Destination,
    connection: Connection,
    sftp: Option<Sftp>,
}

fn receipt(words: String) -> Fault {
    Fault::new(TransferFailure::Receipt, words)
}

/// Something that may take so long.
async fn within<T>(
    time: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(time, work).await.unwrap_or_else(|_| {
        let seconds = time.as_secs();
        let slow = format!("it answered too slowly: {what} took longer than {seconds} s");
        Err(misbehaves(slow))
    })
}

impl<'a> Line<'a> {
    /// Connects and finds out what the server can.
    pub(super) async fn open(to: &'a Destination, credential: &Credential) -> Result<Self, Fault> {
        let connection = Connection::open(to, credential).await?;
        let begin = async {
            match connection.sftp().await? {
                Some(pipe) => Sftp::begin(pipe).await,
                None => Ok(None),
            }
        };
        let begun = within(BEGIN_TIME, "agreeing on a protocol", begin).await;
        let sftp = begun.map_err(|fault| connection.explained(fault))?;
        Ok(Self {
            to,
            connection,
            sftp,
        })
    }

    /// What is spoken.
    pub(super) fn protocol(&self) -> &'static str {
        match self.sftp {
            Some(_) => "SFTP",
            None => "scp",
        }
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    fn path(&self, name: &str) -> String {
        match self.to.directory.as_str() {
            "/" => format!("/{name}"),
            directory => format!("{directory}/{name}"),
        }
    }

    /// Sends a file, unless it is there; in any case it is there afterwards, and was read back.
    pub(super) async fn deliver(&mut self, sent: &Sent) -> Result<(), Fault> {
        let time = FILE_TIME_MIN + Duration::from_secs(sent.bytes / BYTES_PER_SECOND_MIN);
        let delivered = within(time, "one file", self.deliver_at_leisure(sent)).await;
        delivered.map_err(|fault| self.connection.explained(fault))
    }

    async fn deliver_at_leisure(&mut self, sent: &Sent) -> Result<(), Fault> {
        let path = self.path(&sent.name);
        let digits: String = sent
            .digest
            .to_string()
            .chars()
            .take(PARTIAL_DIGITS)
            .collect();
        let partial = self.path(&format!(".{}.{digits}.part", sent.name));
        let folder = self.to.directory.clone();
        match &mut self.sftp {
            Some(sftp) => by_sftp(sftp, sent, &path, &partial, &folder).await,
            None => by_scp(&self.connection, sent, &path).await,
        }
    }

    /// Takes a file away again; false when the protocol has no word for that.
    pub(super) async fn remove(&mut self, name: &str) -> Result<bool, Fault> {
        let path = self.path(name);
        match &mut self.sftp {
            Some(sftp) => {
                let removed = within(BEGIN_TIME, "removing a file", sftp.remove(&path)).await;
                removed.map(|()| true)
            }
            None => Ok(false),
        }
    }
}

/// The file of that name must be the one that was to be sent.
fn same(path: &str, sent: &Sent, found: Hash) -> Result<(), Fault> {
    match found == sent.digest {
        true => Ok(()),
        false => Err(refused(format!(
            "other bytes stand there already, and nothing is overwritten: move {path} away"
        ))),
    }
}

async fn by_sftp(
    sftp: &mut Sftp,
    sent: &Sent,
    path: &str,
    partial: &str,
    folder: &str,
) -> Result<(), Fault> {
    if let Some(entry) = sftp.look(path).await? {
        let read = match entry.is_plain && entry.bytes == sent.bytes {
            true => read_back(sftp, path, sent.bytes).await?,
            false => Hash::from_bytes([0; 32]),
        };
        return same(path, sent, read);
    }
    let at = match sftp.look(partial).await? {
        None => None,
        Some(entry) if !entry.is_plain => {
            return Err(refused(format!("{partial} is there and is no plain file")));
        }
        Some(entry) if entry.bytes > sent.bytes => {
            sftp.remove(partial).await?;
            None
        }
        Some(entry) => Some(entry.bytes),
    };
    let how = match at {
        None => How::New,
        Some(_) => How::Again,
    };
    let from = at.unwrap_or(0);
    let file = sftp.open(partial, how).await?;
    let mut source = sent.from(from).await?;
    let span = (from, sent.bytes);
    sftp.write_all(&file, span, folder, &mut source).await?;
    sftp.close(file).await?;
    if read_back(sftp, partial, sent.bytes).await? != sent.digest {
        sftp.remove(partial).await?;
        return Err(receipt(format!(
            "what was read back is not what was sent; {partial} was removed"
        )));
    }
    sftp.rename(partial, path).await?;
    match sftp.look(path).await? {
        Some(entry) if entry.is_plain && entry.bytes == sent.bytes => Ok(()),
        _ => Err(receipt(format!("it is not there after renaming: {path}"))),
    }
}

async fn read_back(sftp: &mut Sftp, path: &str, bytes: u64) -> Result<Hash, Fault> {
    let file = sftp.open(path, How::Read).await?;
    let mut tally = Tally::default();
    let read = sftp
        .read_all(&file, bytes, |piece| tally.take(piece))
        .await?;
    sftp.close(file).await?;
    match read == bytes {
        true => Ok(tally.digest()),
        false => Err(receipt(format!(
            "{read} of {bytes} bytes are there: {path}"
        ))),
    }
}

async fn by_scp(to: &Connection, sent: &Sent, path: &str) -> Result<(), Fault> {
    if let Some(found) = scp::get(to, path, sent.bytes).await? {
        if found.bytes >= sent.bytes {
            return same(path, sent, found.digest);
        }
        // The beginning of the same file was cut off there; anything else is somebody else's.
        let beginning = sent.digest_of_first(found.bytes).await?;
        if beginning != found.digest {
            return same(path, sent, found.digest);
        }
    }
    scp::put(to, path, sent).await?;
    match scp::get(to, path, sent.bytes).await? {
        Some(found) if found.digest == sent.digest && found.bytes == sent.bytes => Ok(()),
        Some(found) => Err(receipt(format!(
            "what was read back is not what was sent: {} bytes of digest {} are there, {} of {} \
             were sent: {path}",
            found.bytes, found.digest, sent.bytes, sent.digest
        ))),
        None => Err(receipt(format!("it is not there after sending: {path}"))),
    }
}
