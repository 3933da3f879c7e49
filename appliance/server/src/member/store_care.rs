//! Looks through this node's sealed store against the state, and puts right what is damaged by
//! asking other members. Nothing is believed because it was sent: what comes must open to the
//! material that the cluster log committed to.

use super::colleagues::Colleagues;
use super::messages::{Answer, Question};
use crate::engine::Engine;
use domain::{Object, State, Uid};
use std::sync::Arc;
use std::time::Duration;
use vault::store::{StoreEntry, StoreFault};

/// Objects looked at before others get their turn: opening one takes some microseconds.
const OBJECTS_PER_STEP: usize = 512;

/// Bytes of sealed entries that are held at a time.
const PAGE_BYTES: usize = 1 << 20;

/// Pause after each step.
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// Objects that were not put right and are named.
const NAMED_MAX: usize = 3;

/// Tries to put an object right before it counts as lost; a member may be starting.
const TRIES: u32 = 5;

/// Entries of unknown objects that are held at a time; more are looked at in the next scrub.
const STRANGERS_MAX: usize = 100_000;

/// Times to wait until this node has everything that the others have; each takes two seconds at
/// most.
const BARRIER_TRIES: u32 = 60;

/// Pause between them.
const TRY_INTERVAL: Duration = Duration::from_secs(2);

/// What a look through the store came to.
#[derive(Debug, Default)]
pub(crate) struct Cared {
    /// Objects that are as they should be.
    pub(crate) sound: u64,
    /// Objects that were put right.
    pub(crate) repaired: u64,
    /// Objects that nobody could give.
    pub(crate) lost: Vec<Uid>,
    /// Entries of objects that the log has never named: names of others that were damaged. With
    /// them the order of the file is in doubt, and all of it.
    pub(crate) strangers: u64,
}

impl Cared {
    /// What an operator is told of the lost ones.
    pub(crate) fn complaint(&self) -> String {
        let named: Vec<String> = self
            .lost
            .iter()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        format!(
            "{} objects are damaged here and no reachable member could give them ({}…); they are \
             tried again at the next scrub, and a backup may have them",
            self.lost.len(),
            named.join(", ")
        )
    }
}

/// The store could not be looked through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CareFault {
    /// The store itself failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
    /// The node is stopping.
    #[error("the look through the sealed store was cut short: {0}")]
    CutShort(#[from] tokio::task::JoinError),
}

/// What the state says should be in the store.
struct Due {
    uid: Uid,
    /// Commitment of the material; `None` for what was destroyed.
    commitment: Option<[u8; 32]>,
}

fn due(state: &State, after: Option<&Uid>) -> Vec<Due> {
    let entry = |object: &Object| Due {
        uid: *object.uid(),
        commitment: object
            .material()
            .filter(|_| !object.is_tombstone())
            .map(|material| *material.commitment.as_bytes()),
    };
    match after {
        None => state.objects().take(OBJECTS_PER_STEP).map(entry).collect(),
        Some(uid) => state
            .objects_after(uid)
            .take(OBJECTS_PER_STEP)
            .map(entry)
            .collect(),
    }
}

/// Whether the store has of an object what it should have.
fn is_sound(engine: &Engine, due: &Due) -> Result<bool, StoreFault> {
    let store = engine.machine().store();
    let sealed = store.get(&due.uid)?;
    Ok(match (sealed, due.commitment) {
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
        (Some(sealed), Some(commitment)) => {
            engine.vault().open(&due.uid, &sealed, &commitment).is_ok()
        }
    })
}

/// Looks at every object of the state. The store follows the state by a moment, and a rotation
/// moves entries meanwhile, so what does not fit is looked at once more before it counts.
pub(crate) async fn look(
    engine: &Arc<Engine>,
    colleagues: &Colleagues,
) -> Result<Cared, CareFault> {
    let mut cared = Cared::default();
    let keeps = {
        let state = engine.machine().state();
        state
            .member(engine.node())
            .is_some_and(domain::state::Node::keeps_keys)
    };
    if !keeps {
        return Ok(cared);
    }
    let mut after: Option<Uid> = None;
    loop {
        let looked = engine.clone();
        let step = move || -> Result<_, StoreFault> {
            let page = due(&looked.machine().state(), after.as_ref());
            let (mut sound, mut damaged) = (0, Vec::new());
            let last = page.last().map(|due| due.uid);
            for due in page {
                match is_sound(&looked, &due)? {
                    true => sound += 1,
                    false => damaged.push(due.uid),
                }
            }
            Ok((last, sound, damaged))
        };
        let (last, sound, damaged) = tokio::task::spawn_blocking(step).await??;
        cared.sound += sound;
        for uid in damaged {
            match restore(engine, colleagues, &uid).await? {
                Restored::WasSound => cared.sound += 1,
                Restored::Now => cared.repaired += 1,
                Restored::Not => cared.lost.push(uid),
            }
        }
        let Some(last) = last else {
            break;
        };
        after = Some(last);
        tokio::time::sleep(STEP_PAUSE).await;
    }
    cared.strangers = strangers(engine).await?;
    Ok(cared)
}

