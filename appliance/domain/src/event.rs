//! What happened: the records of the two logs.
//!
//! *Warning:* every type in this file stands in ledgers that are kept for ever and exported. A kind
//! or a field is never renamed, reused or removed; a new field has a `#[serde(default)]`. Golden
//! files in `tests/golden` pin the bytes of every kind.

use crate::member::{first_format, is_first_format};
use crate::{Actor, Attribute, AttributeName, Candidate, ClusterId, Command, Denial};
use crate::{Destination, DoorIdentity, Epoch, RotationCause, TransferOutcome, View};
use crate::{Fingerprint, Hash, Instance, KeyPolicy, LifecycleState, Material, MemberRole};
use crate::{Membership, Name, NodeId, ObjectType, OfflineGet, Permissions, Stale, Time, Uid};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A record is at most this long, in bytes (DESIGN §2): a frame is read into memory whole.
pub const RECORD_BYTES_MAX: usize = 60 * 1024;

/// One record of the cluster log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version of this record: 1.
    pub v: u8,
    /// Index of the Raft entry that brought it. Records of one entry stand together.
    pub entry: u64,
    /// When, by the clock of the node that proposed the command.
    pub time: Time,
    /// By whom.
    pub actor: Actor,
    /// What.
    pub event: Event,
    /// What tells a repetition of the command that brought it ([`crate::Facts::once`]); none on a
    /// refusal, which may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Hash>,
}

impl Record {
    /// The record of one event that [`crate::decide`] made of a command.
    pub fn new(entry: u64, command: &Command, event: Event) -> Self {
        let refused = matches!(event, Event::Refused { .. });
        Self {
            v: 1,
            entry,
            time: command.time,
            actor: command.actor.clone(),
            event,
            once: command.facts.once.filter(|_| !refused),
        }
    }
}

/// Why a state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// The actor asked for it.
    Asked,
    /// A date of the object came.
    Schedule,
}

