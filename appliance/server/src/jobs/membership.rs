//! Brings consensus and the membership that the cluster log states together, one change at a time.
//!
//! The log says who was admitted and who is leaving; the leader has Raft follow: a newcomer becomes
//! a learner, catches up, and is promoted; a leaving member is taken out, the KEK rotates, and only
//! then is its removal complete. Whoever leads next goes on.

use super::epoch;
use crate::engine::Engine;
use crate::member::colleagues::Colleagues;
use cluster::{Member, Role, Status};
use domain::{Actor, Ask, MemberPhase, MemberRole, NodeId, State};
use std::sync::Arc;
use std::time::Duration;

/// How often the two are compared.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long one look waits for a rotation that a removal needs.
const ROTATION_PATIENCE: Duration = Duration::from_secs(10);

/// What Raft lacks to be what the log says.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Let it replicate.
    AddLearner(NodeId, Member),
    /// Let it vote, when it has caught up.
    Promote(NodeId, MemberRole),
    /// It is what it was to become.
    Confirm(NodeId, MemberRole),
    /// Take it out.
    Remove(NodeId),
    /// Make what it knows useless.
    Rotate,
    /// Its removal is complete.
    ConfirmRemoved(NodeId),
}

/// Runs on every node; the one that leads acts.
pub(super) async fn run(engine: Arc<Engine>, colleagues: Colleagues) {
    let mut ticks = super::ticks(LOOK_INTERVAL);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let status = engine.cluster().status();
        if status.leader != Some(engine.node().0) {
            continue;
        }
        let step = {
            let state = engine.machine().state();
            let me = Actor::Node(engine.node());
            let is_granted = |ask: &Ask| domain::admit(&state, &me, ask, engine.now()).is_ok();
            next(&state, &status, &is_granted)
        };
        let Some(step) = step else {
            continue;
        };
        match take(&engine, &colleagues, &step).await {
            Ok(()) => told.clear(),
            // A newcomer that is catching up is not ready for a while: told once.
            Err(why) if why != told => {
                tracing::info!("membership, {step:?}: {why}");
                told = why;
            }
            Err(_) => {}
        }
    }
}

/// What is to be done first, if anything.
fn next(state: &State, status: &Status, is_granted: &dyn Fn(&Ask) -> bool) -> Option<Step> {
    let in_raft = |id: NodeId| status.members.iter().find(|m| m.node == id.0);
    for (id, node) in state.members() {
        if node.phase != MemberPhase::Joining {
            continue;
        }
        return Some(match in_raft(id) {
            None => {
                let member = Member {
                    address: node.address.clone(),
                    role: role(node.role),
                    epoch: node.epoch,
                };
                Step::AddLearner(id, member)
            }
            Some(found) if node.role.votes() && !found.voter => Step::Promote(id, node.role),
            // A learner that has never come up is no member yet.
            Some(found) if !found.voter && found.matched.is_none() => return None,
            Some(_) => Step::Confirm(id, node.role),
        });
    }
    let gone = status.members.iter().map(|m| NodeId(m.node)).find(|id| {
        let phase = state.node(*id).map(|node| node.phase);
        matches!(phase, Some(MemberPhase::Leaving | MemberPhase::Removed))
    });
    if let Some(id) = gone {
        return Some(Step::Remove(id));
    }
    let mut members = state.members();
    let (leaving, _) = members.find(|(_, node)| node.phase == MemberPhase::Leaving)?;
    if is_granted(&Ask::ConfirmRemoved { node: leaving }) {
        return Some(Step::ConfirmRemoved(leaving));
    }
    Some(Step::Rotate)
}

fn role(role: MemberRole) -> Role {
    match role {
        MemberRole::Voter => Role::Voter,
        MemberRole::Learner => Role::Learner,
        MemberRole::Witness => Role::Witness,
    }
}

async fn take(engine: &Engine, colleagues: &Colleagues, step: &Step) -> Result<(), String> {
    let me = Actor::Node(engine.node());
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let change = async |ask| match engine.change(&me, ask, None).await {
        Ok(_) => Ok(()),
        Err(e) => Err(e.to_string()),
    };
    let cluster = engine.cluster();
    match step {
        Step::AddLearner(id, member) => {
            colleagues.peers().set_address(id.0, member.address.clone());
            let added = cluster.add_learner(id.0, member.clone()).await;
            added.map_err(|e| text(&e))
        }
        Step::Promote(id, _) => cluster.promote(id.0).await.map_err(|e| text(&e)),
        Step::Confirm(id, role) => {
            let (node, role) = (*id, *role);
            change(Ask::ConfirmMember { node, role }).await
        }
        Step::Remove(id) => {
            let removed = cluster.remove(id.0).await.map_err(|e| text(&e));
            colleagues.peers().drop_connections(Some(id.0));
            removed
        }
        Step::Rotate => {
            let rotated =
                epoch::rotate(engine, colleagues, &me, ROTATION_PATIENCE, &mut |_| ()).await;
            rotated.map(drop).map_err(|e| text(&e))
        }
        Step::ConfirmRemoved(id) => change(Ask::ConfirmRemoved { node: *id }).await,
    }
}
