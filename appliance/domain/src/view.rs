//! The two logs as operators read them: which of the four named logs a record belongs to, and one
//! line of text for each.

use crate::attribute::{shape, tag};
use crate::{Access, AccessRecord, Actor, Attribute, AttributeName, Cause, Door, Event, Instance};
use crate::{Destination, DoorIdentity, RotationCause, Stream, TransferOutcome};
use crate::{ObjectType, Permissions, Record, Stale, Tag, Value, algorithm};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use serde::{Deserialize, Serialize};

/// The four log names that operators know; each is a view over the two logs.
///
/// *Warning:* stored in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum View {
    /// The appliance: nodes, settings, epochs, slots, checkpoints, exports.
    System,
    /// Changes that people and clients asked for, and refusals of those.
    Audit,
    /// What KMIP clients read.
    Activity,
    /// Refusals, malformed messages and failures that clients met.
    Client,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 4] = [Self::System, Self::Audit, Self::Activity, Self::Client];

    /// The name under which commands and screens show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Audit => "audit",
            Self::Activity => "activity",
            Self::Client => "client",
        }
    }

    /// Reads that name; the client event log has a long one too, as operators know it.
    pub fn parse(text: &str) -> Option<Self> {
        let name = match text {
            "clientevent" => "client",
            name => name,
        };
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// The view that a record of the cluster log belongs to.
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::ClusterFounded { .. }
            | Event::NodeStarted { .. }
            | Event::NodeStopped { .. }
            | Event::LogKeyAdded { .. }
            | Event::AccessLogAnchored { .. }
            | Event::EpochOpened { .. }
            | Event::ResealConfirmed { .. }
            | Event::EpochRetired { .. }
            | Event::RetireConfirmed { .. }
            | Event::DestroyFinal { .. }
            | Event::SlotAdded { .. }
            | Event::SlotRemoved { .. }
            | Event::LogExported { .. }
            | Event::NodeIdentified { .. }
            | Event::JoinRequested { .. }
            | Event::NodeAdmitted { .. }
            | Event::MemberConfirmed { .. }
            | Event::NodeLeaving { .. }
            | Event::NodeRemoved { .. }
            | Event::ClusterCaRotated { .. }
            | Event::LineageForked { .. }
            | Event::ScrubBegun { .. }
            | Event::ScrubReported { .. }
            | Event::DivergenceFound { .. }
            | Event::Repaired { .. }
            | Event::SettingChanged { .. }
            | Event::LogRotated { .. }
            | Event::LogTransferred { .. }
            | Event::IdentityRenewed { .. }
            | Event::ClockSet { .. } => Self::System,
            Event::UserPut { .. }
            | Event::CertificateIssued { .. }
            | Event::UserRevoked { .. }
            | Event::ObjectCreated { .. }
            | Event::ObjectActivated { .. }
            | Event::ObjectDeactivated { .. }
            | Event::ObjectRevoked { .. }
            | Event::ObjectDestroyed { .. }
            | Event::AttributeAdded { .. }
            | Event::AttributeModified { .. }
            | Event::AttributeDeleted { .. }
            | Event::KeyPolicySet { .. }
            | Event::TicketIssued { .. }
            | Event::JoinDenied { .. }
            | Event::ObjectSalvaged { .. }
            | Event::DivergenceResolved { .. }
            | Event::OfflineGetSet { .. }
            | Event::AdministratorPut { .. }
            | Event::PasswordChanged { .. }
            | Event::SshKeysSet { .. }
            | Event::PermissionsSet { .. }
            | Event::AdministratorRemoved { .. }
            | Event::DestinationPut { .. }
            | Event::DestinationRemoved { .. }
            | Event::Refused { .. } => Self::Audit,
        }
    }

    /// The view that a record of an access log belongs to.
    pub const fn of_access(access: &Access) -> Self {
        match access {
            Access::Released { .. }
            | Access::AttributesRead { .. }
            | Access::Located { .. }
            | Access::Asked { .. } => Self::Activity,
            Access::SelfTested { .. } => Self::System,
            Access::Refused { .. } | Access::Malformed { .. } | Access::Failed { .. } => {
                Self::Client
            }
        }
    }
}

/// Characters of one foreign text in a summary line; the record has all of it.
const TEXT_CHARS_MAX: usize = 80;

/// One line for people. Nothing in it can break out of the line (ABUSE A31).
pub fn summary(record: &Record) -> String {
    let mut line = who(&record.actor);
    line.push(' ');
    line.push_str(&happened(&record.event));
    line
}

