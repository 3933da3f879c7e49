//! Keeps the secrets that the members share as the cluster log wants them: fetches what this node
//! lacks, and forgets what nobody needs any more.

use crate::engine::Engine;
use crate::member::colleagues::Colleagues;
use crate::member::shared_secrets::{Kept, Wants};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether something is lacking.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks between two tries for what nobody could give.
const TRY_EVERY: u32 = 10;

/// Runs on every node.
pub(super) async fn run(engine: Arc<Engine>, colleagues: Colleagues) {
    let mut ticks = super::ticks(LOOK_INTERVAL);
    let vault = engine.vault().clone();
    // With what was left behind while this node was off.
    let mut before = Kept::all(&vault);
    let (mut known, mut lacking, mut looks) = (Wants::default(), 0, 0_u32);
    loop {
        ticks.tick().await;
        looks = looks.wrapping_add(1);
        let wants = Wants::of(&engine.machine().state());
        if wants == known && (lacking == 0 || !looks.is_multiple_of(TRY_EVERY)) {
            continue;
        }
        // A node that has not caught up would forget what came since.
        if engine.cluster().read_barrier().await.is_err() {
            continue;
        }
        let wants = Wants::of(&engine.machine().state());
        let missed = wants.fetch(&vault, &colleagues).await;
        if missed > lacking {
            tracing::warn!(
                "{missed} secrets of administrators or transfer destinations are not on this node, \
                 and no reachable member gave them; they are asked for again"
            );
        }
        wants.forget(&vault, before);
        before = wants.kept(&vault);
        (known, lacking) = (wants, missed);
    }
}
