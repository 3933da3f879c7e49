//! Recovery after the majority was lost for good: one member goes on alone, as a new lineage.
//!
//! Done offline, on the node that is to go on, by an operator with a secret that opens its vault.
//! Everything on its disk counts from then on, also what it never learned to be committed
//! ([`cluster::go_on_alone`]). The log then says `LineageForked`; the cluster CA is made anew, so
//! that the certificates of the old members count no more; and the object KEK rotates, because the
//! lost disks hold the old one. Old members are refused, whatever they have; what only they have
//! can be salvaged.
//!
//! Cut short, it is done again from the start: at worst a lineage has no further records.

use super::place::Place;
use crate::engine::{Engine, Refusal};
use crate::founding;
use crate::jobs::epoch;
use crate::layout::Layout;
use crate::machine::LedgerMachine;
use crate::node::{self, Assembled};
use crate::notary::cluster_origin;
use anyhow::{Context, bail};
use cluster::{Member, RaftFolder, Role};
use domain::{Actor, Ask, Fingerprint, MemberPhase, NodeId, State, Time};
use ledger::{Checkpoint, Disk, StdDisk};
use std::sync::Arc;
use std::time::Duration;
use vault::store::SealedStore;
use vault::{Credential, Vault};

/// How long the rotation of the KEK may take here; the node goes on with it when it runs.
const ROTATION_PATIENCE: Duration = Duration::from_secs(60);

/// What an operator must know before saying yes.
#[derive(Debug)]
pub(crate) struct Prospect {
    /// The node that goes on.
    pub(crate) node: NodeId,
    /// Its cluster.
    pub(crate) cluster: domain::ClusterId,
    /// Lineage that ends.
    pub(crate) lineage: u32,
    /// Records of the cluster log on this disk.
    pub(crate) records: u64,
    /// Time of the last of them.
    pub(crate) last: Time,
    /// Last entry of the Raft log on this disk; those after the last record are carried out.
    pub(crate) last_entry: Option<u64>,
    /// Objects that are served from then on.
    pub(crate) objects: u64,
    /// Members that are given up.
    pub(crate) lost: Vec<NodeId>,
    /// Records that the lost members are known to have had and this node has not.
    pub(crate) missing: u64,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The new lineage.
    pub(crate) lineage: u32,
    /// Records of the cluster log.
    pub(crate) records: u64,
    /// The new cluster CA.
    pub(crate) ca: Fingerprint,
    /// Whether the old KEK is gone already; if not, the running node sees to it.
    pub(crate) rotated: bool,
}

/// A stopped node that could go on alone.
pub(crate) struct Survivor {
    layout: Layout,
    vault: Arc<Vault>,
    place: Place,
    prospect: Prospect,
    member: Member,
    // Keeps the node from being started meanwhile.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl Survivor {
    /// Looks at a stopped node. The credential must open its vault.
    pub(crate) fn look(layout: Layout, credential: &Credential) -> anyhow::Result<Self> {
        let lock = node::lock(&layout)?;
        let vault = Vault::unlock(&layout.keys(), credential)
            .with_context(|| format!("unlocking {}", layout.keys().display()))?;
        let place = Place::read(&layout.place())?;
        if place.replaces.is_some() {
            bail!("this node was coming back to its cluster; recover on a full member of it");
        }
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let folder = RaftFolder::read(&disk, &layout.raft())?;
        let notary = node::notary(&vault, &layout, place.id())?;
        let floor = notary.cluster_floor().context("cluster log")?;
        let store = Arc::new(SealedStore::open(&layout.sealed_store()).context("sealed store")?);
        let applied = Some(store.durable_index()).filter(|entry| *entry > 0);
        folder.check(applied)?;
        let machine = LedgerMachine::open(&layout.cluster_log(), floor.as_ref(), store)?;
        let records = machine.ledger().size();
        let state = machine.state();
        let prospect = prospect(&state, &place, &layout, records, folder.last_entry)?;
        let me = state.node(place.id()).context("this node in its own log")?;
        if !me.role.holds_keys() {
            bail!(
                "node {} is a witness: it has no keys to go on with",
                place.node
            );
        }
        let member = Member {
            address: place.address.clone(),
            role: Role::Voter,
            epoch: me.epoch,
        };
        drop(state);
        drop(machine);
        Ok(Self {
            layout,
            vault: Arc::new(vault),
            place,
            prospect,
            member,
            _lock: lock,
        })
    }

