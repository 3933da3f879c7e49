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

/// How often, in percent, a nervous run loses the power of all nodes when a new leader is seen.
const BLACKOUT_CHANCE: u64 = 20;

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All links carry everything again.
    Links,
    /// A host starts.
    Start(u64),
}

/// How long a leader does not hear some of its followers while members change: shorter than they
/// wait before they elect another.
const SILENCE: Duration = Duration::from_millis(480);

/// Followers of a leader that is to count them wrongly, if it can.
#[derive(Clone, Copy, Debug)]
struct Count {
    leader: u64,
    first: u64,
    third: u64,
    gone: u64,
    /// The first entry that may be the change.
    from: u64,
    until: Duration,
    /// The third has been heard and is not any more.
    is_silent: bool,
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
    /// The last leader that was seen, and its term.
    reign: Option<(u64, u64)>,
    /// A voter goes, and the followers are being counted.
    count: Option<Count>,
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

    /// How far the log of a node reaches.
    fn last_entry(&self, node: u64) -> Option<u64> {
        self.places[&node].now().status.as_ref()?.last_entry
    }

    /// How far a leader knows the logs of others to reach.
    fn matched(&self, leader: u64) -> BTreeMap<u64, u64> {
        let now = self.places[&leader].now();
        let members = now.status.iter().flat_map(|status| &status.members);
        members
            .filter_map(|member| Some((member.node, member.matched?)))
            .collect()
    }

    fn hold(&mut self, one: u64, other: u64) {
        self.note(format_args!("hold: n{one} and n{other}"));
        self.sim.hold(host(one), host(other));
    }

