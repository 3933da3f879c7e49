//! Salvage: objects that only an old member of another lineage still has are taken in again.
//!
//! The old member's folder is read on a member of the living cluster: its log is replayed, its
//! sealed bytes are opened with its own keys and sealed anew with this cluster's. It only ever
//! adds: an identifier that this cluster has known, living or destroyed, is left alone, and the
//! rules say so again when the ask comes to them (DESIGN §3, FAILURES).

use super::place::Place;
use crate::engine::{Engine, Refusal};
use crate::layout::Layout;
use crate::node;
use anyhow::{Context, bail};
use domain::{Actor, NodeId, Record, State, Uid, codec};
use ledger::{Ledger, SegmentsConfig, StdDisk};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use vault::store::SealedStore;
use vault::{Credential, Vault};

/// An object that only the old member has, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Find {
    /// Its identifier.
    pub(crate) uid: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its state there.
    pub(crate) state: String,
    /// Who owns it.
    pub(crate) owner: Option<String>,
    /// Its name there.
    pub(crate) name: Option<String>,
    /// `found`, `salvaged`, or why not.
    pub(crate) outcome: String,
}

/// An old member's folder, opened.
pub(crate) struct Wreck {
    node: NodeId,
    state: State,
    store: SealedStore,
    vault: Vault,
    // Keeps the old node from being started meanwhile.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl Wreck {
    /// Opens the folder of an old member of the same cluster.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let layout = Layout::new(dir);
        if !layout.cluster_log().exists() {
            bail!(
                "{} is no folder of a node: it has no cluster log",
                dir.display()
            );
        }
        let lock = node::lock(&layout)?;
        let credential = Credential::KeyFile(layout.unlock_key());
        let vault = Vault::unlock(&layout.keys(), &credential)
            .with_context(|| format!("unlocking {}", layout.keys().display()))?;
        if vault.cluster() != engine.vault().cluster() {
            bail!(
                "{} is of cluster {}, and this is {}",
                dir.display(),
                vault.cluster(),
                engine.vault().cluster()
            );
        }
        let place = Place::read(&layout.place())?;
        let mut state = State::default();
        let mut unreadable = None;
        let disk = Arc::new(StdDisk);
        let dir = layout.cluster_log();
        let opened =
            Ledger::open_visiting(disk, &dir, SegmentsConfig::LEDGER, None, &mut |n, bytes| {
                match codec::from_slice::<Record>(bytes) {
                    Ok(record) => state.evolve(&record),
                    Err(e) => unreadable = unreadable.take().or(Some(format!("record {n}: {e}"))),
                }
            });
        if let Some(unreadable) = unreadable {
            bail!("{}: {unreadable}", dir.display());
        }
        opened.with_context(|| format!("opening {}", dir.display()))?;
        let file = layout.sealed_store();
        let store =
            SealedStore::open(&file).with_context(|| format!("opening {}", file.display()))?;
        Ok(Self {
            node: place.id(),
            state,
            store,
            vault,
            _lock: lock,
        })
    }

    /// The objects that live there and that this cluster has never known.
    fn uids(&self, ours: &State) -> Vec<Uid> {
        let living = self.state.objects().filter(|object| !object.is_tombstone());
        living
            .map(|object| *object.uid())
            .filter(|uid| ours.object(uid).is_none())
            .collect()
    }

    /// Lists what only the old member has.
    pub(crate) fn list(&self, ours: &State) -> Vec<Find> {
        let uids = self.uids(ours);
        let find = |uid: &Uid| self.describe(uid, "found".to_owned());
        uids.iter().filter_map(find).collect()
    }

    fn describe(&self, uid: &Uid, outcome: String) -> Option<Find> {
        let object = self.state.object(uid)?;
        Some(Find {
            uid: uid.to_string(),
            kind: format!("{:?}", object.object_type()),
            state: object.recorded_state().to_string(),
            owner: object.owner(&self.state).map(ToString::to_string),
            name: object.names().next().map(ToString::to_string),
            outcome,
        })
    }

    /// Takes everything in that this cluster has never known.
    pub(crate) async fn salvage(&self, engine: &Engine, actor: &Actor) -> Vec<Find> {
        let uids = {
            let ours = engine.machine().state();
            self.uids(&ours)
        };
        let mut finds = Vec::with_capacity(uids.len());
        for uid in uids {
            let outcome = match self.take_in(engine, actor, &uid).await {
                Ok(()) => "salvaged".to_owned(),
                Err(why) => format!("not salvaged: {why:#}"),
            };
            finds.extend(self.describe(&uid, outcome));
        }
        finds
    }

    async fn take_in(&self, engine: &Engine, actor: &Actor, uid: &Uid) -> anyhow::Result<()> {
        let ask = self.state.salvage_of(uid, self.node);
        let ask = ask.context("it is gone there")?;
        let object = self.state.object(uid).context("it is gone there")?;
        let material = object.material().context("it has no material there")?;
        let sealed = self.store.get(uid)?;
        let sealed = sealed.context("the old sealed store has no entry for it")?;
        let commitment = material.commitment.as_bytes();
        let material = self.vault.open(uid, &sealed, commitment)?;
        match engine.change(actor, ask, Some(&material)).await {
            Ok(_) => Ok(()),
            Err(Refusal::Denied { denial, .. }) => bail!("{denial}"),
            Err(Refusal::Fault(fault)) => bail!("{fault}"),
        }
    }
}
