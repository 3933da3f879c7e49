//! Arbitrary asks and those who ask: mostly what could be granted in some state, and some nonsense.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use crate::world::*;
use domain::*;
use proptest::prelude::*;

/// Identifiers that commands may name: those the world gives out first, and one that it never does.
pub(crate) const OBJECTS: u64 = 4;

/// Identifiers of objects that come from old disks: none that the world gives out.
const SALVAGED: std::ops::Range<u64> = 1000..1003;

/// Users of the KMIP door, mostly the one that owns most.
pub(crate) fn any_user() -> impl Strategy<Value = Actor> {
    prop_oneof![
        8 => Just(user("alice")),
        2 => Just(user("bob")),
        2 => Just(user("carol")),
        1 => Just(user("mallory")),
        1 => Just(user("nobody")),
        1 => Just(Actor::User {
            name: name("alice"),
            certificate: certificate("bob"),
            source: String::new(),
        }),
    ]
}

pub(crate) fn any_staff() -> impl Strategy<Value = Actor> {
    prop_oneof![
        4 => Just(local()),
        2 => any_administrator(),
        5 => Just(Actor::Node(NODE)),
        2 => any_node().prop_map(Actor::Node),
        1 => Just(Actor::Unknown { source: "203.0.113.9:1".to_string() }),
    ]
}

fn any_uid() -> impl Strategy<Value = Uid> {
    prop_oneof![9 => 0..=OBJECTS, 1 => SALVAGED].prop_map(uid)
}

/// Values that fit some attribute, and some that fit none.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-2i32..400).prop_map(Value::Integer),
        (0u32..20).prop_map(Value::Enumeration),
        any::<bool>().prop_map(Value::Boolean),
        "[a-c\n]{0,3}".prop_map(Value::Text),
        (0i64..400).prop_map(|s| Value::DateTime(START.seconds() - 100 + s)),
        any::<u32>().prop_map(Value::Interval),
        (0usize..40_000).prop_map(|n| Value::Bytes(vec![0; n])),
        (0usize..20_000).prop_map(|n| Value::Text("x".repeat(n))),
        Just(Value::LongInteger(5)),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop::collection::vec((any_tag(), inner), 0..4).prop_map(Value::Structure)
    })
}

fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        9 => (0..ATTRIBUTES.len()).prop_map(|at| ATTRIBUTES[at].tag),
        1 => (0x42_0000u32..0x42_0200).prop_map(Tag),
    ]
}

fn any_name() -> impl Strategy<Value = AttributeName> {
    prop_oneof![
        12 => any_attribute_that_fits().prop_map(|attribute| attribute.name),
        3 => any_tag().prop_map(AttributeName::Standard),
        1 => ("[xyz]", "[A-B]{1,2}|[A-B]{200}")
            .prop_map(|(vendor, name)| AttributeName::Vendor { vendor, name }),
    ]
}

/// Attributes that are often acceptable, and others.
fn any_attribute() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        3 => any_attribute_that_fits(),
        1 => (any_name(), any_value()).prop_map(|(name, value)| Attribute { name, value }),
    ]
}

/// Attributes that are acceptable in some state.
fn any_attribute_that_fits() -> impl Strategy<Value = Attribute> {
    let dates = prop::sample::select(vec![
        tag::ACTIVATION_DATE,
        tag::DEACTIVATION_DATE,
        tag::PROCESS_START_DATE,
        tag::PROTECT_STOP_DATE,
    ]);
    let text = "[a-c]{1,2}";
    prop_oneof![
        2 => text.prop_map(|t| Attribute::named(&t)),
        3 => (dates, 0i64..400).prop_map(|(tag, s)| {
            Attribute::standard(tag, Value::DateTime(START.seconds() - 100 + s))
        }),
        1 => prop::sample::select(vec!["tape", "disk"]).prop_map(group),
        1 => text.prop_map(|t| Attribute::custom(&t, Value::Text(t.clone()))),
        1 => any::<bool>().prop_map(|b| Attribute::standard(tag::SENSITIVE, Value::Boolean(b))),
        1 => any::<bool>().prop_map(|b| Attribute::standard(tag::QUANTUM_SAFE, Value::Boolean(b))),
        1 => "[a-c]".prop_map(|t| Attribute::standard(tag::DESCRIPTION, Value::Text(t))),
    ]
}

