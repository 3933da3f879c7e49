//! Decisions about the cluster itself: its nodes, users, epochs, slots and settings. Who belongs
//! to it is decided in `membership`, whether the members agree in `integrity`.

use super::administrators::administrators;
use super::integrity::integrity;
use super::machine::machine;
use super::membership::{check_format, membership};
use super::objects::{apply_schedule, exists};
use super::settings::configure;
use super::transfers::transfers;
use crate::attribute::shape;
use crate::state::{EpochPhase, Node};
use crate::{Actor, Ask, Denial, Door, Epoch, Event, Hash, KeyPolicy, MemberPhase, Membership};
use crate::{Name, NodeId, OfflineGet, State, Time, Uid};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Users of one cluster: more clients than any appliance of this kind is sold for.
const USERS_MAX: usize = 100_000;
/// Groups of one user; each Get of a shared object looks through them.
const GROUPS_PER_USER_MAX: usize = 256;
/// Certificates ever issued to one user: a new one each week for 19 years.
const CERTIFICATES_PER_USER_MAX: usize = 1_000;
/// Seal slots; each is tried when a node unseals.
const SLOTS_MAX: usize = 32;
/// Identifiers in one DestroyFinal: 17 bytes each in CBOR, so 51 KiB of a 60 KiB record.
const FINAL_PER_EVENT_MAX: usize = 3_000;
/// Attribute values must fit into a record beside their wrapping.
const ATTRIBUTE_VALUE_BYTES_CEILING: u32 = 32 * 1024;
/// Attributes of one object: they are read together.
const ATTRIBUTES_PER_OBJECT_CEILING: u32 = 1_000;
/// Material of one object: it travels through one Raft entry.
const MATERIAL_BYTES_CEILING: u32 = 1024 * 1024;
/// Groups with a limit of their own for serving without a quorum; each stands in memory.
const OFFLINE_GROUPS_MAX: usize = 10_000;
/// A longer minimum would forbid AES.
const KEY_BITS_MIN_CEILING: u32 = 256;

/// Decides an ask of an operator or a node.
pub(super) fn administer(
    state: &State,
    actor: &Actor,
    ask: &Ask,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    check_voice(state, actor, ask)?;
    let event = match ask {
        Ask::FoundCluster { .. }
        | Ask::StartNode { .. }
        | Ask::StopNode { .. }
        | Ask::AddLogKey { .. }
        | Ask::AnchorAccessLog { .. } => node(state, ask)?,
        Ask::AddSlot { .. } | Ask::RemoveSlot { .. } | Ask::RecordExport { .. } => {
            Some(slot_or_export(state, ask)?)
        }
        Ask::PutUser { .. } | Ask::IssueCertificate { .. } | Ask::RevokeUser { .. } => {
            user(state, ask)?
        }
        Ask::SetKeyPolicy { policy } => set_policy(state, policy)?,
        Ask::SetOfflineGet { group, limit } => set_offline_get(state, group.as_ref(), *limit)?,
        Ask::Configure { node, values } => return configure(state, *node, values),
        Ask::PutAdministrator { .. }
        | Ask::ChangePassword { .. }
        | Ask::ResetPassword { .. }
        | Ask::SetSshKeys { .. }
        | Ask::SetPermissions { .. }
        | Ask::RemoveAdministrator { .. } => administrators(state, actor, ask)?,
        Ask::RotateLog { .. }
        | Ask::PutDestination { .. }
        | Ask::RemoveDestination { .. }
        | Ask::RecordTransfer { .. } => transfers(state, ask)?,
        Ask::RenewIdentity { .. } | Ask::SetClock { .. } => Some(machine(state, ask, now)?),
        Ask::ApplySchedule => return Ok(apply_schedule(state, now)),
        Ask::OpenEpoch { epoch, kek } => Some(open_epoch(state, *epoch, *kek)?),
        Ask::ConfirmReseal { node, epoch } => confirm_reseal(state, *node, *epoch)?,
        Ask::RetireEpoch { epoch } => Some(retire_epoch(state, *epoch)?),
        Ask::ConfirmRetire { node, epoch } => return confirm_retire(state, *node, *epoch),
        Ask::IdentifyNode { .. }
        | Ask::IssueTicket { .. }
        | Ask::RequestJoin { .. }
        | Ask::ApproveJoin { .. }
        | Ask::DenyJoin { .. }
        | Ask::Rejoin { .. }
        | Ask::ConfirmMember { .. }
        | Ask::RemoveNode { .. }
        | Ask::ConfirmRemoved { .. }
        | Ask::RotateClusterCa { .. }
        | Ask::ForkLineage { .. } => return membership(state, ask, now),
        Ask::BeginScrub
        | Ask::ReportDigest { .. }
        | Ask::ReportDivergence { .. }
        | Ask::ResolveDivergence { .. }
        | Ask::RecordRepair { .. } => return integrity(state, ask),
        // Objects are the users'. What officers may do with them, and Salvage, which brings one
        // back to its owner, is decided by the caller.
        Ask::Create { .. }
        | Ask::CreateFor { .. }
        | Ask::Register { .. }
        | Ask::Activate { .. }
        | Ask::Revoke { .. }
        | Ask::Destroy { .. }
        | Ask::AddAttribute { .. }
        | Ask::ModifyAttribute { .. }
        | Ask::SetAttribute { .. }
        | Ask::DeleteAttribute { .. }
        | Ask::Salvage { .. } => return Err(Denial::NotPermitted),
    };
    Ok(event.into_iter().collect())
}

