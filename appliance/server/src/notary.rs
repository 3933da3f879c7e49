//! Signs the heads of the two logs (C2SP checkpoints) and the statements of exports, with the
//! node's log key. What is signed is on the disk first.

use crate::access_log::AccessLog;
use crate::machine::LedgerMachine;
use domain::{ClusterId, NodeId, State};
use ledger::{
    Checkpoint, CheckpointFile, CheckpointFileError, ExportSigner, Fault, Ledger, LogKey, NoteKey,
    NoteKeyError, NoteSigner, SignFault, SignatureKind, SizeRange, StdDisk,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use vault::LogSigner;

/// Name of the cluster log in bundles.
pub const CLUSTER_LOG: &str = "cluster";

/// Name of the access log in bundles.
pub const ACCESS_LOG: &str = "access";

/// A head could not be signed or kept.
#[derive(Debug, thiserror::Error)]
pub enum NotaryFault {
    /// The log or the checkpoint file could not be written.
    #[error("{0}")]
    Disk(#[from] Fault),
    /// The log key could not be used.
    #[error("{0}")]
    Sign(#[from] SignFault),
    /// The log key has no valid name.
    #[error("{0}")]
    Key(#[from] NoteKeyError),
    /// The last checkpoint cannot be read or does not verify.
    #[error("{0}")]
    File(#[from] CheckpointFileError),
}

/// The log key of this node at work.
pub struct Notary {
    signer: LogSigner,
    key: NoteKey,
    principal: String,
    node: NodeId,
    cluster_origin: String,
    access_origin: String,
    cluster_file: CheckpointFile,
    access_file: CheckpointFile,
    /// One note at a time: the job and an export must not write the same file together, nor an
    /// older head over a newer one.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Notary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notary")
            .field("key", &self.key.name())
            .finish_non_exhaustive()
    }
}

/// Origin of the cluster log's checkpoints: cluster and lineage (DESIGN §2).
pub fn cluster_origin(cluster: ClusterId) -> String {
    format!("strongroom/{cluster}/lineage-1")
}

impl Notary {
    /// Takes the log key of a node; the checkpoint files lie beside the logs.
    pub fn new(
        signer: LogSigner,
        cluster: ClusterId,
        node: NodeId,
        cluster_log: &Path,
        access_log: &Path,
    ) -> Result<Self, NotaryFault> {
        let name = format!("strongroom/{cluster}/node-{}", node.0);
        let key = NoteKey::new(&name, SignatureKind::Log, signer.public_key())?;
        let file =
            |log: &Path| CheckpointFile::new(Arc::new(StdDisk), &log.with_extension("checkpoint"));
        Ok(Self {
            signer,
            key,
            principal: format!("node-{}@{cluster}", node.0),
            node,
            cluster_origin: cluster_origin(cluster),
            access_origin: format!("strongroom/{cluster}/access-{}", node.0),
            cluster_file: file(cluster_log),
            access_file: file(access_log),
            turn: Mutex::new(()),
        })
    }

    /// The last signed head of the cluster log: what it covers must be there.
    pub fn cluster_floor(&self) -> Result<Option<Checkpoint>, NotaryFault> {
        self.floor(&self.cluster_file)
    }

    /// The last signed head of the access log.
    pub fn access_floor(&self) -> Result<Option<Checkpoint>, NotaryFault> {
        self.floor(&self.access_file)
    }

    fn floor(&self, file: &CheckpointFile) -> Result<Option<Checkpoint>, NotaryFault> {
        let verified = file.load(std::slice::from_ref(&self.key))?;
        Ok(verified.map(ledger::Verified::into_inner))
    }

    /// Signs the head of the cluster log; gives the note.
    pub fn note_cluster(&self, machine: &LedgerMachine) -> Result<(u64, String), NotaryFault> {
        let _turn = self.turn.lock();
        let checkpoint = head(&mut machine.ledger(), &self.cluster_origin)?;
        self.note(&checkpoint, &self.cluster_file)
    }

    /// Signs the head of the access log; gives the note.
    pub fn note_access(&self, access: &AccessLog) -> Result<(u64, String), NotaryFault> {
        let _turn = self.turn.lock();
        let checkpoint = access.with_ledger(|ledger| head(ledger, &self.access_origin))?;
        self.note(&checkpoint, &self.access_file)
    }

    fn note(
        &self,
        checkpoint: &Checkpoint,
        file: &CheckpointFile,
    ) -> Result<(u64, String), NotaryFault> {
        let note = checkpoint.sign(&[self as &dyn NoteSigner])?;
        file.store(&note)?;
        Ok((checkpoint.size, note))
    }

    /// The keys that verify the checkpoints of a bundle, with the sizes each is valid for. The
    /// access log belongs to the node, and so does its key, from the first record.
    pub fn log_keys(&self, state: &State) -> Vec<LogKey> {
        let whole = || SizeRange {
            valid_from_size: 0,
            valid_to_size: None,
        };
        state
            .log_keys()
            .iter()
            .filter(|key| key.node == self.node && *key.public_key.as_bytes() == self.public())
            .map(|key| {
                let range = SizeRange {
                    valid_from_size: key.valid_from,
                    valid_to_size: None,
                };
                let ranges = [
                    (CLUSTER_LOG.to_owned(), range),
                    (ACCESS_LOG.to_owned(), whole()),
                ];
                LogKey {
                    node: self.node.0,
                    key: self.key.clone(),
                    ranges: BTreeMap::from(ranges),
                }
            })
            .collect()
    }

    /// The public log key.
    pub fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }
}

/// The head of a log, synced to the disk.
fn head(ledger: &mut Ledger, origin: &str) -> Result<Checkpoint, Fault> {
    ledger.sync()?;
    Ok(ledger.checkpoint(origin))
}

impl NoteSigner for Notary {
    fn key(&self) -> &NoteKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.signer.sign(message))
    }
}

impl ExportSigner for Notary {
    fn principal(&self) -> &str {
        &self.principal
    }

    fn public(&self) -> [u8; 32] {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.signer.sign(message))
    }
}
