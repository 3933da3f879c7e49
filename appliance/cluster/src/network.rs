//! Raft's messages to other members.
//!
//! Two things are decided here rather than by openraft. How much goes into one message: entries
//! are cut to what the link has lately carried in time, and a witness gets no payloads. And what
//! counts as an answer: a follower whose log went backwards is refused before openraft hears of
//! it, because openraft 0.9 panics on it in debug builds, and with the feature
//! `loosen-follower-log-revert` may commit without a quorum (its progress vector is no longer
//! sorted once a value went down; see `VecProgress::update_with`).

use crate::standing::Standing;
use crate::types::{Member, Role, TypeConfig};
use crate::wire::{self, Missed, Reply, Request, Way};
use openraft::error::{Fatal, InstallSnapshotError, RPCError, RaftError, ReplicationClosed};
use openraft::error::{StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, EntryPayload, LogId, Snapshot, Vote};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use crate::peers::Lane;

/// Entries in one message: half of what a frame may hold, so that one more large entry fits.
const APPEND_BYTES_MAX: usize = 4 << 20;

/// Below this, a smaller message is no quicker on any link worth having.
const APPEND_BYTES_MIN: usize = 64 << 10;

/// Between two questions whether a snapshot is installed.
const INSTALL_ASK_EVERY: Duration = Duration::from_millis(300);

/// For one such question to be answered.
const INSTALL_ASK_WITHIN: Duration = Duration::from_secs(5);

/// Makes connections to members.
pub(crate) struct Network {
    pub(crate) way: Option<Arc<dyn Way>>,
    pub(crate) standing: Arc<Standing>,
    /// Pause after a member could not be reached.
    pub(crate) retry_after: Duration,
}

/// The way to one member.
pub(crate) struct Link {
    target: u64,
    member: Member,
    way: Option<Arc<dyn Way>>,
    standing: Arc<Standing>,
    retry_after: Duration,
    budget: Arc<AtomicUsize>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, member: &Member) -> Link {
        if let Some(way) = &self.way {
            way.set_address(target, member.address.clone());
        }
        Link {
            target,
            member: member.clone(),
            way: self.way.clone(),
            standing: self.standing.clone(),
            retry_after: self.retry_after,
            budget: Arc::new(AtomicUsize::new(APPEND_BYTES_MAX)),
        }
    }
}

/// Halves what goes into one message unless the answer came in time.
struct InTime {
    budget: Arc<AtomicUsize>,
    sent_bytes: usize,
    answered: bool,
}

impl Drop for InTime {
    fn drop(&mut self) {
        let budget = self.budget.load(Ordering::Relaxed);
        let next = match self.answered {
            true => budget.saturating_mul(2).min(APPEND_BYTES_MAX),
            // A heartbeat that got lost says nothing about the size of messages.
            false if self.sent_bytes > 0 => (budget / 2).max(APPEND_BYTES_MIN),
            false => budget,
        };
        self.budget.store(next, Ordering::Relaxed);
    }
}

fn unreachable(why: impl std::fmt::Display) -> Unreachable {
    Unreachable::new(&AnyError::error(why))
}

type Answer<T, E = openraft::error::Infallible> =
    Result<T, RPCError<u64, Member, RaftError<u64, E>>>;

impl Link {
    async fn ask(
        &self,
        lane: Lane,
        request: &Request,
        within: Duration,
    ) -> Result<Reply, Unreachable> {
        let target = self.target;
        let Some(way) = &self.way else {
            return Err(unreachable(format!("no way to node {target} is known")));
        };
        let answer = wire::ask(&**way, target, lane, request, within).await;
        match answer.map_err(|missed: Missed| unreachable(missed))? {
            Reply::Fault(fault) => Err(unreachable(format!("node {target}: {fault}"))),
            reply => Ok(reply),
        }
    }

    fn unexpected(&self, reply: &Reply) -> Unreachable {
        let target = self.target;
        unreachable(format!("node {target} gave another answer: {reply:?}"))
    }

    /// Leaves in a message what fits, at least one entry, and gives the last entry if some were
    /// left out; with the bytes that go.
    fn cut(&self, rpc: &mut AppendEntriesRequest<TypeConfig>) -> (usize, Option<LogId<u64>>) {
        let budget = self.budget.load(Ordering::Relaxed);
        let (mut bytes, mut count) = (0, 0);
        for entry in &rpc.entries {
            let size = entry_bytes(&entry.payload);
            if count > 0 && bytes + size > budget {
                break;
            }
            bytes += size;
            count += 1;
        }
        if count == rpc.entries.len() {
            return (bytes, None);
        }
        rpc.entries.truncate(count);
        (bytes, rpc.entries.last().map(|entry| entry.log_id))
    }

