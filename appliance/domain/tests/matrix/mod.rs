//! The rows of the permission matrix: every ask in a form that is in order, and who may ask it.

use crate::world::*;
use domain::*;

/// Every ask in a form that is granted to whoever may ask it, with its row: one letter for each of
/// `ACTORS`. `+` granted, `p` not permitted, `f` not found (though it is there), `u` no such user,
/// `c` certificate not accepted.
pub(crate) fn rows(uid: Uid) -> Vec<(Ask, &'static str)> {
    let text = |s: &str| Value::Text(s.to_string());
    let contact = Attribute::standard(tag::CONTACT_INFORMATION, text("c"));
    let described = Attribute::standard(tag::DESCRIPTION, text("e"));
    let policy = KeyPolicy {
        key_bits_min: 80,
        ..KeyPolicy::default()
    };
    vec![
        (aes256(&[]), "++++ccppu"),
        (aes256_for("alice", &[]), "ppppcc+pu"),
        (
            Ask::Register {
                object_type: ObjectType::SecretData,
                attributes: vec![],
            },
            "++++ccppu",
        ),
        (Ask::Activate { uid }, "++pfcc+pu"),
        (
            Ask::Revoke {
                uid,
                reason: 2,
                message: None,
                compromise_occurred: None,
            },
            "++pfcc+pu",
        ),
        (Ask::Destroy { uid }, "++pfcc+pu"),
        (
            Ask::AddAttribute {
                uid,
                attribute: contact.clone(),
            },
            "++pfccppu",
        ),
        (
            Ask::AddAttribute {
                uid,
                attribute: group("disk"),
            },
            "+ppfccppu",
        ),
        (
            Ask::ModifyAttribute {
                uid,
                index: None,
                current: None,
                attribute: described,
            },
            "++pfccppu",
        ),
        (
            Ask::SetAttribute {
                uid,
                attribute: contact,
            },
            "++pfccppu",
        ),
        (
            Ask::DeleteAttribute {
                uid,
                name: AttributeName::Standard(tag::DESCRIPTION),
                which: Instance::All,
            },
            "++pfccppu",
        ),
        (
            Ask::StartNode {
                node: NODE,
                version: "1".to_string(),
                format: FORMAT,
            },
            "ppppcc++u",
        ),
        (Ask::StopNode { node: NODE }, "ppppcc++u"),
        (
            Ask::AddLogKey {
                node: NODE,
                public_key: hash(1),
            },
            "ppppcc++u",
        ),
        (
            Ask::AnchorAccessLog {
                node: NODE,
                size: 1,
                root: hash(1),
            },
            "ppppcc++u",
        ),
        (
            Ask::PutUser {
                name: name("eve"),
                groups: vec![],
            },
            "ppppcc++u",
        ),
        (
            Ask::IssueCertificate {
                user: name("alice"),
                certificate: certificate("eve"),
                serial: "3".to_string(),
                not_after: START,
            },
            "ppppcc++u",
        ),
        (Ask::RevokeUser { name: name("bob") }, "ppppcc++u"),
        (Ask::ApplySchedule, "ppppcc++u"),
        (
            Ask::OpenEpoch {
                epoch: Epoch(2),
                kek: None,
            },
            "ppppcc++u",
        ),
        (
            Ask::ConfirmReseal {
                node: NODE,
                epoch: Epoch(1),
            },
            "ppppcc++u",
        ),
        (Ask::RetireEpoch { epoch: Epoch(1) }, "ppppcc++u"),
        (
            Ask::ConfirmRetire {
                node: NODE,
                epoch: Epoch(1),
            },
            "ppppcc++u",
        ),
        (
            Ask::AddSlot {
                name: name("s"),
                kind: "tpm".to_string(),
            },
            "ppppcc++u",
        ),
        (Ask::RemoveSlot { name: name("s") }, "ppppcc++u"),
        (
            Ask::RecordExport {
                size: 1,
                root: hash(1),
                digest: hash(2),
            },
            "ppppcc++u",
        ),
        (Ask::SetKeyPolicy { policy }, "ppppcc++u"),
        (configure(NODE), "ppppcc++u"),
        (
            Ask::PutAdministrator {
                name: name("root"),
                password: Some(hash(1)),
                ssh_keys: vec![],
                permissions: None,
                must_change: false,
            },
            "ppppcc++u",
        ),
    ]
    .into_iter()
    .chain(administrator_rows())
    .chain(transfer_rows())
    .collect()
}