/// One line for people, of a record of an access log.
pub fn access_summary(record: &AccessRecord) -> String {
    let who = who(&record.actor);
    match &record.access {
        Access::Released { uid, stale } => format!("{who} got {uid}{}", without_quorum(*stale)),
        Access::AttributesRead { uid, stale } => {
            format!("{who} read attributes of {uid}{}", without_quorum(*stale))
        }
        Access::Located { found, stale } => {
            let found = counted(*found, "object");
            format!("{who} located {found}{}", without_quorum(*stale))
        }
        Access::Asked { operation } => format!("{who} asked {}", shown(operation)),
        Access::Refused {
            operation,
            object,
            denial,
        } => {
            let operation = shown(operation);
            let object = object
                .as_ref()
                .map(|o| format!(" of {}", shown(o)))
                .unwrap_or_default();
            format!(
                "{who} was refused {operation}{object}: {}",
                shown(&denial.to_string())
            )
        }
        Access::Malformed { reason, count } => {
            let times = if *count == 1 {
                String::new()
            } else {
                format!(" ({count} times)")
            };
            format!("{who} sent something malformed: {}{times}", shown(reason))
        }
        Access::SelfTested { tests, failed } => {
            let tests = counted(*tests, "self-test");
            match failed.as_slice() {
                [] => format!("{who} ran {tests}: all passed"),
                failed => format!("{who} ran {tests}: FAILED {}", shown(&failed.join("; "))),
            }
        }
        Access::Failed { operation, reason } => {
            format!(
                "{who} met a failure of {}: {}",
                shown(operation),
                shown(reason)
            )
        }
    }
}

fn without_quorum(stale: Option<Stale>) -> String {
    let told = |stale: Stale| format!(", {} s after the last quorum", stale.age_seconds);
    stale.map(told).unwrap_or_default()
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::User { name, .. } => name.to_string(),
        Actor::Operator { name, door } => {
            let door = match door {
                Door::Kmip => "kmip",
                Door::Socket => "socket",
                Door::Console => "console",
                Door::Ssh => "ssh",
                Door::Web => "web",
                Door::Scheduler => "scheduler",
            };
            format!("operator {} ({door})", shown(name))
        }
        Actor::Node(node) => format!("node {}", node.0),
        Actor::Unknown { source } => format!("somebody at {}", shown(source)),
    }
}

fn happened(event: &Event) -> String {
    match event {
        Event::ClusterFounded { cluster, node, .. } => {
            format!("founded cluster {cluster} on node {}", node.0)
        }
        Event::NodeStarted { node, version, .. } => {
            format!("started node {} ({})", node.0, shown(version))
        }
        Event::NodeStopped { node } => format!("stopped node {}", node.0),
        Event::LogKeyAdded { node, public_key } => {
            format!("added log key {public_key} of node {}", node.0)
        }
        Event::AccessLogAnchored { node, size, root } => {
            format!(
                "anchored the access log of node {} at size {size}, root {root}",
                node.0
            )
        }
        Event::EpochOpened { epoch, .. } => format!("opened epoch {}", epoch.0),
        Event::ResealConfirmed { node, epoch } => {
            format!("confirmed that node {} left epoch {}", node.0, epoch.0)
        }
        Event::EpochRetired { epoch } => format!("retired epoch {}", epoch.0),
        Event::RetireConfirmed { node, epoch } => {
            format!(
                "confirmed that node {} destroyed the key of epoch {}",
                node.0, epoch.0
            )
        }
        Event::DestroyFinal {
            epoch,
            objects,
            nodes,
        } => {
            let objects = counted(objects.len(), "object");
            let nodes = counted(nodes.len(), "node");
            format!(
                "ended epoch {} on {nodes}: {objects} destroyed for good",
                epoch.0
            )
        }
        Event::SlotAdded { name, kind } => format!("added seal slot {name} ({})", shown(kind)),
        Event::SlotRemoved { name } => format!("removed seal slot {name}"),
        Event::LogExported { size, .. } => format!("exported {size} records"),
        Event::Refused { ask, uid, denial } => {
            let uid = uid.map(|uid| format!(" of {uid}")).unwrap_or_default();
            format!(
                "was refused {}{uid}: {}",
                shown(ask),
                shown(&denial.to_string())
            )
        }
        _ => happened_to_members(event)
            .or_else(|| happened_to_agreement(event))
            .or_else(|| happened_to_user(event))
            .or_else(|| happened_to_appliance(event))
            .unwrap_or_else(|| happened_to_object(event)),
    }
}

