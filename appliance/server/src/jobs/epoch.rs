//! Rotation of the object KEK: what was destroyed under the old epoch becomes unreadable for good.
//!
//! Draw the KEK of epoch e+1 and have a majority of the key holders keep it → open e+1 → every
//! holder seals the survivors again and confirms → retire e in the log → every holder makes its
//! data durable, forgets the Raft entries (they carry sealed bytes), destroys KEK e, renews its
//! root and confirms, upon which the log says `DestroyFinal`. Every step may be repeated, so a
//! rotation that was cut short goes on where it was, at any node.
//!
//! [`rotate`] begins a rotation and waits for it; [`duty`] is what each node does of it by itself.

use crate::engine::{Engine, Refusal};
use crate::member::colleagues::Colleagues;
use crate::member::messages::{Answer, Question};
use domain::state::EpochPhase;
use domain::{Actor, Ask, Epoch, Hash, NodeId};
use serde_bytes::ByteBuf;
use std::time::Duration;
use vault::RetireReport;

/// Objects sealed again in one step: bounds how long the store is held.
const OBJECTS_PER_STEP: usize = 1_000;

/// How often a rotation looks whether the others are done.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A rotation did not come to its end; it goes on at the next try.
#[derive(Debug, thiserror::Error)]
pub enum RotationFault {
    /// A command was refused or not written.
    #[error("{0}")]
    Refused(Refusal),
    /// The vault or the store failed.
    #[error("{0}")]
    Vault(String),
    /// Too few members hold the new KEK.
    #[error(
        "the new key-encryption key is on {have} of {of} members that hold keys, and a majority \
         must have it before it is used; it is tried again ({})", missing.join("; ")
    )]
    TooFewHold {
        /// Members that have it.
        have: usize,
        /// Members that should.
        of: usize,
        /// Why each of the others has not.
        missing: Vec<String>,
    },
}

impl From<Refusal> for RotationFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn vault_fault(error: impl std::fmt::Display) -> RotationFault {
    RotationFault::Vault(error.to_string())
}

/// How a rotation stands.
#[derive(Debug)]
pub struct Rotated {
    /// The epoch that is current now.
    pub epoch: Epoch,
    /// Objects that were sealed again here.
    pub resealed: u64,
    /// Objects whose destruction became final, or will when the last member has confirmed.
    pub finalised: u64,
    /// What became of KEK and root here.
    pub retired: Option<RetireReport>,
    /// Members that have not confirmed; the rotation is complete when there are none.
    pub awaited: Vec<NodeId>,
}

/// What a node has done of a rotation.
#[derive(Debug, Default)]
pub struct Done {
    /// Objects sealed again.
    pub resealed: u64,
    /// What became of KEK and root.
    pub retired: Option<RetireReport>,
}

/// The epoch that is being left, and how far.
fn under_way(engine: &Engine) -> Option<(Epoch, EpochPhase)> {
    let state = engine.machine().state();
    let leaving = |phase| matches!(phase, EpochPhase::Leaving | EpochPhase::AwaitingRetire);
    let mut epochs = state.epochs().map(|(epoch, record)| (epoch, record.phase));
    epochs.find(|(_, phase)| leaving(*phase))
}

/// Whether an object destroyed longer ago than this still waits to become final, or somebody
/// outside may know the KEK.
pub fn is_due(engine: &Engine, after: Duration) -> bool {
    let now = engine.now().0;
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    let state = engine.machine().state();
    if state.rotation_due() {
        return true;
    }
    state.awaiting_final().any(|(_, uid)| {
        let destroyed = state
            .object(uid)
            .map_or(now, |object| object.last_change().0);
        now.saturating_sub(destroyed) >= after
    })
}

