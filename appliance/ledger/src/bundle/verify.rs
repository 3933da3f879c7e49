//! Verifying an export offline: every file, every line, the tree, the signatures, and the history.
//!
//! The order is for the reader of the message: what is wrong with the contents comes before "the
//! signature is wrong", which would be true as well but says little. Nothing is accepted unless all
//! of it is right.

mod records;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::closed::{frontier_path, parse_frontier};
use super::files::{Files, check_path};
use super::finding::{Finding, FindingKind};
use super::format::{
    self, GUIDE_NAME, KEYS_NAME, LogKey, LogStatement, MANIFEST_NAME, SIGNATURE_NAME, SIGNERS_NAME,
    STATEMENT_NAME, Statement, UNLISTED_NAMES, checkpoint_path, part_first,
};
use super::sshsig::{self, Envelope, SIGNERS_FILE};
use super::state::{LogState, VerifierState};
use crate::checkpoint::{Checkpoint, NoteError, NoteKey, SignatureKind, Verified};
use crate::tree::{Frontier, Hash};
use records::Watched;

/// Longest manifest, bytes: 10,000 files.
const MANIFEST_BYTES_MAX: u64 = 2 << 20;
/// Longest of the other small files, bytes.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Shows a record of a named log, as the writer's `Render` did.
pub type RenderNamed<'a> = dyn Fn(&str, &[u8]) -> Result<Value, String> + 'a;
/// Sees each record: log, number, bytes, and what its line shows. An `Err` text is a finding.
pub type Inspect<'a> = dyn FnMut(&str, u64, &[u8], &Value) -> Result<(), String> + 'a;

/// What a verifier brings along; all of it may be left out.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// What was seen of these logs before.
    pub state: Option<VerifierState>,
    /// An `allowed_signers` text got by another way than with the bundle.
    pub trusted: Option<String>,
    /// Renders records, to compare with what the lines show.
    pub render: Option<&'a RenderNamed<'a>>,
    /// Checks what only the caller can, such as rules about lifecycles. It sees the records of
    /// whole logs; a closed log has not all that such rules need.
    pub inspect: Option<&'a mut Inspect<'a>>,
    /// How many must have cosigned each checkpoint.
    pub cosigners_min: usize,
}

impl std::fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VerifyOptions(state: {:?}, trusted: {:?})",
            self.state, self.trusted
        )
    }
}

/// On what the trust in the signer's key rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Only on the bundle itself: it is whole, but who made it is not proven.
    Bundle,
    /// The same key has signed exports before.
    State,
    /// The caller has given the key.
    Given,
}

/// A bundle that is right in everything that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it was exported, RFC 3339.
    pub time: String,
    /// Who signed it.
    pub principal: String,
    /// With which key, `ssh-ed25519 AAAA…`.
    pub signer: String,
    /// Why that key is believed.
    pub trust: Trust,
    /// In the order of the statement.
    pub logs: Vec<LogReport>,
    /// To be kept for the next export.
    pub state: VerifierState,
}

/// One log that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// Its folder.
    pub name: String,
    /// Its origin, the name in checkpoints.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// Of a closed log: which view it is of, and the first record of its range.
    pub range: Option<(String, u64)>,
    /// Names of the log keys that signed the checkpoint.
    pub signed_by: Vec<String>,
    /// Names of those who cosigned, and when (seconds since 1970).
    pub cosigned_by: Vec<(String, u64)>,
    /// Whether the state knew this log, and it continues.
    pub continues_state: bool,
}

/// Verifies an export in a folder or a tar archive.
///
/// # Errors
/// The first [`Finding`].
pub fn verify_bundle(path: &Path, options: VerifyOptions<'_>) -> Result<Report, Finding> {
    verify(Files::open(path)?, options)
}

/// Verifies an export that is a tar archive in memory.
///
/// # Errors
/// The first [`Finding`].
pub fn verify_tar_bytes(archive: &[u8], options: VerifyOptions<'_>) -> Result<Report, Finding> {
    verify(Files::from_bytes(archive)?, options)
}