/// Something that changed the state of the cluster, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The cluster began.
    ClusterFounded {
        /// Its identity.
        cluster: ClusterId,
        /// Origin of its checkpoints.
        origin: String,
        /// Its first node.
        node: NodeId,
    },
    /// A node began to serve.
    NodeStarted {
        /// Which.
        node: NodeId,
        /// Version of its program.
        version: String,
        /// Newest format that its program understands.
        #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
        format: u32,
    },
    /// A node ended by request.
    NodeStopped {
        /// Which.
        node: NodeId,
    },
    /// A key signs checkpoints from here on.
    LogKeyAdded {
        /// Whose.
        node: NodeId,
        /// Ed25519 public key.
        public_key: Hash,
    },
    /// Head of a node's access log.
    AccessLogAnchored {
        /// Whose.
        node: NodeId,
        /// Records in it.
        size: u64,
        /// Merkle root over them.
        root: Hash,
    },
    /// A user was added, or its groups were changed.
    UserPut {
        /// Name.
        name: Name,
        /// Groups from now on.
        groups: Vec<Membership>,
    },
    /// The Local CA issued a certificate.
    CertificateIssued {
        /// To whom.
        user: Name,
        /// Which.
        certificate: Fingerprint,
        /// Serial number, hexadecimal.
        serial: String,
        /// End of validity.
        not_after: Time,
    },
    /// No certificate of this user issued before now is accepted.
    UserRevoked {
        /// Whose.
        name: Name,
    },
    /// An object came to be.
    ObjectCreated {
        /// Its identifier.
        uid: Uid,
        /// Its kind.
        object_type: ObjectType,
        /// Who owns it.
        owner: Name,
        /// True when the client brought the material (Register), false when it was made here.
        registered: bool,
        /// Commitment to the material.
        material: Material,
        /// State it begins in.
        state: LifecycleState,
        /// All its attributes that are not derived from other fields.
        attributes: Vec<Attribute>,
    },
    /// Pre-Active to Active.
    ObjectActivated {
        /// Which.
        uid: Uid,
        /// Why.
        cause: Cause,
    },
    /// Active to Deactivated because its Deactivation Date came.
    ObjectDeactivated {
        /// Which.
        uid: Uid,
        /// Why.
        cause: Cause,
    },
    /// Revoked by request.
    ObjectRevoked {
        /// Which.
        uid: Uid,
        /// Revocation Reason Code.
        reason: u32,
        /// Revocation Message.
        message: Option<String>,
        /// Compromise Occurrence Date.
        compromise_occurred: Option<Time>,
        /// State from now on.
        state: LifecycleState,
    },
    /// Destroyed: the material is to be forgotten by every node.
    ObjectDestroyed {
        /// Which.
        uid: Uid,
        /// Destroyed or Destroyed Compromised.
        state: LifecycleState,
    },
    /// An attribute instance was added.
    AttributeAdded {
        /// To which object.
        uid: Uid,
        /// The number it got: instances of one attribute are counted from 0, and a number is not
        /// moved when another instance goes (KMIP 1.4 §2.1.1).
        index: u32,
        /// What.
        attribute: Attribute,
    },
    /// An attribute instance was replaced, or set for the first time.
    AttributeModified {
        /// Of which object.
        uid: Uid,
        /// Which instance, by its number.
        index: u32,
        /// What it is now.
        attribute: Attribute,
    },
    /// Attribute instances were taken away.
    AttributeDeleted {
        /// From which object.
        uid: Uid,
        /// Which attribute.
        name: AttributeName,
        /// Which instance.
        which: Instance,
    },
    /// New objects are sealed under this epoch.
    EpochOpened {
        /// The new one.
        epoch: Epoch,
        /// Check value of its KEK.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kek: Option<Hash>,
    },
    /// A node has re-sealed everything that was under an epoch.
    ResealConfirmed {
        /// Which node.
        node: NodeId,
        /// The epoch it left.
        epoch: Epoch,
    },
    /// Every member confirmed; the KEK of the epoch is to be destroyed.
    EpochRetired {
        /// Which.
        epoch: Epoch,
    },
    /// A node has destroyed the KEK of an epoch and purged what was sealed under it.
    RetireConfirmed {
        /// Which node.
        node: NodeId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// The material of these objects cannot be recovered from any member. When an epoch has more
    /// of them than fit into one record, several of these follow each other.
    DestroyFinal {
        /// The epoch whose KEK is gone.
        epoch: Epoch,
        /// The objects destroyed under it.
        objects: Vec<Uid>,
        /// The nodes that confirmed.
        nodes: Vec<NodeId>,
    },
    /// A seal slot was added.
    SlotAdded {
        /// Name.
        name: Name,
        /// Kind.
        kind: String,
    },
    /// A seal slot was removed.
    SlotRemoved {
        /// Name.
        name: Name,
    },
    /// A bundle was written.
    LogExported {
        /// Records of the cluster log in it.
        size: u64,
        /// Root over them.
        root: Hash,
        /// SHA-256 of its SHA256SUMS.
        digest: Hash,
    },
    /// The limits for keys changed.
    KeyPolicySet {
        /// The limits from now on.
        policy: KeyPolicy,
    },
    /// A member stated its keys and where it is reached.
    NodeIdentified {
        /// Which.
        node: NodeId,
        /// SHA-256 of the SubjectPublicKeyInfo of its TLS key.
        key: Fingerprint,
        /// Public key to which the KEK ring is encrypted.
        #[serde(with = "serde_bytes")]
        sealing_key: Vec<u8>,
        /// `host:port`.
        address: String,
    },
    /// One node may ask to join.
    TicketIssued {
        /// SHA-256 of the secret.
        ticket: Hash,
        /// End of validity.
        expires: Time,
    },
    /// A node with a ticket asked to join and waits for an operator.
    JoinRequested {
        /// SHA-256 of the ticket's secret; it is used up.
        ticket: Hash,
        /// What the node says of itself.
        candidate: Candidate,
    },
    /// A waiting node was turned away.
    JoinDenied {
        /// Its TLS key.
        key: Fingerprint,
    },
    /// A node was let in. Its log key stands in the next record.
    NodeAdmitted {
        /// The number it got.
        node: NodeId,
        /// What it said of itself.
        candidate: Candidate,
        /// The member it comes back for, which leaves.
        replaces: Option<NodeId>,
    },
    /// A member is in full standing, or took another role.
    MemberConfirmed {
        /// Which.
        node: NodeId,
        /// Its role from now on.
        role: MemberRole,
    },
    /// A member is being removed; its word no longer counts.
    NodeLeaving {
        /// Which.
        node: NodeId,
    },
    /// A member is out, and what it holds is useless.
    NodeRemoved {
        /// Which.
        node: NodeId,
    },
    /// The cluster CA has a new key.
    ClusterCaRotated {
        /// SHA-256 of the new certificate of the CA.
        ca: Fingerprint,
    },
    /// One member went on after the majority was lost for good. All others are out.
    LineageForked {
        /// Number of the new lineage.
        lineage: u32,
        /// The member that went on.
        node: NodeId,
        /// Origin of checkpoints from here on.
        origin: String,
        /// Records that may be missing, as far as was known; 0 when unknown.
        lost: u64,
    },
    /// An object that only an old member still had was taken in.
    ObjectSalvaged {
        /// Its identifier.
        uid: Uid,
        /// Its kind.
        object_type: ObjectType,
        /// Who owns it.
        owner: Name,
        /// True when a client once brought the material.
        registered: bool,
        /// Commitment to the material, sealed anew.
        material: Material,
        /// When it came to be, by the log of the old member.
        initial: Time,
        /// State it begins in.
        state: LifecycleState,
        /// All its attributes that are not derived from other fields.
        attributes: Vec<Attribute>,
        /// The member that had it.
        from: NodeId,
    },
    /// Every member is to say the digest of its state as of this record.
    ScrubBegun {
        /// Number of the scrub, from 1.
        scrub: u64,
    },
    /// A member said its digests.
    ScrubReported {
        /// Which member.
        node: NodeId,
        /// Of which scrub.
        scrub: u64,
        /// Digest of its state.
        state: Hash,
        /// Digest of its sealed store; none from a witness.
        store: Option<Hash>,
    },
    /// Two members differ where they must agree: changes by users stop.
    DivergenceFound {
        /// Size of the log.
        size: u64,
        /// One of them.
        node: NodeId,
        /// Its Merkle root at that size, or its state digest.
        root: Hash,
        /// The other.
        other: NodeId,
        /// The same of the other.
        other_root: Hash,
        /// The scrub whose state digests these are; `None` when they are Merkle roots.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scrub: Option<u64>,
    },
    /// An operator lets changes go on.
    DivergenceResolved {
        /// What was found and done.
        reason: String,
    },
    /// A member replaced damaged pieces by those of others.
    Repaired {
        /// Which member.
        node: NodeId,
        /// What was damaged.
        what: String,
        /// How many pieces.
        items: u64,
    },
    /// How long Get is answered without a quorum changed.
    OfflineGetSet {
        /// For the keys of this group; `None` is the cluster's default.
        group: Option<Name>,
        /// How long, from now on.
        limit: OfflineGet,
    },
    /// A setting has another value.
    SettingChanged {
        /// Whose; `None` is the cluster's.
        node: Option<NodeId>,
        /// Which.
        id: String,
        /// What it is now.
        value: String,
    },
    /// An administrator was added, or signs in otherwise from now on.
    AdministratorPut {
        /// Name.
        name: Name,
        /// SHA-256(salt ‖ verifier) of the password.
        password: Option<Hash>,
        /// Lines of OpenSSH public keys.
        ssh_keys: Vec<String>,
        /// What they may do; none in records before format 4, when that was everything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permissions: Option<Permissions>,
        /// Whether the password must be changed at the next sign-in.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        must_change: bool,
    },
    /// An administrator has another password.
    PasswordChanged {
        /// Whose.
        name: Name,
        /// SHA-256(salt ‖ verifier).
        password: Hash,
        /// Whether it must be changed at the next sign-in: somebody else set it.
        must_change: bool,
    },
    /// An administrator signs in with other SSH keys.
    SshKeysSet {
        /// Whose.
        name: Name,
        /// Lines of OpenSSH public keys.
        ssh_keys: Vec<String>,
    },
    /// An administrator may do other things.
    PermissionsSet {
        /// Who.
        name: Name,
        /// All that they may do.
        permissions: Permissions,
    },
    /// An administrator is one no more.
    AdministratorRemoved {
        /// Who.
        name: Name,
    },
    /// A range of a log was closed.
    LogRotated {
        /// The node that asked; of a view of an access log, whose it is.
        node: NodeId,
        /// Which of the four logs.
        log: View,
        /// Counted from 1.
        number: u64,
        /// The first record of the range.
        from: u64,
        /// The first record after it.
        size: u64,
        /// Merkle root at that size, of an access log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<Hash>,
        /// Why.
        cause: RotationCause,
    },
    /// Closed logs go there from now on.
    DestinationPut {
        /// Its name.
        name: Name,
        /// What it is.
        destination: Destination,
    },
    /// Closed logs go there no more.
    DestinationRemoved {
        /// Its name.
        name: Name,
    },
    /// A closed log arrived, or something new keeps it from arriving.
    LogTransferred {
        /// The node that sent it.
        node: NodeId,
        /// Where to.
        destination: Name,
        /// Which of the four logs.
        log: View,
        /// Number of the closed log.
        number: u64,
        /// What it came to.
        outcome: TransferOutcome,
    },
    /// A node is recognised at its doors by something new.
    IdentityRenewed {
        /// Which.
        node: NodeId,
        /// By what.
        identity: DoorIdentity,
    },
    /// The clock of a node's machine was set by hand.
    ClockSet {
        /// Whose.
        node: NodeId,
        /// The time that it acted by.
        was: Time,
        /// The time it was set to.
        is: Time,
    },
    /// A rule said no to a command.
    Refused {
        /// What was asked, by the name of the ask.
        ask: String,
        /// Of which object.
        uid: Option<Uid>,
        /// Why not.
        denial: Denial,
    },
}

