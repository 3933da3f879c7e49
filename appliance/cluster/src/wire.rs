//! What members say to each other about agreement: messages, and the way they travel.
//!
//! A message is one byte [`MARK`] and CBOR. No CBOR item begins with that byte, so whatever else
//! the node sends on the same lanes cannot be taken for one of these.

use crate::codec;
use crate::peers::{BoxFuture, CallFault, Lane, Peers};
use crate::types::{Command, Member, Reign, TypeConfig};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{SnapshotMeta, Vote};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// First byte of a message of this crate: the CBOR "break", which can begin no item.
const MARK: u8 = 0xFF;

/// A question to a member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Entries of the leader, or none as a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// A candidate asks for a vote.
    Vote(VoteRequest<u64>),
    /// The leader describes a snapshot; asked again until it is installed.
    Install {
        /// The vote of the leader.
        vote: Vote<u64>,
        /// Up to where it reaches.
        meta: SnapshotMeta<u64, Member>,
        /// What the machine of the leader said of it.
        #[serde(with = "serde_bytes")]
        description: Vec<u8>,
    },
    /// A member hands a command to the leader.
    Propose {
        /// Number of the proposal.
        id: serde_bytes::ByteArray<16>,
        /// The reign for which it is made.
        reign: Reign,
        /// The command.
        command: Command,
    },
    /// Up to which entry must be applied for a read that begins now?
    ReadIndex,
    /// Do you talk to me? (The connection alone has judged it.)
    Ping,
}

/// The answer of a member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To [`Request::Append`].
    Append(AppendEntriesResponse<u64>),
    /// To [`Request::Vote`].
    Vote(VoteResponse<u64>),
    /// To [`Request::Install`]: still fetching; ask again.
    Installing,
    /// To [`Request::Install`]: done, or refused by the higher vote named here.
    Installed(Vote<u64>),
    /// To [`Request::Propose`].
    Proposed(Verdict),
    /// To [`Request::ReadIndex`].
    ReadIndex(Result<Option<u64>, String>),
    /// To [`Request::Ping`]: yes, and this node leads as far as I know, with a quorum lately.
    Pong(Option<u64>),
    /// To anything: it could not be done, and why.
    Fault(String),
}

/// What the leader says of a command that was handed to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// Carried out, with this reply.
    Done(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Never appended, because this node does not lead in that reign.
    Expired,
    /// Never appended; may be tried again.
    NotTaken(String),
    /// Never appended; the machine does not accept it from this member.
    Refused(String),
    /// Appended, outcome not known here.
    Unknown(String),
}

/// Encodes a message.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![MARK];
    codec::write(&mut bytes, message)?;
    Ok(bytes)
}

/// True for a message of this crate.
pub(crate) fn is_ours(body: &[u8]) -> bool {
    body.first() == Some(&MARK)
}

/// Decodes a message.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    match body.split_first() {
        Some((&MARK, message)) => codec::from_slice(message),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a message of the cluster",
        )),
    }
}

/// Why a call brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Missed {
    /// The other node has certainly not got it.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have got it.
    #[error("no answer: {0}")]
    Lost(String),
}

/// The way to other members.
pub(crate) trait Way: Send + Sync + 'static {
    /// Sends a body and waits for the answer.
    fn call(
        &self,
        node: u64,
        lane: Lane,
        body: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, Missed>>;

    /// From now on a member is reached there.
    fn set_address(&self, node: u64, address: String);

    /// A node is no member any more.
    fn forget(&self, node: u64);
}

impl Way for Peers {
    fn call(
        &self,
        node: u64,
        lane: Lane,
        body: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, Missed>> {
        Box::pin(async move {
            let answered = Peers::call(self, node, lane, body, within).await;
            answered.map_err(|fault| match fault {
                CallFault::Lost(_) | CallFault::Answered(_) => Missed::Lost(fault.to_string()),
                CallFault::NoWay(_)
                | CallFault::Unreachable(_)
                | CallFault::Refused(_)
                | CallFault::RefusedHere(_)
                | CallFault::TooLarge { .. }
                | CallFault::Overloaded(_) => Missed::NotSent(fault.to_string()),
            })
        })
    }

    fn set_address(&self, node: u64, address: String) {
        Peers::set_address(self, node, address);
    }

    fn forget(&self, node: u64) {
        Peers::forget(self, node);
    }
}

/// Asks a member and decodes its answer.
pub(crate) async fn ask(
    way: &dyn Way,
    node: u64,
    lane: Lane,
    request: &Request,
    within: Duration,
) -> Result<Reply, Missed> {
    let body = encode(request).map_err(|e| Missed::NotSent(e.to_string()))?;
    let answer = way.call(node, lane, body, within).await?;
    decode(&answer).map_err(|e| Missed::Lost(format!("node {node} answered nonsense: {e}")))
}
