//! A load of clients on a fleet, and the history of what they saw.
//!
//! Several clients work on the same few keys at once, through different nodes: that is where an
//! order can go wrong. Keys are created all the time and destroyed now and then; those that are no
//! longer worked on are kept in the history, and judged again when they are looked at.

use super::Fleet;
use super::client::{Ended, Endpoint, FailOver, Note};
use crate::client::Identity;
use crate::dice::Dice;
use crate::linear::key::{Answer, Ask, KeyLife};
use crate::linear::{History, Outcome, check};
use crate::netns::Door;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Clients at once.
pub const CLIENTS: u32 = 6;
/// Keys that are worked on; few, so that clients meet.
const KEYS_IN_WORK: usize = 10;
/// Between two requests of a client: the tests' machine has two cores for all nodes and clients.
const PAUSE: Duration = Duration::from_millis(4);

/// A node serves again this long after the end of every fault: TCP sends again what was lost in a
/// cut of four seconds after at most as many more, and then a connection may have to be made anew.
const RECOVER_WITHIN: Duration = Duration::from_secs(10);

/// A key that clients work on.
#[derive(Clone, Debug)]
struct Key {
    name: String,
    /// Unknown while no answer to its Create came.
    uid: Option<String>,
}

/// What clients share.
#[derive(Debug, Default)]
struct Pool {
    keys: Vec<Key>,
    names: u64,
    values: u64,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys created with an acknowledgement.
    pub created: u64,
    /// Keys served.
    pub served: u64,
    /// Keys destroyed with an acknowledgement.
    pub destroyed: u64,
    /// Other answers.
    pub answered: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// Everything that clients saw since the fleet was founded.
#[derive(Debug)]
pub struct Work {
    began: Instant,
    identity: Identity,
    door: Option<Door>,
    endpoints: Vec<Endpoint>,
    pool: Arc<Mutex<Pool>>,
    history: History<KeyLife>,
    uids: BTreeMap<String, String>,
    touched: BTreeSet<String>,
    next_client: u32,
    /// Keys served, by node and identifier, since the beginning or [`Work::forgive`].
    served: BTreeMap<(u8, String), u64>,
    counts: Counts,
}

/// Reads that nodes answered from their past, as their access logs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Get: node and identifier.
    pub gets: BTreeSet<(u8, String)>,
    /// Get Attributes: node and identifier.
    pub attributes: BTreeSet<(u8, String)>,
    /// Locate: node; its record names no objects.
    pub locates: BTreeSet<u8>,
}

/// A load at work.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<FailOver>>>,
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().expect("no client panics with the pool in hand")
}

