//! What a verifier says when something is wrong: where, which kind, and what to do.

use std::fmt;

use serde::Serialize;

/// The first thing that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Finding {
    /// The log concerned.
    pub log: Option<String>,
    /// Number of the record concerned, where one can be named.
    pub record: Option<u64>,
    /// What kind of tampering or damage it is.
    pub kind: FindingKind,
    /// What was found, with what, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.log, self.record) {
            (Some(log), Some(record)) => write!(f, "log {log}, record {record}: ")?,
            (Some(log), None) => write!(f, "log {log}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

impl Finding {
    pub(super) fn new(kind: FindingKind, message: impl Into<String>) -> Self {
        Self {
            log: None,
            record: None,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn in_log(self, log: &str) -> Self {
        Self {
            log: Some(log.to_owned()),
            ..self
        }
    }

    pub(super) fn at(self, record: u64) -> Self {
        Self {
            record: Some(record),
            ..self
        }
    }
}

/// The kinds of findings; scripts may rely on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file cannot be read, or the bundle is no folder and no tar archive.
    Unreadable,
    /// A path points out of the bundle, in the manifest or in the archive.
    PathTraversal,
    /// A link, device or other thing that is no plain file.
    NotPlainFile,
    /// The same path twice in an archive.
    DuplicateFile,
    /// `SHA256SUMS` is not in its form.
    ManifestMalformed,
    /// A file is there that the manifest does not list.
    FileAdded,
    /// A file that the manifest lists is not there.
    FileMissing,
    /// The last part of a log is not there.
    LastPartMissing,
    /// A part of a log that is not the last is not there.
    PartMissing,
    /// A listed file has no place in a bundle.
    FileForeign,
    /// `EXPORT.txt` is not in its form.
    StatementMalformed,
    /// A checkpoint is not in its form.
    CheckpointMalformed,
    /// A checkpoint is not the one of which the statement speaks.
    CheckpointSwapped,
    /// A line is missing; those after it are there.
    RecordMissing,
    /// The lines are not in the order of their numbers.
    RecordsReordered,
    /// A log or part ends too early.
    Truncated,
    /// There are more records than the checkpoint covers.
    RecordsBeyondCheckpoint,
    /// A line is not in its form.
    LineMalformed,
    /// A file differs from its digest in the manifest.
    FileAltered,
    /// What a line shows is not what its record says.
    RenderingDiffers,
    /// A closed log shows a record of another view than the one it is of.
    ViewDiffers,
    /// The tree before the range of a closed log is not the one that the statement names.
    PreviousDiffers,
    /// Between this closed log and the one before, others are missing.
    ClosedLogMissing,
    /// A record breaks a rule of the caller's inspection.
    Inspection,
    /// The records do not have the root of the checkpoint: something was changed, and the digests
    /// computed again.
    RootDiffers,
    /// `keys.json` is not in its form.
    KeysMalformed,
    /// The previous export was larger: this one is older than what was seen before.
    OlderThanState,
    /// The records that the previous export had are not the same here.
    HistoryDiffers,
    /// None of the logs is one that the state knows.
    ForeignLog,
    /// A checkpoint is signed by a key at a size for which the key is not valid.
    KeyOutOfRange,
    /// No key of `keys.json` has signed a checkpoint.
    CheckpointUnsigned,
    /// The signature of a checkpoint is wrong.
    CheckpointSignature,
    /// Fewer have cosigned than were asked for.
    CosignersMissing,
    /// The manifest is not the one of which the statement speaks.
    ManifestAltered,
    /// `EXPORT.txt.sig` is no SSH signature.
    SignatureMalformed,
    /// The statement is signed for another purpose.
    WrongNamespace,
    /// The statement is signed by a key that `allowed_signers` does not list.
    SignerNotListed,
    /// The statement is signed by a key that the caller does not trust.
    SignerNotTrusted,
    /// The statement is signed by another key than the exports before.
    SignerChanged,
    /// The signature over the statement is wrong.
    SignatureWrong,
}
