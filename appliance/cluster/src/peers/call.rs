//! A call to another node: who answers it, and how it can fail.

use crate::peers::hello::{Caller, Lane, Refused};
use crate::peers::net::BoxFuture;

/// Answers the requests of other nodes.
pub trait Answerer: Send + Sync + 'static {
    /// The answer to one request. It may be dropped at any await when the connection ends; whoever
    /// asked then knows only that the outcome is unknown.
    ///
    /// # Errors
    /// The text reaches the caller as [`CallFault::Answered`].
    fn answer(
        &self,
        caller: Caller,
        lane: Lane,
        body: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// Why a call has no answer. What matters to the caller is whether the request may have been
/// carried out: only after [`CallFault::Lost`] and [`CallFault::Answered`] it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// No address is known for this node. Nothing was sent.
    #[error("this node knows no way to node {0}: it is no member, or the membership is behind")]
    NoWay(u64),
    /// No connection, or not in time. Nothing of the request was sent.
    #[error("node cannot be reached: {0}")]
    Unreachable(String),
    /// At least a part of the request was sent, and no answer came: the outcome is unknown.
    #[error("no answer came, and the request may have been carried out: {0}")]
    Lost(String),
    /// The other node refuses to talk to this one. Nothing was sent.
    #[error("the other node refuses this one: {0}")]
    Refused(Refused),
    /// This node refuses to talk to the other one. Nothing was sent.
    #[error("this node refuses the other one: {0}")]
    RefusedHere(Refused),
    /// The other node answered that it could not do it.
    #[error("the other node answered: {0}")]
    Answered(String),
    /// The request is larger than the lane carries. Nothing was sent.
    #[error("a request of {bytes} bytes, where the lane carries {limit}: send it in parts")]
    TooLarge {
        /// Size of the request, in bytes.
        bytes: usize,
        /// Largest the lane carries, in bytes.
        limit: usize,
    },
    /// Too many calls wait for this node on this lane. Nothing was sent.
    #[error("{0} calls wait for this node already: try again later")]
    Overloaded(usize),
}

impl CallFault {
    /// Whether one of both nodes does not want to talk to the other: it takes a person to change
    /// that, and trying again soon is of no use.
    pub fn is_refusal(&self) -> bool {
        matches!(self, CallFault::Refused(_) | CallFault::RefusedHere(_))
    }

    /// Whether the request may have been carried out.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, CallFault::Lost(_) | CallFault::Answered(_))
    }
}
