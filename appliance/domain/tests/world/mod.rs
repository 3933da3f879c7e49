//! A small world for tests: a founded cluster of one node that runs this program, four users in one
//! group, and a proposing node that supplies identifiers and commitments. More nodes join when a
//! test lets them in.
//!
//! `alice` and `carol` (Manage) and `bob` (Use) are members of the group `tape`; `mallory` is in
//! none. Time stands still unless a test moves it.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use domain::*;

/// Monday, 2030-01-07T00:00:00Z, in milliseconds.
pub(crate) const START: Time = Time(1_893_974_400_000);

pub(crate) const AES: u32 = 3;

/// The key of an administrator, made by ssh-keygen for these tests.
pub(crate) const SSH_KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIK5D2T/VE0xu5IhSdoeLzbi6Ekw1zVOxT0azFNrlXXMB alice@desk";

/// A cluster with its log.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) log: Vec<Record>,
    pub(crate) now: Time,
    entry: u64,
    made: u64,
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn hash(n: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    Hash::from_bytes(bytes)
}

/// The certificate of a user: its name, repeated.
pub(crate) fn certificate(user: &str) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes
        .iter_mut()
        .zip(user.bytes().cycle())
        .for_each(|(b, c)| *b = c);
    Fingerprint::from_bytes(bytes)
}

pub(crate) fn user(text: &str) -> Actor {
    let source = "192.0.2.7:40312".to_string();
    Actor::User {
        name: name(text),
        certificate: certificate(text),
        source,
    }
}

pub(crate) fn operator() -> Actor {
    Actor::Operator {
        name: "root".to_string(),
        door: Door::Console,
    }
}

/// Root, or the user that runs the node, on the Unix socket: may do everything always.
pub(crate) fn local() -> Actor {
    Actor::Operator {
        name: "uid:0".to_string(),
        door: Door::Socket,
    }
}

/// An administrator at a door.
pub(crate) fn admin(name: &str, door: Door) -> Actor {
    let name = name.to_string();
    Actor::Operator { name, door }
}

/// Adds an administrator who may do so much.
pub(crate) fn put_admin(text: &str, permissions: Permissions) -> Ask {
    Ask::PutAdministrator {
        name: name(text),
        password: Some(hash(0xad_0000)),
        ssh_keys: vec![],
        permissions: Some(permissions),
        must_change: false,
    }
}

pub(crate) const NODE: NodeId = NodeId(1);

/// A node that starts with this program.
pub(crate) fn start(node: NodeId) -> Ask {
    Ask::StartNode {
        node,
        version: "0.3.0".to_string(),
        format: FORMAT,
    }
}

/// A TLS key, or the certificate of a CA, by number.
pub(crate) fn node_key(n: u64) -> Fingerprint {
    Fingerprint::from_bytes(*hash(0x4b_0000 + n).as_bytes())
}

/// The node with the n-th keys, as it asks to join.
pub(crate) fn candidate(n: u64, role: MemberRole) -> Candidate {
    Candidate {
        key: node_key(n),
        sealing_key: vec![4, u8::try_from(n).unwrap()],
        log_key: hash(0x10_0000 + n),
        address: format!("node-{n}.example:9001"),
        version: "0.3.0".to_string(),
        format: FORMAT,
        role,
    }
}

/// The n-th identifier that a world gives out.
pub(crate) fn uid(n: u64) -> Uid {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    Uid::from_time(START, random)
}

pub(crate) fn algorithm(code: u32, bits: i32) -> Vec<Attribute> {
    vec![
        Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(code)),
        Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(bits)),
        Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
    ]
}

pub(crate) fn group(text: &str) -> Attribute {
    Attribute::standard(tag::OBJECT_GROUP, Value::Text(text.to_string()))
}

pub(crate) fn date(tag: Tag, time: Time) -> Attribute {
    Attribute::standard(tag, Value::DateTime(time.seconds()))
}

/// An AES-256 key with more attributes.
pub(crate) fn aes256(more: &[Attribute]) -> Ask {
    let mut attributes = algorithm(AES, 256);
    attributes.extend_from_slice(more);
    Ask::Create { attributes }
}

/// The same by an officer, for a user.
pub(crate) fn aes256_for(owner: &str, more: &[Attribute]) -> Ask {
    let mut attributes = algorithm(AES, 256);
    attributes.extend_from_slice(more);
    let owner = name(owner);
    Ask::CreateFor { owner, attributes }
}

