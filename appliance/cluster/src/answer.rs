//! What this member answers to the others.

use crate::node::Node;
use crate::peers::{Answerer, BoxFuture, Caller, Lane};
use crate::types::{Member, TypeConfig};
use crate::wire::{self, Reply, Request};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::{LogId, Snapshot, SnapshotMeta, Vote};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the question whether a snapshot is installed is held back, so that a quick one needs no
/// second question.
const INSTALL_HELD: Duration = Duration::from_millis(500);

/// Takes the messages of this crate and hands everything else on.
pub(crate) struct Answers {
    pub(crate) node: Arc<Node>,
    pub(crate) service: Arc<dyn Answerer>,
}

impl Answerer for Answers {
    fn answer(
        &self,
        caller: Caller,
        lane: Lane,
        body: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        if !wire::is_ours(&body) {
            return match lane {
                Lane::Raft => Box::pin(async { Err("not a message of Raft".into()) }),
                Lane::Bulk | Lane::Service => self.service.answer(caller, lane, body),
            };
        }
        Box::pin(async move {
            let Caller::Member { node: caller } = caller else {
                return Err("only members take part in agreement".into());
            };
            let request = wire::decode(&body).map_err(|e| e.to_string())?;
            drop(body);
            let reply = self.node.answer(caller, request).await;
            wire::encode(&reply).map_err(|e| e.to_string())
        })
    }
}

/// A snapshot on its way in.
#[derive(Debug)]
pub(crate) struct Installing {
    vote: Vote<u64>,
    snapshot: String,
    outcome: watch::Receiver<Option<Result<Vote<u64>, String>>>,
}

impl Node {
    async fn answer(self: &Arc<Self>, caller: u64, request: Request) -> Reply {
        match request {
            Request::Append(append) => self.answer_append(caller, append).await,
            Request::Vote(vote) => self.answer_vote(caller, vote).await,
            Request::Install {
                vote,
                meta,
                description,
            } => match spoken_for(caller, &vote) {
                Ok(()) => self.answer_install(vote, meta, description).await,
                Err(why) => Reply::Fault(why),
            },
            Request::Propose { id, reign, command } => {
                let verdict = self.propose_for(caller, *id, reign, command).await;
                Reply::Proposed(verdict)
            }
            Request::ReadIndex if self.leads() => Reply::ReadIndex(self.read_index().await),
            Request::ReadIndex => {
                Reply::ReadIndex(Err(format!("node {} does not lead", self.node)))
            }
            Request::Ping => Reply::Pong(self.live_leader()),
        }
    }

    async fn answer_append(&self, caller: u64, append: AppendEntriesRequest<TypeConfig>) -> Reply {
        if let Err(why) = spoken_for(caller, &append.vote) {
            return Reply::Fault(why);
        }
        match self.raft.append_entries(append).await {
            Ok(AppendEntriesResponse::HigherVote(vote)) => {
                Reply::Append(AppendEntriesResponse::HigherVote(vote))
            }
            Ok(response) => {
                // The leader has judged our Hello on the way here.
                self.lift_fence("the leader of this term accepts it");
                self.leader_was_heard();
                Reply::Append(response)
            }
            Err(fatal) => Reply::Fault(fatal.to_string()),
        }
    }

    async fn answer_vote(&self, caller: u64, vote: VoteRequest<u64>) -> Reply {
        if let Err(why) = spoken_for(caller, &vote.vote) {
            return Reply::Fault(why);
        }
        if self.is_fenced() {
            let why =
                "it has not yet been accepted by the others since its start, and does not vote";
            return Reply::Fault(why.into());
        }
        match self.raft.vote(vote).await {
            Ok(response) => Reply::Vote(response),
            Err(fatal) => Reply::Fault(fatal.to_string()),
        }
    }

