//! Decisions about objects: how they come to be, live and end.

use crate::attribute::{self, ATTRIBUTES, AttributeRule, SetBy, shape, tag};
use crate::lifecycle::{self, Dates, Verb};
use crate::object::{Object, UserIndex};
use crate::permission::{Hand, Reach, find};
use crate::{
    Attribute, AttributeName, Cause, Denial, Event, Facts, LifecycleState, Material, Name,
    ObjectType,
};
use crate::{State, Tag, Time, Uid, Value, algorithm};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Objects that one Apply Schedule moves: two events each, so that a command stays below a
/// mebibyte of records and other commands get their turn.
pub const SCHEDULED_PER_COMMAND_MAX: usize = 1_000;

/// An object that is allowed to come to be.
pub(super) struct NewObject {
    object_type: ObjectType,
    owner: Name,
    registered: bool,
    state: LifecycleState,
    attributes: Vec<Attribute>,
    /// Random bits to make; `None` when the client brought the material.
    generate_bits: Option<u32>,
}

/// Which way an object comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Create,
    Register,
}

/// Create: a symmetric key made here (KMIP 1.4 §4.1).
pub(super) fn create(
    state: &State,
    user: UserIndex,
    attributes: &[Attribute],
    now: Time,
) -> Result<NewObject, Denial> {
    let mut new = prepare(
        state,
        user,
        Way::Create,
        ObjectType::SymmetricKey,
        attributes,
        now,
    )?;
    let (code, bits) = (key_algorithm(&new.attributes), key_length(&new.attributes));
    new.generate_bits = Some(algorithm::check_create(code, bits)?);
    check_mode(state, code, bits)?;
    check_together(new.object_type, &new.attributes, None)?;
    Ok(new)
}

/// Register: an object that the client brings (KMIP 1.4 §4.3). Its material is not judged.
pub(super) fn register(
    state: &State,
    user: UserIndex,
    object_type: ObjectType,
    attributes: &[Attribute],
    now: Time,
) -> Result<NewObject, Denial> {
    let new = prepare(state, user, Way::Register, object_type, attributes, now)?;
    if value_of(&new.attributes, tag::CRYPTOGRAPHIC_ALGORITHM).is_some() {
        let (code, bits) = (key_algorithm(&new.attributes), key_length(&new.attributes));
        check_mode(state, code, bits)?;
    }
    check_together(new.object_type, &new.attributes, None)?;
    Ok(new)
}

fn prepare(
    state: &State,
    user: UserIndex,
    way: Way,
    object_type: ObjectType,
    given: &[Attribute],
    now: Time,
) -> Result<NewObject, Denial> {
    let owner = state.user_at(user).ok_or(Denial::UnknownUser)?;
    let policy = state.policy();
    if owner.live_objects() >= policy.objects_per_owner_max {
        let limit = format!("{} objects of one owner", policy.objects_per_owner_max);
        return Err(Denial::LimitReached { limit });
    }
    check_count(state, given.len())?;
    let attributes = accept(state, way, object_type, given)?;
    super::check_record_size(&attributes)?;
    for row in ATTRIBUTES {
        let required = match way {
            Way::Create => row.required_to_create,
            Way::Register => row.required_to_register.contains(object_type),
        };
        if required && !attributes.iter().any(|a| a.name == row.attribute_name()) {
            return Err(Denial::AttributeMissing {
                name: row.attribute_name(),
            });
        }
    }
    for attribute in &attributes {
        if let Some(name) = name_value(attribute) {
            check_name_is_free(state, user, name, None)?;
        }
    }
    let bits = key_length(&attributes);
    if object_type == ObjectType::SymmetricKey && bits < policy.key_bits_min {
        let reason = format!(
            "{bits} bits; the shortest key allowed has {}",
            policy.key_bits_min
        );
        return Err(Denial::InvalidField { reason });
    }
    Ok(NewObject {
        object_type,
        owner: owner.name().clone(),
        registered: way == Way::Register,
        state: dates(&attributes).effective(LifecycleState::PreActive, now),
        attributes,
        generate_bits: None,
    })
}

