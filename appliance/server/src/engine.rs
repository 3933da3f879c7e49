//! The way of every request: admit, supply, propose, reply (law 1); permit, record, release
//! (law 5).
//!
//! Doors translate and call here; no door decides anything. The engine decides nothing either: the
//! rules are in `domain`, and this file carries what they say to the vault, the cluster and the
//! access log.

use crate::access_log::{AccessLog, NotRecorded, Receipt};
use crate::clock;
use crate::contact::Contact;
use crate::counters::Counters;
use crate::locate::{self, Found, Query};
use crate::machine::{LedgerMachine, Outcome};
use crate::open_sessions::OpenSessions;
use crate::projections::{Projections, QueryFault};
use crate::room::{NoRoom, Room};
use crate::soundness::Soundness;
use cluster::{Cluster, NotReady, ProposeFault};
use domain::{Access, AccessRecord, Actor, Ask, Attribute, AttributeInstance, Command, Denial};
use domain::{Facts, Fingerprint, Hash, Material, Name, NodeId, ObjectType, Read, Stale, State};
use domain::{Time, Uid, Value, codec, tag};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use vault::{Secret, Vault};

/// A command may find its epoch closed between sealing and apply. The KEK of the new one comes from
/// another member, which takes a moment; three seconds are generous.
const EPOCH_RETRIES_MAX: usize = 30;

/// SHA-256 in the enumeration Hashing Algorithm (KMIP 2.1 §11.21).
const HASHING_ALGORITHM_SHA256: u32 = 6;

/// Pause before a command that met a new epoch is made again.
const EPOCH_PAUSE: Duration = Duration::from_millis(100);

/// Characters of an object's name, as a client wrote it, that a record keeps.
const OBJECT_NAME_CHARS_MAX: usize = 64;