/// Begins a rotation, or goes on with one, and waits `patience` for the others; `progress` hears
/// what is being done.
pub(crate) async fn rotate(
    engine: &Engine,
    colleagues: &Colleagues,
    actor: &Actor,
    patience: Duration,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Rotated, RotationFault> {
    let leaving = leave(engine, colleagues, actor, progress).await?;
    let finalised = {
        let state = engine.machine().state();
        let waiting = state
            .awaiting_final()
            .filter(|(epoch, _)| *epoch <= leaving);
        waiting.count() as u64
    };
    let begun = tokio::time::Instant::now();
    let mut done = Done::default();
    let mut awaited = awaited(engine, leaving);
    while !awaited.is_empty() {
        let more = duty(engine, colleagues, progress).await?;
        done.resealed += more.resealed;
        done.retired = more.retired.or(done.retired);
        awaited = self::awaited(engine, leaving);
        if begun.elapsed() > patience {
            break;
        }
        if !awaited.is_empty() {
            let nodes: Vec<_> = awaited.iter().map(|node| node.0.to_string()).collect();
            progress(format!("waiting for node {}", nodes.join(", ")));
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Ok(Rotated {
        epoch: engine.vault().epoch(),
        resealed: done.resealed,
        finalised,
        retired: done.retired,
        awaited,
    })
}

/// The members that have not confirmed that an epoch is gone.
fn awaited(engine: &Engine, leaving: Epoch) -> Vec<NodeId> {
    let state = engine.machine().state();
    let Some(record) = state.epoch_record(leaving) else {
        return Vec::new();
    };
    if record.phase == EpochPhase::Retired {
        return Vec::new();
    }
    let keepers = state.key_keepers().map(|(id, _)| id);
    keepers
        .filter(|id| !record.retired_by.contains(id))
        .collect()
}

/// Opens the next epoch, unless a rotation is under way already; gives the epoch to leave.
async fn leave(
    engine: &Engine,
    colleagues: &Colleagues,
    actor: &Actor,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Epoch, RotationFault> {
    if let Some((epoch, _)) = under_way(engine) {
        progress(format!(
            "going on with the rotation that left epoch {}",
            epoch.0
        ));
        return Ok(epoch);
    }
    let current = engine.machine().state().epoch();
    let next = Epoch(current.0.saturating_add(1));
    // The KEK comes first: what is sealed under it must not hang on one disk.
    let kek = engine.vault().draw_kek(next).map_err(vault_fault)?;
    spread(engine, colleagues, progress).await?;
    progress(format!("opening epoch {}", next.0));
    let open = Ask::OpenEpoch {
        epoch: next,
        kek: Some(Hash::from_bytes(kek)),
    };
    engine.change(actor, open, None).await?;
    Ok(current)
}

/// Has the other key holders keep the KEKs of this node; a majority must.
async fn spread(
    engine: &Engine,
    colleagues: &Colleagues,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<(), RotationFault> {
    let keepers: Vec<(NodeId, Vec<u8>)> = {
        let state = engine.machine().state();
        let keepers = state
            .key_keepers()
            .map(|(id, node)| (id, node.sealing_key.clone()));
        keepers.collect()
    };
    let of = keepers.len();
    let (mut have, mut missing) = (0, Vec::new());
    for (node, sealing_key) in keepers {
        if node == engine.node() {
            have += 1;
            continue;
        }
        progress(format!("giving the new key to node {}", node.0));
        let envelope = engine
            .vault()
            .export_keks(&sealing_key)
            .map_err(vault_fault)?;
        let envelope = ByteBuf::from(envelope);
        let question = Question::TakeKeks { envelope };
        let why = match colleagues.ask_node(node, &question).await {
            Ok(Answer::Done) => {
                have += 1;
                continue;
            }
            Ok(Answer::Refused(why)) => why,
            Ok(_) => "it answered something else".to_owned(),
            Err(e) => e.to_string(),
        };
        missing.push(format!("node {}: {why}", node.0));
    }
    if have * 2 <= of {
        return Err(RotationFault::TooFewHold { have, of, missing });
    }
    for node in missing {
        tracing::warn!("the new key-encryption key will come later to {node}");
    }
    Ok(())
}

/// Does what this node has to do of a rotation now, if anything.
pub(crate) async fn duty(
    engine: &Engine,
    colleagues: &Colleagues,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Done, RotationFault> {
    let turn = engine.rotation_turn().lock().await;
    let mut done = Done::default();
    take_up(engine, colleagues).await?;
    let (me, node) = (engine.node(), Actor::Node(engine.node()));
    let Some((leaving, phase)) = under_way(engine) else {
        return Ok(done);
    };
    let (resealed, retired) = {
        let state = engine.machine().state();
        if !state
            .member(me)
            .is_some_and(domain::state::Node::keeps_keys)
        {
            return Ok(done);
        }
        let record = state.epoch_record(leaving);
        let has = |set: Option<bool>| set.unwrap_or(false);
        (
            has(record.map(|record| record.resealed.contains(&me))),
            has(record.map(|record| record.retired_by.contains(&me))),
        )
    };
    if phase == EpochPhase::Leaving && !resealed {
        done.resealed = reseal(engine, progress).await?;
        let epoch = leaving;
        engine
            .change(&node, Ask::ConfirmReseal { node: me, epoch }, None)
            .await?;
    }
    if phase == EpochPhase::Leaving && have_all_left(engine, leaving) {
        let retire = Ask::RetireEpoch { epoch: leaving };
        engine.change(&node, retire, None).await?;
    }
    if phase == EpochPhase::AwaitingRetire && !retired {
        done.retired = Some(forget(engine, leaving, progress).await?);
        let epoch = leaving;
        engine
            .change(&node, Ask::ConfirmRetire { node: me, epoch }, None)
            .await?;
    }
    drop(turn);
    Ok(done)
}

/// Takes up the KEK of the epoch that the cluster is in.
async fn take_up(engine: &Engine, colleagues: &Colleagues) -> Result<(), RotationFault> {
    let (epoch, kek, keeps) = {
        let state = engine.machine().state();
        let epoch = state.epoch();
        let kek = state.epoch_record(epoch).and_then(|record| record.kek);
        let me = state.member(engine.node());
        (epoch, kek, me.is_some_and(domain::state::Node::keeps_keys))
    };
    if !keeps || engine.vault().epoch() >= epoch {
        return Ok(());
    }
    let adopt = || match kek {
        Some(kek) => engine.vault().adopt_epoch(epoch, kek.as_bytes()),
        None => Ok(()),
    };
    if adopt().is_ok() && engine.vault().epoch() >= epoch {
        return Ok(());
    }
    // Another drew it while this node was away.
    for node in colleagues.others() {
        match colleagues.ask_node(node, &Question::Keks).await {
            Ok(Answer::Envelope(envelope)) => {
                engine.vault().import_keks(&envelope).map_err(vault_fault)?;
            }
            Ok(Answer::Refused(why)) => tracing::debug!("node {} gives no KEK: {why}", node.0),
            Ok(_) | Err(_) => {}
        }
        if adopt().is_ok() && engine.vault().epoch() >= epoch {
            return Ok(());
        }
    }
    Err(vault_fault(format!(
        "no reachable member has the key-encryption key of epoch {}; it is tried again",
        epoch.0
    )))
}

fn have_all_left(engine: &Engine, leaving: Epoch) -> bool {
    let state = engine.machine().state();
    let record = state.epoch_record(leaving);
    record.is_some_and(|record| {
        let mut keepers = state.key_keepers();
        keepers.all(|(id, _)| record.resealed.contains(&id))
    })
}

async fn forget(
    engine: &Engine,
    leaving: Epoch,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<RetireReport, RotationFault> {
    progress(format!(
        "forgetting what was sealed under epoch {}",
        leaving.0
    ));
    engine
        .cluster()
        .forget_entries()
        .await
        .map_err(vault_fault)?;
    engine.vault().retire_epoch(leaving).map_err(vault_fault)
}

async fn reseal(
    engine: &Engine,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<u64, RotationFault> {
    let target = engine.vault().epoch();
    let mut resealed = 0;
    loop {
        let (store, vault) = (engine.machine().store().clone(), engine.vault().clone());
        let step = tokio::task::spawn_blocking(move || {
            store.reseal_batch(target, OBJECTS_PER_STEP, |uid, sealed| {
                vault.reseal(uid, sealed)
            })
        });
        let step = step.await.map_err(vault_fault)?.map_err(vault_fault)?;
        resealed += step.resealed;
        if step.remaining == 0 {
            return Ok(resealed);
        }
        progress(format!(
            "sealing again: {resealed} done, {} to go",
            step.remaining
        ));
    }
}