pub(crate) fn member(group: &str, role: GroupRole) -> Vec<Membership> {
    vec![Membership {
        group: name(group),
        role,
    }]
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn unfounded() -> Self {
        Self {
            state: State::default(),
            log: vec![],
            now: START,
            entry: 0,
            made: 0,
        }
    }

    /// A founded cluster with its users.
    pub(crate) fn new() -> Self {
        let mut world = Self::unfounded();
        let origin = "strongroom/test/lineage-1".to_string();
        let cluster = ClusterId::from_bytes([7; 16]);
        world.must(
            &operator(),
            Ask::FoundCluster {
                cluster,
                origin,
                node: NODE,
            },
        );
        world.must(&Actor::Node(NODE), start(NODE));
        let users = [
            ("alice", member("tape", GroupRole::Manage)),
            ("bob", member("tape", GroupRole::Use)),
            ("carol", member("tape", GroupRole::Manage)),
            ("mallory", vec![]),
        ];
        for (text, groups) in users {
            world.must(
                &operator(),
                Ask::PutUser {
                    name: name(text),
                    groups,
                },
            );
            world.issue(text, text);
        }
        world
    }

    /// Issues a certificate, named after `text`, to a user.
    pub(crate) fn issue(&mut self, user: &str, text: &str) {
        let not_after = Time(START.0 + 365 * 86_400_000);
        let ask = Ask::IssueCertificate {
            user: name(user),
            certificate: certificate(text),
            serial: "1f".to_string(),
            not_after,
        };
        self.must(&operator(), ask);
    }

    /// The command that a proposing node makes of an ask: it supplies what `admit` says.
    pub(crate) fn command(&mut self, actor: &Actor, ask: Ask) -> Command {
        let needs = admit(&self.state, actor, &ask, self.now).unwrap_or_default();
        let mut facts = Facts::default();
        if needs.uid {
            facts.uid = Some(uid(self.made));
            self.made += 1;
        }
        if needs.material || needs.generate_bits.is_some() {
            facts.material = Some(Material {
                commitment: hash(self.made),
                epoch: self.state.epoch(),
                length_bytes: needs.generate_bits.map_or(32, |bits| bits / 8),
            });
        }
        Command {
            actor: actor.clone(),
            time: self.now,
            ask,
            facts,
        }
    }

    /// Decides a command and takes its records.
    pub(crate) fn apply(&mut self, command: &Command) -> Vec<Event> {
        self.entry += 1;
        let events = decide(&self.state, command);
        for event in &events {
            let record = Record::new(self.entry, command, event.clone());
            self.state.evolve(&record);
            self.log.push(record);
        }
        events
    }

    /// Asks; gives what happened.
    pub(crate) fn ask(&mut self, actor: &Actor, ask: Ask) -> Vec<Event> {
        let command = self.command(actor, ask);
        self.apply(&command)
    }

    /// Asks for something that must be granted.
    pub(crate) fn must(&mut self, actor: &Actor, ask: Ask) -> Vec<Event> {
        let events = self.ask(actor, ask.clone());
        assert!(denial(&events).is_none(), "{ask:?}: {events:?}");
        events
    }

    /// Creates an AES-256 key of a user; gives its identifier.
    pub(crate) fn key(&mut self, owner: &str, more: &[Attribute]) -> Uid {
        let events = self.must(&user(owner), aes256(more));
        match events.as_slice() {
            [Event::ObjectCreated { uid, .. }] => *uid,
            other => panic!("{other:?}"),
        }
    }

    /// Issues the n-th ticket and uses it for the node with the n-th keys.
    pub(crate) fn request(&mut self, n: u64, role: MemberRole) {
        let ticket = hash(0x71_0000 + n);
        let expires = Time(self.now.0 + 60_000);
        self.must(&operator(), Ask::IssueTicket { ticket, expires });
        let candidate = candidate(n, role);
        self.must(&Actor::Node(NODE), Ask::RequestJoin { ticket, candidate });
    }

    /// Lets the node with the n-th keys in; gives its number. It is joining.
    pub(crate) fn let_in(&mut self, n: u64, role: MemberRole) -> NodeId {
        self.request(n, role);
        let node = self.state.next_node();
        self.must(&operator(), Ask::ApproveJoin { key: node_key(n) });
        node
    }

    /// Lets it in and confirms it.
    pub(crate) fn join(&mut self, n: u64, role: MemberRole) -> NodeId {
        let node = self.let_in(n, role);
        self.must(&Actor::Node(NODE), Ask::ConfirmMember { node, role });
        node
    }

    /// Opens the next epoch and retires the one before, with every confirmation.
    pub(crate) fn rotate(&mut self) {
        let old = self.state.epoch();
        let next = Epoch(old.0 + 1);
        let kek = Some(hash(0xeb_0000 + u64::from(next.0)));
        self.must(&operator(), Ask::OpenEpoch { epoch: next, kek });
        let keepers: Vec<NodeId> = self.state.key_keepers().map(|(id, _)| id).collect();
        for &node in &keepers {
            self.must(&Actor::Node(node), Ask::ConfirmReseal { node, epoch: old });
        }
        self.must(&operator(), Ask::RetireEpoch { epoch: old });
        for &node in &keepers {
            self.must(&Actor::Node(node), Ask::ConfirmRetire { node, epoch: old });
        }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now = Time(self.now.0 + seconds * 1000);
    }

    pub(crate) fn replayed(&self) -> State {
        let mut state = State::default();
        self.log.iter().for_each(|record| state.evolve(record));
        state
    }
}

/// The denial, when the events are a refusal.
pub(crate) fn denial(events: &[Event]) -> Option<&Denial> {
    match events {
        [Event::Refused { denial, .. }] => Some(denial),
        _ => None,
    }
}
