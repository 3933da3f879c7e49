//! What a cluster needs beyond its scenarios: limits, formats, repetitions, objects that come from
//! old disks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod asks;
mod world;

use asks::*;
use domain::*;
use proptest::prelude::*;
use world::*;

fn limit(events: &[Event]) -> &str {
    match denial(events) {
        Some(Denial::LimitReached { limit }) => limit,
        other => panic!("{other:?}"),
    }
}

/// A cluster that was founded by a program of the first format.
fn old_world() -> World {
    let mut world = World::unfounded();
    let found = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([7; 16]),
        origin: "strongroom/test/lineage-1".to_string(),
        node: NODE,
    };
    world.must(&operator(), found);
    world
}

#[test]
fn nothing_new_is_asked_before_every_member_understands_it() {
    let mut world = old_world();
    let scrub = || Ask::BeginScrub;
    let open = |kek| Ask::OpenEpoch {
        epoch: Epoch(2),
        kek,
    };
    for ask in [scrub(), open(Some(hash(1)))] {
        let events = world.ask(&operator(), ask);
        let needs = Denial::NeedsNewerMembers {
            needs: 2,
            node: NODE,
            has: 1,
        };
        assert_eq!(denial(&events), Some(&needs));
    }
    assert_eq!(world.state.format(), 1);
    let started = |format| Ask::StartNode {
        node: NODE,
        version: "0".to_string(),
        format,
    };
    world.must(&Actor::Node(NODE), started(1));
    world.must(&operator(), open(None));
    world.must(&Actor::Node(NODE), started(2));
    assert_eq!(world.state.format(), 2);
    world.must(&operator(), scrub());
    let events = world.ask(&Actor::Node(NODE), started(1));
    let older = Denial::Downgrade {
        format: 1,
        needs: 2,
    };
    assert_eq!(denial(&events), Some(&older));
}

#[test]
fn a_cluster_goes_to_a_format_when_its_last_member_does() {
    let mut world = World::new();
    let second = world.join(2, MemberRole::Voter);
    let upgrade = |world: &mut World, node, format| {
        let version = "9".to_string();
        let ask = Ask::StartNode {
            node,
            version,
            format,
        };
        world.must(&Actor::Node(node), ask);
        world.state.format()
    };
    assert_eq!(upgrade(&mut world, NODE, FORMAT + 2), FORMAT);
    // As long as not all have gone on, a member may go back.
    assert_eq!(upgrade(&mut world, NODE, FORMAT + 1), FORMAT);
    assert_eq!(world.state.oldest_format(), Some((second, FORMAT)));
    assert_eq!(upgrade(&mut world, second, FORMAT + 3), FORMAT + 1);
    // Also when the one that held the others back is removed.
    world.must(&operator(), Ask::RemoveNode { node: NODE });
    world.rotate();
    assert_eq!(world.state.format(), FORMAT + 1);
    world.must(&operator(), Ask::ConfirmRemoved { node: NODE });
    assert_eq!(world.state.format(), FORMAT + 3);
}

/// Asks for a group of a user under a token.
fn put(world: &mut World, actor: &Actor, user: &str, once: u64) -> Vec<Event> {
    let groups = member(&format!("g{once}"), GroupRole::Use);
    let name = name(user);
    let mut command = world.command(actor, Ask::PutUser { name, groups });
    command.facts.once = Some(hash(once));
    world.apply(&command)
}

fn create(world: &mut World, who: &str, text: &str, once: u64) -> Vec<Event> {
    let mut command = world.command(&user(who), aes256(&[Attribute::named(text)]));
    command.facts.once = Some(hash(once));
    world.apply(&command)
}

