//! One number for a whole state, so that nodes can compare (law 6).
//!
//! SHA-256 over every field in a fixed order, each with its length where it has one. Reading
//! everything takes about 0.25 s per million objects; it is for checks, not for every reply.

use super::State;
use crate::object::Object;
use crate::{Epoch, Hash, NodeId, Time, codec};
use alloc::collections::BTreeSet;
use sha2::{Digest, Sha256};

/// Changes when the encoding below does, so that digests of different programs never agree by
/// accident.
const LABEL: &[u8] = b"strongroom-state-v1";

struct Canon(Sha256);

impl Canon {
    fn number(&mut self, n: u64) {
        self.0.update(n.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn time(&mut self, time: Time) {
        self.0.update(time.0.to_be_bytes());
    }

    fn option(&mut self, is_some: bool) {
        self.0.update([u8::from(is_some)]);
    }

    fn nodes(&mut self, nodes: &BTreeSet<NodeId>) {
        self.number(nodes.len() as u64);
        for node in nodes {
            self.number(node.0);
        }
    }

    fn epoch(&mut self, epoch: Epoch) {
        self.0.update(epoch.0.to_be_bytes());
    }
}

impl State {
    /// SHA-256 over the whole state. Two states are equal exactly if their digests are.
    pub fn digest(&self) -> Hash {
        let mut canon = Canon(Sha256::new());
        canon.bytes(LABEL);
        self.digest_cluster(&mut canon);
        self.digest_users(&mut canon);
        self.digest_epochs(&mut canon);
        canon.number(self.objects.len() as u64);
        for object in self.objects.values() {
            digest_object(&mut canon, object);
        }
        // The schedule, the counts and the name index follow from the objects.
        Hash::from_bytes(canon.0.finalize().into())
    }

    fn digest_cluster(&self, canon: &mut Canon) {
        canon.number(self.records);
        canon.number(self.applied_entry);
        canon.time(self.latest_time);
        canon.option(self.founding.is_some());
        if let Some(founding) = &self.founding {
            canon.bytes(founding.cluster.as_bytes());
            canon.bytes(founding.origin.as_bytes());
        }
        canon.number(self.nodes.len() as u64);
        for (id, node) in &self.nodes {
            canon.number(id.0);
            canon.bytes(node.version.as_bytes());
            canon.option(node.running);
            canon.time(node.since);
        }
        canon.number(self.log_keys.len() as u64);
        for key in &self.log_keys {
            canon.number(key.node.0);
            canon.bytes(key.public_key.as_bytes());
            canon.number(key.valid_from);
        }
        canon.number(self.anchors.len() as u64);
        for (node, anchor) in &self.anchors {
            canon.number(node.0);
            canon.number(anchor.size);
            canon.bytes(anchor.root.as_bytes());
            canon.time(anchor.time);
        }
        canon.number(self.slots.len() as u64);
        for (name, kind) in &self.slots {
            canon.bytes(name.as_str().as_bytes());
            canon.bytes(kind.as_bytes());
        }
        canon.bytes(&codec::to_vec(&self.policy));
        canon.number(self.exports);
    }

    fn digest_users(&self, canon: &mut Canon) {
        canon.number(self.users.len() as u64);
        for user in &self.users {
            canon.bytes(user.name.as_str().as_bytes());
            canon.number(user.groups.len() as u64);
            for membership in &user.groups {
                canon.bytes(membership.group.as_str().as_bytes());
                canon.number(membership.role as u64);
            }
            canon.option(user.revoked.is_some());
            canon.time(user.revoked.unwrap_or_default());
            canon.number(user.certificates.len() as u64);
            for fingerprint in &user.certificates {
                canon.bytes(fingerprint.as_bytes());
            }
        }
        canon.number(self.certificates.len() as u64);
        for (fingerprint, certificate) in &self.certificates {
            canon.bytes(fingerprint.as_bytes());
            canon.number(u64::from(certificate.user.0));
            canon.bytes(certificate.serial.as_bytes());
            canon.time(certificate.not_after);
            canon.option(certificate.revoked);
        }
    }

    fn digest_epochs(&self, canon: &mut Canon) {
        canon.epoch(self.epoch);
        canon.number(self.epochs.len() as u64);
        for (epoch, record) in &self.epochs {
            canon.epoch(*epoch);
            canon.number(record.phase as u64);
            canon.nodes(&record.resealed);
            canon.nodes(&record.retired_by);
        }
        canon.number(self.awaiting_final.len() as u64);
        for (epoch, uid) in &self.awaiting_final {
            canon.epoch(*epoch);
            canon.bytes(uid.as_bytes());
        }
    }
}

fn digest_object(canon: &mut Canon, object: &Object) {
    canon.bytes(object.uid.as_bytes());
    canon.number(u64::from(object.owner.0));
    canon.0.update([
        object.object_type as u8,
        object.state as u8,
        u8::from(object.registered),
        u8::from(object.was_not_sensitive),
        u8::from(object.was_extractable),
    ]);
    canon.option(object.material.is_some());
    if let Some(material) = &object.material {
        canon.bytes(material.commitment.as_bytes());
        canon.epoch(material.epoch);
        canon.number(u64::from(material.length_bytes));
    }
    canon.time(object.initial);
    canon.time(object.changed);
    canon.bytes(object.attributes.as_bytes());
}