/// Refuses what is not approved, in approved-algorithms mode. What has no algorithm (a password, an
/// opaque object) is not judged.
fn check_mode(state: &State, code: u32, bits: u32) -> Result<(), Denial> {
    if !state.is_approved_mode() {
        return Ok(());
    }
    algorithm::check_approved(code, bits).map_err(|what| Denial::NotApproved { what })
}

/// Checks each attribute by its rule, and that none is given twice.
fn accept(
    state: &State,
    way: Way,
    object_type: ObjectType,
    given: &[Attribute],
) -> Result<Vec<Attribute>, Denial> {
    let bytes_max = bytes_max(state);
    let mut accepted: Vec<Attribute> = Vec::with_capacity(given.len());
    for attribute in given {
        let rule = attribute::rule_for(&attribute.name)?;
        let settable = match rule.set_by {
            SetBy::Server => false,
            SetBy::Door => way == Way::Register,
            SetBy::Creation | SetBy::Client => true,
        };
        if !settable {
            return Err(Denial::AttributeReadOnly {
                name: attribute.name.clone(),
            });
        }
        attribute::check_value(rule, attribute, object_type, bytes_max)?;
        let mut attribute = attribute.clone();
        attribute::complete(rule, &mut attribute);
        check_instance(rule, &attribute, &accepted)?;
        accepted.push(attribute);
    }
    Ok(accepted)
}

/// Refuses a second instance of a single attribute, and the same instance twice.
pub(super) fn check_instance<'a>(
    rule: &AttributeRule,
    attribute: &Attribute,
    others: impl IntoIterator<Item = &'a Attribute>,
) -> Result<(), Denial> {
    for other in others
        .into_iter()
        .filter(|other| other.name == attribute.name)
    {
        if !rule.many {
            return Err(Denial::AttributeSingleInstance {
                name: attribute.name.clone(),
            });
        }
        let same_name = name_value(other).is_some() && name_value(other) == name_value(attribute);
        if same_name {
            return Err(exists("name"));
        }
        if other.value == attribute.value {
            return Err(exists("attribute"));
        }
    }
    Ok(())
}

pub(super) fn exists(what: &str) -> Denial {
    Denial::AlreadyExists { what: what.into() }
}

pub(super) fn bytes_max(state: &State) -> usize {
    usize::try_from(state.policy().attribute_value_bytes_max).unwrap_or(usize::MAX)
}

/// Refuses more attribute instances than policy allows on one object.
pub(super) fn check_count(state: &State, count: usize) -> Result<(), Denial> {
    let most = state.policy().attributes_per_object_max;
    if u32::try_from(count).is_ok_and(|count| count <= most) {
        return Ok(());
    }
    Err(Denial::LimitReached {
        limit: format!("{most} attributes of one object"),
    })
}

