//! Administrators: the permission matrix, generated from the table; passwords that must be
//! changed; and the one who is always left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;
mod world;

use domain::*;
use samples::*;
use std::fmt::Write;
use world::*;

const ALL: Permissions = Permissions::ALL_OF_FORMAT_4;

fn one(permission: Permission) -> Permissions {
    Permissions::of(&[permission])
}

fn set(text: &str) -> Permissions {
    Permissions::parse(text).unwrap()
}

/// A world with `root`, who may do everything, and `eve`, who may do so much.
fn with_eve(permissions: Permissions) -> World {
    let mut world = World::new();
    world.must(&local(), put_admin("root", ALL));
    world.must(&local(), put_admin("eve", permissions));
    world
}

fn missing(outcome: Option<&Denial>) -> Option<Permission> {
    match outcome {
        Some(Denial::PermissionMissing { permission }) => Some(*permission),
        _ => None,
    }
}

/// What each ask needs, as a reviewer reads it: a change of the table shows here.
const ASKS: &str = "\
found-cluster: cluster
start-node: services
stop-node: services
add-log-key: advanced-security
anchor-access-log: logging
put-user: users
issue-certificate: certificates
revoke-user: users
create: keys
register: keys
activate: keys
revoke: keys
destroy: keys
add-attribute: keys
modify-attribute: keys
set-attribute: keys
delete-attribute: keys
apply-schedule: keys
open-epoch: advanced-security
confirm-reseal: advanced-security
retire-epoch: advanced-security
confirm-retire: advanced-security
add-slot: advanced-security
remove-slot: advanced-security
record-export: logging
set-key-policy: keys
identify-node: cluster
issue-ticket: cluster
request-join: cluster
approve-join: cluster
deny-join: cluster
rejoin: cluster
confirm-member: cluster
remove-node: cluster
confirm-removed: cluster
rotate-cluster-ca: cluster
fork-lineage: cluster
salvage: restore-keys
begin-scrub: cluster
report-digest: cluster
report-divergence: cluster
resolve-divergence: cluster
record-repair: cluster
set-offline-get: keys
configure: certificate-authorities, network
put-administrator: high-access
change-password: -
reset-password: high-access
set-ssh-keys: -
set-permissions: high-access
remove-administrator: high-access
rotate-log: logging
put-destination: logging
remove-destination: logging
record-transfer: logging
renew-identity: tls
set-clock: network
create-for: keys
";

#[test]
fn every_ask_has_its_permission() {
    let mut said = String::new();
    for ask in asks() {
        let needs = ask.needs(&name("eve")).to_string();
        let needs = if needs.is_empty() { "-" } else { &needs };
        writeln!(said, "{}: {needs}", ask_kind(&ask)).unwrap();
    }
    assert_eq!(said, ASKS);
    // One's own SSH keys are one's own affair, another's are not.
    let keys = Ask::SetSshKeys {
        name: name("root"),
        ssh_keys: vec![],
    };
    assert_eq!(keys.needs(&name("eve")), one(Permission::HighAccess));
}

/// Every ask without each permission in turn: refused with that one named exactly if it is needed,
/// at every door, and nothing changes.
#[test]
fn every_ask_without_every_permission() {
    let doors = [
        (Door::Console, Permission::Serial),
        (Door::Ssh, Permission::Ssh),
        (Door::Web, Permission::Web),
    ];
    for row in PERMISSIONS {
        let world = with_eve(ALL.without(one(row.permission)));
        for ask in asks() {
            for (door, access) in doors {
                let eve = admin("eve", door);
                let needs = ask.needs(&name("eve")).with(access);
                let outcome = admit(&world.state, &eve, &ask, world.now).err();
                let expected = needs.has(row.permission).then_some(row.permission);
                assert_eq!(missing(outcome.as_ref()), expected, "{door:?} {ask:?}");
                if expected.is_none() {
                    continue;
                }
                let command = Command {
                    actor: eve,
                    time: world.now,
                    ask: ask.clone(),
                    facts: Facts::default(),
                };
                let events = decide(&world.state, &command);
                assert_eq!(missing(denial(&events)), expected, "{ask:?}");
            }
        }
    }
}

/// With exactly what the table says, no permission is missing.
#[test]
fn every_ask_with_what_it_needs() {
    for ask in asks() {
        let world = with_eve(ask.needs(&name("eve")).with(Permission::Serial));
        let eve = admin("eve", Door::Console);
        let outcome = admit(&world.state, &eve, &ask, world.now).err();
        assert_eq!(missing(outcome.as_ref()), None, "{ask:?}");
    }
}