/// Whose word an ask needs.
enum Voice {
    /// An operator's, or any member's.
    Staff,
    /// An operator's.
    Operator,
    /// A member's: it vouches for another node.
    Node,
    /// That of any member but this one, which lost its disk and its place.
    NodeFor(NodeId),
    /// An operator's, or that of the member it is about: a node states facts about itself only.
    About(NodeId),
}

const fn voice(ask: &Ask) -> Voice {
    match ask {
        Ask::StartNode { node, .. }
        | Ask::StopNode { node }
        | Ask::AddLogKey { node, .. }
        | Ask::AnchorAccessLog { node, .. }
        | Ask::ConfirmReseal { node, .. }
        | Ask::ConfirmRetire { node, .. }
        | Ask::IdentifyNode { node, .. }
        | Ask::RemoveNode { node }
        | Ask::ReportDigest { node, .. }
        | Ask::RecordRepair { node, .. }
        | Ask::Configure { node, .. }
        | Ask::RotateLog { node, .. }
        | Ask::RecordTransfer { node, .. } => Voice::About(*node),
        Ask::IssueTicket { .. }
        | Ask::ApproveJoin { .. }
        | Ask::DenyJoin { .. }
        | Ask::ForkLineage { .. }
        | Ask::Salvage { .. }
        | Ask::ResolveDivergence { .. }
        | Ask::SetOfflineGet { .. }
        | Ask::ChangePassword { .. }
        | Ask::ResetPassword { .. }
        | Ask::SetSshKeys { .. }
        | Ask::SetPermissions { .. }
        | Ask::RemoveAdministrator { .. }
        | Ask::PutDestination { .. }
        | Ask::RemoveDestination { .. }
        | Ask::RenewIdentity { .. }
        | Ask::SetClock { .. } => Voice::Operator,
        Ask::Rejoin { old, .. } => Voice::NodeFor(*old),
        Ask::RequestJoin { .. } | Ask::ConfirmMember { .. } => Voice::Node,
        _ => Voice::Staff,
    }
}

/// Whether an ask decides who may sign in and what listens: while a member knows no administrators
/// with rights of their own, it is taken only from people who are at the machine.
const fn needs_hands_on(ask: &Ask) -> bool {
    matches!(ask, Ask::Configure { .. } | Ask::PutAdministrator { .. })
}

/// Whether an actor of the staff may say this. A member that is leaving says only that it stops.
pub(super) fn check_voice(state: &State, actor: &Actor, ask: &Ask) -> Result<(), Denial> {
    let heard = match (actor, voice(ask)) {
        (Actor::Node(_), Voice::Operator)
        | (Actor::Operator { .. }, Voice::Node | Voice::NodeFor(_)) => false,
        (Actor::Node(speaker), Voice::About(subject)) => *speaker == subject,
        (Actor::Node(speaker), Voice::NodeFor(old)) => *speaker != old,
        (Actor::Operator { door, .. }, _) if needs_hands_on(ask) && !state.knows_permissions() => {
            matches!(door, Door::Socket | Door::Console)
        }
        _ => true,
    };
    let silenced = match actor {
        Actor::Node(speaker) => state
            .node(*speaker)
            .is_some_and(|node| node.phase == MemberPhase::Leaving),
        _ => false,
    };
    if heard && (!silenced || matches!(ask, Ask::StopNode { .. })) {
        Ok(())
    } else {
        Err(Denial::NotPermitted)
    }
}