/// The Name Value, when the attribute is a Name.
pub(super) fn name_value(attribute: &Attribute) -> Option<&str> {
    if attribute.name != AttributeName::Standard(tag::NAME) {
        return None;
    }
    match shape::field(&attribute.value, tag::NAME_VALUE)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Names are unique among the living objects of one owner (KMIP 1.4 §3.2 leaves the scope to the
/// server). `but` is the object that may have the name already.
pub(super) fn check_name_is_free(
    state: &State,
    owner: UserIndex,
    name: &str,
    but: Option<&Uid>,
) -> Result<(), Denial> {
    match state.find_name_of(owner, name) {
        Some(uid) if Some(&uid) != but => Err(exists("name")),
        _ => Ok(()),
    }
}

fn value_of(attributes: &[Attribute], tag: Tag) -> Option<&Value> {
    let name = AttributeName::Standard(tag);
    attributes.iter().find(|a| a.name == name).map(|a| &a.value)
}

fn date_of(attributes: &[Attribute], tag: Tag) -> Option<i64> {
    match value_of(attributes, tag)? {
        Value::DateTime(seconds) => Some(*seconds),
        _ => None,
    }
}

fn dates(attributes: &[Attribute]) -> Dates {
    Dates {
        activation: date_of(attributes, tag::ACTIVATION_DATE),
        deactivation: date_of(attributes, tag::DEACTIVATION_DATE),
    }
}

fn key_algorithm(attributes: &[Attribute]) -> u32 {
    match value_of(attributes, tag::CRYPTOGRAPHIC_ALGORITHM) {
        Some(Value::Enumeration(code)) => *code,
        _ => 0,
    }
}

fn key_length(attributes: &[Attribute]) -> u32 {
    match value_of(attributes, tag::CRYPTOGRAPHIC_LENGTH) {
        Some(Value::Integer(bits)) => u32::try_from(*bits).unwrap_or(0),
        _ => 0,
    }
}

/// Dates of which the first must not lie after the second (KMIP 1.4 §3.24 to §3.27).
const DATE_ORDER: &[(Tag, Tag)] = &[
    (tag::ACTIVATION_DATE, tag::PROCESS_START_DATE),
    (tag::ACTIVATION_DATE, tag::DEACTIVATION_DATE),
    (tag::PROCESS_START_DATE, tag::DEACTIVATION_DATE),
    (tag::PROTECT_STOP_DATE, tag::DEACTIVATION_DATE),
];

/// Rules that several attributes of one object must keep together. `changed` names the attribute
/// that is new; rules that do not look at it are left alone, because what the server did by itself
/// (Activate and Revoke set dates too) must not stand in the way of another change.
pub(super) fn check_together(
    object_type: ObjectType,
    attributes: &[Attribute],
    changed: Option<&AttributeName>,
) -> Result<(), Denial> {
    let looks_at = |tag: Tag| changed.is_none_or(|name| *name == AttributeName::Standard(tag));
    for (first, second) in DATE_ORDER {
        if !looks_at(*first) && !looks_at(*second) {
            continue;
        }
        let pair = date_of(attributes, *first).zip(date_of(attributes, *second));
        if pair.is_some_and(|(first, second)| first > second) {
            let (first, second) = (title(*first), title(*second));
            let reason = format!("{first} lies after {second}");
            return Err(Denial::InvalidField { reason });
        }
    }
    let wanted = value_of(attributes, tag::QUANTUM_SAFE) == Some(&Value::Boolean(true));
    let (code, bits) = (key_algorithm(attributes), key_length(attributes));
    if wanted && object_type == ObjectType::SymmetricKey && !algorithm::is_quantum_safe(code, bits)
    {
        return Err(Denial::NotQuantumSafe);
    }
    Ok(())
}

fn title(tag: Tag) -> &'static str {
    attribute::rule(tag).map_or("", |row| row.name)
}

impl NewObject {
    pub(super) const fn needs(&self) -> super::Needs {
        super::Needs {
            uid: true,
            generate_bits: self.generate_bits,
            material: self.generate_bits.is_none(),
        }
    }

    /// Takes what the proposing node supplied.
    pub(super) fn complete(self, state: &State, facts: &Facts) -> Result<Event, Denial> {
        let (Some(uid), Some(material)) = (facts.uid, facts.material) else {
            let reason = "the proposing node supplied no identifier or no material".into();
            return Err(Denial::InvalidField { reason });
        };
        if state.object(&uid).is_some() {
            return Err(exists("unique identifier"));
        }
        if material.epoch != state.epoch() {
            return Err(Denial::StaleEpoch {
                current: state.epoch(),
            });
        }
        check_length(state, &material, self.generate_bits)?;
        Ok(Event::ObjectCreated {
            uid,
            object_type: self.object_type,
            owner: self.owner,
            registered: self.registered,
            material,
            state: self.state,
            attributes: self.attributes,
        })
    }
}

/// Material has the length that was to be made, or any up to the limit.
pub(super) fn check_length(
    state: &State,
    material: &Material,
    generate_bits: Option<u32>,
) -> Result<(), Denial> {
    let bytes = material.length_bytes;
    let most = state.policy().material_bytes_max;
    if bytes > most {
        let limit = format!("{most} bytes of material in one object, not {bytes}");
        return Err(Denial::LimitReached { limit });
    }
    let wrong = match generate_bits {
        Some(bits) => u64::from(bytes) * 8 != u64::from(bits),
        None => bytes == 0,
    };
    if wrong {
        let reason = format!("{bytes} bytes of material are not what was asked for");
        return Err(Denial::InvalidField { reason });
    }
    Ok(())
}

/// An object that is about to be changed.
pub(super) struct Subject<'a> {
    pub(super) object: &'a Object,
    pub(super) reach: Reach,
    /// The state that counts now.
    pub(super) state: LifecycleState,
    /// Transitions that dates have brought and that are not yet recorded: they come first.
    pub(super) events: Vec<Event>,
}

