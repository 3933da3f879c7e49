//! A key as KMIP clients see it: from Create over Activate, Revoke and Destroy, with its bytes and
//! one attribute of the client's own as a register.
//!
//! An object is known here by the *name* that its Create was given, because a Create without an
//! answer has no identifier yet. Names are unique per owner, so asking again under the same name
//! must not make a second object.
//!
//! States and refusals are those of KMIP 1.4 §3.22 as `appliance/domain/src/lifecycle.rs` has
//! them, reduced to what this load does: no dates, Revoke always with Cessation of Operation.

use super::Model;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Create under this object's name, or the same again after no answer came.
    Create,
    /// Activate.
    Activate,
    /// Revoke: Cessation of Operation.
    Revoke,
    /// Destroy.
    Destroy,
    /// Get, which must be linearizable.
    Get,
    /// Get of a node that was allowed to answer from its own past (bounded-stale).
    StaleGet,
    /// Locate by name.
    Locate,
    /// Locate of a node that answered from its own past and said so in its log.
    StaleLocate,
    /// Add Attribute: the register, which must not be there yet.
    AddAttribute(String),
    /// Modify Attribute: the register, which must be there.
    ModifyAttribute(String),
    /// Get Attributes: the register.
    ReadAttribute,
    /// Get Attributes of a node that answered from its own past and said so in its log.
    StaleReadAttribute,
}

impl Ask {
    /// True for what changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get | Self::Locate | Self::ReadAttribute) || self.is_stale()
    }

    /// True for a read that need not be of the present.
    pub fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::StaleGet | Self::StaleLocate | Self::StaleReadAttribute
        )
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Success without anything else to say.
    Done,
    /// The identifier of the new object.
    Created(String),
    /// A digest of the bytes of the key; never the bytes.
    Key(u64),
    /// The identifiers of all objects with that name.
    Located(Vec<String>),
    /// The value of the register, if it is there.
    Attribute(Option<String>),
    /// A rule said no.
    Refused(Refusal),
}

/// Why a rule said no, as far as a client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such object.
    NotFound,
    /// It was destroyed; since KMIP 2.0 told apart from what never was.
    Destroyed,
    /// The object is in a state in which this cannot be done.
    WrongState,
    /// Something of that name is there already.
    NameTaken,
    /// The register is there already.
    AttributeExists,
    /// The register is not there.
    NoAttribute,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Created, not in use yet.
    PreActive,
    /// In use.
    Active,
    /// Revoked.
    Deactivated,
    /// The material is gone, for ever.
    Destroyed,
}

/// A key that was created.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Where it is in its life.
    pub phase: Phase,
    /// Its identifier, once somebody was told.
    pub uid: Option<String>,
    /// A digest of its bytes, once somebody saw them.
    pub material: Option<u64>,
    /// The register.
    pub attribute: Option<String>,
}

/// The life of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyLife;

impl Model for KeyLife {
    /// `None` before Create.
    type State = Option<Key>;
    type Ask = Ask;
    type Answer = Answer;

    fn initial(&self) -> Option<Key> {
        None
    }

    fn step(&self, state: &Option<Key>, ask: &Ask, answer: &Answer) -> Option<Option<Key>> {
        match (state, ask) {
            (None, _) => before_create(ask, answer),
            (Some(key), Ask::Create) => {
                (*answer == Answer::Refused(Refusal::NameTaken)).then(|| Some(key.clone()))
            }
            (Some(key), _) if ask.is_read() => read(key, ask, answer).map(Some),
            (Some(key), _) => match changed(key, ask) {
                Ok(after) => (*answer == Answer::Done).then_some(Some(after)),
                Err(refusal) => (*answer == Answer::Refused(refusal)).then(|| Some(key.clone())),
            },
        }
    }

    fn effect(&self, state: &Option<Key>, ask: &Ask) -> Option<Key> {
        match (state, ask) {
            (None, Ask::Create) => Some(new_key(None)),
            (None, _) => None,
            (Some(key), _) => Some(changed(key, ask).unwrap_or_else(|_| key.clone())),
        }
    }

