//! Makes a node whole before it takes part: what is damaged on its disk is fetched from other
//! members, checked, and put in place; what was damaged is kept as evidence (law 9).
//!
//! * A damaged segment of the **cluster log** is written anew. The records must lead to the root
//!   that this node itself signed last, and what lies behind that to a head that a majority of the
//!   members signed.
//! * A damaged **sealed store** is set aside and fetched whole.
//! * With a damaged **Raft log**, or one that does not go with the ledger, the node may have
//!   forgotten for whom it voted and what it confirmed. It must not vote on: it comes back under a
//!   new number ([`super::rejoin`]).
//!
//! A node in repair asks as one who shows a member's certificate and takes no part: its questions
//! reach the desk of another member and never Raft.

use super::catch_up::{self, CatchUpFault, Described, Source};
use super::join::newcomer_hello;
use super::messages::{Answer, Question};
use super::place::Place;
use super::rejoin;
use crate::jobs::repairs::Repairs;
use crate::layout::Layout;
use crate::machine::LedgerMachine;
use crate::notary::Notary;
use anyhow::{Context, bail};
use cluster::peers::{BoxFuture, CallFault, TokioNet, call_once};
use cluster::{RaftFolder, StartFault};
use domain::{MemberPhase, NodeId, Record, State, codec};
use ledger::{Checkpoint, Corruption, Disk, Frontier, Ledger, Rewrite, SegmentsConfig, StdDisk};
use ledger::{leaf_hash, verify_consistency};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault::Vault;
use vault::store::SealedStore;

/// Time for one answer: a page of records over a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between rounds of questions when nobody could answer.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a node in repair waits for a member that can help: all may just be starting.
const HELP_TIMEOUT: Duration = Duration::from_secs(600);

/// Damaged places of one log that are repaired in one start; more mean another disk is needed.
const REPAIRS_MAX: usize = 1_000;

/// Times in a row that opening the sealed store may end the program before it is set aside.
const OPENINGS_MAX: u32 = 2;

/// What mends a node.
pub(crate) struct Mender<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) vault: &'a Vault,
    pub(crate) repairs: &'a Repairs,
}

/// The other members, asked by one who takes no part.
pub(crate) struct Helpers {
    members: Vec<(u64, String)>,
    cluster: domain::ClusterId,
    lineage: u32,
    tls: Arc<rustls::ClientConfig>,
}

impl Helpers {
    /// The members that a place names.
    pub(crate) fn of(vault: &Vault, place: &Place) -> anyhow::Result<Self> {
        let (tls, _) = vault.peer_tls().context("keys of the cluster port")?;
        let others = place.members.iter().filter(|(node, _)| *node != place.node);
        Ok(Self {
            members: others.cloned().collect(),
            cluster: vault.cluster(),
            lineage: place.lineage,
            tls,
        })
    }

    /// Asks one member, or says why it gave no answer.
    async fn ask_at(
        &self,
        node: u64,
        address: &str,
        question: &Question,
    ) -> Result<Answer, CallFault> {
        let hello = newcomer_hello(self.cluster, self.lineage);
        let name = vault::member_dns_name(NodeId(node), &self.cluster);
        let (tls, body) = (self.tls.clone(), codec::to_vec(question));
        let answer = call_once(&TokioNet, address, tls, &name, hello, body, ANSWER_TIMEOUT).await?;
        codec::from_slice(&answer).map_err(|e| CallFault::Answered(e.to_string()))
    }

    /// Asks all in turn, once; the first answer that is no refusal counts.
    pub(crate) async fn ask_round(&self, question: &Question) -> Result<Answer, String> {
        let mut faults = Vec::new();
        for (node, address) in &self.members {
            match self.ask_at(*node, address, question).await {
                Ok(Answer::Refused(why)) => faults.push(format!("node {node}: {why}")),
                Ok(answer) => return Ok(answer),
                Err(e) => faults.push(format!("node {node}: {e}")),
            }
        }
        Err(faults.join("; "))
    }

