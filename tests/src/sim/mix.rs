//! Which trouble a run has: drawn from the seed, and different for each ("swarm testing").
//!
//! A run with every kind of trouble all the time rarely gets anywhere; one with a few kinds gets
//! deep into them. So each kind is on or off by the toss of a coin, and as frequent as a die says.

use super::chance::{percent, position};
use super::step::{Change, Failing, Log, Step};
use crate::dice::Dice;

/// How often each kind of step is chosen, as weights; 0 is never.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Steps before everything heals.
    pub steps: u64,
    weights: Vec<(Kind, u64)>,
    /// Per cent of messages whose answer is not heard.
    deaf: u64,
    /// Per cent of messages that arrive twice.
    twice: u64,
}

/// Kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tick,
    Change,
    Rotate,
    Get,
    Elect,
    Replicate,
    Apply,
    Job,
    Snapshot,
    Install,
    DropProjection,
    Start,
    PowerCut,
    PowerCutAt,
    Kill,
    FailCall,
    Fill,
    Rot,
    Misdirect,
    Link,
    ClockJump,
}

/// What goes on in every run.
const WORK: [(Kind, u64); 11] = [
    (Kind::Tick, 4),
    (Kind::Change, 24),
    (Kind::Get, 10),
    (Kind::Elect, 2),
    (Kind::Replicate, 40),
    (Kind::Apply, 30),
    (Kind::Job, 8),
    (Kind::Snapshot, 4),
    (Kind::Install, 4),
    (Kind::DropProjection, 1),
    (Kind::Start, 6),
];

/// What goes wrong in some: with the highest weight that it gets.
const TROUBLE: [(Kind, u64); 9] = [
    (Kind::PowerCut, 4),
    (Kind::PowerCutAt, 4),
    (Kind::Kill, 3),
    (Kind::FailCall, 3),
    (Kind::Fill, 2),
    (Kind::Rot, 3),
    (Kind::Misdirect, 2),
    (Kind::Link, 5),
    (Kind::ClockJump, 2),
];

impl Mix {
    /// Draws a mix.
    #[must_use]
    pub fn drawn(dice: &mut Dice) -> Self {
        let nodes = *dice
            .pick(&[1, 2, 3, 3, 3, 3, 4, 5])
            .expect("the list is not empty");
        let mut weights = WORK.to_vec();
        for (kind, most) in TROUBLE {
            if percent(dice, 50) {
                weights.push((kind, 1 + dice.below(most)));
            }
        }
        if percent(dice, 50) {
            weights.push((Kind::Rotate, 1 + dice.below(4)));
        }
        Self {
            nodes,
            steps: 100 + dice.below(400),
            weights,
            deaf: dice.below(3) * dice.below(25),
            twice: dice.below(3) * dice.below(40),
        }
    }

    fn kind(&self, dice: &mut Dice) -> Kind {
        let all: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        for (kind, weight) in &self.weights {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *kind,
            }
        }
        Kind::Apply
    }

    /// Draws the next step. `leader` is who leads now: without one, nothing moves.
    pub fn next(&self, dice: &mut super::chance::Chances, leader: Option<usize>) -> Step {
        let node = position(&mut dice.schedule, self.nodes);
        if leader.is_none() && percent(&mut dice.schedule, 30) {
            return Step::Elect { node };
        }
        let kind = self.kind(&mut dice.schedule);
        match kind {
            Kind::Tick | Kind::Change | Kind::Rotate | Kind::Get => work(kind, node, dice),
            Kind::Elect => Step::Elect { node },
            Kind::Replicate => Step::Replicate {
                to: node,
                again: if percent(&mut dice.faults, self.twice) {
                    small(&mut dice.faults, 6)
                } else {
                    0
                },
                limit: 1 + small(&mut dice.schedule, 12),
                heard: !percent(&mut dice.faults, self.deaf),
            },
            Kind::Apply => Step::Apply {
                node,
                limit: 1 + small(&mut dice.schedule, 12),
            },
            Kind::Job => Step::Job {
                node,
                batch: 1 + small(&mut dice.schedule, 8),
            },
            Kind::Snapshot => Step::Snapshot {
                node,
                keep: small(&mut dice.schedule, 12),
            },
            Kind::Install => Step::Install {
                to: node,
                from: leader.unwrap_or_else(|| position(&mut dice.schedule, self.nodes)),
            },
            Kind::DropProjection => Step::DropProjection { node },
            Kind::Start => Step::Start { node },
            trouble => self.trouble(trouble, node, &mut dice.faults),
        }
    }

    fn trouble(&self, kind: Kind, node: usize, dice: &mut Dice) -> Step {
        match kind {
            Kind::PowerCut => Step::PowerCut {
                node,
                choice: dice.roll(),
            },
            Kind::PowerCutAt => Step::PowerCutAt {
                node,
                calls: u16::from(small(dice, 80)),
            },
            Kind::Kill => Step::Kill { node },
            Kind::FailCall => Step::FailCall {
                node,
                calls: u16::from(small(dice, 60)),
                how: *dice
                    .pick(&[Failing::Io, Failing::Full, Failing::Short, Failing::Torn])
                    .expect("the list is not empty"),
            },
            Kind::Fill => Step::Full {
                node,
                full: percent(dice, 40),
            },
            Kind::Rot => Step::Rot {
                node,
                pick: dice.roll(),
            },
            Kind::Misdirect => Step::Misdirect {
                node,
                log: *dice
                    .pick(&[Log::Raft, Log::Ledger])
                    .expect("the list is not empty"),
                blocks: 1 + small(dice, 14),
            },
            Kind::Link => Step::Link {
                a: node,
                b: position(dice, self.nodes),
                cut: percent(dice, 50),
            },
            _ => Step::ClockJump {
                node,
                // Up to an hour either way: a wrong setting, a virtual machine that was moved.
                ms: i64::try_from(dice.below(7_200_000)).expect("below 7200000") - 3_600_000,
            },
        }
    }
}

fn small(dice: &mut Dice, end: u64) -> u8 {
    u8::try_from(dice.below(end)).expect("the ends given here are below 256")
}

fn number(dice: &mut Dice) -> u32 {
    u32::try_from(dice.below(1 << 32)).expect("below 2^32")
}

/// What clients and operators do.
fn work(kind: Kind, node: usize, dice: &mut super::chance::Chances) -> Step {
    let dice = &mut dice.workload;
    let user = small(dice, u64::from(super::site::USERS));
    let pick = number(dice);
    match kind {
        Kind::Tick => Step::Tick {
            ms: 1 + pick % 4_000,
        },
        Kind::Rotate => Step::Change {
            node,
            user,
            what: Change::OpenEpoch,
            pick,
        },
        Kind::Get => Step::Get {
            node,
            user,
            pick,
            stale: percent(dice, 25),
        },
        _ => Step::Change {
            node,
            user,
            what: change(dice),
            pick,
        },
    }
}

fn change(dice: &mut Dice) -> Change {
    let often = [
        Change::Create,
        Change::Create,
        Change::CreateNamed,
        Change::CreateDated,
        Change::Register,
        Change::Activate,
        Change::Revoke,
        Change::Revoke,
        Change::Destroy,
        Change::Destroy,
        Change::Destroy,
        Change::AddName,
        Change::PutUser,
        Change::SetPolicy,
        Change::ApplySchedule,
        Change::Anchor,
    ];
    *dice.pick(&often).expect("the list is not empty")
}
