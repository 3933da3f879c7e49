//! Raft's messages to other members.
//!
//! Two things are decided here rather than by openraft. How much goes into one message: entries
//! are cut to what the link has lately carried in time, and a witness gets no payloads. And what
//! counts as an answer: a follower whose log went backwards is refused before openraft hears of
//! it, because openraft 0.9 panics on it in debug builds, and with the feature
//! `loosen-follower-log-revert` may commit without a quorum (its progress vector is no longer
//! sorted once a value went down; see `VecProgress::update_with`).

use crate::peers::Lane;
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
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Entries in one message: half of what a frame may hold, so that one more large entry fits.
pub(crate) const APPEND_BYTES_MAX: usize = 4 << 20;

/// Below this, a smaller message is no quicker on any link worth having; what is larger goes as a
/// transfer.
const APPEND_BYTES_MIN: usize = 64 << 10;

/// How long one transfer may take: 4 MiB at 1 Mbit/s.
const TRANSFER_WITHIN: Duration = Duration::from_secs(35);

/// Between two questions whether a snapshot is installed.
const INSTALL_ASK_EVERY: Duration = Duration::from_millis(300);

/// For one such question to be answered.
const INSTALL_ASK_WITHIN: Duration = Duration::from_secs(5);

/// Makes connections to members.
pub(crate) struct Network {
    pub(crate) way: Option<Arc<dyn Way>>,
    pub(crate) standing: Arc<Standing>,
    /// Between two heartbeats; also the pause after a member could not be reached.
    pub(crate) heartbeat: Duration,
}

/// The way to one member.
pub(crate) struct Link {
    target: u64,
    member: Member,
    way: Option<Arc<dyn Way>>,
    standing: Arc<Standing>,
    heartbeat: Duration,
    /// Bytes of entries that the link has lately carried within a heartbeat.
    budget: usize,
    transfer: Option<Transfer>,
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
            heartbeat: self.heartbeat,
            budget: APPEND_BYTES_MAX,
            transfer: None,
        }
    }
}

/// Entries on their way, for longer than openraft waits: it gives every message the time of one
/// heartbeat, in which a large entry never crosses a slow link. The transfer goes on when openraft
/// has given up, and is found again when it comes back with the same entries.
struct Transfer {
    asked: Asked,
    task: JoinHandle<Result<Reply, Unreachable>>,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
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
        ask(self.way.as_deref(), self.target, lane, request, within).await
    }

    /// Sends entries on the lane of large transfers, where no heartbeat waits behind them.
    fn begin_transfer(&mut self, asked: Asked, request: Request) {
        let (way, target) = (self.way.clone(), self.target);
        let task = tokio::spawn(async move {
            let within = TRANSFER_WITHIN;
            ask(way.as_deref(), target, Lane::Bulk, &request, within).await
        });
        self.transfer = Some(Transfer { asked, task });
    }

    /// Waits for the end of the transfer. If it takes long, the follower gets a heartbeat
    /// meanwhile, so that it knows that its leader lives. May be dropped at any await.
    async fn follow_transfer(
        &mut self,
        heartbeat: Request,
        within: Duration,
    ) -> Answer<AppendEntriesResponse<u64>> {
        let Some(transfer) = &mut self.transfer else {
            return Err(unreachable("nothing is on its way").into());
        };
        let ended = tokio::time::timeout(within / 4, &mut transfer.task).await;
        if let Ok(reply) = ended {
            return self.end_transfer(reply);
        }
        let sent = Instant::now();
        let beat = ask(
            self.way.as_deref(),
            self.target,
            Lane::Raft,
            &heartbeat,
            within,
        );
        let beat = tokio::select! {
            biased;
            reply = &mut transfer.task => return self.end_transfer(reply),
            beat = beat => beat,
        };
        let asked = transfer.asked.heartbeat(sent);
        // If the link is broken, the transfer will say so.
        if let Ok(Reply::Append(response)) = beat {
            match self.judge(&asked, response)? {
                AppendEntriesResponse::Success => {}
                response => return Ok(response),
            }
        }
        let Some(transfer) = &mut self.transfer else {
            return Err(unreachable("nothing is on its way").into());
        };
        let reply = (&mut transfer.task).await;
        self.end_transfer(reply)
    }

    fn end_transfer(
        &mut self,
        reply: Result<Result<Reply, Unreachable>, tokio::task::JoinError>,
    ) -> Answer<AppendEntriesResponse<u64>> {
        let Some(transfer) = self.transfer.take() else {
            return Err(unreachable("nothing is on its way").into());
        };
        let reply = reply.map_err(unreachable)?;
        let in_time = reply.is_ok() && transfer.asked.sent.elapsed() < self.heartbeat;
        self.budget = match in_time {
            true => self.budget.saturating_mul(2).min(APPEND_BYTES_MAX),
            false => (self.budget / 2).max(APPEND_BYTES_MIN),
        };
        match reply? {
            Reply::Append(response) => self.judge(&transfer.asked, response),
            other => Err(self.unexpected(&other).into()),
        }
    }

    /// Sends a heartbeat, or few entries.
    async fn send(
        &self,
        asked: &Asked,
        request: Request,
        within: Duration,
    ) -> Answer<AppendEntriesResponse<u64>> {
        match self.ask(Lane::Raft, &request, within).await? {
            Reply::Append(response) => self.judge(asked, response),
            other => Err(self.unexpected(&other).into()),
        }
    }

    fn unexpected(&self, reply: &Reply) -> Unreachable {
        let target = self.target;
        unreachable(format!("node {target} gave another answer: {reply:?}"))
    }

    /// Leaves in a message what the link carries, at least one entry; gives the bytes that go.
    fn cut(&self, rpc: &mut AppendEntriesRequest<TypeConfig>) -> usize {
        let (mut bytes, mut count) = (0, 0);
        for entry in &rpc.entries {
            let size = entry_bytes(entry);
            if count > 0 && bytes + size > self.budget {
                break;
            }
            bytes += size;
            count += 1;
        }
        rpc.entries.truncate(count);
        bytes
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
        Ok(response)
    }
}

