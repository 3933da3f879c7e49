//! The permission matrix: every ask and every read, by everybody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod matrix;
mod world;

use domain::*;
use matrix::*;
use world::*;

/// Columns of the matrix.
const ACTORS: [&str; 9] = [
    "owner", "manager", "user", "stranger", "expired", "impostor", "operator", "node", "unknown",
];

fn actor(column: &str) -> Actor {
    match column {
        "owner" => user("alice"),
        "manager" => user("carol"),
        "user" => user("bob"),
        "stranger" => user("mallory"),
        "expired" => user("walter"),
        // A certificate of another user: what a door that mixed up names would bring.
        "impostor" => Actor::User {
            name: name("alice"),
            certificate: certificate("mallory"),
            source: String::new(),
        },
        "operator" => operator(),
        "node" => Actor::Node(NODE),
        _ => Actor::Unknown {
            source: "203.0.113.9:1".to_string(),
        },
    }
}

/// One letter for an outcome.
fn letter(outcome: Option<&Denial>) -> char {
    match outcome {
        None => '+',
        Some(Denial::NotFound { forbidden: true }) => 'f',
        Some(Denial::NotFound { forbidden: false }) => 'n',
        Some(Denial::NotPermitted) => 'p',
        Some(Denial::UnknownUser) => 'u',
        Some(Denial::CertificateNotAccepted) => 'c',
        Some(Denial::Diverged) => 'd',
        Some(other) => panic!("{other:?}"),
    }
}

/// The world of the matrix: a key of alice that is shared with the group `tape`.
fn shared() -> (World, Uid) {
    let mut world = World::new();
    world.must(
        &operator(),
        Ask::PutUser {
            name: name("walter"),
            groups: vec![],
        },
    );
    let ask = Ask::IssueCertificate {
        user: name("walter"),
        certificate: certificate("walter"),
        serial: "2".to_string(),
        not_after: Time(START.0 - 1),
    };
    world.must(&operator(), ask);
    let description = Attribute::standard(tag::DESCRIPTION, Value::Text("d".to_string()));
    let uid = world.key("alice", &[group("tape"), description]);
    (world, uid)
}

#[test]
fn every_ask_by_everybody() {
    let (_, uid) = shared();
    let rows: Vec<_> = rows(uid).into_iter().chain(cluster_rows()).collect();
    let mut covered: Vec<usize> = rows.iter().map(|(ask, _)| number(ask)).collect();
    covered.push(0); // FoundCluster is below: it needs another world.
    covered.sort_unstable();
    covered.dedup();
    assert_eq!(covered, (0..58).collect::<Vec<_>>());

    for (ask, row) in rows {
        let happened: String = ACTORS
            .iter()
            .map(|column| {
                let (mut world, _) = shared();
                prepare(&mut world, &ask);
                let events = world.ask(&actor(column), ask.clone());
                assert!(
                    !events.is_empty() || ask == Ask::ApplySchedule,
                    "{column}: {ask:?}"
                );
                letter(denial(&events))
            })
            .collect();
        assert_eq!(happened, row, "{ask:?}");
    }
}

/// A member that is being removed may say that it stops, and nothing else.
#[test]
fn the_word_of_a_leaving_member_does_not_count() {
    let second = NodeId(2);
    let asks = rows(uid(0)).into_iter().chain(cluster_rows());
    for ask in asks
        .map(|(ask, _)| ask)
        .chain([start(second), identify(second)])
    {
        let mut world = World::new();
        world.join(2, MemberRole::Voter);
        world.must(&Actor::Node(second), Ask::RemoveNode { node: second });
        let events = world.ask(&Actor::Node(second), ask.clone());
        assert_eq!(denial(&events), Some(&Denial::NotPermitted), "{ask:?}");
        world.must(&Actor::Node(second), Ask::StopNode { node: second });
        // Once it is out, it is nobody.
        world.rotate();
        world.must(&operator(), Ask::ConfirmRemoved { node: second });
        let events = world.ask(&Actor::Node(second), Ask::StopNode { node: second });
        assert_eq!(denial(&events), Some(&Denial::UnknownUser));
    }
}

#[test]
fn only_staff_founds_a_cluster() {
    let ask = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([1; 16]),
        origin: "o".to_string(),
        node: NODE,
    };
    for (column, granted) in [
        ("owner", false),
        ("operator", true),
        ("node", true),
        ("unknown", false),
    ] {
        let mut world = World::unfounded();
        let events = world.ask(&actor(column), ask.clone());
        assert_eq!(denial(&events).is_none(), granted, "{column}");
    }
}