/// How many entries of the store are of no object of the state.
async fn strangers(engine: &Arc<Engine>) -> Result<u64, CareFault> {
    let mut after: Option<Uid> = None;
    let mut unknown = Vec::new();
    loop {
        let looked = engine.clone();
        let step = move || -> Result<_, StoreFault> {
            let store = looked.machine().store();
            let page = store.page(after.as_ref(), OBJECTS_PER_STEP, PAGE_BYTES)?;
            let uids: Vec<Uid> = page
                .into_iter()
                .map(|entry| match entry {
                    StoreEntry::Live { uid, .. } | StoreEntry::Tombstone { uid, .. } => uid,
                })
                .collect();
            let last = uids.last().copied();
            Ok((last, not_in_state(&looked, uids)))
        };
        let (last, more) = tokio::task::spawn_blocking(step).await??;
        unknown.extend(more);
        // In a file whose order is lost, pages need not come to an end.
        let in_order = last.filter(|last| after.is_none_or(|after| *last > after));
        let Some(last) = in_order.filter(|_| unknown.len() <= STRANGERS_MAX) else {
            break;
        };
        after = Some(last);
        tokio::time::sleep(STEP_PAUSE).await;
    }
    // What was fetched whole from another member is of its state, which may be ahead of ours.
    for _ in 0..BARRIER_TRIES {
        if unknown.is_empty() || engine.cluster().read_barrier().await.is_ok() {
            return Ok(not_in_state(engine, unknown).len() as u64);
        }
    }
    let count = unknown.len();
    tracing::warn!(
        "{count} entries of the sealed store are of objects that this node does not know, and no \
         quorum says whether they are new; the next scrub looks again"
    );
    Ok(0)
}

fn not_in_state(engine: &Engine, mut uids: Vec<Uid>) -> Vec<Uid> {
    let state = engine.machine().state();
    uids.retain(|uid| state.object(uid).is_none());
    uids
}

enum Restored {
    /// A second look found nothing wrong.
    WasSound,
    /// It was put right.
    Now,
    /// Nobody had it.
    Not,
}

async fn restore(
    engine: &Arc<Engine>,
    colleagues: &Colleagues,
    uid: &Uid,
) -> Result<Restored, CareFault> {
    for _ in 0..TRIES {
        // Nothing is sealed again while this goes on: what is put there must be of this epoch.
        let turn = engine.rotation_turn().lock().await;
        let now = {
            let state = engine.machine().state();
            let object = state.object(uid);
            object.map(|object| Due {
                uid: *uid,
                commitment: object
                    .material()
                    .filter(|_| !object.is_tombstone())
                    .map(|material| *material.commitment.as_bytes()),
            })
        };
        let Some(due) = now else {
            return Ok(Restored::WasSound);
        };
        if is_sound(engine, &due)? {
            return Ok(Restored::WasSound);
        }
        let store = engine.machine().store();
        let Some(commitment) = due.commitment else {
            store.repair(&[(*uid, None)])?;
            return Ok(Restored::Now);
        };
        if let Some(sealed) = fetch(engine, colleagues, uid, &commitment).await {
            store.repair(&[(*uid, Some(sealed))])?;
            tracing::warn!("object {uid} was damaged here and came from another member");
            return Ok(Restored::Now);
        }
        drop(turn);
        if colleagues.others().is_empty() {
            break;
        }
        tokio::time::sleep(TRY_INTERVAL).await;
    }
    Ok(Restored::Not)
}

/// The sealed bytes of an object from a member whose bytes open, sealed in this node's epoch.
async fn fetch(
    engine: &Engine,
    colleagues: &Colleagues,
    uid: &Uid,
    commitment: &[u8; 32],
) -> Option<Vec<u8>> {
    let vault = engine.vault();
    for node in colleagues.others() {
        let question = Question::StoreEntry { uid: *uid };
        let answer = colleagues.ask_node(node, &question).await;
        let Ok(Answer::Entries(entries)) = answer else {
            continue;
        };
        let sealed = entries.into_iter().find_map(|entry| entry.sealed);
        let Some(sealed) = sealed else {
            continue;
        };
        if vault.open(uid, &sealed, commitment).is_err() {
            tracing::warn!("node {} has no sound bytes of object {uid} either", node.0);
            continue;
        }
        match vault::sealed_epoch(&sealed) {
            Some(epoch) if epoch == vault.epoch() => return Some(sealed.into_vec()),
            _ => match vault.reseal(uid, &sealed) {
                Ok(sealed) => return Some(sealed),
                Err(e) => tracing::debug!("object {uid}: {e}"),
            },
        }
    }
    None
}
