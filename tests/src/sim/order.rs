//! The ordered log between the nodes, in openraft's place.
//!
//! The model is Raft with its conversations cut short. An election happens in one step, and only
//! when a quorum of voters can be reached that are not ahead of the candidate (Raft §5.4.1); a
//! leader counts an entry as committed when a quorum says that it is durable there and the entry
//! is of the leader's own term (§5.4.2); a follower takes entries behind the last one on which it
//! agrees with the leader and drops its own where they differ (§5.3). Votes and terms are not on
//! the simulated disks. Messages arrive late (the step comes later), twice (`again`), or without
//! their answer being heard; nobody ever talks to a leader that was deposed.

use super::checkers::{self, Violation};
use super::node::Carried;
use super::node::{Health, Node};
use super::plant::Plant;
use super::raft_log::Entry;
use super::truth::{Aim, Knows, Request};
use super::world::{Note, World};
use domain::{Command, codec};
use std::collections::BTreeSet;

/// What the leader knows, and which ways are cut.
#[derive(Debug)]
pub struct Order {
    /// Current term.
    pub term: u64,
    /// Who leads, if anybody does.
    pub leader: Option<usize>,
    /// Last entry that the leader knows to be durable on each node.
    matched: Vec<u64>,
    /// Last committed entry that any leader knew to be durable on each node. Not the last one of
    /// any kind: what is not committed may be dropped again, and its loss is no reversion.
    remembered: Vec<u64>,
    cut: BTreeSet<(usize, usize)>,
    /// Number of the next proposal.
    next_id: u64,
}

impl Order {
    /// The order of a new cluster.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            term: 0,
            leader: None,
            matched: vec![0; nodes],
            remembered: vec![0; nodes],
            cut: BTreeSet::new(),
            next_id: 1,
        }
    }

    /// How many nodes are a quorum.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.matched.len() / 2 + 1
    }

    /// Whether the way between two nodes is cut.
    #[must_use]
    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        a != b && self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Cuts or mends a way.
    pub fn link(&mut self, a: usize, b: usize, cut: bool) {
        let way = (a.min(b), a.max(b));
        if cut && a != b {
            self.cut.insert(way);
        } else {
            self.cut.remove(&way);
        }
    }

    /// Mends all ways.
    pub fn mend(&mut self) {
        self.cut.clear();
    }

    /// A node is gone, or is not what it was.
    pub fn lost(&mut self, node: usize) {
        if self.leader == Some(node) {
            self.leader = None;
        }
        self.matched[node] = 0;
    }

    /// What the other nodes remember to have been durable on a node.
    #[must_use]
    pub fn remembered(&self, node: usize) -> u64 {
        self.remembered[node]
    }

    fn remember(&mut self, commit: u64) {
        for (remembered, matched) in self.remembered.iter_mut().zip(&self.matched) {
            *remembered = (*matched).min(commit).max(*remembered);
        }
    }

    /// The leader that a node can reach.
    #[must_use]
    pub fn leader_for(&self, nodes: &[Node], node: usize) -> Option<usize> {
        self.leader
            .filter(|leader| nodes[*leader].is_up() && !self.is_cut(*leader, node))
    }

    /// Whether a quorum of voters, itself included, can be reached from a node.
    #[must_use]
    pub fn has_quorum(&self, nodes: &[Node], node: usize) -> bool {
        let reached = (0..nodes.len()).filter(|n| {
            nodes[*n].is_up() && nodes[*n].health != Health::Empty && !self.is_cut(*n, node)
        });
        reached.count() >= self.quorum()
    }

    /// Whether what the leader sent up to `index` is everything that was ever committed: it has
    /// committed an entry of its own term, so its commit index covers all earlier ones.
    #[must_use]
    pub fn is_settled(&self, nodes: &[Node], from: usize, index: u64) -> bool {
        let Some(life) = nodes[from]
            .life
            .as_ref()
            .filter(|_| self.leader == Some(from))
        else {
            return false;
        };
        let own = life.raft.term_of(life.commit) == Some(self.term);
        own && index >= life.commit
    }
}

impl World {
    /// A node asks for votes; with enough of them it leads.
    pub(super) fn elect(&mut self, node: usize) -> Note {
        let Some(last) = self.nodes[node].life.as_ref().map(|life| life.raft.last()) else {
            return Ok("down".into());
        };
        if self.nodes[node].health == Health::Empty {
            return Ok("holds nothing".into());
        }
        let votes = self.nodes.iter().enumerate().filter(|(n, voter)| {
            let behind = voter
                .life
                .as_ref()
                .is_some_and(|life| life.raft.last() <= last);
            behind && voter.health != Health::Empty && !self.order.is_cut(*n, node)
        });
        if votes.count() < self.order.quorum() {
            return Ok("too few votes".into());
        }
        self.order.term += 1;
        self.order.leader = Some(node);
        self.order.matched.fill(0);
        checkers::acked_never_lost::leader_holds_everything(self, node)?;
        let blank = Entry {
            term: self.order.term,
            id: 0,
            command: Vec::new(),
            payload: None,
        };
        self.take(node, &blank)
    }

    /// The leader takes an entry into its own log.
    fn take(&mut self, leader: usize, entry: &Entry) -> Note {
        let Some(life) = &mut self.nodes[leader].life else {
            return Ok("the leader is down".into());
        };
        let taken = life.raft.append(entry);
        match taken.and_then(|index| life.raft.sync().map(|()| index)) {
            Ok(index) => {
                self.order.matched[leader] = index;
                self.advance(leader)?;
                Ok(format!("entry {index} of term {}", entry.term))
            }
            Err(why) => self.stop(leader, &why.to_string()),
        }
    }