pub(super) fn out_of_order(reason: String) -> Denial {
    Denial::OutOfOrder { reason }
}

/// Texts of administrative asks end in records and on screens.
pub(super) fn check_label(what: &str, text: &str) -> Result<(), Denial> {
    shape::check_label(text).map_err(|why| Denial::InvalidField {
        reason: format!("{what}: {why}"),
    })
}

pub(super) fn check_member(state: &State, node: NodeId) -> Result<&Node, Denial> {
    state.member(node).ok_or_else(|| {
        let reason = format!("node {} is no member of this cluster", node.0);
        out_of_order(reason)
    })
}

/// The event that follows; `None` when it is so already.
fn node(state: &State, ask: &Ask) -> Result<Option<Event>, Denial> {
    Ok(Some(match ask {
        Ask::FoundCluster {
            cluster,
            origin,
            node,
        } => {
            if state.cluster().is_some() {
                return Err(exists("cluster"));
            }
            check_label("origin", origin)?;
            Event::ClusterFounded {
                cluster: *cluster,
                origin: origin.clone(),
                node: *node,
            }
        }
        Ask::StartNode {
            node,
            version,
            format,
        } => {
            check_member(state, *node)?;
            check_label("version", version)?;
            check_format(state, *format)?;
            Event::NodeStarted {
                node: *node,
                version: version.clone(),
                format: *format,
            }
        }
        Ask::StopNode { node } => {
            check_member(state, *node)?;
            Event::NodeStopped { node: *node }
        }
        Ask::AddLogKey { node, public_key } => {
            check_member(state, *node)?;
            if state
                .log_key(*node)
                .is_some_and(|key| key.public_key == *public_key)
            {
                return Ok(None);
            }
            if state
                .log_keys()
                .iter()
                .any(|key| key.public_key == *public_key)
            {
                return Err(exists("log key"));
            }
            Event::LogKeyAdded {
                node: *node,
                public_key: *public_key,
            }
        }
        Ask::AnchorAccessLog { node, size, root } => {
            return anchor(state, *node, *size, *root);
        }
        // The caller passes the asks above only.
        _ => return Err(Denial::NotPermitted),
    }))
}

/// The head of an access log only grows: a smaller or another one was rewritten.
fn anchor(state: &State, node: NodeId, size: u64, root: Hash) -> Result<Option<Event>, Denial> {
    check_member(state, node)?;
    match state.access_anchor(node) {
        Some(last) if last.size == size && last.root == root => Ok(None),
        Some(last) if last.size >= size => {
            let (node, size) = (node.0, last.size);
            let reason =
                format!("the access log of node {node} was anchored at size {size} already");
            Err(out_of_order(reason))
        }
        _ => Ok(Some(Event::AccessLogAnchored { node, size, root })),
    }
}

