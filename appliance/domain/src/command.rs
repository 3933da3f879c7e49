//! What may be asked for: one [`Command`] is the only way to change anything (law 1).
//!
//! *Warning:* these types stand in the Raft log. A change of a field needs a default for old bytes.

use crate::administrator::needed;
use crate::member::{DOORS_FORMAT, FIRST_FORMAT, first_format, is_first_format};
use crate::setting;
use crate::{Attribute, AttributeName, Candidate, ClusterId, DoorIdentity, Epoch, Fingerprint};
use crate::{Destination, Hash, LogHead, RotationCause, TransferOutcome, View};
use crate::{LifecycleState, MemberRole, Name, NodeId, ObjectType, OfflineGet, SettingValue, Time};
use crate::{Permissions, Uid, Value};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Something asked of the cluster, with everything that deciding it needs: who asks, when the
/// proposing node saw it, and what only the outside world could supply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Who asks. There is no default: an unattributed change cannot be written.
    pub actor: Actor,
    /// When, by the clock of the proposing node.
    pub time: Time,
    /// What.
    pub ask: Ask,
    /// What the proposing node made for it.
    pub facts: Facts,
}

/// Who asks, and through which door.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Actor {
    /// A KMIP user, proven by a client certificate.
    User {
        /// Name, from the configured field of the certificate.
        name: Name,
        /// The certificate that proved it.
        certificate: Fingerprint,
        /// Address of the peer, `ip:port`.
        source: String,
    },
    /// An operator on the node itself.
    Operator {
        /// Account name, or `uid:N` of the peer on the Unix socket.
        name: String,
        /// Door used.
        door: Door,
    },
    /// The node, by itself: start, stop, schedules, rotation.
    Node(NodeId),
    /// Nobody could be identified (a failed handshake, an unknown certificate).
    Unknown {
        /// Address of the peer, `ip:port`.
        source: String,
    },
}

/// The doors of the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Door {
    /// KMIP over TLS.
    Kmip,
    /// The Unix socket of the node.
    Socket,
    /// The serial console.
    Console,
    /// SSH.
    Ssh,
    /// Web admin or REST.
    Web,
    /// The node itself.
    Scheduler,
}

/// What the proposing node supplies, because `decide` may not make it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Identifier for a new object.
    pub uid: Option<Uid>,
    /// The sealed material of a new object; the sealed bytes travel beside the command.
    pub material: Option<Material>,
    /// SHA-256 of what tells a repetition of this command: the same user with the same value is
    /// not obeyed twice ([`crate::State::repeated`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Hash>,
    /// The node that proposed it. It travels with the command and stands in no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

/// What the log may know of key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// SHA-256(salt ‖ material). The salt is sealed with the material.
    pub commitment: Hash,
    /// Epoch whose KEK seals it.
    pub epoch: Epoch,
    /// Length of the material in bytes.
    pub length_bytes: u32,
}

/// A user's place in a key sharing group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: Name,
    /// What the user may do with keys that other members share.
    pub role: GroupRole,
}

/// What a member may do with keys that the other members of a group share with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupRole {
    /// Locate and read: Get, Get Attributes, Get Attribute List.
    Use,
    /// Also change: attributes, Activate, Revoke, Destroy.
    Manage,
}

