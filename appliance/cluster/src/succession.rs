//! Who leads when the leader was removed.
//!
//! A leader that removes itself steps down when that is committed. Elections are made for leaders
//! that vanish, and wait for the lease and a timeout: two seconds in which no read is confirmed.
//! But a member that sees that the leader it follows is no voter any more knows that nobody waits
//! for that one, and campaigns as soon as the lease has run out within which nobody votes for
//! another. The voters do so one after the other, so that the first is alone.

use crate::node::Node;
use crate::types::{Reign, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The last word of a leader reaches its followers so far apart: half a heartbeat.
const APART: Duration = Duration::from_millis(100);

/// Between one candidate and the next: time for one election with an fsync on each side.
const ONE_ELECTION: Duration = Duration::from_millis(250);

impl Node {
    /// A leader of the day was heard, as openraft has judged.
    pub(crate) fn leader_was_heard(&self) {
        *self.leader_heard.lock() = Some(Instant::now());
    }

    /// Begins to wait for the end of a leader that the membership no longer has.
    pub(crate) fn look_for_successor(self: &Arc<Self>) {
        if let Some(reign) = self.reign()
            && self.turn_after(reign).is_some()
        {
            tokio::spawn(self.clone().succeed(reign));
        }
    }

    /// Campaigns when the leader of a reign has been silent for long enough.
    async fn succeed(self: Arc<Self>, reign: Reign) {
        let mut stop = self.stopping();
        while self.reign() == Some(reign) && !*stop.borrow() {
            let Some(turn) = self.turn_after(reign) else {
                return;
            };
            let heard = *self.leader_heard.lock();
            let silent = heard.map_or(Duration::ZERO, |heard| heard.elapsed());
            let wait = (self.vote_lease + APART + turn).saturating_sub(silent);
            if wait.is_zero() {
                let gone = reign.node_id;
                tracing::info!("node {} campaigns, for node {gone} was removed", self.node);
                if let Err(fatal) = self.raft.trigger().elect().await {
                    tracing::error!("no election: {fatal}");
                }
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// How long this voter lets others go first; `None` when the leader is a voter still, or this
    /// node may not lead.
    fn turn_after(&self, reign: Reign) -> Option<Duration> {
        let sets = self.voter_sets();
        let [voters] = sets.as_slice() else {
            return None;
        };
        if voters.contains(&reign.node_id) || self.is_fenced() {
            return None;
        }
        let members = self.members();
        let leads = |node: &&u64| {
            let member = members.get(*node);
            member.is_some_and(|member| member.role != Role::Witness)
        };
        let place = voters.iter().filter(leads).position(|n| *n == self.node)?;
        Some(ONE_ELECTION * u32::try_from(place).ok()?)
    }
}
