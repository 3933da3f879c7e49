//! Search: which objects that a user may see have all these attributes (KMIP 2.1 §6.1.27).
//!
//! The most selective condition picks candidates from the search indexes; every candidate is then
//! checked against the state, by every condition. A condition that cannot be understood never
//! widens the result: it is refused, or matches nothing.

use crate::clock;
use crate::machine::LedgerMachine;
use crate::projections::{Lookup, Projections, QueryFault, Scope, is_indexed};
use domain::attribute::tag;
use domain::{Actor, Attribute, AttributeName, LifecycleState, Object, Tag, Time, Uid, Value};
use std::collections::BTreeSet;

/// Objects named in one answer when the client does not say how many (ABUSE A30).
const ITEMS_DEFAULT: u32 = 1_000;

/// Objects named in one answer at most: 36 bytes each keep it within the largest message.
const ITEMS_MAX: u32 = 10_000;

/// Time one search may take, in milliseconds; what was found by then is answered.
const SEARCH_TIME_MS_MAX: i64 = 2_000;

/// Candidates between two looks at the clock.
const CANDIDATES_PER_LOOK: u32 = 256;

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// Conditions; an object must meet all. Two values of one date attribute are a range.
    pub(crate) attributes: Vec<Attribute>,
    /// Names in the answer at most.
    pub(crate) maximum_items: Option<u32>,
    /// Matches to leave out first.
    pub(crate) offset_items: u32,
    /// Whether live objects are wanted.
    pub(crate) live: bool,
    /// Whether destroyed objects are wanted.
    pub(crate) destroyed: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The objects, newest first.
    pub(crate) uids: Vec<Uid>,
    /// How many match, when the search came to its end.
    pub(crate) total: Option<u32>,
}

/// Which conditions leave the fewest candidates, most telling first.
const SELECTIVITY: [Tag; 4] = [
    tag::APPLICATION_SPECIFIC_INFORMATION,
    tag::OBJECT_GROUP,
    tag::STATE,
    tag::OBJECT_TYPE,
];

/// Searches.
pub(crate) fn locate(
    machine: &LedgerMachine,
    projections: &Projections,
    actor: &Actor,
    query: &Query,
    now: Time,
) -> Result<Found, QueryFault> {
    let scopes = scopes(machine, actor);
    if let Some(uid) = named_uid(query) {
        return Ok(one(machine, actor, query, uid, now));
    }
    if let Some(name) = query.name() {
        return Ok(by_name(machine, actor, query, name, &scopes, now));
    }
    let lookup = Lookup {
        scopes,
        condition: most_selective(query).cloned(),
    };
    let wanted = query.maximum_items.unwrap_or(ITEMS_DEFAULT).min(ITEMS_MAX) as usize;
    let (mut found, mut matches, mut looked) = (Found::default(), 0u32, 0u32);
    let begun = clock::now().0;
    for candidate in projections.candidates(&lookup) {
        let uid = candidate?;
        looked += 1;
        if looked.is_multiple_of(CANDIDATES_PER_LOOK)
            && clock::now().0.saturating_sub(begun) > SEARCH_TIME_MS_MAX
        {
            return Ok(found);
        }
        if !matches_object(machine, actor, query, &uid, now) {
            continue;
        }
        matches += 1;
        if matches > query.offset_items && found.uids.len() < wanted {
            found.uids.push(uid);
        }
    }
    found.total = Some(matches);
    Ok(found)
}

impl Query {
    /// The name searched for, when only live objects are wanted: the law keeps those names unique
    /// for each owner, so the state itself answers, without the search indexes.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |a: &&Attribute| a.name == standard(tag::NAME);
        let Value::Structure(fields) = &self.attributes.iter().find(named)?.value else {
            return None;
        };
        let text = fields.iter().find_map(|(tag, value)| match value {
            Value::Text(text) if *tag == tag::NAME_VALUE => Some(text.as_str()),
            _ => None,
        });
        text.filter(|_| !self.destroyed)
    }
}

/// Objects of a name: at most one for each owner whose objects the actor may see.
fn by_name(
    machine: &LedgerMachine,
    actor: &Actor,
    query: &Query,
    name: &str,
    scopes: &[Scope],
    now: Time,
) -> Found {
    let candidates: BTreeSet<Uid> = {
        let state = machine.state();
        let of_scope = |scope: &Scope| -> Vec<Uid> {
            match scope {
                Scope::Owner(owner) => state.find_name(owner, name).into_iter().collect(),
                Scope::Group(group) => {
                    let members = state
                        .users()
                        .filter(|user| user.membership(group.as_str()).is_some());
                    members
                        .filter_map(|user| state.find_name(user.name(), name))
                        .collect()
                }
            }
        };
        scopes.iter().flat_map(of_scope).collect()
    };
    let matches: Vec<Uid> = candidates
        .into_iter()
        .rev()
        .filter(|uid| matches_object(machine, actor, query, uid, now))
        .collect();
    let wanted = query.maximum_items.unwrap_or(ITEMS_DEFAULT).min(ITEMS_MAX) as usize;
    let total = u32::try_from(matches.len()).ok();
    let uids = matches
        .into_iter()
        .skip(query.offset_items as usize)
        .take(wanted)
        .collect();
    Found { uids, total }
}

