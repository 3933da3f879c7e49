//! Puts the head of this node's access log into the cluster log, so that one that was written anew
//! shows (DESIGN §2).

use crate::engine::Engine;
use crate::notary::Notary;
use domain::{Actor, Ask, Hash};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The head is anchored this often, or after [`ANCHOR_RECORDS`] records.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(10);

/// See [`ANCHOR_INTERVAL`].
const ANCHOR_RECORDS: u64 = 1_000;

/// How often it is asked whether an anchor is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Anchors whenever it is due.
pub(super) async fn run(engine: Arc<Engine>, notary: Arc<Notary>) {
    let mut anchored = {
        let state = engine.machine().state();
        state.access_anchor(engine.node()).map_or(0, |a| a.size)
    };
    let mut anchored_at = Instant::now();
    let mut ticks = super::ticks(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let (size, _) = engine.access().head();
        let due = size >= anchored + ANCHOR_RECORDS || anchored_at.elapsed() >= ANCHOR_INTERVAL;
        if size == anchored || !due {
            continue;
        }
        match now(&engine, &notary).await {
            Ok(size) => (anchored, anchored_at) = (size, Instant::now()),
            Err(e) => tracing::error!("anchor of the access log: {e}"),
        }
    }
}

/// Anchors the head as it is now; gives its size.
///
/// # Errors
/// It could not be made durable and signed, or the cluster did not take it.
pub(crate) async fn now(engine: &Engine, notary: &Arc<Notary>) -> Result<u64, String> {
    let (access, signer) = (engine.access().clone(), notary.clone());
    let noted = tokio::task::spawn_blocking(move || signer.note_access(&access)).await;
    // What is anchored is on the disk: after a power cut the log must not end before it.
    let (head, _) = noted
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let node = engine.node();
    let ask = Ask::AnchorAccessLog {
        node,
        size: head.size,
        root: Hash::from_bytes(head.root.0),
    };
    let anchored = engine.change(&Actor::Node(node), ask, None).await;
    anchored.map(|_| head.size).map_err(|e| e.to_string())
}
