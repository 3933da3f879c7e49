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
        Event::Refused { .. } => "refused",
    }
}

/// Kinds of events: the arms above.
const EVENT_KINDS: usize = 26;

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
    events
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
    }
}

/// Kinds of denials: the arms above.
const DENIAL_KINDS: usize = 20;

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
    ]
}

fn ask_kind(ask: &Ask) -> String {
    ask.name().to_lowercase().replace(' ', "-")
}

/// Kinds of asks; `Ask::name` matches all of them.
const ASK_KINDS: usize = 26;

fn asks() -> Vec<Ask> {
    let (node, epoch, uid) = (NODE, Epoch(1), uid(1));
    vec![
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

#[test]
fn no_golden_file_is_left_over() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        files,
        2 * (EVENT_KINDS + ACCESS_KINDS + DENIAL_KINDS + ASK_KINDS)
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
