//! Agreement on the cluster log, signed: the leader has its checkpoints cosigned by the others.
//!
//! A member cosigns only what it finds in its own log (C2SP `cosignature/v1`). Two roots for one
//! size are a fork: both signed notes are kept as evidence and the log is told, upon which changes
//! by users stop (DESIGN §2, law 9).

use crate::engine::Engine;
use crate::layout::{Layout, write_file};
use crate::member::colleagues::Colleagues;
use crate::member::messages::{Answer, Question};
use crate::notary::{Notary, NotaryFault};
use domain::{Actor, Ask, Hash, MemberPhase, NodeId};
use ledger::{Checkpoint, Verified};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a member waits for its own log to reach the size that it is asked about.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two rounds: each costs every member an fsync and a signature.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// The newest head on which a majority agrees.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// Who signed it.
    pub nodes: BTreeSet<NodeId>,
    /// The note, with all signatures.
    pub note: String,
}

/// Asks for cosignatures, gives them, and keeps what was agreed.
#[derive(Debug)]
pub struct Cosigner {
    engine: Arc<Engine>,
    notary: Arc<Notary>,
    colleagues: Colleagues,
    evidence: PathBuf,
    /// Where the newest agreement is kept, for the start after this one and for a recovery.
    file: PathBuf,
    agreed: RwLock<Option<Agreed>>,
}

impl Cosigner {
    /// A cosigner that knows of the agreement that was kept last, if it still verifies.
    pub(crate) fn new(
        engine: Arc<Engine>,
        notary: Arc<Notary>,
        colleagues: Colleagues,
        layout: &Layout,
    ) -> Self {
        let cosigner = Self {
            engine,
            notary,
            colleagues,
            evidence: layout.evidence(),
            file: layout.agreed(),
            agreed: RwLock::new(None),
        };
        if let Ok(kept) = std::fs::read_to_string(layout.agreed()) {
            // A note that no longer verifies is replaced by the next agreement.
            drop(cosigner.take(&kept));
        }
        cosigner
    }

    /// What was agreed on last.
    pub fn last(&self) -> Option<Agreed> {
        self.agreed.read().clone()
    }

    /// The note of it.
    pub(crate) fn agreed(&self) -> Option<String> {
        self.agreed
            .read()
            .as_ref()
            .map(|agreed| agreed.note.clone())
    }