    /// What an answer to entries means, after this node has taken note of it.
    fn judge(
        &self,
        asked: &Asked,
        response: AppendEntriesResponse<u64>,
    ) -> Answer<AppendEntriesResponse<u64>> {
        let (target, reign) = (self.target, asked.vote.leader_id);
        match response {
            AppendEntriesResponse::Success => {
                self.standing.matched(target, reign, asked.last);
            }
            AppendEntriesResponse::Conflict => {
                if let Err(reversion) = self.standing.conflict(target, reign, asked.prev) {
                    tracing::error!("{reversion}");
                    return Err(unreachable(reversion).into());
                }
            }
            AppendEntriesResponse::PartialSuccess(_) => {
                return Err(unreachable(format!("node {target} took a part of a message")).into());
            }
            AppendEntriesResponse::HigherVote(_) => return Ok(response),
        }
        self.standing.heard(target, reign, asked.sent);
        match (response, asked.cut) {
            (AppendEntriesResponse::Success, Some(cut)) => {
                Ok(AppendEntriesResponse::PartialSuccess(Some(cut)))
            }
            (response, _) => Ok(response),
        }
    }
}

/// What was sent, as far as the answer has to be read with it.
struct Asked {
    vote: Vote<u64>,
    prev: Option<LogId<u64>>,
    last: Option<LogId<u64>>,
    cut: Option<LogId<u64>>,
    sent: Instant,
}

/// Size of an entry on the wire, closely enough.
fn entry_bytes(payload: &EntryPayload<TypeConfig>) -> usize {
    const AROUND: usize = 64;
    match payload {
        EntryPayload::Normal(batch) => {
            let commands = batch.commands.iter().map(|c| c.size() + AROUND);
            AROUND + commands.sum::<usize>()
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => AROUND,
    }
}

/// Takes the sealed key bytes out of entries for a witness.
fn strip(entries: &mut [openraft::Entry<TypeConfig>]) {
    for entry in entries {
        if let EntryPayload::Normal(batch) = &mut entry.payload
            && batch.has_payload()
        {
            *batch = batch.without_payloads();
        }
    }
}

impl RaftNetwork<TypeConfig> for Link {
    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Answer<AppendEntriesResponse<u64>> {
        self.standing
            .committed(rpc.leader_commit.map(|id| id.index));
        let (bytes, cut) = self.cut(&mut rpc);
        if self.member.role == Role::Witness {
            strip(&mut rpc.entries);
        }
        let asked = Asked {
            vote: rpc.vote,
            prev: rpc.prev_log_id,
            last: rpc.entries.last().map(|e| e.log_id).or(rpc.prev_log_id),
            cut,
            sent: Instant::now(),
        };
        let mut in_time = InTime {
            budget: self.budget.clone(),
            sent_bytes: bytes,
            answered: false,
        };
        let request = Request::Append(rpc);
        let reply = self.ask(Lane::Raft, &request, option.hard_ttl()).await?;
        in_time.answered = true;
        match reply {
            Reply::Append(response) => self.judge(&asked, response),
            other => Err(self.unexpected(&other).into()),
        }
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<InstallSnapshotResponse<u64>, InstallSnapshotError> {
        // Openraft's own transfer in chunks, which `full_snapshot` below replaces.
        Err(unreachable("snapshots travel whole").into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let last = snapshot.meta.last_log_id;
        let request = Request::Install {
            vote,
            meta: snapshot.meta,
            description: snapshot.snapshot.into_inner(),
        };
        let installed = async {
            loop {
                let reply = self.ask(Lane::Bulk, &request, INSTALL_ASK_WITHIN).await?;
                match reply {
                    Reply::Installing => tokio::time::sleep(INSTALL_ASK_EVERY).await,
                    Reply::Installed(theirs) => return Ok(theirs),
                    other => return Err(self.unexpected(&other)),
                }
            }
        };
        let theirs = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            installed = installed => installed?,
        };
        if theirs <= vote {
            self.standing.matched(self.target, vote.leader_id, last);
        }
        Ok(SnapshotResponse::new(theirs))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Answer<VoteResponse<u64>> {
        let request = Request::Vote(rpc);
        match self.ask(Lane::Raft, &request, option.hard_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            other => Err(self.unexpected(&other).into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.retry_after))
    }
}