/// Everything that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Founds a cluster. Only the first command of a log may be this.
    FoundCluster {
        /// Identity of the new cluster.
        cluster: ClusterId,
        /// Origin line of its checkpoints, `strongroom/<cluster>/lineage-1`.
        origin: String,
        /// Its first node.
        node: NodeId,
    },
    /// A node began to serve.
    StartNode {
        /// Which.
        node: NodeId,
        /// Version of its program.
        version: String,
        /// Newest format that its program understands.
        #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
        format: u32,
    },
    /// A node ended by request.
    StopNode {
        /// Which.
        node: NodeId,
    },
    /// A key that signs checkpoints from now on.
    AddLogKey {
        /// Whose.
        node: NodeId,
        /// Ed25519 public key, 32 bytes.
        public_key: Hash,
    },
    /// The head of a node's access log.
    AnchorAccessLog {
        /// Whose.
        node: NodeId,
        /// Records in it.
        size: u64,
        /// Merkle root over them.
        root: Hash,
    },
    /// Adds a user, or changes the groups of one.
    PutUser {
        /// Name.
        name: Name,
        /// Key sharing groups.
        groups: Vec<Membership>,
    },
    /// Records a certificate that the Local CA issued to a user.
    IssueCertificate {
        /// Whose.
        user: Name,
        /// Which.
        certificate: Fingerprint,
        /// Serial number, hexadecimal.
        serial: String,
        /// End of validity.
        not_after: Time,
    },
    /// Makes every certificate of a user useless at once.
    RevokeUser {
        /// Whose.
        name: Name,
    },
    /// Creates a symmetric key inside the appliance.
    Create {
        /// What the client asked for.
        attributes: Vec<Attribute>,
    },
    /// Creates a symmetric key for a user, who owns it. Operators only.
    CreateFor {
        /// Who owns it.
        owner: Name,
        /// What was asked for.
        attributes: Vec<Attribute>,
    },
    /// Takes in an object that the client brings.
    Register {
        /// Its kind.
        object_type: ObjectType,
        /// What the client said of it, and what the door read off it.
        attributes: Vec<Attribute>,
    },
    /// Pre-Active to Active.
    Activate {
        /// Which object.
        uid: Uid,
    },
    /// To Deactivated or Compromised.
    Revoke {
        /// Which object.
        uid: Uid,
        /// Revocation Reason Code (KMIP 2.1 §11.49).
        reason: u32,
        /// Revocation Message.
        message: Option<String>,
        /// Compromise Occurrence Date.
        compromise_occurred: Option<Time>,
    },
    /// To Destroyed or Destroyed Compromised; the material is forgotten.
    Destroy {
        /// Which object.
        uid: Uid,
    },
    /// Adds an instance of an attribute.
    AddAttribute {
        /// Which object.
        uid: Uid,
        /// What.
        attribute: Attribute,
    },
    /// Replaces an instance of an attribute.
    ModifyAttribute {
        /// Which object.
        uid: Uid,
        /// Which instance, counted from 0; `None` is the first.
        index: Option<u32>,
        /// The instance must have this value now (KMIP 2.x Current Attribute).
        current: Option<Attribute>,
        /// What it shall be.
        attribute: Attribute,
    },
    /// Sets a single-instance attribute, whether it was there or not (KMIP 2.x Set Attribute).
    SetAttribute {
        /// Which object.
        uid: Uid,
        /// What it shall be.
        attribute: Attribute,
    },
    /// Takes away an instance of an attribute, or all of them (KMIP 2.x Attribute Reference).
    DeleteAttribute {
        /// Which object.
        uid: Uid,
        /// Which attribute.
        name: AttributeName,
        /// Which instance.
        which: Instance,
    },
    /// Carries out the transitions whose date has come.
    ApplySchedule,
    /// New objects are sealed under a new epoch from here on.
    OpenEpoch {
        /// The next one.
        epoch: Epoch,
        /// Check value of its KEK: nodes that hold several candidates know by it which one counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kek: Option<Hash>,
    },
    /// A node has nothing left under an epoch.
    ConfirmReseal {
        /// Which node.
        node: NodeId,
        /// The epoch it left.
        epoch: Epoch,
    },
    /// The KEK of an epoch is to be destroyed everywhere.
    RetireEpoch {
        /// Which.
        epoch: Epoch,
    },
    /// A node has destroyed the KEK and purged what was sealed under it.
    ConfirmRetire {
        /// Which node.
        node: NodeId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// A seal slot was added.
    AddSlot {
        /// Name.
        name: Name,
        /// Kind, as `slots` prints it.
        kind: String,
    },
    /// A seal slot was removed.
    RemoveSlot {
        /// Name.
        name: Name,
    },
    /// A bundle was written.
    RecordExport {
        /// Records of the cluster log in it.
        size: u64,
        /// Root over them.
        root: Hash,
        /// SHA-256 of its SHA256SUMS.
        digest: Hash,
    },
    /// Changes the limits for keys.
    SetKeyPolicy {
        /// The limits.
        policy: KeyPolicy,
    },
    /// A member states its keys and where it is reached. Keys are stated once; the address may
    /// change.
    IdentifyNode {
        /// Which.
        node: NodeId,
        /// SHA-256 of the SubjectPublicKeyInfo of its TLS key.
        key: Fingerprint,
        /// Public key to which the KEK ring is encrypted, 1 to 133 bytes.
        #[serde(with = "serde_bytes")]
        sealing_key: Vec<u8>,
        /// `host:port`.
        address: String,
    },
    /// Lets one node ask to join. Operators only.
    IssueTicket {
        /// SHA-256 of the secret.
        ticket: Hash,
        /// End of validity, at most 15 minutes ahead.
        expires: Time,
    },
    /// A node with a ticket asks to join; a member says it on its behalf.
    RequestJoin {
        /// SHA-256 of the ticket's secret.
        ticket: Hash,
        /// What the node says of itself.
        candidate: Candidate,
    },
    /// Lets a waiting node in. Operators only.
    ApproveJoin {
        /// Its TLS key.
        key: Fingerprint,
    },
    /// Turns a waiting node away. Operators only.
    DenyJoin {
        /// Its TLS key.
        key: Fingerprint,
    },
    /// A member that lost its disk comes back under a new number; another member, to which it
    /// proved who it is, says it on its behalf.
    Rejoin {
        /// The number it had.
        old: NodeId,
        /// What it says of itself now.
        candidate: Candidate,
    },
    /// A member that was let in has caught up and is what it was to become, or a member took
    /// another role.
    ConfirmMember {
        /// Which.
        node: NodeId,
        /// Its role from now on.
        role: MemberRole,
    },
    /// Begins the removal of a member. Operators, or the member itself.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// A leaving member is out, and what it holds is useless.
    ConfirmRemoved {
        /// Which.
        node: NodeId,
    },
    /// The cluster CA has a new key.
    RotateClusterCa {
        /// SHA-256 of the new certificate of the CA.
        ca: Fingerprint,
    },
    /// Goes on with one member after the majority was lost for good. Operators only.
    ForkLineage {
        /// Number of the new lineage: one more than the last.
        lineage: u32,
        /// The member that goes on; all others are out.
        node: NodeId,
        /// Origin line of checkpoints from now on.
        origin: String,
        /// Records that the lost members may have had and this one has not; 0 when unknown.
        lost: u64,
    },
    /// Takes in an object that only an old member still had. Operators only; nothing is ever
    /// overwritten, and what was destroyed stays destroyed.
    Salvage {
        /// Its identifier.
        uid: Uid,
        /// Its kind.
        object_type: ObjectType,
        /// Who owns it.
        owner: Name,
        /// True when a client once brought the material.
        registered: bool,
        /// When it came to be, by the log of the old member.
        initial: Time,
        /// Its state there; not a destroyed one.
        state: LifecycleState,
        /// All its attributes that are not derived from other fields.
        attributes: Vec<Attribute>,
        /// The member that had it.
        from: NodeId,
    },
    /// Every member is to say the digest of its state as of this record.
    BeginScrub,
    /// The digests of one member.
    ReportDigest {
        /// Whose.
        node: NodeId,
        /// Of which scrub.
        scrub: u64,
        /// [`crate::State::digest`] after the record that began it.
        state: Hash,
        /// Digest of its sealed store; none from a witness.
        store: Option<Hash>,
    },
    /// Two members signed different roots for one size of the log.
    ReportDivergence {
        /// The size.
        size: u64,
        /// One of them.
        node: NodeId,
        /// Its root.
        root: Hash,
        /// The other.
        other: NodeId,
        /// The root of the other.
        other_root: Hash,
    },
    /// Lets changes go on after a divergence was looked into. Operators only.
    ResolveDivergence {
        /// What was found and done, for the log.
        reason: String,
    },
    /// A member replaced damaged pieces by those of others.
    RecordRepair {
        /// Which member.
        node: NodeId,
        /// What was damaged: `segment`, `sealed store`.
        what: String,
        /// How many pieces.
        items: u64,
    },
    /// Settles how long Get is answered without a quorum. Operators only.
    SetOfflineGet {
        /// For the keys of this group; `None` settles the cluster's default.
        group: Option<Name>,
        /// How long.
        limit: OfflineGet,
    },
    /// Sets some settings of a node, and of the cluster. Operators, or the node itself.
    Configure {
        /// Whose, where a setting is a node's own.
        node: NodeId,
        /// At most 64, each id once, in canonical form.
        values: Vec<SettingValue>,
    },
    /// Adds an administrator, or replaces how one signs in.
    PutAdministrator {
        /// Name.
        name: Name,
        /// SHA-256(salt ‖ verifier) of the password; the verifier lies sealed in the vault.
        password: Option<Hash>,
        /// Lines of OpenSSH public keys in canonical form, at most 8.
        ssh_keys: Vec<String>,
        /// What they may do; `None` keeps what they have, and gives the first one everything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permissions: Option<Permissions>,
        /// Whether the password must be changed at the next sign-in.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        must_change: bool,
    },
    /// An administrator has another password. Only they ask it.
    ChangePassword {
        /// SHA-256(salt ‖ verifier).
        password: Hash,
    },
    /// Gives an administrator a password that must be changed at the next sign-in. Operators only.
    ResetPassword {
        /// Whose.
        name: Name,
        /// SHA-256(salt ‖ verifier).
        password: Hash,
    },
    /// Replaces the SSH keys of an administrator. Operators only; one's own, or with high access.
    SetSshKeys {
        /// Whose.
        name: Name,
        /// Lines of OpenSSH public keys in canonical form, at most 8.
        ssh_keys: Vec<String>,
    },
    /// Settles what an administrator may do. Operators only.
    SetPermissions {
        /// Who.
        name: Name,
        /// All that they may do.
        permissions: Permissions,
    },
    /// Takes an administrator away. Operators only.
    RemoveAdministrator {
        /// Who.
        name: Name,
    },
    /// Closes a log: what was recorded since it was closed last is to become a signed bundle.
    RotateLog {
        /// The node that asks; of a view of an access log, whose it is.
        node: NodeId,
        /// Which of the four logs.
        log: View,
        /// Head of the node's access log, for a view of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<LogHead>,
        /// Why.
        cause: RotationCause,
    },
    /// Sends closed logs to a place, or otherwise than before. Operators only.
    PutDestination {
        /// Its name.
        name: Name,
        /// What it is.
        destination: Destination,
    },
    /// Sends no closed logs there any more. Operators only.
    RemoveDestination {
        /// Its name.
        name: Name,
    },
    /// A member says what came of a transfer.
    RecordTransfer {
        /// Which.
        node: NodeId,
        /// Where to.
        destination: Name,
        /// Which of the four logs.
        log: View,
        /// Number of the closed log.
        number: u64,
        /// What came of it.
        outcome: TransferOutcome,
    },
    /// A node is recognised at its doors by something new. Operators only.
    RenewIdentity {
        /// Which.
        node: NodeId,
        /// By what.
        identity: DoorIdentity,
    },
    /// The clock of a node's machine is set by hand. Operators only.
    SetClock {
        /// Whose.
        node: NodeId,
        /// To what.
        to: Time,
    },
}

