//! Laws that hold for every sequence of commands, however foolish or hostile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod asks;
mod checks;
mod world;

use asks::*;
use checks::*;
use domain::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::{BTreeMap, BTreeSet};
use world::*;

/// A step: who, what, how far the clock moves (seconds, also back), what is wrong with the facts
/// (mostly nothing), and the token that tells a repetition (mostly none).
type Step = (Actor, Ask, i64, u8, Option<u64>);

/// What happens to objects, users and epochs.
fn any_object_step() -> impl Strategy<Value = Step> {
    step(prop_oneof![
        9 => (any_user(), any_object_ask()),
        6 => said_by_staff(any_cluster_ask()),
        1 => (any_user(), any_cluster_ask()),
        1 => (any_staff(), any_object_ask()),
        2 => (any_administrator(), any_cluster_ask()),
    ])
}

/// Administrators among themselves, and what they try at the rest.
fn any_administrator_step() -> impl Strategy<Value = Step> {
    step(prop_oneof![
        4 => said_by_staff(any_administrator_ask()),
        9 => (any_administrator(), any_administrator_ask()),
        4 => (any_administrator(), any_cluster_ask()),
        2 => (any_administrator(), any_membership_ask()),
        2 => (any_administrator(), any_agreement_ask()),
        1 => (any_administrator(), any_object_ask()),
    ])
}

/// What happens to members and between them, besides.
fn any_member_step() -> impl Strategy<Value = Step> {
    step(prop_oneof![
        6 => (any_user(), any_object_ask()),
        4 => said_by_staff(any_cluster_ask()),
        6 => said_by_staff(any_membership_ask()),
        3 => said_by_staff(any_agreement_ask()),
        1 => (any_user(), any_membership_ask()),
        1 => (any_user(), any_agreement_ask()),
    ])
}

fn step(asked: impl Strategy<Value = (Actor, Ask)>) -> impl Strategy<Value = Step> {
    let once = prop::option::weighted(0.2, 0u64..5);
    (asked, -5i64..40, 0u8..20, once)
        .prop_map(|((actor, ask), seconds, how, once)| (actor, ask, seconds, how, once))
}

/// How many members a walk begins with.
fn any_members() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(1), 1 => Just(2), 1 => Just(3)]
}

/// A walk: how many members it begins with, and its steps.
fn any_walk(
    steps: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = (u64, Vec<Step>)> {
    let steps = steps.into();
    let steps = prop_oneof![
        prop::collection::vec(any_object_step(), steps.clone()),
        prop::collection::vec(any_member_step(), steps.clone()),
        prop::collection::vec(any_administrator_step(), steps),
    ];
    (any_members(), steps)
}

/// A world with so many members, all voters.
fn world_of(members: u64) -> World {
    let mut world = World::new();
    for n in 2..=members {
        world.join(n, MemberRole::Voter);
    }
    world
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
            | Ask::IdentifyNode { .. }
            | Ask::RequestJoin { .. }
            | Ask::Rejoin { .. }
            | Ask::ConfirmMember { .. }
            | Ask::RemoveNode { .. }
            | Ask::ConfirmRemoved { .. }
            | Ask::RotateClusterCa { .. }
            | Ask::ReportDigest { .. }
            | Ask::ReportDivergence { .. }
            | Ask::SetOfflineGet { .. }
            | Ask::Configure { .. }
            | Ask::PutAdministrator { .. }
            | Ask::SetSshKeys { .. }
            | Ask::SetPermissions { .. }
            | Ask::PutDestination { .. }
            | Ask::RecordTransfer { .. }
    )
}

