//! Writing an export: streamed, complete or not there at all, and never one that would not verify.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::closed::{Others, frontier_path, frontier_text};
use super::format::{
    self, GUIDE_NAME, KEYS_NAME, LINE_BYTES_MAX, LogKey, LogStatement, MANIFEST_NAME,
    PART_BYTES_MAX, PART_LINES_MAX, SIGNATURE_NAME, SIGNERS_NAME, STATEMENT_NAME, Statement,
    ViewStatement, checkpoint_path, line_text, part_path,
};
use super::sink::{Sink, SinkFile};
use super::sshsig::{self, ExportSigner};
use crate::checkpoint::{Checkpoint, NoteError, NoteKey, SignFault};
use crate::disk::Fault;
use crate::segments::SegmentsReader;
use crate::tree::{Frontier, Hash, leaf_hash};

/// Records between two calls of the progress function.
const PROGRESS_RECORDS: u64 = 1_000;

/// Shows a record to people. The `Err` text is exported in place of the rendering: a record that
/// this program cannot show must not keep the log from being exported.
pub type Render<'a> = dyn Fn(&[u8]) -> Result<Value, String> + 'a;

/// As what an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleFormat {
    /// A folder.
    Folder,
    /// One POSIX tar archive, the same bytes on every machine.
    Tar,
}

/// One log to export, from its first record to the size of its checkpoint.
pub struct LogSource<'a> {
    /// Its folder in the bundle: `cluster`, `access`.
    pub name: &'a str,
    /// Where the records come from.
    pub reader: SegmentsReader,
    /// The signed checkpoint; its size is what is exported.
    pub checkpoint: &'a str,
    /// How to show a record.
    pub render: &'a Render<'a>,
    /// Only these records, for a closed log; `None` is all of them.
    pub part: Option<ViewRange<'a>>,
}

/// The records of one view, from the end of one tree to the checkpoint.
pub struct ViewRange<'a> {
    /// Name of the view: `system`.
    pub view: &'a str,
    /// The tree before the range.
    pub before: Frontier,
    /// Whether a record belongs to the view.
    pub shows: &'a dyn Fn(&[u8]) -> bool,
}

/// What to export, and who answers for it.
pub struct BundleSource<'a> {
    /// The logs, each with its own name.
    pub logs: Vec<LogSource<'a>>,
    /// The keys with which the checkpoints can be verified.
    pub keys: Vec<LogKey>,
    /// Signs the statement.
    pub signer: &'a dyn ExportSigner,
    /// Time of the export, seconds since 1970.
    pub unix_seconds: i64,
}

impl ViewRange<'_> {
    fn statement(&self) -> ViewStatement {
        ViewStatement {
            name: self.view.to_owned(),
            from: self.before.size(),
            previous: self.before.root(),
        }
    }
}

impl std::fmt::Debug for ViewRange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewRange({} from {})", self.view, self.before.size())
    }
}

impl std::fmt::Debug for BundleSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.logs.iter().map(|log| log.name).collect();
        write!(f, "BundleSource({names:?} at {})", self.unix_seconds)
    }
}

impl std::fmt::Debug for LogSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSource({})", self.name)
    }
}

/// A finished export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Records in all logs.
    pub records: u64,
    /// Records of those whose bytes are there: all, or those of the view of a closed log.
    pub shown: u64,
    /// Records that could not be shown; their bytes are there.
    pub unrendered: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 of `SHA256SUMS`, which is in the signed statement: it names this export.
    pub manifest: Hash,
}