fn any_attributes() -> impl Strategy<Value = Vec<Attribute>> {
    (
        prop::option::weighted(0.9, prop_oneof![3 => Just(256), 1 => Just(128)]),
        prop::collection::vec(any_attribute(), 0..3),
    )
        .prop_map(|(bits, more)| {
            bits.into_iter()
                .flat_map(|bits| algorithm(AES, bits))
                .chain(more)
                .collect()
        })
}

fn any_instance() -> impl Strategy<Value = Instance> {
    prop_oneof![
        3 => (0u32..3).prop_map(Instance::Index),
        1 => any_value().prop_map(Instance::Equal),
        2 => Just(Instance::All),
    ]
}

pub(crate) fn any_object_ask() -> impl Strategy<Value = Ask> {
    let kind = prop::sample::select(vec![
        ObjectType::Certificate,
        ObjectType::SymmetricKey,
        ObjectType::SecretData,
        ObjectType::OpaqueObject,
    ]);
    let reason = prop_oneof![3 => Just(1u32), 2 => Just(2), 1 => any::<u32>()];
    prop_oneof![
        4 => any_attributes().prop_map(|attributes| Ask::Create { attributes }),
        3 => (kind, any_attributes())
            .prop_map(|(object_type, attributes)| Ask::Register { object_type, attributes }),
        2 => (prop::sample::select(vec!["alice", "bob", "nobody"]), any_attributes())
            .prop_map(|(owner, attributes)| Ask::CreateFor { owner: name(owner), attributes }),
        3 => any_uid().prop_map(|uid| Ask::Activate { uid }),
        3 => (any_uid(), reason, prop::option::of("[a\n]{0,2}"), any::<bool>()).prop_map(
            |(uid, reason, message, dated)| Ask::Revoke {
                uid,
                reason,
                message,
                compromise_occurred: dated.then_some(START),
            }
        ),
        3 => any_uid().prop_map(|uid| Ask::Destroy { uid }),
        3 => (any_uid(), any_attribute())
            .prop_map(|(uid, attribute)| Ask::AddAttribute { uid, attribute }),
        3 => (
            any_uid(),
            prop::option::of(0u32..3),
            prop::option::weighted(0.2, any_attribute()),
            any_attribute(),
        )
            .prop_map(|(uid, index, current, attribute)| {
                Ask::ModifyAttribute { uid, index, current, attribute }
            }),
        2 => (any_uid(), any_attribute())
            .prop_map(|(uid, attribute)| Ask::SetAttribute { uid, attribute }),
        5 => (any_uid(), any_name(), any_instance())
            .prop_map(|(uid, name, which)| Ask::DeleteAttribute { uid, name, which }),
    ]
}

