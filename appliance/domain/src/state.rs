//! The state of a cluster: what a replay of its log from the beginning gives.
//!
//! [`State`] is plain data. It changes only in [`State::evolve`], which takes a record that was
//! decided, cannot fail and looks at nothing else; so two nodes that took the same records are in
//! the same state, and [`State::digest`] shows it (law 6).

mod administrators;
mod digest;
mod evolve;
mod integrity;
mod members;
mod once;
mod settings;
mod transfers;

pub(crate) use evolve::matches_instance;
pub use integrity::{Divergence, Scrub, ScrubReport};
pub use members::{JOIN_REQUEST_LIFE_MS, JoinRequest, Node, Ticket};
pub use once::{ONCE_LIFE_MS, ONCE_MAX};
pub use transfers::{ClosedLog, Standing};

use crate::object::{Object, UserIndex};
use crate::{
    Administrator, ClusterId, Epoch, Fingerprint, Hash, KeyPolicy, LifecycleState, Membership, Name,
};
use crate::{NodeId, OfflineGet, Time, Uid};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// The first epoch of a cluster.
pub const FIRST_EPOCH: Epoch = Epoch(1);

/// Everything that is true after a number of records. [`State::default`] is the state before the
/// cluster was founded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    records: u64,
    applied_entry: u64,
    latest_time: Time,
    founding: Option<Founding>,
    nodes: BTreeMap<NodeId, Node>,
    log_keys: Vec<LogKey>,
    anchors: BTreeMap<NodeId, Anchor>,
    users: Vec<User>,
    user_numbers: BTreeMap<Name, UserIndex>,
    certificates: BTreeMap<Fingerprint, Certificate>,
    objects: BTreeMap<Uid, Box<Object>>,
    due: BTreeSet<(Time, Uid)>,
    counts: [u64; 6],
    epoch: Epoch,
    epochs: BTreeMap<Epoch, EpochRecord>,
    awaiting_final: BTreeSet<(Epoch, Uid)>,
    slots: BTreeMap<Name, String>,
    policy: KeyPolicy,
    exports: u64,
    newest_node: NodeId,
    format: u32,
    cluster_ca: Option<Fingerprint>,
    tickets: BTreeMap<Hash, Ticket>,
    requests: BTreeMap<Fingerprint, JoinRequest>,
    /// The epoch that was current when the last lineage began.
    forked_in: Option<Epoch>,
    scrub: Option<Scrub>,
    divergences: Vec<Divergence>,
    repaired: u64,
    offline_default: OfflineGet,
    offline_groups: BTreeMap<Name, OfflineGet>,
    once: once::Tokens,
    settings: settings::Settings,
    administrators: BTreeMap<Name, Administrator>,
    transfers: transfers::Transfers,
}

/// How the cluster began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Founding {
    cluster: ClusterId,
    /// Of the current lineage.
    origin: String,
    lineage: u32,
}

/// A key that signs checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// Whose.
    pub node: NodeId,
    /// Ed25519 public key.
    pub public_key: Hash,
    /// Smallest ledger size whose checkpoint it may sign: the size with its own record.
    pub valid_from: u64,
}

/// The last anchored head of a node's access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Records in it.
    pub size: u64,
    /// Merkle root over them.
    pub root: Hash,
    /// When.
    pub time: Time,
}

/// A user of the KMIP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Name,
    groups: Box<[Membership]>,
    certificates: Vec<Fingerprint>,
    revoked: Option<Time>,
    names: BTreeMap<Box<str>, Uid>,
    live_objects: u64,
}

impl User {
    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its key sharing groups.
    pub fn groups(&self) -> &[Membership] {
        &self.groups
    }

    /// Fingerprints of all certificates ever issued to it.
    pub fn certificates(&self) -> &[Fingerprint] {
        &self.certificates
    }

    /// When it was revoked, if no certificate was issued since.
    pub const fn revoked(&self) -> Option<Time> {
        self.revoked
    }

    /// Objects it owns that are not destroyed.
    pub const fn live_objects(&self) -> u64 {
        self.live_objects
    }

