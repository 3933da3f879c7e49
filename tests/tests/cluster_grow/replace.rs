//! Every node of three gives way to a new one, while clients work on all and Get at the others.
//!
//! While nodes are removed and leave, Gets must be of the present, so nothing excuses a new leader
//! that comes late. When a leader is killed, nobody can say for two seconds what the present is:
//! then Gets may be of the past (the policy that clusters have), and the access log says which.

use crate::checks::{self, Reads};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use tests::client::{Client, Identity};
use tests::dice::Dice;
use tests::fleet::look::{Key, ensure_equal, wait_for};
use tests::fleet::work::Work;
use tests::fleet::{Fleet, Ground};

/// Nodes at the beginning; as many take their places.
const NODES: u8 = 3;
/// Keys that are asked for all the time.
const KEYS: usize = 60;
/// Between two Gets of one client: two cores carry all nodes and all clients.
const PAUSE: Duration = Duration::from_millis(5);
/// Gets on one connection; then a new one is made, as clients do that come and go.
const GETS_PER_CONNECTION: u64 = 50;
/// Gets that a node must have served for a replacement to count as one under load.
const GETS_MIN: u64 = 50;

/// Work after a node has gone.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// How a node goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Another member removes it.
    Removed,
    /// It leaves.
    Leaves,
    /// It is dead already.
    Dead,
}

/// Clients that Get at one node until told to stop, and what they saw.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    gets: u64,
    slowest: Duration,
    failures: Vec<String>,
}

impl Watch {
    fn begin(fleet: &Fleet, number: u8, keys: &[Key], mut dice: Dice) -> Self {
        let (address, identity) = (fleet.kmip(number), fleet.identity("demo"));
        let (keys, stop) = (keys.to_vec(), Arc::new(AtomicBool::new(false)));
        let flag = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut client = None;
            while !flag.load(Ordering::Relaxed) {
                let began = Instant::now();
                let key = dice.pick(&keys).expect("there are keys");
                match get(&mut client, address, &identity, key) {
                    Ok(()) => seen.gets += 1,
                    Err(error) => {
                        let took = began.elapsed();
                        seen.failures.push(format!("after {took:?}: {error:#}"));
                        client = None;
                    }
                }
                seen.slowest = seen.slowest.max(began.elapsed());
                if seen.gets.is_multiple_of(GETS_PER_CONNECTION) {
                    client = None;
                }
                sleep(PAUSE);
            }
            seen
        });
        Self { stop, thread }
    }

    /// As [`Watch::begin`], as soon as a new node serves: clients are told of it then.
    fn begin_when_it_serves(fleet: &Fleet, number: u8, keys: &[Key], dice: Dice) -> Result<Self> {
        wait_for(&format!("node {number} serves"), || {
            fleet.check_keys(number, &keys[..1]).map(|()| true)
        })?;
        Ok(Self::begin(fleet, number, keys, dice))
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a client panicked")
    }
}

fn get(
    client: &mut Option<Client>,
    address: std::net::SocketAddr,
    identity: &Identity,
    key: &Key,
) -> Result<()> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::connect(address, identity)?),
    };
    let material = client.get(&key.uid)?;
    ensure!(material == key.material, "key {} is another", key.uid);
    Ok(())
}

/// A fleet on its way from three nodes to three others.
struct Trial<'a> {
    fleet: Fleet,
    work: Work,
    keys: Vec<Key>,
    dice: &'a mut Dice,
    /// What was verified so far.
    memory: tempfile::TempDir,
    /// What the access logs said before.
    reads: Reads,
}

/// Replaces all three.
pub(crate) fn play(dice: &mut Dice) -> Result<()> {
    let mut fleet = Fleet::empty(2 * NODES, Ground::Loopback)?;
    fleet.found_first(1)?;
    for number in 2..=NODES {
        fleet.join(number, 1)?;
    }
    fleet.run(1, &["cluster", "offline-get", "never"])?;
    let keys = fleet.make_keys(1, "kept", KEYS)?;
    fleet.await_members(1, &[1, 2, 3])?;
    checks::one_state(&mut fleet)?;
    let mut trial = Trial {
        work: Work::on(&fleet),
        fleet,
        keys,
        dice,
        memory: tempfile::tempdir()?,
        reads: Reads::default(),
    };
    for (old, way) in [(1, Way::Removed), (2, Way::Leaves), (3, Way::Dead)] {
        let replaced = trial.replace(old, way);
        replaced.with_context(|| format!("node {old}, {way:?}\n{}", trial.fleet.tails()))?;
    }
    let Trial {
        mut fleet, keys, ..
    } = trial;
    for number in fleet.members() {
        fleet.check_keys(number, &keys)?;
    }
    ensure_equal(&fleet.scrub(4)?, usize::from(NODES))?;
    for old in 1..=NODES {
        is_refused_with_its_old_folder(&mut fleet, old, &keys)
            .with_context(|| format!("node {old} comes back\n{}", fleet.tails()))?;
    }
    one_that_never_heard_of_it(&mut fleet, &keys).with_context(|| fleet.tails())
}

