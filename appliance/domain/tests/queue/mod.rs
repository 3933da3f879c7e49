//! The queue of closed logs against a model that only counts: whatever is rotated, confirmed,
//! failed, changed and replayed in which order, nothing that is meant for a destination and not
//! confirmed there is skipped or forgotten, and each is confirmed once.

use crate::samples;
use crate::world::*;
use domain::state::ClosedLog;
use domain::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const THERE: [&str; 3] = ["a", "b", "c"];

/// The nodes; the second can be removed.
const NODES: [NodeId; 2] = [NODE, NodeId(2)];

#[derive(Clone, Debug)]
enum Step {
    /// Closes a log; of an access log so many records later.
    Rotate {
        node: usize,
        log: usize,
        grown: u64,
    },
    /// Describes a destination: which logs, on or off, encrypted or not.
    Put {
        there: usize,
        logs: u8,
        enabled: bool,
        encrypts: bool,
    },
    Remove {
        there: usize,
    },
    /// Says that something arrived: so many after the last that did.
    Deliver {
        node: usize,
        there: usize,
        log: usize,
        ahead: u64,
    },
    /// Says that something did not.
    Fail {
        node: usize,
        there: usize,
        log: usize,
        ahead: u64,
        why: usize,
    },
    /// The node ends anywhere and begins anew from its log.
    Crash,
    RemoveNode,
}

fn any_step() -> impl Strategy<Value = Step> {
    let (node, there, log) = (0..NODES.len(), 0..THERE.len(), 0..View::ALL.len());
    let ahead = prop_oneof![6 => Just(1_u64), 1 => Just(0), 2 => 2_u64..5];
    let spot = (node.clone(), there.clone(), log.clone(), ahead);
    prop_oneof![
        8 => (node, log, 0_u64..3).prop_map(|(node, log, grown)| Step::Rotate { node, log, grown }),
        4 => (there.clone(), 0_u8..16, any::<bool>(), any::<bool>()).prop_map(
            |(there, logs, enabled, encrypts)| Step::Put { there, logs, enabled, encrypts }
        ),
        1 => there.prop_map(|there| Step::Remove { there }),
        12 => spot.clone().prop_map(|(node, there, log, ahead)| {
            Step::Deliver { node, there, log, ahead }
        }),
        3 => (spot, 0..TransferFailure::ALL.len()).prop_map(|((node, there, log, ahead), why)| {
            Step::Fail { node, there, log, ahead, why }
        }),
        1 => Just(Step::Crash),
        1 => Just(Step::RemoveNode),
    ]
}

/// What is known without looking at the state: events alone.
#[derive(Default)]
struct Model {
    /// Every closed log that there ever was.
    closed: BTreeMap<Stream, Vec<ClosedLog>>,
    /// Which logs each destination gets.
    gets: BTreeMap<Name, Vec<View>>,
    /// What is meant for a destination and not confirmed there, in order.
    wanted: BTreeMap<(Name, Stream), Vec<u64>>,
    /// What was confirmed, since the destination was put for the first time.
    confirmed: BTreeSet<(Name, Stream, u64)>,
}

impl Model {
    fn take(&mut self, event: &Event, time: Time) {
        match event {
            Event::LogRotated {
                node,
                log,
                number,
                from,
                size,
                root,
                ..
            } => {
                let (number, from, size, root) = (*number, *from, *size, *root);
                let stream = Stream::of(*log, *node);
                let row = self.closed.entry(stream).or_default();
                // Each goes on where the last one ended, under the next number.
                assert_eq!(from, row.last().map_or(0, |last| last.size));
                assert_eq!(number, row.len() as u64 + 1);
                assert!(size > from);
                row.push(ClosedLog {
                    number,
                    from,
                    size,
                    root,
                    time,
                });
                for (name, _) in self.gets.iter().filter(|(_, logs)| logs.contains(log)) {
                    let wanted = self.wanted.entry((name.clone(), stream));
                    wanted.or_default().push(number);
                }
            }
            Event::DestinationPut { name, destination } => {
                let logs = destination.logs.clone();
                self.wanted
                    .retain(|(of, stream), _| of != name || logs.contains(&stream.log));
                self.gets.insert(name.clone(), logs);
            }
            Event::DestinationRemoved { name } => {
                self.gets.remove(name);
                self.wanted.retain(|(of, _), _| of != name);
                self.confirmed.retain(|(of, ..)| of != name);
            }
            Event::LogTransferred {
                node,
                destination,
                log,
                number,
                outcome,
            } => {
                let stream = Stream::of(*log, *node);
                let wanted = self.wanted.get_mut(&(destination.clone(), stream)).unwrap();
                if matches!(outcome, TransferOutcome::Failed { .. }) {
                    assert!(
                        wanted.contains(number),
                        "a failure of what nobody waits for"
                    );
                    return;
                }
                assert_eq!(wanted.remove(0), *number, "out of order");
                let once = (destination.clone(), stream, *number);
                assert!(self.confirmed.insert(once), "confirmed twice");
            }
            Event::NodeRemoved { node, .. } => {
                let theirs = |stream: &Stream| stream.node == Some(*node);
                self.closed.retain(|stream, _| !theirs(stream));
                self.wanted.retain(|(_, stream), _| !theirs(stream));
            }
            _ => {}
        }
    }