/// Asks about administrators: `root`, who is the operator here, and `eve`.
fn administrator_rows() -> Vec<(Ask, &'static str)> {
    let operators = "ppppcc+pu";
    vec![
        (Ask::ChangePassword { password: hash(7) }, operators),
        (
            Ask::ResetPassword {
                name: name("eve"),
                password: hash(7),
            },
            operators,
        ),
        (
            Ask::SetSshKeys {
                name: name("eve"),
                ssh_keys: vec![SSH_KEY.to_string()],
            },
            operators,
        ),
        (
            Ask::SetPermissions {
                name: name("eve"),
                permissions: Permissions::NONE,
            },
            operators,
        ),
        (Ask::RemoveAdministrator { name: name("eve") }, operators),
    ]
}

/// Asks about closed logs and where they go, and about a node's machine.
fn transfer_rows() -> Vec<(Ask, &'static str)> {
    let (staff, operators) = ("ppppcc++u", "ppppcc+pu");
    let rotate = Ask::RotateLog {
        node: NODE,
        log: View::Audit,
        head: None,
        cause: RotationCause::Asked,
    };
    let record = Ask::RecordTransfer {
        node: NODE,
        destination: name("there"),
        log: View::Audit,
        number: 1,
        outcome: TransferOutcome::Delivered {
            digest: hash(1),
            bytes: 1,
        },
    };
    let there = || name("there");
    vec![
        (rotate, staff),
        (
            Ask::PutDestination {
                name: there(),
                destination: destination(),
            },
            operators,
        ),
        (Ask::RemoveDestination { name: there() }, operators),
        (record, staff),
        (
            Ask::RenewIdentity {
                node: NODE,
                identity: DoorIdentity::ServerCertificate {
                    certificate: certificate("web"),
                    serial: "1f".to_string(),
                    not_after: START,
                },
            },
            operators,
        ),
        (
            Ask::SetClock {
                node: NODE,
                to: Time(START.0 + 3_600_000),
            },
            operators,
        ),
    ]
}

/// A destination that gets everything.
fn destination() -> Destination {
    Destination {
        address: "192.0.2.1:22".to_string(),
        user: "logs".to_string(),
        directory: ".".to_string(),
        way_in: WayIn::Key,
        host_key: format!("SHA256:{}", "A".repeat(43)),
        recipients: vec![],
        logs: View::ALL.to_vec(),
        enabled: true,
    }
}

/// Asks about the cluster. Node 2 is a member, node 3 joins or leaves where that is needed.
pub(crate) fn cluster_rows() -> Vec<(Ask, &'static str)> {
    let (second, third) = (NodeId(2), NodeId(3));
    // Operators and members; operators alone; members alone; what another node must not say.
    let (staff, operators, members) = ("ppppcc++u", "ppppcc+pu", "ppppccp+u");
    let key = node_key(3);
    let ticket = hash(0x71_0003);
    vec![
        (identify(NODE), staff),
        (identify(second), operators),
        (
            Ask::IssueTicket {
                ticket: hash(0x71_0009),
                expires: Time(START.0 + 1_000),
            },
            operators,
        ),
        (
            Ask::RequestJoin {
                ticket,
                candidate: candidate(3, MemberRole::Voter),
            },
            members,
        ),
        (Ask::ApproveJoin { key }, operators),
        (Ask::DenyJoin { key }, operators),
        (
            Ask::Rejoin {
                old: second,
                candidate: candidate(4, MemberRole::Voter),
            },
            members,
        ),
        (
            Ask::ConfirmMember {
                node: third,
                role: MemberRole::Voter,
            },
            members,
        ),
        (Ask::RemoveNode { node: NODE }, staff),
        (Ask::RemoveNode { node: second }, operators),
        (Ask::ConfirmRemoved { node: third }, staff),
        (Ask::RotateClusterCa { ca: node_key(9) }, staff),
        (
            Ask::ForkLineage {
                lineage: 2,
                node: NODE,
                origin: "strongroom/test/lineage-2".to_string(),
                lost: 0,
            },
            operators,
        ),
        (salvage(uid(77), LifecycleState::Active, vec![]), operators),
        (Ask::BeginScrub, staff),
        (report(NODE, 1), staff),
        (report(second, 1), operators),
        (
            Ask::ReportDivergence {
                size: 1,
                node: NODE,
                root: hash(1),
                other: second,
                other_root: hash(2),
            },
            staff,
        ),
        (
            Ask::ResolveDivergence {
                reason: "a bad disk".to_string(),
            },
            // Users change nothing until then, and are told why.
            "ddddcc+pu",
        ),
        (
            Ask::RecordRepair {
                node: NODE,
                what: "segment".to_string(),
                items: 1,
            },
            staff,
        ),
        (
            Ask::SetOfflineGet {
                group: None,
                limit: OfflineGet::Never,
            },
            operators,
        ),
        (configure(second), operators),
    ]
}