    /// Moves the commit index of the leader.
    fn advance(&mut self, leader: usize) -> Result<(), Violation> {
        let mut matched = self.order.matched.clone();
        matched.sort_unstable();
        let commit = matched[matched.len() - self.order.quorum()];
        let term = self.order.term;
        let Some(life) = &mut self.nodes[leader].life else {
            return Ok(());
        };
        self.order.remember(life.commit);
        if commit <= life.commit || life.raft.get(commit).is_none_or(|e| e.term != term) {
            return Ok(());
        }
        life.commit = commit;
        self.order.remember(commit);
        checkers::acked_never_lost::committed(self, leader)
    }

    /// The leader sends a follower what it lacks.
    pub(super) fn replicate(&mut self, to: usize, again: u8, limit: u8, heard: bool) -> Note {
        let Some(leader) = self.order.leader_for(&self.nodes, to).filter(|l| *l != to) else {
            return Ok("no way".into());
        };
        if self.nodes[to].health == Health::Empty {
            return Ok("must be sent everything".into());
        }
        let Ok([sender, receiver]) = self.nodes.get_disjoint_mut([leader, to]) else {
            return Ok("no way".into());
        };
        let (Some(ours), Some(theirs)) = (&sender.life, &mut receiver.life) else {
            return Ok("down".into());
        };
        let mut agreed = ours.raft.last().index.min(theirs.raft.last().index);
        let same = |n: u64| {
            let pair = (ours.raft.get(n), theirs.raft.get(n));
            matches!(pair, (Some(a), Some(b)) if a.term == b.term)
        };
        while agreed > theirs.commit && !same(agreed) {
            agreed -= 1;
        }
        if agreed + 1 < ours.raft.first() {
            return Ok("must be sent everything".into());
        }
        let from = (agreed + 1).saturating_sub(u64::from(again));
        let from = from.max(ours.raft.first());
        let entries = ours.raft.range(from, usize::from(limit));
        let reached = (from + entries.len() as u64 - 1).max(agreed);
        let commit = ours.commit.min(reached);
        if let Err(why) = receive(&mut theirs.raft, theirs.commit, &entries) {
            return self.stop(to, &why);
        }
        theirs.commit = theirs.commit.max(commit);
        if heard {
            self.order.matched[to] = reached.max(self.order.matched[to]);
            self.advance(leader)?;
        }
        Ok(format!("{} from {from}, at {reached}", entries.len()))
    }

    /// Hands a command to the leader; the outcome is learned where it was asked, when the entry is
    /// carried out there.
    pub(super) fn propose(
        &mut self,
        node: usize,
        aim: Aim,
        command: &Command,
        payload: Option<Vec<u8>>,
    ) -> Note {
        let Some(leader) = self.order.leader_for(&self.nodes, node) else {
            return Ok("not ready".into());
        };
        let id = self.order.next_id;
        self.order.next_id += 1;
        let mut request = Request {
            node,
            aim,
            knows: Knows::Nothing,
        };
        if self.setting.planted == Some(Plant::ReplyBeforeCommit) {
            request.knows = Knows::Done;
        }
        self.truth.requests.insert(id, request);
        let term = self.order.term;
        if let Some(life) = &mut self.nodes[node].life {
            life.waiting.insert(id, term);
        }
        let entry = Entry {
            term,
            id,
            command: codec::to_vec(command),
            payload: payload.map(Into::into),
        };
        let taken = self.take(leader, &entry)?;
        if self.setting.planted == Some(Plant::ReplyBeforeCommit) {
            checkers::reply_after_commit::check(self, id)?;
        }
        Ok(format!("request {id}: {taken}"))
    }

    /// Tells those who wait at a node what an entry means for them.
    pub(super) fn settle(&mut self, node: usize, carried: &Carried) -> Result<(), Violation> {
        let (id, term) = (carried.entry.id, carried.entry.term);
        let Some(life) = &mut self.nodes[node].life else {
            return Ok(());
        };
        // An entry of a later term shows that a proposal of an earlier one is in no log for good.
        let never: Vec<u64> = life
            .waiting
            .iter()
            .filter(|(_, asked)| **asked < term)
            .map(|(id, _)| *id)
            .collect();
        for id in &never {
            life.waiting.remove(id);
        }
        let answered = life.waiting.remove(&id).is_some();
        for id in never {
            self.learn(id, Knows::NeverDone)?;
        }
        if let (true, Some(outcome)) = (answered, &carried.outcome) {
            let refused = outcome.refused.is_some();
            let knows = if refused { Knows::Refused } else { Knows::Done };
            self.learn(id, knows)?;
        }
        Ok(())
    }

    fn learn(&mut self, id: u64, knows: Knows) -> Result<(), Violation> {
        if let Some(request) = self.truth.requests.get_mut(&id) {
            request.knows = knows;
            if let (Knows::Done, Aim::Destroy(uid)) = (knows, request.aim) {
                self.truth.destroyed.insert(uid);
            }
        }
        checkers::reply_after_commit::check(self, id)
    }
}

/// A follower takes entries; durable when it returns.
fn receive(
    log: &mut super::raft_log::RaftLog,
    commit: u64,
    entries: &[(u64, Entry)],
) -> Result<(), String> {
    for (index, entry) in entries {
        if *index <= commit {
            continue;
        }
        match log.get(*index) {
            Some(stands) if stands.term == entry.term => continue,
            Some(_) => log.truncate_from(*index).map_err(|e| e.to_string())?,
            None => {}
        }
        let at = log.append(entry).map_err(|e| e.to_string())?;
        if at != *index {
            return Err(format!("entry {index} was put at {at}"));
        }
    }
    log.sync().map_err(|e| e.to_string())
}
