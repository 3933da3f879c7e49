//! What a node does to be known and to know the others: says who and where it is, learns where they
//! are, and keeps count of the last word of a quorum.

use crate::engine::{Engine, Refusal};
use crate::founding;
use crate::member::colleagues::Colleagues;
use crate::member::place::Place;
use domain::{Actor, Ask, Denial, MemberPhase, NodeId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How often the others' addresses are compared with the log, and the quorum's last word is taken.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Pause between tries to tell the cluster something.
const TRY_INTERVAL: Duration = Duration::from_millis(500);

/// Says in the cluster log that this node serves, and where. Without a quorum it is said later;
/// existing keys are served meanwhile.
pub(super) async fn announce(
    engine: Arc<Engine>,
    address: String,
    mut time_is_settled: watch::Receiver<bool>,
    said: oneshot::Sender<()>,
) {
    // The record says when the node came back. The sender ends with the node.
    drop(time_is_settled.wait_for(|settled| *settled).await);
    let me = engine.node();
    let identity = match engine.vault().node_identity() {
        Ok(identity) => identity,
        Err(e) => return tracing::error!("the keys of this node: {e}"),
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let asks = [
        Ask::StartNode {
            node: me,
            version,
            format: domain::FORMAT,
        },
        Ask::IdentifyNode {
            node: me,
            key: identity.fingerprint,
            sealing_key: identity.sealing_key,
            address,
        },
    ];
    for ask in asks {
        tell(&engine, me, ask).await;
    }
    for slot in engine.vault().slots() {
        let name = founding::slot_name(me, slot.id);
        let recorded = {
            let state = engine.machine().state();
            state.slots().any(|(known, _)| *known == name)
        };
        if !recorded {
            let kind = slot.kind.to_string();
            tell(&engine, me, Ask::AddSlot { name, kind }).await;
        }
    }
    // The start of the node may have stopped waiting.
    let _ = said.send(());
}

/// Tries until the cluster has taken it.
async fn tell(engine: &Engine, me: NodeId, ask: Ask) {
    loop {
        match engine.change(&Actor::Node(me), ask.clone(), None).await {
            Ok(_) => return,
            Err(Refusal::Denied { denial, .. }) if !is_early(&denial) => {
                return tracing::error!("{}: {denial}", ask.name());
            }
            Err(e) => tracing::debug!("{}: {e}", ask.name()),
        }
        tokio::time::sleep(TRY_INTERVAL).await;
    }
}

/// A node that has just joined may be asked before its own log says that it is a member.
fn is_early(denial: &Denial) -> bool {
    matches!(denial, Denial::OutOfOrder { .. } | Denial::NotPermitted)
}

/// Keeps the addresses of the others as the log has them.
pub(super) async fn directory(engine: Arc<Engine>, colleagues: Colleagues, place_file: PathBuf) {
    let mut known: BTreeMap<u64, String> = BTreeMap::new();
    let mut ticks = super::ticks(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        if let Some(asked) = engine.cluster().quorum_contact() {
            engine.contact().heard_at(asked);
        }
        if !engine.contact().is_expelled() && is_let_go(&colleagues) {
            tracing::error!("the other members say that this node was removed; it serves no more");
            engine.contact().expel();
        }
        engine
            .soundness()
            .set_fault("membership", refused_by(&colleagues));
        if let Err(e) = arrive(&engine, &place_file) {
            tracing::warn!("{}: {e}", place_file.display());
        }
        let now = addresses(&engine);
        if now == known || now.is_empty() {
            continue;
        }
        for (node, address) in &now {
            if known.get(node) != Some(address) {
                colleagues.peers().set_address(*node, address.clone());
            }
        }
        for node in known.keys().filter(|node| !now.contains_key(node)) {
            colleagues.peers().forget(*node);
            colleagues.peers().drop_connections(Some(*node));
        }
        if let Err(e) = remember(&engine, &place_file, &now) {
            tracing::warn!("{}: {e}", place_file.display());
        }
        known = now;
    }
}

/// Whether a member has refused this node as one that was removed, or as one of an old lineage.
fn is_let_go(colleagues: &Colleagues) -> bool {
    let refused = colleagues.peers().counters().refused_there;
    let is = |code| refused.get(code).is_some_and(|times| *times > 0);
    is("removed_member") || is("other_lineage")
}

/// What the others say against this node, if they refuse it: it must not look as if nothing were
/// wrong.
fn refused_by(colleagues: &Colleagues) -> Option<String> {
    let peers = colleagues.peers();
    if peers
        .counters()
        .refused_there
        .values()
        .all(|times| *times == 0)
    {
        return None;
    }
    let refused = peers.health().into_iter().filter_map(|peer| {
        let why = peer.last_refusal?;
        Some(format!("node {} refuses this node: {why}", peer.node))
    });
    let refused: Vec<String> = refused.collect();
    (!refused.is_empty()).then(|| refused.join("; "))
}

/// A node that came back under a new number is a member like all others once it has caught up.
fn arrive(engine: &Engine, place_file: &std::path::Path) -> std::io::Result<()> {
    let place = Place::read(place_file)?;
    let phase = {
        let state = engine.machine().state();
        state.node(engine.node()).map(|node| node.phase)
    };
    if place.replaces.is_none() || phase != Some(MemberPhase::Member) {
        return Ok(());
    }
    let place = Place {
        replaces: None,
        ..place
    };
    place.write(place_file)
}

/// Where the other members are, by the log.
fn addresses(engine: &Engine) -> BTreeMap<u64, String> {
    let state = engine.machine().state();
    let here = |phase| phase != MemberPhase::Removed;
    let others = state
        .members()
        .filter(|(id, node)| *id != engine.node() && here(node.phase));
    others
        .filter(|(_, node)| !node.address.is_empty())
        .map(|(id, node)| (id.0, node.address.clone()))
        .collect()
}

/// For a start at which the log cannot be read.
fn remember(
    engine: &Engine,
    place_file: &std::path::Path,
    members: &BTreeMap<u64, String>,
) -> std::io::Result<()> {
    let place = Place::read(place_file)?;
    let epoch = {
        let state = engine.machine().state();
        state.node(engine.node()).map(|node| node.epoch)
    };
    let place = Place {
        epoch: epoch.unwrap_or(place.epoch),
        members: members.iter().map(|(n, a)| (*n, a.clone())).collect(),
        ..place
    };
    place.write(place_file)
}