/// Carries out one step and checks every law on it.
fn take(world: &mut World, (actor, ask, seconds, how, once): &Step) {
    world.wait(*seconds);
    let admitted = admit(&world.state, actor, ask, world.now);
    let mut command = world.command(actor, ask.clone());
    let spoiled = spoil(&mut command.facts, *how);
    command.facts.once = once.map(hash);
    let known = command
        .facts
        .once
        .and_then(|once| world.state.repeated(actor, &once));

    let bytes = codec::to_vec(&command);
    assert_eq!(codec::from_slice::<Command>(&bytes).as_ref(), Ok(&command));

    let mut state = world.state.clone();
    let events = world.apply(&command);
    assert!(
        !events.is_empty() || may_say_nothing(ask) || known.is_some(),
        "{ask:?} said nothing"
    );
    check_word(&state, &command, &events);
    check_once(world, &command, known, &events);
    match (&admitted, denial(&events)) {
        _ if known.is_some() && events.is_empty() => {}
        (Err(refused), said) => assert_eq!(said, Some(refused), "{ask:?}"),
        (Ok(needs), Some(said)) => {
            // Only what was supplied can still be wrong.
            let supplied = (needs.uid || needs.material)
                && (spoiled || world.state.policy().material_bytes_max < 32);
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
    let scheduled = matches!((ask, actor), (Ask::ApplySchedule, Actor::Operator { .. }));
    if scheduled && known.is_none() && admitted.is_ok() {
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
    fn every_law_holds_after_every_command((members, steps) in any_walk(1..60)) {
        let mut world = world_of(members);
        for step in &steps {
            take(&mut world, step);
        }
        let replayed = world.replayed();
        prop_assert_eq!(&replayed, &world.state);
        prop_assert_eq!(replayed.digest(), world.state.digest());
        prop_assert_eq!(replayed.records(), world.log.len() as u64);
    }

    /// Members come, go, lose their disks and rotate keys, in any order that makes some sense.
    #[test]
    fn every_law_holds_while_members_come_and_go(
        picks in prop::collection::vec(any::<u16>(), 1..200),
    ) {
        let mut world = World::new();
        for pick in picks {
            let (actor, ask) = sensible(&world, pick);
            take(&mut world, &(actor, ask, 1, 0, None));
        }
        prop_assert_eq!(world.replayed(), world.state);
    }

    /// Records that no `decide` made: out of order, twice, from another world.
    #[test]
    fn evolve_takes_anything(
        (members, steps) in any_walk(1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut world = world_of(members);
        for (actor, ask, seconds, ..) in &steps {
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
        (members, steps) in any_walk(1..30),
        left_out: prop::sample::Index,
    ) {
        let mut world = world_of(members);
        for (actor, ask, ..) in &steps {
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
const EVENTS: [&str; 55] = [
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
    "NodeIdentified",
    "TicketIssued",
    "JoinRequested",
    "JoinDenied",
    "NodeAdmitted",
    "MemberConfirmed",
    "NodeLeaving",
    "NodeRemoved",
    "ClusterCaRotated",
    "LineageForked",
    "ObjectSalvaged",
    "ScrubBegun",
    "ScrubReported",
    "DivergenceFound",
    "DivergenceResolved",
    "Repaired",
    "OfflineGetSet",
    "SettingChanged",
    "AdministratorPut",
    "PasswordChanged",
    "SshKeysSet",
    "PermissionsSet",
    "AdministratorRemoved",
    "LogRotated",
    "DestinationPut",
    "DestinationRemoved",
    "LogTransferred",
    "IdentityRenewed",
    "ClockSet",
    "Refused",
];

/// The laws above are worth what the commands reach: each kind of event, each denial, each state.
#[test]
fn random_commands_reach_every_event_denial_and_state() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let picks = prop::collection::vec(any::<u16>(), 60);
    let strategy = (any_walk(60), picks);
    let (mut events, mut denials) = (BTreeMap::new(), BTreeSet::new());
    let mut states = BTreeSet::new();
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..400 {
        let ((members, steps), picks) = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = world_of(members);
        for step in &steps {
            take(&mut world, step);
        }
        for pick in picks {
            let (actor, ask) = sensible(&world, pick);
            take(&mut world, &(actor, ask, 1, 0, None));
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
    // All but Sensitive, NotExtractable and TooStale, which only reading meets, the two of
    // signing in, and NeedsNewerMembers, which is for founders of the first format.
    assert_eq!(denials.len(), 24, "{denials:?}");
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