fn verify(mut files: Files<'_>, mut options: VerifyOptions<'_>) -> Result<Report, Finding> {
    for name in UNLISTED_NAMES {
        files.read(name)?;
    }
    let manifest_text = files.read_text(MANIFEST_NAME, MANIFEST_BYTES_MAX)?;
    let manifest = parse_manifest(&manifest_text)?;
    let statement_text = files.read_text(STATEMENT_NAME, SMALL_BYTES_MAX)?;
    let statement = Statement::parse(&statement_text).ok_or_else(|| {
        let message = "EXPORT.txt is not in its form; ask for the export again";
        Finding::new(FindingKind::StatementMalformed, message)
    })?;
    compare_lists(&files, &manifest, &statement)?;
    let mut bundle = Bundle {
        files,
        manifest,
        statement,
    };
    let mut checked = Vec::new();
    for log in bundle.statement.logs.clone() {
        let note = bundle.check_checkpoint(&log)?;
        let known = options
            .state
            .as_ref()
            .and_then(|state| state.logs.get(&log.state_key()));
        let watch = known.map(|known| known.size);
        let before = bundle.check_frontier(&log)?;
        let watched = records::check_log(&mut bundle, &log, before, &mut options, watch)?;
        checked.push((log, note, watched));
    }
    for name in [GUIDE_NAME, SIGNERS_NAME, KEYS_NAME] {
        bundle.check_digest(name)?;
    }
    let keys = format::parse_keys(&bundle.files.read_text(KEYS_NAME, SMALL_BYTES_MAX)?);
    let keys = keys.map_err(|reason| {
        let message = format!("keys.json is not in its form: {reason}; ask for the export again");
        Finding::new(FindingKind::KeysMalformed, message)
    })?;
    check_history(&checked, options.state.as_ref())?;
    let mut logs = Vec::new();
    let mut state = options.state.clone().unwrap_or_default();
    for (log, note, watched) in &checked {
        let verified = check_signatures(log, note, &keys, options.cosigners_min)?;
        remember(&mut state, log, &verified);
        logs.push(log_report(log, &verified, *watched != Watched::Unknown));
    }
    check_manifest_digest(&bundle.statement, &manifest_text)?;
    let (signer, trust) = check_statement(&mut bundle, &statement_text, &options)?;
    if !state.signers.contains(&signer) {
        state.signers.push(signer.clone());
    }
    let Statement {
        time, principal, ..
    } = bundle.statement;
    Ok(Report {
        time,
        principal,
        signer,
        trust,
        logs,
        state,
    })
}

/// What has been read of a bundle.
struct Bundle<'a> {
    files: Files<'a>,
    /// Digest of each listed file, by path.
    manifest: BTreeMap<String, Hash>,
    statement: Statement,
}

impl Bundle<'_> {
    /// A checkpoint must be the one of which the statement speaks. Returns the note.
    fn check_checkpoint(&mut self, log: &LogStatement) -> Result<String, Finding> {
        let path = checkpoint_path(&log.name);
        let note = self
            .files
            .read_text(&path, SMALL_BYTES_MAX)
            .map_err(|f| f.in_log(&log.name))?;
        let parsed = Checkpoint::parse_unverified(&note);
        if let Ok(found) = &parsed
            && (&found.origin, found.size, found.root) != (&log.origin, log.size, log.root)
        {
            let message = format!(
                "the checkpoint is of {} with {} records and root {}, EXPORT.txt says {} with {} \
                 records and root {}: it was exchanged; do not accept this export",
                found.origin, found.size, found.root, log.origin, log.size, log.root
            );
            return Err(Finding::new(FindingKind::CheckpointSwapped, message).in_log(&log.name));
        }
        self.check_digest(&path)
            .map_err(|finding| finding.in_log(&log.name))?;
        parsed.map_err(|error| {
            let message = format!("{error}; ask for the export again");
            Finding::new(FindingKind::CheckpointMalformed, message).in_log(&log.name)
        })?;
        Ok(note)
    }

    /// The tree before the range of a closed log must have the root that the statement names.
    fn check_frontier(&mut self, log: &LogStatement) -> Result<Frontier, Finding> {
        let Some(view) = &log.view else {
            return Ok(Frontier::new());
        };
        let path = frontier_path(&log.name);
        self.check_digest(&path)
            .map_err(|finding| finding.in_log(&log.name))?;
        let text = self.files.read_text(&path, SMALL_BYTES_MAX)?;
        let frontier = parse_frontier(&text, view.from);
        frontier
            .filter(|frontier| frontier.root() == view.previous)
            .ok_or_else(|| {
                let message = format!(
                    "{path} is not the tree of {} records with the root {}; do not accept this \
                     closed log",
                    view.from, view.previous
                );
                Finding::new(FindingKind::PreviousDiffers, message).in_log(&log.name)
            })
    }

    fn listed_digest(&self, path: &str) -> Hash {
        self.manifest.get(path).copied().unwrap_or_default()
    }

    /// A file must have the digest that the manifest gives.
    fn check_digest(&mut self, path: &str) -> Result<(), Finding> {
        let mut hasher = Sha256::new();
        std::io::copy(
            &mut self.files.read(path)?.take(SMALL_BYTES_MAX + 1),
            &mut hasher,
        )
        .map_err(|error| Finding::new(FindingKind::Unreadable, format!("{path}: {error}")))?;
        if Hash(hasher.finalize().into()) == self.listed_digest(path) {
            return Ok(());
        }
        Err(altered(path, ""))
    }

    /// Parts of a log in order: first record and path.
    fn parts(&self, log: &str) -> Vec<(u64, String)> {
        let part = |path: &String| Some((part_first(log, path)?, path.clone()));
        let mut parts: Vec<_> = self.manifest.keys().filter_map(part).collect();
        parts.sort();
        parts
    }
}

