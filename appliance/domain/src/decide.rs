//! The decision: what follows from a command in a state.
//!
//! [`decide`] is total: it gives the events that happen, or the one event that says why not. It
//! runs when a command is applied, on every node, in the order of the log. [`admit`] asks the same
//! question before anything is proposed, by the same code, and says what the proposing node must
//! supply. So what `admit` refuses, `decide` refuses with the same denial in the same state; only
//! what was supplied ([`Facts`]) can be refused by `decide` alone.
//!
//! A command gives at least one event, except that these say nothing when they change nothing:
//! asks of the staff that repeat what is so already (Put User, Add Log Key, Confirm Reseal, Remove
//! Node and their like), Apply Schedule when nothing is due, and any command that was carried out
//! before ([`Facts::once`]; `admit` does not see that and may refuse what `decide` lets pass).

mod administrators;
mod attributes;
mod cluster;
mod integrity;
mod machine;
mod membership;
mod objects;
mod salvage;
mod settings;
mod transfers;

pub use objects::SCHEDULED_PER_COMMAND_MAX;

use crate::administrator::check_ask;
use crate::object::value_bytes;
use crate::permission::{Hand, Who, identify};
use crate::{Actor, Ask, Attribute, AttributeName, Command, Denial, Event, Facts, State, Time};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use objects::NewObject;
use salvage::Salvaged;

/// What the proposing node must supply with an ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A fresh identifier. Salvage names its own ([`Ask::uid`]) and needs material only.
    pub uid: bool,
    /// So many random bits, sealed under the current epoch.
    pub generate_bits: Option<u32>,
    /// The material the client brought, sealed under the current epoch.
    pub material: bool,
}

/// Decides a command.
pub fn decide(state: &State, command: &Command) -> Vec<Event> {
    if is_repeated(state, command) {
        return vec![];
    }
    let planned = plan(state, &command.actor, &command.ask, command.time);
    match planned.and_then(|plan| plan.complete(state, &command.facts)) {
        Ok(events) => events,
        Err(denial) => vec![refused(&command.ask, denial)],
    }
}

/// Whether an ask would be granted now, and what to supply with it.
///
/// # Errors
/// The denial with which [`decide`] would refuse it.
pub fn admit(state: &State, actor: &Actor, ask: &Ask, now: Time) -> Result<Needs, Denial> {
    Ok(match plan(state, actor, ask, now)? {
        Plan::Events(_) => Needs::default(),
        Plan::Object(new) => new.needs(),
        Plan::Salvage(_) => Salvaged::needs(),
    })
}

/// Whether an actor, proven, says again what was carried out already.
fn is_repeated(state: &State, command: &Command) -> bool {
    command.facts.once.is_some_and(|once| {
        state.repeated(&command.actor, &once).is_some()
            && identify(state, &command.actor, command.time).is_ok()
    })
}

/// The event of a refusal.
fn refused(ask: &Ask, denial: Denial) -> Event {
    Event::Refused {
        ask: ask.name().into(),
        uid: ask.uid().copied(),
        denial,
    }
}

/// What was found to follow from an ask.
enum Plan {
    /// These events.
    Events(Vec<Event>),
    /// A new object, once identifier and material are there.
    Object(NewObject),
    /// An object of an old member, once its material is there.
    Salvage(Salvaged),
}

impl Plan {
    fn complete(self, state: &State, facts: &Facts) -> Result<Vec<Event>, Denial> {
        match self {
            Self::Events(events) => Ok(events),
            Self::Object(new) => Ok(vec![new.complete(state, facts)?]),
            Self::Salvage(object) => Ok(vec![object.complete(state, facts)?]),
        }
    }
}

/// The whole decision but for what the outside world supplies.
fn plan(state: &State, actor: &Actor, ask: &Ask, now: Time) -> Result<Plan, Denial> {
    if state.cluster().is_none() && !matches!(ask, Ask::FoundCluster { .. }) {
        let reason = "the cluster has not been founded".into();
        return Err(Denial::OutOfOrder { reason });
    }
    let who = identify(state, actor, now)?;
    check_ask(state, actor, ask, now)?;
    check_understood(state, ask)?;
    if let Some(hand) = Hand::of(state, actor, &who)
        && let Some(planned) = of_objects(state, hand, ask, now)
    {
        return planned;
    }
    match (ask, who) {
        (Ask::Salvage { .. }, Who::Staff) => {
            cluster::check_voice(state, actor, ask)?;
            salvage::salvage(state, ask, now).map(Plan::Salvage)
        }
        (_, Who::Staff) => cluster::administer(state, actor, ask, now).map(Plan::Events),
        (_, Who::User(_)) => Err(Denial::NotPermitted),
    }
}

