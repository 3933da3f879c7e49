//! Settings and administrators: what is set, what is refused, who has what afterwards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use world::*;

fn values(pairs: &[(&str, &str)]) -> Vec<SettingValue> {
    let value = |(id, value): &(&str, &str)| SettingValue {
        id: id.to_string(),
        value: value.to_string(),
    };
    pairs.iter().map(value).collect()
}

fn configure(node: NodeId, pairs: &[(&str, &str)]) -> Ask {
    let values = values(pairs);
    Ask::Configure { node, values }
}

fn changed(node: Option<NodeId>, id: &str, value: &str) -> Event {
    Event::SettingChanged {
        node,
        id: id.to_string(),
        value: value.to_string(),
    }
}

fn said(events: &[Event]) -> String {
    denial(events).expect("refused").to_string()
}

#[test]
fn what_differs_is_set_and_what_is_so_already_says_nothing() {
    let mut world = World::new();
    assert_eq!(world.state.setting(NODE, "hostname"), None);
    let default = world.state.setting_or_default(NODE, "hostname");
    assert_eq!(default, Some("strongroom"));
    assert_eq!(world.state.setting_or_default(NODE, "eth0.address"), None);
    assert_eq!(world.state.setting_or_default(NODE, "nonsense"), None);

    let first = configure(
        NODE,
        &[
            ("hostname", "keys-1"),
            ("timezone", "UTC"),
            ("approved", "yes"),
            ("eth0.ipv4", "dhcp"),
        ],
    );
    let events = world.must(&Actor::Node(NODE), first.clone());
    // Time zone and eth0.ipv4 have their defaults.
    let expected = [
        changed(Some(NODE), "hostname", "keys-1"),
        changed(None, "approved", "yes"),
    ];
    assert_eq!(events, expected);
    assert!(world.must(&operator(), first).is_empty());
    let set: Vec<_> = world.state.settings(NODE).collect();
    assert_eq!(set, [("approved", "yes"), ("hostname", "keys-1")]);

    // Back to the default is a change, and it is set from then on.
    let back = configure(NODE, &[("hostname", "strongroom")]);
    assert_eq!(world.must(&operator(), back).len(), 1);
    assert_eq!(world.state.setting(NODE, "hostname"), Some("strongroom"));
    assert!(world.must(&operator(), configure(NODE, &[])).is_empty());
}

#[test]
fn one_bad_value_refuses_them_all() {
    let mut world = World::new();
    let digest = |world: &World| world.state.settings(NODE).count();
    let too_many: Vec<_> = (0..65).map(|_| ("hostname", "a")).collect();
    let refused: [(&[(&str, &str)], &str); 10] = [
        (
            &[("nonsense\n", "1")],
            "there is no setting \"nonsense\\n\"",
        ),
        (
            &[("hostname", "Keys-1")],
            "hostname: \"Keys-1\" is written \"keys-1\"",
        ),
        (
            &[("eth0.vlan", "4095")],
            "eth0.vlan: \"4095\": enter a number from 1 to 4094, for example 120, or none",
        ),
        (&[("domain", "none")], "domain: \"none\" is written \"\""),
        (
            &[("hostname", "a"), ("hostname", "b")],
            "hostname is given twice",
        ),
        (
            &[("eth0.ipv4", "static")],
            "eth0.address: eth0.ipv4 is static and needs an address",
        ),
        (
            &[("outgoing", "eth1")],
            "outgoing: eth1 is off; choose the other one",
        ),
        (
            &[("web.listen", "0.0.0.0:5696")],
            "web.listen: 0.0.0.0:5696 is taken by kmip.listen (0.0.0.0:5696); \
             choose another port or address",
        ),
        (
            &[("ca.subject", "a\u{202e}b")],
            "ca.subject: character U+202E is not allowed; enter one line of plain text",
        ),
        (&too_many, "limit reached: 64 settings at a time"),
    ];
    for (pairs, reason) in refused {
        let with_a_good_one: Vec<_> = [("domain", "example.org")]
            .iter()
            .filter(|(id, _)| pairs[0].0 != *id)
            .chain(pairs)
            .copied()
            .collect();
        for pairs in [pairs, &with_a_good_one] {
            let events = world.ask(&operator(), configure(NODE, pairs));
            assert_eq!(said(&events), reason);
        }
        assert_eq!(digest(&world), 0);
    }
    let events = world.ask(&operator(), configure(NodeId(9), &[("hostname", "a")]));
    assert_eq!(said(&events), "node 9 is no member of this cluster");
}

