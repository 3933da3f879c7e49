//! What a node is recognised by, and its clock: who may change them, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use world::*;

fn key(digit: &str) -> String {
    format!("SHA256:{}", digit.repeat(43))
}

fn host_key(was: &str, is: &str) -> Ask {
    Ask::RenewIdentity {
        node: NODE,
        identity: DoorIdentity::SshHostKey {
            was: was.to_string(),
            is: is.to_string(),
        },
    }
}

fn certificate_of_doors(serial: &str) -> Ask {
    Ask::RenewIdentity {
        node: NODE,
        identity: DoorIdentity::ServerCertificate {
            certificate: certificate("web"),
            serial: serial.to_string(),
            not_after: START,
        },
    }
}

fn clock(to: Time) -> Ask {
    Ask::SetClock { node: NODE, to }
}

fn later(world: &World, seconds: i64) -> Time {
    Time(world.now.0 + seconds * 1_000)
}

#[test]
fn each_needs_its_permission() {
    let mut world = World::new();
    world.must(&local(), put_admin("root", Permissions::ALL_OF_FORMAT_4));
    let hour = later(&world, 3_600);
    for (ask, permission) in [
        (host_key(&key("A"), &key("B")), Permission::Services),
        (certificate_of_doors("1f"), Permission::Tls),
        (clock(hour), Permission::Network),
    ] {
        // Everything but that one.
        let all = PERMISSIONS.iter().map(|row| row.permission);
        let others: Vec<Permission> = all.filter(|one| *one != permission).collect();
        world.must(&local(), put_admin("kay", Permissions::of(&others)));
        let missing = Denial::PermissionMissing { permission };
        let kay = admin("kay", Door::Ssh);
        assert_eq!(denial(&world.ask(&kay, ask.clone())), Some(&missing));
        let with = Permissions::of(&[permission, Permission::Ssh]);
        world.must(&local(), put_admin("kay", with));
        world.must(&kay, ask);
    }
}

#[test]
fn what_is_no_fingerprint_stands_in_no_record() {
    let mut world = World::new();
    for ask in [
        host_key("SHA256:short", &key("B")),
        host_key(&key("A"), &format!("{}\n", key("B"))),
        certificate_of_doors(""),
        certificate_of_doors("1F"),
        certificate_of_doors("x"),
    ] {
        let events = world.ask(&local(), ask.clone());
        assert!(
            matches!(denial(&events), Some(Denial::InvalidField { .. })),
            "{ask:?}: {events:?}"
        );
    }
}

#[test]
fn the_log_says_what_was_and_what_is() {
    let mut world = World::new();
    world.must(&local(), host_key(&key("A"), &key("B")));
    let hour = later(&world, 3_600);
    world.must(&local(), clock(hour));
    let lines: Vec<String> = world.log.iter().rev().take(2).map(summary).collect();
    assert!(
        lines[0].ends_with("set the clock of node 1 forward by 3600 s"),
        "{lines:?}"
    );
    let renewed = format!(
        "renewed the SSH host key of node 1: {}, before {}",
        key("B"),
        key("A")
    );
    assert!(lines[1].ends_with(&renewed), "{lines:?}");
}

/// Alone, a node may be set forward as far as somebody means it, and never behind its log.
#[test]
fn time_does_not_go_back_behind_the_log() {
    // By so many milliseconds from the last record, a minute after it.
    for (moved, granted) in [
        (-1, false),
        (-600_000, false),
        (0, true),
        (10 * 365 * 86_400_000, true),
    ] {
        let mut world = World::new();
        world.wait(600);
        world.must(&local(), Ask::BeginScrub);
        let to = Time(world.state.latest_time().0 + moved);
        world.wait(60);
        let events = world.ask(&local(), clock(to));
        match granted {
            true => assert_eq!(
                events,
                [Event::ClockSet {
                    node: NODE,
                    was: world.now,
                    is: to
                }]
            ),
            false => assert!(
                matches!(denial(&events), Some(Denial::OutOfOrder { .. })),
                "{events:?}"
            ),
        }
    }
}

/// With others a clock is put right by a minute at most: the cluster goes by the majority.
#[test]
fn a_member_of_several_goes_by_the_others() {
    let mut world = World::new();
    world.join(2, MemberRole::Voter);
    for (seconds, granted) in [(60, true), (61, false), (86_400, false)] {
        let to = later(&world, seconds);
        let events = world.ask(&local(), clock(to));
        assert_eq!(denial(&events).is_none(), granted, "{seconds}");
    }
    // Each node's own clock, and none that is no member's.
    let ask = Ask::SetClock {
        node: NodeId(9),
        to: world.now,
    };
    let events = world.ask(&local(), ask);
    assert!(matches!(denial(&events), Some(Denial::OutOfOrder { .. })));
}
