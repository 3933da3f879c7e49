//! The file that is sent.

use super::fault::{Fault, local};
use super::sftp::CHUNK_BYTES;
use domain::Hash;
use sha2::{Digest as _, Sha256};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// A file here, with its digest.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    path: PathBuf,
    /// Its name there.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) digest: Hash,
}

/// Its bytes from some position on.
pub(super) struct Source {
    file: File,
}

/// Digest of what comes by, piece by piece.
#[derive(Default)]
pub(super) struct Tally(Sha256);

impl Tally {
    pub(super) fn take(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn digest(self) -> Hash {
        Hash::from_bytes(self.0.finalize().into())
    }
}

impl Sent {
    /// Looks at a file.
    pub(super) async fn of(path: &Path, name: &str) -> Result<Self, Fault> {
        let mut sent = Self {
            path: path.to_owned(),
            name: name.to_owned(),
            bytes: 0,
            digest: Hash::from_bytes([0; 32]),
        };
        let (mut source, mut tally) = (sent.from(0).await?, Tally::default());
        loop {
            let chunk = source.chunk().await?;
            if chunk.is_empty() {
                break;
            }
            sent.bytes += chunk.len() as u64;
            tally.take(&chunk);
        }
        sent.digest = tally.digest();
        Ok(sent)
    }

    /// Its bytes from a position on.
    pub(super) async fn from(&self, at: u64) -> Result<Source, Fault> {
        let opened = async {
            let mut file = File::open(&self.path).await?;
            file.seek(SeekFrom::Start(at)).await?;
            Ok::<_, std::io::Error>(file)
        };
        let file = opened.await;
        let path = self.path.display();
        let file = file.map_err(|e| local(format!("{path}: {e}")))?;
        Ok(Source { file })
    }

    /// Digest of its first bytes.
    pub(super) async fn digest_of_first(&self, bytes: u64) -> Result<Hash, Fault> {
        let (mut source, mut tally, mut left) = (self.from(0).await?, Tally::default(), bytes);
        while left > 0 {
            let chunk = source.chunk().await?;
            let some = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            if some == 0 {
                break;
            }
            tally.take(chunk.get(..some).unwrap_or_default());
            left -= some as u64;
        }
        Ok(tally.digest())
    }
}

impl Source {
    /// The next piece; empty at the end.
    pub(super) async fn chunk(&mut self) -> Result<Vec<u8>, Fault> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let mut piece = (&mut self.file).take(CHUNK_BYTES as u64);
        let read = piece.read_to_end(&mut chunk).await;
        read.map_err(|e| local(format!("reading a closed log: {e}")))?;
        Ok(chunk)
    }
}