#[test]
fn a_value_may_lean_on_one_that_was_set_before() {
    let mut world = World::new();
    let address = configure(NODE, &[("eth0.address", "192.0.2.10/24")]);
    world.must(&operator(), address);
    let fixed = &[("eth0.ipv4", "static"), ("eth0.gateway", "192.0.2.1")];
    world.must(&operator(), configure(NODE, fixed));
    // Elsewhere only with its router.
    let moved = configure(NODE, &[("eth0.address", "198.51.100.10/24")]);
    let events = world.ask(&operator(), moved);
    assert!(said(&events).starts_with("eth0.gateway: 192.0.2.1 is not"));
    let moved = &[
        ("eth0.address", "198.51.100.10/24"),
        ("eth0.gateway", "198.51.100.1"),
    ];
    world.must(&operator(), configure(NODE, moved));
}

#[test]
fn nodes_have_their_own_and_share_the_clusters() {
    let mut world = World::new();
    let second = world.join(2, MemberRole::Voter);
    world.must(&operator(), configure(NODE, &[("hostname", "a")]));
    let shared = &[("hostname", "b"), ("approved", "yes")];
    world.must(&Actor::Node(second), configure(second, shared));
    let all = |world: &World, node| -> Vec<(String, String)> {
        let own = |(id, value): (&str, &str)| (id.to_string(), value.to_string());
        world.state.settings(node).map(own).collect()
    };
    let expected = |host: &str| {
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        vec![pair("approved", "yes"), pair("hostname", host)]
    };
    assert_eq!(all(&world, NODE), expected("a"));
    assert_eq!(all(&world, second), expected("b"));

    // Who lost the disk comes back as it was; who is gone has nothing.
    let ask = Ask::Rejoin {
        old: second,
        candidate: candidate(3, MemberRole::Voter),
    };
    world.must(&Actor::Node(NODE), ask);
    let third = world.state.newest_node();
    assert_eq!(all(&world, third), expected("b"));
    let role = MemberRole::Voter;
    world.must(&Actor::Node(NODE), Ask::ConfirmMember { node: third, role });
    world.rotate();
    world.must(&operator(), Ask::ConfirmRemoved { node: second });
    assert_eq!(world.state.setting(second, "hostname"), None);
    assert_eq!(world.state.setting(second, "approved"), Some("yes"));
    let fork = Ask::ForkLineage {
        lineage: 2,
        node: NODE,
        origin: "strongroom/test/lineage-2".to_string(),
        lost: 0,
    };
    world.must(&operator(), fork);
    assert_eq!(world.state.setting(third, "hostname"), None);
    assert_eq!(all(&world, NODE), expected("a"));
    assert_eq!(world.replayed().digest(), world.state.digest());
}

/// Members of format 2 know nothing of settings: their digest is the old one until there are some.
#[test]
fn the_digest_holds_every_setting_and_every_administrator() {
    let mut digests = std::collections::BTreeSet::new();
    let base = World::new();
    let record = |event| Record {
        v: 1,
        entry: 100,
        time: START,
        actor: operator(),
        event,
        once: None,
    };
    let put = |name: &str, password, ssh_keys: &[&str]| Event::AdministratorPut {
        name: world::name(name),
        password,
        ssh_keys: ssh_keys.iter().map(ToString::to_string).collect(),
        permissions: None,
        must_change: false,
    };
    let flagged = |permissions, must_change| Event::AdministratorPut {
        name: world::name("root"),
        password: None,
        ssh_keys: vec![],
        permissions: Some(permissions),
        must_change,
    };
    let events = [
        flagged(Permissions::NONE, false),
        flagged(Permissions::NONE, true),
        flagged(Permissions::parse("web").unwrap(), false),
        changed(None, "hostname", "a"),
        changed(Some(NodeId(0)), "hostname", "a"),
        changed(Some(NODE), "hostname", "a"),
        changed(Some(NODE), "hostname", "b"),
        changed(Some(NODE), "domain", "a"),
        changed(Some(NodeId(2)), "hostname", "a"),
        put("root", None, &[]),
        put("root", Some(hash(1)), &[]),
        put("root", Some(hash(2)), &[]),
        put("root", None, &["k"]),
        put("root", None, &["k", "l"]),
        put("eve", None, &[]),
        Event::LogExported {
            size: 1,
            root: hash(1),
            digest: hash(1),
        },
    ];
    let count = events.len();
    for event in events {
        let mut state = base.state.clone();
        state.evolve(&record(event));
        digests.insert(state.digest());
    }
    assert_eq!(digests.len(), count);
}

