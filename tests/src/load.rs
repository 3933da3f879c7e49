//! Work on many connections at once, each with an oracle of its own.

use crate::client::{Client, Identity};
use crate::dice::Dice;
use crate::oracle::{Counts, Oracle, make_events};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Connections of a load.
pub const CONNECTIONS: usize = 8;
/// Creates in one batch when events are wanted quickly; a message may have 256 items.
const PAIRS_PER_BATCH: usize = 200;
/// Connections when events are wanted quickly.
const FILLERS: usize = 16;

/// The oracles of a load, kept from round to round.
#[derive(Debug)]
pub struct Load {
    oracles: Vec<Oracle>,
}

/// A load at work.
#[derive(Debug)]
pub struct Running {
    workers: Vec<JoinHandle<(Oracle, Result<()>)>>,
    stop: &'static AtomicBool,
}

impl Load {
    /// Nothing promised yet; `name` begins the names of all objects.
    pub fn new(name: &str) -> Self {
        let oracles = (0..CONNECTIONS)
            .map(|n| Oracle::new(format!("{name}-{n}")))
            .collect();
        Self { oracles }
    }

    /// Begins to work on a node, until stopped or until every connection is lost.
    pub fn begin(self, to: SocketAddr, identity: &Identity, dice: &mut Dice) -> Running {
        // One flag per round lives until the test process ends; threads may outlive the round.
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let begin = |mut oracle: Oracle| {
            let (identity, mut dice) = (identity.clone(), dice.child());
            thread::spawn(move || {
                let outcome = work(&mut oracle, to, &identity, &mut dice, stop);
                (oracle, outcome)
            })
        };
        Running {
            workers: self.oracles.into_iter().map(begin).collect(),
            stop,
        }
    }

    /// Judges everything that changed, and a sample of the rest.
    pub fn judge(&mut self, client: &mut Client, dice: &mut Dice, sample: usize) -> Result<()> {
        for oracle in &mut self.oracles {
            oracle.judge(client, dice, sample)?;
        }
        Ok(())
    }

    /// What happened so far, over all connections.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.oracles
            .iter()
            .for_each(|oracle| sum += oracle.counts());
        sum
    }

    /// The last refusal that any connection was told.
    pub fn last_denial(&self) -> Option<&str> {
        self.oracles
            .iter()
            .find_map(|oracle| oracle.last_denial.as_deref())
    }
}

fn work(
    oracle: &mut Oracle,
    to: SocketAddr,
    identity: &Identity,
    dice: &mut Dice,
    stop: &AtomicBool,
) -> Result<()> {
    // A node that is being killed may refuse the connection: then there is nothing to do.
    let Ok(mut client) = Client::connect(to, identity) else {
        return Ok(());
    };
    while !stop.load(Ordering::Relaxed) {
        if !oracle.step(&mut client, dice)? {
            break;
        }
    }
    Ok(())
}

impl Running {
    /// Waits for the end of every worker; to be called when the node is dead.
    pub fn collect(self) -> Result<Load> {
        let mut oracles = Vec::new();
        for worker in self.workers {
            let (oracle, outcome) = worker.join().expect("a worker panicked");
            outcome.context("under load")?;
            oracles.push(oracle);
        }
        Ok(Load { oracles })
    }

    /// Has every worker stop after its present operation.
    pub fn stop(self) -> Result<Load> {
        self.stop.store(true, Ordering::Relaxed);
        self.collect()
    }

    /// Lets it work for a while.
    pub fn go_on_for(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Makes at least `events` events on a node by batches on 16 connections.
pub fn fill(to: SocketAddr, identity: &Identity, events: usize) -> Result<usize> {
    let share = events.div_ceil(FILLERS);
    let workers: Vec<_> = (0..FILLERS)
        .map(|number| {
            let identity = identity.clone();
            thread::spawn(move || -> Result<usize> {
                let mut client = Client::connect(to, &identity)?;
                let mut made = 0;
                while made < share {
                    let pairs = PAIRS_PER_BATCH.min((share - made).div_ceil(2));
                    made += make_events(&mut client, &format!("fill-{number}-{made}"), pairs)?;
                }
                Ok(made)
            })
        })
        .collect();
    let mut made = 0;
    for worker in workers {
        made += worker.join().expect("a worker panicked")?;
    }
    Ok(made)
}
