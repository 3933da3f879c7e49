//! Rotation of the object KEK: what was destroyed under the old epoch becomes unreadable for good.
//!
//! Open e+1 → seal the survivors again → confirm → retire e in the log → make everything durable
//! and forget the Raft entries (they carry sealed bytes) → destroy KEK e and renew the root →
//! confirm, upon which the log says `DestroyFinal`. Every step may be repeated, so a rotation that
//! was cut short goes on where it was.

use crate::engine::{Engine, Refusal};
use domain::state::EpochPhase;
use domain::{Actor, Ask, Epoch};
use std::time::Duration;
use vault::RetireReport;

/// Objects sealed again in one step: bounds how long the store is held.
const OBJECTS_PER_STEP: usize = 1_000;

/// A rotation did not come to its end; it goes on at the next try.
#[derive(Debug, thiserror::Error)]
pub enum RotationFault {
    /// A command was refused or not written.
    #[error("{0}")]
    Refused(Refusal),
    /// The vault or the store failed.
    #[error("{0}")]
    Vault(String),
}

impl From<Refusal> for RotationFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn vault_fault(error: impl std::fmt::Display) -> RotationFault {
    RotationFault::Vault(error.to_string())
}

/// A rotation that came to its end.
#[derive(Debug)]
pub struct Rotated {
    /// The epoch that is current now.
    pub epoch: Epoch,
    /// Objects that were sealed again.
    pub resealed: u64,
    /// Objects whose destruction became final.
    pub finalised: u64,
    /// What became of KEK and root.
    pub retired: RetireReport,
}

/// Whether a rotation was begun and not finished.
pub fn is_unfinished(engine: &Engine) -> bool {
    let state = engine.machine().state();
    let open = state.epochs().any(|(_, record)| {
        matches!(
            record.phase,
            EpochPhase::Leaving | EpochPhase::AwaitingRetire
        )
    });
    open || engine.vault().epoch() > state.epoch()
}

/// Whether an object destroyed longer ago than this still waits to become final.
pub fn is_due(engine: &Engine, after: Duration) -> bool {
    let now = engine.now().0;
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    let state = engine.machine().state();
    state.awaiting_final().any(|(_, uid)| {
        let destroyed = state
            .object(uid)
            .map_or(now, |object| object.last_change().0);
        now.saturating_sub(destroyed) >= after
    })
}

/// Rotates; `progress` hears what is being done.
pub async fn rotate(
    engine: &Engine,
    actor: &Actor,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Rotated, RotationFault> {
    let leaving = leave(engine, actor, progress).await?;
    let phase = |engine: &Engine| {
        engine
            .machine()
            .state()
            .epoch_record(leaving)
            .map(|record| record.phase)
    };
    let mut resealed = 0;
    if phase(engine) == Some(EpochPhase::Leaving) {
        resealed = reseal(engine, progress).await?;
        let ask = Ask::ConfirmReseal {
            node: engine.node(),
            epoch: leaving,
        };
        engine.change(actor, ask, None).await?;
        engine
            .change(actor, Ask::RetireEpoch { epoch: leaving }, None)
            .await?;
    }
    progress(format!(
        "forgetting what was sealed under epoch {}",
        leaving.0
    ));
    engine
        .cluster()
        .forget_entries()
        .await
        .map_err(vault_fault)?;
    let retired = engine.vault().retire_epoch(leaving).map_err(vault_fault)?;
    let finalised = {
        let state = engine.machine().state();
        state
            .awaiting_final()
            .filter(|(epoch, _)| *epoch <= leaving)
            .count() as u64
    };
    let ask = Ask::ConfirmRetire {
        node: engine.node(),
        epoch: leaving,
    };
    engine.change(actor, ask, None).await?;
    Ok(Rotated {
        epoch: engine.vault().epoch(),
        resealed,
        finalised,
        retired,
    })
}

/// Opens the next epoch, unless a rotation is under way already; gives the epoch to leave.
async fn leave(
    engine: &Engine,
    actor: &Actor,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Epoch, RotationFault> {
    let (current, under_way) = {
        let state = engine.machine().state();
        let under_way = state.epochs().find(|(_, record)| {
            matches!(
                record.phase,
                EpochPhase::Leaving | EpochPhase::AwaitingRetire
            )
        });
        (state.epoch(), under_way.map(|(epoch, _)| epoch))
    };
    if let Some(epoch) = under_way {
        progress(format!(
            "going on with the rotation that left epoch {}",
            epoch.0
        ));
        return Ok(epoch);
    }
    // The KEK comes first: a command that names an epoch must find its key on every node.
    let next = if engine.vault().epoch() > current {
        engine.vault().epoch()
    } else {
        engine.vault().open_epoch().map_err(vault_fault)?
    };
    progress(format!("opening epoch {}", next.0));
    let open = Ask::OpenEpoch {
        epoch: next,
        kek: None,
    };
    engine.change(actor, open, None).await?;
    Ok(current)
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