/// Asks a member; a fault it answers with is a member that cannot be reached.
async fn ask(
    way: Option<&dyn Way>,
    target: u64,
    lane: Lane,
    request: &Request,
    within: Duration,
) -> Result<Reply, Unreachable> {
    let Some(way) = way else {
        return Err(unreachable(format!("no way to node {target} is known")));
    };
    let answer = wire::ask(way, target, lane, request, within).await;
    match answer.map_err(|missed: Missed| unreachable(missed))? {
        Reply::Fault(fault) => Err(unreachable(format!("node {target}: {fault}"))),
        reply => Ok(reply),
    }
}

/// What was sent, as far as the answer has to be read with it.
struct Asked {
    vote: Vote<u64>,
    prev: Option<LogId<u64>>,
    last: Option<LogId<u64>>,
    sent: Instant,
}

impl Asked {
    fn of(rpc: &AppendEntriesRequest<TypeConfig>) -> Self {
        let last = rpc.entries.last().map(|entry| entry.log_id);
        Self {
            vote: rpc.vote,
            prev: rpc.prev_log_id,
            last: last.or(rpc.prev_log_id),
            sent: Instant::now(),
        }
    }

    /// The same question with no entries.
    fn heartbeat(&self, sent: Instant) -> Self {
        Self {
            last: self.prev,
            sent,
            ..*self
        }
    }

    /// True when a message asks again, or for more, of what is on its way.
    fn is_asked_again(&self, rpc: &AppendEntriesRequest<TypeConfig>) -> bool {
        let last = rpc.entries.last().map(|entry| entry.log_id);
        self.vote == rpc.vote && self.prev == rpc.prev_log_id && self.last <= last
    }
}

/// Size of an entry on the wire, closely enough.
pub(crate) fn entry_bytes(entry: &openraft::Entry<TypeConfig>) -> usize {
    const AROUND: usize = 64;
    match &entry.payload {
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
        let (wanted, within) = (rpc.entries.last().map(|e| e.log_id), option.hard_ttl());
        let heartbeat = AppendEntriesRequest {
            vote: rpc.vote,
            prev_log_id: rpc.prev_log_id,
            entries: Vec::new(),
            leader_commit: rpc.leader_commit,
        };
        let heartbeat = Request::Append(heartbeat);
        let under_way = self.transfer.as_ref().map(|transfer| &transfer.asked);
        let again = under_way.filter(|asked| asked.is_asked_again(&rpc));
        let (last, response) = if let Some(asked) = again {
            let last = asked.last;
            (last, self.follow_transfer(heartbeat, within).await?)
        } else {
            let bytes = self.cut(&mut rpc);
            if self.member.role == Role::Witness {
                strip(&mut rpc.entries);
            }
            let asked = Asked::of(&rpc);
            let (last, request) = (asked.last, Request::Append(rpc));
            if bytes > APPEND_BYTES_MIN {
                self.begin_transfer(asked, request);
                (last, self.follow_transfer(heartbeat, within).await?)
            } else {
                (last, self.send(&asked, request, within).await?)
            }
        };
        // Openraft takes "success" for all that it asked for.
        Ok(match response {
            AppendEntriesResponse::Success if last < wanted => {
                AppendEntriesResponse::PartialSuccess(last)
            }
            response => response,
        })
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
        Backoff::new(std::iter::repeat(self.heartbeat))
    }
}
