//! What the parts of a running member share, and what they ask it about itself.

use crate::answer::Installing;
use crate::batcher::Waiting;
use crate::danger::{self, Bug};
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::rounds::Rounds;
use crate::standing::{Outcome, Standing, quorum_contact};
use crate::types::{Member, Reign, Role, TypeConfig};
use crate::wire::Way;
use openraft::Raft;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Copies of a payload on nodes that hold keys before a command that carries one is answered,
/// where a witness could stand in for one of them (FAILURES: `min_data_copies`).
const DATA_COPIES_MIN: usize = 2;

/// How often followers are looked at while a copy is waited for.
const COPIES_LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long this node may not have heard from a quorum before the ticker sees to it.
const CONTACT_EVERY: Duration = Duration::from_secs(1);

/// A member's parts.
pub(crate) struct Node {
    pub(crate) node: u64,
    pub(crate) raft: Raft<TypeConfig>,
    pub(crate) waiting: mpsc::Sender<Waiting>,
    pub(crate) log: LogStore,
    pub(crate) standing: Arc<Standing>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) way: Option<Arc<dyn Way>>,
    /// A leader that no quorum has answered for so long takes no more commands.
    pub(crate) lease: Duration,
    /// So long after the last word of a leader nobody votes for another.
    pub(crate) vote_lease: Duration,
    /// When a leader was heard last.
    pub(crate) leader_heard: Mutex<Option<Instant>>,
    pub(crate) fenced: AtomicBool,
    pub(crate) rounds: Rounds,
    pub(crate) contact: Mutex<Option<Instant>>,
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) installing: Mutex<Option<Installing>>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Node {
    /// Who leads, as far as this node knows.
    pub(crate) fn reign(&self) -> Option<Reign> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let vote = metrics.vote;
        (vote.committed && metrics.running_state.is_ok()).then_some(vote.leader_id)
    }

    /// True when this node leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.reign().is_some_and(|reign| reign.node_id == self.node)
    }

    /// Why consensus ended on this node, if it did.
    pub(crate) fn stopped(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics
            .running_state
            .as_ref()
            .err()
            .map(ToString::to_string)
    }

    /// Becomes true when the node is shut down.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// The voters: one set, or the old and the new one during a change.
    pub(crate) fn voter_sets(&self) -> Vec<BTreeSet<u64>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics
            .membership_config
            .membership()
            .get_joint_config()
            .clone()
    }

    /// The members by number.
    pub(crate) fn members(&self) -> BTreeMap<u64, Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership().nodes();
        members.map(|(id, member)| (*id, member.clone())).collect()
    }

    /// What this node is; a voter as long as nobody has told it.
    pub(crate) fn role(&self) -> Role {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let member = metrics.membership_config.membership().get_node(&self.node);
        member.map_or(Role::Voter, |member| member.role)
    }

    /// May an entry be appended now, in a reign of this node?
    ///
    /// # Errors
    /// What to tell the proposer; nothing was appended.
    pub(crate) fn may_append(&self, reign: Reign) -> Result<(), Outcome> {
        match self.reign() {
            Some(now) if now == reign && now.node_id == self.node => {}
            Some(now) if now.node_id == self.node && danger::has(Bug::NoTermFence) => {}
            _ => return Err(Outcome::Expired),
        }
        if self.standing.is_undisputed() {
            return Ok(());
        }
        let silent = self.leader_contact(reign).map(|contact| contact.elapsed());
        match silent {
            Some(silent) if silent <= self.lease => Ok(()),
            Some(silent) => Err(Outcome::NotTaken(format!(
                "the leader has not heard from a quorum for {} ms",
                silent.as_millis()
            ))),
            None => Err(Outcome::NotTaken(
                "the leader has not heard from a quorum yet".into(),
            )),
        }
    }

    /// When a quorum was last with this node as leader.
    fn leader_contact(&self, reign: Reign) -> Option<Instant> {
        let contacts = self.standing.contacts(reign);
        quorum_contact(&self.voter_sets(), self.node, Instant::now(), &contacts)
    }

    /// Start of the last round that a quorum confirmed.
    pub(crate) fn quorum_contact(&self) -> Option<Instant> {
        if self.standing.is_undisputed() {
            return Some(Instant::now());
        }
        let led = self.reign().filter(|reign| reign.node_id == self.node);
        let led = led.and_then(|reign| self.leader_contact(reign));
        led.max(*self.contact.lock())
    }

    /// Who leads, if a quorum was with that leader lately.
    pub(crate) fn live_leader(&self) -> Option<u64> {
        let contact = self.quorum_contact()?;
        let lately = contact.elapsed() < CONTACT_EVERY + self.lease;
        self.reign().filter(|_| lately).map(|reign| reign.node_id)
    }

    /// Voters that hold payloads, if a witness among the voters could stand in for one of them.
    fn voters_with_keys(&self) -> Option<BTreeSet<u64>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let role = |node: &u64| members.get_node(node).map(|member| member.role);
        let (witnesses, data): (BTreeSet<u64>, BTreeSet<u64>) = members
            .voter_ids()
            .partition(|node| role(node) == Some(Role::Witness));
        (!witnesses.is_empty()).then_some(data)
    }

    /// May a command with sealed key bytes be appended now? Only while enough nodes that hold keys
    /// answer.
    ///
    /// # Errors
    /// What to tell the proposer; nothing was appended.
    pub(crate) fn may_store_payloads(&self, reign: Reign) -> Result<(), Outcome> {
        let Some(data) = self.voters_with_keys() else {
            return Ok(());
        };
        let contacts = self.standing.contacts(reign);
        let fresh = |node: &&u64| {
            let heard = contacts.get(*node);
            **node == self.node || heard.is_some_and(|heard| heard.elapsed() <= self.lease)
        };
        let (have, need) = (data.iter().filter(fresh).count(), copies_of(&data));
        if have >= need {
            return Ok(());
        }
        Err(Outcome::NotTaken(format!(
            "a new key needs {need} nodes that hold keys, and {have} answers: bring the other back"
        )))
    }

    /// Waits until enough nodes that hold keys have an entry on their disks.
    pub(crate) async fn await_copies(&self, reign: Reign, index: u64) {
        loop {
            let Some(data) = self.voters_with_keys() else {
                return;
            };
            let matches = self.standing.matches(reign);
            let has = |node: &&u64| **node == self.node || matches.get(*node) >= Some(&index);
            if data.iter().filter(has).count() >= copies_of(&data) {
                return;
            }
            tokio::time::sleep(COPIES_LOOK_EVERY).await;
        }
    }

    /// Keeps in touch with a quorum while nobody asks, and ends changes left half done.
    pub(crate) async fn run_ticker(self: Arc<Self>) {
        let mut stop = self.stopping();
        while !*stop.borrow() {
            tokio::select! {
            biased;
                            () = tokio::time::sleep(CONTACT_EVERY) => {}
                            _ = stop.wait_for(|stop| *stop) => return,
                        }
            let contact = self.quorum_contact();
            if contact.is_none_or(|contact| contact.elapsed() >= CONTACT_EVERY)
                && let Err(why) = self.read_index().await
            {
                tracing::debug!("no quorum: {why}");
            }
            self.finish_change().await;
        }
    }
}

fn copies_of(data: &BTreeSet<u64>) -> usize {
    data.len().min(DATA_COPIES_MIN)
}