pub(crate) fn any_cluster_ask() -> impl Strategy<Value = Ask> {
    let node = any_node();
    let epoch = prop_oneof![9 => 1u32..3, 1 => 0u32..6].prop_map(Epoch);
    let people = prop::sample::select(vec!["alice", "bob", "eve"]).prop_map(name);
    let slot = prop::sample::select(vec!["a", "b"]).prop_map(name);
    let number = 0u64..4;
    let groups = prop::collection::vec(
        (prop::sample::select(vec!["tape", "disk"]), any::<bool>()).prop_map(|(group, manage)| {
            let role = if manage {
                GroupRole::Manage
            } else {
                GroupRole::Use
            };
            Membership {
                group: name(group),
                role,
            }
        }),
        0..3,
    );
    let policy = (0u64..9, 0u32..20, 0u32..40_000, 0u32..64, 0u32..300).prop_map(
        |(objects, attributes, value, material, bits)| KeyPolicy {
            objects_per_owner_max: objects,
            attributes_per_object_max: attributes,
            attribute_value_bytes_max: value,
            material_bytes_max: material,
            key_bits_min: bits,
        },
    );
    prop_oneof![
        1 => Just(Ask::FoundCluster {
            cluster: ClusterId::from_bytes([8; 16]),
            origin: "again".to_string(),
            node: NODE,
        }),
        1 => (node.clone(), "[a\n]{0,2}", prop_oneof![3 => Just(FORMAT), 2 => 1..FORMAT + 2])
            .prop_map(|(node, version, format)| Ask::StartNode { node, version, format }),
        1 => node.clone().prop_map(|node| Ask::StopNode { node }),
        1 => (node.clone(), number.clone())
            .prop_map(|(node, n)| Ask::AddLogKey { node, public_key: hash(n) }),
        1 => (node.clone(), number.clone(), number.clone())
            .prop_map(|(node, size, n)| Ask::AnchorAccessLog { node, size, root: hash(n) }),
        1 => (people.clone(), groups).prop_map(|(name, groups)| Ask::PutUser { name, groups }),
        1 => (people.clone(), people.clone()).prop_map(|(user, other)| Ask::IssueCertificate {
            user,
            certificate: certificate(other.as_str()),
            serial: "1".to_string(),
            not_after: Time(START.0 + 200_000),
        }),
        1 => people.prop_map(|name| Ask::RevokeUser { name }),
        3 => Just(Ask::ApplySchedule),
        9 => epoch.clone().prop_map(|epoch| Ask::OpenEpoch {
            epoch,
            kek: (epoch.0 % 2 == 0).then(|| hash(u64::from(epoch.0))),
        }),
        12 => (node.clone(), epoch.clone())
            .prop_map(|(node, epoch)| Ask::ConfirmReseal { node, epoch }),
        9 => epoch.clone().prop_map(|epoch| Ask::RetireEpoch { epoch }),
        12 => (node, epoch).prop_map(|(node, epoch)| Ask::ConfirmRetire { node, epoch }),
        4 => slot.clone().prop_map(|name| Ask::AddSlot { name, kind: "tpm".to_string() }),
        3 => slot.prop_map(|name| Ask::RemoveSlot { name }),
        1 => number.prop_map(|size| Ask::RecordExport { size, root: hash(1), digest: hash(2) }),
        1 => prop::option::weighted(0.3, policy)
            .prop_map(|p| Ask::SetKeyPolicy { policy: p.unwrap_or_default() }),
        3 => any_appliance_ask(),
        1 => any_transfer_ask(),
        1 => any_machine_ask(),
    ]
}

/// Asks about what a node is recognised by, and about its clock.
fn any_machine_ask() -> impl Strategy<Value = Ask> {
    let key = || prop::sample::select(vec!["A", "B", "?"]);
    let key = || key().prop_map(|digit| format!("SHA256:{}", digit.repeat(43)));
    prop_oneof![
        1 => (any_node(), key(), key()).prop_map(|(node, was, is)| Ask::RenewIdentity {
            node,
            identity: DoorIdentity::SshHostKey { was, is },
        }),
        1 => (any_node(), prop::sample::select(vec!["1f", "x", ""])).prop_map(|(node, serial)| {
            Ask::RenewIdentity {
                node,
                identity: DoorIdentity::ServerCertificate {
                    certificate: certificate("web"),
                    serial: serial.to_string(),
                    not_after: START,
                },
            }
        }),
        2 => (any_node(), -100_000i64..300_000).prop_map(|(node, moved)| Ask::SetClock {
            node,
            to: Time(START.0 + moved),
        }),
    ]
}

/// Asks about settings and administrators.
fn any_appliance_ask() -> impl Strategy<Value = Ask> {
    let value = prop_oneof![
        2 => (0..setting::TABLE.len()).prop_map(|at| {
            let setting = &setting::TABLE[at];
            (setting.id, setting.default.unwrap_or("192.0.2.10/24"))
        }),
        6 => prop::sample::select(vec![
            ("hostname", "keys-1"),
            ("hostname", "Keys"),
            ("domain", "example.org"),
            ("eth0.ipv4", "static"),
            ("eth0.ipv4", "off"),
            ("eth0.address", "192.0.2.10/24"),
            ("eth0.gateway", "192.0.2.1"),
            ("eth0.gateway", "203.0.113.1"),
            ("eth1.ipv4", "dhcp"),
            ("outgoing", "eth1"),
            ("approved", "yes"),
            ("ca.subject", "c\n"),
            ("kmip.listen", "0.0.0.0:9443"),
            ("nonsense", ""),
        ]),
    ];
    let value = value.prop_map(|(id, value)| SettingValue {
        id: id.to_string(),
        value: value.to_string(),
    });
    let count = prop_oneof![9 => 0usize..5, 1 => 60usize..70];
    let values = count.prop_flat_map(move |n| prop::collection::vec(value.clone(), n));
    let people = prop::sample::select(vec!["root", "eve"]).prop_map(name);
    let keys = prop::collection::vec(prop::sample::select(vec![SSH_KEY, "ssh-dss A"]), 0..3);
    prop_oneof![
        2 => (any_node(), values).prop_map(|(node, values)| Ask::Configure { node, values }),
        1 => (people, prop::option::of(0u64..3), keys).prop_map(|(name, password, keys)| {
            Ask::PutAdministrator {
                name,
                password: password.map(hash),
                ssh_keys: keys.iter().map(ToString::to_string).collect(),
                permissions: None,
                must_change: false,
            }
        }),
        3 => any_administrator_ask(),
    ]
}