    /// Has each new checkpoint cosigned while this node leads.
    pub(crate) async fn run(self: Arc<Self>, mut notes: watch::Receiver<Option<String>>) {
        while notes.changed().await.is_ok() {
            let note = notes.borrow_and_update().clone();
            let leads = self.engine.cluster().status().leader == Some(self.engine.node().0);
            if let Some(note) = note.filter(|_| leads) {
                let gathered = self.gather(&note).await;
                match self.take(&gathered) {
                    Ok(()) => self.tell(&gathered).await,
                    Err(e) => tracing::debug!("not agreed yet: {e}"),
                }
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Asks every other member to cosign a note; gives it with the cosignatures that came.
    pub async fn gather(&self, note: &str) -> String {
        let question = Question::Cosign {
            note: note.to_owned(),
        };
        let mut asked = tokio::task::JoinSet::new();
        for node in self.colleagues.everybody() {
            let (colleagues, question) = (self.colleagues.clone(), question.clone());
            asked.spawn(async move { (node, colleagues.ask_node(node, &question).await) });
        }
        let mut gathered = note.to_owned();
        while let Some(Ok((node, answer))) = asked.join_next().await {
            match answer {
                Ok(Answer::Cosignature(line)) => gathered.push_str(&line),
                Ok(Answer::Differs { note: theirs }) => self.report(node, note, &theirs).await,
                Ok(Answer::Refused(why)) => tracing::debug!("node {} cosigns not: {why}", node.0),
                Ok(_) | Err(_) => {}
            }
        }
        gathered
    }

    async fn tell(&self, note: &str) {
        let question = Question::Cosigned {
            note: note.to_owned(),
        };
        for node in self.colleagues.everybody() {
            // Who does not hear it now hears the next one.
            drop(self.colleagues.ask_node(node, &question).await);
        }
    }

    /// Another member asks for our cosignature.
    pub(crate) async fn answer(&self, caller: NodeId, note: String) -> Result<Answer, String> {
        let asked = self.open(&note).map_err(|e| e.to_string())?;
        let checkpoint = asked.get().clone();
        let mut progress = self.engine.machine().progress();
        let reached = progress.wait_for(|progress| progress.size >= checkpoint.size);
        if tokio::time::timeout(REACH_TIMEOUT, reached).await.is_err() {
            let size = checkpoint.size;
            return Err(format!("this node has not reached {size} records yet"));
        }
        let (machine, notary) = (self.engine.machine().clone(), self.notary.clone());
        let unix_seconds = u64::try_from(self.engine.now().seconds()).unwrap_or(0);
        let of_note = note.clone();
        let cosigned = tokio::task::spawn_blocking(move || {
            notary.cosign(&machine, &checkpoint, &of_note, unix_seconds)
        });
        match cosigned.await.map_err(|e| e.to_string())? {
            Ok(line) => Ok(Answer::Cosignature(line)),
            Err(NotaryFault::Differs { note: ours }) => {
                self.keep_evidence(caller, &note, &ours);
                Ok(Answer::Differs { note: ours })
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// Takes a note that a majority has signed, if it fits our own log.
    pub(crate) fn take(&self, note: &str) -> Result<(), NotaryFault> {
        let verified = self.open(note)?;
        let checkpoint = verified.get().clone();
        let signers = self.notary.signers(&verified);
        let nodes: BTreeSet<NodeId> = {
            let state = self.engine.machine().state();
            let counts = |id: &NodeId| {
                let member = state.member(*id);
                member.is_some_and(|member| member.phase == MemberPhase::Member)
            };
            let of = state.members().filter(|(id, _)| counts(id)).count();
            let nodes: BTreeSet<NodeId> = signers.into_iter().filter(counts).collect();
            if nodes.len() * 2 <= of {
                let signed = nodes.len();
                return Err(NotaryFault::NoMajority { signed, of });
            }
            nodes
        };
        let ours = {
            let ledger = self.engine.machine().ledger();
            (ledger.size() >= checkpoint.size).then(|| ledger.root_at(checkpoint.size))
        };
        if let Some(Ok(root)) = ours
            && root != checkpoint.root
        {
            return Err(NotaryFault::Differs {
                note: note.to_owned(),
            });
        }
        let mut agreed = self.agreed.write();
        let newer = agreed
            .as_ref()
            .is_none_or(|last| last.checkpoint.size <= checkpoint.size);
        if newer {
            // Not worth an fsync: an older one, or none, does as well after a power cut.
            drop(std::fs::write(&self.file, note));
            *agreed = Some(Agreed {
                checkpoint,
                nodes,
                note: note.to_owned(),
            });
        }
        Ok(())
    }

    /// Checks the signatures of a note against the log keys of the members.
    fn open(&self, note: &str) -> Result<Verified<Checkpoint>, NotaryFault> {
        let state = self.engine.machine().state();
        self.notary.open(note, &state)
    }

    /// Two signed roots for one size: keeps both and tells the log.
    async fn report(&self, other: NodeId, ours: &str, theirs: &str) {
        let Ok(checked) = self.open(theirs) else {
            tracing::error!("node {} says that it differs, but cannot sign it", other.0);
            return;
        };
        self.keep_evidence(other, theirs, ours);
        let theirs = checked.get();
        let Ok(root) = self.engine.machine().ledger().root_at(theirs.size) else {
            return;
        };
        if root == theirs.root {
            return;
        }
        let me = self.engine.node();
        tracing::error!(
            "node {} has another log than this one: roots differ at {} records; evidence is in {}",
            other.0,
            theirs.size,
            self.evidence.display()
        );
        let ask = Ask::ReportDivergence {
            size: theirs.size,
            node: me,
            root: Hash::from_bytes(root.0),
            other,
            other_root: Hash::from_bytes(theirs.root.0),
        };
        if let Err(e) = self.engine.change(&Actor::Node(me), ask, None).await {
            tracing::error!("the divergence could not be recorded: {e}");
        }
    }

    fn keep_evidence(&self, other: NodeId, theirs: &str, ours: &str) {
        let size = Checkpoint::parse_unverified(ours).map_or(0, |checkpoint| checkpoint.size);
        let kept = std::fs::create_dir_all(&self.evidence).and_then(|()| {
            let file = |whose: &str| self.evidence.join(format!("size-{size}-{whose}.note"));
            write_file(
                &file(&format!("node-{}", other.0)),
                theirs.as_bytes(),
                0o600,
            )?;
            write_file(&file("here"), ours.as_bytes(), 0o600)
        });
        if let Err(e) = kept {
            tracing::error!(
                "evidence could not be kept in {}: {e}",
                self.evidence.display()
            );
        }
    }
}
