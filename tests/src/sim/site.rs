//! The site that the simulated cluster serves: its users, what they ask for, how it is founded.

use super::checkers::Violation;
use super::node::Health;
use super::step::Change;
use super::truth::{Aim, Knows};
use super::world::{Note, World};
use domain::{Actor, Ask, Attribute, Candidate, ClusterId, Command, Door, Facts, Fingerprint};
use domain::{
    FORMAT, GroupRole, Hash, KeyPolicy, MemberRole, Membership, Name, NodeId, ObjectType,
};
use domain::{State, Time, Uid, Value, tag};
use vault::provider;

/// Users of the site. The first two share a group.
pub const USERS: u8 = 3;

/// Names that objects may get: few, so that they meet.
const NAMES: u32 = 5;

/// AES in the enumeration Cryptographic Algorithm (KMIP 2.1 §11.12).
const AES: u32 = 3;

/// A name by its text.
///
/// # Panics
/// When the text is none: all texts here are constants.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::parse(text).expect("the names of the site keep to the grammar")
}

fn user_name(user: u8) -> Name {
    name(&format!("user-{}", user % USERS))
}

fn certificate(user: u8) -> Fingerprint {
    Fingerprint::from_bytes([user % USERS + 1; 32])
}

/// A user, with its certificate.
#[must_use]
pub fn user(user: u8) -> Actor {
    Actor::User {
        name: user_name(user),
        certificate: certificate(user),
        source: "192.0.2.7:40312".into(),
    }
}

/// An operator at the console.
#[must_use]
pub fn operator() -> Actor {
    Actor::Operator {
        name: "root".into(),
        door: Door::Console,
    }
}

fn hash(what: &str, node: NodeId) -> Hash {
    Hash::from_bytes(provider::sha256(&[what.as_bytes(), &node.0.to_be_bytes()]))
}

fn groups(user: u8, role: GroupRole) -> Vec<Membership> {
    let group = name("tape");
    let shared = user % USERS < 2;
    shared
        .then_some(Membership { group, role })
        .into_iter()
        .collect()
}

