//! Closed logs: nothing that a destination lacks is forgotten, whatever is asked in which order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod queue;
mod samples;
mod world;

use domain::*;
use world::*;

fn rotate(log: View, head: Option<u64>) -> Ask {
    let head = head.map(|size| LogHead {
        size,
        root: hash(size),
    });
    Ask::RotateLog {
        node: NODE,
        log,
        head,
        cause: RotationCause::Asked,
    }
}

fn put(there: &str, logs: &[View]) -> Ask {
    let destination = Destination {
        recipients: vec![],
        logs: logs.to_vec(),
        ..samples::destination()
    };
    Ask::PutDestination {
        name: name(there),
        destination,
    }
}

fn delivered(there: &str, log: View, number: u64) -> Ask {
    outcome(
        there,
        log,
        number,
        TransferOutcome::Delivered {
            digest: hash(1),
            bytes: 5,
        },
    )
}

fn failed(there: &str, log: View, number: u64, why: TransferFailure, detail: &str) -> Ask {
    let detail = detail.to_string();
    outcome(there, log, number, TransferOutcome::Failed { why, detail })
}

fn outcome(there: &str, log: View, number: u64, outcome: TransferOutcome) -> Ask {
    Ask::RecordTransfer {
        node: NODE,
        destination: name(there),
        log,
        number,
        outcome,
    }
}

/// Numbers of the closed logs that a destination waits for.
fn waiting(world: &World, there: &str, log: View) -> Vec<u64> {
    let standing = world.state.destination(&name(there)).unwrap();
    let stream = Stream::of(log, NODE);
    let waiting = world.state.waiting_for(standing, stream);
    waiting.map(|closed| closed.number).collect()
}

const ME: Actor = Actor::Node(NODE);

#[test]
fn ranges_follow_one_another() {
    let mut world = World::new();
    let stream = Stream::of(View::System, NODE);
    world.must(&ME, rotate(View::System, None));
    let first = *world.state.last_closed(stream).unwrap();
    // The range ends before the record that closes it.
    assert_eq!(
        (first.number, first.from, first.size + 1),
        (1, 0, world.state.records())
    );
    world.must(&ME, rotate(View::System, None));
    let second = *world.state.last_closed(stream).unwrap();
    assert_eq!((second.number, second.from), (2, first.size));
    // Each view has its own; an access log needs its head and never goes back.
    let access = Stream::of(View::Client, NODE);
    world.must(&ME, rotate(View::Client, Some(7)));
    assert_eq!(world.state.last_closed(access).unwrap().root, Some(hash(7)));
    for (log, head) in [
        (View::Client, None),
        (View::Client, Some(7)),
        (View::Client, Some(3)),
        (View::System, Some(900)),
    ] {
        let events = world.ask(&ME, rotate(log, head));
        assert!(denial(&events).is_some(), "{log:?} {head:?}: {events:?}");
    }
    let anchor = Ask::AnchorAccessLog {
        node: NODE,
        size: 20,
        root: hash(20),
    };
    world.must(&ME, anchor);
    let events = world.ask(&ME, rotate(View::Activity, Some(10)));
    assert!(denial(&events).is_some(), "{events:?}");
}

#[test]
fn what_a_destination_lacks_waits_for_it() {
    let mut world = World::new();
    let (system, audit) = (View::System, View::Audit);
    world.must(&ME, rotate(system, None));
    world.must(&operator(), put("a", &[system]));
    // What was closed before it was there is not for it.
    assert_eq!(waiting(&world, "a", system), []);
    for _ in 0..3 {
        world.must(&ME, rotate(system, None));
    }
    world.must(&operator(), put("b", &[system, audit]));
    assert_eq!(waiting(&world, "a", system), [2, 3, 4]);
    assert_eq!(waiting(&world, "b", system), []);
    // In order only.
    let events = world.ask(&ME, delivered("a", system, 3));
    assert!(denial(&events).is_some(), "{events:?}");
    world.must(&ME, delivered("a", system, 2));
    world.must(&ME, rotate(system, None));
    assert_eq!(waiting(&world, "a", system), [3, 4, 5]);
    assert_eq!(waiting(&world, "b", system), [5]);
    world.must(&ME, delivered("b", system, 5));
    // Said twice, it is so already.
    assert_eq!(world.ask(&ME, delivered("b", system, 5)), []);
    let stream = Stream::of(system, NODE);
    assert_eq!(world.state.closed_waiting(stream), 3);
    // Another form of the same destination, or off for a while: what waits, waits.
    let off = Ask::PutDestination {
        name: name("a"),
        destination: Destination {
            recipients: vec![],
            logs: vec![system],
            enabled: false,
            ..samples::destination()
        },
    };
    world.must(&operator(), off);
    world.must(&ME, rotate(system, None));
    assert_eq!(waiting(&world, "a", system), [3, 4, 5, 6]);
    world.must(&operator(), Ask::RemoveDestination { name: name("a") });
    assert_eq!(waiting(&world, "b", system), [6]);
    assert_eq!(world.state.closed_log(stream, 4), None);
    assert_eq!(world.replayed(), world.state);
}