#[test]
fn every_right_without_every_permission() {
    for row in PERMISSIONS {
        let world = with_eve(ALL.without(one(row.permission)));
        for right in Right::ALL {
            let eve = admin("eve", Door::Ssh);
            let outcome = permit_operator(&world.state, &eve, right, world.now);
            let needed = right.needs().with(Permission::Ssh).has(row.permission);
            let expected = needed.then_some(row.permission);
            assert_eq!(missing(outcome.as_ref().err()), expected, "{right:?}");
            assert_eq!(outcome.is_ok(), !needed, "{right:?}");
            assert_eq!(
                permit_operator(&world.state, &local(), right, world.now),
                Ok(())
            );
            let node = permit_operator(&world.state, &Actor::Node(NODE), right, world.now);
            assert_eq!(node, Err(Denial::NotPermitted));
        }
    }
}

/// Each setting needs its own, and several need all of theirs.
#[test]
fn every_setting_without_every_permission() {
    for row in PERMISSIONS {
        let mut without = ALL.without(one(row.permission));
        without = without.with(Permission::Serial);
        let mut world = with_eve(without);
        for setting in setting::TABLE {
            let Some(default) = setting.default else {
                continue;
            };
            let value = |id: &str, value: &str| SettingValue {
                id: id.to_string(),
                value: value.to_string(),
            };
            let mut values = vec![value(setting.id, default)];
            if setting.id != "hostname" {
                values.push(value("hostname", "strongroom"));
            }
            let ask = Ask::Configure { node: NODE, values };
            let events = world.ask(&admin("eve", Door::Console), ask);
            let needs = one(setting.permission).with(Permission::Network);
            let refused = needs.has(row.permission);
            assert_eq!(
                missing(denial(&events)).is_some(),
                refused,
                "{}",
                setting.id
            );
        }
    }
}

#[test]
fn objects_are_seen_with_the_permission_for_keys() {
    let mut world = with_eve(set("logging, serial"));
    let uid = world.key("alice", &[]);
    let (eve, root) = (admin("eve", Door::Console), admin("root", Door::Web));
    let read = |actor: &Actor| permit(&world.state, actor, Read::Attributes, &uid, world.now).err();
    let keys = Denial::PermissionMissing {
        permission: Permission::Keys,
    };
    assert_eq!(read(&eve), Some(keys));
    assert_eq!(read(&root), None);
    assert_eq!(
        read(&admin("kim", Door::Web)),
        Some(Denial::UnknownAdministrator)
    );
    let object = world.state.object(&uid).unwrap();
    for (actor, sees) in [(&eve, false), (&root, true), (&local(), true)] {
        assert_eq!(may_see(&world.state, actor, object), sees);
    }
}

