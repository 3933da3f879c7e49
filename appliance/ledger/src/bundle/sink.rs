//! Where an export is written to: a folder or an archive, under a name that says it is unfinished
//! until all of it is on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::tar;
use super::write::{BundleFormat, ExportError};
use crate::disk::parent;
use crate::tree::Hash;

/// Bytes gathered before a write to the disk.
const BUFFER_BYTES: usize = 1 << 20;

/// An unfinished export. Dropping it without [`Sink::finish`] removes it.
#[derive(Debug)]
pub(super) struct Sink {
    target: PathBuf,
    partial: PathBuf,
    format: BundleFormat,
    archive: Option<BufWriter<File>>,
    digests: BTreeMap<String, Hash>,
    bytes: u64,
    is_finished: bool,
}

/// One file of the export, being written.
pub(super) struct SinkFile<'a> {
    sink: &'a mut Sink,
    path: String,
    file: Option<BufWriter<File>>,
    hasher: Sha256,
    bytes: u64,
}

impl Sink {
    /// Begins an export; refuses to touch anything that is there already.
    pub(super) fn create(target: &Path, format: BundleFormat) -> Result<Self, ExportError> {
        let name = target
            .file_name()
            .ok_or_else(|| ExportError::Name(target.to_path_buf()))?;
        let mut partial_name = name.to_os_string();
        partial_name.push(".partial");
        let partial = target.with_file_name(partial_name);
        for path in [target, &partial] {
            match fs::symlink_metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ExportError::io("look at", path, &error)),
                Ok(_) => return Err(ExportError::Exists(path.to_path_buf())),
            }
        }
        let failed = |error: io::Error| ExportError::io("create", &partial, &error);
        let archive = match format {
            BundleFormat::Folder => {
                fs::create_dir(&partial).map_err(failed)?;
                None
            }
            BundleFormat::Tar => {
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&partial);
                Some(BufWriter::with_capacity(
                    BUFFER_BYTES,
                    file.map_err(failed)?,
                ))
            }
        };
        let (target, digests) = (target.to_path_buf(), BTreeMap::new());
        Ok(Self {
            target,
            partial,
            format,
            archive,
            digests,
            bytes: 0,
            is_finished: false,
        })
    }

    /// SHA-256 of each file written so far, by path.
    pub(super) fn digests(&self) -> &BTreeMap<String, Hash> {
        &self.digests
    }

    /// Begins a file; `path` is relative, with `/`.
    pub(super) fn file(&mut self, path: &str) -> Result<SinkFile<'_>, ExportError> {
        let place = self.partial.join(path);
        let file = match &mut self.archive {
            Some(archive) => {
                let header = tar::header(path, 0).ok_or(ExportError::Name(place))?;
                let written = archive.write_all(&header);
                written.map_err(|e| ExportError::io("write", &self.partial, &e))?;
                None
            }
            None => {
                let folder = parent(&place);
                fs::create_dir_all(folder).map_err(|e| ExportError::io("create", folder, &e))?;
                let file = OpenOptions::new().write(true).create_new(true).open(&place);
                let file = file.map_err(|e| ExportError::io("create", &place, &e))?;
                Some(BufWriter::with_capacity(BUFFER_BYTES, file))
            }
        };
        let path = path.to_owned();
        Ok(SinkFile {
            sink: self,
            path,
            file,
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    /// Writes a small file whole.
    pub(super) fn put(&mut self, path: &str, text: &str) -> Result<(), ExportError> {
        let mut file = self.file(path)?;
        file.write(text.as_bytes())?;
        file.close()
    }

    /// Makes everything durable and gives it its name. Returns the bytes written.
    pub(super) fn finish(mut self) -> Result<u64, ExportError> {
        match self.archive.take() {
            Some(mut archive) => {
                let ended = archive
                    .write_all(&[0; tar::END_BYTES])
                    .and_then(|()| archive.flush());
                let synced = ended.and_then(|()| archive.get_ref().sync_all());
                synced.map_err(|e| ExportError::io("write", &self.partial, &e))?;
            }
            None => {
                let folders = self.digests.keys().filter_map(|path| path.split_once('/'));
                let mut folders: Vec<_> = folders.map(|(dir, _)| self.partial.join(dir)).collect();
                folders.dedup();
                folders.push(self.partial.clone());
                folders.iter().try_for_each(|folder| sync_folder(folder))?;
            }
        }
        fs::rename(&self.partial, &self.target)
            .map_err(|e| ExportError::io("rename to", &self.target, &e))?;
        self.is_finished = true;
        sync_folder(parent(&self.target))?;
        Ok(self.bytes)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // The export failed and says why; a rest that cannot be removed is refused by name later.
        let _ = match self.format {
            BundleFormat::Folder => fs::remove_dir_all(&self.partial),
            BundleFormat::Tar => fs::remove_file(&self.partial),
        };
    }
}

impl SinkFile<'_> {
    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        let written = match (&mut self.file, &mut self.sink.archive) {
            (Some(file), _) => file.write_all(bytes),
            (None, Some(archive)) => archive.write_all(bytes),
            (None, None) => Err(io::Error::other("the export is already finished")),
        };
        written.map_err(|e| self.failed(&e))
    }

    /// Ends the file; in a folder it is durable then.
    pub(super) fn close(mut self) -> Result<(), ExportError> {
        let ended = match (&mut self.file, &mut self.sink.archive) {
            (Some(file), _) => file.flush().and_then(|()| file.get_ref().sync_all()),
            (None, Some(archive)) => end_entry(archive, &self.path, self.bytes),
            (None, None) => Err(io::Error::other("the export is already finished")),
        };
        ended.map_err(|e| self.failed(&e))?;
        let digest = Hash(self.hasher.finalize().into());
        self.sink.bytes += self.bytes;
        self.sink.digests.insert(self.path, digest);
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> ExportError {
        ExportError::io("write", &self.sink.partial.join(&self.path), error)
    }
}

/// Pads the content and goes back to put its size into the header.
fn end_entry(archive: &mut BufWriter<File>, path: &str, bytes: u64) -> io::Result<()> {
    let padding = tar::padding(bytes);
    archive.write_all([0_u8; tar::BLOCK_BYTES].get(..padding).unwrap_or_default())?;
    let header = tar::header(path, bytes).ok_or_else(|| io::Error::other("over 8 GiB"))?;
    let end = archive.stream_position()?;
    let start = end - padding as u64 - bytes - tar::BLOCK_BYTES as u64;
    archive.seek(SeekFrom::Start(start))?;
    archive.write_all(&header)?;
    archive.seek(SeekFrom::Start(end))?;
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<(), ExportError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| ExportError::io("sync folder", folder, &e))
}
