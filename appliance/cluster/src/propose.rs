//! Proposing at any node, each command with exactly one effect or none.
//!
//! The node that proposes gives the command a number and the reign of the leader it knows. The
//! leader takes it only in that reign; it counts only in an entry of that reign. So the node
//! learns the outcome either from the leader or by applying the log itself, whichever comes first,
//! and it may propose again, without a table of past commands anywhere, as soon as it has applied
//! an entry of a later reign.

use crate::batcher::Waiting;
use crate::danger::{self, Bug};
use crate::node::Node;
use crate::peers::Lane;
use crate::runtime::random_id;
use crate::standing::{Outcome, Pending};
use crate::types::{COMMAND_BYTES_MAX, Command, ProposalId, Reign, Role};
use crate::wire::{self, Missed, Reply, Request, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a leader is looked for before the answer is "not ready" (FAILURES: refused in 2 s).
const ACCEPT_WITHIN: Duration = Duration::from_secs(2);

/// How long the outcome of a command that a leader has taken is waited for.
const OUTCOME_WITHIN: Duration = Duration::from_secs(5);

/// Pause before the same leader is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Pause before another leader is asked: until this node's own view has followed.
const ASK_NEXT_AFTER: Duration = Duration::from_millis(1);

/// A command was not carried out, or nobody knows whether it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeFault {
    /// No leader took the command: it was certainly not carried out and never will be.
    #[error("the cluster is not ready, nothing was changed: {reason}; try again later")]
    NotReady {
        /// What is missing.
        reason: String,
    },
    /// A leader may have taken the command: it may have been carried out, or still will be.
    #[error("it is unknown whether the command was carried out: {reason}")]
    Unknown {
        /// Why.
        reason: String,
    },
    /// The leader's machine does not accept the command from this node. Nothing was changed.
    #[error("the leader refuses the command: {reason}")]
    Refused {
        /// What the machine said.
        reason: String,
    },
    /// The command is larger than an entry may be.
    #[error("the command has {bytes} bytes; {COMMAND_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Consensus has stopped on this node. The outcome is unknown: the command may be carried out
    /// after a restart.
    #[error("this node cannot write: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl ProposeFault {
    pub(crate) fn stopped(reason: impl ToString) -> Self {
        Self::Stopped {
            reason: reason.to_string(),
        }
    }

    fn not_ready(reason: impl Into<String>) -> Self {
        Self::NotReady {
            reason: reason.into(),
        }
    }

    fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }
}

/// The end of one attempt.
enum Attempt {
    Settled(Result<Vec<u8>, ProposeFault>),
    /// Certainly not carried out: the next attempt may begin, this much later.
    Again {
        after: Duration,
        reason: String,
    },
}

impl Attempt {
    fn again(after: Duration, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Again { after, reason }
    }

    fn unknown(reason: impl Into<String>) -> Self {
        Self::Settled(Err(ProposeFault::unknown(reason)))
    }

    /// What a node that does not lead learns from its own log; `None` when a snapshot hides it.
    fn told_by_log(outcome: Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Done { reply, .. } => Self::Settled(Ok(reply)),
            Outcome::Expired => Self::again(ASK_NEXT_AFTER, "the leader changed"),
            Outcome::NotTaken(why) => Self::again(ASK_AGAIN_AFTER, why),
            Outcome::Stopped(why) => Self::Settled(Err(ProposeFault::stopped(why))),
            Outcome::Unseen => return None,
        })
    }
}

