//! One value of every kind that stands in a log, and the names of their golden files.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of this"
)]

mod operators;
mod outcomes;

use crate::world::*;
use domain::*;
pub(crate) use operators::*;
pub(crate) use outcomes::*;

pub(crate) fn text(s: &str) -> Value {
    Value::Text(s.to_string())
}

pub(crate) fn material() -> Material {
    Material {
        commitment: hash(0xc0),
        epoch: Epoch(1),
        length_bytes: 32,
    }
}

/// One attribute of each item type.
pub(crate) fn every_item_type() -> Vec<Attribute> {
    let custom = |name: &str, value| Attribute::custom(name, value);
    let mut attributes = algorithm(AES, 256);
    attributes.push(Attribute::named("db-1"));
    attributes.push(date(tag::ACTIVATION_DATE, START));
    attributes.extend([
        custom("Integer", Value::Integer(-1)),
        custom("LongInteger", Value::LongInteger(1 << 40)),
        custom(
            "BigInteger",
            Value::BigInteger(vec![0, 0, 0, 0, 0, 0, 1, 0]),
        ),
        custom("Enumeration", Value::Enumeration(0x8000_0001)),
        custom("Boolean", Value::Boolean(true)),
        custom("Text", text("Grüße")),
        custom("Bytes", Value::Bytes(vec![0xde, 0xad])),
        custom("Interval", Value::Interval(3600)),
        custom(
            "DateTimeExtended",
            Value::DateTimeExtended(1_893_974_400_000_000),
        ),
    ]);
    attributes
}

/// The file name of a kind of event. A new kind does not compile until it is named here.
pub(crate) fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::ClusterFounded { .. } => "cluster-founded",
        Event::NodeStarted { .. } => "node-started",
        Event::NodeStopped { .. } => "node-stopped",
        Event::LogKeyAdded { .. } => "log-key-added",
        Event::AccessLogAnchored { .. } => "access-log-anchored",
        Event::UserPut { .. } => "user-put",
        Event::CertificateIssued { .. } => "certificate-issued",
        Event::UserRevoked { .. } => "user-revoked",
        Event::ObjectCreated { .. } => "object-created",
        Event::ObjectActivated { .. } => "object-activated",
        Event::ObjectDeactivated { .. } => "object-deactivated",
        Event::ObjectRevoked { .. } => "object-revoked",
        Event::ObjectDestroyed { .. } => "object-destroyed",
        Event::AttributeAdded { .. } => "attribute-added",
        Event::AttributeModified { .. } => "attribute-modified",
        Event::AttributeDeleted { .. } => "attribute-deleted",
        Event::EpochOpened { .. } => "epoch-opened",
        Event::ResealConfirmed { .. } => "reseal-confirmed",
        Event::EpochRetired { .. } => "epoch-retired",
        Event::RetireConfirmed { .. } => "retire-confirmed",
        Event::DestroyFinal { .. } => "destroy-final",
        Event::SlotAdded { .. } => "slot-added",
        Event::SlotRemoved { .. } => "slot-removed",
        Event::LogExported { .. } => "log-exported",
        Event::KeyPolicySet { .. } => "key-policy-set",
        Event::NodeIdentified { .. } => "node-identified",
        Event::TicketIssued { .. } => "ticket-issued",
        Event::JoinRequested { .. } => "join-requested",
        Event::JoinDenied { .. } => "join-denied",
        Event::NodeAdmitted { .. } => "node-admitted",
        Event::MemberConfirmed { .. } => "member-confirmed",
        Event::NodeLeaving { .. } => "node-leaving",
        Event::NodeRemoved { .. } => "node-removed",
        Event::ClusterCaRotated { .. } => "cluster-ca-rotated",
        Event::LineageForked { .. } => "lineage-forked",
        Event::ObjectSalvaged { .. } => "object-salvaged",
        Event::ScrubBegun { .. } => "scrub-begun",
        Event::ScrubReported { .. } => "scrub-reported",
        Event::DivergenceFound { .. } => "divergence-found",
        Event::DivergenceResolved { .. } => "divergence-resolved",
        Event::Repaired { .. } => "repaired",
        Event::OfflineGetSet { .. } => "offline-get-set",
        Event::SettingChanged { .. } => "setting-changed",
        Event::AdministratorPut { .. } => "administrator-put",
        Event::PasswordChanged { .. } => "password-changed",
        Event::SshKeysSet { .. } => "ssh-keys-set",
        Event::PermissionsSet { .. } => "permissions-set",
        Event::AdministratorRemoved { .. } => "administrator-removed",
        Event::LogRotated { .. } => "log-rotated",
        Event::DestinationPut { .. } => "destination-put",
        Event::DestinationRemoved { .. } => "destination-removed",
        Event::LogTransferred { .. } => "log-transferred",
        Event::IdentityRenewed { .. } => "identity-renewed",
        Event::ClockSet { .. } => "clock-set",
        Event::Refused { .. } => "refused",
    }
}