fn altered(path: &str, detail: &str) -> Finding {
    let message = format!(
        "{path} is not as SHA256SUMS lists it{detail}: it was changed or damaged after the export; \
         copy it again from the appliance and compare"
    );
    Finding::new(FindingKind::FileAltered, message)
}

/// Reads `SHA256SUMS`: `digest  path`, sorted, each path once.
fn parse_manifest(text: &str) -> Result<BTreeMap<String, Hash>, Finding> {
    let malformed = |line: &str| {
        let shown: String = line.chars().take(120).collect();
        let message = format!("SHA256SUMS has the line {shown:?}, which is not in its form");
        Finding::new(FindingKind::ManifestMalformed, message)
    };
    let mut manifest = BTreeMap::new();
    let mut last = String::new();
    for line in text.split_inclusive('\n') {
        let (digest, path) = line.split_once("  ").ok_or_else(|| malformed(line))?;
        // The path first: of all that can be wrong with a line it is the dangerous one.
        let path = path.strip_suffix('\n').ok_or_else(|| malformed(line))?;
        check_path(path)?;
        let digest = format::parse_digest(digest).ok_or_else(|| malformed(line))?;
        if *path <= *last || UNLISTED_NAMES.contains(&path) {
            return Err(malformed(line));
        }
        last = path.to_owned();
        manifest.insert(path.to_owned(), digest);
    }
    Ok(manifest)
}

/// The manifest and the files must be the same list, and each must have its place in a bundle.
fn compare_lists(
    files: &Files<'_>,
    manifest: &BTreeMap<String, Hash>,
    statement: &Statement,
) -> Result<(), Finding> {
    let unlisted = |path: &&str| !manifest.contains_key(*path) && !UNLISTED_NAMES.contains(path);
    let empty = files.empty_folders.iter().map(String::as_str);
    if let Some(added) = files.paths().filter(unlisted).chain(empty).next() {
        let message = format!(
            "{added:?} is not listed in SHA256SUMS: it was added after the export; remove it and \
             find out where it came from"
        );
        return Err(Finding::new(FindingKind::FileAdded, message));
    }
    let needed = [GUIDE_NAME, SIGNERS_NAME, KEYS_NAME].map(str::to_owned);
    let checkpoints = statement.logs.iter().map(|log| checkpoint_path(&log.name));
    let closed = statement.logs.iter().filter(|log| log.view.is_some());
    let frontiers = closed.map(|log| frontier_path(&log.name));
    let needed: Vec<String> = needed
        .into_iter()
        .chain(checkpoints)
        .chain(frontiers)
        .collect();
    for path in manifest.keys() {
        let log = statement
            .logs
            .iter()
            .find(|log| part_first(&log.name, path).is_some());
        if log.is_none() && !needed.contains(path) {
            let message = format!("SHA256SUMS lists {path:?}, which has no place in an export");
            return Err(Finding::new(FindingKind::FileForeign, message));
        }
        if !files.contains(path) {
            return Err(missing(manifest, log, path));
        }
    }
    match needed.iter().find(|path| !manifest.contains_key(*path)) {
        Some(path) => Err(missing(manifest, None, path)),
        None => Ok(()),
    }
}

