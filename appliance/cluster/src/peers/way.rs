//! The way to one node on one lane: at most one connection, dialled when somebody calls.
//!
//! Who calls while it is being dialled waits for the same attempt. After a failure there is a
//! pause, doubled up to a second, so that a node that is down costs little; after a refusal calls
//! are answered with it at once, and it is tried anew every two seconds.

use crate::peers::call::CallFault;
use crate::peers::greet::{Secured, dialling};
use crate::peers::health::{Record, count};
use crate::peers::hello::Lane;
use crate::peers::limits::{
    CALLS_MAX, CONNECT_TIMEOUT, GOOD_CONNECTION, PAUSE_FIRST, PAUSE_MAX, REFUSED_PAUSE,
};
use crate::peers::link::{Link, NotTaken};
use crate::peers::switchboard::Switchboard;
use crate::peers::tls::server_name;
use crate::peers::wire::End;
use crate::peers::{Caller, Refused};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// The way to a node on a lane.
pub(super) struct Way {
    node: u64,
    lane: Lane,
    address: String,
    record: Record,
    state: Mutex<State>,
    /// Told to everybody who waits whenever the state changes.
    changed: Notify,
    callers: AtomicUsize,
}

struct State {
    phase: Phase,
    /// Attempts in a row that came to nothing.
    failures: u32,
}

enum Phase {
    /// No connection; none is tried before `until`.
    Down {
        until: Instant,
        fault: Option<CallFault>,
    },
    /// An attempt is under way.
    Dialling,
    /// A connection, which may have ended in the meantime.
    Up { link: Arc<Link>, since: Instant },
}

/// What a caller does next.
enum Step {
    Use(Arc<Link>),
    Dial,
    Wait,
    Pause(Instant, Option<CallFault>),
}