/// The world failed; nothing is said about the rules.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// No majority of the members can be reached, so nothing can be said that surely holds.
    #[error("{0}")]
    NotReady(#[from] NotReady),
    /// The cluster has let this node go.
    #[error("this node was removed from its cluster and serves nothing any more; ask another node")]
    Expelled,
    /// The change was not carried out, or it is not known whether it was.
    #[error("{0}")]
    NotWritten(#[from] ProposeFault),
    /// The access log does not take records.
    #[error("{0}")]
    NotRecorded(#[from] NotRecorded),
    /// The vault or the sealed store failed.
    #[error("{0}")]
    Vault(String),
    /// The disk has too little room for new objects.
    #[error("{0}")]
    NoRoom(#[from] NoRoom),
    /// The search indexes failed.
    #[error("{0}")]
    Query(#[from] QueryFault),
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A rule said no. The refusal stands in the cluster log, or is on its way into the access log.
    #[error("{denial}")]
    Denied {
        /// Which rule.
        denial: Denial,
        /// The record of it, when it goes to the access log.
        receipt: Option<Receipt>,
    },
    /// The world failed.
    #[error("{0}")]
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Refusal {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

fn vault_fault(error: impl std::fmt::Display) -> Fault {
    Fault::Vault(error.to_string())
}

/// An answer that must not leave before its record is on the disk.
#[derive(Debug)]
pub struct Pending<T> {
    answer: T,
    receipt: Option<Receipt>,
}

impl<T> Pending<T> {
    /// The answer to a change: its record is in the cluster log already.
    pub fn committed(answer: T) -> Self {
        Self {
            answer,
            receipt: None,
        }
    }

    /// Gives the answer out, once its record is durable.
    pub async fn settle(self) -> Result<T, NotRecorded> {
        if let Some(receipt) = self.receipt {
            receipt.recorded().await?;
        }
        Ok(self.answer)
    }

    /// Turns the answer into another form, still held back.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Pending<U> {
        Pending {
            answer: form(self.answer),
            receipt: self.receipt,
        }
    }

    /// Looks at the answer inside the appliance, to go on with the next item of a batch.
    pub fn peek(&self) -> &T {
        &self.answer
    }
}

/// Whether an object may be read from a state that may be old.
fn permit_stale(
    state: &State,
    object: &domain::Object,
    stale: Option<Stale>,
) -> Result<(), Denial> {
    stale.map_or(Ok(()), |stale| {
        domain::permit_offline(state, object, stale.age_seconds)
    })
}

/// A refusal by a state that may be old is no word of the cluster: what this node does not know may
/// have come to be, and a client must not take a key for lost. What was destroyed stays so.
fn must_stand(denial: &Denial, stale: Option<Stale>) -> Result<(), Fault> {
    match (stale, denial) {
        (None, _) | (_, Denial::Destroyed | Denial::TooStale { .. }) => Ok(()),
        (Some(stale), _) => {
            let seconds = stale.age_seconds;
            let reason = format!("no quorum has answered for {seconds} s");
            Err(Fault::NotReady(NotReady { reason }))
        }
    }
}

/// Key material on its way out.
#[derive(Debug)]
pub struct Released {
    /// Which object.
    pub uid: Uid,
    /// The material.
    pub material: Secret,
}

/// The engine of one node.
pub struct Engine {
    node: NodeId,
    cluster: Cluster,
    machine: Arc<LedgerMachine>,
    vault: Arc<Vault>,
    access: AccessLog,
    projections: Projections,
    room: Room,
    counters: Counters,
    sessions: OpenSessions,
    contact: Contact,
    soundness: Soundness,
    /// One step of a rotation at a time.
    rotation_turn: tokio::sync::Mutex<()>,
    /// The latest time handed out: a clock that goes back does not take time with it (ABUSE A23).
    ratchet: AtomicI64,
    /// Whether the clock was compared with the other members' (`jobs::timekeeping`).
    trusts_clock: AtomicBool,
    /// What the log said of the time when the node started, and milliseconds since boot then.
    started: (i64, i64),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// What an engine is put together from.
#[derive(Debug)]
pub struct Parts {
    /// This node.
    pub node: NodeId,
    /// Agreement.
    pub cluster: Cluster,
    /// State, log and store.
    pub machine: Arc<LedgerMachine>,
    /// Keys.
    pub vault: Arc<Vault>,
    /// The access log.
    pub access: AccessLog,
    /// Search indexes.
    pub projections: Projections,
    /// Room on the data partition.
    pub room: Room,
}

impl Engine {
    /// Puts the engine together.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            node,
            cluster,
            machine,
            vault,
            access,
            projections,
            room,
        } = parts;
        let latest = machine.latest_time();
        let ratchet = AtomicI64::new(latest.0);
        let contact = Contact::since(latest);
        let counters = Counters::default();
        let soundness = Soundness::default();
        Self {
            node,
            cluster,
            machine,
            vault,
            access,
            projections,
            room,
            counters,
            sessions: OpenSessions::default(),
            contact,
            soundness,
            rotation_turn: tokio::sync::Mutex::new(()),
            ratchet,
            trusts_clock: AtomicBool::new(false),
            started: (latest.0, clock::since_boot()),
        }
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Agreement, for status and purge.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// State, log and store.
    pub fn machine(&self) -> &Arc<LedgerMachine> {
        &self.machine
    }

    /// Keys.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The access log.
    pub fn access(&self) -> &AccessLog {
        &self.access
    }

    /// Search indexes.
    pub fn projections(&self) -> &Projections {
        &self.projections
    }

    /// Room on the data partition.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What the KMIP door counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The KMIP sessions that are open.
    pub(crate) fn sessions(&self) -> &OpenSessions {
        &self.sessions
    }

    /// The last word of a quorum.
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// What is known of the node's own data.
    pub fn soundness(&self) -> &Soundness {
        &self.soundness
    }

    /// Held by whoever does a step of a rotation on this node.
    pub(crate) fn rotation_turn(&self) -> &tokio::sync::Mutex<()> {
        &self.rotation_turn
    }

    /// Whether a transition by date waits to be carried out.
    pub fn is_due(&self) -> bool {
        self.machine
            .state()
            .next_due()
            .is_some_and(|due| due <= self.now())
    }

    /// From now on the clock is the time to act by.
    pub(crate) fn trust_clock(&self) {
        self.trusts_clock.store(true, Ordering::Relaxed);
    }

    pub(crate) fn trusts_clock(&self) -> bool {
        self.trusts_clock.load(Ordering::Relaxed)
    }

    /// The time to act by: the clock, never going back. As long as the clock may be wrong it is the
    /// least that it can be: the time of the records, and what has passed since the start.
    pub fn now(&self) -> Time {
        let now = if self.trusts_clock() {
            clock::now().0
        } else {
            let (latest, since_boot) = self.started;
            let passed = clock::since_boot() - since_boot;
            self.machine.latest_time().0.max(latest + passed)
        };
        Time(self.ratchet.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Has something changed. `material` is what the client brought, for Register.
    pub async fn change(
        &self,
        actor: &Actor,
        ask: Ask,
        material: Option<&Secret>,
    ) -> Result<Outcome, Refusal> {
        self.change_once(actor, ask, material, None).await
    }

    /// As [`Engine::change`]; a repetition with the same `once` has no further effect and the
    /// outcome of the first.
    pub async fn change_once(
        &self,
        actor: &Actor,
        ask: Ask,
        material: Option<&Secret>,
        once: Option<Hash>,
    ) -> Result<Outcome, Refusal> {
        for _ in 0..EPOCH_RETRIES_MAX {
            let now = self.now();
            let needs = match self.admit(actor, &ask, now).await? {
                Ok(needs) => needs,
                Err(denial) => {
                    // What was done already may well be refused now: its own object is in the way.
                    let done = once.and_then(|once| self.repeated(actor, &once));
                    if let Some(outcome) = done {
                        return Ok(outcome);
                    }
                    return Err(self.deny(actor, ask.name(), ask.uid(), denial)?);
                }
            };
            if needs.uid || needs.material {
                self.room.for_new_objects()?;
            }
            let (mut facts, payload) = self.supply(&needs, ask.uid(), material, now)?;
            (facts.once, facts.node) = (once, Some(self.node));
            let command = Command {
                actor: actor.clone(),
                time: now,
                ask: ask.clone(),
                facts,
            };
            let bytes = codec::to_vec(&command);
            let reply = self
                .cluster
                .propose(cluster::Command { bytes, payload })
                .await?;
            let outcome: Outcome = codec::from_slice(&reply).map_err(vault_fault)?;
            match outcome.refused {
                // This node has the KEK of the new epoch soon (`jobs::ring`).
                Some(Denial::StaleEpoch { .. }) => tokio::time::sleep(EPOCH_PAUSE).await,
                Some(denial) => {
                    return Err(Refusal::Denied {
                        denial,
                        receipt: None,
                    });
                }
                None => return Ok(outcome),
            }
        }
        Err(Fault::Vault("the object epoch changes faster than objects are made".into()).into())
    }

    /// The outcome of a command that was carried out already.
    fn repeated(&self, actor: &Actor, once: &Hash) -> Option<Outcome> {
        let created = self.machine.state().repeated(actor, once)?;
        let refused = None;
        Some(Outcome { created, refused })
    }

    /// Asks the rules before anything is proposed. A state that is behind may refuse what the
    /// cluster would grant, so a refusal counts only when it stands after all that was committed
    /// before this moment.
    async fn admit(
        &self,
        actor: &Actor,
        ask: &Ask,
        now: Time,
    ) -> Result<Result<domain::Needs, Denial>, Fault> {
        let admitted = domain::admit(&self.machine.state(), actor, ask, now);
        if admitted.is_ok() {
            return Ok(admitted);
        }
        self.cluster.read_barrier().await?;
        Ok(domain::admit(&self.machine.state(), actor, ask, now))
    }

    /// Whether a certificate proves a user now. A state that is behind has not heard yet of who was
    /// enrolled last, so a certificate that it does not know is looked for once more after all that
    /// was committed before this moment; one that it knows to be bad stays bad.
    ///
    /// # Errors
    /// No quorum answers, so a certificate that is unknown here may be good.
    pub(crate) async fn authenticate(
        &self,
        name: &Name,
        certificate: &Fingerprint,
    ) -> Result<Result<(), Denial>, Fault> {
        let look = || domain::authenticate(&self.machine.state(), name, certificate, self.now());
        let proven = look();
        if proven.is_ok() || self.machine.state().certificate(certificate).is_some() {
            return Ok(proven);
        }
        let stale = self.freshness().await?;
        let proven = look();
        if let Err(denial) = &proven {
            must_stand(denial, stale)?;
        }
        Ok(proven)
    }

    /// Waits for all that was committed before this moment, if a quorum answers; for what must go
    /// on when none does.
    pub(crate) async fn catch_up(&self) {
        // How old the state may be is for whoever reads keys to care about.
        drop(self.freshness().await);
    }

    /// Makes sure that what is read now is not older than this moment. When no quorum answers, says
    /// how old it may be; whether that may be served is for the rules to say.
    async fn freshness(&self) -> Result<Option<Stale>, Fault> {
        if self.contact.is_expelled() {
            return Err(Fault::Expelled);
        }
        // Who knows that no quorum answers does not make each reader wait to find out.
        let is_cut_off = self.contact.is_cut_off(self.cluster.quorum_contact());
        if !is_cut_off && self.cluster.read_barrier().await.is_ok() {
            self.contact.heard();
            return Ok(None);
        }
        if !is_cut_off {
            self.contact.is_lost();
        }
        Ok(Some(Stale {
            age_seconds: self.contact.age_seconds(),
        }))
    }

    /// Makes what a command needs from outside the rules: an identifier, unless the ask names its
    /// own, and sealed material.
    fn supply(
        &self,
        needs: &domain::Needs,
        named: Option<&Uid>,
        material: Option<&Secret>,
        now: Time,
    ) -> Result<(Facts, Option<Vec<u8>>), Fault> {
        if !needs.uid && !needs.material {
            return Ok((Facts::default(), None));
        }
        let uid = match named.filter(|_| !needs.uid) {
            Some(uid) => *uid,
            None => {
                let mut random = [0u8; 10];
                self.vault.random(&mut random).map_err(vault_fault)?;
                Uid::from_time(now, random)
            }
        };
        let (sealed, length) = match (needs.generate_bits, material) {
            (Some(bits), _) => {
                let sealed = self.vault.generate(&uid, bits).map_err(vault_fault)?;
                (sealed, bits.div_ceil(8))
            }
            (None, Some(material)) => {
                let length = u32::try_from(material.len()).unwrap_or(u32::MAX);
                (
                    self.vault.seal(&uid, material).map_err(vault_fault)?,
                    length,
                )
            }
            (None, None) => return Err(Fault::Vault("no key material was given".into())),
        };
        let material = Material {
            commitment: Hash::from_bytes(sealed.commitment),
            epoch: sealed.epoch,
            length_bytes: length,
        };
        Ok((
            Facts {
                uid: needs.uid.then_some(uid),
                material: Some(material),
                ..Facts::default()
            },
            Some(sealed.bytes),
        ))
    }

    /// Releases key material to a user who may have it. `form` settles how it will be presented,
    /// from its type and attributes, before anything is released.
    pub async fn get<F>(
        &self,
        actor: &Actor,
        uid: &Uid,
        form: impl FnOnce(ObjectType, &[Attribute]) -> Result<F, Denial>,
    ) -> Result<Pending<(Released, F)>, Refusal> {
        let stale = self.freshness().await?;
        let now = self.now();
        let permitted = {
            let state = self.machine.state();
            domain::permit(&state, actor, Read::Material, uid, now).and_then(|object| {
                permit_stale(&state, object, stale)?;
                let form = form(object.object_type(), &object.attributes(now))?;
                Ok((state.records(), object.material().copied(), form))
            })
        };
        let (seen, material, form) = match permitted {
            Ok(permitted) => permitted,
            Err(denial) => {
                must_stand(&denial, stale)?;
                return Err(self.deny(actor, "Get", Some(uid), denial)?);
            }
        };
        let material = match self.open(uid, material.as_ref()) {
            // Destroyed since it was permitted: the answer is that of a moment later.
            Err(_) if self.is_destroyed(uid) => {
                return Err(self.deny(actor, "Get", Some(uid), Denial::Destroyed)?);
            }
            opened => opened?,
        };
        let access = Access::Released { uid: *uid, stale };
        let receipt = self.record(actor, seen, now, access)?;
        let released = Released {
            uid: *uid,
            material,
        };
        Ok(Pending {
            answer: (released, form),
            receipt: Some(receipt),
        })
    }

    /// Unseals the material of an object.
    fn open(&self, uid: &Uid, material: Option<&Material>) -> Result<Secret, Fault> {
        let sealed = self.machine.store().get(uid).map_err(vault_fault)?;
        let (Some(sealed), Some(material)) = (sealed, material) else {
            return Err(vault_fault(format!(
                "the sealed store has no entry for {uid}"
            )));
        };
        self.vault
            .open(uid, &sealed, material.commitment.as_bytes())
            .map_err(vault_fault)
    }

    fn is_destroyed(&self, uid: &Uid) -> bool {
        self.machine
            .state()
            .object(uid)
            .is_some_and(domain::Object::is_tombstone)
    }

    /// Reads the attributes of an object with the Digest of its material (KMIP 1.4 §3.17), which
    /// is made from the unsealed material because the log must not hold it (law 3).
    pub async fn attributes_and_digest(
        &self,
        actor: &Actor,
        uid: &Uid,
    ) -> Result<Pending<Vec<AttributeInstance>>, Refusal> {
        let mut held = self.attributes(actor, Read::Attributes, uid).await?;
        let (material, format) = {
            let state = self.machine.state();
            let object = state.object(uid);
            let material = object.and_then(|object| object.material().copied());
            (
                material,
                object.and_then(|object| object.value(tag::KEY_FORMAT_TYPE)),
            )
        };
        if material.is_some() {
            let material = self.open(uid, material.as_ref())?;
            let digest = vault::provider::sha256(&[material.expose()]);
            let mut fields = vec![
                (
                    tag::HASHING_ALGORITHM,
                    Value::Enumeration(HASHING_ALGORITHM_SHA256),
                ),
                (tag::DIGEST_VALUE, Value::Bytes(digest.to_vec())),
            ];
            fields.extend(format.map(|format| (tag::KEY_FORMAT_TYPE, format)));
            let attribute = Attribute::standard(tag::DIGEST, Value::Structure(fields));
            held.answer.push(AttributeInstance {
                index: 0,
                attribute,
            });
        }
        Ok(held)
    }

    /// Reads the attributes of an object.
    pub async fn attributes(
        &self,
        actor: &Actor,
        read: Read,
        uid: &Uid,
    ) -> Result<Pending<Vec<AttributeInstance>>, Refusal> {
        let stale = self.freshness().await?;
        let now = self.now();
        let permitted = {
            let state = self.machine.state();
            domain::permit(&state, actor, read, uid, now).and_then(|object| {
                permit_stale(&state, object, stale)?;
                Ok((state.records(), object.instances(now)))
            })
        };
        match permitted {
            Ok((seen, attributes)) => {
                let access = Access::AttributesRead { uid: *uid, stale };
                let receipt = self.record(actor, seen, now, access)?;
                Ok(Pending {
                    answer: attributes,
                    receipt: Some(receipt),
                })
            }
            Err(denial) => {
                must_stand(&denial, stale)?;
                let operation = match read {
                    Read::AttributeList => "Get Attribute List",
                    Read::Material | Read::Attributes => "Get Attributes",
                };
                Err(self.deny(actor, operation, Some(uid), denial)?)
            }
        }
    }

    /// Searches among the objects that the user may see.
    pub(crate) async fn locate(
        &self,
        actor: &Actor,
        query: &Query,
    ) -> Result<Pending<Found>, Refusal> {
        let stale = self.freshness().await?;
        let now = self.now();
        if stale.is_none() && self.is_due() {
            let node = Actor::Node(self.node);
            Box::pin(self.change(&node, Ask::ApplySchedule, None)).await?;
        }
        if query.name().is_none() {
            self.projections.catch_up().await?;
        }
        let seen = self.machine.state().records();
        let found = locate::locate(&self.machine, &self.projections, actor, query, now)?;
        let count = u32::try_from(found.uids.len()).unwrap_or(u32::MAX);
        let access = Access::Located {
            found: count,
            stale,
        };
        let receipt = self.record(actor, seen, now, access)?;
        Ok(Pending {
            answer: found,
            receipt: Some(receipt),
        })
    }

    /// Whether an operator may have something done that is no ask, or that prepares one. It is
    /// judged by what this node knows: the console must work when no quorum answers.
    pub fn permit_operator(&self, actor: &Actor, right: domain::Right) -> Result<(), Refusal> {
        let now = self.now();
        let permitted = {
            let state = self.machine.state();
            domain::permit_operator(&state, actor, right, now)
        };
        match permitted {
            Ok(()) => Ok(()),
            Err(denial) => Err(self.deny(actor, right.name(), None, denial)?),
        }
    }

    /// Records a question about the server itself.
    pub fn asked(&self, actor: &Actor, operation: &str) -> Result<Pending<()>, Refusal> {
        let access = Access::Asked {
            operation: operation.to_owned(),
        };
        let receipt = self.record(actor, self.seen(), self.now(), access)?;
        Ok(Pending {
            answer: (),
            receipt: Some(receipt),
        })
    }

    /// Records a refusal and hands it back for the answer.
    pub fn deny(
        &self,
        actor: &Actor,
        operation: &str,
        object: Option<&Uid>,
        denial: Denial,
    ) -> Result<Refusal, Fault> {
        let object = object.map(ToString::to_string);
        self.deny_named(actor, operation, object.as_deref(), denial)
    }

    /// As [`Engine::deny`], for an object by the name that the client gave it.
    pub fn deny_named(
        &self,
        actor: &Actor,
        operation: &str,
        object: Option<&str>,
        denial: Denial,
    ) -> Result<Refusal, Fault> {
        let access = Access::Refused {
            operation: operation.to_owned(),
            object: object.map(|name| name.chars().take(OBJECT_NAME_CHARS_MAX).collect()),
            denial: denial.clone(),
        };
        let receipt = self.record(actor, self.seen(), self.now(), access)?;
        Ok(Refusal::Denied {
            denial,
            receipt: Some(receipt),
        })
    }

    /// Hands a record to the access log; the receipt tells when it is durable.
    pub fn record(
        &self,
        actor: &Actor,
        seen: u64,
        time: Time,
        access: Access,
    ) -> Result<Receipt, NotRecorded> {
        self.access.write(&AccessRecord {
            v: 1,
            time,
            actor: actor.clone(),
            seen,
            access,
        })
    }

    /// Records of the cluster log that an answer given now is decided on.
    pub fn seen(&self) -> u64 {
        self.machine.state().records()
    }
}