/// A key of so many bits, with more attributes.
#[must_use]
pub fn aes256(more: Vec<Attribute>) -> Ask {
    let mut attributes = vec![
        Attribute::standard(tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(AES)),
        Attribute::standard(tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
        Attribute::standard(tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
    ];
    attributes.extend(more);
    Ask::Create { attributes }
}

fn named(pick: u32) -> Attribute {
    let text = format!("key-{}", pick % NAMES);
    let fields = vec![
        (tag::NAME_VALUE, Value::Text(text)),
        (tag::NAME_TYPE, Value::Enumeration(1)),
    ];
    Attribute::standard(tag::NAME, Value::Structure(fields))
}

fn shared() -> Attribute {
    Attribute::standard(tag::OBJECT_GROUP, Value::Text("tape".into()))
}

fn date(tag: domain::Tag, at: Time, seconds: u32) -> Attribute {
    Attribute::standard(tag, Value::DateTime(at.seconds() + i64::from(seconds)))
}

/// The object that a number picks, living or not.
#[must_use]
pub fn picked(state: &State, pick: u32) -> Option<Uid> {
    let count = usize::try_from(state.object_count())
        .ok()
        .filter(|n| *n > 0)?;
    let mut objects = state.objects();
    objects.nth(pick as usize % count).map(|o| *o.uid())
}

/// The ask of a change, who asks, and what it wants to bring about. `None` when there is nothing
/// to ask about.
#[must_use]
pub fn ask(state: &State, who: u8, what: Change, pick: u32, now: Time) -> Option<(Actor, Ask)> {
    let uid = picked(state, pick);
    let staff = |ask: Ask| Some((operator(), ask));
    let own = |ask: Ask| Some((user(who), ask));
    match what {
        Change::Create => own(aes256(if pick.is_multiple_of(3) {
            vec![shared()]
        } else {
            vec![]
        })),
        Change::CreateNamed => own(aes256(vec![named(pick)])),
        Change::CreateDated => own(aes256(vec![
            date(tag::ACTIVATION_DATE, now, pick % 3),
            date(tag::DEACTIVATION_DATE, now, pick % 3 + pick % 7),
        ])),
        Change::Register => {
            let Ask::Create { attributes } = aes256(vec![]) else {
                return None;
            };
            own(Ask::Register {
                object_type: ObjectType::SymmetricKey,
                attributes,
            })
        }
        Change::Activate => own(Ask::Activate { uid: uid? }),
        Change::Revoke => own(Ask::Revoke {
            uid: uid?,
            reason: 1 + pick % 3,
            message: None,
            compromise_occurred: None,
        }),
        Change::Destroy => own(Ask::Destroy { uid: uid? }),
        Change::AddName => own(Ask::AddAttribute {
            uid: uid?,
            attribute: named(pick),
        }),
        Change::PutUser => {
            let role = if pick.is_multiple_of(2) {
                GroupRole::Use
            } else {
                GroupRole::Manage
            };
            staff(Ask::PutUser {
                name: user_name(who),
                groups: groups(who, role),
            })
        }
        Change::SetPolicy => {
            let policy = KeyPolicy {
                attributes_per_object_max: 32 + pick % 32,
                ..KeyPolicy::default()
            };
            staff(Ask::SetKeyPolicy { policy })
        }
        Change::ApplySchedule => staff(Ask::ApplySchedule),
        Change::Anchor | Change::OpenEpoch => None,
    }
}

impl World {
    /// Founds the cluster: no trouble comes before this is done on every node.
    pub(super) fn found(&mut self) -> Note {
        for node in 0..self.nodes.len() {
            self.start(node)?;
            self.nodes[node].ring.insert(domain::state::FIRST_EPOCH);
        }
        self.elect(0)?;
        let first = NodeId(1);
        self.must(Ask::FoundCluster {
            cluster: ClusterId::from_bytes([7; 16]),
            origin: "strongroom/simulated/lineage-1".into(),
            node: first,
        })?;
        self.must(Ask::StartNode {
            node: first,
            version: "simulated".into(),
            format: FORMAT,
        })?;
        for node in 1..self.nodes.len() {
            self.let_in(NodeId(node as u64 + 1))?;
        }
        for user in 0..USERS {
            self.must(Ask::PutUser {
                name: user_name(user),
                groups: groups(user, GroupRole::Manage),
            })?;
            self.must(Ask::IssueCertificate {
                user: user_name(user),
                certificate: certificate(user),
                serial: format!("{user:02x}"),
                // Ten years: no clock of a run jumps that far.
                not_after: Time(self.now.0 + 10 * 365 * 86_400_000),
            })?;
        }
        Ok("founded".into())
    }

    /// Lets one more node in: ticket, request, approval, confirmation.
    fn let_in(&mut self, node: NodeId) -> Result<(), Violation> {
        let ticket = hash("ticket", node);
        let key = Fingerprint::from_bytes(*hash("tls key", node).as_bytes());
        self.must(Ask::IssueTicket {
            ticket,
            expires: Time(self.now.0 + 60_000),
        })?;
        let candidate = Candidate {
            key,
            sealing_key: hash("sealing key", node).as_bytes().to_vec(),
            log_key: hash("log key", node),
            address: format!("192.0.2.{}:9001", node.0),
            version: "simulated".into(),
            format: FORMAT,
            role: MemberRole::Voter,
        };
        self.must(Ask::RequestJoin { ticket, candidate })?;
        self.must(Ask::ApproveJoin { key })?;
        let role = MemberRole::Voter;
        self.must(Ask::ConfirmMember { node, role })
    }

    /// Has something done that no rule forbids, by the operator at the first node.
    fn must(&mut self, ask: Ask) -> Result<(), Violation> {
        let shown = format!("{ask:?}");
        let note = self.ask(0, operator(), ask)?;
        self.spread()?;
        let asked = self.truth.requests.last_key_value();
        match asked.map(|(_, request)| request.knows) {
            Some(Knows::Done) => Ok(()),
            knows => {
                let what = format!("{shown}: {note}, {knows:?}");
                Err(Violation::new("founding", what))
            }
        }
    }

    /// Everybody gets and carries out everything.
    pub(super) fn spread(&mut self) -> Note {
        for _ in 0..2 {
            for node in 0..self.nodes.len() {
                self.carry_out_quietly(node)?;
            }
        }
        Ok(String::new())
    }

    fn carry_out_quietly(&mut self, node: usize) -> Note {
        self.replicate(node, 0, u8::MAX, true)?;
        self.apply(node, u8::MAX)
    }

    /// The command that a node makes of an ask: it supplies what is needed.
    pub(super) fn supplied(
        &mut self,
        node: usize,
        actor: Actor,
        ask: Ask,
        now: Time,
        needs: &domain::Needs,
    ) -> Result<(Command, Option<Vec<u8>>, Aim), String> {
        let mut facts = Facts {
            node: Some(self.nodes[node].id),
            ..Facts::default()
        };
        let mut payload = None;
        let mut aim = match &ask {
            Ask::Destroy { uid } => Aim::Destroy(*uid),
            _ => Aim::Other,
        };
        if needs.uid {
            let epoch = self.nodes[node]
                .life
                .as_ref()
                .map(|life| life.machine.state().epoch())
                .ok_or("the node is down")?;
            if !self.nodes[node].ring.contains(&epoch) {
                return Err(format!("no KEK of epoch {} yet", epoch.0));
            }
            let uid = self.fresh_uid(now);
            let (sealed, commitment) = self.sealed(epoch, &uid);
            facts.uid = Some(uid);
            facts.material = Some(domain::Material {
                commitment,
                epoch,
                length_bytes: 32,
            });
            payload = Some(sealed);
            aim = Aim::Make(uid);
        }
        let command = Command {
            actor,
            time: now,
            ask,
            facts,
        };
        Ok((command, payload, aim))
    }

    fn sealed(&self, epoch: domain::Epoch, uid: &Uid) -> (Vec<u8>, Hash) {
        let (mut sealed, commitment) = self.keys.seal(epoch, uid);
        if self.setting.planted == Some(super::plant::Plant::StoredPlain) {
            sealed.extend(self.keys.material(uid));
        }
        (sealed, commitment)
    }

    fn fresh_uid(&self, now: Time) -> Uid {
        let made = self.truth.requests.len() as u64;
        let numbers = [self.setting.seed, self.steps, made].map(u64::to_be_bytes);
        let drawn = provider::sha256(&[b"uid", numbers.as_flattened()]);
        let mut random = [0; 10];
        random.copy_from_slice(&drawn[..10]);
        Uid::from_time(now, random)
    }

    /// Whether a node holds everything that it has ever said it holds.
    pub(super) fn is_sound(&self, node: usize) -> bool {
        self.nodes[node].health == Health::Sound
    }
}