/// Who was recorded before permissions were keeps everything, and nothing is checked as long as a
/// member does not know them.
#[test]
fn administrators_of_format_3_have_everything() {
    let mut world = World::unfounded();
    let found = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([7; 16]),
        origin: "strongroom/test/lineage-1".to_string(),
        node: NODE,
    };
    world.must(&operator(), found);
    let started = |format| Ask::StartNode {
        node: NODE,
        version: "0".to_string(),
        format,
    };
    world.must(&Actor::Node(NODE), started(3));
    let put = Ask::PutAdministrator {
        name: name("root"),
        password: Some(hash(1)),
        ssh_keys: vec![],
        permissions: None,
        must_change: false,
    };
    let events = world.must(&operator(), put.clone());
    let [
        Event::AdministratorPut {
            permissions: None, ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    let user = Ask::RevokeUser { name: name("eve") };
    let events = world.ask(&admin("who", Door::Web), user.clone());
    assert_eq!(denial(&events), Some(&Denial::UnknownUser));
    let digest = world.state.digest();
    world.must(&Actor::Node(NODE), started(4));
    assert_ne!(digest, world.state.digest());
    let root = world.state.administrator(&name("root")).unwrap();
    assert_eq!((root.permissions, root.must_change), (ALL, false));
    let events = world.ask(&admin("who", Door::Web), user);
    assert_eq!(denial(&events), Some(&Denial::UnknownAdministrator));
    // The same again says nothing.
    assert!(world.must(&operator(), put).is_empty());
    assert_eq!(world.replayed().digest(), world.state.digest());
}

#[test]
fn the_last_one_who_gets_in_at_the_console_stays() {
    let mut world = World::new();
    // The first must be one.
    for first in [
        put_admin("eve", set("high-access, web")),
        put_admin("eve", ALL.without(one(Permission::HighAccess))),
    ] {
        let events = world.ask(&local(), first);
        assert_eq!(denial(&events), Some(&Denial::LastAdministrator));
    }
    world.must(&local(), put_admin("root", ALL));
    world.must(&local(), put_admin("eve", set("high-access, web, ssh")));
    let root = name("root");
    let without_password = Ask::PutAdministrator {
        name: root.clone(),
        password: None,
        ssh_keys: vec![SSH_KEY.to_string()],
        permissions: None,
        must_change: false,
    };
    let permissions = |text: &str| Ask::SetPermissions {
        name: root.clone(),
        permissions: set(text),
    };
    let asks = [
        Ask::RemoveAdministrator { name: root.clone() },
        permissions("high-access"),
        permissions("serial, keys"),
        without_password,
    ];
    let people = [
        admin("root", Door::Console),
        admin("eve", Door::Web),
        local(),
    ];
    for ask in asks {
        for who in &people {
            let events = world.ask(who, ask.clone());
            assert_eq!(denial(&events), Some(&Denial::LastAdministrator), "{ask:?}");
        }
    }
    assert_eq!(world.state.keepers().collect::<Vec<_>>(), [&root]);
    // With another one in place, root may go, by the other's hand or by root's own.
    world.must(&people[0], put_admin("kim", set("high-access, serial")));
    world.must(&people[0], Ask::RemoveAdministrator { name: root });
    let events = world.ask(&people[0], Ask::BeginScrub);
    assert_eq!(denial(&events), Some(&Denial::UnknownAdministrator));
}

#[test]
fn a_password_that_another_set_is_changed_before_anything_else() {
    let mut world = with_eve(ALL);
    let (root, eve) = (admin("root", Door::Console), admin("eve", Door::Web));
    let reset = Ask::ResetPassword {
        name: name("eve"),
        password: hash(2),
    };
    world.must(&root, reset.clone());
    let now = world.now;
    assert_eq!(
        permit_sign_in(&world.state, &name("eve"), Door::Web, now),
        Ok(true)
    );
    for ask in asks() {
        let outcome = admit(&world.state, &eve, &ask, now);
        let is_change = matches!(ask, Ask::ChangePassword { .. });
        let refused = outcome == Err(Denial::PasswordMustChange);
        assert_eq!(refused, !is_change, "{ask:?}");
    }
    for right in Right::ALL {
        let outcome = permit_operator(&world.state, &eve, right, now);
        assert_eq!(outcome, Err(Denial::PasswordMustChange));
    }
    let again = Ask::ChangePassword { password: hash(2) };
    assert!(
        denial(&world.ask(&eve, again)).is_some(),
        "the same password"
    );
    world.must(&eve, Ask::ChangePassword { password: hash(3) });
    assert_eq!(
        permit_sign_in(&world.state, &name("eve"), Door::Web, now),
        Ok(false)
    );
    world.must(&eve, Ask::BeginScrub);
    // Whoever has no account has no password to change.
    let events = world.ask(&local(), Ask::ChangePassword { password: hash(4) });
    assert_eq!(denial(&events), Some(&Denial::UnknownAdministrator));
    // Put with a password by another administrator, it is known to that one too.
    world.must(&root, put_admin("eve", ALL));
    assert_eq!(
        permit_sign_in(&world.state, &name("eve"), Door::Ssh, now),
        Ok(true)
    );
}

#[test]
fn a_password_gets_too_old() {
    let mut world = with_eve(set("advanced-security, serial"));
    let eve = admin("eve", Door::Console);
    let age = |days: &str| Ask::Configure {
        node: NODE,
        values: vec![SettingValue {
            id: "password.age".to_string(),
            value: days.to_string(),
        }],
    };
    world.wait(400 * 86_400);
    world.must(&eve, age("401"));
    world.wait(86_400 - 1);
    world.must(&eve, age("401"));
    world.wait(1);
    let events = world.ask(&eve, age("0"));
    assert_eq!(denial(&events), Some(&Denial::PasswordMustChange));
    // Other things about an account do not make its password young.
    let keys = Ask::SetSshKeys {
        name: name("eve"),
        ssh_keys: vec![SSH_KEY.to_string()],
    };
    world.must(&local(), keys);
    let same = Ask::PutAdministrator {
        name: name("eve"),
        password: Some(hash(0xad_0000)),
        ssh_keys: vec![],
        permissions: None,
        must_change: false,
    };
    world.must(&local(), same);
    let events = world.ask(&eve, age("0"));
    assert_eq!(denial(&events), Some(&Denial::PasswordMustChange));
    world.must(&eve, Ask::ChangePassword { password: hash(3) });
    world.must(&eve, age("0"));
}

#[test]
fn doors_let_in_who_has_access() {
    let world = with_eve(set("web"));
    let come = |who: &str, door| permit_sign_in(&world.state, &name(who), door, world.now);
    let missing = |permission| Err(Denial::PermissionMissing { permission });
    assert_eq!(come("eve", Door::Web), Ok(false));
    assert_eq!(come("eve", Door::Ssh), missing(Permission::Ssh));
    assert_eq!(come("eve", Door::Console), missing(Permission::Serial));
    assert_eq!(come("root", Door::Console), Ok(false));
    assert_eq!(
        come("kim", Door::Console),
        Err(Denial::UnknownAdministrator)
    );
    assert_eq!(come("root", Door::Kmip), Err(Denial::UnknownAdministrator));
}