/// What happened to the membership.
fn happened_to_members(event: &Event) -> Option<String> {
    Some(match event {
        Event::NodeIdentified {
            node, key, address, ..
        } => format!(
            "stated that node {} at {} has key {key}",
            node.0,
            shown(address)
        ),
        Event::TicketIssued { ticket, .. } => format!("issued join ticket {ticket}"),
        Event::JoinRequested { ticket, candidate } => format!(
            "asked with ticket {ticket} to let in the {} at {} with key {}",
            candidate.role.name(),
            shown(&candidate.address),
            candidate.key
        ),
        Event::JoinDenied { key } => format!("turned away the node with key {key}"),
        Event::NodeAdmitted {
            node,
            candidate,
            replaces,
        } => {
            let instead = replaces
                .map(|old| format!(" in place of node {}", old.0))
                .unwrap_or_default();
            format!(
                "let in node {}{instead}, a {} at {} with key {}",
                node.0,
                candidate.role.name(),
                shown(&candidate.address),
                candidate.key
            )
        }
        Event::MemberConfirmed { node, role } => {
            format!("confirmed that node {} is a {}", node.0, role.name())
        }
        Event::NodeLeaving { node } => format!("began to remove node {}", node.0),
        Event::NodeRemoved { node } => format!("removed node {}", node.0),
        Event::ClusterCaRotated { ca } => format!("rotated the cluster CA to {ca}"),
        Event::LineageForked {
            lineage,
            node,
            lost,
            ..
        } => {
            let lost = match lost {
                0 => "an unknown number of records may be lost".to_string(),
                n => format!("{} may be lost", counted(*n, "record")),
            };
            format!("began lineage {lineage} with node {} alone; {lost}", node.0)
        }
        _ => return None,
    })
}

/// What was found about agreement between the members.
fn happened_to_agreement(event: &Event) -> Option<String> {
    Some(match event {
        Event::ScrubBegun { scrub } => format!("began scrub {scrub}"),
        Event::ScrubReported {
            node, scrub, state, ..
        } => format!(
            "reported state {state} of node {} for scrub {scrub}",
            node.0
        ),
        Event::DivergenceFound {
            size, node, other, ..
        } => format!(
            "found that nodes {} and {} differ at size {size}: changes stop",
            node.0, other.0
        ),
        Event::DivergenceResolved { reason } => {
            format!("resolved the divergence: {}", shown(reason))
        }
        Event::Repaired { node, what, items } => {
            let pieces = counted(*items, "piece");
            format!("repaired {pieces} of {} on node {}", shown(what), node.0)
        }
        _ => return None,
    })
}

/// What happened to a user or to what users may do.
fn happened_to_user(event: &Event) -> Option<String> {
    Some(match event {
        Event::UserPut { name, groups } if groups.is_empty() => format!("put user {name}"),
        Event::UserPut { name, groups } => {
            let groups: Vec<&str> = groups.iter().map(|m| m.group.as_str()).collect();
            format!("put user {name} in {}", groups.join(", "))
        }
        Event::CertificateIssued { user, serial, .. } => {
            format!("issued certificate {} to {user}", shown(serial))
        }
        Event::UserRevoked { name } => format!("revoked the certificates of {name}"),
        Event::OfflineGetSet { group, limit } => match group {
            Some(group) => format!("set Get without a quorum for group {group}: {limit}"),
            None => format!("set Get without a quorum: {limit}"),
        },
        Event::KeyPolicySet { policy } => format!(
            "set key policy: {} objects per owner, {} attributes, {} bytes per value, \
             {} bytes of material, {} bits at least",
            policy.objects_per_owner_max,
            policy.attributes_per_object_max,
            policy.attribute_value_bytes_max,
            policy.material_bytes_max,
            policy.key_bits_min,
        ),
        _ => return None,
    })
}

/// What happened to the settings.
fn happened_to_appliance(event: &Event) -> Option<String> {
    Some(match event {
        Event::SettingChanged { node, id, value } => {
            let whose = node
                .map(|node| format!(" of node {}", node.0))
                .unwrap_or_default();
            format!("set {}{whose} to \"{}\"", shown(id), shown(value))
        }
        Event::IdentityRenewed { node, identity } => {
            let is = match identity {
                DoorIdentity::SshHostKey { was, is } => format!("{is}, before {was}"),
                DoorIdentity::ServerCertificate {
                    certificate,
                    serial,
                    ..
                } => format!("serial number {}, SHA-256 {certificate}", shown(serial)),
            };
            format!("renewed the {} of node {}: {is}", identity.name(), node.0)
        }
        Event::ClockSet { node, was, is } => {
            let seconds = is.0.saturating_sub(was.0) / 1_000;
            let (way, seconds) = match seconds {
                back @ ..0 => ("back", back.unsigned_abs()),
                ahead => ("forward", ahead.unsigned_abs()),
            };
            format!("set the clock of node {} {way} by {seconds} s", node.0)
        }
        _ => return happened_to_administrator(event),
    })
}

