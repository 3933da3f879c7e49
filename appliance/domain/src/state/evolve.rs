//! From one state to the next. Nothing here refuses: a record is a fact. A record that does not fit
//! (none that `decide` made) is counted and changes nothing else.

use super::{Anchor, Certificate, EpochPhase, EpochRecord, State, User};
use crate::attribute::tag;
use crate::lifecycle::{self, Verb};
use crate::object::{NEVER, Object, UserIndex};
use crate::packed::{AttributeInstance, Packed};
use crate::{Attribute, AttributeName, Cause, Epoch, Event, Fingerprint, Hash, Instance};
use crate::{LifecycleState, Material, Membership, Name, ObjectType, Record, Time, Uid, Value};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

impl State {
    /// Takes the next record of the log. Total, without side effects, and the only way to change a
    /// state.
    pub fn evolve(&mut self, record: &Record) {
        self.records += 1;
        self.applied_entry = record.entry;
        self.latest_time = self.latest_time.max(record.time);
        // What does not fit changes nothing: see above.
        let _fits = self.apply(&record.event, record.time);
        self.remember(record);
    }

    /// `None` when the event does not fit; then nothing was changed.
    fn apply(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::ObjectCreated { .. }
            | Event::ObjectSalvaged { .. }
            | Event::ObjectActivated { .. }
            | Event::ObjectDeactivated { .. }
            | Event::ObjectRevoked { .. }
            | Event::ObjectDestroyed { .. }
            | Event::AttributeAdded { .. }
            | Event::AttributeModified { .. }
            | Event::AttributeDeleted { .. } => self.apply_to_object(event, time),
            Event::UserPut { name, groups } => self.put_user(name, groups),
            Event::CertificateIssued {
                user,
                certificate,
                serial,
                not_after,
            } => self.issue(user, *certificate, serial, *not_after),
            Event::UserRevoked { name } => self.revoke_user(name, time),
            Event::EpochOpened { epoch, kek } => self.open_epoch(*epoch, *kek),
            Event::ResealConfirmed { node, epoch } => {
                self.epochs.get_mut(epoch)?.resealed.insert(*node);
                Some(())
            }
            Event::EpochRetired { epoch } => {
                self.epochs.get_mut(epoch)?.phase = EpochPhase::AwaitingRetire;
                Some(())
            }
            Event::RetireConfirmed { node, epoch } => {
                self.epochs.get_mut(epoch)?.retired_by.insert(*node);
                Some(())
            }
            Event::DestroyFinal { epoch, objects, .. } => self.finish(*epoch, objects),
            _ => self.apply_to_cluster(event, time),
        }
    }

    fn apply_to_cluster(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::AccessLogAnchored { node, size, root } => {
                self.anchors.insert(
                    *node,
                    Anchor {
                        size: *size,
                        root: *root,
                        time,
                    },
                );
            }
            Event::SlotAdded { name, kind } => {
                self.slots.insert(name.clone(), kind.clone());
            }
            Event::SlotRemoved { name } => {
                self.slots.remove(name)?;
            }
            Event::LogExported { .. } => self.exports += 1,
            Event::KeyPolicySet { policy } => self.policy = policy.clone(),
            Event::OfflineGetSet { group, limit } => match group {
                Some(group) => {
                    self.offline_groups.insert(group.clone(), *limit);
                }
                None => self.offline_default = *limit,
            },
            Event::SettingChanged { node, id, value } => {
                self.settings.put(*node, id, value, time);
            }
            Event::AdministratorPut { .. }
            | Event::PasswordChanged { .. }
            | Event::SshKeysSet { .. }
            | Event::PermissionsSet { .. }
            | Event::AdministratorRemoved { .. } => {
                return self.apply_to_administrators(event, time);
            }
            Event::LogRotated { .. }
            | Event::DestinationPut { .. }
            | Event::DestinationRemoved { .. }
            | Event::LogTransferred { .. } => return self.apply_to_transfers(event, time),
            // Facts that nothing is decided on.
            Event::Refused { .. } | Event::IdentityRenewed { .. } | Event::ClockSet { .. } => {}
            Event::ScrubBegun { .. }
            | Event::ScrubReported { .. }
            | Event::DivergenceFound { .. }
            | Event::DivergenceResolved { .. }
            | Event::Repaired { .. } => return self.apply_to_integrity(event, time),
            _ => return self.apply_to_members(event, time),
        }
        Some(())
    }

    fn put_user(&mut self, name: &Name, groups: &[Membership]) -> Option<()> {
        if let Some(index) = self.user_index(name) {
            self.user_mut(index)?.groups = groups.into();
            return Some(());
        }
        let index = UserIndex(u32::try_from(self.users.len()).ok()?);
        self.user_numbers.insert(name.clone(), index);
        self.users.push(User {
            name: name.clone(),
            groups: groups.into(),
            certificates: Vec::new(),
            revoked: None,
            names: BTreeMap::new(),
            live_objects: 0,
        });
        Some(())
    }

    fn issue(
        &mut self,
        user: &Name,
        fingerprint: Fingerprint,
        serial: &str,
        not_after: Time,
    ) -> Option<()> {
        let index = self.user_index(user)?;
        if self.certificates.contains_key(&fingerprint) {
            return None;
        }
        let issued = Certificate {
            user: index,
            serial: serial.into(),
            not_after,
            revoked: false,
        };
        self.certificates.insert(fingerprint, issued);
        let user = self.user_mut(index)?;
        user.certificates.push(fingerprint);
        user.revoked = None;
        Some(())
    }

    fn revoke_user(&mut self, name: &Name, time: Time) -> Option<()> {
        let index = self.user_index(name)?;
        let user = self.user_mut(index)?;
        user.revoked = Some(time);
        for fingerprint in user.certificates.clone() {
            if let Some(certificate) = self.certificates.get_mut(&fingerprint) {
                certificate.revoked = true;
            }
        }
        Some(())
    }

    fn open_epoch(&mut self, epoch: Epoch, kek: Option<Hash>) -> Option<()> {
        self.epochs.get_mut(&self.epoch)?.phase = EpochPhase::Leaving;
        self.epochs.insert(epoch, EpochRecord::new(kek));
        self.epoch = epoch;
        Some(())
    }

    fn finish(&mut self, epoch: Epoch, objects: &[Uid]) -> Option<()> {
        self.epochs.get_mut(&epoch)?.phase = EpochPhase::Retired;
        for uid in objects {
            self.awaiting_final.remove(&(epoch, *uid));
        }
        Some(())
    }

    fn user_mut(&mut self, index: UserIndex) -> Option<&mut User> {
        self.users.get_mut(usize::try_from(index.0).ok()?)
    }

    /// Takes an event that brings an object.
    fn apply_to_new_object(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::ObjectCreated {
                uid,
                object_type,
                owner,
                registered,
                material,
                state,
                attributes,
            } => {
                let made = Made {
                    uid: *uid,
                    object_type: *object_type,
                    owner: self.user_index(owner)?,
                    registered: *registered,
                    material: *material,
                    state: *state,
                    initial: time,
                    salvaged: false,
                };
                self.create(made, attributes, time)
            }
            Event::ObjectSalvaged {
                uid,
                object_type,
                owner,
                registered,
                material,
                initial,
                state,
                attributes,
                ..
            } => {
                let made = Made {
                    uid: *uid,
                    object_type: *object_type,
                    owner: self.user_index(owner)?,
                    registered: *registered,
                    material: *material,
                    state: *state,
                    initial: *initial,
                    salvaged: true,
                };
                self.create(made, attributes, time)
            }
            _ => self.apply_to_attributes(event, time),
        }
    }

    fn apply_to_object(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::ObjectActivated { uid, cause } => self.change(uid, time, |object| {
                let to = lifecycle::next(object.state, Verb::Activate)?;
                if *cause == Cause::Asked {
                    object.put_server_value(tag::ACTIVATION_DATE, date(time));
                }
                object.put_state(to);
                Some(())
            }),
            Event::ObjectDeactivated { uid, .. } => self.change(uid, time, |object| {
                let to = lifecycle::next(object.state, Verb::Deactivate)?;
                object.put_state(to);
                Some(())
            }),
            Event::ObjectRevoked {
                uid,
                reason,
                message,
                compromise_occurred,
                state,
            } => {
                let revocation = Revocation {
                    reason: *reason,
                    message,
                    compromise_occurred,
                };
                self.change(uid, time, |object| revocation.apply(object, *state, time))
            }
            Event::ObjectDestroyed { uid, state } => self.destroy(uid, *state, time),
            _ => self.apply_to_new_object(event, time),
        }
    }

    fn apply_to_attributes(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::AttributeAdded {
                uid,
                index,
                attribute,
            } => self.change_attributes(uid, time, |all| {
                all.push(AttributeInstance {
                    index: *index,
                    attribute: attribute.clone(),
                });
            }),
            Event::AttributeModified {
                uid,
                index,
                attribute,
            } => self.change_attributes(uid, time, |all| {
                let held = all
                    .iter_mut()
                    .find(|h| h.index == *index && h.attribute.name == attribute.name);
                match held {
                    Some(held) => held.attribute = attribute.clone(),
                    None => all.push(AttributeInstance {
                        index: *index,
                        attribute: attribute.clone(),
                    }),
                }
            }),
            Event::AttributeDeleted { uid, name, which } => {
                self.change_attributes(uid, time, |all| {
                    all.retain(|held| !matches_instance(held, name, which));
                })
            }
            // All others are taken by the callers.
            _ => None,
        }
    }

    fn create(&mut self, made: Made, attributes: &[Attribute], time: Time) -> Option<()> {
        if self.objects.contains_key(&made.uid) {
            return None;
        }
        let mut object = Object {
            uid: made.uid,
            owner: made.owner,
            object_type: made.object_type,
            state: made.state,
            registered: made.registered,
            // What it was on the old member is not known: Always Sensitive and Never Extractable
            // are claimed only when they are proven.
            was_not_sensitive: made.salvaged,
            was_extractable: made.salvaged,
            material: Some(made.material),
            initial: made.initial,
            changed: time,
            due: NEVER,
            attributes: Packed::default(),
        };
        object.put_attributes(&numbered(attributes));
        self.count_change(None, Some(object.state));
        self.user_mut(made.owner)?.live_objects += 1;
        self.enter(&object);
        self.objects.insert(made.uid, Box::new(object));
        Some(())
    }

    fn destroy(&mut self, uid: &Uid, state: LifecycleState, time: Time) -> Option<()> {
        let epoch = self.epoch;
        self.change(uid, time, |object| {
            if !state.is_destroyed() || object.is_tombstone() {
                return None;
            }
            object.put_server_value(tag::DESTROY_DATE, date(time));
            object.bury(state);
            Some(())
        })?;
        let owner = self.objects.get(uid)?.owner;
        let user = self.user_mut(owner)?;
        user.live_objects = user.live_objects.saturating_sub(1);
        // Whatever epoch is current may have sealed it: at creation, or when it was re-sealed.
        self.awaiting_final.insert((epoch, *uid));
        Some(())
    }

    fn change_attributes(
        &mut self,
        uid: &Uid,
        time: Time,
        change: impl FnOnce(&mut Vec<AttributeInstance>),
    ) -> Option<()> {
        self.change(uid, time, |object| {
            if object.is_tombstone() {
                return None;
            }
            let mut all = object.attributes.iter().collect();
            change(&mut all);
            object.put_attributes(&all);
            Some(())
        })
    }

    /// Changes one object and keeps the indexes beside it right. When `change` gives `None`, the
    /// object must be as it was.
    fn change(
        &mut self,
        uid: &Uid,
        time: Time,
        change: impl FnOnce(&mut Object) -> Option<()>,
    ) -> Option<()> {
        let mut object = self.objects.remove(uid)?;
        self.leave(&object);
        let before = object.state;
        let changed = change(&mut object);
        if changed.is_some() {
            object.changed = time;
            self.count_change(Some(before), Some(object.state));
        }
        self.enter(&object);
        self.objects.insert(*uid, object);
        changed
    }

    /// Takes an object out of the name index and the schedule.
    fn leave(&mut self, object: &Object) {
        self.due.remove(&(object.due, object.uid));
        if let Some(user) = self.user_mut(object.owner) {
            for name in object.names() {
                if user.names.get(name) == Some(&object.uid) {
                    user.names.remove(name);
                }
            }
        }
    }

    /// Puts an object into the name index and the schedule.
    fn enter(&mut self, object: &Object) {
        if object.due != NEVER {
            self.due.insert((object.due, object.uid));
        }
        if object.is_tombstone() {
            return;
        }
        if let Some(user) = self.user_mut(object.owner) {
            for name in object.names() {
                if !user.names.contains_key(name) {
                    user.names.insert(name.into(), object.uid);
                }
            }
        }
    }

    fn count_change(&mut self, from: Option<LifecycleState>, to: Option<LifecycleState>) {
        if let Some(count) = from.and_then(|state| self.counts.get_mut(state as usize)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = to.and_then(|state| self.counts.get_mut(state as usize)) {
            *count += 1;
        }
    }
}