/// One record of a node's access log: what was read or refused there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// Format version of this record: 1.
    pub v: u8,
    /// When.
    pub time: Time,
    /// By whom.
    pub actor: Actor,
    /// Size of the cluster log that the answer was decided on.
    pub seen: u64,
    /// What.
    pub access: Access,
}

/// Something that was read, or refused before it became a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Key material was released (written before the bytes leave, law 5).
    Released {
        /// Which object.
        uid: Uid,
        /// Set when no quorum answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stale: Option<Stale>,
    },
    /// Attributes were read.
    AttributesRead {
        /// Which object.
        uid: Uid,
        /// Set when no quorum answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stale: Option<Stale>,
    },
    /// Objects were searched for.
    Located {
        /// How many the answer names.
        found: u32,
        /// Set when no quorum answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stale: Option<Stale>,
    },
    /// The server's abilities were asked for (Query, Discover Versions).
    Asked {
        /// The operation.
        operation: String,
    },
    /// A rule said no.
    Refused {
        /// The operation.
        operation: String,
        /// The object as the client named it, cut to 64 characters.
        object: Option<String>,
        /// Why not.
        denial: Denial,
    },
    /// A message or a handshake was not what the protocol asks for.
    Malformed {
        /// What was wrong.
        reason: String,
        /// How many of the same kind this record stands for (ABUSE A45).
        count: u32,
    },
    /// The node tested its primitives: when it started, or because somebody asked.
    SelfTested {
        /// How many tests.
        tests: u32,
        /// Names of those that did not pass.
        failed: Vec<String>,
    },
    /// The world failed; the client was told so.
    Failed {
        /// The operation.
        operation: String,
        /// What failed.
        reason: String,
    },
}

impl Event {
    /// The object it is about, when it is about one.
    pub const fn uid(&self) -> Option<&Uid> {
        match self {
            Self::ObjectCreated { uid, .. }
            | Self::ObjectSalvaged { uid, .. }
            | Self::ObjectActivated { uid, .. }
            | Self::ObjectDeactivated { uid, .. }
            | Self::ObjectRevoked { uid, .. }
            | Self::ObjectDestroyed { uid, .. }
            | Self::AttributeAdded { uid, .. }
            | Self::AttributeModified { uid, .. }
            | Self::AttributeDeleted { uid, .. } => Some(uid),
            Self::Refused { uid, .. } => uid.as_ref(),
            _ => None,
        }
    }
}
