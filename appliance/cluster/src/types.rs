//! The openraft type configuration, and what stands in an entry. Commands are opaque bytes here.

use crate::runtime::Runtime;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

/// Largest command with its sealed payload: 1 MiB, twice the largest object and its envelope.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Bytes of commands packed into one entry: bounds how long one flush may take. A single command
/// may exceed it up to [`COMMAND_BYTES_MAX`].
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Commands packed into one entry: bounds how long one apply holds the state.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1024;

openraft::declare_raft_types!(
    /// Raft over batches of opaque commands.
    pub(crate) TypeConfig:
        D = Batch,
        R = (),
        NodeId = u64,
        Node = Member,
        AsyncRuntime = Runtime,
);

/// What a member does in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds everything and votes, once promoted.
    #[default]
    Voter,
    /// Holds everything and never votes: a far site.
    Learner,
    /// Votes and holds events, never payloads; does not campaign.
    Witness,
}

/// A member as the membership of the Raft log names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where its peers reach it, `host:port`.
    pub address: String,
    /// What it does. A node of role [`Role::Voter`] votes only after its promotion.
    pub role: Role,
    /// Record number of its admission in the cluster log.
    pub epoch: u64,
}

/// One command and what belongs to it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is to be done, in the words of the machine.
    #[serde(rename = "c", with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// Sealed key bytes. Never sent to a witness, which finds `None` here.
    #[serde(rename = "p", with = "serde_bytes")]
    pub payload: Option<Vec<u8>>,
}

impl Command {
    /// Bytes of command and payload together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.payload.as_ref().map_or(0, Vec::len)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Openraft traces entries; what is sealed in them has no place in a trace.
        let payload = self.payload.as_ref().map(Vec::len);
        write!(
            f,
            "Command({} bytes, payload {payload:?})",
            self.bytes.len()
        )
    }
}

/// Where an entry stands in the one order of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId {
    /// Position in the Raft log.
    pub index: u64,
    /// Raft term in which it was appended.
    pub term: u64,
}

/// The time in which one node leads: term and node together, because openraft lets a second node
/// lead in the same term. Entries of one reign are consecutive in the log.
pub(crate) type Reign = openraft::CommittedLeaderId<u64>;

/// Number of one proposal.
pub(crate) type ProposalId = [u8; 16];

/// Application data of one entry.
///
/// It is meant for one reign. In an entry of another reign it has no effect: its proposers have
/// been told, or will see, that it expired, and have proposed their commands again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    #[serde(rename = "r")]
    pub(crate) reign: Reign,
    /// Ids of the commands, in their order.
    #[serde(rename = "i")]
    pub(crate) ids: Arc<[serde_bytes::ByteArray<16>]>,
    #[serde(rename = "b")]
    pub(crate) commands: Arc<[Command]>,
}

impl Batch {
    /// True when a command here carries sealed key bytes.
    pub(crate) fn has_payload(&self) -> bool {
        self.commands.iter().any(|c| c.payload.is_some())
    }

    /// The same batch for a witness.
    pub(crate) fn without_payloads(&self) -> Self {
        let bare = self.commands.iter().map(|command| Command {
            bytes: command.bytes.clone(),
            payload: None,
        });
        Self {
            reign: self.reign,
            ids: self.ids.clone(),
            commands: bare.collect(),
        }
    }
}