    /// Asks until somebody answers.
    pub(crate) async fn ask_until(&self, question: &Question) -> Result<Answer, String> {
        let begun = Instant::now();
        let mut told = String::new();
        loop {
            let why = match self.ask_round(question).await {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            if begun.elapsed() > HELP_TIMEOUT {
                return Err(why);
            }
            if told != why {
                tracing::warn!("waiting for a member that can help: {why}");
                told = why;
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }
}

impl Source for Helpers {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, CatchUpFault>> {
        Box::pin(async move {
            let answer = self.ask_until(question).await;
            answer.map_err(CatchUpFault::Unreachable)
        })
    }
}

impl Mender<'_> {
    /// Looks at the Raft folder and at the sealed store before anything is opened for good. What a
    /// node alone finds damaged it only names. Gives the place from which the node starts.
    pub(crate) async fn before_start(&self, place: Place) -> anyhow::Result<Place> {
        rejoin::finish(self.layout, &place)?;
        let has_others = place.members.iter().any(|(node, _)| *node != place.node);
        if !has_others {
            return Ok(place);
        }
        let applied = self.check_store()?;
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        // A node that comes back has another Raft log than the one its store followed.
        let counts_anew = place.replaces.is_some();
        let folder = RaftFolder::read(&disk, &self.layout.raft());
        let checked = folder.and_then(|folder| match (applied, counts_anew) {
            (Some(applied), false) => folder.check((applied > 0).then_some(applied)),
            _ => Ok(()),
        });
        match checked {
            Ok(()) => Ok(place),
            Err(fault) if fault.is_damage() => self.come_back(place, &fault).await,
            Err(fault) => Err(fault.into()),
        }
    }

    async fn come_back(&self, place: Place, fault: &StartFault) -> anyhow::Result<Place> {
        tracing::error!(
            "{fault}; this node must not vote with what is left, and comes back to the cluster \
             under a new number"
        );
        let old = place.node;
        let place = rejoin::rejoin(self.layout, self.vault, &place).await?;
        tracing::warn!("node {old} is node {} from now on", place.node);
        self.repairs.add("raft log", 1);
        Ok(place)
    }

    /// Notes that the sealed store is being opened. Some damage ends the program there, and again
    /// at each start; a power cut may do so, too, but not so often in a row.
    fn count_opening(&self) -> u32 {
        let mark = self.layout.store_is_opening();
        let before = std::fs::read_to_string(&mark).ok();
        let before = before.and_then(|text| text.trim().parse::<u32>().ok());
        let openings = before.unwrap_or(0).saturating_add(1);
        if let Err(e) = crate::layout::write_file(&mark, openings.to_string().as_bytes(), 0o600) {
            tracing::warn!("{}: {e}", mark.display());
        }
        openings
    }

    /// Sets a damaged sealed store aside; gives the entry at which a sound one stands.
    fn check_store(&self) -> anyhow::Result<Option<u64>> {
        let file = self.layout.sealed_store();
        if self.layout.store_is_missing().exists() {
            return Ok(None);
        }
        let doubtful = self.layout.store_is_doubtful();
        let openings = self.count_opening();
        if doubtful.exists() || openings > OPENINGS_MAX {
            let kept = set_aside(self.layout, &[&file])?;
            tracing::error!(
                "the sealed store is in doubt and is kept in {}; another member is asked for its \
                 content",
                kept.display()
            );
            for mark in [&doubtful, &self.layout.store_is_opening()] {
                forget(mark)?;
            }
            return Ok(None);
        }
        let ended_well = !self.layout.running().exists();
        let verified = match ended_well {
            true => Ok(true),
            false => SealedStore::verify(&file),
        };
        let opened = verified.and_then(|_| SealedStore::open(&file));
        forget(&self.layout.store_is_opening())?;
        match opened {
            Ok(store) => Ok(Some(store.durable_index())),
            Err(fault) if SealedStore::is_damaged(&fault) => {
                let kept = set_aside(self.layout, &[&file])?;
                tracing::error!(
                    "{fault}; the damaged sealed store is kept in {}, and another member is asked \
                     for its content",
                    kept.display()
                );
                Ok(None)
            }
            Err(fault) => Err(fault).with_context(|| format!("opening {}", file.display())),
        }
    }

    /// Fetches the sealed store whole, if it was set aside; true when it was, and the machine has
    /// to be opened again with it.
    pub(crate) async fn fetch_store(
        &self,
        machine: &LedgerMachine,
        place: &Place,
    ) -> anyhow::Result<bool> {
        let mark = self.layout.store_is_missing();
        if !mark.exists() {
            return Ok(false);
        }
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let folder = RaftFolder::read(&disk, &self.layout.raft())?;
        // The records of every entry before the last one are all here; what the snapshot covers is,
        // too. What comes after is carried out again from the Raft log.
        let complete = last_entry(machine)?.saturating_sub(1);
        let entry = complete.max(folder.snapshot_entry.unwrap_or(0));
        if holds_keys(machine, place.id())? {
            let helpers = Helpers::of(self.vault, place)?;
            catch_up::fetch_store(machine, &helpers, entry).await?;
        } else {
            // A witness keeps nothing in it but how far it came.
            machine.store().install(entry, [])?;
        }
        std::fs::remove_file(&mark)?;
        self.repairs.add("sealed store, whole", 1);
        Ok(true)
    }

    /// Repairs the cluster log until it opens; gives how many pieces were replaced.
    pub(crate) async fn cluster_log(
        &self,
        place: &Place,
        notary: &Notary,
        floor: Option<&Checkpoint>,
        mut found: Corruption,
    ) -> anyhow::Result<()> {
        let dir = self.layout.cluster_log();
        let has_others = place.members.iter().any(|(node, _)| *node != place.node);
        if !has_others {
            bail!("{found} (this cluster has no other node that could be asked)");
        }
        let helpers = Helpers::of(self.vault, place)?;
        for _ in 0..REPAIRS_MAX {
            tracing::error!("{found}; the other members are asked for it");
            let work = LogRepair::begin(self.layout, &dir, notary, floor, &found)?;
            let kept = work.kept.clone();
            work.carry_out(&helpers).await?;
            tracing::warn!("the damaged file is kept in {}", kept.display());
            self.repairs.add("cluster log", 1);
            let disk = Arc::new(StdDisk);
            match Ledger::open(disk, &dir, SegmentsConfig::LEDGER, floor) {
                Ok(_) => return Ok(()),
                Err(ledger::OpenError::Corrupt(next)) => found = next,
                Err(e) => return Err(e.into()),
            }
        }
        bail!("the cluster log is damaged in more than {REPAIRS_MAX} places: replace the disk");
    }
}

/// The entry after which entries are carried out again, when the end of the log was replaced.
pub(crate) fn carry_out_again(layout: &Layout) -> anyhow::Result<Option<u64>> {
    let file = layout.again();
    match std::fs::read(&file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("reading {}", file.display())),
    }
}

/// Whether a node holds keys, by the whole log: the machine's state is behind it.
fn holds_keys(machine: &LedgerMachine, node: NodeId) -> anyhow::Result<bool> {
    let mut state = State::default();
    for record in machine.reader().iter_from(0) {
        state.evolve(&codec::from_slice::<Record>(&record?)?);
    }
    let me = state.node(node);
    Ok(me.is_none_or(|me| me.role.holds_keys()))
}

/// Entry of the last record; 0 in an empty log.
fn last_entry(machine: &LedgerMachine) -> anyhow::Result<u64> {
    let reader = machine.reader();
    let Some(last) = reader.size().checked_sub(1) else {
        return Ok(0);
    };
    let record: Record = codec::from_slice(&reader.read(last)?)?;
    Ok(record.entry)
}

/// Removes a mark that may not be there.
fn forget(mark: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(mark) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", mark.display()))
        }
        _ => Ok(()),
    }
}

