//! The power cut itself: reads the journal and undoes what was not durable.
//!
//! Content and names are undone apart, because disks lose them apart. *Content*: each 4 KiB page of
//! each file goes back to the state after the first k of its not-durable changes, k drawn per page
//! (with seed 0 always 0), the size likewise; the page written last may be torn at a 512-byte
//! sector. *Names*: each folder keeps a first part of its not-durable changes, in order, as a
//! journalling file system does (with seed 0 none).

use crate::journal::{Entry, Image};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that a disk's cache keeps or loses together.
const PAGE_BYTES: usize = 4096;
/// Bytes that a disk writes all or not at all.
const SECTOR_BYTES: usize = 512;

/// What a cut did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Changes in the journal.
    pub(crate) changes: usize,
    /// Of them, content changes that were not durable.
    pub(crate) content_at_risk: usize,
    /// Of them, name changes that were not durable.
    pub(crate) names_at_risk: usize,
    /// Files whose bytes the cut changed.
    pub(crate) files_changed: usize,
    /// Name changes undone.
    pub(crate) names_undone: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "changes={} content_at_risk={} names_at_risk={} files_changed={} names_undone={}",
            self.changes,
            self.content_at_risk,
            self.names_at_risk,
            self.files_changed,
            self.names_undone
        )
    }
}

/// A content change that was not durable.
struct Loss {
    old_size: u64,
    offset: u64,
    before: Image,
}

/// SplitMix64: small, seeded, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// How many of `count` ordered changes survive: none, all, or a number between.
    fn survivors(&mut self, count: usize) -> usize {
        match self.roll() % 4 {
            0 | 1 => 0,
            2 => count,
            _ => (self.roll() % (count as u64 + 1)) as usize,
        }
    }
}

/// Undoes what the journal says was not durable, then removes journal and graves.
///
/// # Errors
/// When the process did what the shim does not model, or the folder cannot be changed.
pub(crate) fn cut(root: &Path, journal: &Path, seed: u64) -> Result<Report> {
    let entries = read(journal)?;
    let durable = Durable::of(&entries);
    let graves = graves_of(journal);
    let mut report = Report::default();
    let mut content: BTreeMap<u64, Vec<Loss>> = BTreeMap::new();
    let mut names: Vec<(u64, Entry)> = Vec::new();
    for (position, entry) in entries {
        match entry {
            Entry::Unsupported { what } => {
                bail!("cannot judge this run: {}", String::from_utf8_lossy(&what))
            }
            Entry::SyncFile { .. } | Entry::SyncNames { .. } | Entry::SyncAll { .. } => continue,
            Entry::Data {
                inode,
                old_size,
                offset,
                before,
            } => {
                if position >= durable.content(inode) {
                    content.entry(inode).or_default().push(Loss {
                        old_size,
                        offset,
                        before,
                    });
                    report.content_at_risk += 1;
                }
            }
            name => {
                let folder = folder_of(&name);
                if position >= durable.names(folder) {
                    names.push((folder, name));
                }
            }
        }
        report.changes += 1;
    }
    report.names_at_risk = names.len();
    let mut dice = Dice(seed);
    let mut paths = BTreeMap::new();
    walk(root, &mut paths)?;
    walk(&graves, &mut paths)?;
    for (inode, losses) in &content {
        if let Some(path) = paths.get(inode) {
            let changed = lose_content(path, losses, seed, &mut dice)
                .with_context(|| format!("undoing changes of {}", path.display()))?;
            report.files_changed += usize::from(changed);
        }
    }
    report.names_undone = lose_names(names, seed, &mut dice);
    fs::remove_file(journal).context("removing the journal")?;
    fs::remove_dir_all(&graves).context("removing the graves")?;
    Ok(report)
}

fn graves_of(journal: &Path) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push(".graves");
    PathBuf::from(path)
}

fn read(journal: &Path) -> Result<Vec<(u64, Entry)>> {
    let bytes = fs::read(journal).with_context(|| {
        format!(
            "reading the journal {}: was the shim loaded at all?",
            journal.display()
        )
    })?;
    let mut entries = Vec::new();
    let mut position = 0;
    while let Some((entry, length)) = bytes.get(position..).and_then(Entry::decode) {
        entries.push((position as u64, entry));
        position += length;
    }
    Ok(entries)
}

/// Up to which position what is durable.
#[derive(Default)]
struct Durable {
    content: BTreeMap<u64, u64>,
    names: BTreeMap<u64, u64>,
    all: u64,
}