#[test]
fn a_failure_is_recorded_when_it_is_another_one() {
    let mut world = World::new();
    world.must(&operator(), put("a", &[View::Audit]));
    world.must(&ME, rotate(View::Audit, None));
    let fail = |why, detail| failed("a", View::Audit, 1, why, detail);
    world.must(&ME, fail(TransferFailure::Unreachable, "no answer"));
    assert_eq!(
        world.ask(&ME, fail(TransferFailure::Unreachable, "again")),
        []
    );
    world.must(&ME, fail(TransferFailure::HostKey, "changed"));
    let standing = world.state.destination(&name("a")).unwrap();
    assert_eq!(
        standing.failing(NODE),
        Some((TransferFailure::HostKey, "changed"))
    );
    let events = world.ask(&ME, fail(TransferFailure::NoRoom, "a\u{1b}[2J"));
    assert!(denial(&events).is_some(), "{events:?}");
    world.must(&ME, delivered("a", View::Audit, 1));
    assert_eq!(
        world.state.destination(&name("a")).unwrap().failing(NODE),
        None
    );
    // Nobody waits for this one any more.
    let late = fail(TransferFailure::NoRoom, "late");
    assert_eq!(world.ask(&ME, late), []);
}

#[test]
fn a_backlog_has_an_end_and_loses_nothing() {
    let mut world = World::new();
    world.must(&operator(), put("a", &[View::Client]));
    for n in 1..=CLOSED_WAITING_MAX {
        world.must(&ME, rotate(View::Client, Some(n)));
    }
    let events = world.ask(&ME, rotate(View::Client, Some(CLOSED_WAITING_MAX + 50)));
    assert!(
        matches!(denial(&events), Some(Denial::LimitReached { .. })),
        "{events:?}"
    );
    world.must(&ME, delivered("a", View::Client, 1));
    world.must(&ME, rotate(View::Client, Some(CLOSED_WAITING_MAX + 50)));
    let last = world
        .state
        .last_closed(Stream::of(View::Client, NODE))
        .unwrap();
    // What could not be closed earlier is in this one.
    assert_eq!(last.from, CLOSED_WAITING_MAX);
    assert_eq!(last.size, CLOSED_WAITING_MAX + 50);
}

#[test]
fn age_and_approved_mode_exclude_each_other() {
    let mut world = World::new();
    let approved = |value: &str| Ask::Configure {
        node: NODE,
        values: vec![SettingValue {
            id: "approved".to_string(),
            value: value.to_string(),
        }],
    };
    let with_age = || Ask::PutDestination {
        name: name("a"),
        destination: samples::destination(),
    };
    world.must(&operator(), with_age());
    assert_eq!(world.state.encrypting().count(), 1);
    world.must(&ME, rotate(View::Audit, None));
    let events = world.ask(&operator(), approved("yes"));
    let told = denial(&events).unwrap().to_string();
    assert!(told.contains("destination a encrypts with age"), "{told}");
    assert!(
        told.contains("is then sent signed and not encrypted"),
        "{told}"
    );
    world.must(&operator(), put("a", &View::ALL));
    assert_eq!(world.state.encrypting().count(), 0);
    // What waited waits on, for the destination as it is now.
    assert_eq!(waiting(&world, "a", View::Audit), [1]);
    world.must(&operator(), approved("yes"));
    assert!(world.state.bars_encryption(&samples::destination()));
    let events = world.ask(&operator(), with_age());
    assert!(
        denial(&events).unwrap().to_string().contains("age"),
        "{events:?}"
    );
}

#[test]
fn a_node_that_is_gone_leaves_no_backlog() {
    let mut world = World::new();
    world.join(2, MemberRole::Witness);
    let node = NodeId(2);
    world.must(&operator(), put("a", &[View::Activity]));
    let head = Some(LogHead {
        size: 4,
        root: hash(4),
    });
    let closes = Ask::RotateLog {
        node,
        log: View::Activity,
        head,
        cause: RotationCause::Schedule,
    };
    // A node speaks for itself.
    let events = world.ask(&ME, closes.clone());
    assert_eq!(denial(&events), Some(&Denial::NotPermitted));
    world.must(&Actor::Node(node), closes);
    assert_eq!(world.state.streams().count(), 1);
    world.must(&operator(), Ask::RemoveNode { node });
    world.must(&ME, Ask::ConfirmRemoved { node });
    assert_eq!(world.state.streams().count(), 0);
}