impl Work {
    /// Nothing seen yet. Clients stand behind `door`, if there is one.
    pub fn new(endpoints: Vec<Endpoint>, identity: Identity, door: Option<Door>) -> Self {
        Self {
            began: Instant::now(),
            identity,
            door,
            endpoints,
            pool: Arc::default(),
            history: History::<KeyLife>::new(),
            uids: BTreeMap::new(),
            touched: BTreeSet::new(),
            next_client: 0,
            served: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Nothing seen yet of a fleet.
    pub fn on(fleet: &Fleet) -> Self {
        Self::new(
            fleet.endpoints(),
            fleet.identity("demo"),
            fleet.client_door(),
        )
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells clients that begin from here on where the nodes are.
    pub fn set_endpoints(&mut self, endpoints: Vec<Endpoint>) {
        self.endpoints = endpoints;
    }

    fn client(&mut self, endpoints: Vec<Endpoint>) -> Result<FailOver> {
        self.next_client += 1;
        FailOver::new(self.next_client, endpoints, &self.identity, self.began)
    }

    /// Sets clients to work, until stopped.
    ///
    /// # Errors
    /// The client's files cannot be read.
    pub fn begin(&mut self, dice: &mut Dice) -> Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = self.client(self.endpoints.clone())?;
            let (mut dice, stop) = (dice.child(), stop.clone());
            let (pool, door) = (self.pool.clone(), self.door.clone());
            clients.push(thread::spawn(move || {
                FailOver::enter(door.as_ref())?;
                while !stop.load(Ordering::Relaxed) {
                    step(&mut client, &pool, &mut dice);
                    thread::sleep(PAUSE);
                }
                Ok(client)
            }));
        }
        Ok(Running { stop, clients })
    }

    /// Ends a load and takes its notes.
    ///
    /// # Errors
    /// An answer that nothing explains whatever the order.
    pub fn end(&mut self, running: Running) -> Result<()> {
        running.stop.store(true, Ordering::Relaxed);
        for client in running.clients {
            let client = client.join().expect("a client panicked")?;
            self.take(client)?;
        }
        Ok(())
    }

    fn take(&mut self, client: FailOver) -> Result<()> {
        let surprises = client.surprises;
        ensure!(
            surprises.is_empty(),
            "answers that should not be: {surprises:?}"
        );
        for note in client.notes {
            self.take_note(note)?;
        }
        Ok(())
    }

    fn take_note(&mut self, note: Note) -> Result<()> {
        let Note {
            object,
            uid: asked,
            node,
            operation,
        } = note;
        match &operation.outcome {
            Outcome::Unknown => self.counts.unknown += 1,
            Outcome::Returned { answer, .. } => match (&operation.ask, answer) {
                (Ask::Create, Answer::Created(uid)) => {
                    self.counts.created += 1;
                    self.uids.insert(object.clone(), uid.clone());
                }
                (Ask::Locate, Answer::Located(found)) => {
                    if let Some(uid) = found.first() {
                        self.uids.insert(object.clone(), uid.clone());
                    }
                    self.counts.answered += 1;
                }
                (Ask::Get, Answer::Key(_)) => {
                    self.counts.served += 1;
                    let uid = asked.context("Get asks by identifier")?;
                    *self.served.entry((node, uid)).or_default() += 1;
                }
                (Ask::Destroy, Answer::Done) => self.counts.destroyed += 1,
                _ => self.counts.answered += 1,
            },
        }
        self.touched.insert(object.clone());
        self.history.entry(object).or_default().push(operation);
        Ok(())
    }

    /// Looks at every key that was touched since the last judgement, and at up to `sample` older
    /// ones, through each of these nodes.
    ///
    /// # Errors
    /// A node that does not answer although nothing is wrong with it.
    pub fn look_at_all(&mut self, nodes: &[u8], dice: &mut Dice, sample: usize) -> Result<()> {
        let untouched = |name: &&String| !self.touched.contains(*name);
        let older: Vec<_> = self.history.keys().filter(untouched).collect();
        let older: Vec<_> = (0..sample.min(older.len()))
            .filter_map(|_| dice.pick(&older).map(|name| (*name).clone()))
            .collect();
        self.touched.extend(older);
        let objects: Vec<_> = self.touched.iter().cloned().collect();
        for node in nodes {
            self.look(*node, &objects)?;
        }
        Ok(())
    }

    fn look(&mut self, node: u8, objects: &[String]) -> Result<()> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.node == node);
        let endpoint = *endpoint.with_context(|| format!("node {node} is no endpoint"))?;
        let mut client = self.client(vec![endpoint])?;
        let uids = self.uids.clone();
        let door = self.door.clone();
        let looked = thread::scope(|scope| {
            let looking = scope.spawn(|| -> Result<()> {
                FailOver::enter(door.as_ref())?;
                for object in objects {
                    look_at(&mut client, object, uids.get(object))
                        .with_context(|| format!("looking at {object} through node {node}"))?;
                }
                Ok(())
            });
            looking.join().expect("a client panicked")
        });
        self.take(client)?;
        looked
    }

    /// Judges the history of everything touched since the last judgement by linearizability.
    ///
    /// # Errors
    /// The shortest part of a history that no order explains.
    pub fn judge(&mut self) -> Result<()> {
        let touched = |(name, _): &(&String, _)| self.touched.contains(*name);
        let part = self.history.iter().filter(touched);
        let part = part.map(|(name, operations)| (name.clone(), operations.clone()));
        check(&KeyLife, &part.collect()).demand()?;
        self.touched.clear();
        Ok(())
    }

    /// Marks reads since `since` (nanoseconds of the history) that a node's own access log says
    /// were answered from its past. Those are held to what was once true, not to the present.
    pub fn allow_stale(&mut self, since: u64, stale: &Stale) {
        for (object, operations) in &mut self.history {
            let uid = self.uids.get(object);
            for operation in operations.iter_mut().filter(|o| o.call >= since) {
                let at = |node: &u8| operation.place == format!("node {node}");
                let is_of = |(node, of): &(u8, String)| Some(of) == uid && at(node);
                let (ask, is_stale) = match operation.ask {
                    Ask::Get => (Ask::StaleGet, stale.gets.iter().any(is_of)),
                    Ask::ReadAttribute => {
                        (Ask::StaleReadAttribute, stale.attributes.iter().any(is_of))
                    }
                    Ask::Locate => (Ask::StaleLocate, stale.locates.iter().any(at)),
                    _ => continue,
                };
                if is_stale {
                    operation.ask = ask;
                }
            }
        }
    }

    /// Nanoseconds since the history began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test takes less than 500 years")
    }

    /// How often each key was served by each node, as clients know it.
    pub fn served(&self) -> &BTreeMap<(u8, String), u64> {
        &self.served
    }

    /// Forgets how often a node served what: its access log was rolled back or replaced.
    pub fn forgive(&mut self, node: u8) {
        self.served.retain(|(of, _), _| *of != node);
    }
}