impl Durable {
    fn of(entries: &[(u64, Entry)]) -> Self {
        let mut durable = Self::default();
        let raise = |map: &mut BTreeMap<u64, u64>, inode: u64, up_to: u64| {
            let known = map.entry(inode).or_default();
            *known = (*known).max(up_to);
        };
        for (_, entry) in entries {
            match *entry {
                Entry::SyncFile { inode, up_to } => raise(&mut durable.content, inode, up_to),
                Entry::SyncNames { folder, up_to } => raise(&mut durable.names, folder, up_to),
                Entry::SyncAll { up_to } => durable.all = durable.all.max(up_to),
                _ => {}
            }
        }
        durable
    }

    fn content(&self, inode: u64) -> u64 {
        self.content.get(&inode).copied().unwrap_or(0).max(self.all)
    }

    fn names(&self, folder: u64) -> u64 {
        self.names.get(&folder).copied().unwrap_or(0).max(self.all)
    }
}

fn folder_of(entry: &Entry) -> u64 {
    match *entry {
        Entry::Create { folder, .. }
        | Entry::MakeFolder { folder, .. }
        | Entry::Unlink { folder, .. }
        | Entry::RemoveFolder { folder, .. }
        | Entry::Rename { folder, .. } => folder,
        _ => 0,
    }
}

/// Every regular file below a folder, by inode.
fn walk(folder: &Path, paths: &mut BTreeMap<u64, PathBuf>) -> Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        listing => listing.with_context(|| format!("listing {}", folder.display()))?,
    };
    for found in listing {
        let path = found?.path();
        let status = fs::symlink_metadata(&path)?;
        if status.is_dir() {
            walk(&path, paths)?;
        } else if status.is_file() {
            paths.insert(status.ino(), path);
        }
    }
    Ok(())
}

/// Takes a file back, page by page; tells whether its bytes are others now.
fn lose_content(path: &Path, losses: &[Loss], seed: u64, dice: &mut Dice) -> Result<bool> {
    let after = fs::read(path)?;
    let count = losses.len();
    let mut keep = |count| if seed == 0 { 0 } else { dice.survivors(count) };
    let longest = losses
        .iter()
        .map(|loss| loss.old_size as usize)
        .max()
        .unwrap_or(0);
    let pages = longest.max(after.len()).div_ceil(PAGE_BYTES);
    let size_from = keep(count);
    let mut pages_from: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for page in 0..pages {
        pages_from.entry(keep(count)).or_default().push(page);
    }
    let mut state = after.clone();
    let mut result = vec![0; pages * PAGE_BYTES];
    let mut size = after.len();
    for step in (0..=count).rev() {
        if let Some(loss) = losses.get(step) {
            roll_back(&mut state, loss);
        }
        if step == size_from {
            size = state.len();
        }
        for page in pages_from.get(&step).into_iter().flatten() {
            copy_page(&state, &mut result, *page, 0);
        }
    }
    result.truncate(size);
    if seed != 0 {
        tear(&mut result, &after, losses, dice);
    }
    if result == after {
        return Ok(false);
    }
    // Written through the existing inode: graves and hard-linked names must see it too.
    fs::write(path, &result)?;
    Ok(true)
}

fn roll_back(state: &mut Vec<u8>, loss: &Loss) {
    state.resize(loss.old_size as usize, 0);
    let at = loss.offset as usize;
    let length = match &loss.before {
        Image::Zeros(length) => *length as usize,
        Image::Bytes(bytes) => bytes.len(),
    };
    if let Some(place) = state.get_mut(at..at.saturating_add(length)) {
        match &loss.before {
            Image::Zeros(_) => place.fill(0),
            Image::Bytes(bytes) => place.copy_from_slice(bytes),
        }
    }
}

/// Copies one page from byte `start` on within it, as far as the source reaches.
fn copy_page(source: &[u8], target: &mut [u8], page: usize, start: usize) {
    let from = page * PAGE_BYTES + start;
    let to = ((page + 1) * PAGE_BYTES)
        .min(source.len())
        .min(target.len());
    if let (Some(bytes), Some(place)) = (source.get(from..to), target.get_mut(from..to)) {
        place.copy_from_slice(bytes);
    }
}

/// The write that the power cut met in the middle: its page has new sectors, then old ones.
fn tear(result: &mut [u8], after: &[u8], losses: &[Loss], dice: &mut Dice) {
    let Some(last) = losses.last() else { return };
    let page = last.offset as usize / PAGE_BYTES;
    let sectors = PAGE_BYTES / SECTOR_BYTES;
    let whole = (dice.roll() % (sectors as u64 + 1)) as usize * SECTOR_BYTES;
    let from = page * PAGE_BYTES;
    let to = (from + whole).min(after.len()).min(result.len());
    if let (Some(new), Some(place)) = (after.get(from..to), result.get_mut(from..to)) {
        place.copy_from_slice(new);
    }
}