pub(crate) fn configure(node: NodeId) -> Ask {
    let value = SettingValue {
        id: "hostname".to_string(),
        value: "keys-1".to_string(),
    };
    Ask::Configure {
        node,
        values: vec![value],
    }
}

pub(crate) fn identify(node: NodeId) -> Ask {
    Ask::IdentifyNode {
        node,
        key: node_key(node.0),
        sealing_key: candidate(node.0, MemberRole::Voter).sealing_key,
        address: "elsewhere.example:9001".to_string(),
    }
}

fn report(node: NodeId, digest: u64) -> Ask {
    Ask::ReportDigest {
        node,
        scrub: 1,
        state: hash(digest),
        store: None,
    }
}

fn salvage(uid: Uid, state: LifecycleState, attributes: Vec<Attribute>) -> Ask {
    Ask::Salvage {
        uid,
        object_type: ObjectType::OpaqueObject,
        owner: name("alice"),
        registered: true,
        initial: START,
        state,
        attributes,
        from: NODE,
    }
}

/// Brings a world to where an ask about membership or agreement is in order.
fn prepare_cluster(world: &mut World, ask: &Ask) {
    world.join(2, MemberRole::Voter);
    match ask {
        Ask::RequestJoin { ticket, .. } => {
            let (ticket, expires) = (*ticket, Time(START.0 + 1_000));
            world.must(&operator(), Ask::IssueTicket { ticket, expires });
        }
        Ask::ApproveJoin { .. } | Ask::DenyJoin { .. } => world.request(3, MemberRole::Voter),
        Ask::ConfirmMember { .. } => {
            world.let_in(3, MemberRole::Voter);
        }
        Ask::ConfirmRemoved { node } => {
            // A member with keys would need a rotation first.
            world.let_in(3, MemberRole::Witness);
            world.must(&operator(), Ask::RemoveNode { node: *node });
        }
        Ask::ReportDigest { .. } => {
            world.must(&operator(), Ask::BeginScrub);
        }
        Ask::ResolveDivergence { .. } => {
            let found = Ask::ReportDivergence {
                size: 1,
                node: NODE,
                root: hash(1),
                other: NodeId(2),
                other_root: hash(2),
            };
            world.must(&operator(), found);
        }
        _ => {}
    }
}