#[test]
fn a_repeated_create_makes_no_second_object() {
    let mut world = World::new();
    let alice = user("alice");
    let [Event::ObjectCreated { uid, .. }] = create(&mut world, "alice", "a", 1)[..] else {
        panic!();
    };
    // Also with another name, and when the name is taken: the token says that it is the same.
    assert_eq!(create(&mut world, "alice", "a", 1), []);
    assert_eq!(create(&mut world, "alice", "b", 1), []);
    assert_eq!(world.state.repeated(&alice, &hash(1)), Some(Some(uid)));
    assert_eq!(world.state.object_count(), 1);
    // Another user with the same token is not the same, nor is the staff.
    assert_eq!(world.state.repeated(&user("bob"), &hash(1)), None);
    assert_eq!(world.state.repeated(&operator(), &hash(1)), None);
    assert_eq!(create(&mut world, "bob", "a", 1).len(), 1);
    assert_eq!(put(&mut world, &operator(), "eve", 1).len(), 1);
    assert_eq!(put(&mut world, &Actor::Node(NODE), "eve", 1), []);
    // A refused command may be tried again.
    assert!(denial(&create(&mut world, "alice", "a", 2)).is_some());
    assert_eq!(world.state.repeated(&alice, &hash(2)), None);
    world.must(&alice, Ask::Destroy { uid });
    assert_eq!(create(&mut world, "alice", "a", 2).len(), 1);
    // Who cannot be identified learns nothing of what was done.
    world.must(
        &operator(),
        Ask::RevokeUser {
            name: name("alice"),
        },
    );
    let events = create(&mut world, "alice", "a", 1);
    assert_eq!(denial(&events), Some(&Denial::CertificateNotAccepted));
    assert_eq!(world.replayed(), world.state);
}

#[test]
fn a_token_is_remembered_for_a_day_and_with_what_it_created() {
    let mut world = World::new();
    let key = world.key(
        "alice",
        &[date(tag::ACTIVATION_DATE, Time(START.0 + 5_000))],
    );
    world.wait(10);
    // One command, two records: the date came, and then it is revoked.
    let ask = Ask::Revoke {
        uid: key,
        reason: 1,
        message: None,
        compromise_occurred: None,
    };
    let mut command = world.command(&user("alice"), ask);
    command.facts.once = Some(hash(1));
    assert_eq!(world.apply(&command).len(), 2);
    assert_eq!(world.apply(&command), []);
    let alice = user("alice");
    assert_eq!(world.state.repeated(&alice, &hash(1)), Some(None));
    world.wait(86_399);
    world.must(&operator(), Ask::BeginScrub);
    assert_eq!(world.state.repeated(&alice, &hash(1)), Some(None));
    world.wait(1);
    world.must(&operator(), Ask::BeginScrub);
    assert_eq!(world.state.repeated(&alice, &hash(1)), None);
    // A clock that goes back does not bring it back, and nothing is remembered for ever.
    world.wait(-90_000);
    world.must(&operator(), Ask::BeginScrub);
    assert_eq!(world.state.repeated(&alice, &hash(1)), None);
    create(&mut world, "alice", "late", 2);
    world.wait(3 * 86_400);
    world.must(&operator(), Ask::BeginScrub);
    assert_eq!(world.state.repeated(&alice, &hash(2)), None);
}

#[test]
fn the_oldest_tokens_go_when_there_are_too_many() {
    let mut world = World::new();
    let many = state::ONCE_MAX as u64 + 3;
    let event = Event::UserPut {
        name: name("eve"),
        groups: vec![],
    };
    let mut record = Record {
        v: 1,
        entry: 1_000,
        time: START,
        actor: operator(),
        event,
        once: None,
    };
    for n in 0..many {
        record.once = Some(hash(n));
        world.state.evolve(&record);
    }
    let known = |n| world.state.repeated(&operator(), &hash(n)).is_some();
    assert_eq!(
        [known(0), known(2), known(3), known(many - 1)],
        [false, false, true, true]
    );
}

