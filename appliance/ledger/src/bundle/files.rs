//! Reading a bundle that may come from an enemy: a folder, an archive, or the bytes of one. Links
//! are never followed, names never leave the bundle, and everything has a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::finding::{Finding, FindingKind};
use super::tar::{self, BLOCK_BYTES, Header, TOP_FOLDER};

/// Most files in a bundle: 500 million records in parts of 50,000.
const FILES_MAX: usize = 10_000;
/// Longest path in a bundle, bytes.
const PATH_BYTES_MAX: usize = 96;
/// Zeros after the end of an archive: GNU tar fills up to 20 blocks. Bytes.
const ARCHIVE_TAIL_BYTES_MAX: u64 = 64 << 10;

/// What can be read at a place: a file, or bytes in memory.
trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// The files of a bundle, by path.
pub(super) struct Files<'a> {
    place: Place<'a>,
    /// Each file with the place of its content, for an archive: offset and length.
    entries: BTreeMap<String, (u64, u64)>,
    /// Folders that hold no file.
    pub(super) empty_folders: BTreeSet<String>,
}

enum Place<'a> {
    Folder(PathBuf),
    Archive(Box<dyn ReadSeek + 'a>),
}

/// What is wrong with a path in a manifest or an archive, if anything.
pub(super) fn check_path(path: &str) -> Result<(), Finding> {
    let escapes =
        path.starts_with('/') || path.contains('\\') || path.split('/').any(|p| p == "..");
    if escapes {
        let message = format!("the path {path:?} points out of the export; do not unpack it");
        return Err(Finding::new(FindingKind::PathTraversal, message));
    }
    let is_plain = |part: &str| !part.is_empty() && part != ".";
    let is_good = path.len() <= PATH_BYTES_MAX
        && path.split('/').count() <= 2
        && path.split('/').all(is_plain)
        && path.chars().all(|c| c.is_ascii_graphic());
    if !is_good {
        let shown: String = path.chars().take(PATH_BYTES_MAX).collect();
        let message = format!("the path {shown:?} cannot be one of an export");
        return Err(Finding::new(FindingKind::FileForeign, message));
    }
    Ok(())
}

fn unreadable(what: &str, error: &io::Error) -> Finding {
    let message = format!("cannot read {what}: {error}; copy the export again");
    Finding::new(FindingKind::Unreadable, message)
}

impl<'a> Files<'a> {
    /// Lists a folder or archive.
    pub(super) fn open(path: &Path) -> Result<Self, Finding> {
        let shown = path.display().to_string();
        // The caller named this path, so here, and only here, a link may be followed.
        let metadata = fs::metadata(path).map_err(|e| unreadable(&shown, &e))?;
        if metadata.is_dir() {
            return Self::list_folder(path);
        }
        let file = File::open(path).map_err(|e| unreadable(&shown, &e))?;
        Self::list_archive(Box::new(file))
    }

    /// Lists an archive in memory.
    pub(super) fn from_bytes(archive: &'a [u8]) -> Result<Self, Finding> {
        Self::list_archive(Box::new(Cursor::new(archive)))
    }

