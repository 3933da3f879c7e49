//! How fast the law decides, and what a million objects weigh: prints nanoseconds for decide and
//! evolve of Create, and bytes of memory per object.
//!
//! `cargo run --release -p domain --example decide_rate [OBJECTS]`

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use domain::{
    Actor, Ask, Attribute, ClusterId, Command, Door, Facts, Fingerprint, Hash, Material, Name,
    NodeId, Read, Record, State, Time, Uid, Value, admit, decide, permit, tag,
};
use std::error::Error;
use std::time::{Duration, Instant};

/// Resident memory of this process in bytes, from /proc; 0 where there is none.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok())
        .unwrap_or(0);
    pages * 4096
}

struct Run {
    state: State,
    entry: u64,
}

impl Run {
    fn apply(&mut self, command: &Command) {
        self.entry += 1;
        for event in decide(&self.state, command) {
            self.state.evolve(&Record::new(self.entry, command, event));
        }
    }
}

fn create(actor: &Actor, n: u64) -> Command {
    let mut random = [0; 10];
    let (_, tail) = random.split_at_mut(2);
    tail.copy_from_slice(&n.to_be_bytes());
    let time = Time(1_893_974_400_000 + i64::try_from(n / 10).unwrap_or(0));
    let attributes = vec![
        Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(3)),
        Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
        Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
        Attribute::named(&format!("volume-{n:010}")),
    ];
    let material = Material {
        commitment: Hash::from_bytes([7; 32]),
        epoch: domain::state::FIRST_EPOCH,
        length_bytes: 32,
    };
    Command {
        actor: actor.clone(),
        time,
        ask: Ask::Create { attributes },
        facts: Facts {
            uid: Some(Uid::from_time(time, random)),
            material: Some(material),
            ..Facts::default()
        },
    }
}

/// A founded cluster with one user.
fn found(owner: &Name, fingerprint: Fingerprint) -> Run {
    let operator = Actor::Operator {
        name: "bench".into(),
        door: Door::Socket,
    };
    let mut run = Run {
        state: State::default(),
        entry: 0,
    };
    let asks = [
        Ask::FoundCluster {
            cluster: ClusterId::from_bytes([1; 16]),
            origin: "strongroom/bench/lineage-1".into(),
            node: NodeId(1),
        },
        Ask::PutUser {
            name: owner.clone(),
            groups: vec![],
        },
        Ask::IssueCertificate {
            user: owner.clone(),
            certificate: fingerprint,
            serial: "1".into(),
            not_after: Time(i64::MAX),
        },
    ];
    for ask in asks {
        let (actor, facts) = (operator.clone(), Facts::default());
        run.apply(&Command {
            actor,
            time: Time(0),
            ask,
            facts,
        });
    }
    run
}

/// Creates the objects; prints what that took.
fn fill(run: &mut Run, user: &Actor, objects: u64) {
    let before = resident_bytes();
    let mut spent = Duration::ZERO;
    for n in 0..objects {
        let command = create(user, n);
        let start = Instant::now();
        run.apply(&command);
        spent += start.elapsed();
    }
    let bytes = resident_bytes().saturating_sub(before);
    let count = run.state.object_count().max(1);
    println!("objects            {count}");
    println!("decide + evolve    {} ns per Create", each(spent, count));
    println!("memory             {} bytes per object", bytes / count);
}

fn each(spent: Duration, count: u64) -> u128 {
    spent.as_nanos() / u128::from(count.max(1))
}

/// Asks without changing anything; prints what that took.
fn read(run: &Run, owner: &Name, user: &Actor, objects: u64) -> Result<(), Box<dyn Error>> {
    const ADMITTED: u64 = 100_000;
    let (state, command) = (&run.state, create(user, objects));
    let start = Instant::now();
    for _ in 0..ADMITTED {
        admit(state, &command.actor, &command.ask, command.time)?;
    }
    println!(
        "admit              {} ns per Create",
        each(start.elapsed(), ADMITTED)
    );

    let uids: Vec<Uid> = state.objects().map(|object| *object.uid()).collect();
    let start = Instant::now();
    for uid in &uids {
        permit(state, user, Read::Material, uid, command.time)?;
    }
    println!(
        "permit             {} ns per Get",
        each(start.elapsed(), objects)
    );

    let start = Instant::now();
    for n in 0..objects {
        let name = format!("volume-{n:010}");
        state.find_name(owner, &name).ok_or("a name is not found")?;
    }
    println!("find_name          {} ns", each(start.elapsed(), objects));

    let start = Instant::now();
    let digest = state.digest();
    println!(
        "digest             {} ms ({digest})",
        start.elapsed().as_millis()
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let objects: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let (owner, fingerprint) = (Name::parse("array-1")?, Fingerprint::from_bytes([1; 32]));
    let user = Actor::User {
        name: owner.clone(),
        certificate: fingerprint,
        source: "192.0.2.1:1".into(),
    };
    let mut run = found(&owner, fingerprint);
    fill(&mut run, &user, objects);
    read(&run, &owner, &user, objects)
}
