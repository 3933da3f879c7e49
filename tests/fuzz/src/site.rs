//! A small site as the law sees it: users with and without shared groups, objects of every kind in
//! every state, an epoch that waits for its retirement. Commands of the fuzzer fall on it.

use domain::{
    Actor, Ask, Attribute, Candidate, ClusterId, Command, Door, Epoch, Event, Facts, Fingerprint,
    GroupRole, Hash, Instance, Material, MemberRole, Membership, Name, NodeId, ObjectType, Record,
    State, Time, Uid, Value, codec, decide, tag,
};
use std::sync::OnceLock;

/// When the site's history ends; commands of the fuzzer come with any time.
const NOW: Time = Time(1_700_000_000_000);

/// Uids of the objects, in the order of their creation.
const OBJECTS: u8 = 12;

/// Identifier of the `n`th object.
pub fn uid(n: u8) -> Uid {
    let mut bytes = [0; 16];
    bytes[15] = n;
    Uid::from_bytes(bytes)
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name of this file")
}

fn user(text: &str) -> Actor {
    let certificate = Fingerprint::from_bytes([text.as_bytes()[0]; 32]);
    Actor::User {
        name: name(text),
        certificate,
        source: "127.0.0.1:1".to_owned(),
    }
}

fn operator() -> Actor {
    Actor::Operator {
        name: "admin".to_owned(),
        door: Door::Socket,
    }
}

fn command(actor: Actor, ask: Ask) -> Command {
    Command {
        actor,
        time: NOW,
        ask,
        facts: Facts::default(),
    }
}

/// A command that makes the `n`th object.
fn make(actor: Actor, n: u8, epoch: u32, ask: Ask) -> Command {
    let commitment = Hash::from_bytes([n; 32]);
    let material = Material {
        commitment,
        epoch: Epoch(epoch),
        length_bytes: 32,
    };
    let facts = Facts {
        uid: Some(uid(n)),
        material: Some(material),
        ..Facts::default()
    };
    Command {
        facts,
        ..command(actor, ask)
    }
}

fn aes(text: &str) -> Vec<Attribute> {
    vec![
        Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(3)),
        Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
        Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
        Attribute::standard(tag::OBJECT_GROUP, Value::Text("backup".to_owned())),
        Attribute::custom("Owner", Value::Text("blue team".to_owned())),
        Attribute::named(text),
    ]
}

fn people() -> Vec<Command> {
    let mut commands = Vec::new();
    for (who, role) in [("alice", GroupRole::Manage), ("bob", GroupRole::Use)] {
        let groups = vec![Membership {
            group: name("backup"),
            role,
        }];
        commands.push(command(
            operator(),
            Ask::PutUser {
                name: name(who),
                groups,
            },
        ));
    }
    commands.push(command(
        operator(),
        Ask::PutUser {
            name: name("carol"),
            groups: vec![],
        },
    ));
    for who in ["alice", "bob", "carol"] {
        let Actor::User {
            name: user,
            certificate,
            ..
        } = user(who)
        else {
            continue;
        };
        let (serial, not_after) = ("0a".to_owned(), Time(NOW.0 * 2));
        let ask = Ask::IssueCertificate {
            user,
            certificate,
            serial,
            not_after,
        };
        commands.push(command(operator(), ask));
    }
    commands
}

fn objects() -> Vec<Command> {
    let mut commands = Vec::new();
    for n in 0..OBJECTS {
        let owner = if n % 3 == 2 { "carol" } else { "alice" };
        let attributes = aes(&format!("key {n}"));
        let ask = match n % 4 {
            0 | 1 => Ask::Create { attributes },
            2 => Ask::Register {
                object_type: ObjectType::SecretData,
                attributes,
            },
            _ => Ask::Register {
                object_type: ObjectType::OpaqueObject,
                attributes: vec![],
            },
        };
        commands.push(make(user(owner), n, 1, ask));
        let uid = uid(n);
        let revoke = |reason| Ask::Revoke {
            uid,
            reason,
            message: None,
            compromise_occurred: None,
        };
        let life = match n / 2 {
            0 => vec![],
            1 => vec![Ask::Activate { uid }],
            2 => vec![Ask::Activate { uid }, revoke(6)],
            3 => vec![revoke(2)],
            4 => vec![Ask::Destroy { uid }],
            _ => vec![revoke(2), Ask::Destroy { uid }],
        };
        commands.extend(life.into_iter().map(|ask| command(user(owner), ask)));
    }
    commands
}

/// The commands that made the site.
fn history() -> Vec<Command> {
    let node = NodeId(1);
    let found = Ask::FoundCluster {
        cluster: ClusterId::from_bytes([1; 16]),
        origin: "strongroom/fuzz/lineage-1".to_owned(),
        node,
    };
    let key = Ask::AddLogKey {
        node,
        public_key: Hash::from_bytes([9; 32]),
    };
    let start = Ask::StartNode {
        node,
        version: "0".to_owned(),
        format: domain::FORMAT,
    };
    let mut commands = vec![
        command(Actor::Node(node), found),
        command(Actor::Node(node), start),
        command(Actor::Node(node), key),
    ];
    commands.extend(people());
    commands.extend(second_member());
    commands.extend(objects());
    let open = Ask::OpenEpoch {
        epoch: Epoch(2),
        kek: None,
    };
    commands.push(command(operator(), open));
    for node in [node, NodeId(2)] {
        let epoch = Epoch(1);
        let confirm = Ask::ConfirmReseal { node, epoch };
        commands.push(command(Actor::Node(node), confirm));
    }
    commands
}

