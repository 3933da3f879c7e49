//! The bytes of every record and command, frozen.
//!
//! Ledgers are kept for ever and the Raft log outlives an upgrade, so what was written once must be
//! read for ever, and equal values must have equal bytes on every node. `tests/golden/*.cbor` are
//! those bytes; the `.txt` beside each shows them to people. A kind without a file fails here. With
//! `REGENERATE=1` *missing* files are written; a file that is there is never changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use world::*;

fn text(s: &str) -> Value {
    Value::Text(s.to_string())
}

fn material() -> Material {
    Material {
        commitment: hash(0xc0),
        epoch: Epoch(1),
        length_bytes: 32,
    }
}

/// One attribute of each item type.
fn every_item_type() -> Vec<Attribute> {
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
fn event_kind(event: &Event) -> &'static str {
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
        Event::Refused { .. } => "refused",
    }
}

/// Kinds of events: the arms above.
const EVENT_KINDS: usize = 43;

fn events() -> Vec<Event> {
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
    events
}

/// What a cluster of several nodes brought: format 2.
fn cluster_events() -> Vec<Event> {
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

fn object_events() -> Vec<Event> {
    let uid = uid(1);
    let name = AttributeName::Standard(tag::NAME);
    vec![
        Event::ObjectCreated {
            uid,
            object_type: ObjectType::SymmetricKey,
            owner: world::name("alice"),
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

fn access_kind(access: &Access) -> &'static str {
    match access {
        Access::Released { .. } => "released",
        Access::AttributesRead { .. } => "attributes-read",
        Access::Located { .. } => "located",
        Access::Asked { .. } => "asked",
        Access::Refused { .. } => "refused",
        Access::Malformed { .. } => "malformed",
        Access::Failed { .. } => "failed",
    }
}

/// Kinds of access records: the arms above.
const ACCESS_KINDS: usize = 7;

fn accesses() -> Vec<Access> {
    vec![
        Access::Released {
            uid: uid(1),
            stale: None,
        },
        Access::AttributesRead {
            uid: uid(1),
            stale: None,
        },
        Access::Located {
            found: 3,
            stale: None,
        },
        Access::Asked {
            operation: "Query".to_string(),
        },
        Access::Refused {
            operation: "Get".to_string(),
            object: Some("no-such-key".to_string()),
            denial: Denial::NotFound { forbidden: true },
        },
        Access::Malformed {
            reason: "length beyond the message".to_string(),
            count: 2,
        },
        Access::Failed {
            operation: "Get".to_string(),
            reason: "disk".to_string(),
        },
    ]
}

fn denial_kind(denial: &Denial) -> &'static str {
    match denial {
        Denial::NotFound { .. } => "not-found",
        Denial::NotPermitted => "not-permitted",
        Denial::UnknownUser => "unknown-user",
        Denial::CertificateNotAccepted => "certificate-not-accepted",
        Denial::WrongState { .. } => "wrong-state",
        Denial::Destroyed => "destroyed",
        Denial::AlreadyExists { .. } => "already-exists",
        Denial::AttributeReadOnly { .. } => "attribute-read-only",
        Denial::AttributeNotFound { .. } => "attribute-not-found",
        Denial::AttributeSingleInstance { .. } => "attribute-single-instance",
        Denial::AttributeMultiInstance { .. } => "attribute-multi-instance",
        Denial::AttributeUnknown { .. } => "attribute-unknown",
        Denial::AttributeMissing { .. } => "attribute-missing",
        Denial::InvalidField { .. } => "invalid-field",
        Denial::Sensitive => "sensitive",
        Denial::NotExtractable => "not-extractable",
        Denial::NotQuantumSafe => "not-quantum-safe",
        Denial::LimitReached { .. } => "limit-reached",
        Denial::StaleEpoch { .. } => "stale-epoch",
        Denial::OutOfOrder { .. } => "out-of-order",
        Denial::Diverged => "diverged",
        Denial::NeedsNewerMembers { .. } => "needs-newer-members",
        Denial::Downgrade { .. } => "downgrade",
        Denial::TooStale { .. } => "too-stale",
    }
}

/// Kinds of denials: the arms above.
const DENIAL_KINDS: usize = 24;

fn denials() -> Vec<Denial> {
    let name = AttributeName::Standard(tag::NAME);
    let reason = "because".to_string();
    vec![
        Denial::NotFound { forbidden: false },
        Denial::NotPermitted,
        Denial::UnknownUser,
        Denial::CertificateNotAccepted,
        Denial::WrongState {
            state: LifecycleState::Deactivated,
        },
        Denial::Destroyed,
        Denial::AlreadyExists {
            what: "name".to_string(),
        },
        Denial::AttributeReadOnly { name: name.clone() },
        Denial::AttributeNotFound {
            name: AttributeName::Vendor {
                vendor: "x".to_string(),
                name: "Slot".to_string(),
            },
        },
        Denial::AttributeSingleInstance { name: name.clone() },
        Denial::AttributeMultiInstance { name: name.clone() },
        Denial::AttributeUnknown { name: name.clone() },
        Denial::AttributeMissing { name },
        Denial::InvalidField {
            reason: reason.clone(),
        },
        Denial::Sensitive,
        Denial::NotExtractable,
        Denial::NotQuantumSafe,
        Denial::LimitReached {
            limit: "1 objects of one owner".to_string(),
        },
        Denial::StaleEpoch { current: Epoch(2) },
        Denial::OutOfOrder { reason },
        Denial::Diverged,
        Denial::NeedsNewerMembers {
            needs: 2,
            node: NODE,
            has: 1,
        },
        Denial::Downgrade {
            format: 1,
            needs: 2,
        },
        Denial::TooStale {
            age_seconds: 90_000,
            limit: OfflineGet::Seconds(86_400),
        },
    ]
}

fn ask_kind(ask: &Ask) -> String {
    ask.name().to_lowercase().replace(' ', "-")
}

/// Kinds of asks; `Ask::name` matches all of them.
const ASK_KINDS: usize = 44;

fn asks() -> Vec<Ask> {
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
    asks
}

/// What a cluster of several nodes brought: format 2.
fn cluster_asks() -> Vec<Ask> {
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

/// Compares a value with its golden file, both ways, and the text beside it.
fn check<T>(file: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (bytes_file, text_file) = (
        folder.join(format!("{file}.cbor")),
        folder.join(format!("{file}.txt")),
    );
    let bytes = codec::to_vec(value);
    let shown = annotate(&bytes);
    if std::env::var_os("REGENERATE").is_some() && !bytes_file.exists() {
        std::fs::write(&bytes_file, &bytes).unwrap();
        std::fs::write(&text_file, &shown).unwrap();
    }
    let golden = std::fs::read(&bytes_file)
        .unwrap_or_else(|_| panic!("{file}: no golden file; REGENERATE=1 writes a new one"));
    assert_eq!(
        bytes, golden,
        "{file}: the bytes changed; old ledgers have the old ones\n{shown}"
    );
    assert_eq!(&codec::from_slice::<T>(&golden).unwrap(), value, "{file}");
    assert_eq!(
        std::fs::read_to_string(&text_file).unwrap(),
        shown,
        "{file}.txt"
    );
}

fn count<K: Ord>(kinds: impl Iterator<Item = K>) -> usize {
    kinds.collect::<BTreeSet<_>>().len()
}

#[test]
fn every_event_has_its_golden_record() {
    assert_eq!(count(events().iter().map(event_kind)), EVENT_KINDS);
    let actors = [
        user("alice"),
        operator(),
        Actor::Node(NODE),
        Actor::Unknown {
            source: "203.0.113.9:1".to_string(),
        },
    ];
    for (event, actor) in events().into_iter().zip(actors.into_iter().cycle()) {
        let file = format!("event-{}", event_kind(&event));
        check(
            &file,
            &Record {
                v: 1,
                entry: 300,
                time: START,
                actor,
                event,
                once: None,
            },
        );
    }
}

#[test]
fn every_access_has_its_golden_record() {
    assert_eq!(count(accesses().iter().map(access_kind)), ACCESS_KINDS);
    for access in accesses() {
        let file = format!("access-{}", access_kind(&access));
        let actor = user("alice");
        check(
            &file,
            &AccessRecord {
                v: 1,
                time: START,
                actor,
                seen: 1_000_000,
                access,
            },
        );
    }
}

#[test]
fn every_denial_has_its_golden_form() {
    assert_eq!(count(denials().iter().map(denial_kind)), DENIAL_KINDS);
    for denial in denials() {
        check(&format!("denial-{}", denial_kind(&denial)), &denial);
    }
}

#[test]
fn every_ask_has_its_golden_command() {
    assert_eq!(count(asks().iter().map(ask_kind)), ASK_KINDS);
    let facts = Facts {
        uid: Some(uid(1)),
        material: Some(material()),
        ..Facts::default()
    };
    for (ask, facts) in asks()
        .into_iter()
        .zip([facts, Facts::default()].into_iter().cycle())
    {
        let file = format!("ask-{}", ask_kind(&ask));
        check(
            &file,
            &Command {
                actor: user("alice"),
                time: START,
                ask,
                facts,
            },
        );
    }
}

/// Fields that came later to kinds that were there before.
#[test]
fn later_fields_have_their_golden_forms() {
    let record = |event, once| Record {
        v: 1,
        entry: 300,
        time: START,
        actor: user("alice"),
        event,
        once,
    };
    let started = Event::NodeStarted {
        node: NODE,
        version: "0.3.0".to_string(),
        format: 2,
    };
    check("later-node-started-format", &record(started, None));
    let opened = Event::EpochOpened {
        epoch: Epoch(2),
        kek: Some(hash(9)),
    };
    check("later-epoch-opened-kek", &record(opened, None));
    let destroyed = Event::ObjectDestroyed {
        uid: uid(1),
        state: LifecycleState::Destroyed,
    };
    check("later-record-once", &record(destroyed, Some(hash(10))));

    let command = |ask, facts| Command {
        actor: user("alice"),
        time: START,
        ask,
        facts,
    };
    let open = Ask::OpenEpoch {
        epoch: Epoch(2),
        kek: Some(hash(9)),
    };
    check("later-ask-open-epoch-kek", &command(open, Facts::default()));
    check(
        "later-ask-start-node-format",
        &command(start(NODE), Facts::default()),
    );
    let facts = Facts {
        uid: Some(uid(1)),
        material: Some(material()),
        once: Some(hash(10)),
        node: Some(NODE),
    };
    check("later-facts-once-node", &command(aes256(&[]), facts));

    let stale = Some(Stale { age_seconds: 60 });
    let accesses = [
        Access::Released { uid: uid(1), stale },
        Access::AttributesRead { uid: uid(1), stale },
        Access::Located { found: 3, stale },
    ];
    for access in accesses {
        let file = format!("later-access-{}-stale", access_kind(&access));
        let record = AccessRecord {
            v: 1,
            time: START,
            actor: user("alice"),
            seen: 1_000_000,
            access,
        };
        assert!(access_summary(&record).ends_with(", 60 s after the last quorum"));
        check(&file, &record);
    }
}

/// Golden files of the test above.
const LATER_FORMS: usize = 9;

#[test]
fn no_golden_file_is_left_over() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        files,
        2 * (EVENT_KINDS + ACCESS_KINDS + DENIAL_KINDS + ASK_KINDS + LATER_FORMS)
    );
}

#[test]
fn every_record_has_one_line_for_people() {
    for event in events() {
        let record = Record {
            v: 1,
            entry: 1,
            time: START,
            actor: user("alice"),
            event,
            once: None,
        };
        let line = summary(&record);
        assert!(
            line.starts_with("alice ") && line.len() > "alice ".len() + 4,
            "{line}"
        );
    }
    let line = |event: &Event| {
        summary(&Record {
            v: 1,
            entry: 1,
            time: START,
            actor: user("alice"),
            event: event.clone(),
            once: None,
        })
    };
    let lines: Vec<String> = object_events().iter().map(line).collect();
    let id = uid(1);
    assert_eq!(
        lines,
        [
            format!("alice created {id}, Symmetric Key AES-256 \"db-1\", pre-active"),
            format!("alice activated {id}"),
            format!("alice deactivated {id}, its date came"),
            format!("alice revoked {id} (Key Compromise), now compromised: lost"),
            format!("alice destroyed {id}, now destroyed (compromised)"),
            format!("alice added Name \"db-2\" to {id}"),
            format!("alice modified {id}: Object Group \"tape\""),
            format!("alice deleted Name (1) of {id}"),
        ]
    );
    let key = |n| node_key(n).to_string();
    let lines: Vec<String> = cluster_events().iter().map(line).collect();
    let told = [
        format!(
            "alice stated that node 1 at node-1.example:9001 has key {}",
            key(1)
        ),
        format!("alice issued join ticket {}", hash(5)),
        format!(
            "alice asked with ticket {} to let in the voter at node-2.example:9001 with key {}",
            hash(5),
            key(2)
        ),
        format!("alice turned away the node with key {}", key(2)),
        format!(
            "alice let in node 2 in place of node 1, a witness at node-2.example:9001 \
             with key {}",
            key(2)
        ),
        "alice confirmed that node 2 is a learner".to_string(),
        "alice began to remove node 2".to_string(),
        "alice removed node 2".to_string(),
        format!("alice rotated the cluster CA to {}", key(9)),
        "alice began lineage 2 with node 2 alone; 3 records may be lost".to_string(),
        format!("alice salvaged {id} of alice from node 1, Symmetric Key AES-256 \"db-1\", active"),
        "alice began scrub 1".to_string(),
        format!("alice reported state {} of node 2 for scrub 1", hash(6)),
        "alice found that nodes 2 and 1 differ at size 1000: changes stop".to_string(),
        "alice resolved the divergence: node 2 had a bad disk".to_string(),
        "alice repaired 2 pieces of segment on node 2".to_string(),
        "alice set Get without a quorum for group tape: 3600 s".to_string(),
    ];
    assert_eq!(lines, told);
    for access in accesses() {
        let view = View::of_access(&access);
        let refused = matches!(access_kind(&access), "refused" | "malformed" | "failed");
        assert_eq!(
            view,
            if refused {
                View::Client
            } else {
                View::Activity
            }
        );
        let record = AccessRecord {
            v: 1,
            time: START,
            actor: user("alice"),
            seen: 1,
            access,
        };
        assert!(access_summary(&record).starts_with("alice "));
    }
}

/// CBOR as people read it: one item a line, indented, with its bytes.
fn annotate(bytes: &[u8]) -> String {
    let mut out = String::new();
    let rest = item(bytes, 0, &mut out);
    assert!(rest.is_empty(), "bytes after the value");
    out
}

fn item<'a>(bytes: &'a [u8], depth: usize, out: &mut String) -> &'a [u8] {
    let (major, info) = (bytes[0] >> 5, bytes[0] & 0x1f);
    let width = match info {
        0..=23 => 0,
        24..=27 => 1usize << (info - 24),
        _ => panic!("indefinite lengths are not deterministic"),
    };
    let argument = match width {
        0 => u64::from(info),
        _ => bytes[1..=width]
            .iter()
            .fold(0, |n, b| n << 8 | u64::from(*b)),
    };
    let (head, mut rest) = bytes.split_at(1 + width);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut line = |bytes: &[u8], meaning: String| {
        writeln!(
            out,
            "{:indent$}{}  # {meaning}",
            "",
            hex(bytes),
            indent = depth * 2
        )
        .unwrap();
    };
    match major {
        0 => line(head, format!("{argument}")),
        1 => line(head, format!("-{}", argument + 1)),
        2 | 3 => {
            let (content, after) = rest.split_at(usize::try_from(argument).unwrap());
            let meaning = match major {
                2 => format!("{argument} bytes"),
                _ => format!("{:?}", std::str::from_utf8(content).unwrap()),
            };
            line(&[head, content].concat(), meaning);
            rest = after;
        }
        4 => {
            line(head, format!("list of {argument}"));
            for _ in 0..argument {
                rest = item(rest, depth + 1, out);
            }
        }
        5 => {
            line(head, format!("map of {argument}"));
            for _ in 0..2 * argument {
                rest = item(rest, depth + 1, out);
            }
        }
        7 => line(
            head,
            match argument {
                20 => "false".to_string(),
                21 => "true".to_string(),
                22 => "nothing".to_string(),
                other => panic!("simple value {other}"),
            },
        ),
        _ => panic!("tags are not used"),
    }
    rest
}