/// Kinds of events: the arms above.
pub(crate) const EVENT_KINDS: usize = 55;

pub(crate) fn events() -> Vec<Event> {
    let (node, epoch) = (NODE, Epoch(1));
    let mut events = vec![
        Event::ClusterFounded {
            cluster: ClusterId::from_bytes([7; 16]),
            origin: "strongroom/07/lineage-1".to_string(),
            node,
        },
        Event::NodeStarted {
            node,
            version: "0.1.0".to_string(),
            format: 1,
        },
        Event::NodeStopped { node },
        Event::LogKeyAdded {
            node,
            public_key: hash(1),
        },
        Event::AccessLogAnchored {
            node,
            size: 1000,
            root: hash(2),
        },
        Event::UserPut {
            name: name("bob"),
            groups: member("tape", GroupRole::Use),
        },
        Event::CertificateIssued {
            user: name("bob"),
            certificate: certificate("bob"),
            serial: "1f".to_string(),
            not_after: START,
        },
        Event::UserRevoked { name: name("bob") },
        Event::EpochOpened { epoch, kek: None },
        Event::ResealConfirmed { node, epoch },
        Event::EpochRetired { epoch },
        Event::RetireConfirmed { node, epoch },
        Event::DestroyFinal {
            epoch,
            objects: vec![uid(1), uid(2)],
            nodes: vec![node],
        },
        Event::SlotAdded {
            name: name("recovery"),
            kind: "passphrase".to_string(),
        },
        Event::SlotRemoved {
            name: name("recovery"),
        },
        Event::LogExported {
            size: 100_000,
            root: hash(3),
            digest: hash(4),
        },
        Event::KeyPolicySet {
            policy: KeyPolicy::default(),
        },
        Event::Refused {
            ask: "Destroy".to_string(),
            uid: Some(uid(1)),
            denial: Denial::WrongState {
                state: LifecycleState::Active,
            },
        },
    ];
    events.extend(object_events());
    events.extend(cluster_events());
    events.extend(appliance_events());
    events.extend(administrator_events());
    events.extend(transfer_events());
    events.extend(machine_events());
    events
}

/// A node that asks to join with a program of the format that brought the asking.
fn candidate(n: u64, role: MemberRole) -> Candidate {
    Candidate {
        format: 2,
        ..crate::world::candidate(n, role)
    }
}

