//! How a seed becomes a run, and what came of it.

use super::chance::Chances;
use super::checkers::Violation;
use super::mix::Mix;
use super::plant::Plant;
use super::step::Step;
use super::world::{Setting, World};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rounds of the second phase: each lets every node send, carry out, and do one job. A rotation
/// takes a handful, a node that was wiped three or four.
const ROUNDS_MAX: usize = 60;

/// A run with everything that is needed to repeat it.
#[derive(Debug)]
pub struct Run {
    /// What it began with.
    pub setting: Setting,
    /// Every step that was carried out; the last one is the one that broke the promise, if one
    /// did.
    pub steps: Vec<Step>,
    /// What came of each step.
    pub trace: Vec<String>,
    /// The promise that was broken.
    pub broken: Option<Violation>,
    /// What was done, for figures.
    pub figures: Figures,
}

/// What a run, or several, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub runs: u64,
    /// Steps.
    pub steps: u64,
    /// Committed entries.
    pub entries: u64,
    /// Records of the cluster log.
    pub records: u64,
    /// Requests for changes that reached a leader.
    pub requests: u64,
    /// Objects whose Destroy was acknowledged.
    pub destroyed: u64,
    /// Times that key material left a node.
    pub released: u64,
    /// Terms of leaders.
    pub terms: u64,
    /// Epochs that were opened after the first.
    pub rotations: u64,
    /// Lives of nodes after their first.
    pub crashes: u64,
    /// Times that a node was sent everything.
    pub installed: u64,
    /// Times that damage was seen and a disk was wiped.
    pub wiped: u64,
}

impl Figures {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.entries += other.entries;
        self.records += other.records;
        self.requests += other.requests;
        self.destroyed += other.destroyed;
        self.released += other.released;
        self.terms += other.terms;
        self.rotations += other.rotations;
        self.crashes += other.crashes;
        self.installed += other.installed;
        self.wiped += other.wiped;
    }
}

/// A run under way.
struct Running {
    world: World,
    steps: Vec<Step>,
    trace: Vec<String>,
}

impl Running {
    fn begin(setting: Setting) -> Self {
        Self {
            world: World::new(setting),
            steps: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn go(&mut self, step: Step) -> Result<(), Violation> {
        self.steps.push(step.clone());
        let note = self.world.carry_out(&step)?;
        let term = self.world.order.term;
        let line = format!("{} {step:?} [{term}] {note}", self.steps.len());
        self.trace.push(line);
        Ok(())
    }

    fn end(self, broken: Option<Violation>) -> Run {
        let world = &self.world;
        let pins = world.nodes.iter().map(|node| node.pins.len() as u64);
        let states = world.nodes.iter().filter_map(|node| node.life.as_ref());
        let epochs = states
            .map(|life| u64::from(life.machine.state().epoch().0))
            .max();
        let figures = Figures {
            runs: 1,
            steps: self.steps.len() as u64,
            entries: world.truth.commit(),
            records: world.truth.leaves.len() as u64,
            requests: world.truth.requests.len() as u64,
            destroyed: world.truth.destroyed.len() as u64,
            released: pins.sum(),
            terms: world.order.term,
            rotations: epochs.unwrap_or(1).saturating_sub(1),
            crashes: world
                .nodes
                .iter()
                .map(|node| node.lives - node.lives.min(1))
                .sum(),
            installed: world.nodes.iter().map(|node| node.installed).sum(),
            wiped: world.nodes.iter().map(|node| node.wiped).sum(),
        };
        Run {
            setting: self.world.setting,
            steps: self.steps,
            trace: self.trace,
            broken,
            figures,
        }
    }

    /// Both phases.
    fn both(&mut self, mix: &Mix, dice: &mut Chances) -> Result<(), Violation> {
        self.go(Step::Found)?;
        for _ in 0..mix.steps {
            let step = mix.next(dice, self.world.order.leader);
            self.go(step)?;
        }
        self.go(Step::Heal)?;
        for round in 0..ROUNDS_MAX {
            if round > 1 && self.world.has_converged() {
                break;
            }
            self.round(mix.nodes)?;
        }
        self.go(Step::Finish)
    }

    /// What a healthy cluster does all the time.
    fn round(&mut self, nodes: usize) -> Result<(), Violation> {
        self.go(Step::Tick { ms: 500 })?;
        for node in 0..nodes {
            if self.world.order.leader.is_none() {
                self.go(Step::Elect { node })?;
            }
        }
        let leader = self.world.order.leader.unwrap_or(0);
        for _ in 0..2 {
            for node in 0..nodes {
                self.go(Step::Replicate {
                    to: node,
                    again: 0,
                    limit: u8::MAX,
                    heard: true,
                })?;
                self.go(Step::Apply {
                    node,
                    limit: u8::MAX,
                })?;
            }
        }
        for node in 0..nodes {
            self.go(Step::Install {
                to: node,
                from: leader,
            })?;
            self.go(Step::Job { node, batch: 100 })?;
        }
        Ok(())
    }
}

/// The setting and the mix that belong to a seed.
fn drawn(seed: u64, planted: Option<Plant>) -> (Setting, Mix, Chances) {
    let mut dice = Chances::of(seed);
    let mix = Mix::drawn(&mut dice.mix);
    let setting = Setting {
        seed,
        nodes: mix.nodes,
        planted,
    };
    (setting, mix, dice)
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, planted: Option<Plant>) -> Run {
    let (setting, mix, mut dice) = drawn(seed, planted);
    let mut running = Running::begin(setting);
    let outcome = guarded(|| running.both(&mix, &mut dice));
    running.end(outcome.err())
}

/// Repeats a recorded run, or its first `until` steps.
#[must_use]
pub fn replay(setting: Setting, steps: &[Step], until: usize) -> Run {
    let mut running = Running::begin(setting);
    let outcome = guarded(|| {
        steps
            .iter()
            .take(until)
            .try_for_each(|step| running.go(step.clone()))
    });
    running.end(outcome.err())
}

/// A panic of the product is a broken promise like any other.
fn guarded(work: impl FnOnce() -> Result<(), Violation>) -> Result<(), Violation> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Violation::new("no panic", text.unwrap_or_default()))
    })
}

/// Takes steps out of a failed run as long as it breaks the same promise: what is left is what
/// matters. At most `tries` runs are made.
#[must_use]
pub fn shortened(run: Run, tries: usize) -> Run {
    let Some(promise) = run.broken.as_ref().map(|broken| broken.promise) else {
        return run;
    };
    let mut best = run;
    let mut piece = best.steps.len() / 2;
    let mut left = tries;
    while piece > 0 {
        let mut at = 0;
        while at < best.steps.len() && left > 0 {
            left -= 1;
            let mut steps = best.steps.clone();
            steps.drain(at..(at + piece).min(best.steps.len()));
            let shorter = replay(best.setting, &steps, usize::MAX);
            if shorter
                .broken
                .as_ref()
                .is_some_and(|b| b.promise == promise)
            {
                best = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}