fn missing(manifest: &BTreeMap<String, Hash>, log: Option<&LogStatement>, path: &str) -> Finding {
    let found = log.and_then(|log| Some((log, part_first(&log.name, path)?)));
    let Some((log, first)) = found else {
        let message = format!("the file {path} is missing; ask for the export again");
        return Finding::new(FindingKind::FileMissing, message);
    };
    let is_later = |other: &String| part_first(&log.name, other).is_some_and(|n| n > first);
    let (kind, which) = if manifest.keys().any(is_later) {
        (FindingKind::PartMissing, "a part")
    } else {
        (FindingKind::LastPartMissing, "the last part")
    };
    let message = format!(
        "{which} of the log, {path}, is missing: the records from {first} on were removed; do not \
         accept this export"
    );
    Finding::new(kind, message).in_log(&log.name).at(first)
}

/// The bundle must continue what the state has seen.
fn check_history(
    checked: &[(LogStatement, String, Watched)],
    state: Option<&VerifierState>,
) -> Result<(), Finding> {
    let Some(state) = state.filter(|state| !state.logs.is_empty()) else {
        return Ok(());
    };
    let is_known = |log: &LogStatement| match &log.view {
        None => state.logs.contains_key(&log.origin),
        // The first closed log of a view is known by another log of the same cluster.
        Some(_) => {
            let family = log.origin.rsplit_once('/').map(|(family, _)| family);
            let mut keys = state.logs.keys();
            keys.any(|key| key.rsplit_once('/').map(|(family, _)| family) == family)
        }
    };
    if checked.iter().all(|(log, ..)| !is_known(log)) {
        let known: Vec<_> = state.logs.keys().map(String::as_str).collect();
        let message = format!(
            "none of its logs is one the state knows ({}): it is of another cluster or lineage; \
             use a state file of its own for it",
            known.join(", ")
        );
        return Err(Finding::new(FindingKind::ForeignLog, message));
    }
    for (log, _, watched) in checked {
        let Some(known) = state.logs.get(&log.state_key()) else {
            continue;
        };
        if let Some(view) = log.view.as_ref().filter(|view| view.from > known.size) {
            let message = format!(
                "it begins with record {}, and the last one that was verified ends before record \
                 {}: verify those between first",
                view.from, known.size
            );
            return Err(Finding::new(FindingKind::ClosedLogMissing, message).in_log(&log.name));
        }
        if log.size < known.size || (log.view.is_some() && log.size == known.size) {
            let message = format!(
                "this export has {} records, an earlier one had {}: the log was set back or this \
                 is an old export; ask the appliance for a new one",
                log.size, known.size
            );
            return Err(Finding::new(FindingKind::OlderThanState, message).in_log(&log.name));
        }
        if *watched != Watched::Root(Hash::from_base64(&known.root).unwrap_or_default()) {
            let message = format!(
                "the first {} records are not those of the earlier export: the history was \
                 rewritten; keep both exports and compare them",
                known.size
            );
            return Err(Finding::new(FindingKind::HistoryDiffers, message).in_log(&log.name));
        }
    }
    Ok(())
}

/// The checkpoint must be signed, by keys that are valid at its size.
fn check_signatures(
    log: &LogStatement,
    note: &str,
    keys: &[LogKey],
    cosigners_min: usize,
) -> Result<Verified<Checkpoint>, Finding> {
    let finding = |kind, message: String| Finding::new(kind, message).in_log(&log.name);
    let all: Vec<NoteKey> = keys.iter().map(|key| key.key.clone()).collect();
    let malformed = |error: NoteError| finding(FindingKind::CheckpointMalformed, error.to_string());
    let claimed = Checkpoint::claimed_keys(note, &all).map_err(malformed)?;
    for key in keys.iter().filter(|key| claimed.contains(&&key.key)) {
        let range = key.ranges.get(&log.name);
        if range.is_some_and(|range| range.holds(log.size)) {
            continue;
        }
        let message = format!(
            "the checkpoint of {} records is signed by {}, which was not valid for it ({}): a \
             retired or foreign key was used; do not accept this export",
            log.size,
            key.key.name(),
            range.map_or("not for this log".to_owned(), |range| {
                match range.valid_to_size {
                    Some(to) => format!("only from {} to {to}", range.valid_from_size),
                    None => format!("only from {}", range.valid_from_size),
                }
            })
        );
        return Err(finding(FindingKind::KeyOutOfRange, message));
    }
    let verified = Checkpoint::open(note, &all).map_err(|error| match error {
        NoteError::NoKnownKey => {
            let message = "no log key of keys.json has signed the checkpoint".to_owned();
            finding(FindingKind::CheckpointUnsigned, message)
        }
        error => finding(FindingKind::CheckpointSignature, error.to_string()),
    })?;
    let cosigners = count_cosigners(&verified);
    if cosigners < cosigners_min {
        let message =
            format!("{cosigners} have cosigned the checkpoint, asked for {cosigners_min}");
        return Err(finding(FindingKind::CosignersMissing, message));
    }
    Ok(verified)
}