/// A node joins the founder.
fn second_member() -> Vec<Command> {
    let (ticket, key) = (Hash::from_bytes([3; 32]), Fingerprint::from_bytes([4; 32]));
    let expires = Time(NOW.0 + 60_000);
    let candidate = Candidate {
        key,
        sealing_key: vec![4; 97],
        log_key: Hash::from_bytes([5; 32]),
        address: "192.0.2.2:9001".to_owned(),
        version: "0".to_owned(),
        format: domain::FORMAT,
        role: MemberRole::Voter,
    };
    let (role, node) = (candidate.role, NodeId(2));
    let founder = || Actor::Node(NodeId(1));
    vec![
        command(operator(), Ask::IssueTicket { ticket, expires }),
        command(founder(), Ask::RequestJoin { ticket, candidate }),
        command(operator(), Ask::ApproveJoin { key }),
        command(founder(), Ask::ConfirmMember { node, role }),
    ]
}

/// Carries out a command; gives the records that the ledger would get.
pub fn carry_out(state: &mut State, entry: u64, command: &Command) -> Vec<Record> {
    let events = decide(state, command);
    let records = events
        .into_iter()
        .map(|event| Record::new(entry, command, event));
    let records: Vec<Record> = records.collect();
    records.iter().for_each(|record| state.evolve(record));
    records
}

/// The site.
pub fn state() -> &'static State {
    static SITE: OnceLock<State> = OnceLock::new();
    SITE.get_or_init(|| {
        let mut state = State::default();
        for (entry, command) in (1..).zip(history()) {
            let records = carry_out(&mut state, entry, &command);
            let refused = |r: &Record| matches!(r.event, Event::Refused { .. });
            assert!(
                !records.iter().any(refused),
                "the site's history: {records:?}"
            );
        }
        state
    })
}

/// What somebody might ask next: each kind of ask that concerns an object, and rotation.
fn asks() -> Vec<Command> {
    let uid = uid(1);
    let owner = || Attribute::custom("Owner", Value::Text("red team".to_owned()));
    let index = Some(0);
    let (epoch, node) = (Epoch(1), NodeId(1));
    let asks = vec![
        Ask::AddAttribute {
            uid,
            attribute: owner(),
        },
        Ask::ModifyAttribute {
            uid,
            index,
            current: None,
            attribute: owner(),
        },
        Ask::SetAttribute {
            uid,
            attribute: owner(),
        },
        Ask::DeleteAttribute {
            uid,
            name: owner().name,
            which: Instance::All,
        },
        Ask::ApplySchedule,
        Ask::RevokeUser { name: name("bob") },
        Ask::RetireEpoch { epoch },
        Ask::ConfirmRetire { node, epoch },
        Ask::AddSlot {
            name: name("recovery"),
            kind: "passphrase".to_owned(),
        },
        Ask::RemoveSlot {
            name: name("recovery"),
        },
        Ask::SetKeyPolicy {
            policy: state().policy().clone(),
        },
    ];
    let mut commands: Vec<_> = asks
        .into_iter()
        .map(|ask| command(user("alice"), ask))
        .collect();
    let admin = commands.split_off(5);
    commands.extend(admin.into_iter().map(|c| Command {
        actor: operator(),
        ..c
    }));
    let cluster = [
        Ask::BeginScrub,
        Ask::RemoveNode { node: NodeId(2) },
        Ask::ConfirmRemoved { node: NodeId(2) },
        Ask::ForkLineage {
            lineage: 2,
            node,
            origin: "strongroom/fuzz/lineage-2".to_owned(),
            lost: 0,
        },
    ];
    commands.extend(cluster.map(|ask| command(operator(), ask)));
    commands
}

/// Inputs of `command_decide`: which object to aim at, then commands as CBOR.
pub fn command_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for commands in history().chunks(4).chain(asks().chunks(3)) {
        let mut seed = vec![seeds.len() as u8];
        seed.extend(codec::to_vec(&commands.to_vec()));
        seeds.push(seed);
    }
    seeds
}

/// Inputs of `event_decode`: every record of the site's history, and each command.
pub fn record_seeds() -> Vec<Vec<u8>> {
    let mut state = State::default();
    let mut seeds = Vec::new();
    for (entry, command) in (1..).zip(history().into_iter().chain(asks())) {
        seeds.push(codec::to_vec(&command));
        seeds.extend(
            carry_out(&mut state, entry, &command)
                .iter()
                .map(codec::to_vec),
        );
    }
    seeds
}

/// Turns every identifier in a command to the `n`th object of the site.
pub fn aim(command: &mut Command, n: u8) {
    let target = uid(n % OBJECTS);
    match &mut command.ask {
        Ask::Activate { uid }
        | Ask::Revoke { uid, .. }
        | Ask::Destroy { uid }
        | Ask::AddAttribute { uid, .. }
        | Ask::ModifyAttribute { uid, .. }
        | Ask::SetAttribute { uid, .. }
        | Ask::DeleteAttribute { uid, .. } => *uid = target,
        _ => {}
    }
}