/// What a cluster of several nodes brought: format 2.
pub(crate) fn cluster_events() -> Vec<Event> {
    let node = NodeId(2);
    vec![
        Event::NodeIdentified {
            node: NODE,
            key: node_key(1),
            sealing_key: vec![4; 97],
            address: "node-1.example:9001".to_string(),
        },
        Event::TicketIssued {
            ticket: hash(5),
            expires: START,
        },
        Event::JoinRequested {
            ticket: hash(5),
            candidate: candidate(2, MemberRole::Voter),
        },
        Event::JoinDenied { key: node_key(2) },
        Event::NodeAdmitted {
            node,
            candidate: candidate(2, MemberRole::Witness),
            replaces: Some(NODE),
        },
        Event::MemberConfirmed {
            node,
            role: MemberRole::Learner,
        },
        Event::NodeLeaving { node },
        Event::NodeRemoved { node },
        Event::ClusterCaRotated { ca: node_key(9) },
        Event::LineageForked {
            lineage: 2,
            node,
            origin: "strongroom/07/lineage-2".to_string(),
            lost: 3,
        },
        Event::ObjectSalvaged {
            uid: uid(1),
            object_type: ObjectType::SymmetricKey,
            owner: name("alice"),
            registered: true,
            material: material(),
            initial: START,
            state: LifecycleState::Active,
            attributes: every_item_type(),
            from: NODE,
        },
        Event::ScrubBegun { scrub: 1 },
        Event::ScrubReported {
            node,
            scrub: 1,
            state: hash(6),
            store: Some(hash(7)),
        },
        Event::DivergenceFound {
            size: 1000,
            node,
            root: hash(6),
            other: NODE,
            other_root: hash(8),
            scrub: Some(1),
        },
        Event::DivergenceResolved {
            reason: "node 2 had a bad disk".to_string(),
        },
        Event::Repaired {
            node,
            what: "segment".to_string(),
            items: 2,
        },
        Event::OfflineGetSet {
            group: Some(name("tape")),
            limit: OfflineGet::Seconds(3600),
        },
    ]
}

pub(crate) fn object_events() -> Vec<Event> {
    let uid = uid(1);
    let name = AttributeName::Standard(tag::NAME);
    vec![
        Event::ObjectCreated {
            uid,
            object_type: ObjectType::SymmetricKey,
            owner: crate::world::name("alice"),
            registered: false,
            material: material(),
            state: LifecycleState::PreActive,
            attributes: every_item_type(),
        },
        Event::ObjectActivated {
            uid,
            cause: Cause::Asked,
        },
        Event::ObjectDeactivated {
            uid,
            cause: Cause::Schedule,
        },
        Event::ObjectRevoked {
            uid,
            reason: 2,
            message: Some("lost".to_string()),
            compromise_occurred: Some(START),
            state: LifecycleState::Compromised,
        },
        Event::ObjectDestroyed {
            uid,
            state: LifecycleState::DestroyedCompromised,
        },
        Event::AttributeAdded {
            uid,
            index: 1,
            attribute: Attribute::named("db-2"),
        },
        Event::AttributeModified {
            uid,
            index: 0,
            attribute: group("tape"),
        },
        Event::AttributeDeleted {
            uid,
            name,
            which: Instance::Index(1),
        },
    ]
}

pub(crate) fn ask_kind(ask: &Ask) -> String {
    ask.name().to_lowercase().replace(' ', "-")
}

/// Kinds of asks; `Ask::name` matches all of them.
pub(crate) const ASK_KINDS: usize = 58;