    /// The names of its objects from one on, in order.
    pub fn names_from<'a>(
        &'a self,
        from: core::ops::Bound<&str>,
    ) -> impl Iterator<Item = (&'a str, Uid)> + 'a {
        let range = (from, core::ops::Bound::Unbounded);
        let names = self.names.range::<str, _>(range);
        names.map(|(name, uid)| (&**name, *uid))
    }

    /// The membership in a group, if it is a member.
    pub fn membership(&self, group: &str) -> Option<&Membership> {
        self.groups.iter().find(|m| m.group.as_str() == group)
    }
}

/// A certificate that the Local CA issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) user: UserIndex,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// End of validity.
    pub not_after: Time,
    /// Whether its user was revoked after it was issued.
    pub revoked: bool,
}

/// Where an epoch stands on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochPhase {
    /// New objects are sealed under it.
    Current,
    /// A later one is current; nodes re-seal what is left under this one.
    Leaving,
    /// Its KEK is to be destroyed; not every node has confirmed.
    AwaitingRetire,
    /// Its KEK is gone everywhere.
    Retired,
}

/// What is known of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// Where it stands.
    pub phase: EpochPhase,
    /// Nodes that have nothing left under it.
    pub resealed: BTreeSet<NodeId>,
    /// Nodes that destroyed its KEK.
    pub retired_by: BTreeSet<NodeId>,
    /// Check value of its KEK, as far as it was said.
    pub kek: Option<Hash>,
}

impl EpochRecord {
    const fn new(kek: Option<Hash>) -> Self {
        Self {
            kek,
            phase: EpochPhase::Current,
            resealed: BTreeSet::new(),
            retired_by: BTreeSet::new(),
        }
    }
}

impl State {
    /// Index of the Raft entry that brought the last record.
    pub const fn applied_entry(&self) -> u64 {
        self.applied_entry
    }

    /// Number of records taken: the ledger size this state belongs to.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The latest time of any record. A proposing node whose clock says less takes this.
    pub const fn latest_time(&self) -> Time {
        self.latest_time
    }

