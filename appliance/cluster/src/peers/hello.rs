//! What two nodes tell each other first, and why one may turn the other away.
//!
//! Both sides of a connection say their [`Hello`] inside TLS before anything else, and each asks
//! its [`Gatekeeper`] about the other. So no message of a foreign cluster, another lineage, a
//! removed member or a disk that went back in time ever reaches Raft (ABUSE A9, A25).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the frames and of the handshake. Nodes of different versions do not talk.
pub const PROTOCOL: u16 = 1;

/// What a connection carries. Each lane has a connection of its own, so that the transfer of a
/// large snapshot never holds up a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Messages of Raft that must be quick: votes, heartbeats, entries.
    Raft,
    /// Large transfers: snapshots, pages of the sealed store, segments.
    Bulk,
    /// Questions and orders between nodes, and everything of a newcomer.
    Service,
}

impl Lane {
    /// All of them.
    pub const ALL: [Lane; 3] = [Lane::Raft, Lane::Bulk, Lane::Service];

    /// Number on the wire.
    pub(super) fn code(self) -> u8 {
        match self {
            Lane::Raft => 1,
            Lane::Bulk => 2,
            Lane::Service => 3,
        }
    }

    /// From the number on the wire.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Raft => "raft",
            Lane::Bulk => "bulk",
            Lane::Service => "service",
        })
    }
}

/// What a node says of itself at the beginning of each connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the frames: [`PROTOCOL`].
    pub protocol: u16,
    /// Identity of the cluster.
    pub cluster: [u8; 16],
    /// How many times the cluster was started anew after losing its majority.
    pub lineage: u32,
    /// Number of the node; 0 for a newcomer.
    pub node: u64,
    /// Number of the record that admitted it; 0 for a newcomer.
    pub member_epoch: u64,
    /// Newest format of entries it can read.
    pub format: u32,
    /// Version of its program, for people.
    pub version: String,
    /// Index of the last Raft entry on its disk.
    pub log_end: Option<u64>,
    /// Size of its cluster log and the root there, as of its last checkpoint.
    pub cluster_log: Option<(u64, [u8; 32])>,
    /// Size of its access log and the root there.
    pub access_log: Option<(u64, [u8; 32])>,
}

impl Hello {
    /// What is told to somebody who has shown no certificate: where it is, not how far.
    pub(super) fn without_logs(self) -> Self {
        Self {
            log_end: None,
            cluster_log: None,
            access_log: None,
            ..self
        }
    }
}

/// Who is at the other end of a connection, once its Hello and its certificate were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A member of this cluster, proven by the key of its certificate.
    Member {
        /// Its number.
        node: u64,
    },
    /// No member. It may use [`Lane::Service`] only, in order to join, and little of it.
    Newcomer {
        /// SHA-256 of the SPKI of its certificate, if it showed one.
        key: Option<[u8; 32]>,
    },
}

/// Decides who may talk to us. Asked by both sides of each connection; must be quick.
pub trait Gatekeeper: Send + Sync + 'static {
    /// What we say of ourselves now.
    fn hello(&self) -> Hello;

    /// Judges what the other side said. `key` is the SHA-256 of the DER of the
    /// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of its TLS certificate, which was verified against
    /// the CA; `None` if it showed none.
    ///
    /// # Errors
    /// The reason is sent to the other side, kept for [`super::Peers::health`] and counted.
    fn admit(&self, hello: &Hello, key: Option<[u8; 32]>) -> Result<Caller, Refused>;
}