/// Why there is no export. Nothing is left behind, unless the process dies.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something is there already.
    #[error("{} is already there; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The name cannot be that of an export or of a file in one.
    #[error("{} is not a usable name for an export", .0.display())]
    Name(PathBuf),
    /// A log name is not of the allowed form, or given twice.
    #[error("the log name {0:?} is given twice or not in lower-case letters, digits and dashes")]
    LogName(String),
    /// The time cannot be written.
    #[error("the time {0} is not within the years 0 to 9999")]
    Time(i64),
    /// The target cannot be written.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Kind of the error; `StorageFull` means no space left.
        kind: io::ErrorKind,
        /// The words of the operating system.
        error: String,
    },
    /// The log cannot be read.
    #[error("cannot read log {log}: {fault}")]
    Log {
        /// Name of the log.
        log: String,
        /// What failed.
        fault: Fault,
    },
    /// The checkpoint is not signed by a key that is valid for its size.
    #[error("the checkpoint of log {log} does not verify: {error}")]
    Checkpoint {
        /// Name of the log.
        log: String,
        /// What is wrong.
        error: NoteError,
    },
    /// The records do not have the root of the checkpoint: the log is damaged.
    #[error(
        "the records of log {log} have the root {found}, the checkpoint says {stated}; \
         the log is damaged: compare with a peer before exporting"
    )]
    Root {
        /// Name of the log.
        log: String,
        /// Root over the records as read.
        found: Hash,
        /// Root of the checkpoint.
        stated: Hash,
    },
    /// There is nothing in the range of a closed log, or its view has no usable name.
    #[error("the range of log {log} from {from} to {size} cannot be closed")]
    Range {
        /// Name of the log.
        log: String,
        /// First record of the range.
        from: u64,
        /// First record after it.
        size: u64,
    },
    /// A record is too long for a line.
    #[error("record {record} of log {log} is too long for an export")]
    RecordLength {
        /// Name of the log.
        log: String,
        /// Number of the record.
        record: u64,
    },
    /// The statement could not be signed.
    #[error("the export could not be signed: {0}")]
    Sign(#[from] SignFault),
}

impl ExportError {
    pub(super) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let (kind, path) = (error.kind(), path.to_path_buf());
        Self::Io {
            action,
            path,
            kind,
            error: error.to_string(),
        }
    }
}

/// Writes an export to `out`, which must not exist. `progress` sees records done and to do.
///
/// The export is built beside it as `<out>.partial`, synced, and renamed.
///
/// # Errors
/// [`ExportError`]; `out` does not exist then.
pub fn write_bundle(
    out: &Path,
    format: BundleFormat,
    source: &BundleSource<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Written, ExportError> {
    let time =
        format::rfc3339(source.unix_seconds).ok_or(ExportError::Time(source.unix_seconds))?;
    let checkpoints = check_source(source)?;
    let sizes = source.logs.iter().zip(&checkpoints);
    let total = sizes.map(|(log, checkpoint)| checkpoint.size - log.from());
    let total = total.sum();
    let mut sink = Sink::create(out, format)?;
    let mut count = Count {
        done: 0,
        total,
        shown: 0,
        unrendered: 0,
        progress,
    };
    let mut logs = Vec::new();
    for (log, checkpoint) in source.logs.iter().zip(checkpoints) {
        write_log(&mut sink, log, &checkpoint, &mut count)?;
        sink.put(&checkpoint_path(log.name), log.checkpoint)?;
        let Checkpoint { origin, size, root } = checkpoint;
        logs.push(LogStatement {
            name: log.name.to_owned(),
            origin,
            size,
            root,
            view: log.part.as_ref().map(ViewRange::statement),
        });
    }
    let is_closed = source.logs.iter().any(|log| log.part.is_some());
    let principal = source.signer.principal();
    sink.put(KEYS_NAME, &format::keys_text(&source.keys))?;
    sink.put(SIGNERS_NAME, &sshsig::allowed_signers(source.signer))?;
    sink.put(GUIDE_NAME, &format::guide_text(principal, is_closed))?;
    let line = |(path, digest): (&String, &Hash)| format!("{digest}  {path}\n");
    let manifest: String = sink.digests().iter().map(line).collect();
    sink.put(MANIFEST_NAME, &manifest)?;
    let manifest = sink
        .digests()
        .get(MANIFEST_NAME)
        .copied()
        .unwrap_or_default();
    let statement = Statement {
        time,
        principal: principal.to_owned(),
        logs,
        manifest,
    }
    .to_text();
    sink.put(STATEMENT_NAME, &statement)?;
    sink.put(
        SIGNATURE_NAME,
        &sshsig::sign(source.signer, statement.as_bytes())?,
    )?;
    (count.progress)(count.done, total);
    let (records, shown, unrendered) = (count.done, count.shown, count.unrendered);
    Ok(Written {
        records,
        shown,
        unrendered,
        bytes: sink.finish()?,
        manifest,
    })
}

struct Count<'p> {
    done: u64,
    total: u64,
    shown: u64,
    unrendered: u64,
    progress: &'p mut dyn FnMut(u64, u64),
}