#[test]
fn tickets_requests_members_and_votes_are_bounded() {
    let mut world = World::new();
    let ticket = |n: u64| Ask::IssueTicket {
        ticket: hash(0x71_0000 + n),
        expires: Time(START.0 + 600_000),
    };
    for n in 0..16 {
        world.must(&operator(), ticket(n));
    }
    assert_eq!(
        limit(&world.ask(&operator(), ticket(16))),
        "16 open tickets"
    );
    let request = |n: u64| Ask::RequestJoin {
        ticket: hash(0x71_0000 + n),
        candidate: candidate(100 + n, MemberRole::Voter),
    };
    for n in 0..8 {
        world.must(&Actor::Node(NODE), request(n));
    }
    let events = world.ask(&Actor::Node(NODE), request(8));
    assert_eq!(limit(&events), "8 nodes that wait to be let in");
    // Used tickets are not open, and expired ones neither.
    world.must(&operator(), ticket(16));
    world.wait(3_700);
    assert_eq!(world.state.join_requests(world.now).count(), 0);
    for n in 32..=37 {
        world.join(n, MemberRole::Voter);
    }
    world.request(38, MemberRole::Witness);
    let events = world.ask(&operator(), Ask::ApproveJoin { key: node_key(38) });
    assert_eq!(
        limit(&events),
        "7 members that vote; let it in as a learner"
    );
    for n in 39..=63 {
        world.join(n, MemberRole::Learner);
    }
    let promote = Ask::ConfirmMember {
        node: NodeId(8),
        role: MemberRole::Voter,
    };
    assert!(limit(&world.ask(&Actor::Node(NODE), promote)).starts_with("7 members that vote"));
    world.request(64, MemberRole::Learner);
    let events = world.ask(&operator(), Ask::ApproveJoin { key: node_key(64) });
    assert_eq!(limit(&events), "32 members");
    assert_eq!(world.replayed(), world.state);
}

#[test]
fn a_kek_is_not_used_for_a_second_epoch() {
    let mut world = World::new();
    world.rotate();
    let kek = world.state.epoch_record(Epoch(2)).unwrap().kek;
    assert!(kek.is_some());
    let epoch = Epoch(3);
    let events = world.ask(&operator(), Ask::OpenEpoch { epoch, kek });
    let what = "KEK".to_string();
    assert_eq!(denial(&events), Some(&Denial::AlreadyExists { what }));
}

/// What of an object must be the same after a salvage: all but when it changed, and what is
/// claimed of its past.
fn lasting(object: &Object, now: Time) -> Vec<Attribute> {
    let past = ["Last Change Date", "Always Sensitive", "Never Extractable"];
    let mut attributes = object.attributes(now);
    attributes.retain(|attribute| !past.contains(&attribute.name.to_string().as_str()));
    attributes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever became of an object on an old member, it can be salvaged as it is; what was
    /// destroyed there cannot, and nothing can be salvaged twice.
    #[test]
    fn every_living_object_can_be_salvaged_as_it_is(
        asks in prop::collection::vec((any_user(), any_object_ask()), 1..40),
    ) {
        let mut old = World::new();
        for (actor, ask) in asks {
            old.ask(&actor, ask);
        }
        let mut new = World::new();
        new.wait(5);
        let uids: Vec<Uid> = old.state.objects().map(|object| *object.uid()).collect();
        for uid in uids {
            let there = old.state.object(&uid).unwrap();
            let Some(ask) = old.state.salvage_of(&uid, NODE) else {
                prop_assert!(there.is_tombstone());
                continue;
            };
            let events = new.must(&operator(), ask.clone());
            let record = new.log.last().unwrap();
            prop_assert!(codec::to_vec(record).len() <= RECORD_BYTES_MAX);
            prop_assert_eq!(events.len(), 1);
            let here = new.state.object(&uid).unwrap();
            prop_assert_eq!(here.recorded_state(), there.recorded_state());
            prop_assert_eq!(lasting(here, new.now), lasting(there, new.now));
            let owner = here.owner(&new.state).unwrap().clone();
            for text in here.names() {
                prop_assert_eq!(new.state.find_name(&owner, text), Some(uid));
            }
            let again = new.ask(&operator(), ask.clone());
            prop_assert!(denial(&again).is_some());
            let gone = new.ask(&user(owner.as_str()), Ask::Destroy { uid });
            if denial(&gone).is_none() {
                let again = new.ask(&operator(), ask);
                prop_assert!(denial(&again).is_some(), "a tombstone came back");
            }
        }
        prop_assert_eq!(new.replayed(), new.state);
    }
}
