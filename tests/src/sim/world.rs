//! The simulated cluster: nodes, the order between them, and the one function that carries out a
//! [`Step`].

use super::chance::percent;
use super::checkers::{self, Violation};
use super::keys::Keys;
use super::node::{BootFault, Carried, Health, Node};
use super::order::Order;
use super::plant::Plant;
use super::step::{Failing, Log, Step};
use super::truth::Truth;
use crate::dice::Dice;
use domain::{NodeId, Time};
use ledger::disk::Failure;

/// What a run begins with, besides its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The seed: keys, identifiers and crash images are made from it too.
    pub seed: u64,
    /// Nodes, 1 to 5.
    pub nodes: usize,
    /// A bug to be found.
    pub planted: Option<Plant>,
}

/// The whole simulated cluster.
#[derive(Debug)]
pub struct World {
    /// What it began with.
    pub setting: Setting,
    /// All keys.
    pub keys: Keys,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The order of entries, in openraft's place.
    pub order: Order,
    /// What is settled.
    pub truth: Truth,
    /// The right time.
    pub now: Time,
    /// Steps carried out.
    pub steps: u64,
    /// What the checkers remember.
    pub(super) memory: checkers::Memory,
}

/// What came of a step, for the trace; or a promise that was broken.
pub type Note = Result<String, Violation>;

