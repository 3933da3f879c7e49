//! Who belongs to the cluster: its members, who asks to become one, and the lineage they are of.

use super::{EpochPhase, EpochRecord, FIRST_EPOCH, Founding, LogKey, State};
use crate::member::FIRST_FORMAT;
use crate::{Candidate, ClusterId, Epoch, Event, Fingerprint, Hash, MemberPhase, MemberRole};
use crate::{NodeId, Time};
use alloc::string::String;
use alloc::vec::Vec;

/// A request that no operator answers goes after so many milliseconds: an hour.
pub const JOIN_REQUEST_LIFE_MS: i64 = 60 * 60 * 1000;

/// A ticket is remembered so long after its end, in milliseconds, so that a node that comes with it
/// is told why it is not let in: an hour.
const TICKET_REMEMBERED_MS: i64 = 60 * 60 * 1000;

/// The first lineage of a cluster.
const FIRST_LINEAGE: u32 = 1;

/// A member of the cluster, or one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Version of its program at its last start; empty before the first.
    pub version: String,
    /// Whether it serves, as far as the log knows: a node that was killed says nothing.
    pub running: bool,
    /// When it last started or stopped.
    pub since: Time,
    /// Where its peers reach it, `host:port`; empty until it was stated.
    pub address: String,
    /// What it does.
    pub role: MemberRole,
    /// Where it stands.
    pub phase: MemberPhase,
    /// SHA-256 of the SubjectPublicKeyInfo of its TLS key; `None` until it was stated.
    pub key: Option<Fingerprint>,
    /// Public key to which the KEK ring is encrypted; empty until it was stated.
    pub sealing_key: Vec<u8>,
    /// Its member epoch: the size of the log with the record that admitted it, so no two members
    /// have the same.
    pub epoch: u64,
    /// Newest format that its program understands.
    pub format: u32,
    /// The member it came back for.
    pub replaces: Option<NodeId>,
    /// Whether it ever was in full standing.
    pub confirmed: bool,
    /// The epoch that was current when it began to leave; it may know the KEKs up to this one.
    pub left_in: Option<Epoch>,
}

impl Node {
    fn founder(since: Time, epoch: u64) -> Self {
        Self {
            version: String::new(),
            running: false,
            since,
            address: String::new(),
            role: MemberRole::Voter,
            phase: MemberPhase::Member,
            key: None,
            sealing_key: Vec::new(),
            epoch,
            format: FIRST_FORMAT,
            replaces: None,
            confirmed: true,
            left_in: None,
        }
    }

    fn admitted(candidate: &Candidate, replaces: Option<NodeId>, since: Time, epoch: u64) -> Self {
        Self {
            version: candidate.version.clone(),
            running: false,
            since,
            address: candidate.address.clone(),
            role: candidate.role,
            phase: MemberPhase::Joining,
            key: Some(candidate.key),
            sealing_key: candidate.sealing_key.clone(),
            epoch,
            format: candidate.format,
            replaces,
            confirmed: false,
            left_in: None,
        }
    }

    /// Whether it holds keys and its confirmations count.
    pub fn keeps_keys(&self) -> bool {
        self.role.holds_keys() && matches!(self.phase, MemberPhase::Joining | MemberPhase::Member)
    }

    fn leave(&mut self, epoch: Epoch) {
        self.phase = MemberPhase::Leaving;
        self.left_in = Some(epoch);
    }
}

/// Leave for one node to ask to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// End of validity.
    pub expires: Time,
    /// TLS key of the node that used it.
    pub used_by: Option<Fingerprint>,
}

/// A node that waits to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// SHA-256 of the secret of the ticket it came with.
    pub ticket: Hash,
    /// What it says of itself.
    pub candidate: Candidate,
    /// When it asked.
    pub since: Time,
}

impl JoinRequest {
    /// When it goes by itself.
    pub const fn expires(&self) -> Time {
        Time(self.since.0.saturating_add(JOIN_REQUEST_LIFE_MS))
    }
}

