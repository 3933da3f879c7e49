//! Approved-algorithms mode: what it refuses, from when on, and that it can be left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use world::*;

const TRIPLE_DES: u32 = 0x02;
const CHACHA: u32 = 0x1C;

fn switch(value: &str) -> Ask {
    let values = vec![SettingValue {
        id: setting::APPROVED.to_string(),
        value: value.to_string(),
    }];
    Ask::Configure { node: NODE, values }
}

fn create(code: u32, bits: i32) -> Ask {
    Ask::Create {
        attributes: algorithm(code, bits),
    }
}

fn register(code: u32, bits: i32) -> Ask {
    Ask::Register {
        object_type: ObjectType::SymmetricKey,
        attributes: algorithm(code, bits),
    }
}

fn made(events: &[Event]) -> Uid {
    match events {
        [Event::ObjectCreated { uid, .. }] => *uid,
        other => panic!("{other:?}"),
    }
}

fn not_approved(events: &[Event]) -> String {
    match denial(events) {
        Some(Denial::NotApproved { what }) => what.clone(),
        other => panic!("{other:?}"),
    }
}

fn get(world: &World, uid: &Uid) -> Result<(), Denial> {
    let alice = user("alice");
    permit(&world.state, &alice, Read::Material, uid, world.now).map(|_| ())
}

#[test]
fn what_is_not_approved_is_neither_made_nor_taken_in_nor_given_out() {
    let mut world = World::new();
    let alice = user("alice");
    let old = made(&world.must(&alice, create(TRIPLE_DES, 168)));
    let good = world.key("alice", &[]);
    assert!(!world.state.is_approved_mode());
    world.must(&operator(), switch("yes"));
    assert!(world.state.is_approved_mode());

    assert_eq!(
        not_approved(&world.ask(&alice, create(TRIPLE_DES, 168))),
        "3DES"
    );
    assert_eq!(
        not_approved(&world.ask(&alice, create(CHACHA, 256))),
        "ChaCha20"
    );
    assert_eq!(
        not_approved(&world.ask(&alice, register(TRIPLE_DES, 168))),
        "3DES"
    );
    // The same words before anything is proposed.
    let early = admit(&world.state, &alice, &create(CHACHA, 256), world.now);
    let what = "ChaCha20".to_string();
    assert_eq!(early, Err(Denial::NotApproved { what }));
    world.key("alice", &[]);

    let what = "3DES".to_string();
    assert_eq!(get(&world, &old), Err(Denial::NotApproved { what }));
    assert_eq!(get(&world, &good), Ok(()));
    // It is not lost: its attributes are read, and it can be destroyed or kept for later.
    let attributes = permit(&world.state, &alice, Read::Attributes, &old, world.now);
    assert!(attributes.is_ok());
    world.must(&operator(), switch("no"));
    assert_eq!(get(&world, &old), Ok(()));
    world.must(&operator(), switch("yes"));
    world.must(&alice, Ask::Destroy { uid: old });
    assert_eq!(get(&world, &old), Err(Denial::Destroyed));
    assert_eq!(world.replayed().digest(), world.state.digest());
}

#[test]
fn objects_that_say_nothing_of_an_algorithm_are_not_judged() {
    let mut world = World::new();
    world.must(&operator(), switch("yes"));
    let alice = user("alice");
    let register = |object_type, attributes| Ask::Register {
        object_type,
        attributes,
    };
    let mask = algorithm(0, 0).pop().unwrap();
    world.must(&alice, register(ObjectType::OpaqueObject, vec![]));
    world.must(&alice, register(ObjectType::SecretData, vec![mask]));
}

#[test]
fn a_password_from_before_is_changed_first() {
    let mut world = World::new();
    let everything = Permissions::ALL_OF_FORMAT_4;
    world.must(&local(), put_admin("admin", everything));
    let admin = admin("admin", Door::Console);
    world.wait(10);
    world.must(&admin, switch("yes"));
    let denied = world.ask(&admin, switch("no"));
    assert_eq!(denial(&denied), Some(&Denial::PasswordMustChange));
    let known = world.state.administrator(&name("admin")).unwrap();
    assert!(world.state.is_unapproved(known));
    // Asking twice does not begin anew, nor does a password that was set since count.
    let password = hash(77);
    world.wait(10);
    world.must(&admin, Ask::ChangePassword { password });
    let known = world.state.administrator(&name("admin")).unwrap();
    assert!(!world.state.is_unapproved(known));
    world.must(&admin, switch("no"));
    assert!(!world.state.is_approved_mode());
}

#[test]
fn it_waits_for_members_that_do_not_know_it() {
    let mut world = World::unfounded();
    let found = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([1; 16]),
        origin: "strongroom/test/lineage-1".to_string(),
        node: NODE,
    };
    let node = Actor::Node(NODE);
    world.must(&node, found);
    let start = |format| Ask::StartNode {
        node: NODE,
        version: "0.2.0".to_string(),
        format,
    };
    world.must(&node, start(FORMAT - 1));
    let refused = world.ask(&local(), switch("yes"));
    assert!(matches!(
        denial(&refused),
        Some(Denial::NeedsNewerMembers { needs, .. }) if *needs == FORMAT
    ));
    world.must(&node, start(FORMAT));
    world.must(&local(), switch("yes"));
    assert!(world.state.is_approved_mode());
}
