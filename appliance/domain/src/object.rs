//! A managed object as the state keeps it, and the attributes that follow from its fields.
//!
//! Memory, measured by `examples/decide_rate` at a million AES-256 keys with a name each: 356 bytes
//! per object, of which the fields take 128, the packed attributes 80, the places in the object map
//! and in the name index with the text of the name the rest.

use crate::algorithm::check_approved;
use crate::attribute::{self, Absent, Kept, Source, tag};
use crate::lifecycle::{Dates, Verb};
use crate::packed::{AttributeInstance, Packed};
use crate::{Attribute, AttributeName, LifecycleState, Material, Name, ObjectType, State};
use crate::{Time, Uid, Value};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Number of a user in the order in which users were added; it stands for the name in objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UserIndex(pub(crate) u32);

/// Values longer than this (in bytes, packed) are not kept on a tombstone. What an auditor asks of
/// a destroyed key (names, algorithm, dates, groups, why it was revoked) is shorter, and the whole
/// history stands in the log.
const TOMBSTONE_VALUE_BYTES_MAX: usize = 512;

/// A managed object; once destroyed, its tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub(crate) uid: Uid,
    pub(crate) owner: UserIndex,
    pub(crate) object_type: ObjectType,
    /// The state that is recorded; dates may have moved it on.
    pub(crate) state: LifecycleState,
    pub(crate) registered: bool,
    /// Whether Sensitive was ever false, and Extractable ever true.
    pub(crate) was_not_sensitive: bool,
    pub(crate) was_extractable: bool,
    /// `None` on a tombstone.
    pub(crate) material: Option<Material>,
    pub(crate) initial: Time,
    pub(crate) changed: Time,
    /// When the next transition by date is due; `Time(i64::MAX)` when none is.
    pub(crate) due: Time,
    pub(crate) attributes: Packed,
}

/// No transition by date is due, ever.
pub(crate) const NEVER: Time = Time(i64::MAX);

impl Object {
    /// Its identifier.
    pub const fn uid(&self) -> &Uid {
        &self.uid
    }