/// Moves files out of the way into a folder of their own below the evidence. A store that is moved
/// leaves a mark, so that an empty one is never taken for it.
fn set_aside(layout: &Layout, files: &[&Path]) -> anyhow::Result<PathBuf> {
    let kept = layout.new_evidence("damaged")?;
    if files.contains(&layout.sealed_store().as_path()) {
        crate::layout::write_file(&layout.store_is_missing(), b"fetch it\n", 0o600)?;
    }
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        std::fs::rename(file, kept.join(name))?;
    }
    Ok(kept)
}

/// One damaged segment, or the whole log, on its way to be whole.
struct LogRepair<'a> {
    notary: &'a Notary,
    dir: PathBuf,
    floor: Option<&'a Checkpoint>,
    /// First record to be replaced.
    first: u64,
    /// One past the last, when a sound segment follows.
    end: Option<u64>,
    /// All segments are in doubt.
    is_whole: bool,
    doubtful: Vec<PathBuf>,
    kept: PathBuf,
    /// Where to note from which entry on entries are carried out again.
    again: PathBuf,
    /// What the Raft folder says of the ledger.
    folder: RaftFolder,
}

impl<'a> LogRepair<'a> {
    /// Finds the range and keeps the damaged file.
    fn begin(
        layout: &Layout,
        dir: &Path,
        notary: &'a Notary,
        floor: Option<&'a Checkpoint>,
        found: &Corruption,
    ) -> anyhow::Result<Self> {
        let mut segments: Vec<(u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let first = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
            if let Some(first) = first.filter(|_| path.extension().is_some_and(|e| e == "seg")) {
                segments.push((first, path));
            }
        }
        segments.sort();
        // A fault that is not in one segment means that all of them are in doubt.
        let whole = found.segment_first().is_none();
        let first = found.segment_first().unwrap_or(0);
        let kept = layout.new_evidence("cluster-log")?;
        let doubtful = segments.iter().filter(|(at, _)| whole || *at == first);
        let doubtful: Vec<PathBuf> = doubtful.map(|(_, path)| path.clone()).collect();
        for path in &doubtful {
            let name = path.file_name().context("a segment has a name")?;
            std::fs::copy(path, kept.join(name))?;
        }
        let mut after = segments.iter().map(|(at, _)| *at).filter(|at| *at > first);
        let end = if whole { None } else { after.next() };
        Ok(Self {
            notary,
            dir: dir.to_owned(),
            floor,
            first,
            end,
            is_whole: whole,
            doubtful,
            kept,
            again: layout.again(),
            folder: RaftFolder::read(&(Arc::new(StdDisk) as Arc<dyn Disk>), &layout.raft())?,
        })
    }

