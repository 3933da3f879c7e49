//! Officers, administrators with the permission for keys: they make and end keys, and read none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use world::*;

/// A world with `kay`, who may do so much at the web door.
fn with_kay(permissions: &str) -> (World, Actor) {
    let mut world = World::new();
    world.must(&local(), put_admin("root", Permissions::ALL_OF_FORMAT_4));
    let permissions = Permissions::parse(permissions).unwrap();
    world.must(&local(), put_admin("kay", permissions));
    (world, admin("kay", Door::Web))
}

fn made(events: &[Event]) -> Uid {
    match events {
        [Event::ObjectCreated { uid, .. }] => *uid,
        other => panic!("{other:?}"),
    }
}

fn revoke(uid: Uid) -> Ask {
    Ask::Revoke {
        uid,
        reason: 1,
        message: None,
        compromise_occurred: None,
    }
}

#[test]
fn an_officer_makes_a_key_that_the_user_owns() {
    let (mut world, kay) = with_kay("keys,web");
    let uid = made(&world.must(&kay, aes256_for("alice", &[Attribute::named("db")])));
    let object = world.state.object(&uid).unwrap();
    assert_eq!(object.owner(&world.state), Some(&name("alice")));
    assert_eq!(world.state.find_name(&name("alice"), "db"), Some(uid));
    assert_eq!(world.state.user(&name("alice")).unwrap().live_objects(), 1);
    let read = |actor: &Actor| {
        permit(&world.state, actor, Read::Material, &uid, world.now).map(|object| *object.uid())
    };
    assert_eq!(read(&user("alice")), Ok(uid));
    assert_eq!(read(&kay), Err(Denial::NotPermitted));
    assert_eq!(
        read(&user("mallory")),
        Err(Denial::NotFound { forbidden: true })
    );
    // The owner's own rules hold: a name is taken once.
    let again = world.ask(&kay, aes256_for("alice", &[Attribute::named("db")]));
    let taken = Denial::AlreadyExists {
        what: "name".to_string(),
    };
    assert_eq!(denial(&again), Some(&taken));
    let nobody = world.ask(&kay, aes256_for("nobody", &[]));
    assert_eq!(denial(&nobody), Some(&Denial::UnknownUser));
}

#[test]
fn an_officer_leads_any_key_through_its_life_and_sets_no_attribute() {
    let (mut world, kay) = with_kay("keys,web");
    let uid = world.key("alice", &[]);
    let described = Attribute::standard(tag::DESCRIPTION, Value::Text("d".to_string()));
    let add = Ask::AddAttribute {
        uid,
        attribute: described,
    };
    assert_eq!(denial(&world.ask(&kay, add)), Some(&Denial::NotPermitted));
    for (ask, state) in [
        (Ask::Activate { uid }, LifecycleState::Active),
        (revoke(uid), LifecycleState::Deactivated),
        (Ask::Destroy { uid }, LifecycleState::Destroyed),
    ] {
        world.must(&kay, ask);
        assert_eq!(world.state.object(&uid).unwrap().recorded_state(), state);
    }
    let gone = world.ask(&kay, Ask::Activate { uid });
    assert_eq!(denial(&gone), Some(&Denial::Destroyed));
    // What is no officer's: a user cannot make a key for another, a node ends none.
    let theirs = world.ask(&user("mallory"), aes256_for("alice", &[]));
    assert_eq!(denial(&theirs), Some(&Denial::NotPermitted));
    let other = world.key("alice", &[]);
    let nodes = world.ask(&Actor::Node(NODE), Ask::Destroy { uid: other });
    assert_eq!(denial(&nodes), Some(&Denial::NotPermitted));
}

#[test]
fn without_the_permission_nothing_is_made_or_ended() {
    let (mut world, kay) = with_kay("users,certificates,logging,web");
    let uid = world.key("alice", &[]);
    let asks = [
        aes256_for("alice", &[]),
        Ask::Activate { uid },
        revoke(uid),
        Ask::Destroy { uid },
    ];
    for ask in asks {
        let missing = Denial::PermissionMissing {
            permission: Permission::Keys,
        };
        assert_eq!(denial(&world.ask(&kay, ask)), Some(&missing));
    }
}

/// A member with an older program refuses all of it; so does a newer one beside it.
#[test]
fn nothing_changes_before_all_members_know_officers() {
    let mut world = World::unfounded();
    world.must(
        &local(),
        Ask::FoundCluster {
            cluster: ClusterId::from_bytes([7; 16]),
            origin: "strongroom/07/lineage-1".to_string(),
            node: NODE,
        },
    );
    let started = |format| Ask::StartNode {
        node: NODE,
        version: "1".to_string(),
        format,
    };
    world.must(&Actor::Node(NODE), started(4));
    world.must(
        &local(),
        Ask::PutUser {
            name: name("alice"),
            groups: vec![],
        },
    );
    world.issue("alice", "alice");
    let uid = world.key("alice", &[]);
    let refused = world.ask(&local(), Ask::Activate { uid });
    assert_eq!(denial(&refused), Some(&Denial::NotPermitted));
    let refused = world.ask(&local(), aes256_for("alice", &[]));
    let newer = Denial::NeedsNewerMembers {
        needs: 5,
        node: NODE,
        has: 4,
    };
    assert_eq!(denial(&refused), Some(&newer));
    world.must(&Actor::Node(NODE), started(5));
    world.must(&local(), Ask::Activate { uid });
    world.must(&local(), aes256_for("alice", &[]));
}

/// While members differ, officers change keys as little as users do.
#[test]
fn officers_wait_while_members_differ() {
    let (mut world, kay) = with_kay("keys,web");
    let uid = world.key("alice", &[]);
    world.join(2, MemberRole::Voter);
    let found = Ask::ReportDivergence {
        size: 1,
        node: NODE,
        root: hash(1),
        other: NodeId(2),
        other_root: hash(2),
    };
    world.must(&operator(), found);
    for ask in [Ask::Destroy { uid }, aes256_for("alice", &[])] {
        assert_eq!(denial(&world.ask(&kay, ask)), Some(&Denial::Diverged));
    }
}