impl Node {
    /// Has a command carried out by the whole cluster; answers with the machine's reply.
    pub(crate) async fn propose(
        self: &Arc<Self>,
        command: Command,
    ) -> Result<Vec<u8>, ProposeFault> {
        let bytes = command.size();
        if bytes > COMMAND_BYTES_MAX {
            return Err(ProposeFault::TooLarge { bytes });
        }
        if command.payload.is_some() && self.role() == Role::Witness {
            return Err(ProposeFault::not_ready("a witness holds no keys"));
        }
        let deadline = Instant::now() + ACCEPT_WITHIN;
        loop {
            if let Some(why) = self.stopped() {
                return Err(ProposeFault::stopped(why));
            }
            let attempt = match self.reign() {
                Some(reign) if reign.node_id == self.node => {
                    self.attempt_here(&command, reign).await
                }
                Some(reign) => self.attempt_at(reign, &command).await,
                None => Attempt::again(ASK_AGAIN_AFTER, "no leader is known"),
            };
            let (after, reason) = match attempt {
                Attempt::Settled(result) => return result,
                Attempt::Again { after, reason } => (after, reason),
            };
            if Instant::now() + after >= deadline {
                return Err(ProposeFault::not_ready(reason));
            }
            tokio::time::sleep(after).await;
        }
    }

    /// One attempt where this node leads.
    async fn attempt_here(self: &Arc<Self>, command: &Command, reign: Reign) -> Attempt {
        let id = random_id();
        let mut pending = self.standing.await_proposal(id, reign);
        if !self.hand_in(id, reign, command.clone()).await {
            return Attempt::Settled(Err(ProposeFault::stopped("the node is stopping")));
        }
        match self.outcome_here(&mut pending, reign, command).await {
            Verdict::Done(reply) => Attempt::Settled(Ok(reply)),
            Verdict::Expired => Attempt::again(ASK_NEXT_AFTER, "the leader changed"),
            Verdict::NotTaken(why) => Attempt::again(ASK_AGAIN_AFTER, why),
            Verdict::Refused(reason) => Attempt::Settled(Err(ProposeFault::Refused { reason })),
            Verdict::Unknown(why) => match self.stopped() {
                Some(why) => Attempt::Settled(Err(ProposeFault::stopped(why))),
                None => Attempt::unknown(why),
            },
        }
    }

    async fn hand_in(&self, id: ProposalId, reign: Reign, command: Command) -> bool {
        let waiting = Waiting { id, reign, command };
        self.waiting.send(waiting).await.is_ok()
    }

    /// Waits, as the leader, for the outcome of a command that was handed in.
    async fn outcome_here(
        &self,
        pending: &mut Pending,
        reign: Reign,
        command: &Command,
    ) -> Verdict {
        let outcome = if self.standing.is_undisputed() {
            // Alone there is nobody else to ask: a slow disk is waited for.
            pending.outcome().await
        } else {
            match tokio::time::timeout(OUTCOME_WITHIN, pending.outcome()).await {
                Ok(outcome) => outcome,
                Err(_) => return Verdict::Unknown("no quorum has confirmed it yet".into()),
            }
        };
        match outcome {
            Outcome::Done { reply, index } => {
                let copies = self.await_copies(reign, index);
                if command.payload.is_some()
                    && tokio::time::timeout(OUTCOME_WITHIN, copies).await.is_err()
                {
                    let why = "only one node that holds keys has it so far";
                    return Verdict::Unknown(why.into());
                }
                Verdict::Done(reply)
            }
            Outcome::Expired => Verdict::Expired,
            Outcome::NotTaken(why) => Verdict::NotTaken(why),
            Outcome::Unseen => Verdict::Unknown("this node was overtaken by a snapshot".into()),
            Outcome::Stopped(why) => Verdict::Unknown(why),
        }
    }

    /// What this node, as leader, says to a member that hands over a command.
    pub(crate) async fn propose_for(
        self: &Arc<Self>,
        caller: u64,
        id: ProposalId,
        reign: Reign,
        command: Command,
    ) -> Verdict {
        if let Err(why) = self.machine.may_propose(caller, &command) {
            return Verdict::Refused(why);
        }
        if command.size() > COMMAND_BYTES_MAX {
            return Verdict::Refused("larger than a command may be".into());
        }
        let mut pending = self.standing.await_proposal(id, reign);
        let shape = Command {
            bytes: Vec::new(),
            payload: command.payload.as_ref().map(|_| Vec::new()),
        };
        if !self.hand_in(id, reign, command).await {
            return Verdict::NotTaken("the leader is stopping".into());
        }
        self.outcome_here(&mut pending, reign, &shape).await
    }