    /// Who owns it. `state` is the state it was taken from.
    pub fn owner<'a>(&self, state: &'a State) -> Option<&'a Name> {
        state.user_at(self.owner).map(|user| user.name())
    }

    /// Its kind.
    pub const fn object_type(&self) -> ObjectType {
        self.object_type
    }

    /// True when the client brought the material (Register), false when it was made here.
    pub const fn is_registered(&self) -> bool {
        self.registered
    }

    /// Its material, as far as the log knows it; `None` once it is destroyed.
    pub const fn material(&self) -> Option<&Material> {
        self.material.as_ref()
    }

    /// When it came to be (Initial Date).
    pub const fn initial_date(&self) -> Time {
        self.initial
    }

    /// When it last changed (Last Change Date).
    pub const fn last_change(&self) -> Time {
        self.changed
    }

    /// The state that the log records. Dates may have moved it on: see [`Object::state_at`].
    pub const fn recorded_state(&self) -> LifecycleState {
        self.state
    }

    /// The state that counts at a time (KMIP 1.4 §3.22: a date that has come counts).
    pub fn state_at(&self, now: Time) -> LifecycleState {
        if now < self.due {
            self.state
        } else {
            self.dates().effective(self.state, now)
        }
    }

    /// True when the material is gone.
    pub const fn is_tombstone(&self) -> bool {
        self.state.is_destroyed()
    }

    /// Its names (Name Value).
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        self.attributes.names()
    }

    /// The groups it is shared with (Object Group), as far as its owner is a member of them.
    pub fn groups(&self) -> impl Iterator<Item = &str> + '_ {
        self.attributes.texts(tag::OBJECT_GROUP)
    }

    /// The stored instances of an attribute, with their numbers. Attributes that follow from
    /// fields of the object are in [`Object::attributes`] only.
    pub fn attribute(&self, name: &AttributeName) -> impl Iterator<Item = (u32, Value)> + '_ {
        let name = name.clone();
        self.attributes
            .iter()
            .filter(move |held| held.attribute.name == name)
            .map(|held| (held.index, held.attribute.value))
    }

    /// The first stored instance of an attribute of the standard.
    pub fn value(&self, tag: crate::Tag) -> Option<Value> {
        self.attributes.first(tag)
    }

    /// Whether its algorithm and length are approved; what has no algorithm is not judged.
    ///
    /// # Errors
    /// What is not approved, for people.
    pub fn check_approved(&self) -> Result<(), String> {
        let Some(Value::Enumeration(code)) = self.value(tag::CRYPTOGRAPHIC_ALGORITHM) else {
            return Ok(());
        };
        let bits = match self.value(tag::CRYPTOGRAPHIC_LENGTH) {
            Some(Value::Integer(bits)) => u32::try_from(bits).unwrap_or(0),
            _ => 0,
        };
        check_approved(code, bits)
    }

    /// All attributes at a time, stored and derived, in the order of the table; custom ones last.
    pub fn attributes(&self, now: Time) -> Vec<Attribute> {
        self.instances(now)
            .into_iter()
            .map(|held| held.attribute)
            .collect()
    }

    /// Like [`Object::attributes`], with the number of each instance.
    pub fn instances(&self, now: Time) -> Vec<AttributeInstance> {
        let mut all: Vec<AttributeInstance> = self.attributes.iter().collect();
        for row in attribute::ATTRIBUTES
            .iter()
            .filter(|r| r.applies.contains(self.object_type))
        {
            let value = match row.kept {
                Kept::Derived(source) => Some(self.derived(source, now)),
                Kept::Stored | Kept::OnReading => row
                    .absent
                    .filter(|_| !self.holds(row.tag))
                    .and_then(|a| self.absent(a)),
            };
            if let Some(value) = value {
                all.push(AttributeInstance {
                    index: 0,
                    attribute: Attribute::standard(row.tag, value),
                });
            }
        }
        all.sort_by_key(|held| (place(&held.attribute.name), held.index));
        all
    }

    /// The attributes that do not follow from fields of the object, in the order of their numbers.
    pub(crate) fn stored_attributes(&self) -> Vec<Attribute> {
        self.attributes.iter().map(|held| held.attribute).collect()
    }

    fn holds(&self, tag: crate::Tag) -> bool {
        self.attributes.instances(tag).next().is_some()
    }

    fn derived(&self, source: Source, now: Time) -> Value {
        match source {
            Source::UniqueIdentifier => Value::Text(self.uid.to_string()),
            Source::ShortUniqueIdentifier => Value::Bytes(self.uid.as_bytes().to_vec()),
            Source::ObjectType => Value::Enumeration(self.object_type.code()),
            Source::State => Value::Enumeration(self.state_at(now).code()),
            Source::InitialDate => Value::DateTime(self.initial.seconds()),
            Source::LastChangeDate => Value::DateTime(self.changed.seconds()),
            Source::AlwaysSensitive => Value::Boolean(!self.was_not_sensitive),
            Source::NeverExtractable => Value::Boolean(!self.was_extractable),
        }
    }

    fn absent(&self, absent: Absent) -> Option<Value> {
        match absent {
            Absent::Boolean(value) => Some(Value::Boolean(value)),
            Absent::Interval(seconds) => Some(Value::Interval(seconds)),
            Absent::Mask(mask) => Some(Value::Integer(mask)),
            Absent::RawKey => {
                (self.object_type == ObjectType::SymmetricKey).then_some(Value::Enumeration(1))
            }
            Absent::InitialDateIfMadeHere => {
                (!self.registered).then_some(Value::DateTime(self.initial.seconds()))
            }
        }
    }

    pub(crate) fn is_sensitive(&self) -> bool {
        self.attributes.first(tag::SENSITIVE) == Some(Value::Boolean(true))
    }

    pub(crate) fn is_extractable(&self) -> bool {
        self.attributes.first(tag::EXTRACTABLE) != Some(Value::Boolean(false))
    }

    pub(crate) fn dates(&self) -> Dates {
        Dates {
            activation: self.attributes.date(tag::ACTIVATION_DATE),
            deactivation: self.attributes.date(tag::DEACTIVATION_DATE),
        }
    }

    /// Transitions whose date has come by `now`.
    pub(crate) fn due_verbs(&self, now: Time) -> impl Iterator<Item = Verb> + use<> {
        self.dates().due(self.state, now)
    }

    /// Takes new attributes and what follows from them.
    pub(crate) fn put_attributes(&mut self, instances: &[AttributeInstance]) {
        self.attributes = Packed::of(instances);
        self.was_not_sensitive |= !self.is_sensitive();
        self.was_extractable |= self.is_extractable();
        self.due = self
            .dates()
            .next_due(self.state)
            .map_or(NEVER, |(time, _)| time);
    }

    /// Takes a new state and what follows from it.
    pub(crate) fn put_state(&mut self, state: LifecycleState) {
        self.state = state;
        self.due = self.dates().next_due(state).map_or(NEVER, |(time, _)| time);
    }

    /// Sets a single-instance attribute of the server.
    pub(crate) fn put_server_value(&mut self, tag: crate::Tag, value: Value) {
        let mut all: Vec<AttributeInstance> = self.attributes.iter().collect();
        let attribute = Attribute::standard(tag, value);
        all.retain(|held| held.attribute.name != attribute.name);
        all.push(AttributeInstance {
            index: 0,
            attribute,
        });
        self.put_attributes(&all);
    }

    /// Becomes a tombstone: forgets the commitment and what is too long to keep for ever.
    pub(crate) fn bury(&mut self, state: LifecycleState) {
        self.material = None;
        let kept: Vec<AttributeInstance> = self
            .attributes
            .iter()
            .filter(|held| value_bytes(&held.attribute.value) <= TOMBSTONE_VALUE_BYTES_MAX)
            .collect();
        // Not put_attributes: what the object was until now is what the tombstone says.
        self.attributes = Packed::of(&kept);
        self.put_state(state);
    }
}

/// Where an attribute stands in an answer.
fn place(name: &AttributeName) -> usize {
    match name {
        AttributeName::Standard(tag) => attribute::position(*tag).unwrap_or(usize::MAX - 1),
        AttributeName::Vendor { .. } => usize::MAX,
    }
}

/// About how many bytes a value takes; at least as many as its texts and byte strings.
pub(crate) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) | Value::BigInteger(bytes) => bytes.len(),
        Value::Structure(fields) => fields.iter().map(|(_, v)| value_bytes(v) + 8).sum(),
        Value::Integer(_)
        | Value::LongInteger(_)
        | Value::Enumeration(_)
        | Value::Boolean(_)
        | Value::DateTime(_)
        | Value::Interval(_)
        | Value::DateTimeExtended(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million objects are kept in memory: a field more is 8 MB more.
    #[test]
    fn an_object_stays_small() {
        assert!(size_of::<Object>() <= 136, "{} bytes", size_of::<Object>());
    }
}