/// What users do with objects, and officers for them; `None` when it is neither's to do.
fn of_objects(state: &State, hand: Hand, ask: &Ask, now: Time) -> Option<Result<Plan, Denial>> {
    if state.divergence().is_some() && is_of_objects(hand, ask) {
        return Some(Err(Denial::Diverged));
    }
    Some(match (ask, hand) {
        (Ask::Create { attributes }, Hand::User(user)) => {
            objects::create(state, user, attributes, now).map(Plan::Object)
        }
        (Ask::CreateFor { owner, attributes }, Hand::Officer) => {
            let owner = state.user_index(owner).ok_or(Denial::UnknownUser);
            owner
                .and_then(|owner| objects::create(state, owner, attributes, now))
                .map(Plan::Object)
        }
        (
            Ask::Register {
                object_type,
                attributes,
            },
            Hand::User(user),
        ) => objects::register(state, user, *object_type, attributes, now).map(Plan::Object),
        (Ask::Activate { uid }, hand) => objects::activate(state, hand, uid, now).map(Plan::Events),
        (
            Ask::Revoke {
                uid,
                reason,
                message,
                compromise_occurred,
            },
            hand,
        ) => {
            let why = objects::Revocation {
                reason: *reason,
                message: message.as_deref(),
                compromise_occurred: *compromise_occurred,
            };
            objects::revoke(state, hand, uid, &why, now).map(Plan::Events)
        }
        (Ask::Destroy { uid }, hand) => objects::destroy(state, hand, uid, now).map(Plan::Events),
        (
            Ask::AddAttribute { .. }
            | Ask::ModifyAttribute { .. }
            | Ask::SetAttribute { .. }
            | Ask::DeleteAttribute { .. },
            Hand::User(user),
        ) => attributes::change(state, user, ask, now).map(Plan::Events),
        _ => return None,
    })
}

/// Whether an ask is about objects, so that it waits while members differ.
const fn is_of_objects(hand: Hand, ask: &Ask) -> bool {
    match hand {
        // Users do nothing else.
        Hand::User(_) => true,
        Hand::Officer => matches!(
            ask,
            Ask::CreateFor { .. } | Ask::Activate { .. } | Ask::Revoke { .. } | Ask::Destroy { .. }
        ),
    }
}

/// A member that does not understand an ask could not apply it, and would differ from then on.
fn check_understood(state: &State, ask: &Ask) -> Result<(), Denial> {
    let needs = ask.format();
    match state.oldest_format() {
        Some((node, has)) if has < needs => Err(Denial::NeedsNewerMembers { needs, node, has }),
        _ => Ok(()),
    }
}

/// Bytes that an event may take of a record (60 KiB), leaving 4 KiB for actor, time and numbers.
const EVENT_BYTES_MAX: usize = crate::RECORD_BYTES_MAX - 4 * 1024;

/// At most as many bytes as these attributes take in a record, and not many more: each field and
/// each name has a wrapping of up to 40 bytes in CBOR.
fn encoded_bytes_max(attributes: &[Attribute]) -> usize {
    attributes
        .iter()
        .map(|attribute| {
            let name = match &attribute.name {
                AttributeName::Standard(_) => 0,
                AttributeName::Vendor { vendor, name } => vendor.len() + name.len(),
            };
            name + 80 + value_bytes(&attribute.value) + 40 * fields(&attribute.value)
        })
        .sum()
}

fn fields(value: &crate::Value) -> usize {
    match value {
        crate::Value::Structure(inner) => 1 + inner.iter().map(|(_, v)| fields(v)).sum::<usize>(),
        _ => 1,
    }
}

/// Refuses attributes that would not fit into one record.
fn check_record_size(attributes: &[Attribute]) -> Result<(), Denial> {
    let bytes = encoded_bytes_max(attributes);
    if bytes <= EVENT_BYTES_MAX {
        return Ok(());
    }
    let limit = format!("the attributes take {bytes} bytes; {EVENT_BYTES_MAX} fit into a record");
    Err(Denial::LimitReached { limit })
}
