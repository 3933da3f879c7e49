//! What a cluster promises in each failure of `FAILURES.md`, with real processes in namespaces:
//! random rounds, each with one fault under load, and after each round everything that must hold.
//!
//! A round: clients work on a few keys through all nodes, a fault begins, lasts and ends, clients
//! go on for a moment. Then all nodes must become one again by themselves; every key that was
//! touched is looked at through every node; the whole history of each must be linearizable; every
//! state must be that of a full replay, every log verifiable and a continuation of the others';
//! every key served must stand in the access log of the node that served it.
//!
//! `$STRONGROOM_SEED` and `$STRONGROOM_ROUNDS` repeat a run, `$STRONGROOM_FAULT=KilledLeader` plays
//! one fault only. Without root there is no network, and those faults are skipped, which is said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "cluster_faults/checks.rs"]
mod checks;
#[path = "cluster_faults/faults.rs"]
mod faults;

use anyhow::{Context, Result, ensure};
use checks::Reads;
use faults::{Case, Fault};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::bound;
use tests::dice::Dice;
use tests::fleet::work::Work;
use tests::fleet::{Fleet, Ground};
use tests::netns::Network;

/// Keys of earlier rounds that are looked at again.
const SAMPLE: usize = 10;
/// Rounds before a fleet is founded anew; there are fewer kinds of faults.
const ROUNDS_PER_FLEET: u64 = 50;
/// Work before a fault and after it.
const CALM: Duration = Duration::from_millis(500);
/// How long nodes may take to come up once every fault is over.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// One fleet over many rounds.
struct Trial {
    fleet: Fleet,
    work: Work,
    dice: Dice,
    /// Faults still to be played before any is played again.
    deck: Vec<Fault>,
    /// Seconds that the clocks of all nodes are ahead.
    clock: i64,
    /// What was verified so far, for the next bundle to continue.
    memory: tempfile::TempDir,
    /// What the access logs said after the round before.
    reads: Reads,
}

impl Trial {
    fn found(voters: u8, seed: u64) -> Result<Self> {
        let ground = match Network::possible() {
            Ok(()) => Ground::Namespaces,
            Err(why) => {
                println!("SKIPPED: faults of the network: {why:#}");
                Ground::Loopback
            }
        };
        let mut fleet = Fleet::found(voters, ground)?;
        // Every Get must be linearizable here; serving from the past is a test of its own.
        fleet.run(1, &["cluster", "offline-get", "never"])?;
        fleet.await_agreement(checks::AGREE_WITHIN)?;
        Ok(Self {
            work: Work::on(&fleet),
            fleet,
            dice: Dice::new(seed),
            deck: Vec::new(),
            clock: 0,
            memory: tempfile::tempdir()?,
            reads: Reads::default(),
        })
    }

    /// The next fault: every one comes before any comes again.
    fn draw(&mut self) -> Result<Fault> {
        if let Ok(name) = std::env::var("STRONGROOM_FAULT") {
            let named = Fault::ALL
                .into_iter()
                .find(|fault| format!("{fault:?}") == name);
            return named.with_context(|| format!("there is no fault {name}: {:?}", Fault::ALL));
        }
        if self.deck.is_empty() {
            let has_network = self.fleet.network().is_some();
            let playable = |fault: &Fault| has_network || !fault.needs_network();
            self.deck = Fault::ALL.into_iter().filter(playable).collect();
        }
        let index = usize::try_from(self.dice.below(self.deck.len() as u64))?;
        Ok(self.deck.swap_remove(index))
    }

    fn round(&mut self, number: u64) -> Result<()> {
        let fault = self.draw()?;
        let began = Instant::now();
        let mut case = Case::new(fault, &mut self.fleet, &mut self.dice)?;
        println!("  round {number}: {case:?}");
        self.play(&mut case).with_context(|| format!("{case:?}"))?;
        println!("    {:?}, {:?}", began.elapsed(), self.work.counts());
        Ok(())
    }

    fn play(&mut self, case: &mut Case) -> Result<()> {
        case.prepare(&mut self.fleet)?;
        let since = self.work.now();
        let running = self.work.begin(&mut self.dice)?;
        sleep(CALM);
        let played = case.play(&mut self.fleet, &mut self.dice, &mut self.clock);
        let healed = played
            .and_then(|()| self.fleet.heal(UP_WITHIN))
            .and_then(|()| case.settle(&mut self.fleet));
        sleep(CALM);
        self.work.end(running)?;
        if healed.with_context(|| self.fleet.tails())? {
            self.work.forgive(case.victim);
        }
        checks::one_state(&mut self.fleet)?;
        self.check(since).with_context(|| self.fleet.tails())
    }

    /// What clients saw and what logs say. Every Get must be of the present here; Locate and Get
    /// Attributes may be of the past where there is no quorum, if the log says so.
    fn check(&mut self, since: u64) -> Result<()> {
        let members = self.fleet.members();
        self.work.look_at_all(&members, &mut self.dice, SAMPLE)?;
        let reads = checks::bundles(&self.fleet, self.memory.path())?;
        let stale = reads.stale_since(&self.reads);
        ensure!(
            stale.gets.is_empty(),
            "served from the past although that is off: {stale:?}"
        );
        self.work.allow_stale(since, &stale);
        self.work.judge()?;
        checks::every_release_is_recorded(self.work.served(), &reads)?;
        self.reads = reads;
        Ok(())
    }
}

/// Runs rounds and, when one fails, says how to repeat them. A fleet is founded anew now and then:
/// what is checked after a round grows with everything that was done before.
fn trial(test: &str, voters: u8, rounds: u64) -> Result<()> {
    let seed = Dice::seed_of_run();
    let mut dice = Dice::new(seed);
    println!("{test}: {rounds} rounds, seed {seed}");
    let mut done = 0;
    while done < rounds {
        let (fleet_seed, part) = (dice.roll(), ROUNDS_PER_FLEET.min(rounds - done));
        fleet(voters, fleet_seed, part).with_context(|| {
            format!(
                "{done} rounds were well; REPEAT THE REST WITH STRONGROOM_SEED={seed} \
                 STRONGROOM_ROUNDS={rounds} cargo test -p tests --test cluster_faults {test} -- \
                 --nocapture"
            )
        })?;
        done += part;
    }
    println!("{test}: {rounds} rounds, seed {seed}: nothing lost");
    Ok(())
}

/// Rounds on one new fleet.
fn fleet(voters: u8, seed: u64, rounds: u64) -> Result<()> {
    let mut trial = Trial::found(voters, seed)?;
    for round in 1..=rounds {
        trial
            .round(round)
            .with_context(|| format!("round {round}"))?;
    }
    let counts = trial.work.counts();
    println!("{rounds} rounds of {voters} voters: {counts:?}");
    let worked = counts.created > 10 * rounds && counts.served > 10 * rounds;
    ensure!(
        worked && counts.destroyed > rounds,
        "the load hardly worked: {counts:?}"
    );
    Ok(())
}

#[test]
fn three_voters() -> Result<()> {
    trial("three_voters", 3, bound("STRONGROOM_ROUNDS", 14, 350))
}

#[test]
fn five_voters() -> Result<()> {
    trial("five_voters", 5, bound("STRONGROOM_ROUNDS", 6, 150))
}