    fn release(&mut self, one: u64, other: u64) {
        self.note(format_args!("release: n{one} and n{other}"));
        self.sim.release(host(one), host(other));
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
            reign: None,
            count: None,
            spares,
            faults: 0,
        }
    }

    /// Does what is due.
    pub fn blow(&mut self, hosts: &mut Hosts<'_, '_>) {
        let now = hosts.sim.elapsed();
        self.end_what_is_due(hosts, now);
        self.strike_voters(hosts, now);
        self.let_count(hosts, now);
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
            if !self.is_down(node) && !hosts.sim.is_host_running(host(node)) {
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
        let leader = hosts.leader();
        let leads = |(node, _): &&(u64, u64)| Some(*node) == leader;
        if let Some(reign) = terms.iter().find(leads) {
            let before = self.reign.replace(*reign);
            let is_new = before.is_some_and(|before| before != *reign);
            if is_new && self.dice.below(100) < BLACKOUT_CHANCE {
                self.terms.extend(terms);
                return self.black_out(hosts, now);
            }
        }
        for (node, term) in terms {
            let before = self.terms.insert(node, term);
            if before.is_some_and(|before| before < term) && self.dice.below(100) < 25 {
                let down = self.millis(20, 400);
                self.power(hosts, node, now + down);
            }
        }
    }

    /// The site loses its power at the worst moment for the votes of an election: they are given,
    /// and what was not synced is gone everywhere.
    fn black_out(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        self.faults += 1;
        hosts.note("power: everywhere, and nothing survives that was not synced");
        let nodes: Vec<u64> = hosts.places.keys().copied().collect();
        for node in nodes {
            if !self.is_down(node) {
                hosts.places[&node].lose_power();
                hosts.sim.crash(host(node));
                let down = self.millis(20, 400);
                self.ends.push((now + down, End::Start(node)));
            }
        }
    }

    /// Whether a node stays down until a time that is known.
    fn is_down(&self, node: u64) -> bool {
        let mut ends = self.ends.iter();
        ends.any(|(_, end)| matches!(end, End::Start(n) if *n == node))
    }

    fn node(&mut self, hosts: &Hosts<'_, '_>) -> u64 {
        let nodes: Vec<u64> = hosts.places.keys().copied().collect();
        match hosts.leader() {
            Some(leader) if self.dice.below(3) == 0 => leader,
            _ => *self.dice.pick(&nodes).expect("there are nodes"),
        }
    }

    fn power(&mut self, hosts: &mut Hosts<'_, '_>, node: u64, until: Duration) {
        if self.is_down(node) {
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
                if !self.is_down(node) {
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
            _ => {
                if let Some(gone) = self.voter(hosts) {
                    self.change_members(hosts, gone);
                }
            }
        }
    }

    fn rot(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration, node: u64) {
        self.has_rotted = true;
        let file = *self.dice.pick(&ROTTING).expect("there are files");
        let chance = self.dice.roll();
        hosts.places[&node].now().rot = Some((file.to_owned(), chance));
        self.power(hosts, node, now + Duration::from_millis(500));
    }

    /// Has members changed; when a voter goes, the leader does not hear all of the others.
    fn churn(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        let Some(leader) = hosts.leader() else {
            return;
        };
        let voters = hosts.places[&leader].voters().unwrap_or_default();
        let is_full = voters.len() as u64 >= self.setting.nodes;
        let mut others: Vec<u64> = voters.into_iter().filter(|n| *n != leader).collect();
        let mut draw = || {
            let place = self.dice.below(others.len().max(1) as u64);
            let place = usize::try_from(place).expect("a place in a list");
            (place < others.len()).then(|| others.swap_remove(place))
        };
        let (Some(first), Some(second), Some(third), Some(gone)) = (draw(), draw(), draw(), draw())
        else {
            return self.change_members(hosts, leader);
        };
        let gone = if self.dice.below(4) > 0 { gone } else { leader };
        if is_full && !self.links_are_bad && !self.spares.is_empty() {
            let until = now + SILENCE;
            self.links_are_bad = true;
            self.ends.push((until, End::Links));
            hosts.hold(leader, first);
            hosts.hold(leader, second);
            let from = hosts.last_entry(leader).map_or(0, |last| last + 1);
            self.count = (gone != leader).then_some(Count {
                leader,
                first,
                third,
                gone,
                from,
                until,
                is_silent: false,
            });
        }
        self.change_members(hosts, gone);
    }

    /// Lets the followers of a leader that has a voter removed be heard in the order in which a
    /// wrong count shows: the third says that it has the change, before the one that goes does,
    /// and is silent; the one that goes overtakes it; then the first comes back. Whoever now takes
    /// the third for one that has what the first has, commits without a quorum of the new voters.
    fn let_count(&mut self, hosts: &mut Hosts<'_, '_>, now: Duration) {
        let Some(mut count) = self.count.take().filter(|count| now < count.until) else {
            return;
        };
        let matched = hosts.matched(count.leader);
        let (third, gone) = (matched.get(&count.third), matched.get(&count.gone));
        if count.is_silent {
            if gone > third {
                return hosts.release(count.leader, count.first);
            }
        } else if gone >= Some(&count.from) {
            // In this order nobody counts wrongly.
            return self.ends.push((now, End::Links));
        } else if third >= Some(&count.from) {
            hosts.hold(count.leader, count.third);
            count.is_silent = true;
        }
        self.count = Some(count);
    }

    /// Has a voter removed, or lets a spare node in when one was.
    fn change_members(&mut self, hosts: &Hosts<'_, '_>, gone: u64) {
        let Some(leader) = hosts.leader().filter(|_| self.setting.spares > 0) else {
            return;
        };
        let place = &hosts.places[&leader];
        let voters = place.voters().unwrap_or_default().len() as u64;
        if voters < self.setting.nodes {
            if let Some(spare) = self.spares.pop() {
                hosts.note(format_args!("n{spare} is to be let in"));
                place.order(Order::Admit(spare));
            }
        } else if !self.spares.is_empty() {
            hosts.note(format_args!("n{gone} is to be removed"));
            place.order(Order::Remove(gone));
        }
    }

    /// The leader or any voter.
    fn voter(&mut self, hosts: &Hosts<'_, '_>) -> Option<u64> {
        let leader = hosts.leader()?;
        let voters = hosts.places[&leader].voters().unwrap_or_default();
        let voters: Vec<u64> = voters.into_iter().collect();
        match self.dice.below(2) == 0 {
            true => Some(leader),
            false => self.dice.pick(&voters).copied(),
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
