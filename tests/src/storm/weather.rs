//! What goes wrong: drawn from the seed, one fault after the other, each with its end.
//!
//! Any number of nodes may be without power at once, also all of them. What is never done, because
//! no cluster of this size promises to survive it: more than one node with rotten bytes, and a disk
//! that says it has synced and has not.

use super::member::{Order, Place, ROTTING};
use super::net::host;
use super::run::Setting;
use crate::dice::Dice;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All links carry everything again.
    Links,
    /// A host starts.
    Start(u64),
}

/// The sky over one run.
#[derive(Debug)]
pub struct Weather {
    setting: Setting,
    dice: Dice,
    next: Duration,
    ends: Vec<(Duration, End)>,
    links_are_bad: bool,
    has_rotted: bool,
    /// The last term that each node was seen in.
    terms: BTreeMap<u64, u64>,
    /// Nodes that may still be let in, and whether it was asked for.
    spares: Vec<u64>,
    /// Faults so far.
    pub faults: u64,
}

/// The hosts and what is known of them.
pub struct Hosts<'a, 'b> {
    /// The simulation.
    pub sim: &'a mut Sim<'b>,
    /// Nodes by number.
    pub places: &'a BTreeMap<u64, Arc<Place>>,
}

impl std::fmt::Debug for Hosts<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

impl Hosts<'_, '_> {
    fn note(&self, line: impl std::fmt::Display) {
        if let Some(place) = self.places.values().next() {
            place.chronicle.book().note(self.sim.elapsed(), line);
        }
    }

    fn leader(&self) -> Option<u64> {
        let led = |(node, place): &(&u64, &Arc<Place>)| {
            let now = place.now();
            now.status
                .as_ref()
                .is_some_and(|s| s.leader == Some(**node))
        };
        let terms = self
            .places
            .iter()
            .filter(led)
            .map(|(node, place)| (place.now().status.as_ref().map_or(0, |s| s.term), *node));
        terms.max().map(|(_, node)| node)
    }

    /// Takes the power from a host: what it had not synced is lost.
    pub fn power_off(&mut self, node: u64, chance: &mut Dice) {
        self.places[&node].cut_power(chance);
        self.sim.crash(host(node));
    }

    /// Starts a host, or ends its process and starts it again at a later time. What it had written
    /// and not synced is kept by its kernel.
    fn start(&mut self, node: u64, at: Duration) {
        let place = &self.places[&node];
        place.end_life();
        place.now().begins = at;
        self.sim.bounce(host(node));
    }
}

impl Weather {
    /// The weather of a seed, from a time on.
    pub fn new(setting: Setting, dice: Dice, from: Duration) -> Self {
        let spares = (setting.nodes + 1..=setting.nodes + setting.spares)
            .rev()
            .collect();
        Self {
            setting,
            dice,
            next: from,
            ends: Vec::new(),
            links_are_bad: false,
            has_rotted: false,
            terms: BTreeMap::new(),
            spares,
            faults: 0,
        }
    }

    /// Does what is due.
    pub fn blow(&mut self, hosts: &mut Hosts<'_, '_>) {
        let now = hosts.sim.elapsed();
        self.end_what_is_due(hosts, now);
        self.strike_voters(hosts, now);
        if now >= self.next {
            self.next = now + self.millis(self.setting.pause_ms / 4, self.setting.pause_ms);
            self.faults += 1;
            self.strike(hosts, now);
        }
    }

    /// Ends everything, and starts what is down.
    pub fn clear(&mut self, hosts: &mut Hosts<'_, '_>) {
        let now = hosts.sim.elapsed();
        mend_links(hosts);
        self.links_are_bad = false;
        let starts = self.ends.drain(..).filter_map(|(_, end)| match end {
            End::Start(node) => Some(node),
            End::Links => None,
        });
        let starts: Vec<u64> = starts.collect();
        for node in starts {
            hosts.start(node, now);
        }
        for place in hosts.places.values() {
            place.now().skew = 0;
        }
        hosts.note("the weather is over");
    }