/// What happened to those who may change the settings.
fn happened_to_administrator(event: &Event) -> Option<String> {
    Some(match event {
        Event::AdministratorPut {
            name,
            password,
            ssh_keys,
            permissions,
            ..
        } => {
            let password = match password {
                Some(_) => "a password",
                None => "no password",
            };
            let keys = counted(ssh_keys.len(), "SSH key");
            let may = permissions.map(allowed).unwrap_or_default();
            format!("put administrator {name} with {password} and {keys}{may}")
        }
        Event::PasswordChanged {
            name, must_change, ..
        } => {
            let how = if *must_change { "reset" } else { "changed" };
            format!("{how} the password of administrator {name}")
        }
        Event::SshKeysSet { name, ssh_keys } => {
            let keys = counted(ssh_keys.len(), "SSH key");
            format!("set {keys} of administrator {name}")
        }
        Event::PermissionsSet { name, permissions } => {
            let may = allowed(*permissions);
            format!("set the permissions of administrator {name}{may}")
        }
        Event::AdministratorRemoved { name } => format!("removed administrator {name}"),
        _ => return happened_to_closed_logs(event),
    })
}

/// What was closed, where it goes, and whether it arrived.
fn happened_to_closed_logs(event: &Event) -> Option<String> {
    Some(match event {
        Event::LogRotated {
            node,
            log,
            number,
            from,
            size,
            cause,
            ..
        } => {
            let stream = Stream::of(*log, *node);
            let records = counted(size.saturating_sub(*from), "record");
            let why = match cause {
                RotationCause::Schedule => "its time came",
                RotationCause::Size => "it was large enough",
                RotationCause::Asked => "as asked",
            };
            format!("closed log {stream} number {number} over {records}: {why}")
        }
        Event::DestinationPut { name, destination } => {
            let Destination { address, user, .. } = destination;
            let (address, user) = (shown(address), shown(user));
            let directory = shown(&destination.directory);
            let logs: Vec<&str> = destination.logs.iter().map(|log| log.name()).collect();
            let age = match destination.recipients.len() {
                0 => String::new(),
                n => format!(", encrypted to {}", counted(n, "recipient")),
            };
            let off = if destination.enabled { "" } else { ", off" };
            let logs = logs.join(", ");
            format!(
                "put transfer destination {name}: {user}@{address}, {directory}: {logs}{age}{off}"
            )
        }
        Event::DestinationRemoved { name } => format!("removed transfer destination {name}"),
        Event::LogTransferred {
            node,
            destination,
            log,
            number,
            outcome,
        } => {
            let stream = Stream::of(*log, *node);
            match outcome {
                TransferOutcome::Delivered { bytes, .. } => {
                    let bytes = counted(*bytes, "byte");
                    format!("delivered log {stream} number {number} to {destination}: {bytes}")
                }
                TransferOutcome::Failed { why, detail } => format!(
                    "could not deliver log {stream} number {number} to {destination} ({}): {}",
                    why.name(),
                    shown(detail)
                ),
            }
        }
        _ => return None,
    })
}

fn allowed(permissions: Permissions) -> String {
    match permissions {
        Permissions::ALL_OF_FORMAT_4 => ": everything".to_string(),
        Permissions::NONE => ": nothing".to_string(),
        some => format!(": {some}"),
    }
}

fn happened_to_object(event: &Event) -> String {
    match event {
        Event::ObjectCreated {
            uid,
            object_type,
            registered,
            state,
            attributes,
            ..
        } => {
            let verb = if *registered { "registered" } else { "created" };
            let kind = kind(*object_type, attributes);
            format!("{verb} {uid}, {kind}, {state}")
        }
        Event::ObjectSalvaged {
            uid,
            object_type,
            owner,
            state,
            attributes,
            from,
            ..
        } => {
            let kind = kind(*object_type, attributes);
            let from = from.0;
            format!("salvaged {uid} of {owner} from node {from}, {kind}, {state}")
        }
        Event::ObjectActivated { uid, cause } => format!("activated {uid}{}", because(*cause)),
        Event::ObjectDeactivated { uid, cause } => format!("deactivated {uid}{}", because(*cause)),
        Event::ObjectRevoked {
            uid,
            reason,
            message,
            state,
            ..
        } => {
            let message = message
                .as_ref()
                .map(|m| format!(": {}", shown(m)))
                .unwrap_or_default();
            format!(
                "revoked {uid} ({}), now {state}{message}",
                revocation_reason(*reason)
            )
        }
        Event::ObjectDestroyed { uid, state } => format!("destroyed {uid}, now {state}"),
        Event::AttributeAdded { uid, attribute, .. } => {
            format!("added {} to {uid}", named_value(attribute))
        }
        Event::AttributeModified { uid, attribute, .. } => {
            format!("modified {uid}: {}", named_value(attribute))
        }
        Event::AttributeDeleted { uid, name, which } => {
            let which = match which {
                Instance::Index(0) | Instance::Equal(_) => String::new(),
                Instance::Index(index) => format!(" ({index})"),
                Instance::All => " (all)".to_string(),
            };
            format!("deleted {}{which} of {uid}", shown(&name.to_string()))
        }
        // All others are told by the caller.
        _ => String::new(),
    }
}

fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::Asked => "",
        Cause::Schedule => ", its date came",
    }
}

/// Names of the Revocation Reason Code enumeration (KMIP 2.1 §11.49).
fn revocation_reason(code: u32) -> String {
    let name = match code {
        1 => "Unspecified",
        2 => "Key Compromise",
        3 => "CA Compromise",
        4 => "Affiliation Changed",
        5 => "Superseded",
        6 => "Cessation of Operation",
        7 => "Privilege Withdrawn",
        _ => return format!("reason {code:#x}"),
    };
    name.to_string()
}

/// The kind of an object, with algorithm, length and name where it has them.
fn kind(object_type: ObjectType, attributes: &[Attribute]) -> String {
    let find = |tag: Tag| {
        let name = AttributeName::Standard(tag);
        attributes.iter().find(|a| a.name == name).map(|a| &a.value)
    };
    let mut text = object_type.to_string();
    if let Some(Value::Enumeration(code)) = find(tag::CRYPTOGRAPHIC_ALGORITHM) {
        let name = algorithm::algorithm(*code).map_or("algorithm", |row| row.name);
        let _ = write!(text, " {name}");
        if let Some(Value::Integer(bits)) = find(tag::CRYPTOGRAPHIC_LENGTH) {
            let _ = write!(text, "-{bits}");
        }
    }
    if let Some(Value::Text(name)) = find(tag::NAME).and_then(|v| shape::field(v, tag::NAME_VALUE))
    {
        let _ = write!(text, " \"{}\"", shown(name));
    }
    text
}

fn named_value(attribute: &Attribute) -> String {
    let name = shown(&attribute.name.to_string());
    let value = match &attribute.value {
        Value::Text(text) => format!("\"{}\"", shown(text)),
        Value::Integer(n) => n.to_string(),
        Value::LongInteger(n) | Value::DateTime(n) | Value::DateTimeExtended(n) => n.to_string(),
        Value::Enumeration(n) | Value::Interval(n) => n.to_string(),
        Value::Boolean(b) => b.to_string(),
        Value::Bytes(bytes) | Value::BigInteger(bytes) => counted(bytes.len(), "byte"),
        Value::Structure(fields) => match fields.first() {
            Some((_, Value::Text(text))) => format!("\"{}\"", shown(text)),
            _ => counted(fields.len(), "field"),
        },
    };
    format!("{name} {value}")
}

fn counted(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// A foreign text, cut, with everything escaped that could end the line or turn it around.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_CHARS_MAX));
    for (at, c) in text.chars().enumerate() {
        if at == TEXT_CHARS_MAX {
            out.push('…');
            break;
        }
        if shape::is_forbidden(c) {
            let _ = write!(out, "\\u{{{:04x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_in_its_line() {
        assert_eq!(
            shown("a\nb\u{202e}c\u{7f}"),
            "a\\u{000a}b\\u{202e}c\\u{007f}"
        );
        assert_eq!(shown(&"x".repeat(200)).chars().count(), TEXT_CHARS_MAX + 1);
        let record = AccessRecord {
            v: 1,
            time: crate::Time(0),
            actor: Actor::Unknown {
                source: "1.2.3.4:5\r\nnode 1 got".into(),
            },
            seen: 0,
            access: Access::Malformed {
                reason: "tag\u{0}".into(),
                count: 3,
            },
        };
        assert_eq!(
            access_summary(&record),
            "somebody at 1.2.3.4:5\\u{000d}\\u{000a}node 1 got sent something malformed: \
             tag\\u{0000} (3 times)"
        );
    }

    #[test]
    fn view_names_read_back() {
        for view in View::ALL {
            assert_eq!(View::parse(view.name()), Some(view));
        }
        assert_eq!(View::parse("Audit"), None);
    }
}