#[test]
fn every_read_by_everybody() {
    let (mut world, uid) = shared();
    let rows = [
        (Read::Material, "+++fccppu"),
        (Read::Attributes, "+++fcc++u"),
        (Read::AttributeList, "+++fcc++u"),
    ];
    for (read, row) in rows {
        let happened: String = ACTORS
            .iter()
            .map(|column| {
                let outcome = permit(&world.state, &actor(column), read, &uid, world.now);
                letter(outcome.err().as_ref())
            })
            .collect();
        assert_eq!(happened, row, "{read:?}");
    }
    // What never was: the same answer for all who may ask, but the log knows that it is another.
    let never = world::uid(99);
    let outcome = permit(
        &world.state,
        &user("mallory"),
        Read::Material,
        &never,
        world.now,
    );
    assert_eq!(outcome.unwrap_err(), Denial::NotFound { forbidden: false });

    let object = world.state.object(&uid).unwrap();
    let seen: String = ACTORS
        .iter()
        .map(|column| {
            if may_see(&world.state, &actor(column), object) {
                '+'
            } else {
                '-'
            }
        })
        .collect();
    // Locate looks at who asks, not again at the certificate.
    assert_eq!(seen, "+++--+++-");

    world.must(&user("alice"), Ask::Destroy { uid });
    let of_tombstone = |read| permit(&world.state, &user("bob"), read, &uid, world.now);
    assert_eq!(of_tombstone(Read::Material).unwrap_err(), Denial::Destroyed);
    assert!(of_tombstone(Read::Attributes).unwrap().is_tombstone());
    let stranger = permit(
        &world.state,
        &user("mallory"),
        Read::Material,
        &uid,
        world.now,
    );
    assert_eq!(stranger.unwrap_err(), Denial::NotFound { forbidden: true });
}

#[test]
fn certificates_end_with_their_date_and_with_their_user() {
    let mut world = World::new();
    let check = |world: &World, who: &str, of: &str| {
        authenticate(&world.state, &name(who), &certificate(of), world.now)
    };
    assert_eq!(check(&world, "alice", "alice"), Ok(()));
    assert_eq!(
        check(&world, "alice", "bob"),
        Err(Denial::CertificateNotAccepted)
    );
    assert_eq!(
        check(&world, "alice", "forged"),
        Err(Denial::CertificateNotAccepted)
    );
    assert_eq!(check(&world, "eve", "alice"), Err(Denial::UnknownUser));

    world.must(
        &operator(),
        Ask::RevokeUser {
            name: name("alice"),
        },
    );
    assert_eq!(
        check(&world, "alice", "alice"),
        Err(Denial::CertificateNotAccepted)
    );
    assert_eq!(
        world.state.user(&name("alice")).unwrap().revoked(),
        Some(world.now)
    );
    // A new certificate is accepted; the old one stays dead.
    world.issue("alice", "alice-2");
    assert_eq!(check(&world, "alice", "alice-2"), Ok(()));
    assert_eq!(
        check(&world, "alice", "alice"),
        Err(Denial::CertificateNotAccepted)
    );
    // A certificate is issued once, to one user.
    let again = Ask::IssueCertificate {
        user: name("bob"),
        certificate: certificate("alice"),
        serial: "1".to_string(),
        not_after: START,
    };
    let events = world.ask(&operator(), again);
    assert_eq!(
        denial(&events).unwrap().to_string(),
        "that certificate exists already"
    );

    world.wait(365 * 86_400 - 1);
    assert_eq!(check(&world, "bob", "bob"), Ok(()));
    world.wait(2);
    assert_eq!(
        check(&world, "bob", "bob"),
        Err(Denial::CertificateNotAccepted)
    );
}

/// While there is no administrator, people at the machine alone decide; later, whoever has the
/// permission, wherever they came in.
#[test]
fn the_first_administrator_is_made_at_two_doors_only() {
    let administrator = Ask::PutAdministrator {
        name: name("root"),
        password: Some(hash(1)),
        ssh_keys: vec![],
        permissions: None,
        must_change: false,
    };
    let doors = [
        (Door::Kmip, false),
        (Door::Socket, true),
        (Door::Console, true),
        (Door::Ssh, false),
        (Door::Web, false),
        (Door::Scheduler, false),
    ];
    for (door, granted) in doors {
        for ask in [configure(NODE), administrator.clone()] {
            let mut world = World::new();
            let events = world.ask(&admin("root", door), ask.clone());
            let expected = (!granted).then_some(&Denial::UnknownAdministrator);
            assert_eq!(denial(&events), expected, "{door:?}");
            world.must(&local(), administrator.clone());
            let events = world.ask(&admin("root", door), ask);
            let people = granted || matches!(door, Door::Ssh | Door::Web);
            assert_eq!(denial(&events).is_none(), people, "{door:?}");
        }
    }
}

#[test]
fn a_node_speaks_for_itself_only() {
    let mut world = World::new();
    for (node, granted) in [(NODE, true), (NodeId(2), false)] {
        let ask = Ask::AnchorAccessLog {
            node,
            size: 1,
            root: hash(1),
        };
        let events = world.ask(&Actor::Node(NODE), ask);
        assert_eq!(denial(&events).is_none(), granted);
    }
    let events = world.ask(&Actor::Node(NodeId(2)), Ask::ApplySchedule);
    assert_eq!(denial(&events), Some(&Denial::UnknownUser));
}