    /// The log must not end before this: the snapshot of the Raft log covers so many records.
    fn least_size(&self) -> anyhow::Result<u64> {
        let described = self.folder.snapshot.as_deref();
        let described = described.map(codec::from_slice::<Described>).transpose()?;
        let floor = self.floor.map_or(0, |floor| floor.size);
        Ok(floor.max(described.map_or(0, |described| described.size)))
    }

    /// The end of the log was replaced, and the sealed store may be of a later entry than the last
    /// that is complete in it: from there on entries are carried out again.
    fn note_again(&self, last: u64) -> anyhow::Result<()> {
        let complete = last.saturating_sub(1);
        let after = complete.max(self.folder.snapshot_entry.unwrap_or(0));
        let text = serde_json::to_vec(&after)?;
        Ok(crate::layout::write_file(&self.again, &text, 0o600)?)
    }

    async fn carry_out(self, helpers: &Helpers) -> anyhow::Result<()> {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let config = SegmentsConfig::LEDGER;
        let (mut tree, mut state) = (Frontier::new(), State::default());
        let first = self.first;
        // The fault itself is known; this is for the sound records before it.
        drop(Ledger::open_visiting(
            disk.clone(),
            &self.dir,
            config,
            None,
            &mut |n, bytes| {
                if n < first {
                    tree.push(leaf_hash(bytes), &mut |_| ());
                    if let Ok(record) = codec::from_slice::<Record>(bytes) {
                        state.evolve(&record);
                    }
                }
            },
        ));
        if tree.size() != first {
            bail!(
                "the cluster log is damaged at record {first}, and before it at record {} as well",
                tree.size()
            );
        }
        let mut rewrite = Rewrite::begin(disk, &self.dir, config, first)?;
        let mut fetched = Fetched {
            helpers,
            rewrite: &mut rewrite,
            tree,
            state,
            last_entry: 0,
        };
        // Up to the head that this node signed, its own signature vouches for what is sent.
        let floor = self.floor.filter(|floor| floor.size > first);
        if let Some(floor) = floor {
            let to = self.end.unwrap_or(floor.size).min(floor.size);
            fetched.to(to, floor).await?;
        }
        // Behind it, a majority of the members does.
        if self.end.is_none_or(|end| fetched.tree.size() < end) {
            let least = self.end.unwrap_or(self.least_size()?);
            let head = self.agreed_head(helpers, &fetched.state, least).await?;
            let to = self.end.unwrap_or(head.size).min(head.size);
            fetched.to(to, &head).await?;
        }
        let last = fetched.last_entry;
        if self.end.is_none() {
            self.note_again(last)?;
        }
        if self.is_whole {
            // All were copied to the evidence; their boundaries may be others now.
            for path in &self.doubtful {
                std::fs::remove_file(path)?;
            }
        }
        Ok(rewrite.finish()?)
    }