    /// What an operator must know.
    pub(crate) fn prospect(&self) -> &Prospect {
        &self.prospect
    }

    /// Goes on alone. There is no way back.
    pub(crate) async fn go_on(mut self, operator: &Actor) -> anyhow::Result<Recovered> {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let node = self.place.node;
        cluster::go_on_alone(&disk, &self.layout.raft(), node, &self.member)?;
        // Nobody is asked from here on, and nobody who asks is known.
        self.place.members.clear();
        self.place.write(&self.layout.place())?;
        let parts = node::assemble(&self.layout, self.vault.clone(), &self.place).await?;
        let done = fork(&parts, operator, self.prospect.missing).await;
        let ended = node::settle_down(&parts.engine, &self.layout).await;
        let recovered = done?;
        ended?;
        self.place.lineage = recovered.lineage;
        self.place.write(&self.layout.place())?;
        Ok(recovered)
    }
}

fn prospect(
    state: &State,
    place: &Place,
    layout: &Layout,
    records: u64,
    last_entry: Option<u64>,
) -> anyhow::Result<Prospect> {
    let cluster = state.cluster();
    let cluster = cluster.context("this node's log does not know its cluster yet: join anew")?;
    let others = state.members().filter(|(id, _)| *id != place.id());
    let counting = others.filter(|(_, node)| node.phase == MemberPhase::Member);
    let lost: Vec<NodeId> = counting.map(|(id, _)| id).collect();
    let agreed = std::fs::read_to_string(layout.agreed()).ok();
    // Nobody relies on it: it says only how much is known to be missing.
    let agreed = agreed.and_then(|note| Checkpoint::parse_unverified(&note).ok());
    let known = agreed.map_or(0, |head| head.size);
    Ok(Prospect {
        node: place.id(),
        cluster,
        lineage: state.lineage(),
        records,
        last: state.latest_time(),
        last_entry,
        objects: state.object_count(),
        lost,
        missing: known.saturating_sub(records),
    })
}

async fn fork(parts: &Assembled, operator: &Actor, missing: u64) -> anyhow::Result<Recovered> {
    let engine = &parts.engine;
    let vault = engine.vault();
    let (lineage, cluster) = {
        let state = engine.machine().state();
        (state.lineage().saturating_add(1), vault.cluster())
    };
    let ask = Ask::ForkLineage {
        lineage,
        node: engine.node(),
        origin: cluster_origin(cluster, lineage),
        lost: missing,
    };
    change(engine, operator, ask).await?;
    // An earlier change of the CA may not be over.
    vault.drop_previous_cluster_ca()?;
    let name = format!("Strongroom Cluster CA {}", &cluster.to_string()[..8]);
    let ca = vault.rotate_cluster_ca(&name, founding::member_validity())?;
    let ca = ca.certificate().fingerprint;
    founding::certify_member(vault, engine.node())?;
    vault.drop_previous_cluster_ca()?;
    change(engine, operator, Ask::RotateClusterCa { ca }).await?;
    let (colleagues, patience) = (&parts.colleagues, ROTATION_PATIENCE);
    let rotation = epoch::rotate(engine, colleagues, operator, patience, &mut |_| ()).await;
    let rotated = match rotation {
        Ok(rotated) => rotated.awaited.is_empty(),
        Err(e) => {
            tracing::warn!("the key-encryption key is not rotated yet: {e}");
            false
        }
    };
    let (notary, machine) = (parts.notary.clone(), engine.machine().clone());
    let (records, _) = tokio::task::spawn_blocking(move || notary.note_cluster(&machine)).await??;
    Ok(Recovered {
        lineage,
        records,
        ca,
        rotated,
    })
}

async fn change(engine: &Engine, actor: &Actor, ask: Ask) -> anyhow::Result<()> {
    let name = ask.name();
    match engine.change(actor, ask, None).await {
        Ok(_) => Ok(()),
        Err(Refusal::Denied { denial, .. }) => bail!("{name}: {denial}"),
        Err(Refusal::Fault(fault)) => bail!("{name}: {fault}"),
    }
}