impl Count<'_> {
    fn step(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(PROGRESS_RECORDS) {
            (self.progress)(self.done, self.total);
        }
    }
}

impl LogSource<'_> {
    /// The first record of the range.
    fn from(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.before.size())
    }

    fn shows(&self, record: &[u8]) -> bool {
        self.part.as_ref().is_none_or(|part| (part.shows)(record))
    }
}

/// Checks before anything is written what a verifier would check.
fn check_source(source: &BundleSource<'_>) -> Result<Vec<Checkpoint>, ExportError> {
    let mut names: Vec<&str> = Vec::new();
    let mut checkpoints = Vec::new();
    for log in &source.logs {
        if !format::is_log_name(log.name) || names.contains(&log.name) {
            return Err(ExportError::LogName(log.name.to_owned()));
        }
        names.push(log.name);
        let refuse = |error| ExportError::Checkpoint {
            log: log.name.to_owned(),
            error,
        };
        let size = Checkpoint::parse_unverified(log.checkpoint)
            .map_err(refuse)?
            .size;
        let is_view = log
            .part
            .as_ref()
            .is_none_or(|part| format::is_log_name(part.view) && part.before.size() < size);
        if !is_view {
            let (name, from) = (log.name.to_owned(), log.from());
            return Err(ExportError::Range {
                log: name,
                from,
                size,
            });
        }
        let valid = |key: &&LogKey| key.ranges.get(log.name).is_some_and(|r| r.holds(size));
        let keys = source.keys.iter().filter(valid).map(|key| key.key.clone());
        let keys: Vec<NoteKey> = keys.collect();
        let verified = Checkpoint::open(log.checkpoint, &keys).map_err(refuse)?;
        checkpoints.push(verified.into_inner());
    }
    Ok(checkpoints)
}

fn write_log(
    sink: &mut Sink,
    log: &LogSource<'_>,
    checkpoint: &Checkpoint,
    count: &mut Count<'_>,
) -> Result<(), ExportError> {
    let mut tree = Frontier::new();
    if let Some(part) = &log.part {
        tree = part.before.clone();
        sink.put(&frontier_path(log.name), &frontier_text(&tree))?;
    }
    let mut records = log.reader.range(tree.size(), checkpoint.size).peekable();
    while records.peek().is_some() {
        let first = tree.size();
        let mut part = sink.file(&part_path(log.name, first))?;
        let (mut lines, mut others) = (0, Others::from(first));
        while lines < PART_LINES_MAX && part.bytes() < PART_BYTES_MAX {
            let Some(record) = records.next() else { break };
            let name = || log.name.to_owned();
            let record = record.map_err(|fault| ExportError::Log { log: name(), fault })?;
            let (n, leaf) = (tree.size(), leaf_hash(&record));
            if log.shows(&record) {
                write_others(&mut part, &others)?;
                write_line(&mut part, log, n, &record, count)?;
                (lines, others) = (lines + 1, Others::from(n + 1));
            } else {
                others.push(leaf);
            }
            count.step();
            tree.push(leaf, &mut |_| ());
        }
        write_others(&mut part, &others)?;
        part.close()?;
    }
    if tree.root() != checkpoint.root {
        let (found, stated) = (tree.root(), checkpoint.root);
        return Err(ExportError::Root {
            log: log.name.to_owned(),
            found,
            stated,
        });
    }
    Ok(())
}

fn write_line(
    part: &mut SinkFile<'_>,
    log: &LogSource<'_>,
    n: u64,
    record: &[u8],
    count: &mut Count<'_>,
) -> Result<(), ExportError> {
    let rendered = (log.render)(record);
    count.unrendered += u64::from(rendered.is_err());
    let line = line_text(n, record, &format::event_text(rendered));
    if line.len() > LINE_BYTES_MAX {
        return Err(ExportError::RecordLength {
            log: log.name.to_owned(),
            record: n,
        });
    }
    count.shown += 1;
    part.write(line.as_bytes())
}

fn write_others(part: &mut SinkFile<'_>, others: &Others) -> Result<(), ExportError> {
    let mut lines = others.lines();
    lines.try_for_each(|line| part.write(line.as_bytes()))
}