impl State {
    /// All nodes there ever were, removed ones too.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// One node, removed or not.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The nodes that are not removed.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.nodes()
            .filter(|(_, node)| node.phase != MemberPhase::Removed)
    }

    /// One node that is not removed.
    pub fn member(&self, id: NodeId) -> Option<&Node> {
        self.node(id)
            .filter(|node| node.phase != MemberPhase::Removed)
    }

    /// The members that hold sealed material: all but witnesses. Leaving ones are among them.
    pub fn data_members(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.members().filter(|(_, node)| node.role.holds_keys())
    }

    /// The data members that must confirm before an epoch may end: all that are not leaving.
    pub fn key_keepers(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.nodes().filter(|(_, node)| node.keeps_keys())
    }

    /// The member whose TLS key this is. When a node came back with the key it had, it is the
    /// newer one.
    pub fn member_by_key(&self, key: &Fingerprint) -> Option<(NodeId, &Node)> {
        self.nodes
            .iter()
            .rev()
            .map(|(id, node)| (*id, node))
            .find(|(_, node)| node.key == Some(*key) && node.phase != MemberPhase::Removed)
    }

    /// The member that is on its way in or out, if any: membership changes one at a time. While a
    /// node comes back, it is the new one.
    pub fn change_under_way(&self) -> Option<(NodeId, &Node)> {
        let mut found = self
            .members()
            .filter(|(_, n)| n.phase == MemberPhase::Leaving)
            .last();
        if let Some(joining) = self
            .members()
            .find(|(_, n)| n.phase == MemberPhase::Joining)
        {
            found = Some(joining);
        }
        found
    }

    /// The highest number that was ever given to a node; 0 before the founding.
    pub const fn newest_node(&self) -> NodeId {
        self.newest_node
    }

    /// The number that the next node gets.
    pub const fn next_node(&self) -> NodeId {
        NodeId(self.newest_node.0.saturating_add(1))
    }

    /// The format that all members understand. It never falls.
    pub fn format(&self) -> u32 {
        self.format.max(FIRST_FORMAT)
    }

    /// The member with the oldest program, and the newest format that it understands.
    pub fn oldest_format(&self) -> Option<(NodeId, u32)> {
        self.members()
            .map(|(id, node)| (id, node.format))
            .min_by_key(|(_, format)| *format)
    }

    /// Number of the lineage: 1 from the founding, one more after each fork; 0 before.
    pub fn lineage(&self) -> u32 {
        self.founding
            .as_ref()
            .map_or(0, |founding| founding.lineage)
    }

    /// SHA-256 of the certificate of the cluster CA; `None` before there was one.
    pub const fn cluster_ca(&self) -> Option<&Fingerprint> {
        self.cluster_ca.as_ref()
    }

    /// The tickets that were issued lately, used and expired ones too.
    pub fn tickets(&self) -> impl Iterator<Item = (&Hash, &Ticket)> + '_ {
        self.tickets.iter()
    }

    /// One of them, by the SHA-256 of its secret.
    pub fn ticket(&self, ticket: &Hash) -> Option<&Ticket> {
        self.tickets.get(ticket)
    }

    /// The nodes that wait to be let in at a time.
    pub fn join_requests(&self, now: Time) -> impl Iterator<Item = &JoinRequest> + '_ {
        self.requests
            .values()
            .filter(move |request| now <= request.expires())
    }

    /// The one of them that has a TLS key.
    pub fn join_request(&self, key: &Fingerprint, now: Time) -> Option<&JoinRequest> {
        self.requests
            .get(key)
            .filter(|request| now <= request.expires())
    }

    /// True when somebody outside the cluster may know the KEK of the current epoch: a member is
    /// leaving that had it, or the others were cut off by a new lineage.
    pub fn rotation_due(&self) -> bool {
        let known_outside = self
            .members()
            .filter(|(_, node)| needs_rotation(node))
            .filter_map(|(_, node)| node.left_in)
            .chain(self.forked_in)
            .max();
        known_outside.is_some_and(|epoch| epoch >= self.epoch)
    }

    /// Whether what a leaving member may know is useless: an epoch was opened after it began to
    /// leave, and every one that it may know the KEK of is retired.
    pub(crate) fn is_harmless(&self, node: &Node) -> bool {
        if !needs_rotation(node) {
            return true;
        }
        let left_in = node.left_in.unwrap_or(self.epoch);
        self.epoch > left_in
            && self
                .epochs
                .range(..=left_in)
                .all(|(_, record)| record.phase == EpochPhase::Retired)
    }

    /// Takes an event about the membership. `None` when it does not fit.
    pub(super) fn apply_to_members(&mut self, event: &Event, time: Time) -> Option<()> {
        self.apply_to_member(event, time)?;
        // Whoever came, went or started may have been the one with the oldest program.
        if let Some((_, oldest)) = self.oldest_format() {
            self.format = self.format.max(oldest);
        }
        Some(())
    }

    fn apply_to_member(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::ClusterFounded {
                cluster,
                origin,
                node,
            } => self.found(*cluster, origin, *node, time),
            Event::NodeAdmitted {
                node,
                candidate,
                replaces,
            } => self.admit(*node, candidate, *replaces, time),
            Event::MemberConfirmed { node, role } => {
                let member = self.nodes.get_mut(node)?;
                member.role = *role;
                member.phase = MemberPhase::Member;
                member.confirmed = true;
                Some(())
            }
            Event::NodeLeaving { node } => {
                let epoch = self.epoch;
                self.nodes.get_mut(node)?.leave(epoch);
                Some(())
            }
            Event::NodeRemoved { node } => {
                let member = self.nodes.get_mut(node)?;
                member.phase = MemberPhase::Removed;
                member.running = false;
                self.settings.forget(*node);
                self.transfers.forget(*node);
                Some(())
            }
            _ => self.apply_to_presence(event, time),
        }
    }

    /// Takes an event about what a member says of itself.
    fn apply_to_presence(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::NodeStarted {
                node,
                version,
                format,
            } => {
                let member = self.nodes.get_mut(node)?;
                member.version.clone_from(version);
                member.format = *format;
                member.running = true;
                member.since = time;
                Some(())
            }
            Event::NodeStopped { node } => {
                let member = self.nodes.get_mut(node)?;
                member.running = false;
                member.since = time;
                Some(())
            }
            Event::NodeIdentified {
                node,
                key,
                sealing_key,
                address,
            } => {
                let member = self.nodes.get_mut(node)?;
                member.key = Some(*key);
                member.sealing_key.clone_from(sealing_key);
                member.address.clone_from(address);
                Some(())
            }
            Event::LogKeyAdded { node, public_key } => {
                let valid_from = self.records;
                self.log_keys.push(LogKey {
                    node: *node,
                    public_key: *public_key,
                    valid_from,
                });
                Some(())
            }
            _ => self.apply_to_door(event, time),
        }
    }

    /// Takes an event about who may come in, and by which CA and lineage members know each other.
    fn apply_to_door(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::TicketIssued { ticket, expires } => {
                let now = self.latest_time;
                self.tickets
                    .retain(|_, old| old.expires.0.saturating_add(TICKET_REMEMBERED_MS) >= now.0);
                let issued = Ticket {
                    expires: *expires,
                    used_by: None,
                };
                self.tickets.insert(*ticket, issued);
                Some(())
            }
            Event::JoinRequested { ticket, candidate } => {
                self.tickets.get_mut(ticket)?.used_by = Some(candidate.key);
                let now = self.latest_time;
                self.requests.retain(|_, old| now <= old.expires());
                let request = JoinRequest {
                    ticket: *ticket,
                    candidate: candidate.clone(),
                    since: time,
                };
                self.requests.insert(candidate.key, request);
                Some(())
            }
            Event::JoinDenied { key } => self.requests.remove(key).map(|_| ()),
            Event::ClusterCaRotated { ca } => {
                self.cluster_ca = Some(*ca);
                Some(())
            }
            Event::LineageForked {
                lineage,
                node,
                origin,
                ..
            } => self.fork(*lineage, *node, origin),
            // All others are taken by the callers.
            _ => None,
        }
    }

    fn found(&mut self, cluster: ClusterId, origin: &str, node: NodeId, time: Time) -> Option<()> {
        if self.founding.is_some() {
            return None;
        }
        self.founding = Some(Founding {
            cluster,
            origin: origin.into(),
            lineage: FIRST_LINEAGE,
        });
        self.nodes.insert(node, Node::founder(time, self.records));
        self.newest_node = self.newest_node.max(node);
        self.epoch = FIRST_EPOCH;
        self.epochs.insert(FIRST_EPOCH, EpochRecord::new(None));
        Some(())
    }

    fn admit(
        &mut self,
        node: NodeId,
        candidate: &Candidate,
        replaces: Option<NodeId>,
        time: Time,
    ) -> Option<()> {
        if self.nodes.contains_key(&node) {
            return None;
        }
        let epoch = self.epoch;
        if let Some(old) = replaces {
            self.nodes.get_mut(&old)?.leave(epoch);
            self.settings.inherit(old, node);
        }
        let member = Node::admitted(candidate, replaces, time, self.records);
        self.nodes.insert(node, member);
        self.newest_node = self.newest_node.max(node);
        self.requests.remove(&candidate.key);
        Some(())
    }

    fn fork(&mut self, lineage: u32, survivor: NodeId, origin: &str) -> Option<()> {
        if !self.nodes.contains_key(&survivor) {
            return None;
        }
        let founding = self.founding.as_mut()?;
        founding.lineage = lineage;
        founding.origin = origin.into();
        for (id, node) in &mut self.nodes {
            if *id == survivor {
                node.phase = MemberPhase::Member;
                node.role = MemberRole::Voter;
                node.confirmed = true;
                node.left_in = None;
            } else {
                node.phase = MemberPhase::Removed;
                node.running = false;
                self.settings.forget(*id);
                self.transfers.forget(*id);
            }
        }
        self.requests.clear();
        self.tickets.clear();
        self.forked_in = Some(self.epoch);
        Some(())
    }
}

/// Whether a member that leaves takes keys with it. A witness does not; a node that was let in does
/// even when it never came to full standing, because it gets the KEKs with its admission.
fn needs_rotation(node: &Node) -> bool {
    node.role.holds_keys()
}