/// A caller among those that this way carries.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Way {
    pub(super) fn new(node: u64, lane: Lane, address: String, record: Record) -> Arc<Self> {
        let phase = Phase::Down {
            until: Instant::now(),
            fault: None,
        };
        Arc::new(Self {
            node,
            lane,
            address,
            record,
            state: Mutex::new(State { phase, failures: 0 }),
            changed: Notify::new(),
            callers: AtomicUsize::new(0),
        })
    }

    /// One call, over the connection that is there or a new one.
    pub(super) async fn call(
        self: &Arc<Self>,
        board: &Arc<Switchboard>,
        mut body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, CallFault> {
        let callers = self.callers.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.callers);
        if callers >= CALLS_MAX {
            return Err(CallFault::Overloaded(callers));
        }
        loop {
            let link = self.link(board, deadline).await?;
            match link.call(body, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(NotTaken::Fault(fault)) => return Err(fault),
                // The connection ended in this moment, before it took anything.
                Err(NotTaken::Ended(back)) => body = back,
            }
        }
    }

    /// A connection, by the deadline. Makes or joins one attempt at most, so that a caller who
    /// could ask another node instead learns soon that this one is down.
    async fn link(
        self: &Arc<Self>,
        board: &Arc<Switchboard>,
        deadline: Instant,
    ) -> Result<Arc<Link>, CallFault> {
        let mut tried = false;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Listens before it looks, so that no change in between is missed.
            changed.as_mut().enable();
            let step = self.state.lock().step();
            let wait_until = match step {
                Step::Use(link) => return Ok(link),
                Step::Dial => {
                    tokio::spawn(self.clone().dial(board.clone()));
                    tried = true;
                    deadline
                }
                Step::Wait => {
                    tried = true;
                    deadline
                }
                Step::Pause(_, Some(fault)) if tried || fault.is_refusal() => {
                    return Err(fault);
                }
                Step::Pause(until, fault) if until >= deadline => {
                    let text = "the next attempt is due after the time given".to_owned();
                    return Err(fault.unwrap_or(CallFault::Unreachable(text)));
                }
                Step::Pause(until, _) => until,
            };
            if timeout_at(wait_until, changed).await.is_err() && wait_until >= deadline {
                let text = format!("no connection to {} within the time given", self.address);
                return Err(CallFault::Unreachable(text));
            }
        }
    }

    /// One attempt, shared by all who wait.
    async fn dial(self: Arc<Self>, board: Arc<Switchboard>) {
        let generation = board.generation();
        let outcome = self.connect(&board).await;
        let mut state = self.state.lock();
        let outcome = match outcome {
            Ok(_) if board.generation() != generation => {
                // Connections were dropped on purpose while this one came about: whoever was asked
                // about it is asked again.
                state.phase = Phase::Down {
                    until: Instant::now(),
                    fault: None,
                };
                None
            }
            outcome => Some(outcome),
        };
        match outcome {
            None => {}
            Some(Ok(stream)) => {
                self.record.connected();
                // Held weakly: a connection must not keep alive what would close it.
                let counted = Arc::downgrade(&board);
                let ended = move |end: End| {
                    if let Some(board) = counted.upgrade() {
                        board.count_end(&end);
                    }
                };
                let link = Link::start(stream, self.lane, self.record.clone(), ended);
                let since = Instant::now();
                state.phase = Phase::Up { link, since };
            }
            Some(Err(fault)) => {
                tracing::debug!(
                    "node {} at {}, {}: {fault}",
                    self.node,
                    self.address,
                    self.lane
                );
                self.remember(&board, &fault);
                state.fail(fault);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    async fn connect(&self, board: &Switchboard) -> Result<Secured, CallFault> {
        let stream = match timeout(CONNECT_TIMEOUT, board.net.connect(&self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(CallFault::Unreachable(format!("{}: {e}", self.address))),
            Err(_) => {
                let (address, ms) = (&self.address, CONNECT_TIMEOUT.as_millis());
                let text = format!("{address} takes no connection within {ms} ms");
                return Err(CallFault::Unreachable(text));
            }
        };
        let ours = board.gate.hello();
        let name = server_name(&ours.cluster, self.node);
        let judge = |theirs: &super::Hello, key| {
            if theirs.node != self.node {
                let (asked, answered) = (self.node, theirs.node);
                return Err(Refused::WrongNode { asked, answered });
            }
            match board.gate.admit(theirs, key)? {
                Caller::Member { .. } => Ok(()),
                Caller::Newcomer { .. } => Err(Refused::UnknownMember { node: self.node }),
            }
        };
        dialling(stream, board.tls.client(), &name, self.lane, ours, judge).await
    }

    fn remember(&self, board: &Switchboard, fault: &CallFault) {
        let mut counters = board.counters.lock();
        match fault {
            CallFault::Refused(refused) => {
                count(&mut counters.refused_there, refused);
                self.record.refused(fault.to_string());
            }
            CallFault::RefusedHere(refused) => {
                count(&mut counters.refused_here, refused);
                self.record.refused(fault.to_string());
            }
            other => self.record.failed(other.to_string()),
        }
    }

    /// Ends the connection; the next call dials anew.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if let Phase::Up { link, .. } = &state.phase {
            link.close();
            state.failures = 0;
            state.phase = Phase::Down {
                until: Instant::now(),
                fault: None,
            };
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The node has just called us: it may be worth trying at once.
    pub(super) fn hint_alive(&self) {
        let mut state = self.state.lock();
        if let Phase::Down { until, fault } = &mut state.phase
            && !fault.as_ref().is_some_and(CallFault::is_refusal)
        {
            *until = Instant::now();
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        matches!(&self.state.lock().phase, Phase::Up { link, .. } if link.is_open())
    }
}

impl State {
    /// What to do now. Says `Dial` to one caller only.
    fn step(&mut self) -> Step {
        let now = Instant::now();
        if let Phase::Up { link, since } = &self.phase {
            if link.is_open() {
                return Step::Use(link.clone());
            }
            let (since, text) = (*since, "the connection ended".to_owned());
            if now.duration_since(since) >= GOOD_CONNECTION {
                self.failures = 0;
                self.phase = Phase::Down {
                    until: now,
                    fault: None,
                };
            } else {
                self.fail(CallFault::Unreachable(text));
            }
        }
        match &self.phase {
            Phase::Down { until, fault } if *until > now => Step::Pause(*until, fault.clone()),
            Phase::Down { .. } => {
                self.phase = Phase::Dialling;
                Step::Dial
            }
            Phase::Dialling | Phase::Up { .. } => Step::Wait,
        }
    }

    fn fail(&mut self, fault: CallFault) {
        let pause = match &fault {
            refusal if refusal.is_refusal() => REFUSED_PAUSE,
            _ => pause(self.failures),
        };
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Down {
            until: Instant::now() + pause,
            fault: Some(fault),
        };
    }
}

/// Pause after so many failures before this one.
fn pause(failures: u32) -> Duration {
    let doubled = 2u32.checked_pow(failures).unwrap_or(u32::MAX);
    PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX)
}
