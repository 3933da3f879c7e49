//! The site that the simulated cluster serves: one user, its keys, and what is asked about them.
//!
//! A key is known by its number. Its identifier follows from the number, and its Create is asked
//! once, so every operation names the key without having been told anything first.

use crate::linear::Model;
use domain::{Actor, Ask, Attribute, ClusterId, Command, Door, Facts, Fingerprint, Hash};
use domain::{LifecycleState, Material, Name, NodeId, State, Time, Uid, Value, tag};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Monday, 2030-01-07T00:00:00Z, in milliseconds: when every run begins.
pub const START: Time = Time(1_893_974_400_000);

/// AES in the enumeration Cryptographic Algorithm (KMIP 2.1 §11.12).
const AES: u32 = 3;

/// The custom attribute that serves as a register.
const REGISTER: &str = "storm";

/// What a client asks about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Create it, with 0 in the register.
    Create,
    /// Put a number into the register.
    Set(u64),
    /// Activate it.
    Activate,
    /// Destroy it, which is refused while it is active.
    Destroy,
    /// Read state, register and whether there is material, behind a read barrier.
    Read,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was done.
    Done,
    /// A rule said no.
    Refused,
    /// What stands there.
    Seen(Option<Key>),
}

/// A key as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Where it is in its life.
    pub phase: Phase,
    /// The register.
    pub register: u64,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Created.
    PreActive,
    /// In use.
    Active,
    /// Gone for ever.
    Destroyed,
}

/// The life of one key, for the linearizability checker.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyLife;

fn changed(key: &Key, wish: Wish) -> Option<Key> {
    let mut after = key.clone();
    match (wish, key.phase) {
        (Wish::Set(value), Phase::PreActive | Phase::Active) => after.register = value,
        (Wish::Activate, Phase::PreActive) => after.phase = Phase::Active,
        (Wish::Destroy, Phase::PreActive) => after.phase = Phase::Destroyed,
        _ => return None,
    }
    Some(after)
}

impl Model for KeyLife {
    type State = Option<Key>;
    type Ask = Wish;
    type Answer = Told;

    fn initial(&self) -> Option<Key> {
        None
    }

    fn step(&self, state: &Option<Key>, ask: &Wish, answer: &Told) -> Option<Option<Key>> {
        let after = self.effect(state, ask);
        let right = match (state, ask) {
            (state, Wish::Read) => *answer == Told::Seen(state.clone()),
            (None, Wish::Create) => *answer == Told::Done,
            (None, _) | (Some(_), Wish::Create) => *answer == Told::Refused,
            (Some(key), wish) => match changed(key, *wish) {
                Some(_) => *answer == Told::Done,
                None => *answer == Told::Refused,
            },
        };
        right.then_some(after)
    }

    fn effect(&self, state: &Option<Key>, ask: &Wish) -> Option<Key> {
        match (state, ask) {
            (None, Wish::Create) => Some(Key {
                phase: Phase::PreActive,
                register: 0,
            }),
            (None, _) => None,
            (Some(key), wish) => Some(changed(key, *wish).unwrap_or_else(|| key.clone())),
        }
    }

    fn only_reads(&self, ask: &Wish) -> bool {
        *ask == Wish::Read
    }