/// A search by identifier needs no index.
fn named_uid(query: &Query) -> Option<Option<Uid>> {
    let named = query
        .attributes
        .iter()
        .find(|a| a.name == standard(tag::UNIQUE_IDENTIFIER))?;
    match &named.value {
        Value::Text(text) => Some(Uid::parse(text)),
        _ => Some(None),
    }
}

fn one(
    machine: &LedgerMachine,
    actor: &Actor,
    query: &Query,
    uid: Option<Uid>,
    now: Time,
) -> Found {
    let uid = uid.filter(|uid| matches_object(machine, actor, query, uid, now));
    let total = u32::from(uid.is_some());
    let wanted = query.offset_items == 0 && query.maximum_items != Some(0);
    Found {
        uids: uid.filter(|_| wanted).into_iter().collect(),
        total: Some(total),
    }
}

const fn standard(tag: Tag) -> AttributeName {
    AttributeName::Standard(tag)
}

/// Where an actor's objects can lie.
fn scopes(machine: &LedgerMachine, actor: &Actor) -> Vec<Scope> {
    let state = machine.state();
    match actor {
        Actor::User { name, .. } => {
            let groups = state
                .user(name)
                .map(|u| u.groups().to_vec())
                .unwrap_or_default();
            let groups = groups.into_iter().map(|m| Scope::Group(m.group));
            std::iter::once(Scope::Owner(name.clone()))
                .chain(groups)
                .collect()
        }
        // An operator sees what everybody has.
        Actor::Operator { .. } | Actor::Node(_) => state
            .users()
            .map(|user| Scope::Owner(user.name().clone()))
            .collect(),
        Actor::Unknown { .. } => Vec::new(),
    }
}

fn most_selective(query: &Query) -> Option<&Attribute> {
    let rank = |attribute: &&Attribute| match &attribute.name {
        AttributeName::Vendor { .. } => 1,
        AttributeName::Standard(tag) => SELECTIVITY
            .iter()
            .position(|t| t == tag)
            .unwrap_or(SELECTIVITY.len()),
    };
    query
        .attributes
        .iter()
        .filter(|a| is_indexed(&a.name))
        .min_by_key(rank)
}

fn matches_object(
    machine: &LedgerMachine,
    actor: &Actor,
    query: &Query,
    uid: &Uid,
    now: Time,
) -> bool {
    let state = machine.state();
    let Some(object) = state.object(uid) else {
        return false;
    };
    let gone = matches!(
        object.state_at(now),
        LifecycleState::Destroyed | LifecycleState::DestroyedCompromised
    );
    (if gone { query.destroyed } else { query.live })
        && domain::may_see(&state, actor, object)
        && meets(object, &query.attributes, now)
}

/// Whether the object has all the attributes.
fn meets(object: &Object, conditions: &[Attribute], now: Time) -> bool {
    let held = object.attributes(now);
    conditions.iter().all(|condition| {
        if is_date(&condition.value) {
            return date_in_range(&held, conditions, condition);
        }
        held.iter()
            .any(|h| h.name == condition.name && value_meets(h, &condition.value))
    })
}

fn value_meets(held: &Attribute, wanted: &Value) -> bool {
    match (&held.name, &held.value, wanted) {
        // Masks: every bit asked for must be there (KMIP 2.1 §6.1.27).
        (
            AttributeName::Standard(tag::CRYPTOGRAPHIC_USAGE_MASK | tag::PROTECTION_STORAGE_MASK),
            Value::Integer(held),
            Value::Integer(wanted),
        ) => held & wanted == *wanted,
        // Names: the type may be left out of the comparison only if the client left it out.
        (_, Value::Structure(held), Value::Structure(wanted)) => {
            wanted.iter().all(|field| held.contains(field))
        }
        (_, held, wanted) => held == wanted,
    }
}

fn is_date(value: &Value) -> bool {
    matches!(value, Value::DateTime(_))
}

/// One date must be equal; two of one attribute are the ends of a range, both included.
fn date_in_range(held: &[Attribute], conditions: &[Attribute], condition: &Attribute) -> bool {
    let dates = |list: &[Attribute]| -> Vec<i64> {
        let of_name = list.iter().filter(|a| a.name == condition.name);
        of_name
            .filter_map(|a| match a.value {
                Value::DateTime(s) => Some(s),
                _ => None,
            })
            .collect()
    };
    let ends = dates(conditions);
    let (from, to) = (ends.iter().min(), ends.iter().max());
    dates(held)
        .iter()
        .any(|date| from <= Some(date) && Some(date) <= to)
}
