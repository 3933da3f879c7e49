//! One number for a whole state, so that nodes can compare (law 6).
//!
//! SHA-256 over every field in a fixed order, each with its length where it has one. Reading
//! everything takes about 0.25 s per million objects; it is for checks, not for every reply.

use super::State;
use super::transfers::Transfers;
use crate::object::Object;
use crate::{Epoch, Hash, NodeId, Stream, Time, codec};
use alloc::collections::BTreeSet;
use sha2::{Digest, Sha256};

/// Changes when the encoding below does, so that digests of different programs never agree by
/// accident. A new encoding must wait until every member has it (`State::format`): members of
/// different versions compare their digests while a cluster is upgraded.
const LABEL: &[u8] = b"strongroom-state-v2";

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

    fn stream(&mut self, stream: Stream) {
        self.bytes(stream.log.name().as_bytes());
        self.option(stream.node.is_some());
        self.number(stream.node.unwrap_or_default().0);
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
        self.digest_appliance(&mut canon);
        self.digest_transfers(&mut canon);
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
            canon.number(u64::from(founding.lineage));
        }
        self.digest_members(canon);
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
        canon.bytes(&codec::to_vec(&self.offline_default));
        canon.number(self.offline_groups.len() as u64);
        for (group, limit) in &self.offline_groups {
            canon.bytes(group.as_str().as_bytes());
            canon.bytes(&codec::to_vec(limit));
        }
        self.digest_integrity(canon);
        self.digest_once(canon);
    }

    fn digest_members(&self, canon: &mut Canon) {
        canon.number(self.nodes.len() as u64);
        for (id, node) in &self.nodes {
            canon.number(id.0);
            canon.bytes(node.version.as_bytes());
            canon.option(node.running);
            canon.time(node.since);
            canon.bytes(node.address.as_bytes());
            canon.0.update([node.role as u8, node.phase as u8]);
            canon.option(node.key.is_some());
            canon.bytes(node.key.as_ref().map_or(&[], |key| key.as_bytes()));
            canon.bytes(&node.sealing_key);
            canon.number(node.epoch);
            canon.number(u64::from(node.format));
            canon.number(node.replaces.unwrap_or_default().0);
            canon.option(node.confirmed);
            canon.epoch(node.left_in.unwrap_or_default());
        }
        canon.number(self.newest_node.0);
        canon.number(u64::from(self.format));
        canon.bytes(self.cluster_ca.as_ref().map_or(&[], |ca| ca.as_bytes()));
        canon.epoch(self.forked_in.unwrap_or_default());
        canon.number(self.tickets.len() as u64);
        for (hash, ticket) in &self.tickets {
            canon.bytes(hash.as_bytes());
            canon.time(ticket.expires);
            canon.bytes(ticket.used_by.as_ref().map_or(&[], |key| key.as_bytes()));
        }
        canon.number(self.requests.len() as u64);
        for request in self.requests.values() {
            canon.bytes(request.ticket.as_bytes());
            canon.bytes(&codec::to_vec(&request.candidate));
            canon.time(request.since);
        }
    }

    fn digest_integrity(&self, canon: &mut Canon) {
        canon.option(self.scrub.is_some());
        if let Some(scrub) = &self.scrub {
            canon.number(scrub.number);
            canon.number(scrub.at);
            canon.time(scrub.time);
            canon.number(scrub.reports.len() as u64);
            for (node, report) in &scrub.reports {
                canon.number(node.0);
                canon.bytes(report.state.as_bytes());
                canon.bytes(report.store.as_ref().map_or(&[], |store| store.as_bytes()));
            }
        }
        canon.number(self.divergences.len() as u64);
        for found in &self.divergences {
            canon.number(found.size);
            canon.number(found.node.0);
            canon.bytes(found.root.as_bytes());
            canon.number(found.other.0);
            canon.bytes(found.other_root.as_bytes());
            canon.number(found.scrub.unwrap_or_default());
            canon.time(found.time);
        }
        canon.number(self.repaired);
    }

    fn digest_once(&self, canon: &mut Canon) {
        canon.number(self.once.len() as u64);
        for (time, speaker, token, created) in self.once.iter() {
            canon.time(time);
            // No user has the number 2³².
            canon.number(speaker.map_or(1 << 32, |user| u64::from(user.0)));
            canon.bytes(token.as_bytes());
            canon.bytes(created.as_ref().map_or(&[], |uid| uid.as_bytes()));
        }
    }

    /// What came with format 3. It stands at the end, and not at all while there is nothing, so
    /// that members of format 2 find the same digest until every member has the format.
    fn digest_appliance(&self, canon: &mut Canon) {
        let settings = self.settings.all();
        if settings.clone().next().is_none() && self.administrators.is_empty() {
            return;
        }
        canon.number(settings.clone().count() as u64);
        for (node, id, value) in settings {
            canon.option(node.is_some());
            canon.number(node.unwrap_or_default().0);
            canon.bytes(id.as_bytes());
            canon.bytes(value.as_bytes());
        }
        canon.number(self.administrators.len() as u64);
        for (name, administrator) in &self.administrators {
            canon.bytes(name.as_str().as_bytes());
            let password = administrator.password.as_ref();
            canon.bytes(password.map_or(&[], |commitment| commitment.as_bytes()));
            canon.number(administrator.ssh_keys.len() as u64);
            for key in &administrator.ssh_keys {
                canon.bytes(key.as_bytes());
            }
            // Members of format 3 have none of it, and find the old digest until they are gone.
            if self.knows_permissions() {
                canon.bytes(&codec::to_vec(&administrator.permissions));
                canon.option(administrator.must_change);
                canon.time(administrator.password_since);
            }
        }
    }

    /// What came with format 5; nothing at all while there is nothing, as above.
    fn digest_transfers(&self, canon: &mut Canon) {
        let Transfers {
            closed,
            destinations,
        } = &self.transfers;
        if closed.is_empty() && destinations.is_empty() {
            return;
        }
        canon.number(closed.len() as u64);
        for (stream, row) in closed {
            canon.stream(*stream);
            canon.number(row.len() as u64);
            for closed in row.values() {
                canon.number(closed.number);
                canon.number(closed.from);
                canon.number(closed.size);
                canon.bytes(closed.root.as_ref().map_or(&[], |root| root.as_bytes()));
                canon.time(closed.time);
            }
        }
        canon.number(destinations.len() as u64);
        for (name, standing) in destinations {
            canon.bytes(name.as_str().as_bytes());
            canon.bytes(&codec::to_vec(&standing.destination));
            canon.number(standing.delivered.len() as u64);
            for (stream, number) in &standing.delivered {
                canon.stream(*stream);
                canon.number(*number);
            }
            canon.number(standing.failing.len() as u64);
            for (node, (why, detail)) in &standing.failing {
                canon.number(node.0);
                canon.bytes(why.name().as_bytes());
                canon.bytes(detail.as_bytes());
            }
        }
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
            canon.bytes(record.kek.as_ref().map_or(&[], |kek| kek.as_bytes()));
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