    /// The newest head of at least `least` records that a majority of the members, as this node
    /// knows them, has signed.
    async fn agreed_head(
        &self,
        helpers: &Helpers,
        state: &State,
        least: u64,
    ) -> anyhow::Result<Checkpoint> {
        if state.cluster().is_none() {
            bail!(
                "this node has no signed head of its own log from which it could tell a true one \
                 from a false one; keep its folder and let it join anew with an empty one"
            );
        }
        let begun = Instant::now();
        loop {
            let answer = helpers.ask_until(&Question::Head).await;
            let why = match answer.map_err(anyhow::Error::msg)? {
                Answer::Note(Some(note)) => match self.check_head(&note, state) {
                    Ok(head) if head.size >= least => return Ok(head),
                    Ok(head) => format!("it has {} records, {least} are wanted", head.size),
                    Err(why) => why.to_string(),
                },
                Answer::Note(None) => "no head has been agreed on yet".to_owned(),
                _ => "a member gave an answer to another question".to_owned(),
            };
            if begun.elapsed() > HELP_TIMEOUT {
                bail!("no head of the cluster log that a majority has signed: {why}");
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    fn check_head(&self, note: &str, state: &State) -> anyhow::Result<Checkpoint> {
        let verified = self.notary.open(note, state)?;
        let standing = |id: NodeId| {
            let member = state.member(id);
            member.is_some_and(|member| member.phase == MemberPhase::Member)
        };
        let of = state.members().filter(|(id, _)| standing(*id)).count();
        let mut signers = self.notary.signers(&verified);
        signers.sort_unstable();
        signers.dedup();
        let signed = signers.into_iter().filter(|id| standing(*id)).count();
        if signed * 2 <= of {
            bail!("only {signed} of {of} members have signed it");
        }
        Ok(verified.into_inner())
    }
}

/// Records on their way into the new segments.
struct Fetched<'a> {
    helpers: &'a Helpers,
    rewrite: &'a mut Rewrite,
    tree: Frontier,
    state: State,
    /// Entry of the last record.
    last_entry: u64,
}

impl Fetched<'_> {
    /// Fetches up to `to`, checked against a head that covers it.
    async fn to(&mut self, to: u64, head: &Checkpoint) -> anyhow::Result<()> {
        while self.tree.size() < to {
            let from = self.tree.size();
            let target = head.size;
            let question = Question::Records { from, target };
            let answer = self.helpers.ask_until(&question).await;
            let Answer::Records { records, proof } = answer.map_err(anyhow::Error::msg)? else {
                bail!("a member gave an answer to another question");
            };
            let mut tree = self.tree.clone();
            for record in &records {
                tree.push(leaf_hash(record), &mut |_| ());
            }
            let proof: Vec<_> = proof.iter().map(|h| ledger::Hash(*h.as_bytes())).collect();
            let (size, root) = (tree.size(), tree.root());
            let fits = size > from
                && size <= target
                && verify_consistency(size, &root, target, &head.root, &proof).is_ok();
            if !fits {
                bail!(
                    "records {from} to {size} that a member sent do not lead to the signed head of \
                     {target} records"
                );
            }
            // The page may reach beyond what is wanted; it was proven as a whole.
            for record in records.iter().take(usize::try_from(to - from)?) {
                self.rewrite.push(record)?;
                self.tree.push(leaf_hash(record), &mut |_| ());
                let record: Record = codec::from_slice(record)?;
                self.last_entry = record.entry;
                self.state.evolve(&record);
            }
        }
        Ok(())
    }
}