pub(crate) fn asks() -> Vec<Ask> {
    let (node, epoch, uid) = (NODE, Epoch(1), uid(1));
    let mut asks = vec![
        Ask::FoundCluster {
            cluster: ClusterId::from_bytes([7; 16]),
            origin: "strongroom/07/lineage-1".to_string(),
            node,
        },
        Ask::StartNode {
            node,
            version: "0.1.0".to_string(),
            format: 1,
        },
        Ask::StopNode { node },
        Ask::AddLogKey {
            node,
            public_key: hash(1),
        },
        Ask::AnchorAccessLog {
            node,
            size: 1000,
            root: hash(2),
        },
        Ask::PutUser {
            name: name("bob"),
            groups: member("tape", GroupRole::Manage),
        },
        Ask::IssueCertificate {
            user: name("bob"),
            certificate: certificate("bob"),
            serial: "1f".to_string(),
            not_after: START,
        },
        Ask::RevokeUser { name: name("bob") },
        Ask::Create {
            attributes: every_item_type(),
        },
        Ask::Register {
            object_type: ObjectType::OpaqueObject,
            attributes: vec![Attribute::named("o")],
        },
        Ask::Activate { uid },
        Ask::Revoke {
            uid,
            reason: 2,
            message: Some("lost".to_string()),
            compromise_occurred: Some(START),
        },
        Ask::Destroy { uid },
        Ask::AddAttribute {
            uid,
            attribute: group("tape"),
        },
        Ask::ModifyAttribute {
            uid,
            index: Some(1),
            current: Some(group("tape")),
            attribute: group("disk"),
        },
        Ask::SetAttribute {
            uid,
            attribute: Attribute::standard(tag::DESCRIPTION, text("d")),
        },
        Ask::DeleteAttribute {
            uid,
            name: AttributeName::Standard(tag::NAME),
            which: Instance::Equal(text("n")),
        },
        Ask::ApplySchedule,
        Ask::OpenEpoch { epoch, kek: None },
        Ask::ConfirmReseal { node, epoch },
        Ask::RetireEpoch { epoch },
        Ask::ConfirmRetire { node, epoch },
        Ask::AddSlot {
            name: name("recovery"),
            kind: "passphrase".to_string(),
        },
        Ask::RemoveSlot {
            name: name("recovery"),
        },
        Ask::RecordExport {
            size: 100_000,
            root: hash(3),
            digest: hash(4),
        },
        Ask::SetKeyPolicy {
            policy: KeyPolicy::default(),
        },
    ];
    asks.extend(cluster_asks());
    asks.extend(appliance_asks());
    asks.extend(administrator_asks());
    asks.extend(transfer_asks());
    asks.extend(machine_asks());
    asks.push(aes256_for("bob", &[]));
    asks
}

/// What a cluster of several nodes brought: format 2.
pub(crate) fn cluster_asks() -> Vec<Ask> {
    let (node, key) = (NodeId(2), node_key(2));
    vec![
        Ask::IdentifyNode {
            node,
            key,
            sealing_key: vec![4; 97],
            address: "node-2.example:9001".to_string(),
        },
        Ask::IssueTicket {
            ticket: hash(5),
            expires: START,
        },
        Ask::RequestJoin {
            ticket: hash(5),
            candidate: candidate(2, MemberRole::Voter),
        },
        Ask::ApproveJoin { key },
        Ask::DenyJoin { key },
        Ask::Rejoin {
            old: node,
            candidate: candidate(3, MemberRole::Learner),
        },
        Ask::ConfirmMember {
            node,
            role: MemberRole::Voter,
        },
        Ask::RemoveNode { node },
        Ask::ConfirmRemoved { node },
        Ask::RotateClusterCa { ca: node_key(9) },
        Ask::ForkLineage {
            lineage: 2,
            node,
            origin: "strongroom/07/lineage-2".to_string(),
            lost: 3,
        },
        Ask::Salvage {
            uid: uid(1),
            object_type: ObjectType::SecretData,
            owner: name("alice"),
            registered: true,
            initial: START,
            state: LifecycleState::Deactivated,
            attributes: vec![Attribute::named("s")],
            from: NODE,
        },
        Ask::BeginScrub,
        Ask::ReportDigest {
            node,
            scrub: 1,
            state: hash(6),
            store: None,
        },
        Ask::ReportDivergence {
            size: 1000,
            node,
            root: hash(6),
            other: NODE,
            other_root: hash(8),
        },
        Ask::ResolveDivergence {
            reason: "node 2 had a bad disk".to_string(),
        },
        Ask::RecordRepair {
            node,
            what: "sealed store".to_string(),
            items: 2,
        },
        Ask::SetOfflineGet {
            group: None,
            limit: OfflineGet::Always,
        },
    ]
}