impl Ask {
    /// Its name, as refusals and log lines give it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FoundCluster { .. } => "Found Cluster",
            Self::StartNode { .. } => "Start Node",
            Self::StopNode { .. } => "Stop Node",
            Self::AddLogKey { .. } => "Add Log Key",
            Self::AnchorAccessLog { .. } => "Anchor Access Log",
            Self::PutUser { .. } => "Put User",
            Self::IssueCertificate { .. } => "Issue Certificate",
            Self::RevokeUser { .. } => "Revoke User",
            Self::Create { .. } => "Create",
            Self::CreateFor { .. } => "Create For",
            Self::Register { .. } => "Register",
            Self::Activate { .. } => "Activate",
            Self::Revoke { .. } => "Revoke",
            Self::Destroy { .. } => "Destroy",
            Self::AddAttribute { .. } => "Add Attribute",
            Self::ModifyAttribute { .. } => "Modify Attribute",
            Self::SetAttribute { .. } => "Set Attribute",
            Self::DeleteAttribute { .. } => "Delete Attribute",
            Self::ApplySchedule => "Apply Schedule",
            Self::OpenEpoch { .. } => "Open Epoch",
            Self::ConfirmReseal { .. } => "Confirm Reseal",
            Self::RetireEpoch { .. } => "Retire Epoch",
            Self::ConfirmRetire { .. } => "Confirm Retire",
            Self::AddSlot { .. } => "Add Slot",
            Self::RemoveSlot { .. } => "Remove Slot",
            Self::RecordExport { .. } => "Record Export",
            Self::SetKeyPolicy { .. } => "Set Key Policy",
            Self::IdentifyNode { .. } => "Identify Node",
            Self::IssueTicket { .. } => "Issue Ticket",
            Self::RequestJoin { .. } => "Request Join",
            Self::ApproveJoin { .. } => "Approve Join",
            Self::DenyJoin { .. } => "Deny Join",
            Self::Rejoin { .. } => "Rejoin",
            Self::ConfirmMember { .. } => "Confirm Member",
            Self::RemoveNode { .. } => "Remove Node",
            Self::ConfirmRemoved { .. } => "Confirm Removed",
            Self::RotateClusterCa { .. } => "Rotate Cluster CA",
            Self::ForkLineage { .. } => "Fork Lineage",
            Self::Salvage { .. } => "Salvage",
            Self::BeginScrub => "Begin Scrub",
            Self::ReportDigest { .. } => "Report Digest",
            Self::ReportDivergence { .. } => "Report Divergence",
            Self::ResolveDivergence { .. } => "Resolve Divergence",
            Self::RecordRepair { .. } => "Record Repair",
            Self::SetOfflineGet { .. } => "Set Offline Get",
            Self::Configure { .. } => "Configure",
            Self::PutAdministrator { .. } => "Put Administrator",
            Self::ChangePassword { .. } => "Change Password",
            Self::ResetPassword { .. } => "Reset Password",
            Self::SetSshKeys { .. } => "Set SSH Keys",
            Self::SetPermissions { .. } => "Set Permissions",
            Self::RemoveAdministrator { .. } => "Remove Administrator",
            Self::RotateLog { .. } => "Rotate Log",
            Self::PutDestination { .. } => "Put Destination",
            Self::RemoveDestination { .. } => "Remove Destination",
            Self::RecordTransfer { .. } => "Record Transfer",
            Self::RenewIdentity { .. } => "Renew Identity",
            Self::SetClock { .. } => "Set Clock",
        }
    }

    /// The format that every member must understand before it may be asked. A new ask, and a field
    /// that an older program would overlook, has a higher one than those before it.
    pub fn format(&self) -> u32 {
        match self {
            Self::FoundCluster { .. }
            // It is how a member says that its program is newer.
            | Self::StartNode { .. }
            | Self::StopNode { .. }
            | Self::AddLogKey { .. }
            | Self::AnchorAccessLog { .. }
            | Self::PutUser { .. }
            | Self::IssueCertificate { .. }
            | Self::RevokeUser { .. }
            | Self::Create { .. }
            | Self::Register { .. }
            | Self::Activate { .. }
            | Self::Revoke { .. }
            | Self::Destroy { .. }
            | Self::AddAttribute { .. }
            | Self::ModifyAttribute { .. }
            | Self::SetAttribute { .. }
            | Self::DeleteAttribute { .. }
            | Self::ApplySchedule
            | Self::OpenEpoch { kek: None, .. }
            | Self::ConfirmReseal { .. }
            | Self::RetireEpoch { .. }
            | Self::ConfirmRetire { .. }
            | Self::AddSlot { .. }
            | Self::RemoveSlot { .. }
            | Self::RecordExport { .. }
            | Self::SetKeyPolicy { .. } => FIRST_FORMAT,
            Self::OpenEpoch { kek: Some(_), .. }
            | Self::IdentifyNode { .. }
            | Self::IssueTicket { .. }
            | Self::RequestJoin { .. }
            | Self::ApproveJoin { .. }
            | Self::DenyJoin { .. }
            | Self::Rejoin { .. }
            | Self::ConfirmMember { .. }
            | Self::RemoveNode { .. }
            | Self::ConfirmRemoved { .. }
            | Self::RotateClusterCa { .. }
            | Self::ForkLineage { .. }
            | Self::Salvage { .. }
            | Self::BeginScrub
            | Self::ReportDigest { .. }
            | Self::ReportDivergence { .. }
            | Self::ResolveDivergence { .. }
            | Self::RecordRepair { .. }
            | Self::SetOfflineGet { .. } => 2,
            Self::Configure { values, .. } => format_of(values),
            Self::PutAdministrator {
                permissions: None,
                must_change: false,
                ..
            } => 3,
            Self::PutAdministrator { .. }
            | Self::ChangePassword { .. }
            | Self::ResetPassword { .. }
            | Self::SetSshKeys { .. }
            | Self::SetPermissions { .. }
            | Self::RemoveAdministrator { .. } => 4,
            Self::CreateFor { .. }
            | Self::RotateLog { .. }
            | Self::PutDestination { .. }
            | Self::RemoveDestination { .. }
            | Self::RecordTransfer { .. }
            | Self::RenewIdentity { .. }
            | Self::SetClock { .. } => DOORS_FORMAT,
        }
    }

    /// What it needs of the administrator of a name who asks it.
    pub fn needs(&self, speaker: &Name) -> Permissions {
        needed(self, speaker)
    }

    /// The object it is about, when the ask names one.
    pub const fn uid(&self) -> Option<&Uid> {
        match self {
            Self::Activate { uid }
            | Self::Revoke { uid, .. }
            | Self::Destroy { uid }
            | Self::AddAttribute { uid, .. }
            | Self::ModifyAttribute { uid, .. }
            | Self::SetAttribute { uid, .. }
            | Self::DeleteAttribute { uid, .. }
            | Self::Salvage { uid, .. } => Some(uid),
            _ => None,
        }
    }
}