    /// Openraft answers nothing, not even heartbeats, while the machine installs. So what is slow,
    /// the fetching, is done before it hears of the snapshot, and the leader asks again meanwhile.
    async fn answer_install(
        self: &Arc<Self>,
        vote: Vote<u64>,
        meta: SnapshotMeta<u64, Member>,
        description: Vec<u8>,
    ) -> Reply {
        let ours = self.raft.metrics().borrow().vote;
        if ours > vote {
            return Reply::Installed(ours);
        }
        let mut outcome = {
            let mut installing = self.installing.lock();
            match &*installing {
                Some(running) if running.outcome.borrow().is_none() => {
                    if running.vote != vote || running.snapshot != meta.snapshot_id {
                        // What it fetches will be of use to the newer one.
                        return Reply::Installing;
                    }
                    running.outcome.clone()
                }
                Some(done) if done.vote == vote && done.snapshot == meta.snapshot_id => {
                    let done = done.outcome.clone();
                    *installing = None;
                    done
                }
                _ => self.begin_install(&mut installing, vote, meta, description),
            }
        };
        let waited = tokio::time::timeout(INSTALL_HELD, outcome.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(outcome)) => match outcome.clone() {
                Some(Ok(vote)) => Reply::Installed(vote),
                Some(Err(why)) => Reply::Fault(why),
                None => Reply::Installing,
            },
            Ok(Err(_)) => Reply::Fault("the installation was broken off".into()),
            Err(_) => Reply::Installing,
        }
    }

    fn begin_install(
        self: &Arc<Self>,
        installing: &mut Option<Installing>,
        vote: Vote<u64>,
        meta: SnapshotMeta<u64, Member>,
        description: Vec<u8>,
    ) -> watch::Receiver<Option<Result<Vote<u64>, String>>> {
        let (done, outcome) = watch::channel(None);
        *installing = Some(Installing {
            vote,
            snapshot: meta.snapshot_id.clone(),
            outcome: outcome.clone(),
        });
        let node = self.clone();
        tokio::spawn(async move {
            let mut stop = node.stopping();
            let installed = tokio::select! {
            biased;
                            done = node.fetch_and_install(vote, meta, description) => done,
                            _ = stop.wait_for(|stop| *stop) => Err("the node is stopping".into()),
                        };
            done.send_replace(Some(installed));
        });
        outcome
    }

    async fn fetch_and_install(
        &self,
        vote: Vote<u64>,
        meta: SnapshotMeta<u64, Member>,
        description: Vec<u8>,
    ) -> Result<Vote<u64>, String> {
        let fetched = self.machine.fetch(description.clone()).await;
        fetched.map_err(|fault| {
            tracing::warn!("fetching the state up to {meta}: {fault}");
            fault.to_string()
        })?;
        self.drop_conflicting_tail(vote, meta.last_log_id).await?;
        let snapshot = Box::new(Cursor::new(description));
        let installed = self
            .raft
            .install_full_snapshot(vote, Snapshot { meta, snapshot });
        let response = installed.await.map_err(|fatal| fatal.to_string())?;
        Ok(response.vote)
    }

    /// Takes away the entries of this node's log that stand where the snapshot of the leader ends
    /// and are not the leader's, before openraft looks at them.
    ///
    /// Openraft would take away everything that it does not know to be committed, and after a
    /// restart it knows that of nothing that the machine had not applied: entries that this node
    /// had confirmed, and even memberships that others had built upon, which its own assertion
    /// calls impossible. An empty append of the leader that ends where the snapshot does takes
    /// away exactly what Raft allows (Ongaro 2014, figure 3.1, AppendEntries, step 3).
    async fn drop_conflicting_tail(
        &self,
        vote: Vote<u64>,
        last: Option<LogId<u64>>,
    ) -> Result<(), String> {
        let check = AppendEntriesRequest {
            vote,
            prev_log_id: last,
            entries: Vec::new(),
            leader_commit: None,
        };
        // Whichever answer: a vote that is too old is refused at the installation too.
        let answered = self.raft.append_entries(check).await;
        answered.map(drop).map_err(|fatal| fatal.to_string())
    }
}

/// A member speaks for its own vote only.
fn spoken_for(caller: u64, vote: &Vote<u64>) -> Result<(), String> {
    let whose = vote.leader_id.node_id;
    match whose == caller {
        true => Ok(()),
        false => Err(format!("node {caller} speaks for node {whose}")),
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers")
            .field("node", &self.node.node)
            .finish_non_exhaustive()
    }
}