    /// Identity of the cluster; `None` before it was founded.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.founding.as_ref().map(|f| f.cluster)
    }

    /// Origin line of its checkpoints, in the current lineage.
    pub fn origin(&self) -> Option<&str> {
        self.founding.as_ref().map(|f| f.origin.as_str())
    }

    /// Keys that sign checkpoints, oldest first; a node's later key replaces its earlier one.
    pub fn log_keys(&self) -> &[LogKey] {
        &self.log_keys
    }

    /// The key with which a node signs now.
    pub fn log_key(&self, node: NodeId) -> Option<&LogKey> {
        self.log_keys.iter().rev().find(|key| key.node == node)
    }

    /// The last anchored head of a node's access log.
    pub fn access_anchor(&self, node: NodeId) -> Option<&Anchor> {
        self.anchors.get(&node)
    }

    /// The epoch under which new objects are sealed; epoch 0 before the founding.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All epochs so far.
    pub fn epochs(&self) -> impl Iterator<Item = (Epoch, &EpochRecord)> + '_ {
        self.epochs.iter().map(|(epoch, record)| (*epoch, record))
    }

    /// One epoch.
    pub fn epoch_record(&self, epoch: Epoch) -> Option<&EpochRecord> {
        self.epochs.get(&epoch)
    }

    /// Objects that are destroyed but whose material could still be recovered from some disk,
    /// because the KEK of the given epoch still exists somewhere.
    pub fn awaiting_final(&self) -> impl Iterator<Item = (Epoch, &Uid)> + '_ {
        self.awaiting_final.iter().map(|(epoch, uid)| (*epoch, uid))
    }

    /// The ones that the end of one epoch makes final.
    pub(crate) fn awaiting_final_of(&self, epoch: Epoch) -> impl Iterator<Item = &Uid> + '_ {
        let first = (epoch, Uid::from_bytes([0; 16]));
        let last = (epoch, Uid::from_bytes([0xff; 16]));
        self.awaiting_final.range(first..=last).map(|(_, uid)| uid)
    }

    /// True when an object is destroyed and no member can recover its material any more.
    pub fn is_final(&self, uid: &Uid) -> bool {
        self.object(uid).is_some_and(|object| object.is_tombstone())
            && self
                .epochs
                .iter()
                .filter(|(_, record)| record.phase != EpochPhase::Retired)
                .all(|(epoch, _)| !self.awaiting_final.contains(&(*epoch, *uid)))
    }

    /// The seal slots: name and kind.
    pub fn slots(&self) -> impl Iterator<Item = (&Name, &str)> + '_ {
        self.slots.iter().map(|(name, kind)| (name, kind.as_str()))
    }

    /// The limits for keys.
    pub const fn policy(&self) -> &KeyPolicy {
        &self.policy
    }

    /// For how long Get is answered without a quorum for the keys of a group; `None` gives the
    /// limit of the cluster, which holds for groups without one too.
    pub fn offline_get_of(&self, group: Option<&Name>) -> OfflineGet {
        group
            .and_then(|group| self.offline_groups.get(group))
            .copied()
            .unwrap_or(self.offline_default)
    }

    /// The groups that have a limit of their own.
    pub fn offline_groups(&self) -> impl Iterator<Item = (&Name, OfflineGet)> + '_ {
        self.offline_groups
            .iter()
            .map(|(name, limit)| (name, *limit))
    }

    /// How many bundles were exported.
    pub const fn exports(&self) -> u64 {
        self.exports
    }

    /// A user by name.
    pub fn user(&self, name: &Name) -> Option<&User> {
        self.user_at(*self.user_numbers.get(name)?)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> + '_ {
        self.user_numbers
            .values()
            .filter_map(|index| self.user_at(*index))
    }

    pub(crate) fn user_index(&self, name: &Name) -> Option<UserIndex> {
        self.user_numbers.get(name).copied()
    }

    pub(crate) fn user_at(&self, index: UserIndex) -> Option<&User> {
        self.users.get(usize::try_from(index.0).ok()?)
    }

    /// A certificate that was issued here, and the name of its user.
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<(&Name, &Certificate)> {
        let certificate = self.certificates.get(fingerprint)?;
        Some((self.user_at(certificate.user)?.name(), certificate))
    }

    /// An object, or the tombstone of one.
    pub fn object(&self, uid: &Uid) -> Option<&Object> {
        self.objects.get(uid).map(|object| &**object)
    }

    /// All objects and tombstones, by identifier (so by time of creation).
    pub fn objects(&self) -> impl Iterator<Item = &Object> + '_ {
        self.objects.values().map(|object| &**object)
    }

    /// Objects with identifiers in a range, for pages from either end.
    pub fn objects_within(
        &self,
        range: impl core::ops::RangeBounds<Uid>,
    ) -> impl DoubleEndedIterator<Item = &Object> + '_ {
        self.objects.range(range).map(|(_, object)| &**object)
    }

    /// Objects after an identifier, for pages.
    pub fn objects_after(&self, uid: &Uid) -> impl Iterator<Item = &Object> + '_ {
        use core::ops::Bound::{Excluded, Unbounded};
        self.objects
            .range((Excluded(*uid), Unbounded))
            .map(|(_, object)| &**object)
    }

    /// Objects and tombstones.
    pub fn object_count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Objects in a state, as recorded (dates that came since the last Apply Schedule are not yet
    /// counted).
    pub fn count(&self, state: LifecycleState) -> u64 {
        self.counts.get(state as usize).copied().unwrap_or(0)
    }

    /// The object that a user has given a name. Destroyed objects have none.
    pub fn find_name(&self, owner: &Name, name: &str) -> Option<Uid> {
        self.user(owner)?.names.get(name).copied()
    }

    pub(crate) fn find_name_of(&self, owner: UserIndex, name: &str) -> Option<Uid> {
        self.user_at(owner)?.names.get(name).copied()
    }

    /// When the next transition by date is due: the node then asks for Apply Schedule.
    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    pub(crate) fn due_objects(&self, now: Time) -> impl Iterator<Item = &Object> + '_ {
        self.due
            .iter()
            .take_while(move |(time, _)| *time <= now)
            .filter_map(|(_, uid)| self.object(uid))
    }

    pub(crate) fn user_count(&self) -> usize {
        self.users.len()
    }
}