/// Finds an object that may be changed.
pub(super) fn subject<'a>(
    state: &'a State,
    hand: Hand,
    uid: &Uid,
    now: Time,
) -> Result<Subject<'a>, Denial> {
    let (object, reach) = find(state, hand, uid)?;
    if reach == Reach::Use {
        return Err(Denial::NotPermitted);
    }
    let events = due_events(object, now).collect();
    Ok(Subject {
        object,
        reach,
        state: object.state_at(now),
        events,
    })
}

fn due_events(object: &Object, now: Time) -> impl Iterator<Item = Event> + use<> {
    let uid = *object.uid();
    object.due_verbs(now).map(move |verb| match verb {
        Verb::Activate => Event::ObjectActivated {
            uid,
            cause: Cause::Schedule,
        },
        _ => Event::ObjectDeactivated {
            uid,
            cause: Cause::Schedule,
        },
    })
}

impl Subject<'_> {
    /// Where a verb leads, or why it does not.
    fn next(&self, verb: Verb) -> Result<LifecycleState, Denial> {
        lifecycle::next(self.state, verb).ok_or(if self.state.is_destroyed() {
            Denial::Destroyed
        } else {
            Denial::WrongState { state: self.state }
        })
    }

    pub(super) fn then(mut self, event: Event) -> Vec<Event> {
        self.events.push(event);
        self.events
    }
}

/// Activate (KMIP 1.4 §4.19).
pub(super) fn activate(
    state: &State,
    hand: Hand,
    uid: &Uid,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    let subject = subject(state, hand, uid, now)?;
    subject.next(Verb::Activate)?;
    Ok(subject.then(Event::ObjectActivated {
        uid: *uid,
        cause: Cause::Asked,
    }))
}

/// Why an object is revoked.
pub(super) struct Revocation<'a> {
    pub(super) reason: u32,
    pub(super) message: Option<&'a str>,
    pub(super) compromise_occurred: Option<Time>,
}

/// Revoke (KMIP 1.4 §4.20).
pub(super) fn revoke(
    state: &State,
    hand: Hand,
    uid: &Uid,
    why: &Revocation<'_>,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    let subject = subject(state, hand, uid, now)?;
    let invalid = |reason: String| Denial::InvalidField { reason };
    if !matches!(why.reason, 1..=7 | 0x8000_0000..) {
        return Err(invalid(format!(
            "{:#x} is no Revocation Reason Code",
            why.reason
        )));
    }
    if let Some(message) = why.message {
        shape::check_text(message, bytes_max(state))
            .map_err(|wrong| invalid(format!("Revocation Message: {wrong}")))?;
    }
    let verb = Verb::of_revocation(why.reason);
    if verb == Verb::RevokeOther && why.compromise_occurred.is_some() {
        let reason = "a Compromise Occurrence Date goes only with a compromise".into();
        return Err(invalid(reason));
    }
    let to = subject.next(verb)?;
    let compromise_occurred = match verb {
        // "If it is not possible to estimate …, the Initial Date" (KMIP 1.4 §3.29).
        Verb::RevokeCompromised => Some(
            why.compromise_occurred
                .unwrap_or(subject.object.initial_date()),
        ),
        _ => None,
    };
    Ok(subject.then(Event::ObjectRevoked {
        uid: *uid,
        reason: why.reason,
        message: why.message.map(Into::into),
        compromise_occurred,
        state: to,
    }))
}

/// Destroy (KMIP 1.4 §4.21).
pub(super) fn destroy(
    state: &State,
    hand: Hand,
    uid: &Uid,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    let subject = subject(state, hand, uid, now)?;
    let to = subject.next(Verb::Destroy)?;
    Ok(subject.then(Event::ObjectDestroyed {
        uid: *uid,
        state: to,
    }))
}

/// Apply Schedule: the transitions whose date has come, earliest first.
pub(super) fn apply_schedule(state: &State, now: Time) -> Vec<Event> {
    let mut events = vec![];
    for object in state.due_objects(now).take(SCHEDULED_PER_COMMAND_MAX) {
        events.extend(due_events(object, now));
    }
    events
}