fn count_cosigners(verified: &Verified<Checkpoint>) -> usize {
    let is_cosigner = |kind: SignatureKind| kind == SignatureKind::Cosignature;
    verified
        .signatures()
        .iter()
        .filter(|signed| is_cosigner(signed.key.kind()))
        .count()
}

fn check_manifest_digest(statement: &Statement, manifest_text: &str) -> Result<(), Finding> {
    let digest = Hash(Sha256::digest(manifest_text.as_bytes()).into());
    if digest == statement.manifest {
        return Ok(());
    }
    let message = "SHA256SUMS is not the one of which EXPORT.txt speaks: it was changed after the \
                   export; do not accept this export";
    Err(Finding::new(FindingKind::ManifestAltered, message))
}

/// The statement must be signed, for this purpose, by somebody allowed. Returns the signer's key.
fn check_statement(
    bundle: &mut Bundle<'_>,
    statement_text: &str,
    options: &VerifyOptions<'_>,
) -> Result<(String, Trust), Finding> {
    let pem = bundle.files.read_text(SIGNATURE_NAME, SMALL_BYTES_MAX)?;
    let envelope = Envelope::parse(&pem)?;
    let signer = envelope.signer();
    let principal = &bundle.statement.principal;
    let allowed = bundle.files.read_text(SIGNERS_FILE, SMALL_BYTES_MAX)?;
    if !sshsig::is_allowed(&allowed, principal, &signer) {
        let message = format!(
            "EXPORT.txt is signed with {signer}, which allowed_signers does not list for \
             {principal}; do not accept this export"
        );
        return Err(Finding::new(FindingKind::SignerNotListed, message));
    }
    if !envelope.is_right(statement_text.as_bytes()) {
        let message = "the signature over EXPORT.txt is wrong: it was changed after signing, or \
                       forged; do not accept this export";
        return Err(Finding::new(FindingKind::SignatureWrong, message));
    }
    let known = options
        .state
        .as_ref()
        .filter(|state| !state.signers.is_empty());
    let trust = match (&options.trusted, known) {
        (Some(trusted), _) if sshsig::is_trusted(trusted, &signer) => Trust::Given,
        (Some(_), _) => {
            let message = format!(
                "EXPORT.txt is signed with {signer}, which is not among the signers you trust; \
                 compare the key with the one the appliance shows"
            );
            return Err(Finding::new(FindingKind::SignerNotTrusted, message));
        }
        (None, Some(state)) if state.signers.contains(&signer) => Trust::State,
        (None, Some(_)) => {
            let message = format!(
                "EXPORT.txt is signed with {signer}, which has signed no export before; compare \
                 the key with the one the appliance shows, and give it as trusted"
            );
            return Err(Finding::new(FindingKind::SignerChanged, message));
        }
        (None, None) => Trust::Bundle,
    };
    Ok((signer, trust))
}

fn remember(state: &mut VerifierState, log: &LogStatement, verified: &Verified<Checkpoint>) {
    let known = state
        .logs
        .entry(log.state_key())
        .or_insert_with(|| LogState {
            log: log.name.clone(),
            size: 0,
            root: String::new(),
            keys: Vec::new(),
        });
    (known.size, known.root) = (log.size, log.root.to_base64());
    for signed in verified.signatures() {
        let key = signed.key.to_vkey();
        if !known.keys.contains(&key) {
            known.keys.push(key);
        }
    }
}

fn log_report(
    log: &LogStatement,
    verified: &Verified<Checkpoint>,
    continues_state: bool,
) -> LogReport {
    let (mut signed_by, mut cosigned_by) = (Vec::new(), Vec::new());
    for signed in verified.signatures() {
        let name = signed.key.name().to_owned();
        match signed.unix_seconds {
            None => signed_by.push(name),
            Some(time) => cosigned_by.push((name, time)),
        }
    }
    let LogStatement {
        name,
        origin,
        size,
        root,
        view,
    } = log.clone();
    LogReport {
        range: view.map(|view| (view.name, view.from)),
        name,
        origin,
        size,
        root,
        signed_by,
        cosigned_by,
        continues_state,
    }
}