/// Names of administrators: those that commands may put, and one that never is there.
const ADMINISTRATORS: [&str; 4] = ["root", "eve", "kim", "nobody"];

/// Everything, nothing, and what lies between.
fn any_permissions() -> impl Strategy<Value = Permissions> {
    let some = prop::collection::vec(0..PERMISSIONS.len(), 0..30).prop_map(|picks| {
        let all: Vec<_> = picks.iter().map(|at| PERMISSIONS[*at].permission).collect();
        Permissions::of(&all)
    });
    let preset = (0..PRESETS.len()).prop_map(|at| PRESETS[at].permissions);
    prop_oneof![
        4 => Just(Permissions::ALL_OF_FORMAT_4),
        2 => preset,
        2 => some,
        1 => Just(Permissions::NONE),
    ]
}

/// Asks about closed logs and where they go.
pub(crate) fn any_transfer_ask() -> impl Strategy<Value = Ask> {
    let log = || (0usize..4).prop_map(|at| View::ALL[at]);
    let there = || prop::sample::select(vec!["here", "there", "nowhere"]).prop_map(name);
    let head = (0u64..40).prop_map(|size| LogHead {
        size,
        root: hash(size),
    });
    let outcome = (0u8..8).prop_map(|pick| match pick {
        0..4 => TransferOutcome::Delivered {
            digest: hash(1),
            bytes: 1,
        },
        4 => TransferOutcome::Failed {
            why: TransferFailure::NoRoom,
            detail: "two\nlines".to_string(),
        },
        n => TransferOutcome::Failed {
            why: TransferFailure::ALL[usize::from(n)],
            detail: "no".to_string(),
        },
    });
    let host_key = prop_oneof![9 => Just("A".repeat(43)), 1 => Just(String::new())];
    let logs = prop::sample::subsequence(View::ALL.to_vec(), 0..=4);
    let destination = (
        host_key,
        logs,
        any::<bool>(),
        prop::option::weighted(0.2, Just(())),
    )
        .prop_map(|(digits, logs, enabled, age)| Destination {
            address: "192.0.2.1:22".to_string(),
            user: "logs".to_string(),
            directory: ".".to_string(),
            way_in: WayIn::Key,
            host_key: format!("SHA256:{digits}"),
            recipients: age
                .map(|()| format!("age1{}", "q".repeat(58)))
                .into_iter()
                .collect(),
            logs,
            enabled,
        });
    prop_oneof![
        4 => (any_node(), log(), prop::option::of(head)).prop_map(|(node, log, head)| {
            Ask::RotateLog {
                node,
                log,
                head: head.filter(|_| !log.is_of_cluster()),
                cause: RotationCause::Asked,
            }
        }),
        3 => (there(), destination)
            .prop_map(|(name, destination)| Ask::PutDestination { name, destination }),
        1 => there().prop_map(|name| Ask::RemoveDestination { name }),
        4 => (any_node(), there(), log(), 0u64..4, outcome)
            .prop_map(|(node, destination, log, number, outcome)| Ask::RecordTransfer {
                node,
                destination,
                log,
                number,
                outcome,
            }),
    ]
}