fn look_at(client: &mut FailOver, object: &str, uid: Option<&String>) -> Result<()> {
    let located = patiently(client, object, None, &Ask::Locate)?;
    let uid = match (uid, located) {
        (Some(uid), _) => uid.clone(),
        (None, Answer::Located(found)) => match found.into_iter().next() {
            Some(uid) => uid,
            None => return Ok(()),
        },
        (None, other) => anyhow::bail!("Locate said {other:?}"),
    };
    patiently(client, object, Some(&uid), &Ask::Get)?;
    patiently(client, object, Some(&uid), &Ask::ReadAttribute)?;
    Ok(())
}

/// Asks a cluster whose faults are over until it answers.
fn patiently(client: &mut FailOver, object: &str, uid: Option<&str>, ask: &Ask) -> Result<Answer> {
    let deadline = Instant::now() + RECOVER_WITHIN;
    while Instant::now() < deadline {
        if let Ended::Said(answer) = client.ask(object, uid, ask.clone()) {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(100));
    }
    let trouble = &client.last_trouble;
    anyhow::bail!("no answer to {ask:?} although every fault is over; at last: {trouble}")
}

/// One request, chosen by the dice.
fn step(client: &mut FailOver, pool: &Mutex<Pool>, dice: &mut Dice) {
    // One of ten requests makes a new key.
    let makes_new = dice.below(10) == 0;
    let key = {
        let pool = lock(pool);
        let enough = pool.keys.len() >= KEYS_IN_WORK / 2 && !makes_new;
        dice.pick(&pool.keys).filter(|_| enough).cloned()
    };
    match key {
        None => create(client, pool),
        Some(Key { name, uid: None }) => find(client, pool, dice, &name),
        Some(Key {
            name,
            uid: Some(uid),
        }) => work_on(client, pool, dice, &name, &uid),
    }
}

fn create(client: &mut FailOver, pool: &Mutex<Pool>) {
    let name = {
        let mut pool = lock(pool);
        pool.names += 1;
        format!("key {:06}", pool.names)
    };
    let uid = match client.ask(&name, None, Ask::Create) {
        Ended::Said(Answer::Created(uid)) => Some(uid),
        Ended::Said(_) | Ended::Unknown => None,
        Ended::NotCarriedOut => return,
    };
    let mut pool = lock(pool);
    pool.keys.push(Key { name, uid });
    if pool.keys.len() > KEYS_IN_WORK {
        pool.keys.remove(0);
    }
}

/// A Create without an answer: asks whether it was, or asks the same again, which must not make a
/// second object.
fn find(client: &mut FailOver, pool: &Mutex<Pool>, dice: &mut Dice, name: &str) {
    let ask = if dice.below(2) == 0 {
        Ask::Locate
    } else {
        Ask::Create
    };
    let uid = match client.ask(name, None, ask) {
        Ended::Said(Answer::Created(uid)) => uid,
        Ended::Said(Answer::Located(found)) if !found.is_empty() => found[0].clone(),
        _ => return,
    };
    if let Some(key) = lock(pool).keys.iter_mut().find(|key| key.name == name) {
        key.uid = Some(uid);
    }
}

fn work_on(client: &mut FailOver, pool: &Mutex<Pool>, dice: &mut Dice, name: &str, uid: &str) {
    let value = {
        let mut pool = lock(pool);
        pool.values += 1;
        format!("value {}", pool.values)
    };
    let ask = match dice.below(100) {
        0..=34 => Ask::Get,
        35..=54 => Ask::ReadAttribute,
        55..=72 => Ask::ModifyAttribute(value),
        73..=78 => Ask::AddAttribute(value),
        79..=84 => Ask::Activate,
        85..=89 => Ask::Revoke,
        90..=92 => Ask::Destroy,
        _ => Ask::Locate,
    };
    client.ask(name, Some(uid), ask);
}
