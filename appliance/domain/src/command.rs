//! What may be asked for: one [`Command`] is the only way to change anything (law 1).
//!
//! *Warning:* these types stand in the Raft log. A change of a field needs a default for old bytes.

use crate::{Attribute, AttributeName, ClusterId, Epoch, Fingerprint, Hash, Name, NodeId};
use crate::{ObjectType, Time, Uid, Value};
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
        }
    }

    /// The object it is about, when it is about one that exists.
    pub const fn uid(&self) -> Option<&Uid> {
        match self {
            Self::Activate { uid }
            | Self::Revoke { uid, .. }
            | Self::Destroy { uid }
            | Self::AddAttribute { uid, .. }
            | Self::ModifyAttribute { uid, .. }
            | Self::SetAttribute { uid, .. }
            | Self::DeleteAttribute { uid, .. } => Some(uid),
            _ => None,
        }
    }
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
