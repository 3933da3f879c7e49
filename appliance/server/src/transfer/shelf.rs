//! The closed logs of this node as files: signed bundles, `data/closed-logs/<name>.tar`.

use crate::engine::Engine;
use crate::jobs::export::ExportFault;
use crate::notary::{ACCESS_LOG, CLUSTER_LOG, Closed, Notary};
use crate::render;
use domain::state::ClosedLog;
use domain::{AccessRecord, Name, NodeId, Record, State, Stream, View, codec};
use ledger::{BundleFormat, BundleSource, LogSource, ViewRange, write_bundle};
use std::io;
use std::path::{Path, PathBuf};

/// What every file of a closed log ends in.
const ENDING: &str = ".tar";

/// The folder of what is encrypted, below that of the closed logs.
const ENCRYPTED: &str = "encrypted";

/// Characters of the cluster's identity in a name: two clusters may share a folder somewhere.
const CLUSTER_CHARS: usize = 8;

/// The folder of the closed logs.
#[derive(Clone, Debug)]
pub(crate) struct Shelf(PathBuf);

/// What stands before the number in the names of a stream's files.
fn stem(state: &State, stream: Stream) -> String {
    let cluster = state.cluster().map(|id| id.to_string()).unwrap_or_default();
    let cluster: String = cluster.chars().take(CLUSTER_CHARS).collect();
    // A lineage that was begun anew may close the same number with other records.
    let lineage = match state.lineage() {
        0 | 1 => String::new(),
        n => format!("-lineage-{n}"),
    };
    format!("strongroom-{cluster}{lineage}-{stream}-")
}

/// Name of the file of a closed log, here and at destinations.
pub(crate) fn file_name(state: &State, stream: Stream, number: u64) -> String {
    format!("{}{number:06}{ENDING}", stem(state, stream))
}

/// The node that makes and sends a closed log: of a node's own log that one; of the cluster log the
/// leader, or, when its log key is younger than the closed log, the first member whose key is not.
pub(crate) fn sender(
    state: &State,
    leader: Option<u64>,
    stream: Stream,
    size: u64,
) -> Option<NodeId> {
    if stream.node.is_some() {
        return stream.node;
    }
    let leader = NodeId(leader?);
    let may_sign = |node: NodeId| {
        let key = state.log_key(node);
        key.is_some_and(|key| key.valid_from <= size)
    };
    let mut members = state.members().map(|(node, _)| node);
    match may_sign(leader) {
        true => Some(leader),
        false => members.find(|node| may_sign(*node)).or(Some(leader)),
    }
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where a closed log stands, whether it is there or not.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the file of a closed log, unless it is there.
    pub(crate) fn put(
        &self,
        engine: &Engine,
        notary: &Notary,
        stream: Stream,
        closed: &ClosedLog,
    ) -> Result<PathBuf, ExportFault> {
        let name = file_name(&engine.machine().state(), stream, closed.number);
        let path = self.path(&name);
        if path.exists() {
            return Ok(path);
        }
        self.tidy(&path);
        let head = match stream.node {
            None => notary.close_cluster(engine.machine(), closed)?,
            Some(_) => notary.close_access(engine.access(), closed)?,
        };
        write(engine, notary, stream, closed, head, &path)?;
        Ok(path)
    }

    /// Takes away what an interrupted writing left; the next one is refused otherwise.
    fn tidy(&self, path: &Path) {
        // A folder or file that cannot be made or removed is named by the writing itself.
        drop(std::fs::create_dir_all(&self.0));
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        drop(std::fs::remove_file(&partial));
    }

    /// Numbers of the closed logs of a stream that are there.
    pub(crate) fn numbers(&self, state: &State, stream: Stream) -> io::Result<Vec<u64>> {
        let stem = stem(state, stream);
        let mut numbers = Vec::new();
        let entries = match std::fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(numbers),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| {
                let digits = name.strip_prefix(&stem)?.strip_suffix(ENDING)?;
                digits.parse::<u64>().ok()
            });
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Where files wait that are encrypted for a destination.
    pub(crate) fn encrypted(&self, destination: &Name) -> PathBuf {
        self.0.join(ENCRYPTED).join(destination.as_str())
    }

    /// Removes what was encrypted for a destination; only one file is under way at a time.
    pub(crate) fn forget_encrypted(&self, destination: &Name) -> io::Result<()> {
        match std::fs::remove_dir_all(self.encrypted(destination)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes what was encrypted for destinations that are gone.
    pub(crate) fn prune_encrypted(&self, state: &State) -> io::Result<()> {
        let folders = match std::fs::read_dir(self.0.join(ENCRYPTED)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            folders => folders?,
        };
        for folder in folders {
            let folder = folder?;
            let name = folder.file_name();
            let name = name.to_str().and_then(|name| Name::parse(name).ok());
            if name.is_none_or(|name| state.destination(&name).is_none()) {
                std::fs::remove_dir_all(folder.path())?;
            }
        }
        Ok(())
    }

    /// Removes the oldest of those that every destination has, beyond the number to keep.
    pub(crate) fn prune(&self, state: &State, stream: Stream, keep: usize) -> io::Result<()> {
        let done = state.delivered_everywhere(stream);
        let numbers = self.numbers(state, stream)?;
        let surplus = numbers.len().saturating_sub(keep);
        for number in numbers.into_iter().take(surplus).filter(|n| *n <= done) {
            std::fs::remove_file(self.path(&file_name(state, stream, number)))?;
        }
        Ok(())
    }
}

/// Whether a record belongs to a view. One that this program cannot read is shown in each.
fn shows(log: View, record: &[u8]) -> bool {
    match log.is_of_cluster() {
        true => codec::from_slice::<Record>(record).map_or(true, |r| View::of(&r.event) == log),
        false => codec::from_slice::<AccessRecord>(record)
            .map_or(true, |r| View::of_access(&r.access) == log),
    }
}

fn write(
    engine: &Engine,
    notary: &Notary,
    stream: Stream,
    closed: &ClosedLog,
    head: Closed,
    path: &Path,
) -> Result<(), ExportFault> {
    let log = stream.log;
    let is_shown = |record: &[u8]| shows(log, record);
    let (name, reader, render): (_, _, &ledger::Render<'_>) = match stream.node {
        None => (CLUSTER_LOG, engine.machine().reader(), &render::record),
        Some(_) => (ACCESS_LOG, engine.access().reader(), &render::access),
    };
    let source = BundleSource {
        logs: vec![LogSource {
            name,
            reader,
            checkpoint: &head.note,
            render,
            part: Some(ViewRange {
                view: log.name(),
                before: head.before,
                shows: &is_shown,
            }),
        }],
        keys: notary.log_keys(&engine.machine().state())?,
        signer: notary,
        // Made again, it is the same file.
        unix_seconds: closed.time.seconds(),
    };
    write_bundle(path, BundleFormat::Tar, &source, &mut |_, _| ())?;
    Ok(())
}