/// The format of settings: that of the newest of them. What approved-algorithms mode forbids came
/// later than its setting.
fn format_of(values: &[SettingValue]) -> u32 {
    let is_switch = |value: &SettingValue| value.id == setting::APPROVED && value.value == "yes";
    let least = match values.iter().any(is_switch) {
        true => DOORS_FORMAT,
        false => 3,
    };
    let rows = values.iter().filter_map(|value| setting::find(&value.id));
    rows.map(|row| row.format).fold(least, u32::max)
}

/// What a reader asks to see of one object. Reading changes nothing, so it is no [`Ask`]; it is
/// judged by [`crate::permit`] and recorded in the access log of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Get: the material itself.
    Material,
    /// Get Attributes.
    Attributes,
    /// Get Attribute List.
    AttributeList,
}

/// Which instance of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instance {
    /// By number, from 0.
    Index(u32),
    /// By value.
    Equal(Value),
    /// All of them.
    All,
}

/// Limits that a site sets for its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPolicy {
    /// Objects (not destroyed) that one user may own.
    pub objects_per_owner_max: u64,
    /// Attribute instances on one object.
    pub attributes_per_object_max: u32,
    /// Bytes of one text or byte-string value.
    pub attribute_value_bytes_max: u32,
    /// Bytes of the material of one object.
    pub material_bytes_max: u32,
    /// Smallest symmetric key that Create or Register accepts, in bits.
    pub key_bits_min: u32,
}

impl Default for KeyPolicy {
    /// The limits of a new cluster.
    fn default() -> Self {
        Self {
            // The scale the appliance is built for.
            objects_per_owner_max: 10_000_000,
            // SASED-M-1 of the KMIP profiles wants 20 vendor attributes; arrays send about 40.
            attributes_per_object_max: 128,
            // A value must fit into a record (60 KiB) beside its neighbours.
            attribute_value_bytes_max: 16 * 1024,
            // The largest certificate chains and key stores seen; not a file store.
            material_bytes_max: 512 * 1024,
            // DES; the KMIP profiles make 80-bit SKIPJACK and 112-bit 3DES keys.
            key_bits_min: 56,
        }
    }
}