    /// Whether the state says the same.
    fn check(&self, state: &State) {
        for (stream, all) in &self.closed {
            assert_eq!(state.last_closed(*stream), all.last());
            let mut needed: BTreeSet<u64> =
                all.last().map(|last| last.number).into_iter().collect();
            let mut most = 0;
            for name in self.gets.keys() {
                let wanted = self.wanted.get(&(name.clone(), *stream));
                let wanted = wanted.cloned().unwrap_or_default();
                let standing = state.destination(name).unwrap();
                let waiting: Vec<ClosedLog> =
                    state.waiting_for(standing, *stream).copied().collect();
                let expected: Vec<ClosedLog> = wanted
                    .iter()
                    .map(|number| all[usize::try_from(*number).unwrap() - 1])
                    .collect();
                assert_eq!(waiting, expected, "{name} {stream}");
                most = most.max(
                    wanted
                        .first()
                        .map_or(0, |first| all.len() as u64 + 1 - first),
                );
                needed.extend(wanted);
            }
            assert_eq!(state.closed_waiting(*stream), most);
            // What somebody lacks is there, and what nobody lacks is not kept for ever.
            let first = needed.first().copied().unwrap_or(0);
            let kept: Vec<u64> = state
                .closed_of(*stream)
                .map(|closed| closed.number)
                .collect();
            assert_eq!(
                kept,
                (first..=all.len() as u64).collect::<Vec<_>>(),
                "{stream}"
            );
        }
        assert!(
            state
                .streams()
                .all(|stream| self.closed.contains_key(&stream))
        );
    }
}

/// The command of a step.
fn asked(world: &World, step: &Step) -> Option<(Actor, Ask)> {
    let at = |node: usize| (Actor::Node(NODES[node]), NODES[node]);
    let spot = |node: usize, there: usize, log: usize, ahead: u64| {
        let stream = Stream::of(View::ALL[log], NODES[node]);
        let standing = world.state.destination(&name(THERE[there]));
        let done = standing.map_or(0, |standing| standing.delivered(stream));
        (
            NODES[node],
            name(THERE[there]),
            View::ALL[log],
            done + ahead,
        )
    };
    Some(match step {
        Step::Rotate { node, log, grown } => {
            let (actor, node) = at(*node);
            let log = View::ALL[*log];
            let last = world.state.last_closed(Stream::of(log, node));
            let size = last.map_or(0, |last| last.size) + grown;
            let head = LogHead {
                size,
                root: hash(size),
            };
            let head = (!log.is_of_cluster()).then_some(head);
            let cause = RotationCause::Schedule;
            (
                actor,
                Ask::RotateLog {
                    node,
                    log,
                    head,
                    cause,
                },
            )
        }
        Step::Put {
            there,
            logs,
            enabled,
            encrypts,
        } => {
            let some = View::ALL.into_iter().enumerate();
            let some = some.filter(|(bit, _)| logs & (1 << bit) != 0);
            let mut destination = Destination {
                logs: some.map(|(_, view)| view).collect(),
                enabled: *enabled,
                ..samples::destination()
            };
            if !encrypts {
                destination.recipients.clear();
            }
            let name = name(THERE[*there]);
            (operator(), Ask::PutDestination { name, destination })
        }
        Step::Remove { there } => {
            let name = name(THERE[*there]);
            (operator(), Ask::RemoveDestination { name })
        }
        Step::Deliver {
            node,
            there,
            log,
            ahead,
        } => {
            let (node, destination, log, number) = spot(*node, *there, *log, *ahead);
            let outcome = TransferOutcome::Delivered {
                digest: hash(number),
                bytes: 9,
            };
            let ask = Ask::RecordTransfer {
                node,
                destination,
                log,
                number,
                outcome,
            };
            (Actor::Node(node), ask)
        }
        Step::Fail {
            node,
            there,
            log,
            ahead,
            why,
        } => {
            let (node, destination, log, number) = spot(*node, *there, *log, *ahead);
            let (why, detail) = (TransferFailure::ALL[*why], "it failed".to_string());
            let outcome = TransferOutcome::Failed { why, detail };
            let ask = Ask::RecordTransfer {
                node,
                destination,
                log,
                number,
                outcome,
            };
            (Actor::Node(node), ask)
        }
        Step::RemoveNode => (operator(), Ask::RemoveNode { node: NODES[1] }),
        Step::Crash => return None,
    })
}

/// The state as a node has it that begins anew: from the bytes of its records.
fn begun_anew(world: &World) -> State {
    let mut state = State::default();
    for record in &world.log {
        let bytes = codec::to_vec(record);
        state.evolve(&codec::from_slice::<Record>(&bytes).unwrap());
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_meant_for_a_destination_waits_until_it_is_there(
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let (mut world, mut model) = (World::new(), Model::default());
        world.join(2, MemberRole::Witness);
        for step in &steps {
            let seen = world.log.len();
            match asked(&world, step) {
                Some((actor, ask)) => {
                    world.ask(&actor, ask);
                    if matches!(step, Step::RemoveNode) {
                        // Its neighbour says that it is gone, when it was there.
                        world.ask(&Actor::Node(NODE), Ask::ConfirmRemoved { node: NODES[1] });
                    }
                }
                None => world.state = begun_anew(&world),
            }
            for record in &world.log[seen..] {
                model.take(&record.event, record.time);
            }
            model.check(&world.state);
        }
        let replayed = begun_anew(&world);
        prop_assert_eq!(replayed.digest(), world.state.digest());
        prop_assert_eq!(replayed, world.state);
    }
}
