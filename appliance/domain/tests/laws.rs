//! Laws that hold for every sequence of commands, however foolish or hostile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::{BTreeMap, BTreeSet};
use world::*;

/// Identifiers that commands may name: those the world gives out first, and one that it never does.
const OBJECTS: u64 = 4;

/// Users of the KMIP door, mostly the one that owns most.
fn any_user() -> impl Strategy<Value = Actor> {
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

fn any_staff() -> impl Strategy<Value = Actor> {
    prop_oneof![
        5 => Just(operator()),
        5 => Just(Actor::Node(NODE)),
        1 => Just(Actor::Node(NodeId(9))),
        1 => Just(Actor::Unknown { source: "203.0.113.9:1".to_string() }),
    ]
}

fn any_uid() -> impl Strategy<Value = Uid> {
    (0..=OBJECTS).prop_map(uid)
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

fn any_object_ask() -> impl Strategy<Value = Ask> {
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

fn any_cluster_ask() -> impl Strategy<Value = Ask> {
    let node = prop_oneof![4 => Just(NODE), 1 => Just(NodeId(9))];
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
        1 => (node.clone(), "[a\n]{0,2}")
            .prop_map(|(node, version)| Ask::StartNode { node, version, format: 1 }),
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
        6 => epoch.clone().prop_map(|epoch| Ask::OpenEpoch { epoch, kek: None }),
        6 => (node.clone(), epoch.clone())
            .prop_map(|(node, epoch)| Ask::ConfirmReseal { node, epoch }),
        6 => epoch.clone().prop_map(|epoch| Ask::RetireEpoch { epoch }),
        6 => (node, epoch).prop_map(|(node, epoch)| Ask::ConfirmRetire { node, epoch }),
        4 => slot.clone().prop_map(|name| Ask::AddSlot { name, kind: "tpm".to_string() }),
        3 => slot.prop_map(|name| Ask::RemoveSlot { name }),
        1 => number.prop_map(|size| Ask::RecordExport { size, root: hash(1), digest: hash(2) }),
        1 => prop::option::weighted(0.3, policy)
            .prop_map(|p| Ask::SetKeyPolicy { policy: p.unwrap_or_default() }),
    ]
}

/// A step: who, what, how far the clock moves (seconds, also back), and what is wrong with the
/// facts (mostly nothing).
type Step = (Actor, Ask, i64, u8);

fn any_step() -> impl Strategy<Value = Step> {
    let asked = prop_oneof![
        9 => (any_user(), any_object_ask()),
        6 => (any_staff(), any_cluster_ask()),
        1 => (any_user(), any_cluster_ask()),
        1 => (any_staff(), any_object_ask()),
    ];
    (asked, -5i64..40, 0u8..20).prop_map(|((actor, ask), seconds, how)| (actor, ask, seconds, how))
}

/// Facts as a broken or late proposing node would supply them.
fn spoil(facts: &mut Facts, how: u8) -> bool {
    match how {
        6 => facts.uid = Some(uid(0)),
        7 => facts.material = None,
        8 => facts
            .material
            .iter_mut()
            .for_each(|m| m.epoch = Epoch(m.epoch.0 + 1)),
        _ => return false,
    }
    true
}

/// Asks that may find everything as it should be and say nothing; see the docs of `decide`.
fn may_say_nothing(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::PutUser { .. }
            | Ask::SetKeyPolicy { .. }
            | Ask::AnchorAccessLog { .. }
            | Ask::AddLogKey { .. }
            | Ask::ConfirmReseal { .. }
            | Ask::ConfirmRetire { .. }
            | Ask::ApplySchedule
    )
}

/// Everything that is to be seen of a state but the numbers of records.
fn seen(state: &State, now: Time) -> String {
    let objects: Vec<_> = state.objects().map(|o| (o, o.attributes(now))).collect();
    let users: Vec<_> = state.users().collect();
    let epochs: Vec<_> = state.epochs().collect();
    let waiting: Vec<_> = state.awaiting_final().collect();
    let slots: Vec<_> = state.slots().collect();
    let nodes: Vec<_> = state.nodes().collect();
    format!(
        "{objects:?} {users:?} {epochs:?} {waiting:?} {slots:?} {nodes:?} {:?} {:?} {:?} {}",
        state.policy(),
        state.log_keys(),
        state.next_due(),
        state.exports(),
    )
}

/// Checks what must hold between a state and the one after a record.
fn check_step(before: &State, after: &State, record: &Record) {
    assert_eq!(after.records(), before.records() + 1);
    assert_eq!(after.applied_entry(), record.entry);
    for old in before.objects() {
        let new = after.object(old.uid()).expect("no object ever vanishes");
        let (from, to) = (old.recorded_state(), new.recorded_state());
        let along = lifecycle::TRANSITIONS
            .iter()
            .any(|t| t.from == from && t.to == Some(to));
        assert!(from == to || along, "{from} to {to} by {record:?}");
        assert!(
            !old.is_tombstone() || new.is_tombstone(),
            "a tombstone came back: {record:?}"
        );
        assert_eq!(new.is_tombstone(), new.material().is_none());
        assert_eq!(new.owner(after), old.owner(before));
        assert_eq!(new.initial_date(), old.initial_date());
        assert!(!before.is_final(old.uid()) || after.is_final(old.uid()));
    }
    if let Event::Refused { .. } = record.event {
        assert_eq!(seen(before, record.time), seen(after, record.time));
    }
}

/// Checks what must hold in every state.
fn check_state(state: &State) {
    let mut names: BTreeMap<(Name, String), Uid> = BTreeMap::new();
    let mut living: BTreeMap<Name, u64> = BTreeMap::new();
    for object in state.objects().filter(|object| !object.is_tombstone()) {
        let owner = object.owner(state).unwrap().clone();
        *living.entry(owner.clone()).or_default() += 1;
        for text in object.names() {
            let old = names.insert((owner.clone(), text.to_string()), *object.uid());
            assert_eq!(old, None, "{text} twice");
        }
    }
    for ((owner, text), uid) in &names {
        assert_eq!(state.find_name(owner, text), Some(*uid));
    }
    for user in state.users() {
        assert_eq!(
            user.live_objects(),
            living.get(user.name()).copied().unwrap_or(0)
        );
    }
    for at in LifecycleState::ALL {
        let count = state
            .objects()
            .filter(|object| object.recorded_state() == at)
            .count();
        assert_eq!(state.count(at), count as u64, "{at}");
    }
    let waiting: BTreeSet<Uid> = state.awaiting_final().map(|(_, uid)| *uid).collect();
    for object in state.objects() {
        let gone = object.is_tombstone();
        assert_eq!(
            state.is_final(object.uid()),
            gone && !waiting.contains(object.uid())
        );
    }
    let current = state
        .epochs()
        .filter(|(_, r)| r.phase == state::EpochPhase::Current)
        .count();
    let alive = state
        .epochs()
        .filter(|(_, r)| r.phase != state::EpochPhase::Retired)
        .count();
    assert!(
        current == 1 && alive <= 2,
        "at most two epochs can seal an object"
    );
}

/// Carries out one step and checks every law on it.
fn take(world: &mut World, (actor, ask, seconds, how): &Step) {
    world.wait(*seconds);
    let admitted = admit(&world.state, actor, ask, world.now);
    let mut command = world.command(actor, ask.clone());
    let spoiled = spoil(&mut command.facts, *how);

    let bytes = codec::to_vec(&command);
    assert_eq!(codec::from_slice::<Command>(&bytes).as_ref(), Ok(&command));

    let mut state = world.state.clone();
    let events = world.apply(&command);
    assert!(
        !events.is_empty() || may_say_nothing(ask),
        "{ask:?} said nothing"
    );
    match (&admitted, denial(&events)) {
        (Err(refused), said) => assert_eq!(said, Some(refused), "{ask:?}"),
        (Ok(needs), Some(said)) => {
            // Only what was supplied can still be wrong.
            let supplied = needs.uid && (spoiled || world.state.policy().material_bytes_max < 32);
            assert!(supplied, "{ask:?}: {said:?}");
        }
        (Ok(_), None) => {}
    }
    assert!(events.len() == 1 || !events.iter().any(|e| matches!(e, Event::Refused { .. })));
    let first = world.log.len() - events.len();
    for record in &world.log[first..] {
        let bytes = codec::to_vec(record);
        assert!(bytes.len() <= RECORD_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(codec::from_slice::<Record>(&bytes).as_ref(), Ok(record));
        assert!(!summary(record).chars().any(char::is_control));
        let before = state.clone();
        state.evolve(record);
        check_step(&before, &state, record);
    }
    check_state(&world.state);
    if matches!((ask, actor), (Ask::ApplySchedule, Actor::Operator { .. })) {
        let now = world.now;
        let late = world
            .state
            .objects()
            .find(|o| o.state_at(now) != o.recorded_state());
        assert!(late.is_none(), "{late:?}");
        assert!(world.state.next_due().is_none_or(|due| due > now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn every_law_holds_after_every_command(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            take(&mut world, step);
        }
        let replayed = world.replayed();
        prop_assert_eq!(&replayed, &world.state);
        prop_assert_eq!(replayed.digest(), world.state.digest());
        prop_assert_eq!(replayed.records(), world.log.len() as u64);
    }

    /// Records that no `decide` made: out of order, twice, from another world.
    #[test]
    fn evolve_takes_anything(
        steps in prop::collection::vec(any_step(), 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut world = World::new();
        for (actor, ask, seconds, _) in &steps {
            world.wait(*seconds);
            world.ask(actor, ask.clone());
        }
        let mut state = State::default();
        for index in order {
            state.evolve(index.get(&world.log));
        }
        prop_assert!(state.objects().all(|o| o.is_tombstone() == o.material().is_none()));
    }

    /// The digest tells states apart that differ in one record.
    #[test]
    fn digest_differs_when_a_record_is_left_out(
        steps in prop::collection::vec(any_step(), 1..30),
        left_out: prop::sample::Index,
    ) {
        let mut world = World::new();
        for (actor, ask, _, _) in &steps {
            world.ask(actor, ask.clone());
        }
        let left_out = left_out.index(world.log.len());
        let mut state = State::default();
        for (at, record) in world.log.iter().enumerate().filter(|(at, _)| *at != left_out) {
            let _ = at;
            state.evolve(record);
        }
        prop_assert_ne!(state.digest(), world.state.digest());
    }
}

/// The name of what happened, without its fields.
fn kind(event: &Event) -> String {
    let text = format!("{event:?}");
    let end = text.find([' ', '{']).unwrap_or(text.len());
    text[..end].to_string()
}

/// Every kind of event.
const EVENTS: [&str; 26] = [
    "ClusterFounded",
    "NodeStarted",
    "NodeStopped",
    "LogKeyAdded",
    "AccessLogAnchored",
    "UserPut",
    "CertificateIssued",
    "UserRevoked",
    "ObjectCreated",
    "ObjectActivated",
    "ObjectDeactivated",
    "ObjectRevoked",
    "ObjectDestroyed",
    "AttributeAdded",
    "AttributeModified",
    "AttributeDeleted",
    "EpochOpened",
    "ResealConfirmed",
    "EpochRetired",
    "RetireConfirmed",
    "DestroyFinal",
    "SlotAdded",
    "SlotRemoved",
    "LogExported",
    "KeyPolicySet",
    "Refused",
];

/// The laws above are worth what the commands reach: each kind of event, each denial, each state.
#[test]
fn random_commands_reach_every_event_denial_and_state() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(any_step(), 60);
    let (mut events, mut denials) = (BTreeMap::new(), BTreeSet::new());
    let mut states = BTreeSet::new();
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..300 {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        for step in &steps {
            take(&mut world, step);
        }
        states.extend(world.state.objects().map(|object| object.recorded_state()));
        for record in &world.log {
            *events.entry(kind(&record.event)).or_insert(0) += 1;
            match &record.event {
                Event::Refused { denial, .. } => {
                    refused += 1;
                    let text = format!("{denial:?}");
                    denials.insert(text[..text.find([' ', '{']).unwrap_or(text.len())].to_string());
                }
                _ => granted += 1,
            }
        }
    }
    assert_eq!(states.len(), 6);
    let missing: Vec<_> = EVENTS
        .iter()
        .filter(|kind| !events.contains_key(**kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {events:?}");
    // All but Sensitive and NotExtractable, which only reading meets.
    assert_eq!(denials.len(), 18, "{denials:?}");
    assert!(
        granted > refused / 5,
        "{granted} granted, {refused} refused"
    );
}

#[test]
fn nothing_happens_before_the_founding() {
    let mut world = World::unfounded();
    for actor in [operator(), Actor::Node(NODE), user("alice")] {
        let events = world.ask(&actor, Ask::ApplySchedule);
        assert!(
            matches!(denial(&events), Some(Denial::OutOfOrder { .. })),
            "{events:?}"
        );
    }
    assert_eq!(world.state.epoch(), Epoch(0));
    assert_eq!(World::new().state.epoch(), state::FIRST_EPOCH);
}

#[test]
fn one_schedule_command_moves_a_bounded_number_and_the_next_goes_on() {
    let mut world = World::new();
    let soon = Time(START.0 + 1000);
    let count = SCHEDULED_PER_COMMAND_MAX + 5;
    for _ in 0..count {
        world.key("alice", &[date(tag::ACTIVATION_DATE, soon)]);
    }
    world.wait(2);
    for expected in [SCHEDULED_PER_COMMAND_MAX, 5, 0] {
        let events = world.ask(&Actor::Node(NODE), Ask::ApplySchedule);
        assert_eq!(events.len(), expected);
    }
    assert_eq!(world.state.count(LifecycleState::Active), count as u64);
}

#[test]
fn destroy_final_is_cut_into_records_that_fit() {
    let mut world = World::new();
    let mut gone = BTreeSet::new();
    for _ in 0..7_001 {
        let uid = world.key("alice", &[]);
        world.must(&user("alice"), Ask::Destroy { uid });
        gone.insert(uid);
    }
    let node = Actor::Node(NODE);
    world.must(
        &node,
        Ask::OpenEpoch {
            epoch: Epoch(2),
            kek: None,
        },
    );
    world.must(
        &node,
        Ask::ConfirmReseal {
            node: NODE,
            epoch: Epoch(1),
        },
    );
    world.must(&node, Ask::RetireEpoch { epoch: Epoch(1) });
    let events = world.must(
        &node,
        Ask::ConfirmRetire {
            node: NODE,
            epoch: Epoch(1),
        },
    );
    assert_eq!(events.len(), 1 + 3);
    let listed: BTreeSet<Uid> = events
        .iter()
        .filter_map(|event| match event {
            Event::DestroyFinal { objects, .. } => Some(objects.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(listed, gone);
    for record in &world.log {
        assert!(codec::to_vec(record).len() <= RECORD_BYTES_MAX);
    }
    assert_eq!(world.state.awaiting_final().count(), 0);
}

/// What an attacker would send to make a record too long, or every later one.
#[test]
fn no_ask_makes_a_record_that_does_not_fit() {
    let mut world = World::new();
    let big = |n: usize| Attribute::custom(&format!("A{n}"), Value::Text("é".repeat(8_000)));
    let attributes: Vec<Attribute> = algorithm(AES, 256)
        .into_iter()
        .chain((0..9).map(big))
        .collect();
    let events = world.ask(&user("alice"), Ask::Create { attributes });
    assert!(
        matches!(denial(&events), Some(Denial::LimitReached { .. })),
        "{events:?}"
    );
    let uid = world.key("alice", &[big(1), big(2), big(3)]);
    let huge = "n".repeat(1 << 20);
    let vendor = AttributeName::Vendor {
        vendor: huge.clone(),
        name: huge.clone(),
    };
    let asks = [
        Ask::AddAttribute {
            uid,
            attribute: Attribute {
                name: vendor.clone(),
                value: Value::Text(huge.clone()),
            },
        },
        Ask::DeleteAttribute {
            uid,
            name: vendor,
            which: Instance::Equal(Value::Text(huge.clone())),
        },
        Ask::AddAttribute {
            uid,
            attribute: Attribute::named(&huge),
        },
        Ask::Revoke {
            uid,
            reason: 1,
            message: Some(huge),
            compromise_occurred: None,
        },
    ];
    for ask in asks {
        let events = world.ask(&user("alice"), ask);
        assert!(denial(&events).is_some(), "{events:?}");
        for event in &events {
            assert!(codec::to_vec(event).len() < 2_000);
        }
    }
}