/// Asks about administrators.
pub(crate) fn any_administrator_ask() -> impl Strategy<Value = Ask> {
    let who = || prop::sample::select(ADMINISTRATORS.to_vec()).prop_map(name);
    let password = || (0u64..6).prop_map(hash);
    let keys = prop::collection::vec(prop::sample::select(vec![SSH_KEY, "ssh-dss A"]), 0..2);
    let keys = keys.prop_map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>());
    prop_oneof![
        4 => (who(), prop::option::weighted(0.9, password()), any_permissions(), any::<bool>())
            .prop_map(|(name, password, permissions, must_change)| Ask::PutAdministrator {
                name,
                password,
                ssh_keys: vec![],
                permissions: Some(permissions),
                must_change,
            }),
        3 => password().prop_map(|password| Ask::ChangePassword { password }),
        1 => (who(), password())
            .prop_map(|(name, password)| Ask::ResetPassword { name, password }),
        1 => (who(), keys).prop_map(|(name, ssh_keys)| Ask::SetSshKeys { name, ssh_keys }),
        2 => (who(), any_permissions())
            .prop_map(|(name, permissions)| Ask::SetPermissions { name, permissions }),
        2 => who().prop_map(|name| Ask::RemoveAdministrator { name }),
    ]
}

/// Administrators at some door; not all of them are.
pub(crate) fn any_administrator() -> impl Strategy<Value = Actor> {
    let door = prop_oneof![
        4 => Just(Door::Console),
        2 => Just(Door::Ssh),
        2 => Just(Door::Web),
        1 => Just(Door::Socket),
        1 => Just(Door::Kmip),
    ];
    (prop::sample::select(ADMINISTRATORS.to_vec()), door).prop_map(|(name, door)| admin(name, door))
}

/// Asks of the staff with those who may mostly ask them: an operator, or the node it is about.
pub(crate) fn said_by_staff(
    ask: impl Strategy<Value = Ask>,
) -> impl Strategy<Value = (Actor, Ask)> {
    (ask, any_staff(), 0u8..5).prop_map(|(ask, staff, how)| {
        let fitting = match &ask {
            Ask::IdentifyNode { node, .. }
            | Ask::ConfirmReseal { node, .. }
            | Ask::ConfirmRetire { node, .. }
            | Ask::StartNode { node, .. }
            | Ask::ReportDigest { node, .. }
            | Ask::RecordRepair { node, .. }
            | Ask::RotateLog { node, .. }
            | Ask::RecordTransfer { node, .. }
            | Ask::Configure { node, .. } => Actor::Node(*node),
            Ask::RequestJoin { .. } | Ask::Rejoin { .. } | Ask::ConfirmMember { .. } => {
                Actor::Node(NODE)
            }
            _ => local(),
        };
        (if how == 0 { staff } else { fitting }, ask)
    })
}

/// A node that is likely to be there, or one that never is.
pub(crate) fn any_node() -> impl Strategy<Value = NodeId> + Clone {
    prop_oneof![6 => Just(1), 3 => 2u64..5, 1 => Just(99)].prop_map(NodeId)
}

/// One that is likely to have come later.
fn any_other() -> impl Strategy<Value = NodeId> {
    prop_oneof![4 => 2u64..5, 1 => Just(1)].prop_map(NodeId)
}

fn any_role() -> impl Strategy<Value = MemberRole> {
    prop_oneof![
        4 => Just(MemberRole::Voter),
        1 => Just(MemberRole::Learner),
        1 => Just(MemberRole::Witness),
    ]
}

/// Nodes with a few keys, some with something wrong.
fn any_candidate() -> impl Strategy<Value = Candidate> {
    (3u64..7, any_role(), 0u8..20).prop_map(|(n, role, how)| {
        let mut candidate = candidate(n, role);
        match how {
            0 => candidate.format = 1,
            1 => candidate.address = "nowhere\n".to_string(),
            2 => candidate.sealing_key = vec![],
            3 => candidate.log_key = hash(0x10_0002),
            4 => candidate.format = 7,
            _ => {}
        }
        candidate
    })
}