impl World {
    /// A cluster whose nodes have empty disks and have not started.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        let mut dice = Dice::new(setting.seed ^ 0x5EED_C10C);
        let mut nodes = Vec::new();
        for id in 1..=setting.nodes as u64 {
            // Up to two seconds off, either way: what NTP leaves on a bad day.
            let skew = i64::try_from(dice.below(4_000)).expect("below 4000") - 2_000;
            nodes.push(Node::new(NodeId(id), skew));
        }
        Self {
            setting,
            keys: Keys::of(setting.seed),
            order: Order::new(setting.nodes),
            nodes,
            truth: Truth::default(),
            now: super::clock::START,
            steps: 0,
            memory: checkers::Memory::default(),
        }
    }

    /// Carries out one step and checks every promise.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn carry_out(&mut self, step: &Step) -> Note {
        self.steps += 1;
        let note = self.step(step)?;
        checkers::after_step(self)?;
        Ok(note)
    }

    fn step(&mut self, step: &Step) -> Note {
        let nodes = self.nodes.len();
        match step {
            Step::Found => self.found(),
            Step::Tick { ms } => {
                self.now.0 += i64::from(*ms);
                Ok(String::new())
            }
            Step::Change {
                node,
                user,
                what,
                pick,
            } => self.change(node % nodes, *user, *what, *pick),
            Step::Get {
                node,
                user,
                pick,
                stale,
            } => self.get(node % nodes, *user, *pick, *stale),
            Step::Elect { node } => self.elect(node % nodes),
            Step::Replicate {
                to,
                again,
                limit,
                heard,
            } => self.replicate(to % nodes, *again, *limit, *heard),
            Step::Apply { node, limit } => self.apply(node % nodes, *limit),
            Step::Job { node, batch } => self.job(node % nodes, *batch),
            Step::Snapshot { node, keep } => self.snapshot(node % nodes, *keep),
            Step::Install { to, from } => self.install(to % nodes, from % nodes),
            Step::DropProjection { node } => {
                if let Some(life) = &mut self.nodes[node % nodes].life {
                    life.projection = super::projection::Projection::default();
                }
                Ok(String::new())
            }
            Step::Heal => self.heal(),
            Step::Finish => checkers::at_the_end(self),
            trouble => self.trouble(trouble),
        }
    }

    /// Steps that break something, or mend it.
    fn trouble(&mut self, step: &Step) -> Note {
        let nodes = self.nodes.len();
        match step {
            Step::PowerCut { node, choice } => {
                let node = node % nodes;
                if !self.nodes[node].is_up() {
                    return Ok("down already".into());
                }
                self.cut_power(node, *choice);
                Ok(String::new())
            }
            Step::PowerCutAt { node, calls } => {
                self.nodes[node % nodes].disk.cut_after(u64::from(*calls));
                Ok(String::new())
            }
            Step::Kill { node } => {
                self.end(node % nodes, None);
                Ok(String::new())
            }
            Step::Start { node } => self.start(node % nodes),
            Step::FailCall { node, calls, how } => {
                let failure = match how {
                    Failing::Io => Failure::Io,
                    Failing::Full => Failure::Full,
                    Failing::Short => Failure::Short,
                    Failing::Torn => Failure::Torn,
                };
                self.nodes[node % nodes]
                    .disk
                    .fail_at(u64::from(*calls), failure);
                Ok(String::new())
            }
            Step::Full { node, full } => {
                let node = &mut self.nodes[node % nodes];
                node.is_full = *full;
                node.disk.set_full(*full);
                Ok(String::new())
            }
            Step::Rot { node, pick } => Ok(self.rot(node % nodes, *pick)),
            Step::Misdirect { node, log, blocks } => {
                let node = node % nodes;
                if !self.may_be_damaged(node) || *blocks == 0 {
                    return Ok("left alone: too few sound nodes besides".into());
                }
                let into = match log {
                    Log::Raft => "/raft/",
                    Log::Ledger => "/ledger/",
                };
                self.nodes[node].disk.misdirect(into, u64::from(*blocks));
                // From here on nothing that it holds is counted on.
                self.nodes[node].health = Health::Hurt;
                Ok(String::new())
            }
            Step::Link { a, b, cut } => {
                self.order.link(a % nodes, b % nodes, *cut);
                Ok(String::new())
            }
            Step::ClockJump { node, ms } => {
                self.nodes[node % nodes].clock.jump(*ms);
                Ok(String::new())
            }
            _ => Ok("not a trouble".into()),
        }
    }

    /// Whether a node may be damaged: enough others must be sound that nothing acknowledged can
    /// be lost with it.
    fn may_be_damaged(&self, node: usize) -> bool {
        let sound = |n: &usize| self.nodes[*n].health == Health::Sound;
        let others = (0..self.nodes.len()).filter(|n| *n != node).filter(sound);
        sound(&node) && others.count() >= self.order.quorum()
    }

    /// Flips a bit of a node that is down.
    fn rot(&mut self, node: usize, pick: u64) -> String {
        if self.nodes[node].is_up() || !self.may_be_damaged(node) {
            return "left alone".into();
        }
        let mut dice = Dice::new(pick);
        let memory = &self.nodes[node].memory;
        // redb keeps its own checksums and repairs; what is ours to detect are the logs.
        let files: Vec<_> = memory.files().into_iter().collect();
        let logs = files
            .iter()
            .filter(|(path, bytes)| path.to_string_lossy().ends_with(".seg") && !bytes.is_empty());
        let logs: Vec<_> = logs.collect();
        let Some((path, bytes)) = dice.pick(&logs) else {
            return "nothing there".into();
        };
        let mut bytes = bytes.clone();
        let end = bytes
            .iter()
            .rposition(|b| *b != 0)
            .map_or(1, |last| last + 1);
        // Mostly where something stands, sometimes in the zeros behind.
        let end = if percent(&mut dice, 90) {
            end
        } else {
            bytes.len()
        };
        let at = super::chance::position(&mut dice, end);
        bytes[at] ^= 1 << dice.below(8);
        memory.put(path, &bytes);
        let shown = format!("{} byte {at}", path.display());
        self.nodes[node].health = Health::Hurt;
        shown
    }

    /// Ends the life of a node.
    pub(super) fn end(&mut self, node: usize, choose: Option<&mut dyn FnMut(usize) -> usize>) {
        self.nodes[node].die(self.setting.planted, choose);
        self.order.lost(node);
    }

    pub(super) fn cut_power(&mut self, node: usize, choice: u64) {
        let mut dice = Dice::new(choice);
        // Some cuts lose everything unsynced, some nothing, most something.
        let luck = dice.below(4);
        self.end(
            node,
            Some(&mut |n| match luck {
                0 => 0,
                1 => n.saturating_sub(1),
                _ => super::chance::position(&mut dice, n),
            }),
        );
    }

    /// A node met a fault and stops. That must have a cause among the injected faults.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn stop(&mut self, node: usize, why: &str) -> Note {
        let stopped = &self.nodes[node];
        if !stopped.disk.was_hurt() && stopped.health == Health::Sound {
            let what = format!("node {} stopped with nothing wrong: {why}", stopped.id.0);
            return Err(Violation::new("fault without cause", what));
        }
        if stopped.disk.is_dead() {
            self.cut_power(node, self.setting.seed ^ self.steps);
        } else {
            self.end(node, None);
        }
        Ok(format!("stopped: {why}"))
    }

    /// Starts a node; one whose damage is seen is wiped and starts with nothing.
    pub(super) fn start(&mut self, node: usize) -> Note {
        if self.nodes[node].is_up() {
            return Ok("up already".into());
        }
        match self.boot(node) {
            Err(BootFault::Damaged(what)) if self.nodes[node].health != Health::Sound => {
                self.nodes[node].wipe();
                self.order.lost(node);
                let booted = self.boot(node);
                let note = self.booted(node, booted)?;
                Ok(format!("wiped: {what} {note}"))
            }
            booted => self.booted(node, booted),
        }
    }

    fn booted(&mut self, node: usize, booted: Result<(), BootFault>) -> Note {
        match booted {
            Ok(()) => Ok(String::new()),
            Err(BootFault::Disk(what)) if self.nodes[node].disk.was_hurt() => {
                if self.nodes[node].disk.is_dead() {
                    self.cut_power(node, self.setting.seed ^ self.steps);
                } else {
                    self.end(node, None);
                }
                Ok(format!("still down: {what}"))
            }
            Err(fault) => {
                let what = format!("node {} does not start: {fault:?}", self.nodes[node].id.0);
                Err(Violation::new("fault without cause", what))
            }
        }
    }

    fn boot(&mut self, node: usize) -> Result<(), BootFault> {
        self.nodes[node].boot(self.setting.planted)?;
        let remembered = self.order.remembered(node);
        let node = &mut self.nodes[node];
        let Some(life) = &node.life else {
            return Ok(());
        };
        let had = life.raft.last().index;
        if node.health != Health::Empty && had < remembered {
            // The peers refuse it, as `LogReversion`.
            let what = format!("its log ends at {had}, the others have seen {remembered}");
            node.life = None;
            return Err(BootFault::Damaged(what));
        }
        // The store says which entry it has come to, not how long the log was then; so a log whose
        // last records rotted before anything was written behind them passes for one with a torn
        // tail. Damage of that kind is noticed here in the product's place (seed 1416 without it);
        // on a node that was not damaged it stays a broken promise.
        let needed = self.truth.after.get(&life.machine.store().durable_index());
        let needed = needed.map_or(0, |(_, after)| after.size);
        let held = life.machine.ledger().size();
        if node.health == Health::Hurt && held < needed {
            let what = format!("the log ends at {held}, the store needs {needed} records");
            node.life = None;
            return Err(BootFault::Damaged(what));
        }
        if let Err(what) = checkers::audit_before_key::pins_stand(node) {
            node.life = None;
            return Err(BootFault::Damaged(what));
        }
        if node.health == Health::Hurt {
            // Everything was read and is right: what rotted was not in use.
            node.health = Health::Sound;
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, node: usize, limit: u8) -> Note {
        let mut done = 0;
        while done < limit {
            let carried = self.nodes[node].apply_next(self.now, self.setting.planted);
            match carried {
                Ok(Some(carried)) => self.applied(node, &carried)?,
                Ok(None) => break,
                Err(why) => return self.stop(node, &why),
            }
            done += 1;
        }
        self.dig(node)?;
        let applied = self.nodes[node]
            .life
            .as_ref()
            .map_or(0, |life| life.applied);
        Ok(format!("{done}, at {applied}"))
    }

    fn applied(&mut self, node: usize, carried: &Carried) -> Result<(), Violation> {
        checkers::equal_states::check(self, node, carried)?;
        self.settle(node, carried)
    }

    /// Brings about what the planted bug of lost tombstones does, once nothing more is applied
    /// again.
    fn dig(&mut self, node: usize) -> Note {
        let dug = &mut self.nodes[node];
        let again = dug
            .life
            .as_ref()
            .is_some_and(|l| l.applied < dug.applied_ever);
        if dug.graves.is_empty() || again || !dug.is_up() {
            return Ok(String::new());
        }
        let opened = dug
            .snapshot(0, false)
            .and_then(|()| {
                dug.life = None;
                dug.open_graves()
            })
            .map_err(|_| ())
            .and_then(|()| dug.boot(self.setting.planted).map_err(|_| ()));
        match opened {
            Ok(()) => {
                self.order.lost(node);
                Ok("graves opened".into())
            }
            Err(()) => {
                self.end(node, None);
                Ok(String::new())
            }
        }
    }

    fn snapshot(&mut self, node: usize, keep: u8) -> Note {
        match self.nodes[node].snapshot(u64::from(keep), false) {
            Ok(()) => Ok(String::new()),
            Err(why) => self.stop(node, &why),
        }
    }

    fn install(&mut self, to: usize, from: usize) -> Note {
        let both = self.nodes[to].is_up() && self.nodes[from].is_up();
        if to == from || !both || self.order.is_cut(to, from) {
            return Ok("no way".into());
        }
        if self.nodes[from].health == Health::Empty {
            return Ok("the sender has nothing".into());
        }
        let position = |n: usize| self.nodes[n].life.as_ref().map_or(0, |life| life.applied);
        if position(from) <= position(to) && self.nodes[to].health != Health::Empty {
            return Ok("not behind".into());
        }
        let sent = match self.nodes[from].send() {
            Ok(sent) => sent,
            Err(why) => return self.stop(from, &why),
        };
        self.order.lost(to);
        let installed = self.nodes[to].install(&sent);
        let installed = installed.and_then(|()| self.nodes[to].boot(self.setting.planted));
        match installed {
            Ok(()) => {
                if self.order.is_settled(&self.nodes, from, sent.place.index) {
                    self.nodes[to].health = Health::Sound;
                }
                Ok(format!("to {}", sent.place.index))
            }
            Err(BootFault::Damaged(_)) if self.nodes[to].health != Health::Sound => {
                self.nodes[to].wipe();
                self.start(to)
            }
            Err(BootFault::Damaged(what) | BootFault::Disk(what)) => self.stop(to, &what),
        }
    }

    /// Ends all trouble: every node starts on a disk that works, and every way is open.
    fn heal(&mut self) -> Note {
        self.order.mend();
        let mut notes = Vec::new();
        for n in 0..self.nodes.len() {
            let node = &mut self.nodes[n];
            node.is_full = false;
            node.clock.set_right();
            self.end(n, None);
            // A failure that was armed and not met would still come.
            let again = self.nodes[n].memory.crash(&mut |n| n.saturating_sub(1));
            self.nodes[n].memory = again;
            notes.push(self.start(n)?);
        }
        Ok(notes.join(" "))
    }
}
