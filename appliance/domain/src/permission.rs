//! Who may see and do what.
//!
//! The owner of an object may do everything with it. An object whose Object Group names a key
//! sharing group *of which its owner is a member* is shared with the other members: role Use may
//! locate and read it, role Manage may also change it. To everybody else it does not exist (ABUSE
//! A8): the answer is the same as for an identifier that was never given out, and only the log
//! knows the difference. Operators see objects and their attributes, never material. Those with the
//! permission for keys make keys for a user, who owns them, and activate, revoke and destroy any;
//! they set no attributes, and what they made they cannot read either
//! (docs/decisions/0021). What else an administrator may is said in `administrator`.

use crate::administrator::{Right, permit_operator, speaker};
use crate::member::DOORS_FORMAT;
use crate::object::{Object, UserIndex};
use crate::{Actor, Denial, Fingerprint, GroupRole, Name, Read, State, Time, Uid};

/// How an actor reaches an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Shared with role Use.
    Use,
    /// Shared with role Manage.
    Manage,
    /// Its own.
    Owner,
}

/// Whether a certificate proves a user now: it was issued here, to this user, was not revoked and
/// has not expired. What only looks like a certificate of the Local CA is not accepted.
///
/// # Errors
/// [`Denial::UnknownUser`], [`Denial::CertificateNotAccepted`].
pub fn authenticate(
    state: &State,
    name: &Name,
    certificate: &Fingerprint,
    now: Time,
) -> Result<(), Denial> {
    if state.user_index(name).is_none() {
        return Err(Denial::UnknownUser);
    }
    match state.certificate(certificate) {
        Some((user, issued)) if user == name && !issued.revoked && now <= issued.not_after => {
            Ok(())
        }
        _ => Err(Denial::CertificateNotAccepted),
    }
}

/// Who an actor is, after its proof was looked at.
pub(crate) enum Who {
    /// A user, proven.
    User(UserIndex),
    /// An operator, or a member of this cluster.
    Staff,
}

/// Looks at the proof that comes with an actor.
pub(crate) fn identify(state: &State, actor: &Actor, now: Time) -> Result<Who, Denial> {
    match actor {
        Actor::User {
            name, certificate, ..
        } => {
            authenticate(state, name, certificate, now)?;
            state
                .user_index(name)
                .map(Who::User)
                .ok_or(Denial::UnknownUser)
        }
        Actor::Operator { name, door } => speaker(state, name, *door).map(|_| Who::Staff),
        Actor::Node(node) if state.cluster().is_none() || state.member(*node).is_some() => {
            Ok(Who::Staff)
        }
        Actor::Node(_) | Actor::Unknown { .. } => Err(Denial::UnknownUser),
    }
}

/// By whose right an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// A user's: what it reaches.
    User(UserIndex),
    /// That of an operator whose permissions were looked at: the life of every object.
    Officer,
}

impl Hand {
    /// Whose right counts for objects. Operators have had none before a certain format, and an
    /// older member would still refuse what a newer one grants.
    pub(crate) fn of(state: &State, actor: &Actor, who: &Who) -> Option<Self> {
        match (who, actor) {
            (Who::User(user), _) => Some(Self::User(*user)),
            (Who::Staff, Actor::Operator { .. }) if state.format() >= DOORS_FORMAT => {
                Some(Self::Officer)
            }
            (Who::Staff, _) => None,
        }
    }
}

/// How a user reaches an object; `None` when it must not know of it.
pub(crate) fn reach(state: &State, user: UserIndex, object: &Object) -> Option<Reach> {
    if object.owner == user {
        return Some(Reach::Owner);
    }
    let (owner, user) = (state.user_at(object.owner)?, state.user_at(user)?);
    if user.groups().is_empty() {
        return None;
    }
    object
        .groups()
        .filter(|group| owner.membership(group).is_some())
        .filter_map(|group| user.membership(group))
        .map(|membership| match membership.role {
            GroupRole::Use => Reach::Use,
            GroupRole::Manage => Reach::Manage,
        })
        .max()
}

/// An object and how it is reached. An officer is no owner: attributes that are the owner's alone
/// stay so.
///
/// # Errors
/// [`Denial::NotFound`].
pub(crate) fn find<'a>(
    state: &'a State,
    hand: Hand,
    uid: &Uid,
) -> Result<(&'a Object, Reach), Denial> {
    let object = state
        .object(uid)
        .ok_or(Denial::NotFound { forbidden: false })?;
    let reach = match hand {
        Hand::User(user) => reach(state, user, object),
        Hand::Officer => Some(Reach::Manage),
    };
    match reach {
        Some(reach) => Ok((object, reach)),
        None => Err(Denial::NotFound { forbidden: true }),
    }
}

/// Whether something of an object may be read: the question before every Get, Get Attributes and
/// Get Attribute List.
///
/// KMIP gives out material in every state but the destroyed ones (what a key may be *used* for in
/// a state is the client's affair, KMIP 1.4 §3.22), and attributes of destroyed objects too.
///
/// # Errors
/// [`Denial::UnknownUser`], [`Denial::CertificateNotAccepted`], [`Denial::NotFound`], those of
/// [`permit_operator`]; for material [`Denial::NotPermitted`] to operators, [`Denial::Destroyed`],
/// [`Denial::NotExtractable`] and [`Denial::Sensitive`] (KMIP 1.4 §3.48, §3.50: it would have to be
/// wrapped), [`Denial::NotApproved`] in approved-algorithms mode.
pub fn permit<'a>(
    state: &'a State,
    actor: &Actor,
    read: Read,
    uid: &Uid,
    now: Time,
) -> Result<&'a Object, Denial> {
    let object = match (identify(state, actor, now)?, read) {
        (Who::User(user), _) => find(state, Hand::User(user), uid)?.0,
        (Who::Staff, Read::Attributes | Read::AttributeList) => {
            if let Actor::Operator { .. } = actor {
                permit_operator(state, actor, Right::SeeKeys, now)?;
            }
            let object = state.object(uid);
            object.ok_or(Denial::NotFound { forbidden: false })?
        }
        (Who::Staff, Read::Material) => return Err(Denial::NotPermitted),
    };
    if read == Read::Material {
        if object.is_tombstone() {
            return Err(Denial::Destroyed);
        }
        if !object.is_extractable() {
            return Err(Denial::NotExtractable);
        }
        if object.is_sensitive() {
            return Err(Denial::Sensitive);
        }
        if state.is_approved_mode() {
            let approved = object.check_approved();
            approved.map_err(|what| Denial::NotApproved { what })?;
        }
    }
    Ok(object)
}

/// Whether Locate may name an object to an actor who was already authenticated. Tombstones may be
/// named too; whether they are asked for (Storage Status Mask) is the door's question.
pub fn may_see(state: &State, actor: &Actor, object: &Object) -> bool {
    match actor {
        Actor::User { name, .. } => state
            .user_index(name)
            .is_some_and(|user| reach(state, user, object).is_some()),
        Actor::Operator { name, door } => match speaker(state, name, *door) {
            Ok(Some((_, administrator))) => Right::SeeKeys
                .needs()
                .without(administrator.permissions)
                .is_empty(),
            who => who.is_ok(),
        },
        Actor::Node(node) => state.member(*node).is_some(),
        Actor::Unknown { .. } => false,
    }
}