    /// Starts the hosts whose node has stopped by itself, as a supervisor does.
    pub fn supervise(&mut self, hosts: &mut Hosts<'_, '_>) {
        let now = hosts.sim.elapsed();
        let nodes: Vec<u64> = hosts.places.keys().copied().collect();
        for node in nodes {
            let planned = self
                .ends
                .iter()
                .any(|(_, end)| matches!(end, End::Start(n) if *n == node));
            if !planned && !hosts.sim.is_host_running(host(node)) {
                self.ends
                    .push((now + Duration::from_millis(300), End::Start(node)));
            }
        }
        self.end_what_is_due(hosts, now);
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.dice.below(to - from))
    }

    fn end_what_is_due(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        let (due, later) = self.ends.drain(..).partition(|(at, _)| *at <= now);
        self.ends = later;
        let due: Vec<(Duration, End)> = due;
        for (_, end) in due {
            match end {
                End::Links => {
                    mend_links(hosts);
                    self.links_are_bad = false;
                    hosts.note("links carry again");
                }
                End::Start(node) => hosts.start(node, now),
            }
        }
    }

    /// In a nervous run, nodes lose their power just when they have moved to another term.
    fn strike_voters(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        if !self.setting.nervous {
            return;
        }
        let terms: Vec<(u64, u64)> = hosts
            .places
            .iter()
            .filter_map(|(node, place)| Some((*node, place.now().status.as_ref()?.term)))
            .collect();
        for (node, term) in terms {
            let before = self.terms.insert(node, term);
            if before.is_some_and(|before| before < term) && self.dice.below(100) < 25 {
                let down = self.millis(20, 400);
                self.power(hosts, node, now + down);
            }
        }
    }

    fn node(&mut self, hosts: &Hosts<'_, '_>) -> u64 {
        let nodes: Vec<u64> = hosts.places.keys().copied().collect();
        match hosts.leader() {
            Some(leader) if self.dice.below(3) == 0 => leader,
            _ => *self.dice.pick(&nodes).expect("there are nodes"),
        }
    }

    fn power(&mut self, hosts: &mut Hosts<'_, '_>, node: u64, until: Duration) {
        let is_down = |(_, end): &(Duration, End)| matches!(end, End::Start(n) if *n == node);
        if self.ends.iter().any(is_down) {
            return;
        }
        hosts.note(format_args!(
            "power: n{node} until {} ms",
            until.as_millis()
        ));
        hosts.power_off(node, &mut self.dice);
        self.ends.push((until, End::Start(node)));
    }

    fn strike(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        let node = self.node(hosts);
        if self.setting.churn {
            self.churn(hosts, now);
            return;
        }
        let chance = self.dice.below(100);
        match chance {
            0..34 if !self.links_are_bad => self.strike_links(hosts, now, node),
            0..48 => {
                let down = self.millis(100, 4_000);
                self.power(hosts, node, now + down);
            }
            48..58 => {
                let is_down =
                    |(_, end): &(Duration, End)| matches!(end, End::Start(n) if *n == node);
                if !self.ends.iter().any(is_down) {
                    let down = self.millis(50, 3_000);
                    hosts.note(format_args!("kill: n{node} for {} ms", down.as_millis()));
                    hosts.start(node, now + down);
                }
            }
            58..65 => {
                let nodes: Vec<u64> = hosts.places.keys().copied().collect();
                for node in nodes {
                    let down = self.millis(100, 1_500);
                    self.power(hosts, node, now + down);
                }
            }
            65..72 => {
                let calls = self.dice.below(40);
                hosts.note(format_args!("disk: n{node} fails after {calls} calls"));
                hosts.places[&node].fail_disk_after(calls);
            }
            72..80 => {
                let skew =
                    i64::try_from(self.dice.below(7_200_000)).expect("two hours") - 3_600_000;
                hosts.note(format_args!("clock: n{node} is off by {skew} ms"));
                hosts.places[&node].now().skew = skew;
            }
            80..90 => {
                hosts.note(format_args!("n{node} is to forget its entries"));
                hosts.places[&node].order(Order::Forget);
            }
            90..93 if !self.has_rotted && self.setting.rot => self.rot(hosts, now, node),
            _ => self.change_members(hosts),
        }
    }

    fn rot(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration, node: u64) {
        self.has_rotted = true;
        let file = *self.dice.pick(&ROTTING).expect("there are files");
        let chance = self.dice.roll();
        hosts.places[&node].now().rot = Some((file.to_owned(), chance));
        self.power(hosts, node, now + Duration::from_millis(500));
    }

    /// Holds up two followers of the leader, and has a voter replaced meanwhile.
    fn churn(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        let Some(leader) = hosts.leader() else {
            return;
        };
        if !self.links_are_bad {
            let voters = hosts.places[&leader].voters().unwrap_or_default();
            let mut others: Vec<u64> = voters.into_iter().filter(|n| *n != leader).collect();
            let lasts = self.millis(50, 450);
            self.links_are_bad = true;
            self.ends.push((now + lasts, End::Links));
            for _ in 0..2.min(others.len()) {
                let place = usize::try_from(self.dice.below(others.len() as u64));
                let held = others.swap_remove(place.expect("a place in a list"));
                hosts.note(format_args!("hold: n{leader} and n{held}"));
                hosts.sim.hold(host(leader), host(held));
            }
        }
        self.change_members(hosts);
    }

    fn change_members(&mut self, hosts: &Hosts<'_, '_>) {
        let Some(leader) = hosts.leader().filter(|_| self.setting.spares > 0) else {
            return;
        };
        let place = &hosts.places[&leader];
        let voters: Vec<u64> = place.voters().unwrap_or_default().into_iter().collect();
        if (voters.len() as u64) < self.setting.nodes {
            if let Some(spare) = self.spares.pop() {
                hosts.note(format_args!("n{spare} is to be let in"));
                place.order(Order::Admit(spare));
            }
        } else if !self.spares.is_empty() {
            let gone = if self.dice.below(2) == 0 {
                Some(&leader)
            } else {
                self.dice.pick(&voters)
            };
            if let Some(gone) = gone {
                hosts.note(format_args!("n{gone} is to be removed"));
                place.order(Order::Remove(*gone));
            }
        }
    }

    fn strike_links(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration, node: u64) {
        let nodes: Vec<u64> = hosts.places.keys().copied().collect();
        let others: Vec<u64> = nodes.iter().copied().filter(|n| *n != node).collect();
        let other = *self.dice.pick(&others).expect("more than one node");
        let lasts = self.millis(200, 6_000);
        self.links_are_bad = true;
        self.ends.push((now + lasts, End::Links));
        let until = (now + lasts).as_millis();
        match self.dice.below(6) {
            0 => {
                hosts.note(format_args!("hold: n{node} and n{other} until {until} ms"));
                hosts.sim.hold(host(node), host(other));
            }
            1 => {
                hosts.note(format_args!(
                    "hold: n{node} and all others until {until} ms"
                ));
                others
                    .iter()
                    .for_each(|other| hosts.sim.hold(host(node), host(*other)));
            }
            2 => {
                hosts.note(format_args!(
                    "one way: n{node} to all others until {until} ms"
                ));
                for other in &others {
                    hosts.sim.partition_oneway(host(node), host(*other));
                }
            }
            3 => {
                hosts.note(format_args!(
                    "one way: n{node} to n{other} until {until} ms"
                ));
                hosts.sim.partition_oneway(host(node), host(other));
            }
            4 => {
                let part: Vec<u64> = nodes
                    .iter()
                    .copied()
                    .filter(|_| self.dice.below(2) == 0)
                    .collect();
                hosts.note(format_args!("parted: {part:?} until {until} ms"));
                let rest = nodes.iter().filter(|n| !part.contains(n));
                for (one, other) in rest.flat_map(|one| part.iter().map(move |p| (one, p))) {
                    hosts.sim.partition(host(*one), host(*other));
                }
            }
            _ => {
                hosts.note(format_args!("alone: n{node} until {until} ms"));
                others
                    .iter()
                    .for_each(|other| hosts.sim.partition(host(node), host(*other)));
            }
        }
    }
}

fn mend_links(hosts: &mut Hosts<'_, '_>) {
    let nodes: Vec<u64> = hosts.places.keys().copied().collect();
    for (n, one) in nodes.iter().enumerate() {
        for other in &nodes[n + 1..] {
            let (one, other) = (host(*one), host(*other));
            hosts.sim.release(one.as_str(), other.as_str());
            hosts.sim.repair(one.as_str(), other.as_str());
            hosts.sim.repair_oneway(one.as_str(), other.as_str());
            hosts.sim.repair_oneway(other.as_str(), one.as_str());
        }
    }
}
