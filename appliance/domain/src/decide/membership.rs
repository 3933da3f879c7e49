//! Decisions about who belongs to the cluster: tickets, joining, coming back, leaving, lineages.
//!
//! Membership changes one at a time. A member is *joining* from its admission until the leader
//! confirms that it has caught up, and *leaving* from the decision to remove it until what it holds
//! is useless; while one is on its way, no other change begins. Only a joining member may be given
//! up, or come back once more, meanwhile: so there is never more than one that is joining.

use super::cluster::{check_label, check_member, finish_retirement, out_of_order};
use super::objects::exists;
use crate::member::{check_address, check_sealing_key};
use crate::state::Node;
use crate::{Ask, Candidate, Denial, Event, Fingerprint, Hash, MemberPhase, MemberRole, NodeId};
use crate::{State, Time};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// A ticket is valid for at most so many milliseconds: 15 minutes, enough to type it in at another
/// rack, too short to be found later.
const TICKET_LIFE_MAX_MS: i64 = 15 * 60 * 1000;
/// Tickets that are open at a time: a row of new nodes.
const TICKETS_OPEN_MAX: usize = 16;
/// Nodes that wait for an operator at a time; each is looked at by a person.
const REQUESTS_MAX: usize = 8;
/// Members at a time: each confirms every epoch, and each record of that names it.
const MEMBERS_MAX: usize = 32;
/// Members that vote: three is the rule, five is common, and with seven each of six joiners may.
const VOTES_MAX: usize = 7;