/// Undoes changes of names, the last first; tells how many.
fn lose_names(names: Vec<(u64, Entry)>, seed: u64, dice: &mut Dice) -> usize {
    let folders: BTreeSet<u64> = names.iter().map(|(folder, _)| *folder).collect();
    let mut left: BTreeMap<u64, usize> = BTreeMap::new();
    for folder in folders {
        let count = names.iter().filter(|(of, _)| *of == folder).count();
        let kept = if seed == 0 { 0 } else { dice.survivors(count) };
        left.insert(folder, count - kept);
    }
    let mut undone = 0;
    for (folder, entry) in names.into_iter().rev() {
        if let Some(more) = left.get_mut(&folder).filter(|more| **more > 0) {
            *more -= 1;
            undo_name(entry);
            undone += 1;
        }
    }
    undone
}

/// Takes one change of a name back. What is not there any more was undone with its folder.
fn undo_name(entry: Entry) {
    let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
    let outcome = match entry {
        Entry::Create { path: made, .. } => fs::remove_file(path(made)),
        Entry::MakeFolder { path: made, .. } => fs::remove_dir_all(path(made)),
        Entry::RemoveFolder { path: gone, .. } => fs::create_dir(path(gone)),
        Entry::Unlink {
            path: gone, grave, ..
        } if !grave.is_empty() => fs::rename(path(grave), path(gone)),
        Entry::Rename {
            from, to, grave, ..
        } => {
            let to = path(to);
            let back = fs::rename(&to, path(from));
            match grave.is_empty() {
                true => back,
                false => back.and_then(|()| fs::rename(path(grave), to)),
            }
        }
        _ => Ok(()),
    };
    drop(outcome);
}

#[cfg(test)]
mod tests {
    //! The undo arithmetic on small files; whole processes are in `tests/power_cut.rs`.
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn entries_survive_encoding() {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let entries = [
            Entry::Data {
                inode: 7,
                old_size: 9,
                offset: 3,
                before: Image::Zeros(5),
            },
            Entry::Data {
                inode: 7,
                old_size: 9,
                offset: 3,
                before: Image::Bytes(bytes("abc")),
            },
            Entry::Create {
                folder: 1,
                path: bytes("/a"),
            },
            Entry::MakeFolder {
                folder: 1,
                path: bytes("/a"),
            },
            Entry::Unlink {
                folder: 1,
                path: bytes("/a"),
                grave: bytes("/g/1"),
            },
            Entry::RemoveFolder {
                folder: 1,
                path: bytes("/a"),
            },
            Entry::Rename {
                folder: 1,
                from: bytes("/a"),
                to: bytes("/b"),
                grave: Vec::new(),
            },
            Entry::SyncFile {
                inode: 7,
                up_to: 100,
            },
            Entry::SyncNames {
                folder: 1,
                up_to: 100,
            },
            Entry::SyncAll { up_to: 100 },
            Entry::Unsupported {
                what: bytes("mmap"),
            },
        ];
        for entry in entries {
            let record = entry.encode();
            assert_eq!(Entry::decode(&record), Some((entry, record.len())));
            assert_eq!(Entry::decode(&record[..record.len() - 1]), None, "torn");
        }
    }

    #[test]
    fn every_seed_leaves_each_page_in_one_of_its_states() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // Three versions of two pages: 0s, 1s, 2s; the file grows with the last.
        let losses = [
            Loss {
                old_size: 4096,
                offset: 0,
                before: Image::Zeros(4096),
            },
            Loss {
                old_size: 4096,
                offset: 0,
                before: Image::Bytes(vec![1; 4096]),
            },
        ];
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            fs::write(&path, vec![2; 8192]).unwrap();
            lose_content(&path, &losses, seed, &mut Dice(seed)).unwrap();
            let now = fs::read(&path).unwrap();
            assert!(now.len() == 4096 || now.len() == 8192, "size {}", now.len());
            for sector in now.chunks(SECTOR_BYTES) {
                assert!(
                    sector.iter().all(|byte| *byte == sector[0]),
                    "torn inside a sector"
                );
                seen.insert(sector[0]);
            }
            if seed == 0 {
                assert_eq!(now, vec![0; 4096], "seed 0 loses everything");
            }
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2]), "all versions occur");
    }
}