    /// One attempt with another node as leader.
    async fn attempt_at(self: &Arc<Self>, reign: Reign, command: &Command) -> Attempt {
        let id = random_id();
        let mut pending = self.standing.await_proposal(id, reign);
        let deadline = Instant::now() + OUTCOME_WITHIN;
        let mut asked = std::pin::pin!(self.hand_over(id, reign, command));
        let seen = tokio::select! {
            biased;
            outcome = pending.outcome() => outcome,
            attempt = &mut asked => return match attempt {
                Ok(attempt) => attempt,
                // The leader does not know, or cannot be asked any more; the log will tell.
                Err(why) => match tokio::time::timeout_at(deadline, pending.outcome()).await {
                    Ok(outcome) => Attempt::told_by_log(outcome)
                        .unwrap_or_else(|| Attempt::unknown(why)),
                    Err(_) => Attempt::unknown(why),
                },
            },
            () = self.reign_ends(reign), if danger::has(Bug::NoTermFence) => {
                return Attempt::again(ASK_NEXT_AFTER, "the leader changed");
            }
        };
        if let Some(attempt) = Attempt::told_by_log(seen) {
            return attempt;
        }
        // A snapshot came over the entry, and only the leader can still tell.
        match tokio::time::timeout_at(deadline, asked).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(why)) => Attempt::unknown(why),
            Err(_) => Attempt::unknown("this node was overtaken by a snapshot"),
        }
    }

    /// Waits until this node sees another leader. Only the planted bug takes that for an answer:
    /// what the old leader has taken, the new one may still commit.
    async fn reign_ends(&self, reign: Reign) {
        while self.reign() == Some(reign) {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Hands a command to the leader. `Err` when only the log can tell the outcome.
    async fn hand_over(
        &self,
        id: ProposalId,
        reign: Reign,
        command: &Command,
    ) -> Result<Attempt, String> {
        let Some(way) = &self.way else {
            return Ok(Attempt::again(
                ASK_AGAIN_AFTER,
                "no way to the leader is known",
            ));
        };
        let request = Request::Propose {
            id: serde_bytes::ByteArray::new(id),
            reign,
            command: command.clone(),
        };
        let leader = reign.node_id;
        let asked = wire::ask(&**way, leader, Lane::Service, &request, OUTCOME_WITHIN).await;
        match asked {
            Ok(Reply::Proposed(Verdict::Done(reply))) => Ok(Attempt::Settled(Ok(reply))),
            Ok(Reply::Proposed(Verdict::Expired)) => {
                // It may take a moment until this node, too, knows the new leader.
                Ok(Attempt::again(ASK_AGAIN_AFTER, "the leader changed"))
            }
            Ok(Reply::Proposed(Verdict::NotTaken(why))) => Ok(Attempt::again(ASK_AGAIN_AFTER, why)),
            Ok(Reply::Proposed(Verdict::Refused(reason))) => {
                Ok(Attempt::Settled(Err(ProposeFault::Refused { reason })))
            }
            Ok(Reply::Proposed(Verdict::Unknown(why))) => Err(why),
            Ok(other) => Err(format!("node {leader} gave another answer: {other:?}")),
            Err(Missed::NotSent(why)) => Ok(Attempt::again(ASK_AGAIN_AFTER, why)),
            Err(Missed::Lost(why)) if danger::has(Bug::NoTermFence) => {
                Ok(Attempt::again(ASK_AGAIN_AFTER, why))
            }
            Err(Missed::Lost(why)) => Err(why),
        }
    }
}