/// Decides an ask about the membership.
pub(super) fn membership(state: &State, ask: &Ask, now: Time) -> Result<Vec<Event>, Denial> {
    match ask {
        Ask::IdentifyNode {
            node,
            key,
            sealing_key,
            address,
        } => identify_node(state, *node, *key, sealing_key, address),
        Ask::IssueTicket { ticket, expires } => issue_ticket(state, *ticket, *expires, now),
        Ask::RequestJoin { ticket, candidate } => request_join(state, *ticket, candidate, now),
        Ask::ApproveJoin { key } => approve_join(state, *key, now),
        Ask::DenyJoin { key } => {
            waiting(state, *key, now)?;
            Ok(vec![Event::JoinDenied { key: *key }])
        }
        Ask::Rejoin { old, candidate } => rejoin(state, *old, candidate),
        Ask::ConfirmMember { node, role } => confirm_member(state, *node, *role),
        Ask::RemoveNode { node } => remove(state, *node),
        Ask::ConfirmRemoved { node } => confirm_removed(state, *node),
        Ask::RotateClusterCa { ca } => {
            let known = state.cluster_ca() == Some(ca);
            let event = (!known).then_some(Event::ClusterCaRotated { ca: *ca });
            Ok(event.into_iter().collect())
        }
        Ask::ForkLineage {
            lineage,
            node,
            origin,
            lost,
        } => fork(state, *lineage, *node, origin, *lost),
        // The caller passes the asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

/// Who a node is does not change; where it is reached may.
fn identify_node(
    state: &State,
    node: NodeId,
    key: Fingerprint,
    sealing_key: &[u8],
    address: &str,
) -> Result<Vec<Event>, Denial> {
    let member = check_member(state, node)?;
    check_sealing_key(sealing_key)?;
    check_address(address)?;
    if let Some(known) = member.key {
        if known != key || member.sealing_key != sealing_key {
            let reason = format!(
                "node {} has stated other keys already; remove it and let it join again",
                node.0
            );
            return Err(out_of_order(reason));
        }
        if member.address == address {
            return Ok(vec![]);
        }
    } else if state.nodes().any(|(_, other)| other.key == Some(key)) {
        return Err(exists("node key"));
    }
    Ok(vec![Event::NodeIdentified {
        node,
        key,
        sealing_key: sealing_key.into(),
        address: address.into(),
    }])
}

fn issue_ticket(
    state: &State,
    ticket: Hash,
    expires: Time,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    if state.ticket(&ticket).is_some() {
        return Err(exists("ticket"));
    }
    let latest = Time(now.0.saturating_add(TICKET_LIFE_MAX_MS));
    if expires <= now || expires > latest {
        let reason = "a ticket is valid for at most 15 minutes from now".into();
        return Err(Denial::InvalidField { reason });
    }
    let open = |t: &crate::state::Ticket| t.used_by.is_none() && now <= t.expires;
    if state.tickets().filter(|(_, t)| open(t)).count() >= TICKETS_OPEN_MAX {
        let limit = format!("{TICKETS_OPEN_MAX} open tickets");
        return Err(Denial::LimitReached { limit });
    }
    Ok(vec![Event::TicketIssued { ticket, expires }])
}

fn request_join(
    state: &State,
    ticket: Hash,
    candidate: &Candidate,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    let Some(known) = state.ticket(&ticket) else {
        return Err(out_of_order("that ticket was not issued here".into()));
    };
    if let Some(user) = known.used_by {
        // The node heard no answer and asks again.
        let waits = state.join_request(&candidate.key, now).is_some();
        if user == candidate.key && (waits || state.member_by_key(&user).is_some()) {
            return Ok(vec![]);
        }
        let reason = "that ticket is used up; ask an operator for another one".into();
        return Err(out_of_order(reason));
    }
    if now > known.expires {
        let reason = "that ticket has expired; ask an operator for another one".into();
        return Err(out_of_order(reason));
    }
    check_candidate(state, candidate)?;
    check_key_is_new(state, candidate.key)?;
    let others = state
        .join_requests(now)
        .filter(|request| request.candidate.key != candidate.key);
    if others.count() >= REQUESTS_MAX {
        let limit = format!("{REQUESTS_MAX} nodes that wait to be let in");
        return Err(Denial::LimitReached { limit });
    }
    Ok(vec![Event::JoinRequested {
        ticket,
        candidate: candidate.clone(),
    }])
}

/// What a candidate says of itself must be well formed, and its program new enough.
fn check_candidate(state: &State, candidate: &Candidate) -> Result<(), Denial> {
    check_label("version", &candidate.version)?;
    check_address(&candidate.address)?;
    check_sealing_key(&candidate.sealing_key)?;
    check_format(state, candidate.format)?;
    let known = |key: &crate::state::LogKey| key.public_key == candidate.log_key;
    if state.log_keys().iter().any(known) {
        return Err(exists("log key"));
    }
    Ok(())
}

/// A program that does not understand what the cluster uses would misread the log.
pub(super) fn check_format(state: &State, format: u32) -> Result<(), Denial> {
    let needs = state.format();
    if format < needs {
        return Err(Denial::Downgrade { format, needs });
    }
    Ok(())
}

/// A removed node keeps its key for ever: who has it is not let in as somebody else.
fn check_key_is_new(state: &State, key: Fingerprint) -> Result<(), Denial> {
    match state.nodes().any(|(_, node)| node.key == Some(key)) {
        true => Err(exists("node key")),
        false => Ok(()),
    }
}

fn waiting(state: &State, key: Fingerprint, now: Time) -> Result<&Candidate, Denial> {
    match state.join_request(&key, now) {
        Some(request) => Ok(&request.candidate),
        None => Err(out_of_order(format!(
            "no node with key {key} waits to be let in (requests go after an hour)"
        ))),
    }
}

fn approve_join(state: &State, key: Fingerprint, now: Time) -> Result<Vec<Event>, Denial> {
    let candidate = waiting(state, key, now)?;
    check_nothing_under_way(state)?;
    check_candidate(state, candidate)?;
    check_key_is_new(state, key)?;
    if state.members().count() >= MEMBERS_MAX {
        let limit = format!("{MEMBERS_MAX} members");
        return Err(Denial::LimitReached { limit });
    }
    check_votes(state, candidate.role, None)?;
    Ok(admitted(state, candidate, None))
}

fn admitted(state: &State, candidate: &Candidate, replaces: Option<NodeId>) -> Vec<Event> {
    let node = state.next_node();
    let admitted = Event::NodeAdmitted {
        node,
        candidate: candidate.clone(),
        replaces,
    };
    let key = Event::LogKeyAdded {
        node,
        public_key: candidate.log_key,
    };
    vec![admitted, key]
}

fn rejoin(state: &State, old: NodeId, candidate: &Candidate) -> Result<Vec<Event>, Denial> {
    let newest = state.newest_node();
    let repeated = state.node(newest).is_some_and(|node| {
        node.replaces == Some(old)
            && node.phase == MemberPhase::Joining
            && node.key == Some(candidate.key)
            && state
                .log_key(newest)
                .is_some_and(|key| key.public_key == candidate.log_key)
    });
    if repeated {
        return Ok(vec![]);
    }
    let member = check_member(state, old)?;
    match member.phase {
        MemberPhase::Member => check_nothing_under_way(state)?,
        // It is itself the change that is under way.
        MemberPhase::Joining => {}
        MemberPhase::Leaving | MemberPhase::Removed => {
            let reason = format!("node {} is being removed; join with a ticket", old.0);
            return Err(out_of_order(reason));
        }
    }
    check_candidate(state, candidate)?;
    if member.key != Some(candidate.key) {
        check_key_is_new(state, candidate.key)?;
    }
    // No operator approves this, so it gives no more than there was.
    if candidate.role != member.role {
        let (was, is) = (member.role.name(), candidate.role.name());
        let reason = format!("node {} was a {was} and comes back as a {is}", old.0);
        return Err(Denial::InvalidField { reason });
    }
    check_keys_remain(state, old, member)?;
    let mut events = admitted(state, candidate, Some(old));
    let newcomer = candidate.role.holds_keys().then_some(state.next_node());
    let keepers = keepers_without(state, old).chain(newcomer);
    events.extend(finish_retirement(state, keepers));
    Ok(events)
}

/// One change at a time (DESIGN §4).
fn check_nothing_under_way(state: &State) -> Result<(), Denial> {
    match state.change_under_way() {
        None => Ok(()),
        Some((node, member)) => Err(out_of_order(format!(
            "node {} is {}; membership changes one at a time: wait until it is done{}",
            node.0,
            member.phase.name(),
            match member.phase {
                MemberPhase::Joining => ", or remove that node",
                _ => "",
            }
        ))),
    }
}

/// Refuses one vote too many. `but` is the member whose role changes.
fn check_votes(state: &State, role: MemberRole, but: Option<NodeId>) -> Result<(), Denial> {
    let votes = state
        .members()
        .filter(|(id, node)| {
            Some(*id) != but && node.role.votes() && node.phase != MemberPhase::Leaving
        })
        .count();
    if role.votes() && votes >= VOTES_MAX {
        let limit = format!("{VOTES_MAX} members that vote; let it in as a learner");
        return Err(Denial::LimitReached { limit });
    }
    Ok(())
}

fn confirm_member(state: &State, node: NodeId, role: MemberRole) -> Result<Vec<Event>, Denial> {
    let member = check_member(state, node)?;
    match member.phase {
        MemberPhase::Joining => {}
        MemberPhase::Member if member.role == role => return Ok(vec![]),
        MemberPhase::Member => {}
        MemberPhase::Leaving | MemberPhase::Removed => {
            return Err(out_of_order(format!("node {} is being removed", node.0)));
        }
    }
    if member.role.holds_keys() != role.holds_keys() {
        let reason = format!(
            "node {} was let in as a {} and cannot become a {}: a witness never has keys; \
             remove it and let it join again",
            node.0,
            member.role.name(),
            role.name()
        );
        return Err(out_of_order(reason));
    }
    check_votes(state, role, Some(node))?;
    if role != MemberRole::Voter {
        check_keys_remain(state, node, member)?;
    }
    Ok(vec![Event::MemberConfirmed { node, role }])
}

/// The last voter that holds keys stays: without it nothing can be read, and nobody be let in.
fn check_keys_remain(state: &State, node: NodeId, member: &Node) -> Result<(), Denial> {
    let counts = |node: &Node| node.role == MemberRole::Voter && node.phase == MemberPhase::Member;
    let another = state
        .members()
        .any(|(id, other)| id != node && counts(other));
    if counts(member) && !another {
        let reason = format!("node {} is the last voter that holds keys", node.0);
        return Err(out_of_order(reason));
    }
    Ok(())
}

fn remove(state: &State, node: NodeId) -> Result<Vec<Event>, Denial> {
    let Some(member) = state.node(node) else {
        return Err(out_of_order(format!("there is no node {}", node.0)));
    };
    match member.phase {
        MemberPhase::Leaving | MemberPhase::Removed => return Ok(vec![]),
        // Giving up a node that joins is always possible.
        MemberPhase::Joining => {}
        MemberPhase::Member => {
            check_nothing_under_way(state)?;
            check_keys_remain(state, node, member)?;
        }
    }
    let mut events = vec![Event::NodeLeaving { node }];
    events.extend(finish_retirement(state, keepers_without(state, node)));
    Ok(events)
}

fn keepers_without(state: &State, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    state
        .key_keepers()
        .map(|(id, _)| id)
        .filter(move |id| *id != node)
}

/// What a node that is gone may know must open nothing any more.
fn confirm_removed(state: &State, node: NodeId) -> Result<Vec<Event>, Denial> {
    let Some(member) = state.node(node) else {
        return Err(out_of_order(format!("there is no node {}", node.0)));
    };
    match member.phase {
        MemberPhase::Removed => Ok(vec![]),
        MemberPhase::Joining | MemberPhase::Member => Err(out_of_order(format!(
            "node {} is not being removed",
            node.0
        ))),
        MemberPhase::Leaving if state.is_harmless(member) => Ok(vec![Event::NodeRemoved { node }]),
        MemberPhase::Leaving => Err(out_of_order(format!(
            "node {} may know keys that are in use: a new epoch has to be opened and the ones \
             before it retired first",
            node.0
        ))),
    }
}

/// The last resort: one member goes on, and what the others may still have counts no more.
fn fork(
    state: &State,
    lineage: u32,
    node: NodeId,
    origin: &str,
    lost: u64,
) -> Result<Vec<Event>, Denial> {
    let next = state.lineage().saturating_add(1);
    if lineage != next {
        let reason = format!("the next lineage is {next}, not {lineage}");
        return Err(out_of_order(reason));
    }
    check_label("origin", origin)?;
    if state.origin() == Some(origin) {
        return Err(exists("origin"));
    }
    let member = check_member(state, node)?;
    if !member.role.holds_keys() {
        let reason = format!("node {} is a witness: it has no keys to go on with", node.0);
        return Err(out_of_order(reason));
    }
    let mut events = vec![Event::LineageForked {
        lineage,
        node,
        origin: origin.into(),
        lost,
    }];
    events.extend(finish_retirement(state, [node]));
    Ok(events)
}