/// Asks about who belongs to the cluster.
pub(crate) fn any_membership_ask() -> impl Strategy<Value = Ask> {
    let ticket = (0u64..3).prop_map(|n| hash(0x71_0000 + n));
    let key = || (3u64..7).prop_map(node_key);
    prop_oneof![
        2 => (any_node(), 1u64..4, "[ab]:[09]").prop_map(|(node, n, address)| {
            let (key, sealing_key) = (node_key(n), vec![4; 97]);
            Ask::IdentifyNode { node, key, sealing_key, address }
        }),
        4 => (ticket.clone(), -1i64..900).prop_map(|(ticket, seconds)| Ask::IssueTicket {
            ticket,
            expires: Time(START.0 + seconds * 2_000),
        }),
        8 => (ticket, any_candidate())
            .prop_map(|(ticket, candidate)| Ask::RequestJoin { ticket, candidate }),
        8 => key().prop_map(|key| Ask::ApproveJoin { key }),
        2 => key().prop_map(|key| Ask::DenyJoin { key }),
        3 => (any_node(), any_candidate())
            .prop_map(|(old, candidate)| Ask::Rejoin { old, candidate }),
        6 => (any_node(), any_role()).prop_map(|(node, role)| Ask::ConfirmMember { node, role }),
        4 => any_other().prop_map(|node| Ask::RemoveNode { node }),
        8 => any_other().prop_map(|node| Ask::ConfirmRemoved { node }),
        1 => (0u64..3).prop_map(|n| Ask::RotateClusterCa { ca: node_key(n) }),
        1 => (1u32..4, any_node(), 0u64..3).prop_map(|(lineage, node, lost)| Ask::ForkLineage {
            lineage,
            node,
            origin: format!("strongroom/test/lineage-{lineage}"),
            lost,
        }),
    ]
}

/// Asks about whether the members agree, and what is done without a quorum or from old disks.
pub(crate) fn any_agreement_ask() -> impl Strategy<Value = Ask> {
    let digest = || prop_oneof![6 => Just(1u64), 1 => 0u64..3].prop_map(hash);
    let limit = prop_oneof![
        Just(OfflineGet::Never),
        (0u64..3).prop_map(OfflineGet::Seconds),
        Just(OfflineGet::Always),
    ];
    let group = prop::option::of(prop::sample::select(vec!["tape", "disk"]).prop_map(name));
    let life = prop::sample::select(LifecycleState::ALL.to_vec());
    prop_oneof![
        2 => Just(Ask::BeginScrub),
        6 => (any_node(), 1u64..3, digest(), prop::option::of(digest())).prop_map(
            |(node, scrub, state, store)| Ask::ReportDigest { node, scrub, state, store }
        ),
        4 => (0u64..20, any_node(), digest(), any_other(), 0u64..3).prop_map(
            |(size, node, root, other, n)| {
                let other_root = hash(n);
                Ask::ReportDivergence { size, node, root, other, other_root }
            }
        ),
        12 => "a{1,2}|[a\n]{0,2}".prop_map(|reason| Ask::ResolveDivergence { reason }),
        2 => (any_node(), "[a\n]{0,2}", 0u64..3)
            .prop_map(|(node, what, items)| Ask::RecordRepair { node, what, items }),
        2 => (group, limit).prop_map(|(group, limit)| Ask::SetOfflineGet { group, limit }),
        3 => (SALVAGED, life, any_attributes(), -9i64..2, any_node()).prop_map(
            |(n, state, attributes, seconds, from)| Ask::Salvage {
                uid: uid(n),
                object_type: ObjectType::SymmetricKey,
                owner: name("alice"),
                registered: n % 2 == 0,
                initial: Time(START.0 + seconds * 1000),
                state,
                attributes,
                from,
            }
        ),
    ]
}

