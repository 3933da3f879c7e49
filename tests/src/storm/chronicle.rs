//! What happened in a run, as far as anybody saw it: the one place that all hosts write to.
//!
//! It stands outside of the simulated world, so nothing in it is lost by a crash. Every line of the
//! trace begins with the simulated time in milliseconds.

use super::Broken;
use super::checkers::{self, one_life_per_reign::Reigns, prefixes::Entries};
use super::site::{KeyLife, Told, Wish};
use crate::linear::{History, Operation, Outcome};
use cluster::LogEnd;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What a client knows of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// Nothing: it may have happened, or happen yet.
    Unknown,
    /// It was done, or refused by a rule.
    Answered,
    /// It was never carried out and never will be.
    Never,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Asked {
    /// On which key.
    pub key: u64,
    /// As the linearizability checker wants it.
    pub operation: Operation<Wish, Told>,
    /// What came of it.
    pub knows: Knows,
}

/// The pages.
#[derive(Debug, Default)]
pub struct Book {
    /// What happened, line by line.
    pub trace: Vec<String>,
    /// Operations by number.
    pub asked: Vec<Asked>,
    /// Entries that were applied anywhere.
    pub entries: Entries,
    /// In which entry each operation took effect.
    pub effects: BTreeMap<u64, u64>,
    /// The root of the cluster log at each size that was reported.
    pub roots: BTreeMap<u64, [u8; 32]>,
    /// Who led when.
    pub reigns: Reigns,
    /// How far the Raft log of each node reaches on its disk, also while it is down.
    pub ends: BTreeMap<u64, LogEnd>,
    /// Keys that were asked for so far.
    pub keys: u64,
    /// The site is there, and every founder votes.
    pub founded: bool,
    /// The weather is over: clients do one last thing.
    pub calm: bool,
    /// Nodes that have served a write and a read since then.
    pub served: BTreeSet<u64>,
    /// Operations of each kind of end, faults, lives.
    pub figures: Figures,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
}

/// How much happened, so that a run in which nothing happens does not pass for a good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Operations that were answered.
    pub answered: u64,
    /// Operations without an answer.
    pub unknown: u64,
    /// Entries applied, on all nodes together.
    pub applied: u64,
    /// Reigns that were seen.
    pub reigns: u64,
    /// Starts of members.
    pub lives: u64,
    /// Faults of the weather.
    pub faults: u64,
    /// States that were fetched from another member.
    pub installed: u64,
    /// Nodes that stopped because of damage or a failing disk.
    pub stopped: u64,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.applied += other.applied;
        self.reigns += other.reigns;
        self.lives += other.lives;
        self.faults += other.faults;
        self.installed += other.installed;
        self.stopped += other.stopped;
    }
}

/// The book, shared by all hosts of a run.
#[derive(Debug, Default)]
pub struct Chronicle(Mutex<Book>);

/// Simulated time since the run began. Only hosts can ask.
pub fn now() -> Duration {
    turmoil::sim_elapsed().expect("asked on a simulated host")
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a run of less than 500 years")
}

impl Chronicle {
    /// Opens the book.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0
            .lock()
            .expect("one thread, and a panic in it ends the run")
    }

    /// Notes something at a host.
    pub fn note(&self, line: impl std::fmt::Display) {
        self.book().note(now(), line);
    }

    /// Keeps a broken promise; the first counts.
    pub fn judge(&self, judged: Result<(), Broken>) {
        if let Err(broken) = judged {
            let mut book = self.book();
            book.note(now(), &broken);
            book.broken.get_or_insert(broken);
        }
    }

    /// A client asks; gives the number of the operation.
    pub fn call(&self, node: u64, client: u32, key: u64, wish: Wish) -> u64 {
        let mut book = self.book();
        let number = book.asked.len() as u64;
        let operation = Operation {
            client,
            place: format!("node {node}"),
            call: nanos(now()),
            ask: wish,
            outcome: Outcome::Unknown,
        };
        book.asked.push(Asked {
            key,
            operation,
            knows: Knows::Unknown,
        });
        if wish != Wish::Read {
            book.note(
                now(),
                format_args!("n{node} asks #{number} key {key} {wish:?}"),
            );
        }
        number
    }

    /// What came of it.
    pub fn outcome(&self, number: u64, knows: Knows, told: Option<Told>) {
        let at = nanos(now());
        let mut book = self.book();
        let place = usize::try_from(number).expect("a number given by this book");
        book.note(now(), format_args!("#{number} {knows:?} {told:?}"));
        let asked = &mut book.asked[place];
        asked.knows = knows;
        if let Some(answer) = told {
            asked.operation.outcome = Outcome::Returned { at, answer };
        }
        let is_write = asked.operation.ask != Wish::Read;
        let judged = match knows {
            Knows::Answered if is_write => checkers::acked_never_lost::answered(&book, number),
            _ => Ok(()),
        };
        drop(book);
        self.judge(judged);
    }
}

impl Book {
    /// Writes a line.
    pub fn note(&mut self, at: Duration, line: impl std::fmt::Display) {
        self.trace
            .push(format!("{:>9.3} {line}", at.as_secs_f64() * 1e3));
    }

    /// What the clients saw, key by key. Operations that certainly never happened are left out,
    /// and reads without an answer say nothing.
    pub fn history(&self) -> History<KeyLife> {
        let mut history: History<KeyLife> = BTreeMap::new();
        for asked in &self.asked {
            let is_read = asked.operation.ask == Wish::Read;
            if asked.knows == Knows::Never || (is_read && asked.knows == Knows::Unknown) {
                continue;
            }
            let of_key = history.entry(format!("key {}", asked.key)).or_default();
            of_key.push(asked.operation.clone());
        }
        history
    }
}