    fn left_alone(&self, ask: &Wish, answer: &Told) -> bool {
        self.only_reads(ask) || *answer == Told::Refused
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The identifier of a key.
pub fn uid(key: u64) -> Uid {
    let drawn = sha256(&[b"uid", &key.to_be_bytes()]);
    let mut random = [0; 10];
    random.copy_from_slice(&drawn[..10]);
    Uid::from_time(START, random)
}

/// The sealed bytes of a key: the epoch, and bytes that stand for what the vault would give. No
/// member looks into them.
fn sealed(key: u64) -> Vec<u8> {
    [
        &domain::state::FIRST_EPOCH.0.to_be_bytes()[..],
        &sha256(&[b"sealed", &key.to_be_bytes()]),
    ]
    .concat()
}

fn user_name() -> Name {
    Name::parse("storm").expect("a name of letters")
}

const CERTIFICATE: Fingerprint = Fingerprint::from_bytes([1; 32]);

/// Who asks: the user, through a connection that tells each operation from all others.
fn user(operation: u64) -> Actor {
    let source = format!("192.0.2.7:{operation}");
    Actor::User {
        name: user_name(),
        certificate: CERTIFICATE,
        source,
    }
}

/// The number of the operation that a command carries out; `None` for those of the founding.
pub fn operation_of(command: &Command) -> Option<u64> {
    let Actor::User { source, .. } = &command.actor else {
        return None;
    };
    source.split_once(':')?.1.parse().ok()
}

fn register(value: u64) -> Attribute {
    Attribute::custom(REGISTER, Value::Text(value.to_string()))
}

fn ask(key: u64, wish: Wish) -> Option<Ask> {
    let uid = uid(key);
    Some(match wish {
        Wish::Create => Ask::Create {
            attributes: vec![
                Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(AES)),
                Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
                Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
                register(0),
            ],
        },
        Wish::Set(value) => Ask::ModifyAttribute {
            uid,
            index: None,
            current: None,
            attribute: register(value),
        },
        Wish::Activate => Ask::Activate { uid },
        Wish::Destroy => Ask::Destroy { uid },
        Wish::Read => return None,
    })
}

/// The command that a node makes of a wish; `None` for a read.
pub fn command(
    node: u64,
    operation: u64,
    time: Time,
    key: u64,
    wish: Wish,
) -> Option<(Command, Option<Vec<u8>>)> {
    let mut facts = Facts {
        node: Some(NodeId(node)),
        ..Facts::default()
    };
    let mut payload = None;
    if wish == Wish::Create {
        let sealed = sealed(key);
        facts.uid = Some(uid(key));
        facts.material = Some(Material {
            commitment: Hash::from_bytes(sha256(&[&sealed])),
            epoch: domain::state::FIRST_EPOCH,
            length_bytes: 32,
        });
        payload = Some(sealed);
    }
    let command = Command {
        actor: user(operation),
        time,
        ask: ask(key, wish)?,
        facts,
    };
    Some((command, payload))
}

/// What has to be done before users can ask.
pub fn founding() -> Vec<Command> {
    let operator = Actor::Operator {
        name: "root".into(),
        door: Door::Console,
    };
    let first = NodeId(1);
    let asks = [
        Ask::FoundCluster {
            cluster: ClusterId::from_bytes(super::papers::CLUSTER),
            origin: "strongroom/simulated/lineage-1".into(),
            node: first,
        },
        Ask::StartNode {
            node: first,
            version: "simulated".into(),
            format: domain::FORMAT,
        },
        Ask::PutUser {
            name: user_name(),
            groups: vec![],
        },
        Ask::IssueCertificate {
            user: user_name(),
            certificate: CERTIFICATE,
            serial: "01".into(),
            // A hundred years: no clock of a run is off that far.
            not_after: Time(START.0 + 100 * 365 * 86_400_000),
        },
    ];
    let command = |ask| Command {
        actor: operator.clone(),
        time: START,
        ask,
        facts: Facts {
            node: Some(first),
            ..Facts::default()
        },
    };
    asks.into_iter().map(command).collect()
}

/// What a state shows of a key.
pub fn seen(state: &State, key: u64) -> Option<Key> {
    let object = state.object(&uid(key))?;
    let phase = match object.recorded_state() {
        LifecycleState::PreActive => Phase::PreActive,
        LifecycleState::Destroyed | LifecycleState::DestroyedCompromised => Phase::Destroyed,
        _ => Phase::Active,
    };
    let name = register(0).name;
    let value = object.attribute(&name).find_map(|(_, value)| match value {
        Value::Text(text) => text.parse().ok(),
        _ => None,
    });
    Some(Key {
        phase,
        register: value.unwrap_or(u64::MAX),
    })
}