    fn only_reads(&self, ask: &Ask) -> bool {
        ask.is_read()
    }

    fn left_alone(&self, ask: &Ask, answer: &Answer) -> bool {
        self.only_reads(ask) || matches!(answer, Answer::Refused(_))
    }
}

fn new_key(uid: Option<String>) -> Key {
    Key {
        phase: Phase::PreActive,
        uid,
        material: None,
        attribute: None,
    }
}

fn before_create(ask: &Ask, answer: &Answer) -> Option<Option<Key>> {
    match (ask, answer) {
        (Ask::Create, Answer::Created(uid)) => Some(Some(new_key(Some(uid.clone())))),
        (Ask::Create, _) => None,
        (Ask::Locate | Ask::StaleLocate, Answer::Located(found)) => {
            found.is_empty().then_some(None)
        }
        (_, Answer::Refused(Refusal::NotFound)) => Some(None),
        _ => None,
    }
}

/// What a read may say. It leaves behind what was learnt: identifier and bytes never change.
fn read(key: &Key, ask: &Ask, answer: &Answer) -> Option<Key> {
    let is_destroyed = key.phase == Phase::Destroyed;
    match (ask, answer) {
        (Ask::Get, Answer::Key(_)) if is_destroyed => None,
        (Ask::Get | Ask::StaleGet, Answer::Key(digest)) => learn_material(key, *digest),
        (Ask::Get | Ask::StaleGet, Answer::Refused(Refusal::Destroyed)) => {
            is_destroyed.then(|| key.clone())
        }
        // A node that is behind may not know the key yet, or any value that it had since.
        (_, Answer::Refused(Refusal::NotFound)) if ask.is_stale() => Some(key.clone()),
        (Ask::StaleReadAttribute, Answer::Attribute(_)) => Some(key.clone()),
        (Ask::StaleLocate, Answer::Located(found)) if found.is_empty() => Some(key.clone()),
        // Whether Locate names what is destroyed is for a storage status mask to say.
        (Ask::Locate | Ask::StaleLocate, Answer::Located(found)) => match found.as_slice() {
            [] => is_destroyed.then(|| key.clone()),
            [uid] => learn_uid(key, uid),
            _ => None,
        },
        (Ask::ReadAttribute, Answer::Attribute(value)) => {
            (*value == key.attribute).then(|| key.clone())
        }
        _ => None,
    }
}

fn learn_material(key: &Key, digest: u64) -> Option<Key> {
    let material = match key.material {
        Some(known) if known != digest => return None,
        _ => Some(digest),
    };
    Some(Key {
        material,
        ..key.clone()
    })
}

fn learn_uid(key: &Key, uid: &str) -> Option<Key> {
    match &key.uid {
        Some(known) if known != uid => None,
        _ => Some(Key {
            uid: Some(uid.to_owned()),
            ..key.clone()
        }),
    }
}

/// What a change makes of a key, or why it is refused.
fn changed(key: &Key, ask: &Ask) -> Result<Key, Refusal> {
    let mut after = key.clone();
    match (ask, key.phase) {
        (Ask::Create, _) => return Err(Refusal::NameTaken),
        _ if ask.is_read() => {}
        (_, Phase::Destroyed) => return Err(Refusal::Destroyed),
        (Ask::Activate, Phase::PreActive) => after.phase = Phase::Active,
        (Ask::Activate, _) => return Err(Refusal::WrongState),
        (Ask::Revoke, Phase::Active) => after.phase = Phase::Deactivated,
        (Ask::Revoke, _) => return Err(Refusal::WrongState),
        (Ask::Destroy, Phase::Active) => return Err(Refusal::WrongState),
        (Ask::Destroy, _) => after.phase = Phase::Destroyed,
        (Ask::AddAttribute(value), _) => match key.attribute {
            None => after.attribute = Some(value.clone()),
            Some(_) => return Err(Refusal::AttributeExists),
        },
        (Ask::ModifyAttribute(value), _) => match key.attribute {
            Some(_) => after.attribute = Some(value.clone()),
            None => return Err(Refusal::NoAttribute),
        },
        _ => {}
    }
    Ok(after)
}