fn slot_or_export(state: &State, ask: &Ask) -> Result<Event, Denial> {
    match ask {
        Ask::AddSlot { name, kind } => {
            check_label("kind of the slot", kind)?;
            if state.slots().any(|(slot, _)| slot == name) {
                return Err(exists("slot"));
            }
            if state.slots().count() >= SLOTS_MAX {
                return Err(Denial::LimitReached {
                    limit: format!("{SLOTS_MAX} seal slots"),
                });
            }
            Ok(Event::SlotAdded {
                name: name.clone(),
                kind: kind.clone(),
            })
        }
        Ask::RemoveSlot { name } => {
            if !state.slots().any(|(slot, _)| slot == name) {
                return Err(out_of_order(format!("there is no seal slot {name}")));
            }
            if state.slots().count() == 1 {
                let reason = format!("{name} is the last seal slot; add another one first");
                return Err(out_of_order(reason));
            }
            Ok(Event::SlotRemoved { name: name.clone() })
        }
        Ask::RecordExport { size, root, digest } => {
            if *size > state.records() {
                let reason = format!("the log has {} records, not {size}", state.records());
                return Err(out_of_order(reason));
            }
            Ok(Event::LogExported {
                size: *size,
                root: *root,
                digest: *digest,
            })
        }
        // The caller passes the asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

fn user(state: &State, ask: &Ask) -> Result<Option<Event>, Denial> {
    Ok(Some(match ask {
        Ask::PutUser { name, groups } => {
            check_groups(groups)?;
            match state.user(name) {
                Some(user) if user.groups() == groups => return Ok(None),
                None if state.user_count() >= USERS_MAX => {
                    return Err(Denial::LimitReached {
                        limit: format!("{USERS_MAX} users"),
                    });
                }
                _ => Event::UserPut {
                    name: name.clone(),
                    groups: groups.clone(),
                },
            }
        }
        Ask::IssueCertificate {
            user,
            certificate,
            serial,
            not_after,
        } => {
            check_label("serial number", serial)?;
            let known = state.user(user).ok_or(Denial::UnknownUser)?;
            if state.certificate(certificate).is_some() {
                return Err(exists("certificate"));
            }
            if known.certificates().len() >= CERTIFICATES_PER_USER_MAX {
                let limit = format!("{CERTIFICATES_PER_USER_MAX} certificates of one user");
                return Err(Denial::LimitReached { limit });
            }
            Event::CertificateIssued {
                user: user.clone(),
                certificate: *certificate,
                serial: serial.clone(),
                not_after: *not_after,
            }
        }
        Ask::RevokeUser { name } => {
            state.user(name).ok_or(Denial::UnknownUser)?;
            Event::UserRevoked { name: name.clone() }
        }
        // The caller passes the asks above only.
        _ => return Err(Denial::NotPermitted),
    }))
}

fn check_groups(groups: &[Membership]) -> Result<(), Denial> {
    if groups.len() > GROUPS_PER_USER_MAX {
        let limit = format!("{GROUPS_PER_USER_MAX} groups of one user");
        return Err(Denial::LimitReached { limit });
    }
    let mut seen = BTreeSet::new();
    match groups
        .iter()
        .find(|membership| !seen.insert(&membership.group))
    {
        Some(twice) => {
            let reason = format!("group {} is given twice", twice.group);
            Err(Denial::InvalidField { reason })
        }
        None => Ok(()),
    }
}

fn set_policy(state: &State, policy: &KeyPolicy) -> Result<Option<Event>, Denial> {
    if state.policy() == policy {
        return Ok(None);
    }
    let bounded = [
        (
            "attributes per object",
            policy.attributes_per_object_max,
            ATTRIBUTES_PER_OBJECT_CEILING,
        ),
        (
            "bytes per value",
            policy.attribute_value_bytes_max,
            ATTRIBUTE_VALUE_BYTES_CEILING,
        ),
        (
            "bytes of material",
            policy.material_bytes_max,
            MATERIAL_BYTES_CEILING,
        ),
        (
            "bits of the shortest key",
            policy.key_bits_min,
            KEY_BITS_MIN_CEILING,
        ),
    ];
    for (what, value, ceiling) in bounded {
        if value > ceiling {
            let reason = format!("{what}: {value}; at most {ceiling} can be set");
            return Err(Denial::InvalidField { reason });
        }
    }
    Ok(Some(Event::KeyPolicySet {
        policy: policy.clone(),
    }))
}

fn set_offline_get(
    state: &State,
    group: Option<&Name>,
    limit: OfflineGet,
) -> Result<Option<Event>, Denial> {
    let known = state
        .offline_groups()
        .any(|(known, _)| Some(known) == group);
    if (known || group.is_none()) && state.offline_get_of(group) == limit {
        return Ok(None);
    }
    if group.is_some() && !known && state.offline_groups().count() >= OFFLINE_GROUPS_MAX {
        let limit = format!("{OFFLINE_GROUPS_MAX} groups with a limit of their own");
        return Err(Denial::LimitReached { limit });
    }
    Ok(Some(Event::OfflineGetSet {
        group: group.cloned(),
        limit,
    }))
}

fn phase(state: &State, epoch: Epoch) -> Result<EpochPhase, Denial> {
    match state.epoch_record(epoch) {
        Some(record) => Ok(record.phase),
        None => Err(out_of_order(format!("there is no epoch {}", epoch.0))),
    }
}

/// One epoch at a time: the KEK of the last one is gone before the next is made, so that no more
/// than two can ever seal an object.
fn open_epoch(state: &State, epoch: Epoch, kek: Option<Hash>) -> Result<Event, Denial> {
    let next = Epoch(state.epoch().0.saturating_add(1));
    if epoch != next {
        return Err(out_of_order(format!(
            "the next epoch is {}, not {}",
            next.0, epoch.0
        )));
    }
    let unfinished = state
        .epochs()
        .find(|(_, record)| !matches!(record.phase, EpochPhase::Current | EpochPhase::Retired));
    if let Some((old, _)) = unfinished {
        return Err(out_of_order(format!("epoch {} is not retired yet", old.0)));
    }
    if kek.is_some() && state.epochs().any(|(_, record)| record.kek == kek) {
        return Err(exists("KEK"));
    }
    Ok(Event::EpochOpened { epoch, kek })
}

fn confirm_reseal(state: &State, node: NodeId, epoch: Epoch) -> Result<Option<Event>, Denial> {
    check_member(state, node)?;
    match phase(state, epoch)? {
        EpochPhase::Leaving => {}
        EpochPhase::Current => {
            return Err(out_of_order(format!(
                "epoch {} is the current one",
                epoch.0
            )));
        }
        EpochPhase::AwaitingRetire | EpochPhase::Retired => return Ok(None),
    }
    let done = state
        .epoch_record(epoch)
        .is_some_and(|record| record.resealed.contains(&node));
    Ok((!done).then_some(Event::ResealConfirmed { node, epoch }))
}

fn retire_epoch(state: &State, epoch: Epoch) -> Result<Event, Denial> {
    if phase(state, epoch)? != EpochPhase::Leaving {
        let reason = format!("epoch {} is not one that is being left", epoch.0);
        return Err(out_of_order(reason));
    }
    let resealed = state.epoch_record(epoch).map(|record| &record.resealed);
    let missing = state
        .key_keepers()
        .find(|(id, _)| resealed.is_none_or(|done| !done.contains(id)));
    match missing {
        Some((id, _)) => {
            let reason = format!("node {} has not left epoch {} yet", id.0, epoch.0);
            Err(out_of_order(reason))
        }
        None => Ok(Event::EpochRetired { epoch }),
    }
}

/// The last confirmation brings the proof of destruction with it.
fn confirm_retire(state: &State, node: NodeId, epoch: Epoch) -> Result<Vec<Event>, Denial> {
    check_member(state, node)?;
    match phase(state, epoch)? {
        EpochPhase::AwaitingRetire => {}
        EpochPhase::Retired => return Ok(vec![]),
        EpochPhase::Current | EpochPhase::Leaving => {
            return Err(out_of_order(format!(
                "epoch {} is not being retired",
                epoch.0
            )));
        }
    }
    let mut done = state
        .epoch_record(epoch)
        .map(|r| r.retired_by.clone())
        .unwrap_or_default();
    if !done.insert(node) {
        return Ok(vec![]);
    }
    let mut events = vec![Event::RetireConfirmed { node, epoch }];
    if state.key_keepers().all(|(id, _)| done.contains(&id)) {
        events.extend(destroy_final(state, epoch, &done));
    }
    Ok(events)
}

/// The proof of destruction, when a change of members leaves nobody whose confirmation of a
/// retired epoch is missing. `keepers` are those that must have confirmed after the change.
pub(super) fn finish_retirement(
    state: &State,
    keepers: impl IntoIterator<Item = NodeId>,
) -> Vec<Event> {
    let ending = state
        .epochs()
        .find(|(_, record)| record.phase == EpochPhase::AwaitingRetire);
    let Some((epoch, record)) = ending else {
        return vec![];
    };
    if keepers
        .into_iter()
        .all(|id| record.retired_by.contains(&id))
    {
        destroy_final(state, epoch, &record.retired_by)
    } else {
        vec![]
    }
}

/// One event at least, also when nothing was destroyed: the KEK of the epoch is gone.
fn destroy_final(state: &State, epoch: Epoch, done: &BTreeSet<NodeId>) -> Vec<Event> {
    // Earlier epochs were retired, with all that was destroyed under them, before this one opened.
    let objects: Vec<Uid> = state.awaiting_final_of(epoch).copied().collect();
    let nodes: Vec<NodeId> = done.iter().copied().collect();
    let event = |objects: &[Uid]| Event::DestroyFinal {
        epoch,
        objects: objects.to_vec(),
        nodes: nodes.clone(),
    };
    if objects.is_empty() {
        return vec![event(&[])];
    }
    objects.chunks(FINAL_PER_EVENT_MAX).map(event).collect()
}
