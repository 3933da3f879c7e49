//! Signs the heads of the two logs (C2SP checkpoints) and the statements of exports, with the
//! node's log key. What is signed is on the disk first.

use crate::access_log::AccessLog;
use crate::machine::LedgerMachine;
use domain::state::ClosedLog;
use domain::{ClusterId, NodeId, State, Time};
use ledger::{
    Checkpoint, CheckpointFile, CheckpointFileError, ExportSigner, Fault, Frontier, Ledger, LogKey,
    NoteError, NoteKey, NoteKeyError, NoteSigner, SignFault, SignatureKind, SizeRange, StdDisk,
    TreeError, Verified,
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
    /// A note of another member does not verify.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// The tree cannot say what the root was.
    #[error("{0}")]
    Tree(#[from] TreeError),
    /// The note is of another log.
    #[error("the note is of {theirs}, and this log is {ours}")]
    OtherLog {
        /// Origin of the note.
        theirs: String,
        /// Origin here.
        ours: String,
    },
    /// Two roots for one size.
    #[error("this node has another root at that size")]
    Differs {
        /// What this node has there, signed.
        note: String,
    },
    /// Too few have signed.
    #[error("{signed} of {of} members have signed")]
    NoMajority {
        /// Members that signed.
        signed: usize,
        /// Members there are.
        of: usize,
    },
}

/// The log key of this node at work.
pub struct Notary {
    signer: Arc<LogSigner>,
    key: NoteKey,
    cosigner: CosignerKey,
    principal: String,
    cluster: ClusterId,
    node: NodeId,
    access_origin: String,
    cluster_file: CheckpointFile,
    access_file: CheckpointFile,
    /// One note at a time: the job and an export must not write the same file together, nor an
    /// older head over a newer one.
    turn: Mutex<()>,
    /// The newest head of the cluster log that was signed since the start, and when.
    signed: Mutex<Option<(Checkpoint, Time)>>,
}

impl std::fmt::Debug for Notary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notary")
            .field("key", &self.key.name())
            .finish_non_exhaustive()
    }
}

/// Origin of the cluster log's checkpoints: cluster and lineage (DESIGN §2).
pub fn cluster_origin(cluster: ClusterId, lineage: u32) -> String {
    format!("strongroom/{cluster}/lineage-{lineage}")
}

/// Name under which a node signs notes.
fn key_name(cluster: ClusterId, node: NodeId) -> String {
    format!("strongroom/{cluster}/node-{}", node.0)
}

/// The log key of this node as that of one who follows the log of all.
struct CosignerKey {
    signer: Arc<LogSigner>,
    key: NoteKey,
}