    /// All paths, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Opens a file for reading from its start.
    pub(super) fn read(&mut self, path: &str) -> Result<Box<dyn Read + '_>, Finding> {
        let Some((offset, length)) = self.entries.get(path).copied() else {
            let message = format!("the file {path} is missing; ask for the export again");
            return Err(Finding::new(FindingKind::FileMissing, message));
        };
        match &mut self.place {
            Place::Folder(root) => Ok(Box::new(open_plain(&root.join(path), path)?)),
            Place::Archive(archive) => {
                archive
                    .seek(SeekFrom::Start(offset))
                    .map_err(|e| unreadable(path, &e))?;
                Ok(Box::new(archive.take(length)))
            }
        }
    }

    /// Reads a small file whole; one byte more than `bytes_max` is a finding.
    pub(super) fn read_text(&mut self, path: &str, bytes_max: u64) -> Result<String, Finding> {
        let mut bytes = Vec::new();
        let read = self.read(path)?.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|e| unreadable(path, &e))?;
        let text = String::from_utf8(bytes).ok();
        text.filter(|text| text.len() as u64 <= bytes_max)
            .ok_or_else(|| {
                let message = format!("{path} is longer than {bytes_max} bytes or no text");
                Finding::new(FindingKind::Unreadable, message)
            })
    }

    fn list_folder(root: &Path) -> Result<Self, Finding> {
        let mut entries = BTreeMap::new();
        let mut empty_folders = BTreeSet::new();
        for (name, is_folder) in list(root, "")? {
            if !is_folder {
                entries.insert(name, (0, 0));
                continue;
            }
            let inside = list(&root.join(&name), &name)?;
            if inside.is_empty() {
                empty_folders.insert(name);
                continue;
            }
            for (path, is_folder) in inside {
                if is_folder {
                    empty_folders.insert(path);
                } else {
                    entries.insert(path, (0, 0));
                }
            }
        }
        refuse_too_many(entries.len())?;
        Ok(Self {
            place: Place::Folder(root.to_path_buf()),
            entries,
            empty_folders,
        })
    }

    fn list_archive(mut archive: Box<dyn ReadSeek + 'a>) -> Result<Self, Finding> {
        let malformed = |what: &str| {
            let message = format!("this is no export archive: {what}; ask for the export again");
            Finding::new(FindingKind::Unreadable, message)
        };
        let failed = |e: io::Error| unreadable("the archive", &e);
        let archive_bytes = archive.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut entries = BTreeMap::new();
        let mut at = 0;
        loop {
            archive.seek(SeekFrom::Start(at)).map_err(failed)?;
            let mut block = [0_u8; BLOCK_BYTES];
            archive
                .read_exact(&mut block)
                .map_err(|_| malformed("it ends too early"))?;
            at += BLOCK_BYTES as u64;
            match tar::parse(&block).ok_or_else(|| malformed("a header is damaged"))? {
                Header::Zero => break,
                Header::Folder { path } => check_archived(path.trim_end_matches('/'))?,
                Header::Other { path, kind } => return Err(not_plain(&path, &kind.to_string())),
                Header::File { path, bytes } => {
                    check_archived(&path)?;
                    let end = at
                        .checked_add(bytes)
                        .and_then(|e| e.checked_add(padding_of(bytes)));
                    let end = end.filter(|end| *end <= archive_bytes);
                    let end = end.ok_or_else(|| malformed("a file runs past its end"))?;
                    let path = path.strip_prefix(TOP_FOLDER).unwrap_or_default().to_owned();
                    check_path(&path)?;
                    if let Some(_earlier) = entries.insert(path.clone(), (at, bytes)) {
                        let message = format!("the archive holds {path} twice; do not unpack it");
                        return Err(Finding::new(FindingKind::DuplicateFile, message));
                    }
                    at = end;
                }
            }
            refuse_too_many(entries.len())?;
        }
        let mut tail = Vec::new();
        let rest = archive
            .by_ref()
            .take(ARCHIVE_TAIL_BYTES_MAX)
            .read_to_end(&mut tail);
        if at + rest.map_err(failed)? as u64 != archive_bytes || tail.iter().any(|byte| *byte != 0)
        {
            let message = "something follows the end of the archive; do not unpack it";
            return Err(Finding::new(FindingKind::FileAdded, message));
        }
        let place = Place::Archive(archive);
        Ok(Self {
            place,
            entries,
            empty_folders: BTreeSet::new(),
        })
    }
}

fn padding_of(bytes: u64) -> u64 {
    tar::padding(bytes) as u64
}

/// A path in an archive: under the one folder, and not out of it.
fn check_archived(path: &str) -> Result<(), Finding> {
    if path == TOP_FOLDER.trim_end_matches('/') {
        return Ok(());
    }
    let Some(inside) = path.strip_prefix(TOP_FOLDER) else {
        check_path(path)?;
        let message = format!("the archive holds {path:?}, which is not under {TOP_FOLDER}");
        return Err(Finding::new(FindingKind::FileAdded, message));
    };
    check_path(inside)
}

fn refuse_too_many(files: usize) -> Result<(), Finding> {
    if files > FILES_MAX {
        let message = format!("the export has more than {FILES_MAX} files; it is none of ours");
        return Err(Finding::new(FindingKind::FileAdded, message));
    }
    Ok(())
}

fn not_plain(path: &str, kind: &str) -> Finding {
    let message = format!(
        "{path:?} is a link or device ({kind}), not a plain file; do not open it, and ask for the \
         export again"
    );
    Finding::new(FindingKind::NotPlainFile, message)
}

/// Paths in a folder, with whether each is a folder itself. Stops soon after the limit.
fn list(folder: &Path, prefix: &str) -> Result<Vec<(String, bool)>, Finding> {
    let shown = if prefix.is_empty() {
        "the export folder"
    } else {
        prefix
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unreadable(shown, &e))? {
        let entry = entry.map_err(|e| unreadable(shown, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        // Of the entry itself: a link is a link here, whatever it points to.
        let kind = entry.file_type().map_err(|e| unreadable(&path, &e))?;
        if !kind.is_file() && !kind.is_dir() {
            return Err(not_plain(&path, &format!("{kind:?}")));
        }
        found.push((path, kind.is_dir()));
        refuse_too_many(found.len())?;
    }
    Ok(found)
}

/// Opens a plain file; a link put in its place since it was listed is noticed.
fn open_plain(place: &Path, path: &str) -> Result<File, Finding> {
    let before = fs::symlink_metadata(place).map_err(|e| unreadable(path, &e))?;
    if !before.is_file() {
        return Err(not_plain(path, "it was exchanged while reading"));
    }
    let file = File::open(place).map_err(|e| unreadable(path, &e))?;
    let after = file.metadata().map_err(|e| unreadable(path, &e))?;
    if (before.dev(), before.ino()) != (after.dev(), after.ino()) {
        return Err(not_plain(path, "it was exchanged while reading"));
    }
    Ok(file)
}
