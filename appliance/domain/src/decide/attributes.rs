//! Decisions about the attributes of an object that exists: Add, Modify, Set and Delete Attribute
//! (KMIP 1.4 §4.14 to §4.16, KMIP 2.1 §6.1). What is allowed stands in the table; here it is read.

use super::objects::{Subject, bytes_max, check_count, check_instance, check_name_is_free};
use super::objects::{check_together, name_value, subject};
use crate::attribute::{self, Absent, AttributeRule, SetBy, States};
use crate::object::UserIndex;
use crate::packed::AttributeInstance;
use crate::permission::{Hand, Reach};
use crate::state::matches_instance;
use crate::{Ask, Attribute, AttributeName, Denial, Event, Instance, State, Time, Uid, Value};
use alloc::vec::Vec;

/// One change that is being judged.
struct Change<'a> {
    state: &'a State,
    now: Time,
    subject: Subject<'a>,
    rule: &'static AttributeRule,
    /// What the object holds now.
    held: Vec<AttributeInstance>,
}

/// Decides an ask about attributes.
pub(super) fn change(
    state: &State,
    user: UserIndex,
    ask: &Ask,
    now: Time,
) -> Result<Vec<Event>, Denial> {
    match ask {
        Ask::AddAttribute { uid, attribute } => {
            let change = Change::of(state, user, uid, &attribute.name, now)?;
            change.add(attribute)
        }
        Ask::ModifyAttribute {
            uid,
            index,
            current,
            attribute,
        } => {
            let change = Change::of(state, user, uid, &attribute.name, now)?;
            change.modify(*index, current.as_ref(), attribute)
        }
        Ask::SetAttribute { uid, attribute } => {
            let change = Change::of(state, user, uid, &attribute.name, now)?;
            change.set(attribute)
        }
        Ask::DeleteAttribute { uid, name, which } => {
            let change = Change::of(state, user, uid, name, now)?;
            change.delete(name, which)
        }
        // The caller passes the four asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

impl<'a> Change<'a> {
    /// Finds the object and the rule; refuses what no state and no value could make right.
    fn of(
        state: &'a State,
        user: UserIndex,
        uid: &Uid,
        name: &AttributeName,
        now: Time,
    ) -> Result<Self, Denial> {
        let subject = subject(state, Hand::User(user), uid, now)?;
        if subject.state.is_destroyed() {
            return Err(Denial::Destroyed);
        }
        let rule = attribute::rule_for(name)?;
        if rule.set_by != SetBy::Client {
            return Err(Denial::AttributeReadOnly { name: name.clone() });
        }
        if rule.owner_only && subject.reach != Reach::Owner {
            return Err(Denial::NotPermitted);
        }
        let held = subject.object.attributes.iter().collect();
        Ok(Self {
            state,
            now,
            subject,
            rule,
            held,
        })
    }

    fn add(self, attribute: &Attribute) -> Result<Vec<Event>, Denial> {
        self.check_state(self.rule.add, &attribute.name)?;
        let attribute = self.accept(attribute)?;
        check_count(self.state, self.held.len() + 1)?;
        check_instance(
            self.rule,
            &attribute,
            self.held.iter().map(|held| &held.attribute),
        )?;
        self.check_sticky(None, &attribute)?;
        let taken = self
            .held
            .iter()
            .filter(|held| held.attribute.name == attribute.name);
        let index = taken.map(|held| held.index + 1).max().unwrap_or(0);
        self.check_result(None, &attribute)?;
        let uid = *self.subject.object.uid();
        Ok(self.subject.then(Event::AttributeAdded {
            uid,
            index,
            attribute,
        }))
    }

    fn modify(
        self,
        index: Option<u32>,
        current: Option<&Attribute>,
        attribute: &Attribute,
    ) -> Result<Vec<Event>, Denial> {
        let mut instances = self
            .held
            .iter()
            .filter(|held| held.attribute.name == attribute.name);
        let found = match (current, index) {
            (Some(current), _) => instances.find(|held| held.attribute == *current),
            (None, Some(index)) => instances.find(|held| held.index == index),
            (None, None) => instances.min_by_key(|held| held.index),
        };
        match found {
            Some(found) => {
                let found = found.clone();
                self.replace(Some(&found), attribute)
            }
            // An attribute that has a value without being stored can be modified like one that is.
            None if current.is_none() && self.rule.absent.is_some() => {
                self.replace(None, attribute)
            }
            None => {
                self.check_state(self.rule.modify, &attribute.name)?;
                Err(Denial::AttributeNotFound {
                    name: attribute.name.clone(),
                })
            }
        }
    }

    fn set(self, attribute: &Attribute) -> Result<Vec<Event>, Denial> {
        if self.rule.many {
            return Err(Denial::AttributeMultiInstance {
                name: attribute.name.clone(),
            });
        }
        let found = self
            .held
            .iter()
            .find(|held| held.attribute.name == attribute.name)
            .cloned();
        self.replace(found.as_ref(), attribute)
    }

    /// Puts a value in the place of an instance, or of none.
    fn replace(
        self,
        old: Option<&AttributeInstance>,
        attribute: &Attribute,
    ) -> Result<Vec<Event>, Denial> {
        let states = if old.is_some() {
            self.rule.modify
        } else {
            self.rule.add
        };
        self.check_state(states, &attribute.name)?;
        self.check_frozen(old)?;
        let attribute = self.accept(attribute)?;
        self.check_sticky(old.map(|old| &old.attribute.value), &attribute)?;
        check_count(self.state, self.held.len() + usize::from(old.is_none()))?;
        let others = self.held.iter().filter(|held| Some(*held) != old);
        check_instance(self.rule, &attribute, others.map(|held| &held.attribute))?;
        self.check_result(old, &attribute)?;
        let (uid, index) = (*self.subject.object.uid(), old.map_or(0, |old| old.index));
        Ok(self.subject.then(Event::AttributeModified {
            uid,
            index,
            attribute,
        }))
    }

    fn delete(self, name: &AttributeName, which: &Instance) -> Result<Vec<Event>, Denial> {
        self.check_state(self.rule.delete, name)?;
        if !self
            .held
            .iter()
            .any(|held| matches_instance(held, name, which))
        {
            return Err(Denial::AttributeNotFound { name: name.clone() });
        }
        let uid = *self.subject.object.uid();
        let event = Event::AttributeDeleted {
            uid,
            name: name.clone(),
            which: which.clone(),
        };
        Ok(self.subject.then(event))
    }

    /// No state at all: the attribute is not the client's. Another state: this one is wrong.
    fn check_state(&self, states: States, name: &AttributeName) -> Result<(), Denial> {
        if states == States::NONE {
            return Err(Denial::AttributeReadOnly { name: name.clone() });
        }
        if !states.contains(self.subject.state) {
            return Err(Denial::WrongState {
                state: self.subject.state,
            });
        }
        Ok(())
    }

    /// A date that has come is history (KMIP 1.4 §3.25, §3.26).
    fn check_frozen(&self, old: Option<&AttributeInstance>) -> Result<(), Denial> {
        let Some(AttributeInstance { attribute, .. }) = old else {
            return Ok(());
        };
        match attribute.value {
            Value::DateTime(date) if self.rule.frozen_by_its_date && date <= self.now.seconds() => {
                Err(Denial::AttributeReadOnly {
                    name: attribute.name.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// What makes an object safer is not taken back.
    fn check_sticky(&self, old: Option<&Value>, new: &Attribute) -> Result<(), Denial> {
        let Some(sticky) = self.rule.sticky else {
            return Ok(());
        };
        let was = match (old, self.rule.absent) {
            (Some(value), _) => *value == Value::Boolean(sticky),
            (None, Some(Absent::Boolean(value))) => value == sticky,
            (None, _) => false,
        };
        if was && new.value != Value::Boolean(sticky) {
            return Err(Denial::AttributeReadOnly {
                name: new.name.clone(),
            });
        }
        Ok(())
    }

    fn accept(&self, attribute: &Attribute) -> Result<Attribute, Denial> {
        let object_type = self.subject.object.object_type();
        attribute::check_value(self.rule, attribute, object_type, bytes_max(self.state))?;
        let mut attribute = attribute.clone();
        attribute::complete(self.rule, &mut attribute);
        super::check_record_size(core::slice::from_ref(&attribute))?;
        Ok(attribute)
    }

    /// Checks the object as it would be: names, and what several attributes must keep together.
    fn check_result(&self, old: Option<&AttributeInstance>, new: &Attribute) -> Result<(), Denial> {
        let object = self.subject.object;
        if let Some(name) = name_value(new) {
            check_name_is_free(self.state, object.owner, name, Some(object.uid()))?;
        }
        let mut result: Vec<Attribute> = self
            .held
            .iter()
            .filter(|held| Some(*held) != old)
            .map(|held| held.attribute.clone())
            .collect();
        result.push(new.clone());
        check_together(object.object_type(), &result, Some(&new.name))
    }
}