struct Made {
    uid: Uid,
    object_type: ObjectType,
    owner: UserIndex,
    registered: bool,
    material: Material,
    state: LifecycleState,
    initial: Time,
    salvaged: bool,
}

struct Revocation<'a> {
    reason: u32,
    message: &'a Option<String>,
    compromise_occurred: &'a Option<Time>,
}

impl Revocation<'_> {
    fn apply(&self, object: &mut Object, state: LifecycleState, time: Time) -> Option<()> {
        if lifecycle::next(object.state, Verb::of_revocation(self.reason)) != Some(state) {
            return None;
        }
        let mut fields = vec![(tag::REVOCATION_REASON_CODE, Value::Enumeration(self.reason))];
        if let Some(message) = self.message {
            fields.push((tag::REVOCATION_MESSAGE, Value::Text(message.clone())));
        }
        object.put_server_value(tag::REVOCATION_REASON, Value::Structure(fields));
        if state == LifecycleState::Deactivated {
            object.put_server_value(tag::DEACTIVATION_DATE, date(time));
        } else {
            object.put_server_value(tag::COMPROMISE_DATE, date(time));
        }
        if let Some(occurred) = self.compromise_occurred {
            object.put_server_value(tag::COMPROMISE_OCCURRENCE_DATE, date(*occurred));
        }
        object.put_state(state);
        Some(())
    }
}

fn date(time: Time) -> Value {
    Value::DateTime(time.seconds())
}

/// Numbers the instances of each attribute from 0, in the order given.
fn numbered(attributes: &[Attribute]) -> Vec<AttributeInstance> {
    let mut all: Vec<AttributeInstance> = Vec::with_capacity(attributes.len());
    let mut next: BTreeMap<&AttributeName, u32> = BTreeMap::new();
    for attribute in attributes {
        let index = next.entry(&attribute.name).or_insert(0);
        all.push(AttributeInstance {
            index: *index,
            attribute: attribute.clone(),
        });
        *index += 1;
    }
    all
}

/// Whether an instance is one that a deletion names.
pub(crate) fn matches_instance(
    held: &AttributeInstance,
    name: &AttributeName,
    which: &Instance,
) -> bool {
    held.attribute.name == *name
        && match which {
            Instance::Index(index) => held.index == *index,
            Instance::Equal(value) => held.attribute.value == *value,
            Instance::All => true,
        }
}