/// Brings a world to where an ask about epochs and slots is in order.
pub(crate) fn prepare(world: &mut World, ask: &Ask) {
    match number(ask) {
        46..=50 => {
            for who in ["root", "eve"] {
                world.must(&local(), put_admin(who, Permissions::ALL_OF_FORMAT_4));
            }
        }
        26..=45 => prepare_cluster(world, ask),
        _ => {}
    }
    let epoch = Epoch(1);
    let steps = match ask {
        Ask::ConfirmReseal { .. } => 1,
        Ask::RetireEpoch { .. } => 2,
        Ask::ConfirmRetire { .. } => 3,
        _ => 0,
    };
    let all = [
        Ask::OpenEpoch {
            epoch: Epoch(2),
            kek: None,
        },
        Ask::ConfirmReseal { node: NODE, epoch },
        Ask::RetireEpoch { epoch },
    ];
    for step in all.into_iter().take(steps) {
        world.must(&operator(), step);
    }
    if matches!(
        ask,
        Ask::RemoveDestination { .. } | Ask::RecordTransfer { .. }
    ) {
        let (name, destination) = (name("there"), destination());
        world.must(&operator(), Ask::PutDestination { name, destination });
        let rotate = Ask::RotateLog {
            node: NODE,
            log: View::Audit,
            head: None,
            cause: RotationCause::Asked,
        };
        world.must(&operator(), rotate);
    }
    if matches!(ask, Ask::RemoveSlot { .. }) {
        for slot in ["s", "t"] {
            world.must(
                &operator(),
                Ask::AddSlot {
                    name: name(slot),
                    kind: "tpm".to_string(),
                },
            );
        }
    }
}

/// Fails to compile when an ask is added without a row above.
pub(crate) fn number(ask: &Ask) -> usize {
    match ask {
        Ask::FoundCluster { .. } => 0,
        Ask::StartNode { .. } => 1,
        Ask::StopNode { .. } => 2,
        Ask::AddLogKey { .. } => 3,
        Ask::AnchorAccessLog { .. } => 4,
        Ask::PutUser { .. } => 5,
        Ask::IssueCertificate { .. } => 6,
        Ask::RevokeUser { .. } => 7,
        Ask::Create { .. } => 8,
        Ask::Register { .. } => 9,
        Ask::Activate { .. } => 10,
        Ask::Revoke { .. } => 11,
        Ask::Destroy { .. } => 12,
        Ask::AddAttribute { .. } => 13,
        Ask::ModifyAttribute { .. } => 14,
        Ask::SetAttribute { .. } => 15,
        Ask::DeleteAttribute { .. } => 16,
        Ask::ApplySchedule => 17,
        Ask::OpenEpoch { .. } => 18,
        Ask::ConfirmReseal { .. } => 19,
        Ask::RetireEpoch { .. } => 20,
        Ask::ConfirmRetire { .. } => 21,
        Ask::AddSlot { .. } => 22,
        Ask::RemoveSlot { .. } => 23,
        Ask::RecordExport { .. } => 24,
        Ask::SetKeyPolicy { .. } => 25,
        Ask::IdentifyNode { .. } => 26,
        Ask::IssueTicket { .. } => 27,
        Ask::RequestJoin { .. } => 28,
        Ask::ApproveJoin { .. } => 29,
        Ask::DenyJoin { .. } => 30,
        Ask::Rejoin { .. } => 31,
        Ask::ConfirmMember { .. } => 32,
        Ask::RemoveNode { .. } => 33,
        Ask::ConfirmRemoved { .. } => 34,
        Ask::RotateClusterCa { .. } => 35,
        Ask::ForkLineage { .. } => 36,
        Ask::Salvage { .. } => 37,
        Ask::BeginScrub => 38,
        Ask::ReportDigest { .. } => 39,
        Ask::ReportDivergence { .. } => 40,
        Ask::ResolveDivergence { .. } => 41,
        Ask::RecordRepair { .. } => 42,
        Ask::SetOfflineGet { .. } => 43,
        Ask::Configure { .. } => 44,
        Ask::PutAdministrator { .. } => 45,
        Ask::ChangePassword { .. } => 46,
        Ask::ResetPassword { .. } => 47,
        Ask::SetSshKeys { .. } => 48,
        Ask::SetPermissions { .. } => 49,
        Ask::RemoveAdministrator { .. } => 50,
        Ask::CreateFor { .. } => 51,
        Ask::RotateLog { .. } => 52,
        Ask::PutDestination { .. } => 53,
        Ask::RemoveDestination { .. } => 54,
        Ask::RecordTransfer { .. } => 55,
        Ask::RenewIdentity { .. } => 56,
        Ask::SetClock { .. } => 57,
    }
}