impl Trial<'_> {
    /// One node gives way to a new one.
    fn replace(&mut self, old: u8, way: Way) -> Result<()> {
        let (began, new) = (Instant::now(), old + NODES);
        let mut others = self.fleet.members();
        others.retain(|number| *number != old);
        if matches!(way, Way::Dead) {
            self.fleet
                .run(others[0], &["cluster", "offline-get", "24h"])?;
        }
        self.work.set_endpoints(self.fleet.endpoints());
        let since = self.work.now();
        let mut watches = Vec::new();
        for number in &others {
            watches.push((*number, self.watch(*number)?));
        }
        let running = self.work.begin(self.dice)?;
        self.fleet.join(new, others[0])?;
        let with_both = self.nodes(None);
        self.fleet.await_members(others[0], &with_both)?;
        watches.push((new, self.watch(new)?));
        take_out(&mut self.fleet, old, others[0], way)?;
        let without = self.nodes(Some(old));
        self.fleet.await_members(others[0], &without)?;
        self.fleet.give_up(old);
        self.fleet.kill(old)?;
        sleep(AFTERWARDS);
        self.work.end(running)?;
        for (number, watch) in watches {
            let seen = watch.end();
            let (gets, slowest) = (seen.gets, seen.slowest);
            println!("  node {number}: {gets} Gets, slowest {slowest:?}");
            let failures = &seen.failures;
            ensure!(failures.is_empty(), "node {number}: {failures:#?}");
            ensure!(gets > GETS_MIN, "node {number} hardly worked: {seen:?}");
        }
        self.check(old, way, since)?;
        let (took, counts) = (began.elapsed(), self.work.counts());
        println!("  node {old} ({way:?}) by node {new}: {took:?}, {counts:?}");
        Ok(())
    }

    fn watch(&mut self, number: u8) -> Result<Watch> {
        let dice = self.dice.child();
        Watch::begin_when_it_serves(&self.fleet, number, &self.keys, dice)
    }

    /// The members as nodes; nobody has come back here, so they have the numbers of the machines.
    fn nodes(&self, without: Option<u8>) -> Vec<u64> {
        let members = self.fleet.members().into_iter();
        let left = members.filter(|number| Some(*number) != without);
        left.map(u64::from).collect()
    }

    /// What clients saw and what logs say, once one is gone.
    fn check(&mut self, gone: u8, way: Way, since: u64) -> Result<()> {
        self.work.set_endpoints(self.fleet.endpoints());
        self.work.forgive(gone);
        checks::one_state(&mut self.fleet)?;
        let members = self.fleet.members();
        self.work.look_at_all(&members, self.dice, 10)?;
        let reads = checks::bundles(&self.fleet, self.memory.path())?;
        let stale = reads.stale_since(&self.reads);
        let may_be_stale = matches!(way, Way::Dead) || stale.gets.is_empty();
        ensure!(may_be_stale, "served from the past: {stale:?}");
        self.work.allow_stale(since, &stale);
        self.work.judge()?;
        checks::every_release_is_recorded(self.work.served(), &reads)?;
        self.reads = reads;
        Ok(())
    }
}

fn take_out(fleet: &mut Fleet, old: u8, other: u8, way: Way) -> Result<()> {
    let number = old.to_string();
    match way {
        Way::Removed => fleet.run(other, &["cluster", "remove", &number])?,
        Way::Leaves => fleet.run(old, &["cluster", "leave"])?,
        Way::Dead => return remove_dead(fleet, old, other),
    };
    Ok(())
}

/// Kills a node and removes it: if it led, the operator is told to try again until another does.
fn remove_dead(fleet: &mut Fleet, old: u8, other: u8) -> Result<()> {
    fleet.kill(old)?;
    let number = old.to_string();
    wait_for("the removal is taken", || {
        let removed = fleet.cli(other, &["cluster", "remove", &number])?;
        let told = String::from_utf8_lossy(&removed.stderr).into_owned();
        ensure!(removed.status.success(), "{told}");
        Ok(true)
    })
}

/// A node that was removed is told so, says so, and serves nothing.
fn is_refused_with_its_old_folder(fleet: &mut Fleet, old: u8, keys: &[Key]) -> Result<()> {
    fleet.start(old)?;
    wait_for("it says that it was removed", || {
        let refused = fleet.json(old, &["status"])?["refused_by"].to_string();
        ensure!(
            refused.contains("was removed from this cluster"),
            "{refused}"
        );
        Ok(true)
    })?;
    wait_for("it serves nothing", || {
        let got = fleet.client(old).and_then(|mut c| Ok(c.get(&keys[0].uid)?));
        ensure!(got.is_err(), "a key was served");
        Ok(true)
    })?;
    let made = fleet
        .client(old)
        .and_then(|mut c| Ok(c.create(Some("never"), 256)?));
    ensure!(made.is_err(), "a key was made: {made:?}");
    let members: Vec<u64> = fleet.members().into_iter().map(u64::from).collect();
    fleet.await_members(members[0].try_into()?, &members)?;
    fleet.kill(old)
}

/// A node that was dead when it was removed, and may serve from the past: not once it was told.
fn one_that_never_heard_of_it(fleet: &mut Fleet, keys: &[Key]) -> Result<()> {
    fleet.run(4, &["cluster", "offline-get", "always"])?;
    fleet.await_agreement(checks::AGREE_WITHIN)?;
    remove_dead(fleet, 6, 4)?;
    fleet.await_members(4, &[4, 5])?;
    fleet.give_up(6);
    is_refused_with_its_old_folder(fleet, 6, keys)
}
