//! Salvage: what only an old member still had is taken in again. It only ever adds: an identifier
//! that this cluster has known, living or destroyed, is refused.

use super::objects::name_value;
use super::objects::{check_count, check_instance, check_length, check_name_is_free, exists};
use crate::attribute::{self, Kept};
use crate::{Ask, Attribute, Denial, Event, Facts, LifecycleState, Name, NodeId, ObjectType};
use crate::{State, Time, Uid};
use alloc::format;
use alloc::vec::Vec;

/// An object that may be taken in.
pub(super) struct Salvaged {
    uid: Uid,
    object_type: ObjectType,
    owner: Name,
    registered: bool,
    initial: Time,
    state: LifecycleState,
    attributes: Vec<Attribute>,
    from: NodeId,
}

/// Decides the ask, but for the material.
pub(super) fn salvage(state: &State, ask: &Ask, now: Time) -> Result<Salvaged, Denial> {
    let Ask::Salvage {
        uid,
        object_type,
        owner,
        registered,
        initial,
        state: life,
        attributes,
        from,
    } = ask
    else {
        return Err(Denial::NotPermitted);
    };
    if state.object(uid).is_some() {
        return Err(exists("unique identifier"));
    }
    if life.is_destroyed() {
        return Err(Denial::Destroyed);
    }
    if *initial > now {
        let reason = "the Initial Date lies ahead".into();
        return Err(Denial::InvalidField { reason });
    }
    if state.node(*from).is_none() {
        let reason = format!("node {} was never a member of this cluster", from.0);
        return Err(Denial::OutOfOrder { reason });
    }
    check_attributes(state, owner, *object_type, attributes)?;
    Ok(Salvaged {
        uid: *uid,
        object_type: *object_type,
        owner: owner.clone(),
        registered: *registered,
        initial: *initial,
        state: *life,
        attributes: attributes.clone(),
        from: *from,
    })
}

/// The attributes are those that the object had, also what only the server sets; they must be of
/// their form, and fit beside what is here.
fn check_attributes(
    state: &State,
    owner: &Name,
    object_type: ObjectType,
    attributes: &[Attribute],
) -> Result<(), Denial> {
    let index = state.user_index(owner).ok_or(Denial::UnknownUser)?;
    let user = state.user_at(index).ok_or(Denial::UnknownUser)?;
    let most = state.policy().objects_per_owner_max;
    if user.live_objects() >= most {
        let limit = format!("{most} objects of one owner");
        return Err(Denial::LimitReached { limit });
    }
    check_count(state, attributes.len())?;
    super::check_record_size(attributes)?;
    for (at, attribute) in attributes.iter().enumerate() {
        let rule = attribute::rule_for(&attribute.name)?;
        if matches!(rule.kept, Kept::Derived(_)) {
            let name = attribute.name.clone();
            return Err(Denial::AttributeReadOnly { name });
        }
        let bytes_max = super::objects::bytes_max(state);
        attribute::check_value(rule, attribute, object_type, bytes_max)?;
        check_instance(rule, attribute, attributes.iter().take(at))?;
        if let Some(name) = name_value(attribute) {
            check_name_is_free(state, index, name, None)?;
        }
    }
    Ok(())
}

impl State {
    /// The ask by which another lineage would take in an object as it is here; `None` when there is
    /// no such object, or it is destroyed. `from` is the member whose state this is.
    pub fn salvage_of(&self, uid: &Uid, from: NodeId) -> Option<Ask> {
        let object = self.object(uid).filter(|object| !object.is_tombstone())?;
        Some(Ask::Salvage {
            uid: *uid,
            object_type: object.object_type(),
            owner: object.owner(self)?.clone(),
            registered: object.is_registered(),
            initial: object.initial_date(),
            state: object.recorded_state(),
            attributes: object.stored_attributes(),
            from,
        })
    }
}

impl Salvaged {
    /// The identifier is the one it had; the material is sealed anew.
    pub(super) const fn needs() -> super::Needs {
        super::Needs {
            uid: false,
            generate_bits: None,
            material: true,
        }
    }

    /// Takes what the proposing node supplied.
    pub(super) fn complete(self, state: &State, facts: &Facts) -> Result<Event, Denial> {
        let Some(material) = facts.material else {
            let reason = "the proposing node supplied no material".into();
            return Err(Denial::InvalidField { reason });
        };
        if material.epoch != state.epoch() {
            return Err(Denial::StaleEpoch {
                current: state.epoch(),
            });
        }
        check_length(state, &material, None)?;
        Ok(Event::ObjectSalvaged {
            uid: self.uid,
            object_type: self.object_type,
            owner: self.owner,
            registered: self.registered,
            material,
            initial: self.initial,
            state: self.state,
            attributes: self.attributes,
            from: self.from,
        })
    }
}
