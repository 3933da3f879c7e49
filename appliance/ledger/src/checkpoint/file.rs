//! The latest checkpoint of a log, kept in a file: the floor for the next opening.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Checkpoint, NoteError, NoteKey, Verified};
use crate::disk::{Disk, Fault, read_full_at, replace_file};

/// More is read than a note may have, so that a longer one is refused as such; bytes.
const READ_BYTES_MAX: usize = (64 << 10) + 1;

/// A file that holds one signed checkpoint and is replaced atomically.
#[derive(Debug)]
pub struct CheckpointFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// Why the stored checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFileError {
    /// The disk failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The file holds no checkpoint signed by a known key.
    #[error(
        "{}: {error}; the log must not be opened without its checkpoint: \
         restore the file from a peer or a backup", path.display()
    )]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: NoteError,
    },
}

impl CheckpointFile {
    /// Names the file; nothing is read yet.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self {
            disk,
            path: path.to_path_buf(),
        }
    }

    /// Replaces the stored checkpoint; durable when it returns.
    ///
    /// # Errors
    /// [`Fault::Disk`]; the file then holds the old note or the new one, whole.
    pub fn store(&self, note: &str) -> Result<(), Fault> {
        replace_file(&*self.disk, &self.path, note.as_bytes())
    }

    /// The stored note as it is, or `None` when none was ever stored.
    ///
    /// # Errors
    /// [`CheckpointFileError`].
    pub fn load_note(&self) -> Result<Option<String>, CheckpointFileError> {
        let file = match self.disk.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::disk("open", &self.path, &error).into()),
        };
        let mut bytes = vec![0_u8; READ_BYTES_MAX];
        let read = read_full_at(&*file, &mut bytes, 0);
        bytes.truncate(read.map_err(|e| Fault::disk("read", &self.path, &e))?);
        let note = String::from_utf8(bytes);
        Ok(Some(note.map_err(|_| {
            self.refuse(NoteError::Form("it is not UTF-8"))
        })?))
    }

    /// The stored checkpoint, checked against the keys that may have signed it.
    ///
    /// # Errors
    /// [`CheckpointFileError`].
    pub fn load(
        &self,
        keys: &[NoteKey],
    ) -> Result<Option<Verified<Checkpoint>>, CheckpointFileError> {
        let Some(note) = self.load_note()? else {
            return Ok(None);
        };
        Checkpoint::open(&note, keys)
            .map(Some)
            .map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: NoteError) -> CheckpointFileError {
        CheckpointFileError::Note {
            path: self.path.clone(),
            error,
        }
    }
}