#[test]
fn an_administrator_signs_in_as_last_put() {
    let mut world = World::new();
    let root = name("root");
    let put = |password: Option<u64>, keys: &[&str]| Ask::PutAdministrator {
        name: root.clone(),
        password: password.map(hash),
        ssh_keys: keys.iter().map(ToString::to_string).collect(),
        permissions: None,
        must_change: false,
    };
    assert_eq!(world.state.administrators().count(), 0);
    world.must(&Actor::Node(NODE), put(Some(1), &[SSH_KEY]));
    let known = world.state.administrator(&root).unwrap();
    assert_eq!(known.password, Some(hash(1)));
    assert_eq!(known.ssh_keys, [SSH_KEY]);
    // The same again says nothing; another password is an event.
    assert!(world.must(&operator(), put(Some(1), &[SSH_KEY])).is_empty());
    assert_eq!(world.must(&operator(), put(Some(2), &[])).len(), 1);
    let known = world.state.administrator(&root).unwrap();
    assert_eq!((known.password, known.ssh_keys.len()), (Some(hash(2)), 0));

    let spaced = SSH_KEY.replace(' ', "  ");
    let renamed = SSH_KEY.replace("alice", "bob");
    let refused: [(&[&str], &str); 4] = [
        (&[SSH_KEY; 9], "limit reached: 8 SSH keys"),
        (
            &["ssh-dss AAAA"],
            "SSH keys of type \"ssh-dss\" are not taken",
        ),
        (&[&spaced], "the SSH key is written"),
        (&[SSH_KEY, &renamed], "an SSH key is given twice"),
    ];
    for (keys, reason) in refused {
        let events = world.ask(&operator(), put(Some(3), keys));
        assert!(said(&events).starts_with(reason), "{}", said(&events));
    }
    for n in 1..1_000 {
        let ask = Ask::PutAdministrator {
            name: name(&format!("a{n}")),
            password: None,
            ssh_keys: vec![],
            permissions: Some(Permissions::NONE),
            must_change: false,
        };
        world.must(&operator(), ask);
    }
    let ask = Ask::PutAdministrator {
        name: name("one-too-many"),
        password: None,
        ssh_keys: vec![],
        permissions: Some(Permissions::NONE),
        must_change: false,
    };
    let events = world.ask(&operator(), ask);
    assert_eq!(said(&events), "limit reached: 1000 administrators");
    // Those who are there may still change.
    world.must(&operator(), put(Some(4), &[]));
}

#[test]
fn no_member_of_format_2_is_asked() {
    let mut world = World::unfounded();
    let found = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([7; 16]),
        origin: "strongroom/test/lineage-1".to_string(),
        node: NODE,
    };
    world.must(&operator(), found);
    for format in [2, 3] {
        let started = Ask::StartNode {
            node: NODE,
            version: "0".to_string(),
            format,
        };
        world.must(&Actor::Node(NODE), started);
        let events = world.ask(&operator(), configure(NODE, &[("hostname", "a")]));
        let older = Denial::NeedsNewerMembers {
            needs: 3,
            node: NODE,
            has: 2,
        };
        assert_eq!(denial(&events), (format == 2).then_some(&older));
    }
    // Nor one of format 3 for what came with format 4.
    let events = world.ask(&operator(), configure(NODE, &[("password.age", "90")]));
    let older = Denial::NeedsNewerMembers {
        needs: 4,
        node: NODE,
        has: 3,
    };
    assert_eq!(denial(&events), Some(&older));
}
