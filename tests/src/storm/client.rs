//! The clients at a node: they ask for changes and read, and know what they were told.
//!
//! A client lives and dies with its node; what it had asked for then has no answer.

use super::chronicle::{Knows, now};
use super::machine::Watched;
use super::member::Place;
use super::site::{self, Told, Wish};
use crate::dice::Dice;
use cluster::{Cluster, ProposeFault};
use domain::{Time, codec};
use server::machine::Outcome;
use std::sync::Arc;
use std::time::Duration;

/// Keys that are created in one run: few, so that clients meet, and enough for each to have a
/// history that can be judged.
const KEYS_MAX: u64 = 24;

/// Between two operations of one client, milliseconds.
const PAUSE_MAX: u64 = 240;

/// A client.
pub struct Client {
    place: Arc<Place>,
    life: u64,
    number: u32,
    dice: Dice,
    cluster: Cluster,
    machine: Arc<Watched>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of one life of a node.
    pub fn new(
        place: Arc<Place>,
        life: u64,
        number: u32,
        cluster: &Cluster,
        machine: &Arc<Watched>,
    ) -> Self {
        let seed = place.seed ^ (life << 20) ^ (u64::from(number) << 50);
        let (cluster, machine) = (cluster.clone(), machine.clone());
        let number = u32::try_from(place.node).expect("a small number") * 10 + number;
        Self {
            dice: Dice::new(seed),
            place,
            life,
            number,
            cluster,
            machine,
        }
    }

    /// Asks until the weather is over, and then until one write and one read were answered.
    pub async fn run(mut self) {
        while !self.place.chronicle.book().calm {
            let pause = self.dice.below(PAUSE_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if let Some((key, wish)) = self.choose() {
                self.ask(key, wish).await;
            }
        }
        // As long as a new leader and a new connection may take, and no longer.
        loop {
            let key = self.choose_key();
            let value = self.dice.below(1_000_000);
            let wrote = match self.choose_new() {
                Some(key) => self.ask(key, Wish::Create).await,
                None => self.ask(key, Wish::Set(value)).await,
            };
            if wrote == Knows::Answered && self.ask(key, Wish::Read).await == Knows::Answered {
                self.place.chronicle.book().served.insert(self.place.node);
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn choose_key(&mut self) -> u64 {
        let keys = self.place.chronicle.book().keys;
        // The newest most of all: a key is destroyed soon, and a tombstone has little to tell.
        let back = self.dice.below(6).min(self.dice.below(6));
        keys.saturating_sub(1 + back)
    }

    fn choose_new(&self) -> Option<u64> {
        let mut book = self.place.chronicle.book();
        let next = book.keys;
        (next < KEYS_MAX).then(|| {
            book.keys += 1;
            next
        })
    }

    fn choose(&mut self) -> Option<(u64, Wish)> {
        let chance = self.dice.below(100);
        if chance < 4 || self.place.chronicle.book().keys == 0 {
            return Some((self.choose_new()?, Wish::Create));
        }
        let wish = match chance {
            4..45 => Wish::Set(self.dice.below(1_000_000)),
            45..48 => Wish::Activate,
            48..50 => Wish::Destroy,
            _ => Wish::Read,
        };
        Some((self.choose_key(), wish))
    }

    async fn ask(&self, key: u64, wish: Wish) -> Knows {
        let chronicle = &self.place.chronicle;
        let number = chronicle.call(self.place.node, self.number, key, wish);
        let (knows, told) = match wish {
            Wish::Read => self.read(key).await,
            _ => self.write(number, key, wish).await,
        };
        if !self.place.is_current(self.life) {
            // Its node has stopped: nobody is there to be told.
            return Knows::Unknown;
        }
        chronicle.outcome(number, knows, told);
        let mut book = chronicle.book();
        match knows {
            Knows::Answered => book.figures.answered += 1,
            Knows::Unknown => book.figures.unknown += 1,
            Knows::Never => {}
        }
        knows
    }

    async fn write(&self, number: u64, key: u64, wish: Wish) -> (Knows, Option<Told>) {
        let skew = self.place.now().skew;
        let elapsed = i64::try_from(now().as_millis()).expect("a short run");
        let time = Time(site::START.0 + elapsed + skew);
        let Some((command, payload)) = site::command(self.place.node, number, time, key, wish)
        else {
            return (Knows::Never, None);
        };
        let command = cluster::Command {
            bytes: codec::to_vec(&command),
            payload,
        };
        match self.cluster.propose(command).await {
            Ok(reply) => match codec::from_slice::<Outcome>(&reply) {
                Ok(Outcome {
                    refused: Some(_), ..
                }) => (Knows::Answered, Some(Told::Refused)),
                Ok(_) => (Knows::Answered, Some(Told::Done)),
                Err(_) => (Knows::Unknown, None),
            },
            Err(
                ProposeFault::NotReady { .. }
                | ProposeFault::Refused { .. }
                | ProposeFault::TooLarge { .. },
            ) => (Knows::Never, None),
            Err(_) => (Knows::Unknown, None),
        }
    }

    async fn read(&self, key: u64) -> (Knows, Option<Told>) {
        if self.cluster.read_barrier().await.is_err() {
            return (Knows::Unknown, None);
        }
        let Ok(machine) = self.machine.inner() else {
            return (Knows::Unknown, None);
        };
        let seen = site::seen(&machine.state(), key);
        (Knows::Answered, Some(Told::Seen(seen)))
    }
}