/// One of the asks that could bring a cluster further in its state: mostly granted ones, so that
/// walks go deep.
pub(crate) fn sensible(world: &World, pick: u16) -> (Actor, Ask) {
    let state = &world.state;
    let mut asks: Vec<(Actor, Ask)> = Vec::new();
    let speaker = state
        .members()
        .find(|(_, node)| node.phase == MemberPhase::Member)
        .map_or(NODE, |(id, _)| id);
    let n = state.next_node().0;
    for (node, member) in state.members() {
        let by_itself = |ask| (Actor::Node(node), ask);
        let by_another = |ask| (Actor::Node(speaker), ask);
        let role = member.role;
        asks.push((local(), Ask::RemoveNode { node }));
        asks.push(by_another(Ask::ConfirmRemoved { node }));
        asks.push(by_another(Ask::ConfirmMember { node, role }));
        asks.push(by_another(Ask::Rejoin {
            old: node,
            candidate: candidate(n, role),
        }));
        for (epoch, record) in state.epochs() {
            match record.phase {
                state::EpochPhase::Leaving => {
                    asks.push(by_itself(Ask::ConfirmReseal { node, epoch }));
                }
                state::EpochPhase::AwaitingRetire => {
                    asks.push(by_itself(Ask::ConfirmRetire { node, epoch }));
                }
                state::EpochPhase::Current | state::EpochPhase::Retired => {}
            }
        }
    }
    asks.extend(sensible_changes(world, speaker));
    asks.swap_remove(usize::from(pick) % asks.len())
}

/// Those that are not about one member.
fn sensible_changes(world: &World, speaker: NodeId) -> Vec<(Actor, Ask)> {
    let state = &world.state;
    let n = state.next_node().0;
    let role = [MemberRole::Voter, MemberRole::Learner, MemberRole::Witness]
        [usize::try_from(n % 3).unwrap()];
    let ticket = hash(state.records());
    let mut asks = vec![
        (
            local(),
            Ask::IssueTicket {
                ticket,
                expires: Time(world.now.0 + 60_000),
            },
        ),
        (local(), aes256(&[])),
        (user("alice"), aes256(&[])),
    ];
    for (ticket, _) in state
        .tickets()
        .filter(|(_, ticket)| ticket.used_by.is_none())
    {
        let request = Ask::RequestJoin {
            ticket: *ticket,
            candidate: candidate(n, role),
        };
        asks.push((Actor::Node(speaker), request));
    }
    for request in state.join_requests(world.now) {
        let key = request.candidate.key;
        asks.push((local(), Ask::ApproveJoin { key }));
        if state.records().is_multiple_of(4) {
            asks.push((local(), Ask::DenyJoin { key }));
        }
    }
    if state.records().is_multiple_of(4) {
        asks.extend(sensible_transfers(state, speaker));
    }
    let epoch = Epoch(state.epoch().0 + 1);
    asks.push((local(), Ask::OpenEpoch { epoch, kek: None }));
    for (epoch, record) in state.epochs() {
        if record.phase == state::EpochPhase::Leaving {
            asks.push((local(), Ask::RetireEpoch { epoch }));
        }
    }
    if let Some(object) = state.objects().find(|object| !object.is_tombstone()) {
        let uid = *object.uid();
        asks.push((user("alice"), Ask::Destroy { uid }));
    }
    // Seldom: afterwards only one is left.
    if state.records().is_multiple_of(8) {
        let lineage = state.lineage() + 1;
        let fork = Ask::ForkLineage {
            lineage,
            node: speaker,
            origin: format!("strongroom/test/lineage-{lineage}"),
            lost: 0,
        };
        asks.push((local(), fork));
    }
    asks
}

/// Those about closed logs and where they go.
fn sensible_transfers(state: &State, speaker: NodeId) -> Vec<(Actor, Ask)> {
    let rotate = Ask::RotateLog {
        node: speaker,
        log: View::System,
        head: None,
        cause: RotationCause::Schedule,
    };
    let put = Ask::PutDestination {
        name: name("here"),
        destination: destination(),
    };
    let mut asks = vec![(Actor::Node(speaker), rotate), (local(), put)];
    for (name, standing) in state.destinations() {
        let remove = Ask::RemoveDestination { name: name.clone() };
        asks.push((local(), remove));
        for stream in state.streams() {
            let node = stream.node.unwrap_or(speaker);
            let waiting = state.waiting_for(standing, stream).next();
            asks.extend(waiting.map(|closed| {
                let record = Ask::RecordTransfer {
                    node,
                    destination: name.clone(),
                    log: stream.log,
                    number: closed.number,
                    outcome: TransferOutcome::Delivered {
                        digest: hash(1),
                        bytes: 1,
                    },
                };
                (Actor::Node(node), record)
            }));
        }
    }
    asks
}

/// A destination that gets everything.
pub(crate) fn destination() -> Destination {
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