/// Why a node does not talk to another. Each message says what to do, and reads the same at both
/// ends: "here" is the node that refuses, "the other node" the one that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// Another version of the frames.
    #[error(
        "the other node speaks version {theirs} of the cluster protocol, and here it is {ours}: \
         bring both nodes to the same release"
    )]
    OtherProtocol {
        /// Version of the side that refuses.
        ours: u16,
        /// Version of the side that is refused.
        theirs: u16,
    },
    /// Not the same cluster.
    #[error(
        "the other node belongs to another cluster: correct the address, or reset the node that \
         is in the wrong place and join it with a ticket"
    )]
    ForeignCluster,
    /// The same cluster, before or after a recovery.
    #[error(
        "the other node is at lineage {theirs} of the cluster, and here it is lineage {ours}: the \
         cluster was recovered after losing its majority; wipe the node of the lower lineage and \
         join it again, and salvage first what only it has"
    )]
    OtherLineage {
        /// Lineage of the side that refuses.
        ours: u32,
        /// Lineage of the side that is refused.
        theirs: u32,
    },
    /// No such member.
    #[error(
        "node {node} is no member of this cluster: join it with a ticket (`strongroom cluster \
         ticket` on a member)"
    )]
    UnknownMember {
        /// The number it gave.
        node: u64,
    },
    /// It was a member once.
    #[error(
        "node {node} was removed from this cluster: wipe it and join it again with a ticket; it \
         gets a new number"
    )]
    RemovedMember {
        /// The number it gave.
        node: u64,
    },
    /// The certificate is not that of this member.
    #[error(
        "the certificate shown for node {node} does not carry the key that the cluster log has \
         for it: if its keys were lost, remove the node and join it again"
    )]
    WrongKey {
        /// The number it gave.
        node: u64,
    },
    /// The number was given to another node in the meantime, or the disk is a copy.
    #[error(
        "node {node} says that it was admitted by record {theirs}, and here it is record {ours}: \
         its folder is not the one that was admitted; wipe it and join it again"
    )]
    WrongEpoch {
        /// The number it gave.
        node: u64,
        /// Epoch that the side that refuses knows.
        ours: u64,
        /// Epoch that was said.
        theirs: u64,
    },
    /// Somebody else answers at the address of a member.
    #[error(
        "node {answered} answers at the address of node {asked}: correct the addresses in the \
         membership"
    )]
    WrongNode {
        /// Who was to be there.
        asked: u64,
        /// Who is.
        answered: u64,
    },
    /// The disk of the node went back in time.
    #[error(
        "the {what} of node {node} ended at {had} before and ends at {has} now: its disk went back \
         in time (a snapshot of the machine, a restored folder); make sure that no copy of it \
         runs, stop it, and run on it: strongroom cluster rejoin"
    )]
    LogReversion {
        /// The node whose disk it is.
        node: u64,
        /// End that was seen or acknowledged before.
        had: u64,
        /// End that it has now.
        has: u64,
        /// Which log: "Raft log", "cluster log", "access log".
        what: String,
    },
    /// Two different histories.
    #[error(
        "the cluster log of node {node} differs from the one here within its first {size} records: \
         keep both folders as evidence, then remove the node, wipe it and join it again"
    )]
    DoesNotFit {
        /// The node.
        node: u64,
        /// Size at which the roots differ.
        size: u64,
    },
    /// Its program cannot read what the cluster writes.
    #[error(
        "the cluster writes format {needed}, and the other node reads up to {theirs}: upgrade that \
         node"
    )]
    FormatTooOld {
        /// Format in use.
        needed: u32,
        /// Newest that the refused side reads.
        theirs: u32,
    },
    /// Without a member's certificate only joining is possible.
    #[error(
        "the {lane} lane is for members, and the other node showed no member's certificate: join \
         it with a ticket"
    )]
    MembersOnly {
        /// The lane that was asked for.
        lane: String,
    },
    /// This side cannot judge anybody now.
    #[error("not ready to talk to other nodes: {why}; the connection is tried again by itself")]
    NotReady {
        /// What is missing.
        why: String,
    },
    /// What was said is no message of this protocol.
    #[error("not understood: {what}; check that both nodes run the same release")]
    Malformed {
        /// What was wrong.
        what: String,
    },
    /// A reason that this release does not know, as the other side put it.
    #[error("{text}")]
    Other {
        /// Its code.
        code: String,
        /// Its message.
        text: String,
    },
}

impl Refused {
    /// A stable word for metrics and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::OtherProtocol { .. } => "other_protocol",
            Refused::ForeignCluster => "foreign_cluster",
            Refused::OtherLineage { .. } => "other_lineage",
            Refused::UnknownMember { .. } => "unknown_member",
            Refused::RemovedMember { .. } => "removed_member",
            Refused::WrongKey { .. } => "wrong_key",
            Refused::WrongEpoch { .. } => "wrong_epoch",
            Refused::WrongNode { .. } => "wrong_node",
            Refused::LogReversion { .. } => "log_reversion",
            Refused::DoesNotFit { .. } => "does_not_fit",
            Refused::FormatTooOld { .. } => "format_too_old",
            Refused::MembersOnly { .. } => "members_only",
            Refused::NotReady { .. } => "not_ready",
            Refused::Malformed { .. } => "malformed",
            Refused::Other { .. } => "other",
        }
    }
}