impl NoteSigner for CosignerKey {
    fn key(&self) -> &NoteKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.signer.sign(message))
    }
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
        let signer = Arc::new(signer);
        let name = key_name(cluster, node);
        let public = signer.public_key();
        let key = NoteKey::new(&name, SignatureKind::Log, public)?;
        let cosigner = CosignerKey {
            signer: signer.clone(),
            key: NoteKey::new(&name, SignatureKind::Cosignature, public)?,
        };
        let file =
            |log: &Path| CheckpointFile::new(Arc::new(StdDisk), &log.with_extension("checkpoint"));
        Ok(Self {
            signer,
            key,
            cosigner,
            principal: format!("node-{}@{cluster}", node.0),
            cluster,
            node,
            access_origin: format!("strongroom/{cluster}/access-{}", node.0),
            cluster_file: file(cluster_log),
            access_file: file(access_log),
            turn: Mutex::new(()),
            signed: Mutex::new(None),
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
        let origin = self.origin(&machine.state());
        let checkpoint = head(&mut machine.ledger(), &origin)?;
        let note = self.note(&checkpoint, &self.cluster_file)?;
        let size = checkpoint.size;
        *self.signed.lock() = Some((checkpoint, crate::clock::now()));
        Ok((size, note))
    }

    /// The newest head of the cluster log that this node signed since its start, and when.
    pub fn signed(&self) -> Option<(Checkpoint, Time)> {
        self.signed.lock().clone()
    }

    /// Origin of the cluster log in its present lineage.
    fn origin(&self, state: &State) -> String {
        let origin = state.origin().map(str::to_owned);
        origin.unwrap_or_else(|| cluster_origin(self.cluster, 1))
    }

    /// Checks a note of the cluster log by the log keys that the log itself names.
    pub fn open(&self, note: &str, state: &State) -> Result<Verified<Checkpoint>, NotaryFault> {
        let mut keys = Vec::new();
        for key in state.log_keys() {
            let (name, public) = (key_name(self.cluster, key.node), *key.public_key.as_bytes());
            keys.push(NoteKey::new(&name, SignatureKind::Log, public)?);
            keys.push(NoteKey::new(&name, SignatureKind::Cosignature, public)?);
        }
        let verified = Checkpoint::open(note, &keys)?;
        let (ours, theirs) = (self.origin(state), verified.get().origin.clone());
        if ours != theirs {
            return Err(NotaryFault::OtherLog { theirs, ours });
        }
        Ok(verified)
    }

    /// The nodes that signed or cosigned a note.
    pub fn signers(&self, note: &Verified<Checkpoint>) -> Vec<NodeId> {
        let prefix = format!("strongroom/{}/node-", self.cluster);
        let number = |name: &str| name.strip_prefix(&prefix)?.parse().ok().map(NodeId);
        let names = note.signatures().iter().map(|signed| signed.key.name());
        names.filter_map(number).collect()
    }

    /// The cosignature line of this node for a note, if its log says the same; what it covers is on
    /// the disk first.
    pub fn cosign(
        &self,
        machine: &LedgerMachine,
        checkpoint: &Checkpoint,
        note: &str,
        unix_seconds: u64,
    ) -> Result<String, NotaryFault> {
        let root = {
            let mut ledger = machine.ledger();
            if ledger.durable() < checkpoint.size {
                ledger.sync()?;
            }
            ledger.root_at(checkpoint.size)?
        };
        if root != checkpoint.root {
            let ours = Checkpoint {
                root,
                ..checkpoint.clone()
            };
            let note = ours.sign(&[self as &dyn NoteSigner])?;
            return Err(NotaryFault::Differs { note });
        }
        let cosigned = Checkpoint::cosign(note, &self.cosigner, unix_seconds)?;
        Ok(cosigned.strip_prefix(note).unwrap_or_default().to_owned())
    }

    /// Signs the head of the access log; gives it and the note.
    pub fn note_access(&self, access: &AccessLog) -> Result<(Checkpoint, String), NotaryFault> {
        let _turn = self.turn.lock();
        let checkpoint = access.with_ledger(|ledger| head(ledger, &self.access_origin))?;
        let note = self.note(&checkpoint, &self.access_file)?;
        Ok((checkpoint, note))
    }

    /// A signed checkpoint of the cluster log at the end of a closed log, and the tree before its
    /// range. It is of an earlier size than the last head, so it is not kept in its place.
    pub(crate) fn close_cluster(
        &self,
        machine: &LedgerMachine,
        closed: &ClosedLog,
    ) -> Result<Closed, NotaryFault> {
        let origin = self.origin(&machine.state());
        self.close(&mut machine.ledger(), origin, closed)
    }

    /// The same of the access log.
    pub(crate) fn close_access(
        &self,
        access: &AccessLog,
        closed: &ClosedLog,
    ) -> Result<Closed, NotaryFault> {
        let origin = self.access_origin.clone();
        access.with_ledger(|ledger| self.close(ledger, origin, closed))
    }

    fn close(
        &self,
        ledger: &mut Ledger,
        origin: String,
        closed: &ClosedLog,
    ) -> Result<Closed, NotaryFault> {
        if ledger.durable() < closed.size {
            ledger.sync()?;
        }
        let root = ledger.root_at(closed.size)?;
        let checkpoint = Checkpoint {
            origin,
            size: closed.size,
            root,
        };
        let note = checkpoint.sign(&[self as &dyn NoteSigner])?;
        if closed
            .root
            .is_some_and(|root| *root.as_bytes() != checkpoint.root.0)
        {
            return Err(NotaryFault::Differs { note });
        }
        let before = ledger.frontier_at(closed.from)?;
        Ok(Closed { note, before })
    }

    fn note(&self, checkpoint: &Checkpoint, file: &CheckpointFile) -> Result<String, NotaryFault> {
        let note = checkpoint.sign(&[self as &dyn NoteSigner])?;
        file.store(&note)?;
        Ok(note)
    }

    /// The keys that verify the checkpoints of a bundle, with the sizes each is valid for. The
    /// access log belongs to this node, and so does its key, from the first record; the others
    /// cosign the cluster log.
    pub fn log_keys(&self, state: &State) -> Result<Vec<LogKey>, NotaryFault> {
        let mut keys = Vec::new();
        for key in state.log_keys() {
            let range = SizeRange {
                valid_from_size: key.valid_from,
                valid_to_size: None,
            };
            let (name, public) = (key_name(self.cluster, key.node), *key.public_key.as_bytes());
            let mut ranges = BTreeMap::from([(CLUSTER_LOG.to_owned(), range)]);
            keys.push(LogKey {
                node: key.node.0,
                key: NoteKey::new(&name, SignatureKind::Cosignature, public)?,
                ranges: ranges.clone(),
            });
            if key.node == self.node && public == self.public() {
                let whole = SizeRange {
                    valid_from_size: 0,
                    valid_to_size: None,
                };
                ranges.insert(ACCESS_LOG.to_owned(), whole);
                keys.push(LogKey {
                    node: key.node.0,
                    key: self.key.clone(),
                    ranges,
                });
            }
        }
        Ok(keys)
    }

    /// The public log key.
    pub fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }
}

/// What a closed log is made with.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The checkpoint at its end.
    pub(crate) note: String,
    /// The tree before its range.
    pub(crate) before: Frontier,
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
